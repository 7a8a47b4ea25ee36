package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// Advance stores one step of a purchase, whole or not at all, if it is still at
// Next.Revision. What follows from the step is stored with it: the target's
// version and cooldown facts, declines and suspension, the caps that it gives
// back, imports. FinishedAt is the database clock. A claim that stands is never
// taken off another purchase. What a request brought is stored by Answer. Errors:
// topup.ErrOvertaken, ErrNotFound, ErrInDoubt; and, trying again being no use,
// topup.ErrRefused (*RefusedError, ErrReferenceClaimed).
func (s *Store) Advance(ctx context.Context, c topup.Change) (topup.Purchase, error) {
	var stored topup.Purchase
	err := s.write(ctx, "advance", func(ctx context.Context, t tx) error {
		target, row, err := t.lockPurchase(ctx, c.Next)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		stored, err = step{Change: c, tx: t, target: target, before: row, now: now}.take(ctx)
		return err
	})
	if err != nil {
		return topup.Purchase{}, fmt.Errorf("advancing %s: %w", c.Next, err)
	}
	return stored, nil
}

// step is one change under way: the rows are locked.
type step struct {
	topup.Change
	tx     tx
	target targetRow
	before purchaseRow
	now    time.Time
}

// take checks and stores the step and returns the purchase as it is then.
func (s step) take(ctx context.Context) (topup.Purchase, error) {
	if err := s.check(ctx); err != nil {
		return topup.Purchase{}, err
	}
	if err := s.store(ctx); err != nil {
		return topup.Purchase{}, err
	}
	return s.tx.stored(ctx, s.before.ID)
}

// check refuses what the caller can act on; the schema refuses the rest.
func (s step) check(ctx context.Context) error {
	from, to := topup.State(s.before.State), s.Next.State
	if s.Correction && !topup.Correctable(from, to) {
		return fmt.Errorf("a %s purchase cannot be corrected to %s: %w", from, to, topup.ErrRefused)
	}
	if !s.Correction && !topup.Allowed(from, to) {
		return fmt.Errorf("a %s purchase cannot become %s: %w", from, to, topup.ErrRefused)
	}
	if to == topup.Sent && from != topup.Sent {
		return fmt.Errorf("only a permit makes a purchase sent: %w", topup.ErrRefused)
	}
	if s.Next.Reference == "" {
		return nil
	}
	var other string
	claimed, err := s.tx.find(ctx, &other, `SELECT id FROM purchase WHERE provider = ? AND reference = ? AND id <> ?`,
		s.before.Provider, s.Next.Reference, s.before.ID)
	if err == nil && claimed {
		return fmt.Errorf("%w: %s explains purchase %s", ErrReferenceClaimed, s.Next.Reference, other)
	}
	return err
}

func (s *step) store(ctx context.Context) error {
	// First: the schema takes a correction only with its entry.
	if err := s.tx.appendEvidence(ctx, s.before.ID, s.now, s.Evidence); err != nil {
		return err
	}
	if err := s.storePurchase(ctx); err != nil {
		return err
	}
	if _, err := s.tx.importTopups(ctx, &s.target, s.before.target(), s.External, s.now, false); err != nil {
		return err
	}
	s.follow()
	if err := s.tx.storeTarget(ctx, s.before.target(), s.target); err != nil {
		return err
	}
	if err := s.logResolution(ctx); err != nil {
		return err
	}
	if err := s.noteRefusal(ctx); err != nil {
		return err
	}
	if err := s.showPrice(ctx); err != nil {
		return err
	}
	return s.giveBack(ctx)
}

// logResolution keeps a person's decision beside the pauses.
func (s step) logResolution(ctx context.Context) error {
	if s.Next.ResolvedBy == "" || !s.Correction && s.Next.ResolvedBy == s.before.ResolvedBy && s.Next.Note == s.before.Note {
		return nil
	}
	kind := ActionResolve
	if s.Correction {
		kind = ActionCorrect
	}
	return s.tx.logAction(ctx, Action{
		At: s.now, Kind: kind, Provider: s.Next.Target.Provider, Subject: s.before.ID,
		By: s.Next.ResolvedBy, Reason: s.Next.Note, Effect: s.before.State + " → " + string(s.Next.State),
	})
}

// ends tells whether this step takes the purchase to a final state.
func (s step) ends() bool {
	return topup.State(s.before.State).Open() && !s.Next.State.Open()
}

func (s step) storePurchase(ctx context.Context) error {
	row := s.before
	if err := row.move(s.Next); err != nil {
		return err
	}
	row.ChangedAt = micros(s.now)
	if s.ends() {
		row.FinishedAt = &row.ChangedAt
	}
	if s.Next.State == topup.Confirmed && row.ConfirmedAt == nil {
		row.ConfirmedAt = &row.ChangedAt
	}
	if s.Correction {
		row.CorrectedAt = &row.ChangedAt
	}
	n, err := s.tx.named(ctx, updatePurchase, row)
	switch {
	case isRule(err, "purchase_reference"): // claimed between check and here, by a purchase of another target
		return fmt.Errorf("%w: %w", ErrReferenceClaimed, err)
	case err != nil:
		return err
	case n != 1:
		return fmt.Errorf("%w: %d rows at revision %d", topup.ErrOvertaken, n, row.Revision)
	default:
		return nil
	}
}

// follow is what the step means for the target.
func (s *step) follow() {
	if s.Lift {
		s.target.lift()
	}
	switch {
	case s.Decline && s.Refusal.Words != "":
		s.target.refuse(s.Refusal.Words, s.before, s.now)
	case s.Decline:
		s.target.decline(s.before.declines(), s.now)
	}
	switch {
	case s.Unused:
		s.target.turnedAway(s.now)
	case s.Next.State == topup.Confirmed || s.Next.State == topup.Declined || s.Next.Refused: // one was heard
		s.target.Unused, s.target.UnusedUntil = 0, nil
	}
	s.target.NewestRowAt = later(s.target.NewestRowAt, optional(s.Next.RowAt))
	if s.ends() || s.Correction { // what was decided before is overtaken (P1)
		s.target.Version++
	}
	if !s.ends() {
		return
	}
	at := micros(s.now)
	s.target.EndedAt, s.target.EndedState = &at, string(s.Next.State)
	if s.Next.State == topup.Credited {
		s.target.CreditedAt = &at
	}
}

// giveBack returns to the caps what the purchase did not use: its spend unless
// it credited, and its place among the purchases if it certainly never ran.
func (s step) giveBack(ctx context.Context) error {
	switch from := topup.State(s.before.State); {
	case s.Next.State == topup.Credited && (from == topup.Declined || from == topup.Cancelled): // it was given back, and was charged after all
		return s.tx.takeCaps(ctx, s.before, from == topup.Cancelled)
	case s.Next.State == topup.Credited || !s.ends() && !s.Correction:
		return nil
	default:
		return s.tx.giveBackCaps(ctx, s.before, s.Next.State == topup.Cancelled)
	}
}
