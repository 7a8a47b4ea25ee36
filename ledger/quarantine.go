package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// endQuarantine forgets everything about a quarantine.
const endQuarantine = `UPDATE provider SET quarantined = '', quarantined_at = NULL, quarantine_held = 0, quarantine_witness = ''`

// Quarantine stops purchases at a provider until Resume (P18).
func (s *Store) Quarantine(ctx context.Context, provider topup.ProviderID, why string) error {
	return s.write(ctx, "quarantine", func(ctx context.Context, t tx) error {
		row, err := t.lockProvider(ctx, provider, s.sql.alone)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		return t.holdQuarantine(ctx, row, why, now)
	})
}

// holdQuarantine leaves the end of a quarantine to a person.
func (t tx) holdQuarantine(ctx context.Context, row providerRow, why string, now time.Time) error {
	return t.one(ctx, "quarantining "+row.ID, `UPDATE provider SET quarantined = ?, quarantine_held = 1, quarantine_witness = '',
		quarantined_at = coalesce(quarantined_at, ?) WHERE id = ?`, bound(why, 2000), micros(now), row.ID)
}

// EndQuarantine ends the quarantine that was read about, if it is still that one
// and the lease is ours. why is not empty when it stays, and for a person from
// now on, because somebody else buys with the same key: an addition of credits
// that was paid for after e.Others and that no purchase explains. Errors:
// topup.ErrLeaseLost, topup.ErrOvertaken (another quarantine, or none).
func (s *Store) EndQuarantine(ctx context.Context, e topup.QuarantineEnd) (why string, err error) {
	err = s.write(ctx, "end_quarantine", func(ctx context.Context, t tx) error {
		why = ""
		row, err := t.lockProvider(ctx, e.Lease.Provider, s.sql.alone)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		switch {
		case !row.heldUnder(e.Lease, now):
			return fmt.Errorf("%s, term %d of %s: %w", row.ID, e.Lease.Term, e.Lease.Holder, topup.ErrLeaseLost)
		case row.Quarantined == "", row.QuarantineHeld != 0, row.QuarantinedAt == nil, !instant(*row.QuarantinedAt).Equal(e.Since):
			return fmt.Errorf("ending the quarantine of %s: %w", row.ID, topup.ErrOvertaken)
		}
		var other struct {
			ID string `db:"id"`
			At int64  `db:"at"`
		}
		found, err := t.find(ctx, &other, `SELECT id, at FROM external_topup WHERE provider = ? AND invoice <> '' AND at > ? ORDER BY at, id LIMIT 1`,
			row.ID, micros(e.Others))
		if err != nil {
			return err
		}
		if found {
			why = fmt.Sprintf("%s was bought at %s, after the quarantine began, and not by this installation: another one (a copy of this database, the "+
				"other half of a split) may be buying with the same key; make sure that it does not, then topupd resume --provider %s; before: %s",
				other.ID, instant(other.At).Format(time.RFC3339), row.Name, row.Quarantined)
			return t.holdQuarantine(ctx, row, why, now)
		}
		if err := t.one(ctx, "ending the quarantine", endQuarantine+` WHERE id = ?`, row.ID); err != nil {
			return err
		}
		return t.raiseKnown(ctx, e.Lease.Provider, e.ReadAt, now)
	})
	if err != nil {
		return "", err
	}
	return why, nil
}

// NoteKnown notes up to when the ledger knows every purchase that the provider's
// books show: the database time before they were read, or of a life in which
// nothing was bought elsewhere. It goes back only from the future, and does not
// move while the provider is quarantined or the lease is not ours.
func (s *Store) NoteKnown(ctx context.Context, lease topup.Lease, at time.Time) error {
	return s.write(ctx, "note_known", func(ctx context.Context, t tx) error {
		row, err := t.lockProvider(ctx, lease.Provider, s.sql.update)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil || row.Quarantined != "" || !row.heldUnder(lease, now) {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM mark WHERE at < ?`, micros(now.Add(-markLife))); err != nil {
			return fmt.Errorf("forgetting old marks: %w", err)
		}
		return t.raiseKnown(ctx, lease.Provider, at, now)
	})
}

// raiseKnown never lowers what is known, unless that was noted by a clock that
// was ahead.
func (t tx) raiseKnown(ctx context.Context, provider topup.ProviderID, at, now time.Time) error {
	_, err := t.exec(ctx, `UPDATE provider SET known_at = ? WHERE id = ? AND (coalesce(known_at, 0) < ? OR known_at > ?)`,
		micros(at), string(provider), micros(at), micros(now))
	return err
}

// knownAt is never empty in a ledger of this version.
func (r providerRow) knownAt() time.Time {
	if r.KnownAt == nil {
		return instant(r.FirstSeenAt)
	}
	return instant(*r.KnownAt)
}

// heldUnder tells whether the lease is the one that runs now.
func (r providerRow) heldUnder(lease topup.Lease, now time.Time) bool {
	return lease.Provider == topup.ProviderID(r.ID) && lease.Holder == r.Holder && lease.Term == r.Term && instant(r.LeaseUntil).After(now)
}
