package topup

import (
	"slices"
	"time"
)

// The match window, in the provider's time, around the sends of a purchase.
// Two minutes before allow for clocks that disagree; thirty after for a charge
// that is listed late. Widening it lets in more of the customer's own
// purchases, narrowing it loses ours.
const (
	MatchBefore = 2 * time.Minute
	MatchAfter  = 30 * time.Minute
)

// Match is one charge at the provider that could be what a purchase made.
type Match struct {
	ID      string // of the invoice
	Row     *Topup
	Invoice *Invoice
	At      time.Time
}

// Void tells whether nothing was and nothing will be collected for the match.
func (m Match) Void() bool { return m.Invoice != nil && m.Invoice.Payment == PaymentVoid }

// payment of a match whose invoice was not listed yet is pending.
func (m Match) payment() Payment {
	if m.Invoice == nil {
		return PaymentPending
	}
	return m.Invoice.Payment
}

// external is what is imported when the match turns out not to be ours.
func (m Match) external(p Purchase) Topup {
	if m.Row != nil {
		return *m.Row
	}
	return Topup{ID: m.ID, Invoice: m.ID, Credits: p.Credits, Price: p.Price, At: m.At}
}

// Matches finds every charge in the books that the purchase could have made,
// earliest first: new since the confirm read, nobody else's, for as many credits
// at the same price, and within the match window. A
// ledger row and the invoice it names are one match.
func Matches(p Purchase, b Books, claimed map[string]bool) []Match {
	if p.SentAt == nil || p.LastSentAt == nil {
		return nil
	}
	from, to := p.SentAt.Add(-MatchBefore), p.LastSentAt.Add(MatchAfter)
	ours := func(id string, at time.Time) bool {
		return id != "" && !claimed[id] && !slices.Contains(p.Baseline, id) && !at.Before(from) && !at.After(to)
	}
	byID := map[string]*Match{}
	for i := range b.Topups {
		row := &b.Topups[i]
		at := row.orderedAt(b)
		if ours(row.Invoice, at) && ours(row.ID, at) && sameRow(p, *row) {
			byID[row.Invoice] = &Match{ID: row.Invoice, Row: row, At: at}
		}
	}
	for i := range b.Invoices {
		invoice := &b.Invoices[i]
		if m, ok := byID[invoice.ID]; ok {
			m.Invoice = invoice
			continue
		}
		if ours(invoice.ID, invoice.At) && invoice.Concerns(p.Target.Product) && invoice.Amount == p.Price {
			byID[invoice.ID] = &Match{ID: invoice.ID, Invoice: invoice, At: invoice.At}
		}
	}
	matches := make([]Match, 0, len(byID))
	for _, m := range byID {
		matches = append(matches, *m)
	}
	slices.SortFunc(matches, func(a, b Match) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return compare(a.ID, b.ID)
	})
	return matches
}

// orderedAt is when the row's credits were ordered: a bill that is collected
// hours later is credited only then, and was issued when it was ordered.
func (t Topup) orderedAt(b Books) time.Time {
	if i := findInvoice(b, t.Invoice); i != nil {
		return i.At
	}
	return t.At
}

// Undecided finds a bill in the books that may be what the purchase made at
// another price; "" when there is none.
func Undecided(p Purchase, b Books, claimed map[string]bool) string {
	if bills := UndecidedBills(p, b, claimed); len(bills) > 0 {
		return bills[0].ID
	}
	return ""
}

// UndecidedBills finds the bills in the books that may be what the purchase made
// at another price: new, nobody else's, for the product and in the match window,
// of another amount, and without the ledger row that would tell the packs apart.
// While there is one, a look is not empty.
func UndecidedBills(p Purchase, b Books, claimed map[string]bool) (bills []Invoice) {
	if p.SentAt == nil || p.LastSentAt == nil {
		return nil
	}
	from, to := p.SentAt.Add(-MatchBefore), p.LastSentAt.Add(MatchAfter)
	for _, i := range b.Invoices {
		ours := i.ID != "" && !claimed[i.ID] && !slices.Contains(p.Baseline, i.ID) && !i.At.Before(from) && !i.At.After(to)
		if ours && i.Concerns(p.Target.Product) && i.Amount != p.Price && i.Payment != PaymentVoid && findRow(b, i.ID) == nil {
			bills = append(bills, i)
		}
	}
	return bills
}

// lateFor is how long after its last send an addition may still be what a
// purchase made that a person called not charged. Longer than any execution that
// is merely late; the customer's own purchase of the same pack within it costs a
// person a look.
const lateFor = 24 * time.Hour

// Contradicts tells whether the addition may be what the purchase made although
// a person called it not charged: new, for as many credits at the same price,
// and at a time when the request may have run. A bill tells its price alone.
func (p Purchase) Contradicts(row Topup) bool {
	if p.State != Declined || p.ResolvedBy == "" || p.SentAt == nil || p.LastSentAt == nil {
		return false
	}
	if bill := row.Credits == 0; bill && row.Price != p.Price || !bill && !sameRow(p, row) {
		return false
	}
	known := slices.Contains(p.Baseline, row.ID) || row.Invoice != "" && slices.Contains(p.Baseline, row.Invoice)
	return !known && !row.At.Before(p.SentAt.Add(-MatchBefore)) && !row.At.After(p.LastSentAt.Add(lateFor))
}

// sameRow compares what a paid row and a purchase have in common. The price id
// tells more than the amount, which a provider may write with its own tax.
func sameRow(p Purchase, row Topup) bool {
	if row.Credits != p.Credits {
		return false
	}
	if p.PriceID != "" || row.PriceID != "" {
		return row.PriceID == p.PriceID
	}
	return row.Price.IsZero() || row.Price == p.Price
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// claimable is the match to claim: the earliest that is not void, else the
// earliest.
func claimable(matches []Match) Match {
	for _, m := range matches {
		if !m.Void() {
			return m
		}
	}
	return matches[0]
}
