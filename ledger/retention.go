package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

const (
	// forgetTargets and forgetPurchases bound one transaction of retention, which
	// on SQLite everybody else waits for: 4,000 evaluations, or the history of so
	// many purchases.
	forgetTargets   = 200
	forgetPurchases = 50
)

// ForgetEvaluations deletes evaluations from before then, of the targets that
// follow one in the order of Targets, a page at a time; done tells that there
// were no more. The newest evaluation of each target stays, unless it is from
// before then itself and the ledger holds nothing else about the target: a
// customer who left.
func (s *Store) ForgetEvaluations(ctx context.Context, before time.Time, after topup.Target) (next topup.Target, forgotten int, done bool, err error) {
	var page []evaluationRow
	err = s.read(ctx, "forget_evaluations", func(ctx context.Context, v view) error {
		return v.list(ctx, &page, `SELECT provider, customer, product FROM snapshot WHERE (provider, customer, product) > (?, ?, ?)
			ORDER BY provider, customer, product LIMIT ?`, string(after.Provider), string(after.Customer), string(after.Product), forgetTargets)
	})
	if err != nil || len(page) == 0 {
		return after, 0, true, err
	}
	next = page[len(page)-1].target()
	const (
		within = `(provider, customer, product) > (?, ?, ?) AND (provider, customer, product) <= (?, ?, ?) AND at < ?`
		of     = ` WHERE s.provider = evaluation.provider AND s.customer = evaluation.customer AND s.product = evaluation.product`
		left   = ` s.at < ? AND NOT EXISTS (SELECT 1 FROM target AS t WHERE t.provider = s.provider AND t.customer = s.customer AND t.product = s.product)`
	)
	at := micros(before)
	bounds := []any{string(after.Provider), string(after.Customer), string(after.Product), string(next.Provider), string(next.Customer), string(next.Product), at}
	err = s.write(ctx, "forget_evaluations", func(ctx context.Context, t tx) error {
		old, err := t.exec(ctx, `DELETE FROM evaluation WHERE `+within+` AND (n <> (SELECT s.evaluations FROM snapshot AS s`+of+`)
			OR EXISTS (SELECT 1 FROM snapshot AS s`+of+` AND`+left+`))`, append(bounds[:7:7], at)...)
		if err != nil {
			return fmt.Errorf("forgetting evaluations: %w", err)
		}
		forgotten = int(old)
		if _, err = t.exec(ctx, `DELETE FROM snapshot AS s WHERE `+within+` AND`+left, append(bounds[:7:7], at)...); err != nil {
			return fmt.Errorf("forgetting who left: %w", err)
		}
		return nil
	})
	return next, forgotten, len(page) < forgetTargets, err
}

// ForgetEvidence deletes the steps between of purchases that ended before then,
// their payment too, the oldest first; done tells that there were no more. The
// purchases, their permits, the provider's answers and what people decided stay
// for ever: the schema refuses more.
func (s *Store) ForgetEvidence(ctx context.Context, before time.Time) (forgotten int, done bool, err error) {
	err = s.write(ctx, "forget_evidence", func(ctx context.Context, t tx) error {
		var ids []string
		if err := t.list(ctx, &ids, `SELECT id FROM purchase WHERE finished_at IS NOT NULL AND trimmed = 0 AND finished_at < ?
			AND payment NOT IN ('pending', 'failed') ORDER BY finished_at LIMIT ?`+s.sql.update, micros(before), forgetPurchases); err != nil {
			return err
		}
		if done = len(ids) < forgetPurchases; len(ids) == 0 {
			return nil
		}
		in, args, err := sqlx.In(`(?)`, ids)
		if err != nil {
			return fmt.Errorf("binding ids: %w", err)
		}
		n, err := t.exec(ctx, `DELETE FROM evidence WHERE purchase_id IN `+in+` AND kind IN ('planned', 'look', 'payment', 'state')`, args...)
		if err != nil {
			return fmt.Errorf("forgetting evidence: %w", err)
		}
		forgotten = int(n)
		_, err = t.exec(ctx, `UPDATE purchase SET trimmed = 1, trail = '' WHERE id IN `+in, args...)
		return err
	})
	return forgotten, done && err == nil, err
}
