package hyperline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const (
	// booksMargin is read beyond the moment asked for: an invoice is listed by
	// when it was created, but shows only when it was issued.
	booksMargin = time.Hour
	// maxBooksPages bounds the bills of one customer in a look for evidence.
	maxBooksPages = 10
)

// Books reads the ledger rows and the invoices of the target since then. What
// cannot be read leaves them incomplete; an error means that nothing was read.
func (c *Client) Books(ctx context.Context, t topup.Target, since time.Time) (topup.Books, error) {
	r := c.urgent()
	since = since.Add(-booksMargin)
	b := topup.Books{Complete: true}
	rowsErr := r.bookRows(ctx, t, since, &b)
	invoicesErr := r.bookInvoices(ctx, t.Customer, since, &b)
	err := errors.Join(rowsErr, invoicesErr, r.current("books"))
	if rowsErr != nil && invoicesErr != nil {
		return topup.Books{}, fmt.Errorf("%s: reading the books of %s %s: %w", c.name, t.Customer, t.Product, err)
	}
	if err != nil {
		b.Complete = false
		c.log.Warn("the books could be read in part only", slog.String("provider", c.name),
			slog.String("customer", string(t.Customer)), slog.Any("err", err))
	}
	return b, nil
}

func (r *reader) bookRows(ctx context.Context, t topup.Target, since time.Time, b *topup.Books) error {
	currency, err := r.currencyOf(ctx, t.Customer)
	if err != nil {
		return err
	}
	rows, err := r.additions(ctx, t, currency, since)
	b.Topups = rows.list // what was found before an error is evidence all the same
	b.Complete = b.Complete && rows.complete
	b.ServerTime = rows.last.ServerTime
	return err
}

func (r *reader) bookInvoices(ctx context.Context, id topup.CustomerID, since time.Time, b *topup.Books) error {
	list, last, whole, err := r.invoicesOf(ctx, id, maxBooksPages, since)
	b.Invoices = slices.DeleteFunc(list, func(i topup.Invoice) bool {
		matters := !i.At.Before(since) || i.At.IsZero() && i.Credit
		if matters && i.Credit && i.Unreadable != "" { // it may be the one that is looked for
			err = errors.Join(err, malformed("invoices", "%s", i.Unreadable))
		}
		return !matters || i.Unreadable != ""
	})
	b.Complete = b.Complete && whole
	if !last.ServerTime.IsZero() {
		b.ServerTime = last.ServerTime
	}
	return err
}

// currencyOf is the customer's currency, in which its ledger rows are meant. It
// hardly ever changes, so any age will do.
func (r *reader) currencyOf(ctx context.Context, id topup.CustomerID) (topup.Currency, error) {
	if known, ok := r.remembered(id); ok && known.currency != "" {
		return known.currency, nil
	}
	who, err := r.oneCustomer(ctx, id)
	return who.currency, err
}

const (
	// followMargin is how far before the oldest request its invoice may have been
	// issued, by clocks that disagree.
	followMargin = 10 * time.Minute
	// invoicesAge is how long a page sequence of all invoices is shared.
	invoicesAge = 5 * time.Second
	// sharedWithin bounds how long everybody waits for it.
	sharedWithin = 10 * time.Second
	// maxSharedPages bounds it; what is older is read by its id.
	maxSharedPages = 5
	// fewInvoices is up to how many invoices are read by their ids rather than
	// from the sequence.
	fewInvoices = 2
)

// invoicePages is the newest part of all invoices of the account.
type invoicePages struct {
	byID       map[string]topup.Invoice
	serverTime time.Time
}

// Follow reads how purchases with a reference stand, all at the same time: their
// invoices, and the ledger rows of those whose row is not known yet. Each is told
// as soon as it is known; what could not be read of one is no other's trouble.
func (c *Client) Follow(ctx context.Context, purchases []topup.Purchase, tell func(topup.Purchase, topup.Books, error)) {
	shared, err := c.urgent().sharedInvoices(ctx, purchases)
	if err != nil { // they are read one by one then
		c.log.Warn("the newest invoices could not be read together", slog.String("provider", c.name), slog.Any("err", err))
	}
	var all sync.WaitGroup
	for _, p := range purchases {
		all.Go(func() {
			b, err := c.urgent().follow(ctx, p, shared)
			if err != nil {
				err = fmt.Errorf("%s: following %s: %w", c.name, p, err)
			}
			tell(p, b, err)
		})
	}
	all.Wait()
}

// sharedInvoices reads the newest invoices of the account once for all, if there
// are enough purchases to make that cheaper.
func (r *reader) sharedInvoices(ctx context.Context, purchases []topup.Purchase) (invoicePages, error) {
	if len(purchases) <= fewInvoices {
		return invoicePages{}, nil
	}
	oldest := r.api.Now()
	missing := map[string]bool{}
	for _, p := range purchases {
		missing[p.Reference] = true
		if p.SentAt != nil && p.SentAt.Before(oldest) {
			oldest = *p.SentAt
		}
	}
	oldest = oldest.Add(-followMargin)
	ctx, cancel := context.WithTimeout(ctx, sharedWithin)
	defer cancel()
	return r.invoices.within(ctx, "", invoicesAge, r.api.Now, func() (invoicePages, error) {
		shared := invoicePages{byID: map[string]topup.Invoice{}}
		_, err := r.cursors(ctx, "invoices", invoicesPath, newestInvoices(), maxSharedPages, func(page cursorPage) bool {
			shared.serverTime = page.ServerTime
			old := false
			for _, row := range page.rows {
				if i, ok, err := readInvoice(row); err == nil && ok { // a bill of somebody else may be unreadable
					shared.byID[i.ID] = i
					delete(missing, i.ID)
					old = old || i.At.Before(oldest)
				}
			}
			return !old && len(missing) > 0
		})
		return shared, err
	})
}

func (r *reader) follow(ctx context.Context, p topup.Purchase, shared invoicePages) (topup.Books, error) {
	b := topup.Books{Complete: true, ServerTime: shared.serverTime}
	if p.Reference == "" {
		return b, nil
	}
	i, known := shared.byID[p.Reference]
	if !known {
		var err error
		if i, b.ServerTime, err = r.oneInvoice(ctx, p.Reference); err != nil {
			return topup.Books{}, err
		}
	}
	if i.Customer != p.Target.Customer {
		return topup.Books{}, malformed("invoice", "invoice %s is %s's, not %s's", p.Reference, i.Customer, p.Target.Customer)
	}
	b.Invoices = []topup.Invoice{i}
	if p.RowAt != nil {
		return b, nil
	}
	var err error
	b.Topups, b.Complete, err = r.rowsOf(ctx, p)
	return b, err
}

func (r *reader) oneInvoice(ctx context.Context, id string) (topup.Invoice, time.Time, error) {
	const op = "invoice"
	resp, err := r.get(ctx, op, path(invoicesPath+"/", id), nil)
	if err != nil {
		return topup.Invoice{}, time.Time{}, err
	}
	row, err := clients.ParseObject(resp.Body)
	if err != nil {
		return topup.Invoice{}, time.Time{}, malformed(op, "the answer is %v", err)
	}
	i, ok, err := readInvoice(row)
	if err != nil || !ok || i.ID != id {
		return topup.Invoice{}, time.Time{}, malformed(op, "invoice %s was asked for, %q came (%v)", id, row.ID("id"), err)
	}
	return i, resp.ServerTime, nil
}

// rowsOf reads the ledger rows of one purchase's invoice: by the filter, and from
// the ledger since the purchase where the filter is refused or ignored.
func (r *reader) rowsOf(ctx context.Context, p topup.Purchase) (list []topup.Topup, complete bool, err error) {
	t := p.Target
	at := path("/v1/customers/", string(t.Customer), "/credits/", string(t.Product), "/transactions")
	page, err := r.offset(ctx, "transactions", at, url.Values{"type": {"topup"}, "invoice_id": {p.Reference}}, 0)
	if err != nil && !clients.Refused(err, http.StatusBadRequest) {
		return nil, false, err
	}
	honoured := err == nil
	for _, row := range page.rows {
		if row.ID("invoice_id") != p.Reference {
			honoured = false
			continue
		}
		found, ok, err := readRow(row, p.Price.Currency)
		if err != nil || row.Text("customer_id") != string(t.Customer) {
			return nil, false, malformed("transactions", "the row of invoice %s is not usable (%v)", p.Reference, err)
		}
		if ok {
			list = append(list, found)
		}
	}
	if honoured || len(list) > 0 {
		return list, true, nil
	}
	all, err := r.additions(ctx, t, p.Price.Currency, p.PlannedAt.Add(-booksMargin))
	others := func(row topup.Topup) bool { return row.Invoice != p.Reference }
	return slices.DeleteFunc(all.list, others), all.complete, err
}
