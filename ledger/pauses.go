package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

type pauseRow struct {
	ID       string `db:"id"`
	Scope    string `db:"scope"`
	Provider string `db:"provider"`
	Subject  string `db:"subject"`
	Cause    string `db:"cause"`
	UntilAt  *int64 `db:"until_at"`
	Reason   string `db:"reason"`
	ByWhom   string `db:"by_whom"`
	At       int64  `db:"at"`
}

const pauseColumns = `id, scope, provider, subject, cause, until_at, reason, by_whom, at`

func (r pauseRow) pause() topup.Pause {
	return topup.Pause{
		ID: r.ID, Scope: topup.PauseScope(r.Scope), Provider: topup.ProviderID(r.Provider), Subject: r.Subject,
		Cause: topup.StopCause(r.Cause), Until: pointer(r.UntilAt), Reason: r.Reason, By: r.ByWhom, At: instant(r.At),
	}
}

// activePauses lists the pauses that have not run out, widest first, and of one
// switch the oldest first.
func (v view) activePauses(ctx context.Context, now time.Time) ([]topup.Pause, error) {
	var rows []pauseRow
	err := v.list(ctx, &rows, `SELECT `+pauseColumns+` FROM pause
		WHERE until_at IS NULL OR until_at > ?
		ORDER BY CASE scope WHEN 'all' THEN 0 WHEN 'provider' THEN 1 WHEN 'rule' THEN 2 ELSE 3 END, provider, subject, at, id`, micros(now))
	list := make([]topup.Pause, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.pause())
	}
	return list, err
}

// Itself is who threw a switch that nobody asked for.
const Itself = "topupd"

// pauseKey is what a pause covers: fields that its scope does not use are empty.
func pauseKey(p topup.Pause) (scope, provider, subject string, err error) {
	scope, provider, subject = string(p.Scope), string(p.Provider), p.Subject
	switch p.Scope {
	case topup.PauseAll:
		return scope, "", "", nil
	case topup.PauseProvider:
		if provider == "" {
			return "", "", "", fmt.Errorf("a pause of a provider needs the provider")
		}
		return scope, provider, "", nil
	case topup.PauseRule:
		if subject == "" {
			return "", "", "", fmt.Errorf("a pause of a rule needs the rule's name")
		}
		return scope, "", subject, nil
	case topup.PauseCustomer:
		if subject == "" {
			return "", "", "", fmt.Errorf("a pause of a customer needs the customer's id")
		}
		return scope, provider, subject, nil
	default:
		return "", "", "", fmt.Errorf("a pause covers all, a provider, a rule or a customer, not %q", p.Scope)
	}
}

// Pause throws a person's switch and returns it with its id. Pauses stack: what
// is paused already is paused once more, until each of them is lifted or over.
// When it returns, no permit is given any more under it: the transactions that
// give them were waited for (P12). At is the database clock.
func (s *Store) Pause(ctx context.Context, p topup.Pause) (topup.Pause, error) {
	switch {
	case p.By == "":
		return p, fmt.Errorf("a pause needs who throws it")
	case p.Own():
		return p, fmt.Errorf("a person's pause has no cause: %q is topupd's own", p.Cause)
	}
	_, err := s.throw(ctx, "pause", &p)
	return p, err
}

// Stop throws a switch of topupd's own, because of what it saw: p needs a cause,
// and no end. It tells whether it was not thrown yet; a cause that is seen again
// changes nothing. As with Pause, no permit is given under it any more when it
// returns. It lasts until Resume, or until LiftStop for the same cause.
func (s *Store) Stop(ctx context.Context, p topup.Pause) (began bool, err error) {
	return s.throw(ctx, "stop", &p)
}

func (s *Store) throw(ctx context.Context, operation string, p *topup.Pause) (began bool, err error) {
	if _, _, _, err := pauseKey(*p); err != nil {
		return false, err
	}
	err = s.write(ctx, operation, func(ctx context.Context, t tx) error {
		if _, err := t.lockProviders(ctx); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if operation == "stop" {
			began, err = t.stop(ctx, *p, now)
			return err
		}
		if p.Until != nil && !p.Until.After(now) {
			return fmt.Errorf("a pause until %s is over already, it is %s", p.Until.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
		}
		if _, err := t.exec(ctx, `DELETE FROM pause WHERE until_at <= ?`, micros(now)); err != nil { // the log keeps them
			return err
		}
		began, *p, err = t.insertPause(ctx, *p, now)
		return err
	})
	return began && err == nil, err
}

// stop is Stop inside a transaction. It does not wait for permits that are being
// given meanwhile: whoever needs that locks the providers first, before anything
// else.
func (t tx) stop(ctx context.Context, p topup.Pause, now time.Time) (began bool, err error) {
	if !p.Own() || p.Until != nil {
		return false, fmt.Errorf("a stop of topupd's own has a cause and no end")
	}
	p.By = Itself
	began, _, err = t.insertPause(ctx, p, now)
	return began, err
}

// insertPause stores a switch and logs it, unless it is topupd's own and thrown
// already.
func (t tx) insertPause(ctx context.Context, p topup.Pause, now time.Time) (bool, topup.Pause, error) {
	scope, provider, subject, err := pauseKey(p)
	if err != nil {
		return false, p, err
	}
	id, err := topup.NewKey() // random to its end, unlike an id of a purchase
	if err != nil {
		return false, p, err
	}
	p.ID, p.Provider, p.Subject, p.At = id[:8], topup.ProviderID(provider), subject, now
	n, err := t.exec(ctx, `INSERT INTO pause (`+pauseColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (scope, provider, subject, cause) WHERE cause <> '' DO NOTHING`,
		p.ID, scope, provider, subject, string(p.Cause), optional(p.Until), bound(p.Reason, 2000), bound(p.By, 300), micros(now))
	if err != nil || n == 0 {
		return false, p, err
	}
	return true, p, t.logAction(ctx, Action{
		At: now, Kind: ActionPause, Scope: p.Scope, Provider: p.Provider, Subject: subject,
		Until: p.Until, By: p.By, Reason: p.Reason, Effect: "pause " + p.ID,
	})
}

// LiftStop takes back what topupd stopped for the cause, because it is so no
// longer; why says what was seen. It tells whether there was anything to lift.
// Other causes, and what people have paused, stay.
func (s *Store) LiftStop(ctx context.Context, p topup.Pause, why string) (lifted bool, err error) {
	err = s.write(ctx, "lift_stop", func(ctx context.Context, t tx) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		lifted, err = t.liftStop(ctx, p, why, now)
		return err
	})
	return lifted && err == nil, err
}

// liftStop is LiftStop inside a transaction.
func (t tx) liftStop(ctx context.Context, p topup.Pause, why string, now time.Time) (bool, error) {
	scope, provider, subject, err := pauseKey(p)
	if err == nil && !p.Own() {
		err = fmt.Errorf("a stop of topupd's own has a cause")
	}
	if err != nil {
		return false, err
	}
	n, err := t.exec(ctx, `DELETE FROM pause WHERE scope = ? AND provider = ? AND subject = ? AND cause = ?`,
		scope, provider, subject, string(p.Cause))
	if err != nil || n == 0 {
		return false, err
	}
	return true, t.logAction(ctx, Action{
		At: now, Kind: ActionResume, Scope: p.Scope, Provider: topup.ProviderID(provider), Subject: subject,
		By: Itself, Reason: why, Effect: fmt.Sprintf("lifted the stop because of %s", p.Cause),
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
