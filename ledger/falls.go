package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/topup"
)

// fallChunk bounds the rows of one statement: 11 columns of them stay far below
// the 32,766 parameters that SQLite takes.
const fallChunk = 1000

type fallRow struct {
	Provider    string `db:"provider"`
	Customer    string `db:"customer"`
	Product     string `db:"product"`
	At          int64  `db:"at"`
	BeforeMicro int64  `db:"before_micro"`
	ReadAt      int64  `db:"read_at"`
	AsOf        *int64 `db:"as_of"`
	Bad         int64  `db:"bad"`
	Twice       int64  `db:"twice"`
	Beside      int64  `db:"beside"`
	State       string `db:"state"`
}

const fallColumns = `provider, customer, product, at, before_micro, read_at, as_of, bad, twice, beside, state`

func (r fallRow) fall() topup.Fall {
	return topup.Fall{
		Target: topup.Target{Provider: topup.ProviderID(r.Provider), Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)},
		At:     instant(r.At), Before: topup.Credits(r.BeforeMicro), ReadAt: instant(r.ReadAt), AsOf: value(r.AsOf),
		Bad: r.Bad != 0, Twice: r.Twice != 0, Beside: r.Beside != 0, Believed: r.State == "believed",
	}
}

// falls lists the falls that are not over, of a provider or of one target.
func (v view) falls(ctx context.Context, where string, args ...any) ([]topup.Fall, error) {
	var rows []fallRow
	if err := v.list(ctx, &rows, `SELECT `+fallColumns+` FROM fall WHERE state <> 'over' AND `+where, args...); err != nil {
		return nil, err
	}
	list := make([]topup.Fall, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.fall())
	}
	return list, nil
}

// crowdScope is whose falls are counted together: a provider's, or those of all
// accounts of its host.
type crowdScope struct {
	where     string // of falls and targets
	providers string // of providers
	args      []any
}

func scopeOf(f topup.Falls) crowdScope {
	if !f.Account {
		return crowdScope{`provider = ?`, `id = ?`, []any{string(f.Provider)}}
	}
	host := hostOf(f.Provider)
	return crowdScope{`substr(provider, 1, ?) = ?`, `substr(id, 1, ?) = ?`, []any{len(host), host}}
}

// with is the scope's arguments and more.
func (s crowdScope) with(args ...any) []any { return append(slices.Clone(s.args), args...) }

// NoteFalls stores what a poll saw fall, counts it together with what else fell
// there within topup.FallWindow by the database clock or is held for it still,
// and holds all of it when that is a crowd (P14). Two polls count one after the
// other, so that one of them sees both. A fall that is known keeps its first
// reading, unless that could not be read, or credits came since. Holding is for a person, or for readings: see LiftDoubts.
func (s *Store) NoteFalls(ctx context.Context, f topup.Falls) (topup.Crowd, error) {
	if len(f.List) == 0 {
		return topup.Crowd{}, nil
	}
	var crowd topup.Crowd
	err := s.write(ctx, "hold_implausible", func(ctx context.Context, t tx) error {
		crowd = topup.Crowd{}
		scope := scopeOf(f)
		providers, err := t.lockScope(ctx, scope)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if err := t.storeFalls(ctx, f.List, now); err != nil {
			return err
		}
		if err := t.countCrowd(ctx, f, scope, now, &crowd); err != nil || !topup.Crowded(crowd.Fell, crowd.Of, f.Account) {
			return err
		}
		crowd.Why = crowdWords(f, crowd)
		for _, p := range providers {
			held, err := t.holdFalls(ctx, p, crowd.Why, now)
			if err != nil {
				return err
			}
			crowd.Held += held
		}
		return nil
	})
	if err != nil {
		return topup.Crowd{}, fmt.Errorf("storing that %d balances fell: %w", len(f.List), err)
	}
	return crowd, nil
}

func crowdWords(f topup.Falls, c topup.Crowd) string {
	what := "balances"
	if f.Account {
		what = "accounts at " + hostOf(f.Provider)
	}
	return fmt.Sprintf("%d of %d %s became zero or unreadable within %s", c.Fell, c.Of, what, topup.FallWindow)
}

// lockScope locks every provider of the scope, in order.
func (t tx) lockScope(ctx context.Context, scope crowdScope) (providers []Provider, err error) {
	var rows []providerRow
	err = t.list(ctx, &rows, `SELECT `+providerColumns+` FROM provider WHERE `+scope.providers+` ORDER BY id`+t.store.sql.alone, scope.args...)
	for _, r := range rows {
		providers = append(providers, Provider{ID: topup.ProviderID(r.ID), Name: r.Name})
	}
	return providers, err
}

func (t tx) storeFalls(ctx context.Context, falls []topup.Fall, now time.Time) error {
	sorted := slices.SortedFunc(slices.Values(falls), func(a, b topup.Fall) int { return compareTargets(a.Target, b.Target) })
	const columns = 11
	for part := range slices.Chunk(sorted, fallChunk) {
		args := make([]any, 0, len(part)*columns)
		for _, f := range part {
			args = append(args, string(f.Target.Provider), string(f.Target.Customer), string(f.Target.Product), micros(now),
				int64(f.Before), micros(f.ReadAt), optional(&f.AsOf), bit(f.Bad), bit(f.Twice), bit(f.Beside), "open")
		}
		if _, err := t.exec(ctx, `INSERT INTO fall (`+fallColumns+`) VALUES `+places(len(part), columns)+`
			ON CONFLICT (provider, customer, product) DO UPDATE SET at = excluded.at, before_micro = excluded.before_micro,
				read_at = excluded.read_at, as_of = excluded.as_of, bad = excluded.bad, twice = excluded.twice,
				beside = excluded.beside, state = excluded.state
				WHERE fall.state = 'over' OR fall.bad = 1 AND excluded.bad = 0 OR fall.twice = 0 AND excluded.beside = 1`, args...); err != nil {
			return err
		}
	}
	return nil
}

// countCrowd counts the falls of the scope. A row from a clock that was ahead is
// none of now. What a person believes is no sign of anything.
func (t tx) countCrowd(ctx context.Context, f topup.Falls, scope crowdScope, now time.Time, crowd *topup.Crowd) error {
	from, to := micros(now.Add(-topup.FallWindow)), micros(now.Add(topup.FallWindow))
	var held int
	if err := t.get(ctx, &crowd.Fell, `SELECT count(*) FROM fall WHERE `+scope.where+` AND at BETWEEN ? AND ? AND state <> 'believed' AND beside = 0`,
		scope.with(from, to)...); err != nil {
		return err
	}
	if err := t.get(ctx, &held, `SELECT count(*) FROM target WHERE `+scope.where+` AND implausible <> '' AND doubted_at IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM fall WHERE fall.provider = target.provider AND fall.customer = target.customer
			AND fall.product = target.product AND at BETWEEN ? AND ? AND state <> 'believed' AND beside = 0)`,
		scope.with(from, to)...); err != nil {
		return err
	}
	crowd.Fell += held
	crowd.Of = max(f.Watched, crowd.Fell)
	if !f.Account {
		return nil
	}
	// Those that somebody works on now, and this one.
	err := t.get(ctx, &crowd.Of, `SELECT count(*) FROM provider WHERE `+scope.providers+` AND (lease_until >= ? OR id = ?)`,
		scope.with(from, string(f.Provider))...)
	crowd.Of = max(crowd.Of, crowd.Fell)
	return err
}

// holdFalls holds what fell at the provider and is not back.
func (t tx) holdFalls(ctx context.Context, p Provider, why string, now time.Time) (int, error) {
	text := bound(fmt.Sprintf("%s; look at the provider. If they are true: topupd resume --provider %s. If not, this ends by itself when they are back in two complete polls", why, p.Name), 2000)
	n, err := t.exec(ctx, `INSERT INTO target (provider, customer, product, implausible, doubted_at)
		SELECT provider, customer, product, ?, ? FROM fall
			WHERE provider = ? AND at BETWEEN ? AND ? AND state = 'open' ORDER BY customer, product
		ON CONFLICT (provider, customer, product) DO UPDATE SET implausible = excluded.implausible, doubted_at = excluded.doubted_at
			WHERE target.implausible = ''`,
		text, micros(now), string(p.ID), micros(now.Add(-topup.FallWindow)), micros(now.Add(topup.FallWindow)))
	return int(n), err
}

// Expiring lists what was bought at the provider to expire between two times, by
// target: the credits that its balance may then have lost.
func (s *Store) Expiring(ctx context.Context, provider topup.ProviderID, from, to time.Time) (map[topup.Target][]topup.Batch, error) {
	var rows []struct {
		Customer  string `db:"customer"`
		Product   string `db:"product"`
		Credits   int64  `db:"credits_micro"`
		ExpiresAt int64  `db:"expires_at"`
	}
	err := s.read(ctx, "expiring", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT customer, product, credits_micro, expires_at FROM purchase
			WHERE provider = ? AND expires_at BETWEEN ? AND ? AND state IN ('confirmed', 'credited')`,
			string(provider), micros(from), micros(to))
	})
	batches := map[topup.Target][]topup.Batch{}
	for _, r := range rows {
		target := topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}
		batches[target] = append(batches[target], topup.Batch{Credits: topup.Credits(r.Credits), ExpiresAt: instant(r.ExpiresAt)})
	}
	return batches, err
}

// LiftDoubts ends the holds that readings made, of those targets among the given
// that are held so; what only a person can end stays. It is logged as what it is:
// nobody's doing.
func (s *Store) LiftDoubts(ctx context.Context, targets []topup.Target, why string) (lifted int, err error) {
	if len(targets) == 0 {
		return 0, nil
	}
	provider := targets[0].Provider
	err = s.write(ctx, "lift_doubts", func(ctx context.Context, t tx) error {
		if _, err := t.lockProvider(ctx, provider, s.sql.alone); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		held, err := t.doubtedAmong(ctx, provider, targets)
		lifted = len(held)
		if err != nil || lifted == 0 {
			return err
		}
		for part := range slices.Chunk(held, fallChunk) {
			if _, err := t.exec(ctx, `INSERT INTO target (provider, customer, product) VALUES `+places(len(part), 3)+`
				ON CONFLICT (provider, customer, product) DO UPDATE SET implausible = '', doubted_at = NULL`, keysOf(part)...); err != nil {
				return err
			}
		}
		if err := t.moveFalls(ctx, held, "believed"); err != nil {
			return err
		}
		return t.logAction(ctx, Action{
			At: now, Kind: ActionResume, Scope: topup.PauseProvider, Provider: provider, By: Itself, Reason: why,
			Effect: Resumed{Implausible: lifted}.String(),
		})
	})
	if err != nil {
		return 0, fmt.Errorf("lifting implausible holds: %w", err)
	}
	return lifted, nil
}

// doubtedAmong lists those of the targets that readings hold, in order.
func (t tx) doubtedAmong(ctx context.Context, provider topup.ProviderID, targets []topup.Target) ([]topup.Target, error) {
	var rows []targetRow
	if err := t.list(ctx, &rows, `SELECT `+targetColumns+` FROM target
		WHERE provider = ? AND implausible <> '' AND doubted_at IS NOT NULL`+t.store.sql.update, string(provider)); err != nil {
		return nil, err
	}
	wanted := make(map[topup.Target]bool, len(targets))
	for _, target := range targets {
		wanted[target] = true
	}
	var held []topup.Target
	for _, r := range rows {
		target := topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}
		if wanted[target] {
			held = append(held, target)
		}
	}
	slices.SortFunc(held, compareTargets)
	return held, nil
}

// EndFalls notes that balances are back: the next fall of each is a new one.
func (s *Store) EndFalls(ctx context.Context, targets []topup.Target) error {
	if len(targets) == 0 {
		return nil
	}
	return s.write(ctx, "end_falls", func(ctx context.Context, t tx) error {
		return t.moveFalls(ctx, slices.SortedFunc(slices.Values(targets), compareTargets), "over")
	})
}

// moveFalls gives falls that are not over another state. Statements that name
// each row find it by its key, whatever the planner knows of the table.
func (t tx) moveFalls(ctx context.Context, targets []topup.Target, state string) error {
	for part := range slices.Chunk(targets, fallChunk) {
		args := keysOf(part)
		row := `(?, ?, ?, 0, 0, 0, 0, 0, 0, '` + state + `'), `
		if _, err := t.exec(ctx, `INSERT INTO fall (provider, customer, product, at, before_micro, read_at, bad, twice, beside, state)
			VALUES `+strings.TrimSuffix(strings.Repeat(row, len(part)), ", ")+`
			ON CONFLICT (provider, customer, product) DO UPDATE SET state = excluded.state WHERE fall.state <> 'over'`, args...); err != nil {
			return err
		}
	}
	return nil
}

// keysOf are the keys of targets as arguments.
func keysOf(targets []topup.Target) []any {
	args := make([]any, 0, 3*len(targets))
	for _, target := range targets {
		args = append(args, string(target.Provider), string(target.Customer), string(target.Product))
	}
	return args
}

// believe ends every hold on implausible balances at a provider, and the waiting
// for second witnesses: a person says that what it shows is true.
func (t tx) believe(ctx context.Context, provider string) (lifted int, err error) {
	waiting, err := t.exec(ctx, `UPDATE fall SET state = 'believed' WHERE provider = ? AND state <> 'over' AND state = 'open' AND twice = 1
		AND NOT EXISTS (SELECT 1 FROM target AS held WHERE held.provider = fall.provider AND held.customer = fall.customer
			AND held.product = fall.product AND held.implausible <> '')`, provider)
	if err != nil {
		return 0, err
	}
	if _, err := t.exec(ctx, `UPDATE fall SET state = 'believed' WHERE provider = ? AND state <> 'over' AND state = 'open'`, provider); err != nil {
		return 0, err
	}
	held, err := t.exec(ctx, `UPDATE target SET implausible = '', doubted_at = NULL WHERE provider = ? AND implausible <> ''`, provider)
	return int(held + waiting), err
}
