package hyperline

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// maxRowPages bounds one look into a customer's ledger: 2,000 rows.
const maxRowPages = 20

// readRow reads an addition of credits. Rows of other kinds (the filter by type
// may be ignored) are none: ok is false.
func readRow(row clients.Object, currency topup.Currency) (t topup.Topup, ok bool, err error) {
	if kind := row.Text("type"); kind != "topup" {
		if kind == "" {
			return topup.Topup{}, false, fmt.Errorf("a ledger row without a type")
		}
		return topup.Topup{}, false, nil
	}
	t = topup.Topup{ID: row.ID("id"), Invoice: row.ID("invoice_id"), Source: short(row.Text("source")), At: row.Time("created_at")}
	if t.ID == "" || t.At.IsZero() || row.Has("invoice_id") && t.Invoice == "" {
		return topup.Topup{}, false, fmt.Errorf("ledger row %q without a valid id, invoice or time", t.ID)
	}
	text, err := row.Number("credit_count")
	if err != nil {
		return topup.Topup{}, false, fmt.Errorf("ledger row %s: %w", t.ID, err)
	}
	if t.Credits, err = topup.ParseCredits(text); err != nil {
		return topup.Topup{}, false, fmt.Errorf("ledger row %s: credit_count: %w", t.ID, err)
	}
	t.Price, t.PriceID = priceOf(row, t.Credits, currency)
	t.ExpiresOn = expiresOn(row)
	return t, true, nil
}

// expiresOn is the date of expires_at, which is declared a date although
// date-times go in (Hyperline API reference, "List credit transactions", read
// 2026-11-20). What is neither says nothing.
func expiresOn(row clients.Object) string {
	if row.Present("expires_at") && !row.Twice("expires_at") && !row.Has("expires_at") {
		return topup.Never // null
	}
	text := row.Text("expires_at")
	if len(text) < len(time.DateOnly) {
		return ""
	}
	day, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)])
	if err != nil {
		return ""
	}
	return day.Format(time.DateOnly)
}

// priceOf is what a row says about its price. A row has no currency of its own;
// it is the customer's. What amount_excluding_tax means beside a pack is not
// documented (the published example has 123 beside a pack of 20000), so a whole
// pack costs the pack's price.
func priceOf(row clients.Object, credits topup.Credits, currency topup.Currency) (topup.Money, string) {
	id := ""
	if pack, ok := row.Object("price"); ok {
		id = pack.ID("id")
		text, err := pack.Number("pack_size")
		size, sizeErr := topup.ParseCredits(text)
		if amount, amountErr := minor(pack, "amount", currency); err == nil && sizeErr == nil && amountErr == nil && size == credits && currency != "" {
			return amount, id
		}
	}
	if amount, err := minor(row, "amount_excluding_tax", currency); err == nil && currency != "" {
		return amount, id
	}
	return topup.Money{}, id
}

// ledgerRows is what a look into the ledger of one credit found.
type ledgerRows struct {
	list     []topup.Topup // since the moment asked for
	complete bool          // nothing since then is missing
	skipped  int           // older rows that cannot be read
	last     clients.Response
}

// additions reads every addition of credits since then, newest first.
//
// The order of the list is not documented. It is found out from the first and the
// last page, and if they show one, pages that can only be older are not read: a
// customer with years of purchases, or a list that ignores the filter by type
// and holds every use, can still be bought for.
func (r *reader) additions(ctx context.Context, t topup.Target, currency topup.Currency, since time.Time) (ledgerRows, error) {
	return r.ledgerOf(ctx, t, "topup", since, func(row clients.Object) (topup.Topup, bool, error) { return readRow(row, currency) })
}

// ledgerOf reads every row of a kind since then, newest first.
func (r *reader) ledgerOf(ctx context.Context, t topup.Target, kind string, since time.Time, take func(clients.Object) (topup.Topup, bool, error)) (ledgerRows, error) {
	var got ledgerRows
	for range 2 { // once more if rows moved
		look := &look{reader: r, target: t, kind: kind, take: take, since: since, found: map[string]topup.Topup{}}
		err := look.read(ctx)
		got = look.rows()
		if err != nil || got.complete {
			return got, err
		}
	}
	return got, nil
}

// look is one pass over the ledger.
type look struct {
	*reader
	target topup.Target
	kind   string // of the rows asked for; the filter may be ignored
	take   func(clients.Object) (t topup.Topup, ok bool, err error)
	since  time.Time

	found map[string]topup.Topup
	pages map[int]days // by number
	total int
	moved bool
	whole bool // every page that matters was read
	skips int
	last  clients.Response
}

// days is what one page covers.
type days struct {
	oldest, newest time.Time
	falling        bool // newest first within the page
	rising         bool
}

func (l *look) read(ctx context.Context) error {
	l.pages, l.total = map[int]days{}, -1
	if ended, err := l.page(ctx, 0); err != nil || ended {
		l.whole = ended
		return err
	}
	end := (l.total+pageSize-1)/pageSize - 1
	if end < 1 {
		return nil // more rows than the list says it has
	}
	if _, err := l.page(ctx, end); err != nil { // shows the order
		return err
	}
	n, step := 1, 1
	if l.rising() {
		n, step = end-1, -1
	}
	for ; n > 0 && n < end; n += step {
		if l.old(n - step) {
			break
		}
		if len(l.pages) >= maxRowPages {
			return nil
		}
		if _, err := l.page(ctx, n); err != nil {
			return err
		}
	}
	l.whole = true
	return nil
}

// page reads the page with a number; ended tells that it is certainly the last.
func (l *look) page(ctx context.Context, n int) (ended bool, err error) {
	at := path("/v1/customers/", string(l.target.Customer), "/credits/", string(l.target.Product), "/transactions")
	page, err := l.window(ctx, "transactions", at, url.Values{"type": {l.kind}}, n*pageSize)
	if err != nil {
		return false, err
	}
	l.last = page.Response
	if l.total >= 0 && page.total != l.total || page.total < 0 {
		l.moved = true
	}
	l.total = page.total
	want := min(pageSize, max(0, page.total-n*pageSize))
	if len(page.rows) != want && page.total >= 0 {
		l.moved = true // short or repeated rows
	}
	l.pages[n], err = l.see(page.rows)
	return page.last(n * pageSize), err
}

func (l *look) see(list []clients.Object) (days, error) {
	s := days{falling: true, rising: true}
	before := time.Time{}
	for _, row := range list {
		if c, p := row.Text("customer_id"), row.Text("product_id"); c != string(l.target.Customer) || row.Has("product_id") && p != string(l.target.Product) {
			return s, malformed("transactions", "the ledger of %s %s has a row of %.40q %.40q", l.target.Customer, l.target.Product, c, p)
		}
		at := row.Time("created_at")
		if at.IsZero() { // it stands nowhere in any order
			s.falling, s.rising = false, false
		}
		if !before.IsZero() {
			s.falling = s.falling && !at.After(before)
			s.rising = s.rising && !at.Before(before)
		}
		before = at
		if s.oldest.IsZero() || at.Before(s.oldest) {
			s.oldest = at
		}
		if at.After(s.newest) {
			s.newest = at
		}
		t, ok, err := l.take(row)
		if err != nil && !at.IsZero() && at.Before(l.since) {
			l.skips++
			continue
		}
		if err != nil {
			return s, malformed("transactions", "%v", err)
		}
		if !ok {
			continue
		}
		if _, twice := l.found[t.ID]; twice {
			l.moved = true
		}
		l.found[t.ID] = t
	}
	return s, nil
}

// rising tells whether the list begins with the oldest row.
func (l *look) rising() bool {
	first, last := l.ends()
	return first.rising && last.rising && !last.oldest.Before(first.newest) && first.oldest.Before(last.newest)
}

func (l *look) falling() bool {
	first, last := l.ends()
	return first.falling && last.falling && !first.oldest.Before(last.newest) && last.oldest.Before(first.newest)
}

func (l *look) ends() (first, last days) {
	n := 0
	for number := range l.pages {
		n = max(n, number)
	}
	return l.pages[0], l.pages[n]
}

// old tells whether the pages behind page n, in the order of reading, can only
// hold rows from before since.
func (l *look) old(n int) bool {
	s := l.pages[n]
	ordered := l.rising() && s.rising || l.falling() && s.falling
	return ordered && s.oldest.Before(l.since)
}

// rows are the additions since the moment asked for, newest first.
func (l *look) rows() ledgerRows {
	got := ledgerRows{complete: l.whole && !l.moved, last: l.last, skipped: l.skips}
	for _, t := range l.found {
		if !t.At.Before(l.since) {
			got.list = append(got.list, t)
		}
	}
	slices.SortFunc(got.list, func(a, b topup.Topup) int { return b.At.Compare(a.At) })
	return got
}
