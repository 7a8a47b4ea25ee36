package sim

import (
	"context"
	"slices"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// refund is a purchase that was paid back as a whole, until a person lets its
// customer go.
type refund struct {
	invoice string
	at      time.Time
}

// refund pays the customer's newest purchase back and takes its credits.
func (w *world) refund(id string, look time.Duration) {
	customer := topup.CustomerID(id)
	var newest *file
	for _, f := range w.judge.rows {
		p := &f.row
		if p.Target.Customer == customer && p.Reference != "" && p.Payment == topup.PaymentPaid && (newest == nil || f.planned.After(newest.planned)) {
			newest = f
		}
	}
	if newest == nil || newest.row.Target.Provider != hyperlineID || w.judge.open[newest.row.Target] != "" {
		return // nothing to pay back, or a purchase is under way
	}
	invoice := newest.row.Reference
	if err := w.emu.Spoil(invoice, emulator.MistakeRefunded); err != nil {
		return // its credits have not come yet, or it was paid back before
	}
	at := slices.IndexFunc(w.emu.Customers(), func(c emulator.Customer) bool { return c.ID == id })
	left, err := amount(w.emu.Customers()[at].Balance).Sub(amount(newest.row.Credits.String()))
	if err != nil {
		w.judge.breach("harness", customer, "taking credits: %v", err)
		return
	}
	if left.Sign() < 0 {
		left = amount("0")
	}
	if err := w.emu.SetBalance(id, left); err != nil {
		w.judge.breach("harness", customer, "taking credits: %v", err)
	}
	w.judge.refunds[customer] = refund{invoice, w.now()}
	w.judge.tally.refunds++
	w.tell(customer, "* %s is paid back: a balance of %s is left", invoice, left)
	w.after(look, func() { w.letGo(customer, 10*time.Minute) })
}

// letGo is a person who says that a customer may be bought for again, when a
// refund holds them; else they look again.
func (w *world) letGo(customer topup.CustomerID, again time.Duration) {
	p := topup.Pause{Scope: topup.PauseCustomer, Subject: string(customer), Reason: "asked the customer", By: "sim"}
	if r, err := w.store.Resume(context.Background(), p); err == nil && r.Refunds > 0 {
		w.tell(customer, "* a person lets the refunded customer go")
		delete(w.judge.refunds, customer)
		return
	}
	if w.judge.refunds[customer] != (refund{}) {
		w.after(again, func() { w.letGo(customer, again) })
	}
}

// afterRefund holds a plan against P12: whoever's last purchase was refunded gets
// nothing until a person says so, or somebody has bought since. A decision may rest
// on what was read before; a provider that lies about its lists hides the refund.
func (j *judge) afterRefund(p topup.Purchase) {
	r, refunded := j.refunds[p.Target.Customer]
	now := j.w.now()
	if !refunded || now.Sub(r.at) < maxAge+10*time.Second || len(j.w.windows) > 0 || now.Sub(j.w.readsBad) < maxAge+10*time.Second {
		return
	}
	charges := j.w.emu.Books().For(string(p.Target.Customer))
	at := slices.IndexFunc(charges, func(c emulator.Charge) bool { return c.Invoice == r.invoice })
	if slices.ContainsFunc(charges[at+1:], func(c emulator.Charge) bool { return c.Captured }) {
		delete(j.refunds, p.Target.Customer)
		return
	}
	j.breach("P12", p.Target.Customer, "%s was planned, %s after the customer's last purchase was refunded (%s), and no person said yes", p.Short(), now.Sub(r.at), r.invoice)
}
