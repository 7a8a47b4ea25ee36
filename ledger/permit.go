package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// firstLook is when a sent purchase is looked at for the first time, should its
// sender not come back; shrunk like every look.
const firstLook = 5 * time.Second

// Permit stores the right to put one request on the wire: nothing may leave
// before it returned without error (P2). The first moves the purchase from
// planned to sent; a repeat needs an unclear purchase whose quiet period is
// over with two complete empty looks, facts that still say "buy", and a key
// that is young enough by both clocks (P4). Errors: topup.ErrPaused,
// ErrRuleStopped, ErrHeld, ErrOvertaken, ErrProviderStopped, ErrLeaseLost,
// ErrFactsTooOld, ErrFactsOvertaken, ErrKeyTooOld, ErrLedgerUnfit, ErrInDoubt.
func (s *Store) Permit(ctx context.Context, r topup.PermitRequest) (topup.Purchase, error) {
	var permitted topup.Purchase
	var newToken bool
	err := s.write(ctx, "permit", func(ctx context.Context, t tx) error {
		provider, err := t.lockProvider(ctx, r.Purchase.Target.Provider, s.sql.share)
		if err != nil {
			return err
		}
		target, row, err := t.lockPurchase(ctx, r.Purchase)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if err := s.Fit(); err != nil {
			return err
		}
		if err := t.unmoved(ctx); err != nil {
			return err
		}
		if err := provider.allows(now, r.Lease, r.TokenFingerprint); err != nil {
			return err
		}
		newToken = provider.Stopped != ""
		probe, err := t.isProbe(ctx, row)
		if err != nil {
			return err
		}
		if err := t.mayBuy(ctx, row.target(), row.Rule, target, probe && !r.Repeat, now); err != nil {
			return err
		}
		if err := maySend(r, row, target, now); err != nil {
			return err
		}
		if r.Repeat {
			if err := t.mayRepeat(ctx, row, now); err != nil {
				return err
			}
		}
		permitted, err = t.givePermit(ctx, r, row, now)
		return err
	})
	s.inspected(ctx, err)
	if err != nil {
		return topup.Purchase{}, fmt.Errorf("permit for %s: %w", r.Purchase, err)
	}
	s.forgetStop(ctx, newToken, r.Purchase.Target.Provider, r.TokenFingerprint)
	return permitted, nil
}

// lockPurchase locks target and purchase, and makes sure that the purchase is
// still at the revision that was read.
func (t tx) lockPurchase(ctx context.Context, p topup.Purchase) (targetRow, purchaseRow, error) {
	target, row, err := t.lockRow(ctx, p)
	if err == nil && row.Revision != p.Revision {
		err = fmt.Errorf("%w: it is %s at revision %d, was read at %d", topup.ErrOvertaken, row.State, row.Revision, p.Revision)
	}
	return target, row, err
}

// lockRow locks target and purchase, in this order, as they stand.
func (t tx) lockRow(ctx context.Context, p topup.Purchase) (targetRow, purchaseRow, error) {
	target, err := t.lockTarget(ctx, p.Target)
	if err != nil {
		return target, purchaseRow{}, err
	}
	var row purchaseRow
	found, err := t.find(ctx, &row, `SELECT `+purchaseColumns+` FROM purchase WHERE id = ?`+t.store.sql.update, p.ID)
	switch {
	case err != nil:
		return target, row, err
	case !found:
		return target, row, fmt.Errorf("purchase %s: %w", p.ID, topup.ErrNotFound)
	case row.target() != p.Target:
		return target, row, fmt.Errorf("purchase %s is for %s, %s: %w", p.ID, row.Customer, row.Product, topup.ErrOvertaken)
	default:
		return target, row, nil
	}
}

// maySend tells whether the row allows one more request.
func maySend(r topup.PermitRequest, row purchaseRow, target targetRow, now time.Time) error {
	state := topup.State(row.State)
	if !r.Repeat {
		if state != topup.Planned {
			return fmt.Errorf("%w: a first request needs a planned purchase, it is %s", topup.ErrOvertaken, state)
		}
		return nil
	}
	if state != topup.Sent || row.Refused != 0 || row.NeverRepeat != 0 || row.Repeats >= topup.MaxRepeats || row.SentAt == nil || row.LastSentAt == nil {
		return fmt.Errorf("%w: a repeat needs an unclear purchase with repeats left; it is %s, refused %t, not to be repeated %t, repeated %d times",
			topup.ErrOvertaken, state, row.Refused != 0, row.NeverRepeat != 0, row.Repeats)
	}
	clock := now
	if r.ServerTime.After(clock) {
		clock = r.ServerTime
	}
	if age := clock.Sub(instant(*row.SentAt)); age > topup.KeyLifetime {
		return fmt.Errorf("%w: %s, at most %s", topup.ErrKeyTooOld, age.Round(time.Second), topup.KeyLifetime)
	}
	if quiet := instant(*row.LastSentAt).Add(span(row.QuietPeriodUS)); now.Before(quiet) || row.EmptyLooks < 2 {
		return fmt.Errorf("%w: a repeat waits for the end of the quiet period at %s and two complete empty looks, there are %d",
			topup.ErrOvertaken, quiet.Format(time.RFC3339), row.EmptyLooks)
	}
	return current(r.Facts, target, now)
}

// givePermit stores the permit, then the row: the schema refuses a send
// without one.
func (t tx) givePermit(ctx context.Context, r topup.PermitRequest, row purchaseRow, now time.Time) (topup.Purchase, error) {
	var n int64
	if err := t.get(ctx, &n, `SELECT count(n) + 1 FROM permit WHERE purchase_id = ?`, row.ID); err != nil {
		return topup.Purchase{}, err
	}
	at := micros(now)
	if _, err := t.exec(ctx, `
		INSERT INTO permit (purchase_id, n, token, replica, at, idempotency_key, fingerprint, token_fingerprint, term)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		row.ID, n, r.Token, bound(r.Replica, 300), at, row.Key, row.Fingerprint, r.TokenFingerprint, r.Lease.Term); err != nil {
		return topup.Purchase{}, fmt.Errorf("storing permit %d: %w", n, err)
	}
	look := micros(now.Add(topup.Scaled(firstLook, span(row.QuietPeriodUS))))
	if err := t.one(ctx, "moving to sent", `
		UPDATE purchase SET revision = revision + 1, state = 'sent', permit_token = ?, permit_at = ?,
			sent_at = coalesce(sent_at, ?), last_sent_at = ?, attempts = attempts + 1, repeats = repeats + ?,
			empty_looks = 0, empty_look_at = NULL, looked_at = NULL, look_step = 1, next_look_at = ?,
			found = '', found_at = NULL, changed_at = ?
		WHERE id = ? AND revision = ?`,
		r.Token, at, at, at, bit(r.Repeat), look, at, row.ID, row.Revision); err != nil {
		return topup.Purchase{}, err
	}
	what := "permit for the request"
	if r.Repeat {
		what = "permit to repeat the request under the same key"
	}
	note := topup.Evidence{
		Kind: topup.EvidencePermit, From: topup.State(row.State), To: topup.Sent,
		Text: fmt.Sprintf("%s, given to %s (permit %d)", what, r.Replica, n),
	}
	if err := t.appendEvidence(ctx, row.ID, now, []topup.Evidence{note}); err != nil {
		return topup.Purchase{}, err
	}
	return t.stored(ctx, row.ID)
}
