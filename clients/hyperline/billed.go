package hyperline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// bills is one reading of the bills of the whole account, page by page.
type bills struct {
	*Client
	billed
	cursor  string
	cursors map[string]bool // that led on
}

// BilledSince begins to read the bills of the whole account, newest first, back to
// since. A bill that was voided bought nothing and is left out.
func (c *Client) BilledSince(since time.Time) topup.Bills {
	return &bills{Client: c, billed: billed{since: since, provider: c.id}, cursors: map[string]bool{}}
}

// Next reads one page. Purchases wait for it, so it goes before polling. A bill
// that has moved to the next page meanwhile is listed twice.
func (b *bills) Next(ctx context.Context) (part topup.Billed, done bool, err error) {
	r := b.urgent()
	page, err := r.listed(ctx, "invoices", invoicesPath, newestInvoices(), b.cursor)
	if err == nil {
		err = r.current("invoices")
	}
	if err == nil && page.next != "" && (b.cursors[page.next] || len(page.rows) == 0) {
		err = malformed("invoices", "%v", errCursor)
	}
	if err != nil {
		return topup.Billed{}, false, fmt.Errorf("%s: reading what was bought in the account: %w", b.name, err)
	}
	b.found, b.seen = topup.Billed{Topups: map[topup.Target][]topup.Topup{}}, map[string]bool{}
	for _, row := range page.rows {
		b.take(row)
	}
	b.found.Bills, b.found.Back = len(page.rows), b.last
	b.cursor, b.cursors[page.next] = page.next, true
	return b.found, page.next == "" || b.reached(), nil
}

// billed collects bills in the order of the list.
type billed struct {
	since    time.Time
	provider topup.ProviderID
	found    topup.Billed    // on the newest page
	seen     map[string]bool // on that page

	last         time.Time
	falls, rises int // between neighbours: which way the list runs
	old          int // bills in a row from before since
}

// reached tells whether everything that follows is from before since. It asks for
// more than falling does, since money is bought on it (P18): the list goes by
// creation, and a purchase is billed in the moment in which it is made.
// Other bills may be dated back or issued late, so one old bill proves nothing,
// and as many in a row as a page holds do. The order is asked for, but a parameter that is
// not known is ignored without a word, so the list must show it too.
func (b *billed) reached() bool { return b.old >= pageSize && b.falls > b.rises }

// take reads one bill. What cannot be read is told unless it is certainly older,
// or for something else.
func (b *billed) take(row clients.Object) {
	i, ok, err := readInvoice(row)
	if err != nil || !ok { // a time that is not the one of issue would hide it
		i.ID, i.At = row.ID("id"), row.Time("issued_at")
	}
	if ok || err != nil || !i.At.IsZero() { // a credit note without a time of its own says nothing about the order
		b.order(i.At)
	}
	products, readable := creditLines(row)
	switch {
	case err == nil && !ok, !i.At.IsZero() && i.At.Before(b.since), readable && len(products) == 0, b.seen[i.ID]:
	case err != nil || !readable:
		b.found.Unreadable = append(b.found.Unreadable, short(i.ID))
	case i.Payment != topup.PaymentVoid:
		for _, p := range products {
			t := topup.Target{Provider: b.provider, Customer: i.Customer, Product: p}
			b.found.Topups[t] = append(b.found.Topups[t], topup.Topup{
				ID: i.ID, Invoice: i.ID, Price: i.Amount, Source: "invoice " + i.Status, At: i.At,
			})
		}
	}
	if i.ID != "" {
		b.seen[i.ID] = true
	}
}

func (b *billed) order(at time.Time) {
	if b.old++; at.IsZero() || !at.Before(b.since) {
		b.old = 0
	}
	switch {
	case at.IsZero():
		return
	case b.last.IsZero():
	case at.Before(b.last):
		b.falls++
	case at.After(b.last):
		b.rises++
	}
	b.last = at
}

// creditLines lists the products of the bill's lines that are for credits, or do
// not say for what; readable is false when there are no lines to be read. A line
// without a product, such as a discount, buys nothing.
func creditLines(row clients.Object) (products []topup.ProductID, readable bool) {
	err := eachLine(row, func(product topup.ProductID, credit bool) {
		if credit && product != "" && !slices.Contains(products, product) {
			products = append(products, product)
		}
	})
	if err != nil {
		return nil, false
	}
	return products, true
}
