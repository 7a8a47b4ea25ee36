package ledger

import (
	"context"
	"fmt"

	"topupd/topup"
)

// Answer stores what became of a request, once for its permit: the change that
// the answer makes to the purchase as it stands when nobody else is changing it,
// and with it a provider's stop and whether the permit was used. The row is read
// under its lock, so a commit of the permit that is still under way is waited
// for. A permit that was answered changes nothing, and one that is not stored only
// when the answer names something that was made: a failover may have lost the
// permit after the request had left. Errors: topup.ErrNotFound, ErrInDoubt; and,
// trying again being no use, topup.ErrRefused (*RefusedError,
// ErrReferenceClaimed).
func (s *Store) Answer(ctx context.Context, r topup.AnswerRequest) (topup.Purchase, error) {
	var stored topup.Purchase
	err := s.write(ctx, "answer", func(ctx context.Context, t tx) error {
		if r.Answer.Stop { // the first lock, because Plan and Permit share it
			if _, err := t.lockProvider(ctx, r.Purchase.Target.Provider, s.sql.alone); err != nil {
				return err
			}
		}
		target, row, err := t.lockRow(ctx, r.Purchase)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		waiting, err := t.exec(ctx, `UPDATE permit SET answered_at = ?, used = ? WHERE purchase_id = ? AND token = ? AND answered_at IS NULL`,
			micros(now), bit(r.Answer.Verdict != topup.NotRun), row.ID, r.Permit)
		if err != nil {
			return err
		}
		if stored, err = row.purchase(); err != nil {
			return err
		}
		if waiting == 0 {
			if lost, err := t.lostPermit(ctx, r); err != nil || !lost {
				return err
			}
		}
		change := r.Change(stored, now)
		if change.Stop != "" && waiting > 0 {
			if err := t.stopProvider(ctx, r, change.Stop); err != nil {
				return err
			}
		}
		stored, err = step{Change: change, tx: t, target: target, before: row, now: now}.take(ctx)
		return err
	})
	if err != nil {
		return topup.Purchase{}, fmt.Errorf("storing an answer to %s: %w", r.Purchase, err)
	}
	return stored, nil
}

// lostPermit tells whether an answer names what a request made whose permit the
// ledger does not know any more.
func (t tx) lostPermit(ctx context.Context, r topup.AnswerRequest) (bool, error) {
	if r.Answer.Reference == "" {
		return false, nil
	}
	var known int
	err := t.get(ctx, &known, `SELECT count(*) FROM permit WHERE purchase_id = ? AND token = ?`, r.Purchase.ID, r.Permit)
	return known == 0, err
}

// stopProvider stops it for the token that the permit was given for.
func (t tx) stopProvider(ctx context.Context, r topup.AnswerRequest, why string) error {
	var token string
	if err := t.get(ctx, &token, `SELECT token_fingerprint FROM permit WHERE purchase_id = ? AND token = ?`, r.Purchase.ID, r.Permit); err != nil {
		return err
	}
	return t.one(ctx, "stopping the provider", `UPDATE provider SET stopped = ?, stopped_token = ? WHERE id = ?`,
		bound(why, 2000), token, string(r.Purchase.Target.Provider))
}
