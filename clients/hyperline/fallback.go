package hyperline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"

	"topupd/clients"
	"topupd/topup"
)

// idAlphabet is what the characters of a customer id behind its cus_ are made
// of. Ids with others are missed by byPrefix, which then is not complete.
const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

// maxPrefix bounds the parts: at three characters there are more parts than any
// account has customers.
const maxPrefix = len("cus_") + 3

// byPrefix reads a list that is too long to be skipped through in parts, by the
// beginning of the customer id. The filter is checked on every row; where it is
// ignored, customers are read one by one.
func (p *pass) byPrefix(ctx context.Context) (complete bool, err error) {
	if p.blocked(&p.noPrefixes) {
		return p.customerByCustomer(ctx)
	}
	page, err := p.offset(ctx, "credits", bulkPath, nil, 0) // for the total of all parts
	if err != nil {
		return false, err
	}
	found := map[key]bool{}
	complete, err = p.parts(ctx, "cus_", found)
	if errors.Is(err, errFilterIgnored) {
		p.log.Warn("the filter on customer_id is ignored; reading customer by customer", slog.String("provider", p.name))
		p.block(&p.noPrefixes)
		return p.customerByCustomer(ctx)
	}
	return complete && err == nil && len(found) == page.total, err
}

var errFilterIgnored = errors.New("the filter is ignored")

// parts reads the parts below a prefix and notes in found whose balances it saw.
func (p *pass) parts(ctx context.Context, prefix string, found map[key]bool) (complete bool, err error) {
	complete = true
	for _, next := range idAlphabet {
		part := prefix + string(next)
		s, err := p.scan(ctx, part, p.hand)
		switch {
		case s != nil && s.unrelated > 0:
			return false, errFilterIgnored
		case errors.Is(err, errCutShort) && len(part) < maxPrefix:
			below, err := p.parts(ctx, part, found)
			if err != nil {
				return false, err
			}
			complete = complete && below
			continue
		case err != nil:
			return false, fmt.Errorf("reading balances of customers %s…: %w", part, err)
		}
		for k := range s.rows {
			found[k] = true
		}
		complete = complete && s.consistent()
	}
	return complete, nil
}

// customerWorkers is how many customers are read at once. The rate budget is the
// real bound; this only hides the latency.
const customerWorkers = 4

// customerByCustomer reads the balances of every customer by its own list: one
// read each, so slow, but it needs no more than the right to read credits.
func (p *pass) customerByCustomer(ctx context.Context) (complete bool, err error) {
	book, err := p.book(ctx)
	if err != nil {
		return false, fmt.Errorf("listing customers: %w", err)
	}
	var mu sync.Mutex // held while a page is handed over, too
	var ready []credit
	complete = book.complete
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(customerWorkers)
	for id := range book.customers {
		group.Go(func() error {
			one := &reader{Client: p.Client, class: p.class}
			s, credits, err := one.ownCredits(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			p.reads += one.reads
			switch {
			case clients.Refused(err, http.StatusNotFound):
				return nil // deleted meanwhile
			case err != nil:
				return fmt.Errorf("customer %s: %w", id, err)
			}
			complete = complete && s.consistent()
			if ready = append(ready, credits...); len(ready) < pageSize {
				return nil
			}
			page := ready
			ready = nil
			return p.hand(ctx, page)
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	return complete, p.hand(ctx, ready)
}

// ownCredits reads the list of one customer.
func (r *reader) ownCredits(ctx context.Context, id topup.CustomerID) (s *scan, credits []credit, err error) {
	s = &scan{rows: map[key]credit{}, disagree: map[key]bool{}, total: -1}
	const maxPages = 20
	for n := range maxPages {
		page, err := r.offset(ctx, "credits_of_customer", path("/v1/customers/", string(id), "/credits"), nil, n*pageSize)
		if err != nil {
			return nil, nil, err
		}
		credits = append(credits, s.see(page, string(id), n == 0)...)
		if page.last(n * pageSize) {
			return s, credits, nil
		}
	}
	s.unending = true
	return s, credits, nil
}
