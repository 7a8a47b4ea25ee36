package main

import (
	"context"
	"time"

	"topupd/topup"
)

// spending reads the counters behind the caps.
type spending interface {
	Spent(ctx context.Context, scope topup.CapScope, provider topup.ProviderID, id string, period topup.CapPeriod) (purchases int64, spend []topup.Money, err error)
}

// window is one calendar window of one scope.
type window struct {
	scope    topup.CapScope
	provider topup.ProviderID
	id       string
	period   topup.CapPeriod
}

// windowOf is the window in which a purchase for the target counts.
func windowOf(scope topup.CapScope, period topup.CapPeriod, target topup.Target, rule string) window {
	w := window{scope: scope, period: period}
	switch scope {
	case topup.CapGlobal:
	case topup.CapProvider:
		w.provider = target.Provider
	case topup.CapRule:
		w.id = rule
	case topup.CapCustomer:
		w.provider, w.id = target.Provider, string(target.Customer)
	}
	return w
}

// count is what a window holds: purchases under "", money in minor units under
// its currency.
type count map[topup.Currency]int64

// tally counts planned purchases on top of what the ledger has counted, so that
// a plan of many passes no cap that each alone would respect.
type tally struct {
	ledger spending
	stored map[window]count
	added  map[window]count
}

func newTally(ledger spending) *tally {
	return &tally{ledger: ledger, stored: map[window]count{}, added: map[window]count{}}
}

// over tells which cap one more purchase would pass, of several the one that ends
// last; nil when none.
func (t *tally) over(ctx context.Context, target topup.Target, rule string, price topup.Money, caps []topup.Cap, now time.Time) (passed *topup.CapError, err error) {
	for _, c := range caps {
		if c.Currency != "" && c.Currency != price.Currency {
			continue
		}
		w := windowOf(c.Scope, c.Period, target, rule)
		stored, err := t.read(ctx, w)
		if err != nil {
			return nil, err
		}
		more := int64(1)
		if c.Currency != "" {
			more = price.Minor
		}
		if stored[c.Currency]+t.added[w][c.Currency]+more > c.Limit {
			passed = passed.Passed(c, more, now)
		}
	}
	return passed, nil
}

// read asks the ledger once for each window.
func (t *tally) read(ctx context.Context, w window) (count, error) {
	if known, ok := t.stored[w]; ok {
		return known, nil
	}
	purchases, spend, err := t.ledger.Spent(ctx, w.scope, w.provider, w.id, w.period)
	if err != nil {
		return nil, err
	}
	n := count{"": purchases}
	for _, m := range spend {
		n[m.Currency] = m.Minor
	}
	t.stored[w] = n
	return n, nil
}

// add counts one purchase in every window it falls into.
func (t *tally) add(target topup.Target, rule string, price topup.Money) {
	for _, scope := range []topup.CapScope{topup.CapGlobal, topup.CapProvider, topup.CapRule, topup.CapCustomer} {
		for _, period := range []topup.CapPeriod{topup.CapHour, topup.CapDay, topup.CapMonth} {
			w := windowOf(scope, period, target, rule)
			if t.added[w] == nil {
				t.added[w] = count{}
			}
			t.added[w][""]++
			t.added[w][price.Currency] += price.Minor
		}
	}
}
