package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

// Plan opens a purchase, in state planned, or refuses: nothing is stored then.
// It is the one place where purchases begin, and so where P1, P6 and P12 are
// kept. Errors: topup.ErrPurchaseOpen, ErrFactsOvertaken, ErrFactsTooOld,
// ErrPaused, ErrRuleStopped, ErrHeld, ErrChangeHeld, ErrRefunded,
// ErrProvingPrice, *CapError, ErrFirstHold, ErrProviderStopped (also: quarantined), ErrLeaseLost, ErrInDoubt.
func (s *Store) Plan(ctx context.Context, r topup.PlanRequest) (topup.Purchase, error) {
	var planned topup.Purchase
	var newToken bool
	err := s.write(ctx, "plan", func(ctx context.Context, t tx) error {
		provider, err := t.lockProvider(ctx, r.Purchase.Target.Provider, s.sql.share)
		if err != nil {
			return err
		}
		target, err := t.lockTarget(ctx, r.Purchase.Target)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if err := t.mayPlan(ctx, r, provider, target, now); err != nil {
			return err
		}
		if err := t.takeChange(ctx, r.Purchase, now); err != nil {
			return err
		}
		newToken = provider.Stopped != ""
		target.Version++
		if err := t.storeTarget(ctx, r.Purchase.Target, target); err != nil {
			return err
		}
		if planned, err = t.insertPurchase(ctx, r.Purchase, now); err != nil {
			return err
		}
		if err := t.appendEvidence(ctx, planned.ID, now, r.Evidence); err != nil {
			return err
		}
		if err := t.goesAlone(ctx, planned, now); err != nil {
			return err
		}
		return t.countTowardsCaps(ctx, planned, r.Caps) // last: these rows are shared by all purchases
	})
	s.inspected(ctx, err)
	if err != nil {
		return topup.Purchase{}, fmt.Errorf("planning for %s, %s: %w", r.Purchase.Target.Customer, r.Purchase.Target.Product, err)
	}
	s.forgetStop(ctx, newToken, r.Purchase.Target.Provider, r.TokenFingerprint)
	return planned, nil
}

// mayPlan checks everything but the caps. The open purchase comes before the
// version: it is the better explanation of the same thing.
func (t tx) mayPlan(ctx context.Context, r topup.PlanRequest, provider providerRow, target targetRow, now time.Time) error {
	if err := t.store.Fit(); err != nil {
		return err
	}
	if err := t.unmoved(ctx); err != nil {
		return err
	}
	if err := provider.allows(now, r.Lease, r.TokenFingerprint); err != nil {
		return err
	}
	if until := provider.firstSeen().Add(r.FirstHold); now.Before(until) {
		return fmt.Errorf("%w, until %s", topup.ErrFirstHold, until.Format(time.RFC3339))
	}
	probe, err := t.mayProbe(ctx, r.Purchase, target, now)
	if err != nil {
		return err
	}
	if err := t.mayBuy(ctx, r.Purchase.Target, r.Purchase.Rule, target, probe, now); err != nil {
		return err
	}
	var open string
	found, err := t.find(ctx, &open, `SELECT id FROM purchase WHERE provider = ? AND customer = ? AND product = ? AND `+isOpen,
		string(r.Purchase.Target.Provider), string(r.Purchase.Target.Customer), string(r.Purchase.Target.Product))
	if err != nil {
		return err
	}
	if found {
		return fmt.Errorf("%w: %s", topup.ErrPurchaseOpen, open)
	}
	return current(r.Facts, target, now)
}

// mayBuy checks the switches that people and topupd itself throw (P12, P14).
// A probe is let through a stop of its rule because of refusals.
func (t tx) mayBuy(ctx context.Context, target topup.Target, rule string, row targetRow, probe bool, now time.Time) error {
	pauses, err := t.activePauses(ctx, now)
	if err != nil {
		return err
	}
	if probe {
		pauses = topup.Without(pauses, rule, topup.StopRefused)
	}
	switch p := topup.Covering(pauses, target, rule, now); {
	case p != nil && p.Own():
		return fmt.Errorf("%w: %s", topup.ErrRuleStopped, p)
	case p != nil:
		return fmt.Errorf("%w: %s", topup.ErrPaused, p)
	}
	if row.Implausible != "" {
		return fmt.Errorf("%w, as implausible: %s", topup.ErrHeld, row.Implausible)
	}
	return t.notRefunded(ctx, target)
}

// current tells whether facts still hold: nothing was stored for the target
// since, and they are not older than allowed. A clock that went back makes
// facts from the future, which are as old as they are far away.
func current(f topup.Facts, target targetRow, now time.Time) error {
	if f.Version != target.Version {
		return fmt.Errorf("%w: decided at version %d, it is %d", topup.ErrFactsOvertaken, f.Version, target.Version)
	}
	if age := now.Sub(f.At).Abs(); age > f.MaxAge {
		return fmt.Errorf("%w: %s, at most %s", topup.ErrFactsTooOld, age.Round(time.Millisecond), f.MaxAge)
	}
	return nil
}

func (t tx) insertPurchase(ctx context.Context, p topup.Purchase, now time.Time) (topup.Purchase, error) {
	next := now.Add(topup.PlannedLifetime) // when the reconciler cancels it; waiting for the request budget takes as long in a rehearsal
	p.State, p.Revision, p.PlannedAt, p.NextLookAt = topup.Planned, 1, now, &next
	row, err := rowOf(p)
	if err != nil {
		return topup.Purchase{}, err
	}
	row.ChangedAt = micros(now)
	if _, err := t.named(ctx, insertPurchase, row); err != nil {
		if isRule(err, "purchase_one_open") {
			return topup.Purchase{}, fmt.Errorf("%w: %w", topup.ErrPurchaseOpen, err)
		}
		return topup.Purchase{}, err
	}
	return row.purchase()
}

// named is exec with the columns of a struct.
func (t tx) named(ctx context.Context, query string, row any) (int64, error) {
	bound, args, err := sqlx.Named(query, row)
	if err != nil {
		return 0, fmt.Errorf("binding a statement: %w", err)
	}
	return t.exec(ctx, bound, args...)
}

// forgetStop removes a stop that a new token has lifted. Not in the transaction
// that found it so: it holds the provider together with others.
func (s *Store) forgetStop(ctx context.Context, found bool, provider topup.ProviderID, token string) {
	if !found {
		return
	}
	if _, err := s.NoteToken(ctx, provider, token); err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("removing a provider's stop", slog.String("provider", string(provider)), slog.Any("err", err))
	}
}
