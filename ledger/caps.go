package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/topup"
)

// window is one counter behind the caps.
type window struct {
	Scope    string `db:"scope"`
	Provider string `db:"provider"`
	ID       string `db:"id"`
	Period   string `db:"period"`
	StartsAt int64  `db:"starts_at"`
	Currency string `db:"currency"` // "" counts purchases, else minor units
	Total    int64  `db:"total"`    // in a request: what to add
}

const windowColumns = `scope, provider, id, period, starts_at, currency, total`

var (
	capScopes  = []topup.CapScope{topup.CapGlobal, topup.CapProvider, topup.CapRule, topup.CapCustomer}
	capPeriods = []topup.CapPeriod{topup.CapHour, topup.CapDay, topup.CapMonth}
)

// scopeKey names the windows of a scope. A rule counts by its name alone: one
// rule may buy at several providers.
func scopeKey(scope topup.CapScope, provider topup.ProviderID, id string) (string, string) {
	switch scope {
	case topup.CapGlobal:
		return "", ""
	case topup.CapProvider:
		return string(provider), ""
	case topup.CapRule:
		return "", id
	case topup.CapCustomer:
		return string(provider), id
	default:
		return string(provider), id
	}
}

// capID is the id that a target and its rule have in a scope.
func capID(scope topup.CapScope, target topup.Target, rule string) string {
	if scope == topup.CapRule {
		return rule
	}
	return string(target.Customer)
}

// windowsOf lists every counter of a purchase planned then, sorted: whoever
// locks several of them does so in this order.
func windowsOf(target topup.Target, rule string, price topup.Money, planned time.Time) []window {
	var list []window
	for _, scope := range capScopes {
		provider, id := scopeKey(scope, target.Provider, capID(scope, target, rule))
		for _, period := range capPeriods {
			w := window{Scope: string(scope), Provider: provider, ID: id, Period: string(period), StartsAt: micros(period.Start(planned)), Total: 1}
			list = append(list, w)
			w.Currency, w.Total = string(price.Currency), price.Minor
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b window) int {
		return cmp.Or(
			cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.ID, b.ID),
			cmp.Compare(a.Period, b.Period), cmp.Compare(a.StartsAt, b.StartsAt), cmp.Compare(a.Currency, b.Currency))
	})
	return list
}

// upsertWindows changes all counters in one statement, in their order.
func (t tx) upsertWindows(ctx context.Context, list []window, change string) ([]window, error) {
	args := make([]any, 0, len(list)*7)
	for _, w := range list {
		args = append(args, w.Scope, w.Provider, w.ID, w.Period, w.StartsAt, w.Currency, w.Total)
	}
	var totals []window
	err := t.list(ctx, &totals, `INSERT INTO cap_window (`+windowColumns+`) VALUES `+
		strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?, ?), `, len(list)), ", ")+`
		ON CONFLICT (scope, provider, id, period, starts_at, currency) DO UPDATE SET total = `+change+`
		RETURNING `+windowColumns, args...)
	if err != nil {
		return nil, fmt.Errorf("counting towards the caps: %w", err)
	}
	return totals, nil
}

// countTowardsCaps counts the purchase everywhere, whether capped or not: a cap
// that is configured tomorrow must know today's purchases. A cap that would be
// passed is a *topup.CapError, and the caller rolls back (P6).
func (t tx) countTowardsCaps(ctx context.Context, p topup.Purchase, caps []topup.Cap) error {
	totals, err := t.upsertWindows(ctx, windowsOf(p.Target, p.Rule, p.Price, p.PlannedAt), `cap_window.total + excluded.total`)
	if err != nil {
		return err
	}
	if passed := passedBy(caps, totals, p); passed != nil {
		return passed
	}
	return nil
}

// passedBy finds the cap below one of the totals that ends last.
func passedBy(caps []topup.Cap, totals []window, p topup.Purchase) (passed *topup.CapError) {
	for _, c := range caps {
		for _, w := range totals {
			if w.Scope == string(c.Scope) && w.Period == string(c.Period) && w.Currency == string(c.Currency) && w.Total > c.Limit {
				passed = passed.Passed(c, added(c, p.Price), p.PlannedAt)
			}
		}
	}
	return passed
}

// added is what one purchase of the price adds to a cap's window.
func added(c topup.Cap, price topup.Money) int64 {
	if c.Currency == "" {
		return 1
	}
	return price.Minor
}

// giveBackCaps takes the spend of a purchase out of the windows it was counted
// in, and with it the purchase itself if it certainly never ran.
func (t tx) giveBackCaps(ctx context.Context, row purchaseRow, neverRan bool) error {
	_, err := t.upsertWindows(ctx, row.windows(neverRan), `cap_window.total - excluded.total`)
	return err
}

// takeCaps counts again what giveBackCaps has taken out. A cap that it passes
// stays passed: the charge is a fact.
func (t tx) takeCaps(ctx context.Context, row purchaseRow, neverRan bool) error {
	_, err := t.upsertWindows(ctx, row.windows(neverRan), `cap_window.total + excluded.total`)
	return err
}

// windows are those that count the purchase's spend, and with count itself.
func (r purchaseRow) windows(count bool) []window {
	price := topup.Money{Minor: r.PriceMinor, Currency: topup.Currency(r.PriceCurrency)}
	list := windowsOf(r.target(), r.Rule, price, instant(r.PlannedAt))
	if !count {
		list = slices.DeleteFunc(list, func(w window) bool { return w.Currency == "" })
	}
	return list
}

// OverCap tells which cap a purchase of the price would pass now, of several the
// one that ends last; nil when none. It counts nothing.
func (s *Store) OverCap(ctx context.Context, target topup.Target, rule string, price topup.Money, caps []topup.Cap) (*topup.CapError, error) {
	var passed *topup.CapError
	err := s.read(ctx, "over_cap", func(ctx context.Context, v view) error {
		passed = nil
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		for _, c := range caps {
			if c.Currency != "" && c.Currency != price.Currency {
				continue
			}
			provider, id := scopeKey(c.Scope, target.Provider, capID(c.Scope, target, rule))
			var total int64
			if _, err := v.find(ctx, &total, `
				SELECT total FROM cap_window WHERE scope = ? AND provider = ? AND id = ? AND period = ? AND starts_at = ? AND currency = ?`,
				string(c.Scope), provider, id, string(c.Period), micros(c.Period.Start(now)), string(c.Currency)); err != nil {
				return err
			}
			if add := added(c, price); total+add > c.Limit {
				passed = passed.Passed(c, add, now)
			}
		}
		return nil
	})
	return passed, err
}

// Spent reads the counters of the current window: purchases that were planned
// and not taken back, and money excluding tax per currency. id is the rule's
// name or the customer's id; provider matters to scopes provider and customer.
func (s *Store) Spent(ctx context.Context, scope topup.CapScope, provider topup.ProviderID, id string, period topup.CapPeriod) (purchases int64, spend []topup.Money, err error) {
	err = s.read(ctx, "spent", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		p, i := scopeKey(scope, provider, id)
		var rows []window
		if err := v.list(ctx, &rows, `SELECT `+windowColumns+` FROM cap_window
			WHERE scope = ? AND provider = ? AND id = ? AND period = ? AND starts_at = ? ORDER BY currency`,
			string(scope), p, i, string(period), micros(period.Start(now))); err != nil {
			return err
		}
		for _, r := range rows {
			if r.Currency == "" {
				purchases = r.Total
				continue
			}
			spend = append(spend, topup.Money{Minor: r.Total, Currency: topup.Currency(r.Currency)})
		}
		return nil
	})
	return purchases, spend, err
}
