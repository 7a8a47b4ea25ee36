package daemon

import (
	"context"
	"slices"

	"topupd/ledger"
	"topupd/metrics"
	"topupd/scheduler"
	"topupd/topup"
)

// capGauges shows what is spent and what may be, from the ledger: it is the book,
// and every replica shows the same.
func (d *Daemon) capGauges(ctx context.Context) error {
	spent, err := d.store.Spending(ctx)
	if err != nil {
		return err
	}
	book := d.rulebook.Load()
	var near []metrics.CapsNear
	for _, r := range book.Rules.Rules {
		for _, c := range r.Caps {
			if c.Scope != topup.CapCustomer {
				continue
			}
			n, err := d.store.NearCap(ctx, r.Name, c)
			if err != nil {
				return err
			}
			near = append(near, metrics.CapsNear{Rule: r.Name, Period: c.Period, Currency: c.Currency, Customers: n})
		}
	}
	var providers []capProvider
	for _, l := range d.lines {
		providers = append(providers, capProvider{l.Name, l.ID})
	}
	d.metrics.Caps(capUses(providers, book, spent), near)
	return nil
}

// capProvider is a provider by its label and its id.
type capProvider struct {
	name string
	id   topup.ProviderID
}

// capUses are the windows of everything together, of each provider and of each
// rule, in every unit that something is bought or capped in. A window in which
// nothing was counted yet is there with zero: at midnight no panel goes blank.
func capUses(providers []capProvider, book *scheduler.Rulebook, spent []ledger.Spending) []metrics.CapUse {
	units := []topup.Currency{""}
	add := func(c topup.Currency) {
		if !slices.Contains(units, c) {
			units = append(units, c)
		}
	}
	for _, c := range book.Caps {
		add(c.Currency)
	}
	for _, r := range book.Rules.Rules {
		for _, b := range r.Buy.Bundles {
			add(b.Price.Currency)
		}
	}
	for _, s := range spent {
		add(s.Currency)
	}
	var uses []metrics.CapUse
	windows := func(scope topup.CapScope, name string, caps []topup.Cap, mine func(ledger.Spending) bool) {
		for _, period := range []topup.CapPeriod{topup.CapHour, topup.CapDay, topup.CapMonth} {
			for _, unit := range units {
				use := metrics.CapUse{Scope: scope, ID: name, Period: period, Currency: unit, Limit: -1}
				for _, s := range spent {
					if s.Scope == scope && s.Period == period && s.Currency == unit && mine(s) {
						use.Spent += s.Total
					}
				}
				for _, c := range caps {
					if c.Scope == scope && c.Period == period && c.Currency == unit {
						use.Limit = c.Limit
					}
				}
				uses = append(uses, use)
			}
		}
	}
	windows(topup.CapGlobal, "", book.Caps, func(ledger.Spending) bool { return true })
	for _, p := range providers {
		windows(topup.CapProvider, p.name, book.Caps, func(s ledger.Spending) bool { return s.Provider == p.id })
	}
	for _, r := range book.Rules.Rules {
		windows(topup.CapRule, r.Name, r.Caps, func(s ledger.Spending) bool { return s.Rule == r.Name })
	}
	return uses
}
