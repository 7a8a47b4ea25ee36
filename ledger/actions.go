package ledger

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"topupd/topup"
)

// ActionKind is what a person did.
type ActionKind string

// The kinds of actions.
const (
	ActionPause   ActionKind = "pause"
	ActionResume  ActionKind = "resume"
	ActionResolve ActionKind = "resolve"
	ActionCorrect ActionKind = "correct"

	ActionAcknowledge ActionKind = "acknowledge"
)

// Action is one line of the append-only log of what people did.
type Action struct {
	At       time.Time // database clock
	Kind     ActionKind
	Scope    topup.PauseScope // "" for resolve, correct and acknowledge
	Provider topup.ProviderID // "" when it does not matter
	Subject  string           // rule, customer, purchase or difference; "" for all and provider
	Until    *time.Time       // of a pause
	By       string
	Reason   string
	Effect   string // what it changed, in words
}

func (t tx) logAction(ctx context.Context, a Action) error {
	id, err := topup.NewID()
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `
		INSERT INTO action (id, at, kind, scope, provider, subject, until_at, by_whom, reason, effect)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, micros(a.At), string(a.Kind), string(a.Scope), string(a.Provider), a.Subject, optional(a.Until),
		bound(a.By, 300), bounded(a.Reason), bounded(a.Effect)); err != nil {
		return fmt.Errorf("logging the action: %w", err)
	}
	return nil
}

// Actions lists what people did, newest first; limit 0 means all.
func (s *Store) Actions(ctx context.Context, limit int) (list []Action, err error) {
	err = s.read(ctx, "actions", func(ctx context.Context, v view) error {
		list, err = v.actions(ctx, `ORDER BY at DESC, id DESC LIMIT ?`, cmp.Or(limit, math.MaxInt32))
		return err
	})
	return list, err
}

// actions lists those that the rest of the statement asks for.
func (v view) actions(ctx context.Context, rest string, args ...any) ([]Action, error) {
	var rows []struct {
		At       int64  `db:"at"`
		Kind     string `db:"kind"`
		Scope    string `db:"scope"`
		Provider string `db:"provider"`
		Subject  string `db:"subject"`
		UntilAt  *int64 `db:"until_at"`
		ByWhom   string `db:"by_whom"`
		Reason   string `db:"reason"`
		Effect   string `db:"effect"`
	}
	err := v.list(ctx, &rows, `SELECT at, kind, scope, provider, subject, until_at, by_whom, reason, effect FROM action `+rest, args...)
	list := make([]Action, 0, len(rows))
	for _, r := range rows {
		list = append(list, Action{
			At: instant(r.At), Kind: ActionKind(r.Kind), Scope: topup.PauseScope(r.Scope), Provider: topup.ProviderID(r.Provider),
			Subject: r.Subject, Until: pointer(r.UntilAt), By: r.ByWhom, Reason: r.Reason, Effect: r.Effect,
		})
	}
	return list, err
}
