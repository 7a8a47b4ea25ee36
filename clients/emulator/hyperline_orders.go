package emulator

import (
	"fmt"
	"time"
)

// order is somebody's wish for credits.
type order struct {
	credit  *credit
	credits quantity
	price   *price // nil for a custom amount
	amount  int64  // smallest unit, excluding tax
	expires *time.Time
	source  string
	key     string
	request int
	decline bool // a fault: the first attempt fails whatever the card
	style   DeclineStyle
}

// invoice is an order that has left a trace.
type invoice struct {
	id, number, reference string
	seq                   int
	order                 order
	status                string
	method                *string // what is charged, null if there is none
	currency              string  // as written; "" is the customer's
	seats                 bool    // not for credits
	tax, total, paid      int64
	issued, updated, due  time.Time
	settled, refunded     *time.Time
	payments              []*payment
	retries               int
	row                   *creditRow
	charge                *Charge
	visible               time.Time
	rowVisible            time.Time
	balanceVisible        time.Time
}

// payment is one attempt to collect an invoice.
type payment struct {
	id, status, kind     string
	amount               int64
	at                   time.Time
	settled              *time.Time
	errorType, errorText string
}

// pays tells whether the order's first attempt takes money or will.
func (h *hyperline) pays(o order) bool {
	card := o.credit.owner.card
	return !o.decline && (card == CardGood || card == CardDirectDebit)
}

// place turns the order into an invoice and tries to collect it. It returns nil
// when the order is refused without a trace.
func (h *hyperline) place(o order, now time.Time) *invoice {
	if !h.pays(o) && o.style == DeclineRefused {
		h.shownErrored(o.credit.owner)
		return nil
	}
	h.use(o.credit, now)
	now = now.Truncate(time.Millisecond)
	late := max(h.opts.LatePosting, h.faults.LatePosting)
	fixed := now.Add(h.opts.Profile.VisibleAfter)
	tax := (o.amount*int64(h.opts.Profile.TaxPercent) + 50) / 100
	inv := &invoice{
		id: h.id("inv_"), number: fmt.Sprintf("INV%d", len(h.invoices)+1), reference: h.id("")[:10],
		seq: len(h.invoices) + 1, order: o, status: "to_pay", tax: tax, total: o.amount + tax,
		method: o.credit.owner.method(), issued: now, updated: now, due: now.AddDate(0, 1, 0),
		visible: fixed.Add(h.within(late)), rowVisible: fixed.Add(h.within(late)), balanceVisible: fixed.Add(h.within(late)),
	}
	h.invoices = append(h.invoices, inv)
	h.invoiceBy[inv.id] = inv
	o.credit.owner.invoices = append(o.credit.owner.invoices, inv)
	inv.charge = h.books.enter(Charge{
		Provider: HyperlineName, Customer: o.credit.owner.id, Product: o.credit.product.id, Invoice: inv.id,
		Credits: o.credits.String(), AmountMinor: o.amount, Amount: minor(o.amount).Money(), Currency: o.credit.owner.currency,
		Key: o.key, At: now, Before: o.credit.balance.String(), Status: inv.status, Source: o.source, RequestSeq: o.request, VisibleAt: inv.visible,
	})
	h.attempt(inv, "purchase", o.decline, now)
	if h.opts.Profile.GrantUnpaid {
		h.grant(inv, now)
	}
	return inv
}

// minor is an amount in hundredths as a quantity.
func minor(amount int64) quantity { return quantity(amount) * cent }

// attempt tries to collect the invoice once.
func (h *hyperline) attempt(inv *invoice, by string, decline bool, now time.Time) {
	owner := inv.order.credit.owner
	p := &payment{id: h.id("tra_"), kind: "card", amount: inv.total - inv.paid, at: now, status: "failed"}
	inv.payments = append(inv.payments, p)
	inv.updated, inv.method = now, owner.method()
	switch {
	case owner.card == CardDirectDebit && !decline:
		p.kind, p.status = "direct_debit", "pending"
		h.grant(inv, now)
		h.at(now.Add(h.opts.Profile.SettleAfter), func(at time.Time) {
			if p.status == "pending" && inv.status != "voided" {
				h.capture(inv, p, by, at)
			}
		})
	case owner.card == CardGood && !decline:
		h.capture(inv, p, by, now)
	case owner.card == CardMissing:
		p.errorType, p.errorText = "payment_method_invalid", "The customer has no payment method"
		h.retryLater(inv, now)
	default:
		p.errorType, p.errorText = "insufficient_funds", "Your card has insufficient funds."
		h.shownErrored(owner)
		h.retryLater(inv, now)
	}
}

// capture takes the money: the only place at Hyperline that does.
func (h *hyperline) capture(inv *invoice, p *payment, by string, now time.Time) {
	p.status, p.settled = "settled", &now
	inv.status, inv.paid, inv.settled, inv.updated = "paid", inv.total, &now, now
	inv.charge.Captured, inv.charge.CapturedAt, inv.charge.CapturedBy, inv.charge.Status = true, now, by, inv.status
	h.grant(inv, now)
}

// retryLater schedules the provider's own next attempt, or gives up with status
// error (Hyperline docs, /docs/payments/payment-errors, read 2026-11-20).
func (h *hyperline) retryLater(inv *invoice, now time.Time) {
	if inv.retries >= len(h.opts.RetrySchedule) {
		inv.status = "error"
		inv.charge.Status = inv.status
		return
	}
	wait := h.opts.RetrySchedule[inv.retries]
	inv.retries++
	h.at(now.Add(wait), func(at time.Time) {
		if inv.status == "to_pay" && !inv.collecting() {
			h.attempt(inv, "retry", false, at)
		}
	})
}

// collecting tells whether a payment is on its way.
func (inv *invoice) collecting() bool {
	for _, p := range inv.payments {
		if p.status == "pending" {
			return true
		}
	}
	return false
}

// grant gives the invoice's credits, once.
func (h *hyperline) grant(inv *invoice, now time.Time) {
	if inv.row != nil {
		return
	}
	o := inv.order
	rowVisible, balanceVisible := latest(inv.rowVisible, now), latest(inv.balanceVisible, now)
	b := h.add(o.credit, o.credits, o.expires, now, balanceVisible)
	inv.row = &creditRow{
		id: h.id("cdt_"), kind: "topup", source: rowSource(o.source), price: o.price, invoice: &inv.id,
		method: inv.method, expires: o.expires, amount: &o.amount, credits: o.credits,
		after: o.credit.balance, batch: b, created: now, updated: now, visible: rowVisible, priceAmount: o.amount,
	}
	o.credit.rows = append(o.credit.rows, inv.row)
	inv.charge.ID = inv.row.id
	inv.charge.VisibleAt = latest(inv.visible, rowVisible, balanceVisible)
}

// rowSource is the ledger's word for who ordered: app, portal, api or system.
func rowSource(source string) string {
	if source == SourceNative {
		return "system"
	}
	return source
}

func latest(times ...time.Time) time.Time {
	last := times[0]
	for _, t := range times[1:] {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// native is Hyperline's own auto top-up: it buys below the threshold, without
// knowing what anybody else does. Trigger, timing and what follows a decline are
// not documented.
func (h *hyperline) native(cr *credit, now time.Time) {
	if cr.auto == nil || cr.threshold == nil || cr.owner.archived || now.Before(cr.nativeAfter) {
		return
	}
	low := cr.balance < *cr.threshold || (h.opts.Profile.NativeAtThreshold && cr.balance == *cr.threshold)
	if !low {
		return
	}
	o := order{credit: cr, credits: cr.auto.credits, price: cr.auto.price, source: SourceNative, style: DeclineCreatedUnpaid}
	switch {
	case cr.auto.price != nil:
		o.amount = cr.auto.price.amount
	case cr.auto.amount != nil:
		o.amount = *cr.auto.amount
	default:
		return // credit_count alone says nothing about a price
	}
	if inv := h.place(o, now); inv.row == nil {
		cr.nativeAfter = now.Add(h.opts.Profile.NativeRetry)
	}
}
