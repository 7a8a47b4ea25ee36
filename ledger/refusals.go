package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// noteRefusal keeps a refusal until it is known whether it counts, and forgets
// those of a rule that was answered with yes: what it asks for is right, and a stop
// because of them is over.
func (s step) noteRefusal(ctx context.Context) error {
	p := s.before
	bought := topup.State(p.State) != topup.Confirmed && s.Next.State == topup.Confirmed && s.Next.ReferenceBy == "answer"
	switch {
	case bought:
		if _, err := s.tx.exec(ctx, `DELETE FROM refusal WHERE rule = ?`, p.Rule); err != nil {
			return fmt.Errorf("forgetting what was refused: %w", err)
		}
		return s.tx.liftRefused(ctx, p.Rule, "purchase "+s.Next.Short()+" was answered with yes", s.now)
	case s.Decline && s.Refusal.Sign != "":
		if _, err := s.tx.exec(ctx, `DELETE FROM refusal WHERE rule = ? AND at <= ?`, p.Rule, micros(s.now.Add(-topup.RefusalsWithin))); err != nil {
			return fmt.Errorf("forgetting old refusals: %w", err)
		}
		if _, err := s.tx.exec(ctx, `INSERT INTO refusal (purchase, provider, customer, product, rule, version, sign, words, at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			p.ID, p.Provider, p.Customer, p.Product, p.Rule, p.RuleVersion, bound(s.Refusal.Sign, 1000), bounded(s.Refusal.Words), micros(s.now)); err != nil {
			return fmt.Errorf("keeping a refusal: %w", err)
		}
	}
	return nil
}

// Refusals lists the purchases of the last hour at the provider that were refused
// and of which it is not known yet whether they count: their customers have to be
// read again.
func (s *Store) Refusals(ctx context.Context, provider topup.ProviderID) (purchases map[string]topup.Target, err error) {
	purchases = map[string]topup.Target{}
	err = s.read(ctx, "refusals", func(ctx context.Context, v view) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		var rows []struct {
			Purchase string `db:"purchase"`
			Customer string `db:"customer"`
			Product  string `db:"product"`
		}
		if err := v.list(ctx, &rows, `SELECT purchase, customer, product FROM refusal
			WHERE provider = ? AND counted = 0 AND at > ? ORDER BY at LIMIT 100`, string(provider), micros(now.Add(-topup.RefusalsWithin))); err != nil {
			return err
		}
		for _, r := range rows {
			purchases[r.Purchase] = topup.Target{Provider: provider, Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)}
		}
		return nil
	})
	return purchases, err
}

// CountRefusal says of a refused purchase whether its refusal counts. The same
// refusal at topup.RefusalsAlike customers of a rule within topup.RefusalsWithin,
// with no success between, stops the rule; stopped tells that this one did.
func (s *Store) CountRefusal(ctx context.Context, purchase string, counts bool) (stopped bool, err error) {
	err = s.write(ctx, "count_refusal", func(ctx context.Context, t tx) error {
		stopped = false
		if _, err := t.lockProviders(ctx); err != nil { // no permit is given under the stop any more
			return err
		}
		if !counts {
			_, err := t.exec(ctx, `DELETE FROM refusal WHERE purchase = ?`, purchase)
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if n, err := t.exec(ctx, `UPDATE refusal SET counted = 1 WHERE purchase = ? AND counted = 0`, purchase); err != nil || n == 0 {
			return err // somebody else counted it, or a success has overtaken it
		}
		stopped, err = t.stopRefused(ctx, purchase, now)
		return err
	})
	return stopped && err == nil, err
}

// stopRefused stops the rule of a refused purchase when enough customers were
// refused alike.
func (t tx) stopRefused(ctx context.Context, purchase string, now time.Time) (bool, error) {
	var row struct {
		Rule    string `db:"rule"`
		Version string `db:"version"`
		Sign    string `db:"sign"`
		Words   string `db:"words"`
	}
	if err := t.get(ctx, &row, `SELECT rule, version, sign, words FROM refusal WHERE purchase = ?`, purchase); err != nil {
		return false, err
	}
	var customers int
	if err := t.get(ctx, &customers, `SELECT count(*) FROM (SELECT DISTINCT provider, customer FROM refusal
		WHERE rule = ? AND version = ? AND sign = ? AND counted = 1 AND at > ?) AS alike`,
		row.Rule, row.Version, row.Sign, micros(now.Add(-topup.RefusalsWithin))); err != nil {
		return false, err
	}
	if customers < topup.RefusalsAlike {
		return false, nil
	}
	began, err := t.stop(ctx, topup.Pause{
		Scope: topup.PauseRule, Subject: row.Rule, Cause: topup.StopRefused,
		Reason: fmt.Sprintf("%d customers were refused alike within %s, the last with %s; one customer who was not refused yet is tried after %s, then less and less often",
			customers, topup.RefusalsWithin, row.Words, topup.ProbeFirst),
	}, now)
	if err != nil || !began {
		return false, err
	}
	_, err = t.exec(ctx, `INSERT INTO refused_rule (rule, version, since_at, wait_us, probe_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (rule) DO UPDATE SET version = excluded.version, since_at = excluded.since_at, wait_us = excluded.wait_us,
			probe_at = excluded.probe_at, purchase = ''`,
		row.Rule, row.Version, micros(now), topup.ProbeFirst.Microseconds(), micros(now.Add(topup.ProbeFirst)))
	return true, err
}

type refusedRuleRow struct {
	Rule     string `db:"rule"`
	Version  string `db:"version"`
	WaitUS   int64  `db:"wait_us"`
	ProbeAt  int64  `db:"probe_at"`
	Purchase string `db:"purchase"`
}

const refusedRuleColumns = `rule, version, wait_us, probe_at, purchase`

func (r refusedRuleRow) refused() topup.RefusedRule {
	return topup.RefusedRule{Rule: r.Rule, Version: r.Version, ProbeAt: instant(r.ProbeAt)}
}

// refusedRules lists the rules that are stopped because of refusals.
func (v view) refusedRules(ctx context.Context) ([]topup.RefusedRule, error) {
	var rows []refusedRuleRow
	if err := v.list(ctx, &rows, `SELECT `+refusedRuleColumns+` FROM refused_rule ORDER BY rule`); err != nil {
		return nil, fmt.Errorf("the rules that are refused: %w", err)
	}
	var list []topup.RefusedRule
	for _, r := range rows {
		list = append(list, r.refused())
	}
	return list, nil
}

// mayProbe tells whether the stop because of refusals lets a new purchase through,
// and notes it as the one that is tried, so that it is one. A rule that has changed
// is stopped no longer.
func (t tx) mayProbe(ctx context.Context, p topup.Purchase, target targetRow, now time.Time) (bool, error) {
	var row refusedRuleRow
	found, err := t.find(ctx, &row, `SELECT `+refusedRuleColumns+` FROM refused_rule WHERE rule = ?`+t.store.sql.update, p.Rule)
	switch {
	case err != nil || !found || !row.refused().LetsThrough(p.Rule, p.RuleVersion, target.RefusalRule, now):
		return false, err
	case row.Version != p.RuleVersion:
		return true, t.liftRefused(ctx, p.Rule, "the rule has changed", now)
	}
	wait := min(2*span(row.WaitUS), topup.ProbeMost)
	return true, t.one(ctx, "trying one customer", `UPDATE refused_rule SET purchase = ?, wait_us = ?, probe_at = ? WHERE rule = ?`,
		p.ID, wait.Microseconds(), micros(now.Add(wait)), p.Rule)
}

// isProbe tells whether a planned purchase is the one that is tried.
func (t tx) isProbe(ctx context.Context, row purchaseRow) (bool, error) {
	var id string
	found, err := t.find(ctx, &id, `SELECT purchase FROM refused_rule WHERE rule = ?`, row.Rule)
	return found && id == row.ID, err
}

// liftRefused ends a stop because of refusals.
func (t tx) liftRefused(ctx context.Context, rule, why string, now time.Time) error {
	lifted, err := t.liftStop(ctx, topup.Pause{Scope: topup.PauseRule, Subject: rule, Cause: topup.StopRefused}, why, now)
	if err != nil || !lifted {
		return err
	}
	return t.forgetRefused(ctx, rule)
}

// forgetRefused forgets what a rule was stopped for.
func (t tx) forgetRefused(ctx context.Context, rule string) error {
	for _, query := range []string{`DELETE FROM refused_rule WHERE rule = ?`, `DELETE FROM refusal WHERE rule = ?`} {
		if _, err := t.exec(ctx, query, rule); err != nil {
			return fmt.Errorf("forgetting what the rule was refused: %w", err)
		}
	}
	return nil
}
