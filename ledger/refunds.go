package ledger

import (
	"cmp"
	"context"
	"fmt"

	"topupd/topup"
)

// HoldRefunded holds a target whose last purchase was paid back, until Resume of
// its customer. Nothing changes when that refund holds it already, or was released.
func (s *Store) HoldRefunded(ctx context.Context, target topup.Target, invoice, why string) error {
	return s.write(ctx, "hold_refunded", func(ctx context.Context, t tx) error {
		if _, err := t.lockTarget(ctx, target); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO refund (provider, invoice, customer, product, why, seen_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			string(target.Provider), invoice, string(target.Customer), string(target.Product), cmp.Or(bound(why, 2000), "refunded"), micros(now))
		return err
	})
}

type refundRow struct {
	Invoice    string `db:"invoice"`
	Customer   string `db:"customer"`
	Product    string `db:"product"`
	Why        string `db:"why"`
	ReleasedAt *int64 `db:"released_at"`
}

const refundColumns = `invoice, customer, product, why, released_at`

// refunds adds what is known about refunds of the target, and which purchase could
// be refunded next.
func (v view) refunds(ctx context.Context, target topup.Target, s *topup.Standing) error {
	key := []any{string(target.Provider), string(target.Customer), string(target.Product)}
	var rows []refundRow
	if err := v.list(ctx, &rows, `SELECT `+refundColumns+` FROM refund WHERE provider = ? AND customer = ? AND product = ? ORDER BY seen_at`, key...); err != nil {
		return fmt.Errorf("refunds: %w", err)
	}
	for _, r := range rows {
		if r.ReleasedAt != nil {
			s.Released = append(s.Released, r.Invoice)
		} else {
			s.Refunded = r.Why
		}
	}
	if _, err := v.find(ctx, &s.LastStood, `SELECT coalesce(reference, '') FROM purchase
		WHERE provider = ? AND customer = ? AND product = ? AND state IN ('confirmed', 'credited') AND payment <> 'void'
		ORDER BY planned_at DESC LIMIT 1`, key...); err != nil {
		return fmt.Errorf("the last purchase that stands: %w", err)
	}
	return nil
}

// addRefunds marks the targets of a provider that a refund holds.
func (v view) addRefunds(ctx context.Context, known map[topup.Target]topup.Standing, provider topup.ProviderID) error {
	var rows []refundRow
	if err := v.list(ctx, &rows, `SELECT `+refundColumns+` FROM refund WHERE provider = ? AND released_at IS NULL ORDER BY seen_at`, string(provider)); err != nil {
		return fmt.Errorf("refunds: %w", err)
	}
	for _, r := range rows {
		target := topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}
		standing := known[target] // a refund has a target row
		standing.Refunded = r.Why
		known[target] = standing
	}
	return nil
}

// notRefunded refuses a target that a refund holds.
func (t tx) notRefunded(ctx context.Context, target topup.Target) error {
	var why string
	held, err := t.find(ctx, &why, `SELECT why FROM refund WHERE provider = ? AND customer = ? AND product = ? AND released_at IS NULL LIMIT 1`,
		string(target.Provider), string(target.Customer), string(target.Product))
	if err == nil && held {
		return fmt.Errorf("%w: %s", topup.ErrRefunded, why)
	}
	return err
}

// releaseRefunds lets a customer go whom refunds hold. Their bills stay known, so
// that none of them holds it again.
func (t tx) releaseRefunds(ctx context.Context, provider, customer, by string, now int64) (int, error) {
	query, args := `UPDATE refund SET released_at = ?, released_by = ? WHERE customer = ? AND released_at IS NULL`, []any{now, bound(by, 300), customer}
	if provider != "" {
		query, args = query+` AND provider = ?`, append(args, provider)
	}
	n, err := t.exec(ctx, query, args...)
	return int(n), err
}
