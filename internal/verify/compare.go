package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"topupd/topup"
)

// Compare finds every difference between the facts.
func Compare(f Facts) Report {
	c := &comparison{Facts: f, cutoff: f.Now.Add(-f.Quiet), found: map[string]bool{}}
	c.report.Since, c.report.At = f.Since, f.Now
	c.index()
	for i := range c.Purchases {
		c.purchase(&c.Purchases[i])
	}
	c.answers()
	for i := range c.Invoices {
		c.invoice(&c.Invoices[i])
	}
	for i := range c.Rows {
		c.row(&c.Rows[i])
	}
	order := Kinds()
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), a.At.Compare(b.At), cmp.Compare(a.Key(), b.Key()))
	})
	return c.report
}

// comparison is one Compare under way.
type comparison struct {
	Facts
	cutoff time.Time // what the provider dated later is not judged
	report Report

	byID      map[string]*topup.Purchase
	byRef     map[string][]*topup.Purchase
	byTarget  map[topup.Target][]*topup.Purchase
	imported  map[string]bool
	tried     map[string]bool // bills of topupd doctor
	invoices  map[string]*topup.Invoice
	rows      map[string][]*Row // by invoice
	answered  map[string]*topup.Purchase
	explained map[string]bool // bills that an unnamed purchase explains
	found     map[string]bool // keys
}

func (c *comparison) index() {
	c.byID, c.byRef = map[string]*topup.Purchase{}, map[string][]*topup.Purchase{}
	c.byTarget, c.explained = map[topup.Target][]*topup.Purchase{}, map[string]bool{}
	c.Products = bought(c.Products, c.Purchases)
	// In an order of their own: which of two bills is the second must not depend on
	// the order in which they were read.
	c.Invoices = slices.SortedFunc(slices.Values(c.Invoices), func(a, b topup.Invoice) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	c.Rows = slices.SortedFunc(slices.Values(c.Rows), func(a, b Row) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for i := range c.Purchases {
		p := &c.Purchases[i]
		c.byID[p.ID] = p
		c.byTarget[p.Target] = append(c.byTarget[p.Target], p)
		if p.Reference != "" {
			c.byRef[p.Reference] = append(c.byRef[p.Reference], p)
		}
	}
	c.imported, c.tried = map[string]bool{}, map[string]bool{}
	for _, t := range c.Imports {
		c.tried[t.Invoice] = c.tried[t.Invoice] || t.Source == topup.SourceDoctor
		c.imported[t.ID] = true
		if t.Invoice != "" {
			c.imported[t.Invoice] = true
		}
	}
	c.invoices, c.rows = map[string]*topup.Invoice{}, map[string][]*Row{}
	for i := range c.Invoices {
		c.invoices[c.Invoices[i].ID] = &c.Invoices[i]
	}
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Invoice != "" {
			c.rows[r.Invoice] = append(c.rows[r.Invoice], r)
		}
	}
	c.answered = map[string]*topup.Purchase{}
	for _, a := range c.Answers {
		if p := c.byID[a.Purchase]; p != nil {
			c.answered[a.Reference] = p
		}
	}
}

// bought are the products that rules buy, and those that were bought by rules
// that are gone; empty stays empty: all are judged then.
func bought(products map[topup.ProductID]bool, purchases []topup.Purchase) map[topup.ProductID]bool {
	if len(products) == 0 {
		return products
	}
	all := maps.Clone(products)
	for i := range purchases {
		all[purchases[i].Target.Product] = true
	}
	return all
}

// undone tells whether the money of a bill was given back, or never will be taken.
func undone(i *topup.Invoice) bool { return !i.RefundedAt.IsZero() || i.Payment == topup.PaymentVoid }

// add stores a finding once.
func (c *comparison) add(f Finding) {
	f.identify(c.Provider)
	if key := f.Key(); !c.found[key] {
		c.found[key] = true
		c.report.Findings = append(c.report.Findings, f)
	}
}

// of begins a finding about a purchase.
func of(kind Kind, p *topup.Purchase) Finding {
	return Finding{
		Kind: kind, Customer: p.Target.Customer, Product: p.Target.Product, Purchase: p.ID, Invoice: p.Reference,
		Ours: ourWords(p), At: p.PlannedAt, figures: p.Credits.String() + " " + price(p).String(),
	}
}

// bill adds a bill of theirs to what the finding stands or falls with.
func (f *Finding) bill(i *topup.Invoice) {
	f.figures += fmt.Sprintf("; %s of %s, collected %t", i.Amount, i.Customer, i.Payment == topup.PaymentPaid)
}

// row adds a row of theirs to what the finding stands or falls with.
func (f *Finding) row(r *Row) {
	f.figures += fmt.Sprintf("; %s: %s expire %s", r.ID, r.Credits, r.ExpiresOn)
}

func ourWords(p *topup.Purchase) string {
	return fmt.Sprintf("%s credits for %s, %s, payment %s", p.Credits, price(p), p.State, p.Payment)
}

// price is what our ledger says was charged.
func price(p *topup.Purchase) topup.Money {
	if p.Charged != nil {
		return *p.Charged
	}
	return p.Price
}

func invoiceWords(i *topup.Invoice) string {
	if !i.RefundedAt.IsZero() {
		return fmt.Sprintf("%s, %s, refunded %s", i.Amount, i.Status, i.RefundedAt.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s, %s", i.Amount, i.Status)
}

// young tells whether the quiet period of a purchase that has ended may still
// bring something.
func (c *comparison) young(p *topup.Purchase) bool {
	end := p.PlannedAt.Add(p.QuietPeriod)
	if p.LastSentAt != nil {
		end = p.QuietUntil()
	}
	if p.FinishedAt != nil && p.FinishedAt.After(c.Now) { // it ended while the books were being read
		return true
	}
	return end.After(c.Now)
}

// judged tells whether a purchase can be compared, and counts it.
func (c *comparison) judged(p *topup.Purchase) bool {
	switch {
	case p.PlannedAt.Before(c.Since):
		return false
	case p.State.Open():
		c.report.Open++
	case c.young(p):
		c.report.Young++
	default:
		c.report.Purchases++
		return true
	}
	return false
}

// purchase holds one of ours against the books.
func (c *comparison) purchase(p *topup.Purchase) {
	if !c.judged(p) {
		return
	}
	if p.Reference == "" {
		if p.State == topup.Credited {
			c.report.Unnamed++
		}
		return
	}
	for _, other := range c.byRef[p.Reference] {
		if other.ID < p.ID { // told once, of the later one
			f := of(ClaimedTwice, p)
			f.Other, f.Theirs = other.ID, p.Reference+" explains both"
			c.add(f)
		}
	}
	if !c.Books {
		return
	}
	if p.State == topup.Credited {
		c.credited(p)
		return
	}
	if i := c.invoices[p.Reference]; i != nil && i.Payment == topup.PaymentPaid && i.RefundedAt.IsZero() {
		f := of(ChargedAfterNo, p)
		f.bill(i)
		f.Theirs = invoiceWords(i)
		c.add(f)
	}
}

// credited compares a purchase that is over with its bill and its ledger row.
func (c *comparison) credited(p *topup.Purchase) {
	i := c.invoices[p.Reference]
	if i == nil {
		if c.Gone[p.Reference] {
			f := of(MissingInvoice, p)
			f.Theirs = "no invoice " + p.Reference
			c.add(f)
		}
		return // not read: the report says so
	}
	whole := len(i.Products) <= 1 && !i.Uncounted // else other things are on the bill
	if i.Customer != p.Target.Customer || whole && i.Amount != price(p) {
		f := of(AmountDiffers, p)
		f.bill(i)
		f.Theirs = invoiceWords(i)
		if i.Customer != p.Target.Customer {
			f.Theirs += ", of " + string(i.Customer)
		}
		c.add(f)
	}
	c.payment(p, i)
	c.booked(p, i)
}

// payment compares what became of the money. What is still followed is not
// judged: our own row may be hours behind, and catches up by itself.
func (c *comparison) payment(p *topup.Purchase, i *topup.Invoice) {
	f := of(PaymentDiffers, p)
	f.bill(i)
	f.Theirs = invoiceWords(i)
	switch {
	case !p.Payment.Ended():
	case p.Payment == topup.PaymentPaid && undone(i):
		f.Kind = Reversed
		c.add(f)
	case p.Payment == topup.PaymentNone: // a person said so, and named the bill
		if i.Payment != topup.PaymentPaid {
			c.add(f)
		}
	case p.Payment != i.Payment:
		c.add(f)
	}
}

// booked compares the ledger rows of a bill.
func (c *comparison) booked(p *topup.Purchase, i *topup.Invoice) {
	if !c.Read[p.Target] {
		return
	}
	rows := c.rows[p.Reference]
	f := of(MissingRow, p)
	switch {
	case len(rows) == 0 && i.Payment == topup.PaymentPaid && i.RefundedAt.IsZero():
		f.bill(i)
		f.Theirs = invoiceWords(i) + ", no ledger row"
		c.add(f)
	case len(rows) == 0: // nothing was paid: nothing is owed
	case len(rows) > 1:
		for _, r := range rows {
			f.row(r)
		}
		f.Kind, f.Row, f.Theirs = CreditedTwice, rows[1].ID, fmt.Sprintf("%d ledger rows of %s", len(rows), p.Reference)
		c.add(f)
	default:
		c.terms(p, rows[0])
	}
}

// terms compares the one ledger row of a purchase with what was ordered.
func (c *comparison) terms(p *topup.Purchase, r *Row) {
	if r.Credits != p.Credits {
		f := of(CreditsDiffer, p)
		f.row(r)
		f.Row, f.Theirs = r.ID, r.Credits.String()+" credits"
		c.add(f)
	}
	if expiryDiffers(p.ExpiresAt, r.ExpiresOn) {
		f := of(ExpiryDiffers, p)
		f.row(r)
		f.Row, f.Theirs = r.ID, "expire "+r.ExpiresOn
		f.Ours = "expire " + topup.Never
		if p.ExpiresAt != nil {
			f.Ours = "expire " + p.ExpiresAt.UTC().Format(time.RFC3339)
		}
		f.figures += "; " + f.Ours
		c.add(f)
	}
}

// expiryDiffers compares a moment with the provider's date. In which time zone
// the date is meant is not documented, so a day of difference is none.
func expiryDiffers(ours *time.Time, theirs string) bool {
	switch {
	case theirs == "": // the provider does not say
		return false
	case ours == nil || theirs == topup.Never:
		return (ours == nil) != (theirs == topup.Never)
	}
	day, err := time.Parse(time.DateOnly, theirs)
	if err != nil {
		return true
	}
	apart := day.Sub(ours.UTC().Truncate(24 * time.Hour))
	return apart.Abs() > 24*time.Hour
}

// answers look for a charge that an answer named and its purchase does not have.
func (c *comparison) answers() {
	for _, a := range c.Answers {
		p := c.byID[a.Purchase]
		if p == nil || p.Reference == a.Reference || p.PlannedAt.Before(c.Since) || p.State.Open() || c.young(p) {
			continue
		}
		others := c.byRef[a.Reference]
		f := of(ClaimedTwice, p)
		f.Invoice, f.Theirs = a.Reference, "answered with "+a.Reference
		switch {
		case len(others) > 0:
			f.Other = others[0].ID
			f.Theirs += ", which explains another purchase"
			c.add(f)
		case c.Claimed[a.Reference]:
			f.Theirs += ", which explains an older purchase"
			c.add(f)
		case c.Books: // the bill itself is looked at
		case p.State == topup.Credited && p.Reference != "":
			f.Kind = DoubleCharge
			c.add(f)
		case p.State != topup.Credited:
			f.Kind = ChargedAfterNo
			c.add(f)
		}
	}
}
