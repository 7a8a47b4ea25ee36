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
func (r *reader) byPrefix(ctx context.Context) ([]credit, bool, error) {
	if r.blocked(&r.noPrefixes) {
		return r.customerByCustomer(ctx)
	}
	page, err := r.offset(ctx, "credits", bulkPath, nil, 0) // for the total of all parts
	if err != nil {
		return nil, false, err
	}
	found := map[key]credit{}
	complete, err := r.parts(ctx, "cus_", found)
	if errors.Is(err, errFilterIgnored) {
		r.log.Warn("the filter on customer_id is ignored; reading customer by customer", slog.String("provider", r.name))
		r.block(&r.noPrefixes)
		return r.customerByCustomer(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	return sorted(found), complete && len(found) == page.total, nil
}

var errFilterIgnored = errors.New("the filter is ignored")

// parts reads the parts below a prefix into found.
func (r *reader) parts(ctx context.Context, prefix string, found map[key]credit) (complete bool, err error) {
	complete = true
	for _, next := range idAlphabet {
		part := prefix + string(next)
		s, err := r.scan(ctx, part)
		switch {
		case s != nil && s.unrelated > 0:
			return false, errFilterIgnored
		case errors.Is(err, errCutShort) && len(part) < maxPrefix:
			below, err := r.parts(ctx, part, found)
			if err != nil {
				return false, err
			}
			complete = complete && below
			continue
		case err != nil:
			return false, fmt.Errorf("reading balances of customers %s…: %w", part, err)
		}
		s.mergeInto(found)
		complete = complete && s.consistent()
	}
	return complete, nil
}

// customerWorkers is how many customers are read at once. The rate budget is the
// real bound; this only hides the latency.
const customerWorkers = 4

// customerByCustomer reads the balances of every customer by its own list: one
// read each, so slow, but it needs no more than the right to read credits.
func (r *reader) customerByCustomer(ctx context.Context) ([]credit, bool, error) {
	book, err := r.book(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("listing customers: %w", err)
	}
	var mu sync.Mutex
	found, complete := map[key]credit{}, book.complete
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(customerWorkers)
	for id := range book.customers {
		group.Go(func() error {
			one := &reader{Client: r.Client, evidence: r.evidence}
			s, err := one.ownCredits(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			r.reads += one.reads
			switch {
			case clients.Refused(err, http.StatusNotFound):
				return nil // deleted meanwhile
			case err != nil:
				return fmt.Errorf("customer %s: %w", id, err)
			}
			s.mergeInto(found)
			complete = complete && s.consistent()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, false, err
	}
	return sorted(found), complete, nil
}

// ownCredits reads the list of one customer.
func (r *reader) ownCredits(ctx context.Context, id topup.CustomerID) (*scan, error) {
	s := &scan{rows: map[key]credit{}, disagree: map[key]bool{}, total: -1}
	const maxPages = 20
	for n := range maxPages {
		page, err := r.offset(ctx, "credits_of_customer", path("/v1/customers/", string(id), "/credits"), nil, n*pageSize)
		if err != nil {
			return nil, err
		}
		s.see(page, string(id), n == 0)
		if page.last(n * pageSize) {
			return s, nil
		}
	}
	s.unending = true
	return s, nil
}
