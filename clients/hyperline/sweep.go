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

// Sweep reads every balance of the products. It is complete only if the list was
// read consistently to its end: a target that is absent from an incomplete sweep
// may still exist. Reads does not count repeated tries.
func (c *Client) Sweep(ctx context.Context, products []topup.ProductID) (topup.Sweep, error) {
	r := c.polling()
	credits, complete, err := r.credits(ctx)
	if err != nil {
		return topup.Sweep{Reads: r.reads}, fmt.Errorf("%s: reading balances: %w", c.name, err)
	}
	wanted := credits[:0]
	for _, credit := range credits {
		if slices.Contains(products, credit.product) {
			wanted = append(wanted, credit)
		}
	}
	accounts, err := r.accountsOf(ctx, wanted)
	if err != nil {
		return topup.Sweep{Reads: r.reads}, fmt.Errorf("%s: reading customers: %w", c.name, err)
	}
	sweep := topup.Sweep{Complete: complete, Readings: make([]topup.Reading, 0, len(wanted))}
	for _, credit := range wanted {
		reading := credit.reading(c.id)
		reading.CustomerName = accounts[credit.customer].name
		reading.Account = accounts[credit.customer].account()
		r.defaultThreshold(ctx, &reading)
		sweep.Readings = append(sweep.Readings, reading)
	}
	sweep.Reads = r.reads
	return sweep, nil
}

// defaultThreshold falls back to the mark of the product. One that cannot be read
// leaves the reading without a mark; the sweep goes on.
func (r *reader) defaultThreshold(ctx context.Context, reading *topup.Reading) {
	if reading.Threshold != nil {
		return
	}
	p, err := r.product(ctx, reading.Target.Product)
	if err != nil {
		r.log.Warn("product threshold cannot be read", slog.String("provider", r.name),
			slog.String("product", string(reading.Target.Product)), slog.Any("err", err))
		return
	}
	if p.threshold != nil {
		mark := *p.threshold
		reading.Threshold, reading.ThresholdFrom = &mark, "product"
	}
}

// credits reads all balances by the cheapest way that works: the bulk list, its
// parts where it is cut short, and customer by customer where it is refused.
func (r *reader) credits(ctx context.Context) (credits []credit, complete bool, err error) {
	if r.blocked(&r.noBulk) {
		return r.customerByCustomer(ctx)
	}
	if r.blocked(&r.cut) {
		return r.byPrefix(ctx)
	}
	credits, complete, err = r.bulk(ctx)
	e, isAnswer := errors.AsType[*clients.Error](err)
	switch {
	case err == nil:
		return credits, complete, nil
	case errors.Is(err, errCutShort):
		r.block(&r.cut)
		return r.byPrefix(ctx)
	case isAnswer && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound):
		r.log.Warn("the list of all balances is refused; reading customer by customer",
			slog.String("provider", r.name), slog.Any("err", err))
		credits, complete, err = r.customerByCustomer(ctx)
		if err == nil {
			r.block(&r.noBulk)
		}
		return credits, complete, err
	default:
		return nil, false, err
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
func (r *reader) bulk(ctx context.Context) ([]credit, bool, error) {
	found := map[key]credit{}
	complete := false
	for range maxScans {
		s, err := r.scan(ctx, "")
		if err != nil {
			return nil, false, err
		}
		s.mergeInto(found)
		if complete = s.consistent(); complete {
			break
		}
	}
	return sorted(found), complete, nil
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

func (r *reader) scan(ctx context.Context, prefix string) (*scan, error) {
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
		s.see(page, prefix, n == 0)
		if n == 0 && r.mayNotSkip(s.total-pageSize) { // the end is out of reach
			return s, errCutShort
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

func (s *scan) see(page offsetPage, prefix string, first bool) {
	if first {
		s.total = page.total
	}
	if page.total != s.total {
		s.moved = true
	}
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
		if before, ok := s.rows[k]; ok {
			s.moved = true
			if !before.same(c) {
				s.disagree[k] = true
			}
		}
		s.rows[k] = c
	}
}

// consistent tells whether the pages add up to the list that each of them names.
func (s *scan) consistent() bool {
	return !s.moved && !s.unending && s.unread == 0 && s.unrelated == 0 && s.total == len(s.rows)
}

// mergeInto adds the newest reading of each balance. Two rows of one pass that
// disagree are no reading: which of them is the balance is unknown.
func (s *scan) mergeInto(found map[key]credit) {
	for k, c := range s.rows {
		if s.disagree[k] && c.bad == "" {
			c.bad = "duplicate rows disagree"
		}
		found[k] = c
	}
}

func sorted(found map[key]credit) []credit {
	credits := make([]credit, 0, len(found))
	for _, c := range found {
		credits = append(credits, c)
	}
	slices.SortFunc(credits, func(a, b credit) int {
		if n := strings.Compare(string(a.customer), string(b.customer)); n != 0 {
			return n
		}
		return strings.Compare(string(a.product), string(b.product))
	})
	return credits
}
