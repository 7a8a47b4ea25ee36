package topup

import (
	"fmt"
	"time"
)

// MostBetweenLooks is the longest wait for the next look at a purchase.
const MostBetweenLooks = 24 * time.Hour

// paymentEvery is how often an open payment is asked for after the purchase
// credited: card retries of the provider come hours apart, and a payment that
// never ends must not cost reads for ever.
func paymentEvery(age time.Duration) time.Duration {
	switch {
	case age < 6*time.Hour:
		return 15 * time.Minute
	case age < 72*time.Hour:
		return 2 * time.Hour
	default:
		return MostBetweenLooks
	}
}

// Followed is what the provider's books and the newest reading change for a
// purchase that has a reference: its payment, its ledger row, and whether its
// effect has been seen. A void invoice is not decided here: the claim may have
// to move (see Voided). latest is nil when no reading is known.
func Followed(p Purchase, b Books, latest *Reading, books bool, now time.Time) Change {
	c := Change{Next: p}
	next := &c.Next
	if invoice := findInvoice(b, p.Reference); invoice != nil {
		c.pay(*invoice)
	}
	if row := findRow(b, p.Reference); row != nil && next.RowAt == nil {
		at := row.At
		next.RowAt = &at
		c.note(EvidenceLook, "credited by ledger row "+row.ID, nil)
	}
	if next.State == Confirmed && next.Payment != PaymentFailed && next.Payment != PaymentVoid && seen(*next, latest, books) {
		next.State = Credited
		c.Lift = c.Lift || next.Payment == PaymentNone // nothing is left to be declined
		c.note(EvidenceState, fmt.Sprintf("a reading shows it: balance %s", latest.Balance), nil)
	}
	c.again(now)
	return c
}

// again plans the next visit: none when nothing can change any more.
func (c *Change) again(now time.Time) {
	next := &c.Next
	switch {
	case next.State == Confirmed:
		from := now
		if next.ConfirmedAt != nil {
			from = *next.ConfirmedAt
		}
		next.scheduleLook(from, now)
	case next.State == Credited && !next.Payment.Ended():
		at := now.Add(Scaled(paymentEvery(now.Sub(next.PlannedAt)), next.QuietPeriod))
		next.NextLookAt = &at
	default:
		next.NextLookAt = nil
	}
}

// bill compares the price with what the purchase's invoice is for, and tells
// whether it is another: then the true amount is kept. Only a bill for these
// credits alone can tell. What else stands on one, or a bill that is paid with
// others, says nothing about the price.
func (p *Purchase) bill(i Invoice) bool {
	if !i.Alone() || i.Amount.IsZero() || i.Amount == p.Price {
		return false
	}
	charged := i.Amount
	p.Charged = &charged
	p.Reason, p.Detail = FailedMismatch, fmt.Sprintf("the invoice is for %s, not %s", charged, p.Price)
	return true
}

// pay takes over what the invoice says about the money.
func (c *Change) pay(invoice Invoice) {
	next := &c.Next
	c.Priced = next.State == Confirmed && invoice.Shows(next.Price)
	if next.Charged == nil && next.bill(invoice) {
		c.note(EvidencePayment, next.Detail, nil)
	}
	if invoice.Unexpected != "" && next.Detail != invoice.Unexpected {
		next.Detail = invoice.Unexpected
		c.note(EvidencePayment, invoice.Unexpected, nil)
	}
	if invoice.Payment == next.Payment {
		return
	}
	from := next.Payment
	next.Payment = invoice.Payment
	text := fmt.Sprintf("payment %s → %s (invoice %s is %s)", from, invoice.Payment, invoice.ID, invoice.Status)
	if invoice.Detail != "" {
		text += ": " + invoice.Detail
	}
	switch invoice.Payment {
	case PaymentFailed:
		next.Reason, next.Detail = FailedDeclined, invoice.Detail
		c.Decline = !next.Refused // a refusal was counted already
	case PaymentPaid:
		if next.Reason == FailedDeclined {
			next.Reason, next.Detail = FailedNone, ""
		}
		c.Lift = true
	case PaymentNone, PaymentPending, PaymentVoid:
	}
	c.note(EvidencePayment, text, nil)
}

// seen tells whether the purchase's effect shows in a reading taken after it
// was confirmed. That is enough to settle; a new
// purchase asks more of a reading.
func seen(p Purchase, latest *Reading, books bool) bool {
	if latest == nil || latest.Bad != "" || p.RowAt == nil {
		return false
	}
	if p.ConfirmedAt != nil && latest.ReadAt.Before(p.ConfirmedAt.Add(-MatchBefore)) {
		return false
	}
	refreshed := !latest.RefreshedAt.IsZero() && !latest.RefreshedAt.Before(*p.RowAt)
	switch {
	case p.rose(): // the rise is the effect; usage may have hidden it since
		return refreshed
	case books:
		return refreshed || latest.Balance >= p.BalanceBefore+p.Credits/2
	default:
		return refreshed && latest.Balance > p.BalanceBefore
	}
}

// Voided is what a void invoice means for a confirmed purchase: the claim
// moves to another match that is not void, else the purchase was declined. b
// is a complete look; when it is not, nothing changes.
func Voided(p Purchase, b Books, claimed map[string]bool, now time.Time) Change {
	c := Change{Next: p}
	if !b.Complete {
		c.again(now)
		return c
	}
	for _, m := range Matches(p, b, claimed) {
		if m.ID != p.Reference && !m.Void() {
			old := p.Reference
			c.claim([]Match{m}, now)
			c.note(EvidenceState, fmt.Sprintf("invoice %s is void; the claim moved to %s", old, m.ID), nil)
			return c
		}
	}
	c.Next.State, c.Next.NextLookAt = Declined, nil
	c.Next.Payment = PaymentVoid
	if c.Next.Reason == FailedNone {
		c.Next.Reason = FailedDeclined
	}
	c.note(EvidenceState, "its invoice is void, and so is every other match", nil)
	return c
}

func findInvoice(b Books, id string) *Invoice {
	for i := range b.Invoices {
		if id != "" && b.Invoices[i].ID == id {
			return &b.Invoices[i]
		}
	}
	return nil
}

func findRow(b Books, invoice string) *Topup {
	for i := range b.Topups {
		if invoice != "" && b.Topups[i].Invoice == invoice {
			return &b.Topups[i]
		}
	}
	return nil
}
