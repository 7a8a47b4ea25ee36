package scheduler

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"topupd/topup"
)

const (
	// lostFor is how long after its last purchase, inclusive, a target that no rule
	// is for any more is told.
	lostFor = 90 * 24 * time.Hour
	// lostNamed bounds the customers that the log names.
	lostNamed = 10
)

// lost are the targets that were bought for lately and that no rule is for any
// more: a reload may have lost them by a slip. A pause of the customer by a person
// says that it is meant so; so do exclude_ids, a rule in dry run, and the provider
// when it serves the customer no more. What this process has not read yet says
// nothing. The caller holds mu.
func (p *pass) lost(book *Rulebook) (customers []topup.CustomerID) {
	for target, standing := range p.standings {
		if standing.CreditedAt == nil || standing.Now.Sub(*standing.CreditedAt) > lostFor || slices.ContainsFunc(standing.Pauses, byName) {
			continue
		}
		t, known := p.w.tracked[target]
		without := !p.w.bought(book, target.Product) // then it is not even read
		if known {
			without = t.decided == topup.NoRule && !t.reading.ReadAt.IsZero() && t.reading.Account.Inactive == ""
		}
		if without {
			customers = append(customers, target.Customer)
		}
	}
	slices.Sort(customers)
	return slices.Compact(customers)
}

func byName(p topup.Pause) bool { return p.Scope == topup.PauseCustomer && !p.Own() }

// tellLost tells who has lost their rule, in the log when they become more.
func (p *pass) tellLost(ctx context.Context) {
	w := p.w
	w.mu.Lock()
	customers := p.lost(w.Rulebook())
	more := len(customers) > w.lostTold
	w.lostTold = len(customers)
	w.mu.Unlock()
	w.Observer.RuleLost(w.Name, len(customers))
	if more {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "rule lost", slog.String("provider", w.Name), slog.Int("lost", len(customers)),
			slog.Any("customers", customers[:min(len(customers), lostNamed)]),
			slog.String("remedy", "give them a rule again; if it is meant so, exclude_ids, a rule in dry_run, or topupd pause --customer ID"))
	}
}
