package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"topupd/topup"
)

// Rewind puts right what a clock that was ahead for a moment has left in the
// future at a provider: looks, ends, cooldowns and back-offs that are further
// ahead than they could have been set are written once as if set now. They are
// never taken for over, and what says when a request was sent stays as it is.
func (s *Store) Rewind(ctx context.Context, provider topup.ProviderID) error {
	var purchases []topup.Purchase
	var targets []topup.Target
	err := s.read(ctx, "rewind", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		if purchases, err = v.purchasesAhead(ctx, provider, now); err != nil {
			return err
		}
		targets, err = v.targetsAhead(ctx, provider, now)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range purchases {
		if err := s.rewindPurchase(ctx, p); err != nil && !errors.Is(err, topup.ErrOvertaken) && !errors.Is(err, topup.ErrRefused) {
			return err
		}
	}
	for _, target := range targets {
		if err := s.rewindTarget(ctx, target); err != nil {
			return err
		}
	}
	if n := len(purchases) + len(targets); n > 0 {
		s.log.Warn("the database's clock had been ahead; what it left in the future is as if set now",
			slog.String("provider", string(provider)), slog.Int("purchases", len(purchases)), slog.Int("targets", len(targets)))
	}
	return nil
}

// purchasesAhead finds them among the open ones, and among those that have ended
// and are looked at later than any can be.
func (v view) purchasesAhead(ctx context.Context, provider topup.ProviderID, now time.Time) (ahead []topup.Purchase, err error) {
	at := micros(now)
	open, err := v.purchases(ctx, openAt+` AND (next_look_at > ? OR empty_look_at > ? OR looked_at > ? OR found_at > ? OR confirmed_at > ?)`,
		string(provider), at, at, at, at, at)
	if err != nil {
		return nil, err
	}
	ended, err := v.purchases(ctx, `provider = ? AND next_look_at > ? AND NOT (`+isOpen+`)`, string(provider), micros(now.Add(topup.MostBetweenLooks)))
	if err != nil {
		return nil, err
	}
	for _, p := range append(open, ended...) {
		if _, wrong := topup.Rewound(p, now); wrong {
			ahead = append(ahead, p)
		}
	}
	return ahead, nil
}

func (s *Store) rewindPurchase(ctx context.Context, p topup.Purchase) error {
	err := s.write(ctx, "rewind", func(ctx context.Context, t tx) error {
		target, row, err := t.lockPurchase(ctx, p)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		change, wrong := topup.Rewound(p, now)
		if !wrong {
			return nil
		}
		_, err = step{Change: change, tx: t, target: target, before: row, now: now}.take(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("rewinding %s: %w", p, err)
	}
	return nil
}

// targetsAhead finds the targets with a time in the future that only the past has.
func (v view) targetsAhead(ctx context.Context, provider topup.ProviderID, now time.Time) (ahead []topup.Target, err error) {
	var rows []targetRow
	at := micros(now)
	err = v.list(ctx, &rows, `SELECT `+targetColumns+` FROM target WHERE provider = ?
		AND (ended_at > ? OR credited_at > ? OR external_at > ? OR unused_until > ? OR backoff_until > ?)`,
		string(provider), at, at, at, at, at)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		target := topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}
		wrong, err := v.rewind(ctx, target, &r, now)
		if err != nil {
			return nil, err
		}
		if wrong {
			ahead = append(ahead, target)
		}
	}
	return ahead, nil
}

func (s *Store) rewindTarget(ctx context.Context, target topup.Target) error {
	err := s.write(ctx, "rewind", func(ctx context.Context, t tx) error {
		row, err := t.lockTarget(ctx, target)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if wrong, err := t.rewind(ctx, target, &row, now); err != nil || !wrong {
			return err
		}
		return t.storeTarget(ctx, target, row)
	})
	if err != nil {
		return fmt.Errorf("rewinding %s of %s: %w", target.Product, target.Customer, err)
	}
	return nil
}

// rewind puts the row right and tells whether anything was wrong. A back-off is
// held against the terms of the target's newest purchase.
func (v view) rewind(ctx context.Context, target topup.Target, row *targetRow, now time.Time) (wrong bool, err error) {
	at := micros(now)
	for _, past := range []**int64{&row.EndedAt, &row.CreditedAt, &row.ExternalAt} {
		if topup.Ahead(pointer(*past), now) {
			*past, wrong = &at, true
		}
	}
	if wait := now.Add(topup.UnusedWait(max(1, row.Unused))); topup.Ahead(pointer(row.UnusedUntil), wait) {
		until, today := micros(wait), micros(topup.CapDay.Start(now))
		row.UnusedUntil, wrong = &until, true
		if row.UnusedDay != nil && *row.UnusedDay > today {
			row.UnusedDay = &today
		}
	}
	if !topup.Ahead(pointer(row.BackoffUntil), now) {
		return wrong, nil
	}
	var newest purchaseRow
	found, err := v.find(ctx, &newest, `SELECT backoff_us, max_backoff_us, suspend_after FROM purchase
		WHERE provider = ? AND customer = ? AND product = ? ORDER BY planned_at DESC LIMIT 1`,
		string(target.Provider), string(target.Customer), string(target.Product))
	if err != nil || !found {
		return wrong, err
	}
	terms := newest.declines()
	if topup.Ahead(pointer(row.BackoffUntil), now.Add(terms.MaxBackoff)) {
		until := micros(now.Add(terms.Wait(max(1, row.Declines))))
		row.BackoffUntil, wrong = &until, true
	}
	return wrong, nil
}
