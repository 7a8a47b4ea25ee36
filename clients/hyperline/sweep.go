package hyperline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const bulkPath = "/v1/customers/credits"

const (
	// maxScans is how often the bulk list is read when rows move meanwhile.
	maxScans = 3
	// maxBulkPages bounds one scan: 200,000 balances. Nobody's sweep of more
	// would end in time.
	maxBulkPages = 2000
	// retryRefused is how long a way that was refused is not tried again.
	retryRefused = 10 * time.Minute
)

// key is one balance.
type key struct {
	customer topup.CustomerID
	product  topup.ProductID
}

// Sweep reads every balance of the products and hands each page over as it was
// read. It is complete only if the list was read consistently to its end: a target
// that is absent from an incomplete sweep may still exist. Reads does not count
// repeated tries.
func (c *Client) Sweep(ctx context.Context, products []topup.ProductID, page func(topup.Page) error) (topup.Sweep, error) {
	p := &pass{reader: c.polling(), products: products, page: page}
	p.progress = func() error {
		if err := page(topup.Page{}); err != nil {
			return errHanding{err}
		}
		return nil
	}
	complete, err := p.credits(ctx)
	sweep := topup.Sweep{Complete: complete && err == nil, Reads: p.reads}
	if err != nil {
		return sweep, fmt.Errorf("%s: reading balances: %w", c.name, err)
	}
	return sweep, nil
}

// pass is one reading of every balance.
type pass struct {
	*reader
	products []topup.ProductID
	page     func(topup.Page) error

	// accounts is one reading of the customers, the same for all pages: of a large
	// account it takes as long as the balances, and reading it again in between
	// would never end.
	accounts map[topup.CustomerID]customer
	listed   bool // the whole list was read for customers that accounts misses
	singles  int  // customers that were read one by one
}

// errHanding is that whoever takes the pages wants no more.
type errHanding struct{ error }

func (e errHanding) Unwrap() error { return e.error }

// hand joins the balances with their customers and gives them away.
func (p *pass) hand(ctx context.Context, credits []credit) error {
	wanted := make([]credit, 0, len(credits))
	for _, credit := range credits {
		if slices.Contains(p.products, credit.product) {
			wanted = append(wanted, credit)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	accounts, err := p.accountsOf(ctx, wanted)
	if err != nil {
		return fmt.Errorf("reading customers: %w", err)
	}
	readings := make([]topup.Reading, 0, len(wanted))
	for _, credit := range wanted {
		reading := credit.reading(p.id)
		reading.CustomerName = accounts[credit.customer].name
		reading.Account = accounts[credit.customer].account()
		p.defaultThreshold(ctx, &reading)
		readings = append(readings, reading)
	}
	if err := p.page(topup.Page{Readings: readings}); err != nil {
		return errHanding{err}
	}
	return nil
}

// defaultThreshold falls back to the mark of the product. One that cannot be read
// leaves the reading without a mark; the sweep goes on.
func (r *reader) defaultThreshold(ctx context.Context, reading *topup.Reading) {
	if reading.Threshold != nil {
		return
	}
	p, err := r.product(ctx, reading.Target.Product, productAge)
	if err != nil {
		r.log.Warn("product threshold cannot be read", slog.String("provider", r.name),
			slog.String("product", string(reading.Target.Product)), slog.Any("err", err))
		return
	}
	p.mark(reading)
}

// credits reads all balances by the cheapest way that works: the bulk list, its
// parts where it is cut short, and customer by customer where it is refused. The
// customers come first: their list is long too, and balances would age meanwhile.
func (p *pass) credits(ctx context.Context) (complete bool, err error) {
	book, err := p.book(ctx)
	if err != nil {
		return false, fmt.Errorf("listing customers: %w", err)
	}
	p.accounts = book.customers
	if p.blocked(&p.noBulk) {
		return p.customerByCustomer(ctx)
	}
	if p.blocked(&p.cut) {
		return p.byPrefix(ctx)
	}
	complete, err = p.bulk(ctx)
	_, unwanted := errors.AsType[errHanding](err)
	e, isAnswer := errors.AsType[*clients.Error](err)
	switch {
	case err == nil:
		return complete, nil
	case unwanted:
		return false, err
	case errors.Is(err, errCutShort):
		p.block(&p.cut)
		return p.byPrefix(ctx)
	case isAnswer && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound):
		p.log.Warn("the list of all balances is refused; reading customer by customer",
			slog.String("provider", p.name), slog.Any("err", err))
		complete, err = p.customerByCustomer(ctx)
		if err == nil {
			p.block(&p.noBulk)
		}
		return complete, err
	default:
		return false, err
	}
}

func (c *Client) blocked(until *time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.api.Now().Before(*until)
}

func (c *Client) block(until *time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*until = c.api.Now().Add(retryRefused)
}

// errCutShort is a list whose end is beyond the largest skip that is allowed
// (skip + take > 10000 is a 400 on other lists since 2026-05-27; whether on this
// one is not documented. Hyperline docs, /api-reference/docs/upgrades, read
// 2026-11-20).
var errCutShort = errors.New("the list is longer than may be skipped")

// skipLimit is where a 400 means errCutShort.
const skipLimit = 10_000

// bulk reads the whole list, again when rows moved meanwhile.
func (p *pass) bulk(ctx context.Context) (complete bool, err error) {
	for range maxScans {
		s, err := p.scan(ctx, "", p.hand)
		if err != nil {
			return false, err
		}
		if s.consistent() {
			return true, nil
		}
	}
	return false, nil
}

// scan is one pass over the bulk list, or the part of it whose customer ids begin
// with a prefix.
type scan struct {
	rows      map[key]credit
	disagree  map[key]bool
	total     int
	moved     bool // the total changed on the way, or rows came twice
	unread    int  // rows that do not say whose they are
	unending  bool
	unrelated int // rows that the prefix filter should have kept out
}

// scan reads the list to its end and hands each page's balances over.
func (r *reader) scan(ctx context.Context, prefix string, hand func(context.Context, []credit) error) (*scan, error) {
	filter := map[string][]string{}
	if prefix != "" {
		filter["customer_id__startsWith"] = []string{prefix}
	}
	s := &scan{rows: map[key]credit{}, disagree: map[key]bool{}, total: -1}
	for n := range maxBulkPages {
		skip := n * pageSize
		if r.mayNotSkip(skip) {
			return s, errCutShort
		}
		page, err := r.offset(ctx, "credits", bulkPath, filter, skip)
		if clients.Refused(err, http.StatusBadRequest) && skip+pageSize > skipLimit {
			return s, errCutShort
		}
		if err != nil {
			return s, err
		}
		credits := s.see(page, prefix, n == 0)
		if n == 0 && r.mayNotSkip(s.total-pageSize) { // the end is out of reach
			return s, errCutShort
		}
		if err := hand(ctx, credits); err != nil {
			return s, err
		}
		if page.last(skip) {
			return s, nil
		}
		if s.unrelated > 0 {
			return s, nil // the filter is ignored: the rest would be the whole list
		}
	}
	s.unending = true
	return s, nil
}

// see takes in a page and returns its balances. Two rows of one pass that disagree
// are no reading: which of them is the balance is unknown.
func (s *scan) see(page offsetPage, prefix string, first bool) []credit {
	if first {
		s.total = page.total
	}
	if page.total != s.total {
		s.moved = true
	}
	var order []key
	for _, row := range page.rows {
		c, err := readCredit(row, page.SentAt)
		if err != nil {
			s.unread++
			continue
		}
		if !strings.HasPrefix(strings.ToLower(string(c.customer)), strings.ToLower(prefix)) {
			s.unrelated++
			continue
		}
		k := key{c.customer, c.product}
		before, ok := s.rows[k]
		if ok {
			s.moved = true
			if !before.same(c) {
				s.disagree[k] = true
			}
		}
		s.rows[k] = c
		order = append(order, k)
	}
	credits := make([]credit, 0, len(order))
	for i, k := range order {
		if slices.Contains(order[i+1:], k) {
			continue // its last row on the page counts
		}
		c := s.rows[k]
		if s.disagree[k] && c.bad == "" {
			c.bad = "duplicate rows disagree"
		}
		credits = append(credits, c)
	}
	return credits
}

// consistent tells whether the pages add up to the list that each of them names.
func (s *scan) consistent() bool {
	return !s.moved && !s.unending && s.unread == 0 && s.unrelated == 0 && s.total == len(s.rows)
}
