package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/topup"
)

// Resumed is what a Resume found to lift. All zero: there was nothing.
type Resumed struct {
	Pauses      []topup.Pause
	Suspensions int  // targets whose suspension or back-off ended
	Refunds     int  // refunds that held a customer
	Implausible int  // targets held as implausible
	Stop        bool // a refused token was forgiven
	Hold        bool // the hold of a new provider ended early
	Quarantine  bool
	Changed     int // targets that only a change of terms had made low, and that it held
}

// String lists what was lifted, for the log of actions.
func (r Resumed) String() string {
	var parts []string
	count := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	for _, p := range r.Pauses {
		parts = append(parts, "pause "+p.ID+" by "+p.By)
	}
	count(r.Suspensions, "suspensions or back-offs")
	count(r.Refunds, "holds after a refund")
	count(r.Implausible, "implausible holds")
	count(r.Changed, "targets held after a change of terms")
	count(int(bit(r.Stop)), "stop")
	count(int(bit(r.Hold)), "first hold")
	count(int(bit(r.Quarantine)), "quarantine")
	if len(parts) == 0 {
		return "nothing to lift"
	}
	return "lifted: " + strings.Join(parts, ", ")
}

// SeveralPausesError says that a switch was thrown more than once: nothing was
// lifted, since nobody may end another's pause without having seen it.
type SeveralPausesError struct{ Pauses []topup.Pause }

func (e *SeveralPausesError) Error() string {
	ids := make([]string, 0, len(e.Pauses))
	for _, p := range e.Pauses {
		ids = append(ids, p.ID)
	}
	return fmt.Sprintf("paused %d times: name those to lift, of %s", len(ids), strings.Join(ids, ", "))
}

// ResumePauses lifts the pauses with these ids, whatever they cover, and nothing
// else: all of them, or with an error (topup.ErrNotFound) none. By and why are for the log.
func (s *Store) ResumePauses(ctx context.Context, ids []string, by, why string) (Resumed, error) {
	var r Resumed
	err := s.write(ctx, "resume", func(ctx context.Context, t tx) error {
		r = Resumed{}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		active, err := t.activePauses(ctx, now)
		if err != nil {
			return err
		}
		if r.Pauses, err = pausesOf(active, ids); err != nil {
			return err
		}
		for _, p := range r.Pauses {
			if err := t.deletePauses(ctx, []topup.Pause{p}); err != nil {
				return err
			}
			if err := t.logAction(ctx, Action{
				At: now, Kind: ActionResume, Scope: p.Scope, Provider: p.Provider, Subject: p.Subject,
				By: by, Reason: why, Effect: Resumed{Pauses: []topup.Pause{p}}.String(),
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Resumed{}, err
	}
	return r, nil
}

// pausesOf picks the pauses that the ids name, each once.
func pausesOf(active []topup.Pause, ids []string) ([]topup.Pause, error) {
	var list []topup.Pause
	for _, id := range ids {
		if id == NoPause {
			continue
		}
		i := slices.IndexFunc(active, func(p topup.Pause) bool { return p.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("pause %.80s: %w: it was lifted, or is over", id, topup.ErrNotFound)
		}
		if !slices.ContainsFunc(list, func(p topup.Pause) bool { return p.ID == id }) {
			list = append(list, active[i])
		}
	}
	return list, nil
}

// ChangePause, as an id, is the hold on targets of a rule that only a change of
// terms has made low: no row among the pauses, but listed and lifted like one.
const ChangePause = "change"

// withChange adds the hold after a change of the rule's terms, if it holds anybody.
func (t tx) withChange(ctx context.Context, active []topup.Pause, rule string, now time.Time) ([]topup.Pause, error) {
	var held int
	if err := t.get(ctx, &held, `SELECT count(customer) FROM raised WHERE rule = ?`, rule); err != nil || held == 0 {
		return active, err
	}
	left, err := t.changeLeft(ctx, rule, now)
	if err != nil || held <= left {
		return active, err
	}
	return append(active, topup.Pause{
		ID: ChangePause, Scope: topup.PauseRule, Subject: rule, Cause: "a change", By: Itself, At: now,
		Reason: fmt.Sprintf("%d targets are low only because the terms have changed, %d of them may be bought for", held, max(0, left)),
	}), nil
}

// acceptChange ends the hold after a change of the rule's terms: it is meant so, and
// what was bought for until now does not count against the next change.
func (t tx) acceptChange(ctx context.Context, rule string) (int, error) {
	if _, err := t.exec(ctx, `DELETE FROM raised_bought WHERE rule = ?`, rule); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM raised WHERE rule = ?`, rule)
	return int(n), err
}

// NoPause, as an id, resumes what else holds a scope, and leaves its pauses.
const NoPause = "none"

// Resume takes back the pause of exactly this scope; by and reason are taken from
// p. Of several it takes those that ids name; without ids they are a
// *SeveralPausesError, and nothing is lifted. A customer's also ends suspension
// and back-off of its targets, and the wait after requests that were turned away; a
// provider's also its stop, first hold, quarantine and implausible holds.
func (s *Store) Resume(ctx context.Context, p topup.Pause, ids ...string) (Resumed, error) {
	_, provider, subject, err := pauseKey(p)
	if err != nil {
		return Resumed{}, err
	}
	var r Resumed
	err = s.write(ctx, "resume", func(ctx context.Context, t tx) error {
		r = Resumed{}
		if _, err := t.lockProviders(ctx); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		lifted, err := t.toLift(ctx, p, ids, now)
		if err != nil {
			return err
		}
		for _, q := range lifted {
			if q.ID == ChangePause {
				r.Changed, err = t.acceptChange(ctx, subject)
			} else {
				r.Pauses, err = append(r.Pauses, q), t.deletePauses(ctx, []topup.Pause{q})
			}
			if err != nil {
				return err
			}
		}
		if p.Scope == topup.PauseCustomer {
			if r.Refunds, err = t.releaseRefunds(ctx, provider, subject, p.By, micros(now)); err != nil {
				return err
			}
			err = t.liftCustomer(ctx, provider, subject, &r)
		}
		if p.Scope == topup.PauseRule {
			err = t.forgiveRule(ctx, subject, &r)
		}
		if p.Scope == topup.PauseProvider {
			err = t.liftProvider(ctx, provider, now, &r)
		}
		if err != nil {
			return err
		}
		return t.logAction(ctx, Action{
			At: now, Kind: ActionResume, Scope: p.Scope, Provider: topup.ProviderID(provider), Subject: subject,
			By: p.By, Reason: p.Reason, Effect: r.String(),
		})
	})
	if err != nil {
		return Resumed{}, err
	}
	return r, nil
}

// toLift are the pauses that a resume of the scope takes back. A customer without
// a provider means the customer's switches everywhere.
func (t tx) toLift(ctx context.Context, p topup.Pause, ids []string, now time.Time) ([]topup.Pause, error) {
	active, err := t.activePauses(ctx, now)
	if err != nil {
		return nil, err
	}
	active = slices.DeleteFunc(active, func(q topup.Pause) bool { return !sameSwitch(p, q) })
	if p.Scope == topup.PauseRule {
		if active, err = t.withChange(ctx, active, p.Subject, now); err != nil {
			return nil, err
		}
	}
	switch {
	case len(ids) > 0:
		return pausesOf(active, ids)
	case len(active) > 1:
		return nil, &SeveralPausesError{Pauses: active}
	case len(active) == 0:
		return nil, nil
	default:
		return active, nil
	}
}

// sameSwitch tells whether q covers what p names.
func sameSwitch(p, q topup.Pause) bool {
	switch {
	case q.Scope != p.Scope:
		return false
	case p.Scope == topup.PauseProvider:
		return q.Provider == p.Provider
	case p.Scope == topup.PauseCustomer:
		return q.Subject == p.Subject && (p.Provider == "" || q.Provider == p.Provider)
	default:
		return q.Subject == p.Subject
	}
}

func (t tx) deletePauses(ctx context.Context, pauses []topup.Pause) error {
	for _, p := range pauses {
		if err := t.one(ctx, "lifting the pause", `DELETE FROM pause WHERE id = ?`, p.ID); err != nil {
			return err
		}
		if p.Cause == topup.StopRefused {
			if err := t.forgetRefused(ctx, p.Subject); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t tx) liftCustomer(ctx context.Context, provider, customer string, r *Resumed) error {
	query, args := `UPDATE target SET declines = 0, backoff_until = NULL, suspended_at = NULL, payment_fingerprint = '',
			refusals = 0, refusal = '', refusal_rule = '', refusal_version = '',
			unused = 0, unused_until = NULL, unused_today = 0
		WHERE customer = ? AND (declines > 0 OR backoff_until IS NOT NULL OR suspended_at IS NOT NULL OR unused > 0 OR unused_today > 0)`, []any{customer}
	if provider != "" {
		query, args = query+` AND provider = ?`, append(args, provider)
	}
	n, err := t.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	r.Suspensions = int(n)
	query, args = `DELETE FROM raised WHERE customer = ?`, []any{customer}
	if provider != "" {
		query, args = query+` AND provider = ?`, append(args, provider)
	}
	n, err = t.exec(ctx, query, args...)
	r.Changed = int(n)
	return err
}

// forgiveRule ends the back-off and suspension of everybody whose last failure
// was a refusal under the rule: whoever resumes it says that it is put right. What
// a declined payment held back stays.
func (t tx) forgiveRule(ctx context.Context, rule string, r *Resumed) error {
	n, err := t.exec(ctx, `UPDATE target SET backoff_until = NULL, suspended_at = NULL, payment_fingerprint = '',
			refusals = 0, refusal = '', refusal_rule = '', refusal_version = ''
		WHERE refusal_rule = ? AND refusal_rule <> ''`, rule)
	if err != nil {
		return err
	}
	r.Suspensions = int(n)
	if _, err := t.exec(ctx, `DELETE FROM refusal WHERE rule = ?`, rule); err != nil {
		return fmt.Errorf("forgetting what was refused: %w", err)
	}
	return nil
}

func (t tx) liftProvider(ctx context.Context, provider string, now time.Time, r *Resumed) error {
	row, err := t.lockProvider(ctx, topup.ProviderID(provider), t.store.sql.alone)
	if err != nil {
		return err
	}
	var first string
	bought, err := t.find(ctx, &first, `SELECT id FROM purchase WHERE provider = ? ORDER BY planned_at LIMIT 1`, provider)
	if err != nil {
		return err
	}
	r.Stop, r.Quarantine, r.Hold = row.Stopped != "", row.Quarantined != "", row.HoldLiftedAt == nil && !bought
	if _, err := t.exec(ctx, endQuarantine+`, stopped = '', stopped_token = '',
		hold_lifted_at = coalesce(hold_lifted_at, ?) WHERE id = ?`, micros(now), provider); err != nil {
		return err
	}
	if r.Quarantine { // whoever lifts it answers for what the books show
		if err := t.raiseKnown(ctx, topup.ProviderID(provider), now, now); err != nil {
			return err
		}
	}
	r.Implausible, err = t.believe(ctx, provider)
	return err
}
