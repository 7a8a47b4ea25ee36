package hyperline

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const (
	// maxBillPages bounds the bills of one comparison: half a million.
	maxBillPages = 5000
	// maxUnreadable bounds the bills that are named as unreadable.
	maxUnreadable = 20
)

// Bills reads every bill of the account issued since then, page by page, after
// everything else that needs the rate budget. What is missing is told in unread;
// an error means that nothing was read. seen hears how many were read so far.
func (c *Client) Bills(ctx context.Context, since time.Time, seen func(int)) (list []topup.Invoice, unread []string, err error) {
	r := &billing{reader: c.patient(), since: since, seen: seen, ids: map[string]bool{}}
	query := newestInvoices()
	// The filter is documented (Hyperline API reference, "List invoices", read
	// 2026-11-20). Should it be ignored, the order of the list ends the reading.
	query.Set("issued_at__gte", since.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	ended, err := r.cursors(ctx, "invoices", invoicesPath, query, maxBillPages, r.page)
	switch {
	case err != nil && len(r.list) == 0:
		return nil, nil, fmt.Errorf("%s: %w", c.name, err)
	case err != nil:
		r.unread = append(r.unread, fmt.Sprintf("the bills before %s: %v", r.order.oldest.UTC().Format(time.RFC3339), err))
	case !ended && !r.order.reached(since):
		r.unread = append(r.unread, fmt.Sprintf("the bills after the first %d", len(r.ids)))
	}
	if r.bad > maxUnreadable {
		r.unread = append(r.unread, fmt.Sprintf("%d more bills", r.bad-maxUnreadable))
	}
	return r.list, r.unread, nil
}

// billing is one pass over all bills.
type billing struct {
	*reader
	since time.Time
	seen  func(int)

	list   []topup.Invoice // issued since
	ids    map[string]bool
	order  falling
	unread []string
	bad    int
}

// page takes one page over, and tells whether more are needed.
func (b *billing) page(page cursorPage) bool {
	for _, row := range page.rows {
		i, ok, err := readInvoice(row)
		switch {
		case err != nil && i.Credit: // unless every line says that it is for something else than credits
			b.cannot(err)
		case ok && !b.ids[i.ID]:
			b.take(i)
		}
	}
	b.seen(len(b.ids))
	return !b.order.reached(b.since)
}

func (b *billing) take(i topup.Invoice) {
	b.ids[i.ID] = true
	b.order.add(i.At)
	if !i.At.Before(b.since) {
		b.list = append(b.list, i)
	}
}

// cannot remembers a bill that cannot be read.
func (b *billing) cannot(err error) {
	b.bad++
	if b.bad <= maxUnreadable {
		b.unread = append(b.unread, fmt.Sprintf("a bill: %v", err))
	}
}

// Bill reads one bill; ok is false when the provider says that it has none.
func (c *Client) Bill(ctx context.Context, id string) (i topup.Invoice, ok bool, err error) {
	if !clients.ValidID(id) { // a person may have named anything
		return topup.Invoice{}, false, nil
	}
	i, _, err = c.patient().oneInvoice(ctx, id)
	if clients.Refused(err, http.StatusNotFound) {
		return topup.Invoice{}, false, nil
	}
	return i, err == nil, err
}

// Additions reads the ledger rows of a target since then. A row has no currency
// of its own; currency is the customer's. topup.ErrNotFound: the credit was
// detached or the customer deleted, and nobody can know which rows there were.
func (c *Client) Additions(ctx context.Context, t topup.Target, currency topup.Currency, since time.Time) (list []topup.Topup, whole bool, err error) {
	rows, err := c.patient().additions(ctx, t, currency, since)
	if clients.Refused(err, http.StatusNotFound) {
		return nil, false, fmt.Errorf("%w: %w", topup.ErrNotFound, err)
	}
	return rows.list, rows.complete, err
}
