package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// stamped are the times of rows, in the order of the list.
func stamped(rows []clients.Object, keys ...string) []time.Time {
	var times []time.Time
	for _, r := range rows {
		for _, key := range keys {
			if at := r.Time(key); !at.IsZero() {
				times = append(times, at)
				break
			}
		}
	}
	return times
}

// sorting says in which order times come: "newest first", "oldest first", "no
// order", or "" when that cannot be told from so few.
func sorting(times []time.Time) string {
	falling, rising := true, true
	for i := 1; i < len(times); i++ {
		falling = falling && !times[i].After(times[i-1])
		rising = rising && !times[i].Before(times[i-1])
	}
	switch {
	case len(times) < 2 || falling && rising:
		return ""
	case falling:
		return newest
	case rising:
		return oldest
	default:
		return "no order"
	}
}

const (
	newest = "newest first"
	oldest = "oldest first"
)

// invoices looks at the list of bills: whether its parameters are honoured, since
// unknown ones are ignored without a word, and which bills are not paid.
func (e *examination) invoices(ctx context.Context) {
	list := func(filter url.Values) ([]clients.Object, error) {
		filter.Set("limit", "100")
		o, _, err := e.get(ctx, "invoices", invoicesPath, filter, e.Provider.Token)
		return objects(o), err
	}
	all, err := list(url.Values{"status": {"all"}, "sort": {"created_at"}, "order": {"desc"}})
	if err != nil {
		return // scopes has said so
	}
	e.unpaid(all)
	switch order := sorting(stamped(all, "issued_at", "updated_at")); order {
	case newest:
		e.say("invoice order", OK, "", "sort=created_at&order=desc is honoured: newest first")
	case "":
		e.say("invoice order", Unknown, "", "%s: too few to tell", many(len(all), "invoice"))
	default:
		e.say("invoice order", Warn, "topupd then reads every page of a customer's invoices: watch the read budget of customers with many", "sort=created_at&order=desc gives %s", order)
	}
	usual, err := list(url.Values{"sort": {"created_at"}, "order": {"desc"}})
	if err != nil {
		return
	}
	if open := count(all, func(r clients.Object) bool { return r.Text("status") == "open" }); open > 0 && len(usual) < len(all) {
		e.say("invoice status", OK, "", "status=all is honoured: %s more than without it", many(len(all)-len(usual), "invoice"))
	} else {
		e.say("invoice status", Unknown, "", "no open invoice, so whether status=all is honoured does not show")
	}
}

// unpaid counts bills for credits that are neither paid nor over.
func (e *examination) unpaid(rows []clients.Object) {
	bad, pending := map[string]bool{}, 0
	for _, r := range rows {
		if !forCredits(r) {
			continue
		}
		switch r.Text("status") {
		case "paid", "voided", "closed", "draft", "consolidated", "charged_on_parent":
		case "error", "late", "uncollectible", "partially_paid":
			customer, _ := r.Object("customer")
			bad[customer.ID("id")] = true
		default:
			pending++
		}
	}
	if len(bad) > 0 {
		e.say("unpaid invoices", Warn, "settle or void them: nothing is bought for these customers until then", "failed credit invoices of %s, %d more pending", many(len(bad), "customer"), pending)
		return
	}
	e.say("unpaid invoices", OK, "", "none failed, %d pending, among the newest %d of all kinds", pending, len(rows))
}

func forCredits(invoice clients.Object) bool {
	lines, _ := invoice.List("line_items")
	for _, raw := range lines {
		if line, err := clients.ParsePart(raw); err == nil && line.Text("product_type") == "credit" {
			return true
		}
	}
	return false
}

// maxLedgers is how many customers' ledgers are opened to find one that tells
// something.
const maxLedgers = 20

// rows looks at a customer's credit ledger: its order, and the filter by type.
func (e *examination) rows(ctx context.Context, readings []topup.Reading) {
	var best []clients.Object
	var of topup.Target
	for _, r := range readings[:min(len(readings), maxLedgers)] {
		rows, err := e.ledger(ctx, r.Target, nil)
		if err == nil && (len(rows) > len(best) || kinds(rows) > kinds(best)) {
			best, of = rows, r.Target
		}
		if kinds(best) > 1 && len(best) > 2 {
			break
		}
	}
	switch order := sorting(stamped(best, "created_at")); order {
	case newest, oldest:
		e.say("ledger order", OK, "", "%s", order)
	case "":
		e.say("ledger order", Unknown, "", "no ledger with rows of different times among the first %d customers", min(len(readings), maxLedgers))
	default:
		e.say("ledger order", Warn, "topupd then reads whole ledgers: watch the read budget", "%s", order)
	}
	if kinds(best) < 2 {
		e.say("type filter", Unknown, "", "no ledger with rows of several types among the first %d customers", min(len(readings), maxLedgers))
		return
	}
	filtered, err := e.ledger(ctx, of, url.Values{"type": {"topup"}})
	others := count(filtered, func(r clients.Object) bool { return r.Text("type") != "topup" })
	switch {
	case err != nil:
		e.say("type filter", Unknown, "", "%v", err)
	case others > 0:
		e.say("type filter", Warn, "topupd leaves the other rows out by itself, but reads them: watch the read budget", "type=topup is ignored: %s of other types came", many(others, "row"))
	default:
		e.say("type filter", OK, "", "type=topup is honoured")
	}
}

func (e *examination) ledger(ctx context.Context, t topup.Target, filter url.Values) ([]clients.Object, error) {
	query := url.Values{"take": {"100"}}
	maps.Copy(query, filter)
	o, _, err := e.get(ctx, "transactions", ledgerPath(t), query, e.Provider.Token)
	return objects(o), err
}

func ledgerPath(t topup.Target) string { return creditPath(t) + "/transactions" }

func creditPath(t topup.Target) string {
	return "/v1/customers/" + url.PathEscape(string(t.Customer)) + "/credits/" + url.PathEscape(string(t.Product))
}

func kinds(rows []clients.Object) int {
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r.Text("type")] = true
	}
	return len(seen)
}

// furthest is the largest skip + take that is tried: nobody has more balances.
const furthest = 1_000_000

// skip finds out how far the list of balances may be skipped (beyond 10,000
// other lists answer 400; Hyperline docs, /api-reference/docs/upgrades, read
// 2026-11-20).
func (e *examination) skip(ctx context.Context) {
	taken := func(n int) (bool, error) {
		_, _, err := e.get(ctx, "credits", creditsPath, url.Values{"take": {"1"}, "skip": {strconv.Itoa(n - 1)}}, e.Provider.Token)
		if status(err) == http.StatusBadRequest {
			return false, nil
		}
		return err == nil, err
	}
	limit, err := largest(taken, furthest)
	switch {
	case err != nil:
		e.say("skip limit", Unknown, "", "%v", err)
	case limit >= furthest:
		e.say("skip limit", OK, "", "none up to %d", furthest)
	default:
		e.say("skip limit", OK, "", "skip + take beyond %d is refused: longer lists are read in parts", limit)
		e.found(topup.SkipLimit, strconv.Itoa(max(1, limit)))
	}
}

// largest finds the largest n up to most for which is holds, if it holds up to
// some n and not beyond.
func largest(is func(int) (bool, error), most int) (int, error) {
	if ok, err := is(most); ok || err != nil {
		return most, err
	}
	low, high := 0, most // is(low) holds, is(high) does not
	for high-low > 1 {
		mid := low + (high-low)/2
		ok, err := is(mid)
		if err != nil {
			return 0, fmt.Errorf("looking for the largest skip: %w", err)
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}
