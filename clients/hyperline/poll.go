package hyperline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const bulkPath = "/v1/customers/credits"

const (
	// maxScans is how often the bulk list is read when it did not show everything.
	maxScans = 3
	// maxAgain is the longest list that is read again for that.
	maxAgain = 5000
	// retryRefused is how long a way that was refused is not tried again.
	retryRefused = 10 * time.Minute
)

// Poll reads every balance of the products and hands each page over as it was
// read. It is complete only if the list was read consistently to its end: a target
// that is absent from an incomplete poll may still exist. Reads does not count
// repeated tries.
func (c *Client) Poll(ctx context.Context, products []topup.ProductID, page func(topup.Page) error) (topup.Poll, error) {
	p := &pass{reader: c.polling(), wanted: products, page: page, products: map[topup.ProductID]*offered{}}
	p.progress = func() error {
		if err := page(topup.Page{}); err != nil {
			return errHanding{err}
		}
		return nil
	}
	err := p.credits(ctx)
	poll := topup.Poll{Complete: p.missing == "" && err == nil, Missing: p.missing, Reads: p.reads}
	if err != nil {
		return poll, fmt.Errorf("%s: reading balances: %w", c.name, err)
	}
	c.noteTwice(p.twice)
	return poll, nil
}

// pass is one reading of every balance.
type pass struct {
	*reader
	wanted []topup.ProductID
	page   func(topup.Page) error

	// accounts is one reading of the customers, the same for all pages: of a large
	// account it takes as long as the balances, and reading it again in between
	// would never end.
	accounts map[topup.CustomerID]customer
	listed   bool // the whole list was read for customers that accounts misses
	singles  int  // customers that were read one by one

	products map[topup.ProductID]*offered // that were asked for a mark
	missing  string                       // what was not shown; "" when everything was
	twice    []key                        // balances that stand in two rows
}

// offered is what a pass knows of a product: one that cannot be read is not asked
// for again until the next.
type offered struct {
	product product
	err     error
}

// errHanding is that whoever takes the pages wants no more.
type errHanding struct{ error }

func (e errHanding) Unwrap() error { return e.error }

// hand joins the balances with their customers and gives them away.
func (p *pass) hand(ctx context.Context, credits []credit) error {
	wanted := make([]credit, 0, len(credits))
	for _, credit := range credits {
		if slices.Contains(p.wanted, credit.product) {
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
// leaves the reading without a mark; the poll goes on.
func (p *pass) defaultThreshold(ctx context.Context, reading *topup.Reading) {
	if reading.Threshold != nil {
		return
	}
	id := reading.Target.Product
	known, ok := p.products[id]
	if !ok {
		known = &offered{}
		if known.product, known.err = p.product(ctx, id, productAge); known.err != nil {
			p.log.Warn("product threshold cannot be read", slog.String("provider", p.name), slog.String("product", string(id)), slog.Any("err", known.err))
		}
		p.products[id] = known
	}
	if known.err == nil {
		known.product.mark(reading)
	}
}

// credits reads all balances by the cheapest way that works: the bulk list, its
// parts where it is cut short, and customer by customer where it is refused. The
// customers come first: their list is long too, and balances would age meanwhile.
func (p *pass) credits(ctx context.Context) error {
	book, err := p.book(ctx)
	if err != nil {
		return fmt.Errorf("listing customers: %w", err)
	}
	p.accounts = book.customers
	if p.blocked(&p.noBulk) {
		return p.customerByCustomer(ctx)
	}
	if p.blocked(&p.cut) {
		return p.byPrefix(ctx)
	}
	err = p.bulk(ctx)
	_, unwanted := errors.AsType[errHanding](err)
	e, isAnswer := errors.AsType[*clients.Error](err)
	switch {
	case err == nil || unwanted:
		return err
	case errors.Is(err, errCutShort):
		p.block(&p.cut)
		return p.byPrefix(ctx)
	case isAnswer && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound):
		p.log.Warn("the list of all balances is refused; reading customer by customer",
			slog.String("provider", p.name), slog.Any("err", err))
		err = p.customerByCustomer(ctx)
		if err == nil {
			p.block(&p.noBulk)
		}
		return err
	default:
		return err
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

// bulk reads the whole list, and again where it did not show everything. A long
// list is not: the next poll begins at once.
func (p *pass) bulk(ctx context.Context) error {
	for range maxScans {
		s := p.scan("credits", bulkPath, "", p.hand)
		err := s.read(ctx)
		p.missing = s.missing()
		if err != nil {
			return err
		}
		p.twice = append(p.twice, s.twice...)
		if short := s.short(); short == 0 && !s.torn || s.total > maxAgain || p.shortAgain(short) {
			return nil
		}
	}
	return nil
}

// shortAgain tells whether the list lacked as much the last time, too. Some say
// that they are longer than they are, and reading them again shows no more.
func (c *Client) shortAgain(short int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	same := short > 0 && c.shortBy == short
	c.shortBy = short
	return same
}

// listsTwice tells whether the balance stood in two rows when it was looked at
// last.
func (c *Client) listsTwice(k key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.twice[k]
}

func (c *Client) noteTwice(keys []key) {
	twice := make(map[key]bool, len(keys))
	for _, k := range keys {
		twice[k] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.twice = twice
}
