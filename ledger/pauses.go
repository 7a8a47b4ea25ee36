package ledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"topupd/topup"
)

type pauseRow struct {
	Scope    string `db:"scope"`
	Provider string `db:"provider"`
	ID       string `db:"id"`
	UntilAt  *int64 `db:"until_at"`
	Reason   string `db:"reason"`
	ByWhom   string `db:"by_whom"`
	At       int64  `db:"at"`
}

func (r pauseRow) pause() topup.Pause {
	return topup.Pause{
		Scope: topup.PauseScope(r.Scope), Provider: topup.ProviderID(r.Provider), ID: r.ID,
		Until: pointer(r.UntilAt), Reason: r.Reason, By: r.ByWhom, At: instant(r.At),
	}
}

// activePauses lists the pauses that have not run out, widest first.
func (v view) activePauses(ctx context.Context, now time.Time) ([]topup.Pause, error) {
	var rows []pauseRow
	err := v.list(ctx, &rows, `SELECT scope, provider, id, until_at, reason, by_whom, at FROM pause
		WHERE until_at IS NULL OR until_at > ?
		ORDER BY CASE scope WHEN 'all' THEN 0 WHEN 'provider' THEN 1 WHEN 'rule' THEN 2 ELSE 3 END, provider, id`, micros(now))
	list := make([]topup.Pause, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.pause())
	}
	return list, err
}

// Itself is who threw a pause that nobody asked for.
const Itself = "topupd"

// pauseKey is what names a pause: fields that its scope does not use are empty.
func pauseKey(p topup.Pause) (scope, provider, id string, err error) {
	scope, provider, id = string(p.Scope), string(p.Provider), p.ID
	switch p.Scope {
	case topup.PauseAll:
		return scope, "", "", nil
	case topup.PauseProvider:
		if provider == "" {
			return "", "", "", fmt.Errorf("a pause of a provider needs the provider")
		}
		return scope, provider, "", nil
	case topup.PauseRule:
		if id == "" {
			return "", "", "", fmt.Errorf("a pause of a rule needs the rule's name")
		}
		return scope, "", id, nil
	case topup.PauseCustomer:
		if id == "" {
			return "", "", "", fmt.Errorf("a pause of a customer needs the customer's id")
		}
		return scope, provider, id, nil
	default:
		return "", "", "", fmt.Errorf("a pause covers all, a provider, a rule or a customer, not %q", p.Scope)
	}
}

// Pause throws a switch; the same switch again replaces reason and end, but a
// pause that topupd threw itself because of what it saw is not given an end:
// only resume lifts it. When it returns, no permit is given any more under it: the transactions that give
// them were waited for (P12). At is the database clock.
func (s *Store) Pause(ctx context.Context, p topup.Pause) error {
	scope, provider, id, err := pauseKey(p)
	if err != nil {
		return err
	}
	return s.write(ctx, "pause", func(ctx context.Context, t tx) error {
		if _, err := t.lockProviders(ctx); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if p.Until != nil && !p.Until.After(now) {
			return fmt.Errorf("a pause until %s is over already, it is %s", p.Until.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
		}
		if _, err := t.exec(ctx, `DELETE FROM pause WHERE until_at <= ?`, micros(now)); err != nil { // the log keeps them
			return err
		}
		if _, err := t.exec(ctx, `
			INSERT INTO pause (scope, provider, id, until_at, reason, by_whom, at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (scope, provider, id) DO UPDATE SET
				until_at = excluded.until_at, reason = excluded.reason, by_whom = excluded.by_whom, at = excluded.at
				WHERE NOT (pause.by_whom = '`+Itself+`' AND pause.until_at IS NULL AND excluded.until_at IS NOT NULL)`,
			scope, provider, id, optional(p.Until), bound(p.Reason, 2000), bound(p.By, 300), micros(now)); err != nil {
			return err
		}
		return t.logAction(ctx, Action{
			At: now, Kind: ActionPause, Scope: p.Scope, Provider: topup.ProviderID(provider), Subject: id,
			Until: p.Until, By: p.By, Reason: p.Reason,
		})
	})
}

// Pauses lists the pauses that hold now, widest first.
func (s *Store) Pauses(ctx context.Context) ([]topup.Pause, error) {
	var list []topup.Pause
	err := s.read(ctx, "pauses", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		list, err = v.activePauses(ctx, now)
		return err
	})
	return list, err
}

// Resumed is what a Resume found to lift. All zero: there was nothing.
type Resumed struct {
	Pauses      int
	Suspensions int  // targets whose suspension or back-off ended
	Implausible int  // targets held as implausible
	Stop        bool // a refused token was forgiven
	Hold        bool // the hold of a new provider ended early
	Quarantine  bool
}

// String lists what was lifted, for the log of actions.
func (r Resumed) String() string {
	var parts []string
	count := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	count(r.Pauses, "pauses")
	count(r.Suspensions, "suspensions or back-offs")
	count(r.Implausible, "implausible holds")
	count(int(bit(r.Stop)), "stop")
	count(int(bit(r.Hold)), "first hold")
	count(int(bit(r.Quarantine)), "quarantine")
	if len(parts) == 0 {
		return "nothing to lift"
	}
	return "lifted: " + strings.Join(parts, ", ")
}

// Resume takes a switch back. A customer's also ends suspension and back-off of
// its targets, and the wait after requests that were turned away; a provider's
// also its stop, first hold, quarantine and implausible holds.
func (s *Store) Resume(ctx context.Context, p topup.Pause) (Resumed, error) {
	scope, provider, id, err := pauseKey(p)
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
		if r.Pauses, err = t.deletePauses(ctx, p.Scope, scope, provider, id, now); err != nil {
			return err
		}
		if p.Scope == topup.PauseCustomer {
			err = t.liftCustomer(ctx, provider, id, &r)
		}
		if p.Scope == topup.PauseRule {
			err = t.forgiveRule(ctx, id, &r)
		}
		if p.Scope == topup.PauseProvider {
			err = t.liftProvider(ctx, provider, now, &r)
		}
		if err != nil {
			return err
		}
		return t.logAction(ctx, Action{
			At: now, Kind: ActionResume, Scope: p.Scope, Provider: topup.ProviderID(provider), Subject: id,
			By: p.By, Reason: p.Reason, Effect: r.String(),
		})
	})
	if err != nil {
		return Resumed{}, err
	}
	return r, nil
}

// deletePauses removes the switch; a customer without a provider means the
// customer's switches everywhere.
func (t tx) deletePauses(ctx context.Context, kind topup.PauseScope, scope, provider, id string, now time.Time) (int, error) {
	query, args := `DELETE FROM pause WHERE scope = ? AND id = ?`, []any{scope, id}
	if kind != topup.PauseCustomer || provider != "" {
		query, args = query+` AND provider = ?`, append(args, provider)
	}
	n, err := t.exec(ctx, query+` AND (until_at IS NULL OR until_at > ?)`, append(args, micros(now))...)
	return int(n), err
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
	r.Suspensions = int(n)
	return err
}

// forgiveRule ends the back-off and suspension of everybody whose last failure
// was a refusal under the rule: whoever resumes it says that it is put right. What
// a declined payment held back stays.
func (t tx) forgiveRule(ctx context.Context, rule string, r *Resumed) error {
	n, err := t.exec(ctx, `UPDATE target SET backoff_until = NULL, suspended_at = NULL, payment_fingerprint = '',
			refusals = 0, refusal = '', refusal_rule = '', refusal_version = ''
		WHERE refusal_rule = ?`, rule)
	r.Suspensions = int(n)
	return err
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
	n, err := t.exec(ctx, `UPDATE target SET implausible = '' WHERE provider = ? AND implausible <> ''`, provider)
	r.Implausible = int(n)
	return err
}
