package verify

import (
	"fmt"
	"slices"
	"time"

	"topupd/topup"
)

// invoice asks what explains one bill of the provider.
func (c *comparison) invoice(i *topup.Invoice) {
	switch {
	case !i.Credit || i.At.Before(c.Since) || i.Payment == topup.PaymentVoid || i.Status == "draft":
		return
	case len(c.byRef[i.ID]) > 0 || c.Claimed[i.ID]:
		c.report.Invoices++
		return
	case c.answered[i.ID] == nil && !c.watched(i.Products):
		c.report.Unwatched++
		return
	case !i.At.Before(c.cutoff):
		c.report.Waiting++
		return
	}
	imported := c.known(i)
	p := c.suspect(i)
	switch {
	case !i.RefundedAt.IsZero():
		c.report.Reversals++
	case p != nil && (p.State.Open() || c.young(p)):
		c.report.Waiting++
	case p != nil: // imported or not: topupd imports what it cannot explain, a second charge too
		c.report.Invoices++
		c.blame(p, i)
	case imported:
		c.report.Imported++
	case others(c.source(i)):
		c.report.Native++
	default:
		c.report.Invoices++
		c.add(c.unknown(i))
	}
}

// watched tells whether a bill is for a product that a rule buys, or for one
// that it does not name.
func (c *comparison) watched(products []topup.ProductID) bool {
	return len(products) == 0 || len(c.Products) == 0 ||
		slices.ContainsFunc(products, func(p topup.ProductID) bool { return c.Products[p] })
}

// known tells whether the bill, or a row that it booked, was imported.
func (c *comparison) known(i *topup.Invoice) bool {
	return c.imported[i.ID] || slices.ContainsFunc(c.rows[i.ID], func(r *Row) bool { return c.imported[r.ID] })
}

// sourceAPI is Hyperline's word for a purchase through its API. The field is
// deprecated (docs/providers/hyperline.md), so it is a hint: it can free
// somebody else's purchase from suspicion, never one that it does not name.
const sourceAPI = "api"

// others tells whether the provider's word says that somebody else bought: the
// customer or you in its portal, or its own top-up.
func others(source string) bool { return source != "" && source != sourceAPI }

// source is the provider's word for who made the bill; "" when it does not say.
func (c *comparison) source(i *topup.Invoice) string {
	for _, r := range c.rows[i.ID] {
		return r.Source
	}
	return ""
}

// suspect is the purchase of ours that an unexplained bill may be a second
// charge of, or the charge of after all: one whose answer named it, or one of
// the same customer, product and price around the same time. A purchase that
// credited without a reference takes the bill as its own.
func (c *comparison) suspect(i *topup.Invoice) *topup.Purchase {
	if p := c.answered[i.ID]; p != nil {
		return p
	}
	if c.tried[i.ID] {
		return nil
	}
	if others(c.source(i)) {
		return nil
	}
	var best *topup.Purchase
	for _, product := range i.Products {
		for _, p := range c.byTarget[topup.Target{Provider: c.Provider, Customer: i.Customer, Product: product}] {
			if fits(p, i) && (best == nil || rank(p) < rank(best)) {
				best = p
			}
		}
	}
	return best
}

// fits tells whether a purchase could have made the bill.
func fits(p *topup.Purchase, i *topup.Invoice) bool {
	if p.SentAt == nil || p.LastSentAt == nil || slices.Contains(p.Baseline, i.ID) {
		return false
	}
	from, to := p.SentAt.Add(-topup.MatchBefore), p.LastSentAt.Add(topup.MatchAfter)
	return !i.At.Before(from) && !i.At.After(to) && (i.Amount == p.Price || i.Amount == price(p))
}

// rank orders the suspects: who still waits for evidence, who has no charge yet,
// who has one.
func rank(p *topup.Purchase) int {
	switch {
	case p.State.Open():
		return 0
	case p.State == topup.Credited && p.Reference == "":
		return 1
	case p.State != topup.Credited:
		return 2
	default:
		return 3
	}
}

// blame turns an unexplained bill into a finding about the purchase that it
// belongs to.
func (c *comparison) blame(p *topup.Purchase, i *topup.Invoice) {
	named := c.invoices[p.Reference] // nil: none, or not read
	if p.State == topup.Credited && !c.explained[p.ID] && (p.Reference == "" || named != nil && undone(named)) {
		// A person knew that it was charged, not under which id; or the bill that
		// it had was taken back, and this is the one charge that is left.
		c.explained[p.ID] = true
		return
	}
	f := of(ChargedAfterNo, p)
	if p.State == topup.Credited {
		f.Kind = DoubleCharge
	}
	f.Invoice, f.At = i.ID, i.At
	f.bill(i)
	f.Theirs = invoiceWords(i)
	if p.Reference != "" {
		f.Theirs += ", beside " + p.Reference
	}
	switch {
	case i.Payment != topup.PaymentPaid:
		f.Theirs += ": not collected yet, it can still be voided"
	case named != nil && named.Payment != topup.PaymentPaid:
		f.Theirs += fmt.Sprintf(": paid, and %s is %s: void that one and keep this", p.Reference, named.Status)
	default:
		f.Theirs += fmt.Sprintf(": %s with tax may be to refund", i.Paid)
	}
	for _, r := range c.rows[i.ID] {
		f.Row = r.ID
	}
	c.add(f)
}

func (c *comparison) unknown(i *topup.Invoice) Finding {
	f := Finding{Kind: UnknownInvoice, Customer: i.Customer, Invoice: i.ID, Theirs: invoiceWords(i), At: i.At}
	f.bill(i)
	if len(i.Products) > 0 {
		f.Product = i.Products[0]
	}
	if source := c.source(i); source != "" {
		f.Theirs += ", made by " + source
	}
	for _, r := range c.rows[i.ID] {
		f.Row = r.ID
	}
	return f
}

// row asks what explains one addition of credits.
func (c *comparison) row(r *Row) {
	i := c.invoices[r.Invoice]
	switch {
	case r.At.Before(c.Since):
		return
	case c.ours(r):
		c.report.Rows++
		return
	case i != nil && i.Credit && !i.At.Before(c.Since):
		return // told of the bill
	case !r.At.Before(c.cutoff):
		c.report.Waiting++
		return
	case c.imported[r.ID] || r.Invoice != "" && c.imported[r.Invoice]:
		c.report.Imported++
		return
	case !c.Books, others(r.Source) && r.Invoice != "" && !c.Gone[r.Invoice]:
		c.report.Native++ // without books the list is of the provider's own recharges
		return
	}
	c.report.Rows++
	f := Finding{
		Kind: UnknownRow, Customer: r.Target.Customer, Product: r.Target.Product, Invoice: r.Invoice, Row: r.ID,
		Theirs: fmt.Sprintf("%s credits booked %s", r.Credits, r.At.UTC().Format(time.RFC3339)), At: r.At,
	}
	f.row(r)
	if r.Source != "" {
		f.Theirs += " by " + r.Source
	}
	switch {
	case r.Invoice == "":
		f.Kind = RowWithoutInvoice
	case c.Gone[r.Invoice]:
		f.Kind = RowWithoutInvoice
		f.Theirs += ", naming an invoice that does not exist"
	}
	c.add(f)
}

// ours tells whether a purchase explains the row, by either of its ids.
func (c *comparison) ours(r *Row) bool {
	return len(c.byRef[r.ID]) > 0 || c.Claimed[r.ID] || r.Invoice != "" && (len(c.byRef[r.Invoice]) > 0 || c.Claimed[r.Invoice])
}
