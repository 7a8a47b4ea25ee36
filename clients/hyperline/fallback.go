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
func (p *pass) byPrefix(ctx context.Context) error {
	if p.blocked(&p.noPrefixes) {
		return p.customerByCustomer(ctx)
	}
	page, err := p.offset(ctx, "credits", bulkPath, nil, 0) // for the total of all parts
	if err != nil {
		return err
	}
	p.missing = ""
	found, err := p.parts(ctx, "cus_")
	if errors.Is(err, errFilterIgnored) {
		p.log.Warn("the filter on customer_id is ignored; reading customer by customer", slog.String("provider", p.name))
		p.block(&p.noPrefixes)
		return p.customerByCustomer(ctx)
	}
	if p.missing == "" && found < page.total {
		p.missing = fmt.Sprintf("%d of %d balances were not shown", page.total-found, page.total)
	}
	return err
}

var errFilterIgnored = errors.New("the filter is ignored")

// parts reads the parts below a prefix and counts their rows.
func (p *pass) parts(ctx context.Context, prefix string) (found int, err error) {
	for _, next := range idAlphabet {
		part := prefix + string(next)
		s := p.scan("credits", bulkPath, part, p.hand)
		err := s.read(ctx)
		switch {
		case s.unrelated > 0:
			return 0, errFilterIgnored
		case errors.Is(err, errCutShort) && len(part) < maxPrefix:
			below, err := p.parts(ctx, part)
			if err != nil {
				return 0, err
			}
			found += below
			continue
		case err != nil:
			return 0, fmt.Errorf("reading balances of customers %s…: %w", part, err)
		}
		p.twice = append(p.twice, s.twice...)
		found += len(s.rows) + s.extra
		p.lacks(s.missing())
	}
	return found, nil
}

// lacks notes what was not shown; the first of several is told.
func (p *pass) lacks(missing string) {
	if p.missing == "" {
		p.missing = missing
	}
}

// customerByCustomer reads the balances of every customer by its own list: one
// read each, so slow, but it needs no more than the right to read credits.
func (p *pass) customerByCustomer(ctx context.Context) error {
	book, err := p.book(ctx)
	if err != nil {
		return fmt.Errorf("listing customers: %w", err)
	}
	p.missing = ""
	if !book.complete {
		p.missing = "the list of customers was not read to its end"
	}
	var mu sync.Mutex // held while a page is handed over, too
	var ready []credit
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for id := range book.customers {
		group.Go(func() error {
			one := &reader{Client: p.Client, class: p.class}
			var credits []credit
			s := one.scan("credits_of_customer", path("/v1/customers/", string(id), "/credits"), string(id), func(_ context.Context, page []credit) error {
				credits = append(credits, page...)
				return nil
			})
			err := s.read(ctx)
			mu.Lock()
			defer mu.Unlock()
			p.join(one)
			switch {
			case clients.Refused(err, http.StatusNotFound):
				return nil // deleted meanwhile
			case err != nil:
				return fmt.Errorf("customer %s: %w", id, err)
			}
			p.twice = append(p.twice, s.twice...)
			p.lacks(s.missing())
			if ready = append(ready, credits...); len(ready) < pageSize {
				return nil
			}
			page := ready
			ready = nil
			return p.hand(ctx, page)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return p.hand(ctx, ready)
}
