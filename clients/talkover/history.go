package talkover

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const (
	// historyPage is the most rows that a page may have (Talkover docs,
	// get-auto-topup-history, read 2026-11-20).
	historyPage = 100
	// historyPages bounds the requests of one look, inclusive. A thousand
	// recharges within pendingFor are a mistake, not a history.
	historyPages = 10
	// recent is how far back recharges are told as top-ups.
	recent = 24 * time.Hour
	// pendingFor is how long a recharge that is listed as pending is taken to be
	// under way. Much shorter, and a slow one is bought twice; much longer, and
	// one that Talkover never finished keeps a customer dry.
	pendingFor = 7 * 24 * time.Hour
)

// recharge is one line of the history of Talkover's own auto top-up.
type recharge struct {
	id     string
	status string
	at     time.Time
	line   clients.Object
	bad    error // why the line cannot be read
}

// recharges is what was read of the history.
type recharges struct {
	rows []recharge
	now  time.Time     // the provider's
	age  time.Duration // for which a cache on the way had kept the oldest page
}

// history reads Talkover's own recharges, at least those within pendingFor, each
// once although rows move to the next page meanwhile.
//
// The order of the list is not documented; the example is newest first. A list
// that begins oldest first is read from its end, and one in no order as a whole.
func (c *Client) history(ctx context.Context) (recharges, error) {
	return c.historyBack(ctx, pass{pages: historyPages, from: func(now time.Time) time.Time { return now.Add(-pendingFor) }, urgent: true})
}

// pass is how much of the history is read.
type pass struct {
	pages  int                           // at most, inclusive
	from   func(now time.Time) time.Time // what is older does not matter
	urgent bool                          // a purchase waits for it; else nobody does
}

func (c *Client) historyBack(ctx context.Context, p pass) (recharges, error) {
	first, err := c.historyAt(ctx, 1, p.urgent)
	if err != nil {
		return recharges{}, err
	}
	found, since := first.recharges, p.from(first.now)
	order := orderOf(first.rows)
	done := order == newestFirst && reaches(first.rows, since)
	for i := 0; i < first.last-1 && !done; i++ {
		if i == p.pages-1 {
			return recharges{}, fmt.Errorf("talkover %s: the history of its own auto top-up does not end within %d pages: look at it in the dashboard",
				c.name, p.pages)
		}
		number := 2 + i
		if order == oldestFirst {
			number = first.last - i
		}
		page, err := c.historyAt(ctx, number, p.urgent)
		if err != nil {
			return recharges{}, err
		}
		found.rows = append(found.rows, page.rows...)
		found.age = max(found.age, page.age)
		done = order != noOrder && reaches(page.rows, since)
	}
	found.rows = once(found.rows)
	for i, r := range found.rows {
		if r.bad != nil && !r.old(since) { // it may be the recharge that is under way
			return recharges{}, c.unreadable(c.asEnvironment("native_history", historyPath, nil), fmt.Errorf("line %d: %w", i, r.bad))
		}
	}
	found.rows = slices.DeleteFunc(found.rows, func(r recharge) bool { return r.bad != nil })
	return found, nil
}

// historyRead is one page of the history.
type historyRead struct {
	recharges
	last int // number of the last page, at least 1
}

func (c *Client) historyAt(ctx context.Context, page int, urgent bool) (historyRead, error) {
	ask := c.asEnvironment("native_history", historyPath, url.Values{
		"per_page": {strconv.Itoa(historyPage)}, "page": {strconv.Itoa(page)},
	})
	if !urgent {
		ask.Class = clients.Comparing
	}
	answer, err := c.lookInside(ctx, ask)
	if err != nil {
		return historyRead{}, err
	}
	read, err := readHistory(answer.Object, page)
	if err != nil {
		return historyRead{}, c.unreadable(ask, err)
	}
	read.now, read.age = answer.clock(), answer.age
	return read, nil
}

// readHistory reads a page; a line that cannot be read says so.
func readHistory(o clients.Object, page int) (read historyRead, err error) {
	lines, ok := o.List("data")
	if !ok {
		return read, unlike(o, "data", "a list")
	}
	for _, line := range lines {
		read.rows = append(read.rows, readRecharge(line))
	}
	paging, err := needObject(o, "pagination")
	if err != nil {
		return read, err
	}
	current, err := needCount(paging, "current_page")
	if err != nil {
		return read, err
	}
	if current != page {
		return read, fmt.Errorf("current_page is %d, though page %d was asked for", current, page)
	}
	last, err := needCount(paging, "last_page")
	read.last = max(1, last)
	return read, err
}

func readRecharge(raw json.RawMessage) (r recharge) {
	if r.line, r.bad = clients.ParsePart(raw); r.bad != nil {
		return r
	}
	var id, status, at error
	r.id, id = needID(r.line, "id")
	r.status, status = needText(r.line, "status")
	r.at, at = needTime(r.line, "created_at")
	r.bad = cmp.Or(id, status, at)
	return r
}

// old tells whether the line is certainly from before since.
func (r recharge) old(since time.Time) bool { return !r.at.IsZero() && r.at.Before(since) }

// order is how a page of the history is sorted.
type order int

const (
	newestFirst order = iota // also when there is nothing to sort
	oldestFirst
	noOrder
)

func orderOf(rows []recharge) order {
	byTime := func(a, b recharge) int { return a.at.Compare(b.at) }
	switch {
	case slices.IsSortedFunc(rows, func(a, b recharge) int { return byTime(b, a) }):
		return newestFirst
	case slices.IsSortedFunc(rows, byTime):
		return oldestFirst
	default:
		return noOrder
	}
}

// reaches tells whether a page has rows so old that the next page, which is
// older, holds nothing that matters.
func reaches(rows []recharge, since time.Time) bool {
	return slices.ContainsFunc(rows, func(r recharge) bool { return r.old(since) })
}

func once(list []recharge) []recharge {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(r recharge) bool {
		twice := seen[r.id] && r.bad == nil
		seen[r.id] = true
		return twice
	})
}

// The statuses that are over (Talkover docs, get-auto-topup-history, read
// 2026-11-20). The third, "pending", and any that is not documented, are not.
const (
	statusSucceeded = "succeeded"
	statusFailed    = "failed"
)

// underWay says which recharge may still add credits, "" when none may.
func underWay(list []recharge, now time.Time) string {
	for _, r := range list {
		if r.status == statusSucceeded || r.status == statusFailed || r.at.Before(now.Add(-pendingFor)) {
			continue
		}
		return fmt.Sprintf("Talkover's own recharge %s of %s is %.60q", r.id, r.at.Format(time.RFC3339), r.status)
	}
	return ""
}

// topups tells the recharges that added credits lately.
func topups(list []recharge, now time.Time) ([]topup.Topup, error) {
	var all []topup.Topup
	for _, r := range list {
		if r.status != statusSucceeded || r.at.Before(now.Add(-recent)) {
			continue
		}
		t, err := r.topup()
		if err != nil {
			return nil, fmt.Errorf("recharge %s: %w", r.id, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// topup is the recharge in our words. Invoice holds the transaction id, by which
// a purchase of ours would be recognised if Talkover listed it here after all.
func (r recharge) topup() (topup.Topup, error) {
	t := topup.Topup{ID: r.id, Invoice: r.line.ID("transaction_id"), Source: r.line.Text("trigger"), At: r.at}
	cur, err := needCurrency(r.line)
	if err != nil {
		return t, err
	}
	if t.Price, err = needMoney(r.line, "amount", cur); err != nil {
		return t, err
	}
	t.Credits, err = needCredits(r.line, "amount")
	return t, err
}
