package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// earlyLedger is how long every rule counts as the first of an empty ledger: an
// installation is not set up in one moment, nor by one process.
const earlyLedger = time.Hour

// judgedRow is what is remembered of the terms of a target.
type judgedRow struct {
	Customer string  `db:"customer"`
	Product  string  `db:"product"`
	Judged   *int64  `db:"judged_micro"`
	JudgedAt *int64  `db:"judged_at"`
	Old      *int64  `db:"old_micro"` // of the change that it is low by; nil = none
	Rule     *string `db:"rule"`
}

// old is the threshold that the target was last judged by; nil = it never was.
func (r judgedRow) old() *topup.Credits { return (*topup.Credits)(r.Judged) }

// judge compares each target's terms with those that it was judged by before, keeps
// whom only the change has made low, and forgets it of whom is not low any more. It
// returns the rows with what they are judged by now.
func (t tx) judge(ctx context.Context, rows []evaluationRow) error {
	known, err := t.judged(ctx, rows)
	if err != nil {
		return err
	}
	now, err := t.now(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		was, seen := known[rows[i].target()]
		if err := t.judgeOne(ctx, &rows[i], was, seen, now); err != nil {
			return fmt.Errorf("terms of %s, %s: %w", rows[i].Customer, rows[i].Product, err)
		}
	}
	return nil
}

func (t tx) judgeOne(ctx context.Context, r *evaluationRow, was judgedRow, seen bool, now time.Time) error {
	at := micros(now)
	switch {
	case r.Rule == "": // whoever has a rule again within a day has the terms of before
		if was.JudgedAt == nil || !now.Before(instant(*was.JudgedAt).Add(topup.ChangeWindow)) {
			r.Judged, r.JudgedAt = new(int64(topup.NoTerms)), &at
		}
		return nil
	case r.BalanceMicro == nil || r.ThresholdMicro == nil:
		return nil // it can be held against nothing: the terms of before stay what it is compared with
	}
	r.Judged, r.JudgedAt = r.ThresholdMicro, &at
	low := *r.BalanceMicro < *r.ThresholdMicro
	switch {
	case !low && was.Old != nil:
		return t.forgetChange(ctx, r.target())
	case !low || r.rehearsed:
		return t.noteWatched(ctx, r.target(), seen, at)
	case was.Old != nil && *was.Rule != r.Rule: // renamed, or another rule's now
		_, err := t.exec(ctx, `UPDATE raised SET rule = ? WHERE provider = ? AND customer = ? AND product = ?`, r.Rule, r.Provider, r.Customer, r.Product)
		return err
	case was.Old != nil:
		return nil
	}
	old, err := t.before(ctx, r.target(), was, seen, now)
	if err != nil {
		return err
	}
	if err := t.noteWatched(ctx, r.target(), seen, at); err != nil {
		return err
	}
	if old == nil || !topup.LowByChange(topup.Credits(*r.BalanceMicro), *old, topup.Credits(*r.ThresholdMicro)) {
		return nil
	}
	_, err = t.exec(ctx, `INSERT INTO raised (provider, customer, product, rule, old_micro, new_micro, at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, r.Provider, r.Customer, r.Product, r.Rule, int64(*old), *r.ThresholdMicro, at)
	return err
}

// before is the threshold that a target was under until now; nil when that tells
// nothing: it is new, or so is the ledger. Whoever is seen for the first time with
// credits that were not watched until now had no terms; at a product that is
// watched it is a new customer.
func (v view) before(ctx context.Context, target topup.Target, was judgedRow, seen bool, now time.Time) (*topup.Credits, error) {
	if seen {
		return was.old(), nil
	}
	var w struct {
		SinceAt int64 `db:"since_at"`
		Early   int64 `db:"early"`
	}
	found, err := v.find(ctx, &w, `SELECT since_at, early FROM watched WHERE provider = ? AND product = ?`, string(target.Provider), string(target.Product))
	if err != nil {
		return nil, err
	}
	if !found {
		early, err := v.early(ctx, now)
		if err != nil || early {
			return nil, err
		}
		return new(topup.Credits(topup.NoTerms)), nil
	}
	if w.Early != 0 || !now.Before(instant(w.SinceAt).Add(topup.ChangeWindow)) {
		return nil, nil
	}
	return new(topup.Credits(topup.NoTerms)), nil
}

// early tells whether the ledger has watched nothing for longer than its first hour.
func (v view) early(ctx context.Context, now time.Time) (bool, error) {
	var since int64
	found, err := v.find(ctx, &since, `SELECT since_at FROM watched ORDER BY since_at LIMIT 1`)
	return !found || now.Before(instant(since).Add(earlyLedger)), err
}

// noteWatched keeps since when a product is watched; asked for who is new only.
func (t tx) noteWatched(ctx context.Context, target topup.Target, seen bool, at int64) error {
	if seen {
		return nil
	}
	early, err := t.early(ctx, instant(at))
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO watched (provider, product, since_at, early) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		string(target.Provider), string(target.Product), at, bit(early))
	return err
}

// judged reads what is remembered of the terms of the rows' targets; who is not in
// it was never seen.
func (v view) judged(ctx context.Context, rows []evaluationRow) (map[topup.Target]judgedRow, error) {
	known := make(map[topup.Target]judgedRow, len(rows))
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Provider == rows[0].Provider {
			n++
		}
		args := []any{rows[0].Provider}
		for _, r := range rows[:n] {
			args = append(args, r.Customer, r.Product)
		}
		var list []judgedRow
		if err := v.list(ctx, &list, `SELECT s.customer, s.product, s.judged_micro, s.judged_at, r.old_micro, r.rule
			FROM snapshot AS s LEFT JOIN raised AS r ON r.provider = s.provider AND r.customer = s.customer AND r.product = s.product
			WHERE s.provider = ? AND (s.customer, s.product) IN (VALUES `+places(n, 2)+`)`, args...); err != nil {
			return nil, fmt.Errorf("reading the terms: %w", err)
		}
		for _, j := range list {
			known[topup.Target{Provider: topup.ProviderID(rows[0].Provider), Customer: topup.CustomerID(j.Customer), Product: topup.ProductID(j.Product)}] = j
		}
		rows = rows[n:]
	}
	return known, nil
}

type raisedRow struct {
	Customer string `db:"customer"`
	Product  string `db:"product"`
	Rule     string `db:"rule"`
	Old      int64  `db:"old_micro"`
	New      int64  `db:"new_micro"`
	At       int64  `db:"at"`
}

const raisedColumns = `customer, product, rule, old_micro, new_micro, at`

func (r raisedRow) change(left int) *topup.Raised {
	return &topup.Raised{Rule: r.Rule, Old: topup.Credits(r.Old), New: topup.Credits(r.New), At: instant(r.At), Left: left}
}

// change is the change that a target is low by; nil when there is none.
func (v view) change(ctx context.Context, target topup.Target, now time.Time) (*topup.Raised, error) {
	var r raisedRow
	found, err := v.find(ctx, &r, `SELECT `+raisedColumns+` FROM raised WHERE provider = ? AND customer = ? AND product = ?`,
		string(target.Provider), string(target.Customer), string(target.Product))
	if err != nil || !found {
		return nil, err
	}
	left, err := v.changeLeft(ctx, r.Rule, now)
	return r.change(left), err
}

// addChanges adds the changes of a provider's targets to their standings.
func (v view) addChanges(ctx context.Context, known map[topup.Target]topup.Standing, provider topup.ProviderID, base topup.Standing) error {
	var rows []raisedRow
	if err := v.list(ctx, &rows, `SELECT `+raisedColumns+` FROM raised WHERE provider = ?`, string(provider)); err != nil {
		return err
	}
	left := map[string]int{}
	for _, r := range rows {
		if _, ok := left[r.Rule]; !ok {
			n, err := v.changeLeft(ctx, r.Rule, base.Now)
			if err != nil {
				return err
			}
			left[r.Rule] = n
		}
		target := topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}
		standing, ok := known[target]
		if !ok {
			standing = base
		}
		standing.Raised = r.change(left[r.Rule])
		known[target] = standing
	}
	return nil
}

// changeLeft is how many targets of the rule may still be bought for although only
// a change has made them low.
func (v view) changeLeft(ctx context.Context, rule string, now time.Time) (int, error) {
	var targets int
	if err := v.get(ctx, &targets, `SELECT count(customer) FROM snapshot WHERE rule = ? AND at > ?`, rule, micros(now.Add(-topup.ChangeWindow))); err != nil {
		return 0, err
	}
	bought, err := v.changeBought(ctx, rule, now)
	return topup.ChangeAtOnce(targets) - bought, err
}

// changeBought counts the purchases for targets of the rule that only a change had
// made low: those of the window, and those since the oldest change that still holds
// somebody, for a hold does not end by waiting.
func (v view) changeBought(ctx context.Context, rule string, now time.Time) (bought int, err error) {
	since := micros(now.Add(-topup.ChangeWindow))
	var oldest int64
	found, err := v.find(ctx, &oldest, `SELECT at FROM raised WHERE rule = ? ORDER BY at LIMIT 1`, rule)
	if err != nil {
		return 0, err
	}
	if found {
		since = min(since, oldest-1)
	}
	err = v.get(ctx, &bought, `SELECT count(purchase) FROM raised_bought WHERE rule = ? AND at > ?`, rule, since)
	return bought, err
}

// takeChange lets a purchase be planned for a target that only a change has made
// low, while its rule has some left, and counts it. Two that are planned at the same
// time do not pass the bound together. What is counted once is not asked again: a
// purchase that comes to nothing is tried anew.
func (t tx) takeChange(ctx context.Context, p topup.Purchase, now time.Time) error {
	change, err := t.change(ctx, p.Target, now)
	if err != nil {
		return err
	}
	noted := change != nil
	if !noted { // it may be bought for before the poll's decisions are kept
		rows, err := t.judged(ctx, []evaluationRow{{Provider: string(p.Target.Provider), Customer: string(p.Target.Customer), Product: string(p.Target.Product)}})
		if err != nil {
			return err
		}
		was, seen := rows[p.Target]
		old, err := t.before(ctx, p.Target, was, seen, now)
		if err != nil || old == nil || !topup.LowByChange(p.BalanceBefore, *old, p.Threshold) {
			return err
		}
		change = &topup.Raised{Rule: p.Rule, Old: *old, New: p.Threshold, At: now}
	}
	if p.BalanceBefore >= change.Old {
		if _, err := t.exec(ctx, `INSERT INTO change_count (rule, n) VALUES (?, 1) ON CONFLICT (rule) DO UPDATE SET n = change_count.n + 1`, p.Rule); err != nil {
			return err
		}
		if change.Left, err = t.changeLeft(ctx, p.Rule, now); err != nil {
			return err
		}
		if change.Holds(p.BalanceBefore) {
			return fmt.Errorf("%w: %s", topup.ErrChangeHeld, change)
		}
		if _, err := t.exec(ctx, `INSERT INTO raised_bought (purchase, rule, at) VALUES (?, ?, ?)`, p.ID, p.Rule, micros(now)); err != nil {
			return err
		}
	}
	if noted {
		return t.forgetChange(ctx, p.Target)
	}
	_, err = t.exec(ctx, `UPDATE snapshot SET judged_micro = ?, judged_at = ? WHERE provider = ? AND customer = ? AND product = ?`,
		int64(p.Threshold), micros(now), string(p.Target.Provider), string(p.Target.Customer), string(p.Target.Product))
	return err
}

func (t tx) forgetChange(ctx context.Context, target topup.Target) error {
	_, err := t.exec(ctx, `DELETE FROM raised WHERE provider = ? AND customer = ? AND product = ?`,
		string(target.Provider), string(target.Customer), string(target.Product))
	return err
}

// Judged lists the threshold that each target of a provider was last judged by;
// topup.NoTerms where no rule was for it.
func (s *Store) Judged(ctx context.Context, provider topup.ProviderID) (map[topup.Target]topup.Credits, error) {
	var rows []judgedRow
	err := s.read(ctx, "judged", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT customer, product, judged_micro FROM snapshot WHERE provider = ? AND judged_micro IS NOT NULL`, string(provider))
	})
	known := make(map[topup.Target]topup.Credits, len(rows))
	for _, r := range rows {
		known[topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}] = *r.old()
	}
	return known, err
}

// ChangeBought is how many targets of the rule were bought for although only a
// change had made them low, of those that count now.
func (s *Store) ChangeBought(ctx context.Context, rule string) (bought int, err error) {
	err = s.read(ctx, "change_bought", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		bought, err = v.changeBought(ctx, rule, now)
		return err
	})
	return bought, err
}
