package emulator

import (
	"net/http"
	"time"
)

// purchaseRun is one purchase request on its way through an emulated provider.
type purchaseRun struct {
	call
	entry   *Request
	fault   string
	hangFor time.Duration
	delay   time.Duration
	late    time.Duration // above 0: executed by a job after the connection is gone
}

// receive books the request's arrival and draws its fault.
func (w *world) receive(provider, customer string, c call, executeLate time.Duration) *purchaseRun {
	p := &purchaseRun{call: c, hangFor: w.faults.HangFor, delay: w.faults.PurchaseDelay}
	p.fault = w.faults.draw(w.rng, provider, purchaseRates)
	p.entry = w.books.received(Request{
		Provider: provider, Customer: customer, Key: c.r.Header.Get("Idempotency-Key"),
		BodySHA256: digest(c.body), ReceivedAt: c.now, Fault: p.fault,
	})
	switch p.fault {
	case "slow":
		p.delay += w.within(orDuration(w.faults.SlowFor, 2*time.Second))
	case "execute_late":
		p.late = w.within(orDuration(executeLate, 2*time.Second)) + time.Millisecond
	case "charge_then_hang", "charge_then_drop":
		p.late = w.within(executeLate)
	}
	return p
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// executes tells whether the request reaches the provider's till.
func (p *purchaseRun) executes() bool {
	switch p.fault {
	case "fail_without_charging_500", "drop_without_charging", "hang_without_charging":
		return false
	}
	return true
}

// declines tells whether a fault makes the payment fail.
func (p *purchaseRun) declines() bool {
	return p.fault == "decline" || p.fault == "decline_201_unpaid" || p.fault == "decline_no_credits"
}

// price is the amount that is truly taken, in hundredths.
func (p *purchaseRun) price(amount int64) int64 {
	if p.fault == "wrong_amount" {
		return amount + max(amount/10, 1)
	}
	return amount
}

// redirect answers with 307 to the same purchase: a client that follows it
// sends the charge a second time, and that one is executed.
func redirect(r *http.Request) answer {
	query := r.URL.Query()
	query.Set("redirected", "1")
	a := plainAnswer(http.StatusTemporaryRedirect, htmlType, "<a href=\"#\">Temporary Redirect</a>\n")
	a.header.Set("Location", r.URL.Path+"?"+query.Encode())
	return a
}
