package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"topupd/topup"
)

// Kept is how many evaluations of each target the ledger remembers (P15). The
// schema has as many slots.
const Kept = 20

// evaluationChunk bounds the rows of one transaction: on SQLite a permit waits
// for it, while its connection to the provider is open. Its 20 columns stay far
// below the 32,766 parameters that SQLite takes.
const evaluationChunk = 200

type evaluationRow struct {
	Provider       string `db:"provider"`
	Customer       string `db:"customer"`
	Product        string `db:"product"`
	ProviderName   string `db:"provider_name"`
	CustomerName   string `db:"customer_name"`
	ProductName    string `db:"product_name"`
	At             int64  `db:"at"`
	SinceAt        int64  `db:"since_at"`
	Reason         string `db:"reason"`
	Text           string `db:"text"`
	Rule           string `db:"rule"`
	RuleVersion    string `db:"rule_version"`
	BalanceMicro   *int64 `db:"balance_micro"`
	ThresholdMicro *int64 `db:"threshold_micro"`
	ReadAt         *int64 `db:"read_at"`
	RefreshedAt    *int64 `db:"refreshed_at"`
	Purchase       string `db:"purchase"`
	Detail         string `db:"detail"`

	rehearsed bool   // in dry run
	Judged    *int64 // what it is held against from now on; nil = what it was
	JudgedAt  *int64
}

const evaluationColumns = `provider, customer, product, provider_name, customer_name, product_name, at, since_at, reason, text,
	rule, rule_version, balance_micro, threshold_micro, read_at, refreshed_at, purchase, detail`

func evaluationRowOf(e topup.Evaluation) evaluationRow {
	since := e.Since
	if since.IsZero() || since.After(e.At) {
		since = e.At
	}
	return evaluationRow{
		Provider: string(e.Target.Provider), Customer: string(e.Target.Customer), Product: string(e.Target.Product),
		ProviderName: e.ProviderName, CustomerName: bound(e.CustomerName, maxName), ProductName: bound(e.ProductName, maxName),
		At: micros(e.At), SinceAt: micros(since), Reason: string(e.Reason), Text: bounded(e.Text),
		Rule: e.Rule, RuleVersion: e.RuleVersion,
		BalanceMicro: (*int64)(e.Balance), ThresholdMicro: (*int64)(e.Threshold),
		ReadAt: optional(&e.ReadAt), RefreshedAt: optional(&e.RefreshedAt),
		Purchase: e.Purchase, Detail: bound(string(e.Detail), maxDetail),
		rehearsed: e.DryRun,
	}
}

func (r evaluationRow) evaluation() topup.Evaluation {
	return topup.Evaluation{
		Target:       r.target(),
		ProviderName: r.ProviderName, CustomerName: r.CustomerName, ProductName: r.ProductName,
		At: instant(r.At), Since: instant(r.SinceAt), Reason: topup.Reason(r.Reason), Text: r.Text,
		Rule: r.Rule, RuleVersion: r.RuleVersion,
		Balance: (*topup.Credits)(r.BalanceMicro), Threshold: (*topup.Credits)(r.ThresholdMicro),
		ReadAt: value(r.ReadAt), RefreshedAt: value(r.RefreshedAt), Purchase: r.Purchase, Detail: raw(r.Detail),
	}
}

func (r evaluationRow) target() topup.Target {
	return topup.Target{
		Provider: topup.ProviderID(r.Provider), Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product),
	}
}

func (r evaluationRow) args() []any {
	return []any{
		r.Provider, r.Customer, r.Product, r.ProviderName, r.CustomerName, r.ProductName, r.At, r.SinceAt, r.Reason, r.Text,
		r.Rule, r.RuleVersion, r.BalanceMicro, r.ThresholdMicro, r.ReadAt, r.RefreshedAt, r.Purchase, r.Detail,
	}
}

// RecordEvaluations keeps decisions (P15) and each target's latest one. Since
// follows the target: it stays while the reason stays, whatever the evaluation
// says. Many are several transactions, between which others write: after an
// error the first ones may be kept.
func (s *Store) RecordEvaluations(ctx context.Context, evaluations []topup.Evaluation) error {
	for _, round := range roundsOf(evaluations) {
		for part := range slices.Chunk(round, evaluationChunk) {
			if err := s.write(ctx, "record_evaluations", func(ctx context.Context, t tx) error { return t.record(ctx, part) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// roundsOf splits evaluations so that no target is twice in a round, which one
// statement could not store, and sorts each by target: the order of the locks.
func roundsOf(evaluations []topup.Evaluation) [][]evaluationRow {
	sorted := slices.Clone(evaluations)
	slices.SortStableFunc(sorted, func(a, b topup.Evaluation) int { return compareTargets(a.Target, b.Target) })
	var rounds [][]evaluationRow
	n := 0
	for i, e := range sorted {
		if n++; i == 0 || e.Target != sorted[i-1].Target {
			n = 1
		}
		if n > len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[n-1] = append(rounds[n-1], evaluationRowOf(e))
	}
	return rounds
}

// numbered is a snapshot's answer: the number of the evaluation, and since when
// its reason holds.
type numbered struct {
	Provider    string `db:"provider"`
	Customer    string `db:"customer"`
	Product     string `db:"product"`
	SinceAt     int64  `db:"since_at"`
	Evaluations int64  `db:"evaluations"`
}

func (t tx) record(ctx context.Context, rows []evaluationRow) error {
	if err := t.judge(ctx, rows); err != nil {
		return err
	}
	numbers, err := t.updateSnapshots(ctx, rows)
	if err != nil {
		return fmt.Errorf("storing the latest evaluations: %w", err)
	}
	const columns = 20
	args := make([]any, 0, len(rows)*columns)
	for _, r := range rows {
		n := numbers[r.target()]
		r.SinceAt = n.SinceAt
		args = append(append(args, n.Evaluations%Kept, n.Evaluations), r.args()...)
	}
	_, err = t.exec(ctx, `INSERT INTO evaluation (slot, n, `+evaluationColumns+`) VALUES `+places(len(rows), columns)+`
		ON CONFLICT (provider, customer, product, slot) DO UPDATE SET n = excluded.n,
			provider_name = excluded.provider_name, customer_name = excluded.customer_name, product_name = excluded.product_name,
			at = excluded.at, since_at = excluded.since_at, reason = excluded.reason, text = excluded.text,
			rule = excluded.rule, rule_version = excluded.rule_version,
			balance_micro = excluded.balance_micro, threshold_micro = excluded.threshold_micro,
			read_at = excluded.read_at, refreshed_at = excluded.refreshed_at,
			purchase = excluded.purchase, detail = excluded.detail`, args...)
	if err != nil {
		return fmt.Errorf("storing evaluations: %w", err)
	}
	return nil
}

func (t tx) updateSnapshots(ctx context.Context, rows []evaluationRow) (map[topup.Target]numbered, error) {
	const columns = 21
	args := make([]any, 0, len(rows)*columns)
	for _, r := range rows {
		args = append(append(args, int64(1), r.Judged, r.JudgedAt), r.args()...)
	}
	var list []numbered
	err := t.list(ctx, &list, `INSERT INTO snapshot (evaluations, judged_micro, judged_at, `+evaluationColumns+`) VALUES `+places(len(rows), columns)+`
		ON CONFLICT (provider, customer, product) DO UPDATE SET evaluations = snapshot.evaluations + 1,
			since_at = CASE WHEN snapshot.reason = excluded.reason THEN snapshot.since_at ELSE excluded.since_at END,
			provider_name = excluded.provider_name, customer_name = excluded.customer_name, product_name = excluded.product_name,
			at = excluded.at, reason = excluded.reason, text = excluded.text,
			rule = excluded.rule, rule_version = excluded.rule_version,
			balance_micro = excluded.balance_micro, threshold_micro = excluded.threshold_micro,
			read_at = excluded.read_at, refreshed_at = excluded.refreshed_at,
			purchase = excluded.purchase, detail = excluded.detail,
			judged_micro = coalesce(excluded.judged_micro, snapshot.judged_micro),
			judged_at = coalesce(excluded.judged_at, snapshot.judged_at)
		RETURNING provider, customer, product, since_at, evaluations`, args...)
	if err != nil {
		return nil, err
	}
	numbers := make(map[topup.Target]numbered, len(list))
	for _, n := range list {
		numbers[evaluationRow{Provider: n.Provider, Customer: n.Customer, Product: n.Product}.target()] = n
	}
	return numbers, nil
}

// places are the placeholders of a statement with several rows.
func places(rows, columns int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", columns), ", ") + "), "
	return strings.TrimSuffix(strings.Repeat(row, rows), ", ")
}

// Evaluations lists the last evaluations that the filter chooses (its States do
// not apply), newest first.
func (s *Store) Evaluations(ctx context.Context, f Filter) ([]topup.Evaluation, error) {
	f.States, f.Payments = nil, nil
	var rows []evaluationRow
	err := s.read(ctx, "evaluations", func(ctx context.Context, v view) error {
		where, args, err := f.where("at")
		if err != nil {
			return err
		}
		if f.Customer != "" && f.Provider == "" { // the key begins with the provider
			where, args = where+` AND provider IN (SELECT provider FROM snapshot WHERE customer = ?)`, append(args, string(f.Customer))
		}
		where += ` ORDER BY at DESC, n DESC`
		if f.Limit > 0 {
			where, args = where+` LIMIT ?`, append(args, f.Limit)
		}
		return v.list(ctx, &rows, `SELECT `+evaluationColumns+` FROM evaluation WHERE `+where, args...)
	})
	list := make([]topup.Evaluation, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.evaluation())
	}
	return list, err
}

// Targets lists the latest evaluation of every target that the filter chooses
// (its States do not apply), by provider, customer and product. Without a Limit
// it lists all of them, however many there are.
func (s *Store) Targets(ctx context.Context, f Filter) ([]topup.Evaluation, error) {
	return s.targets(ctx, "targets", f)
}

// Snapshot lists the latest evaluation of every target of a provider, by
// customer and product.
func (s *Store) Snapshot(ctx context.Context, provider topup.ProviderID) ([]topup.Evaluation, error) {
	return s.targets(ctx, "snapshot", Filter{Provider: provider})
}

func (s *Store) targets(ctx context.Context, query string, f Filter) ([]topup.Evaluation, error) {
	list := []topup.Evaluation{}
	err := s.read(ctx, query, func(ctx context.Context, v view) error {
		return v.targets(ctx, f, func(r evaluationRow) { list = append(list, r.evaluation()) })
	})
	return list, err
}

// targets reads page by page: no statement takes longer for more customers. What
// is stored meanwhile is seen or not.
func (v view) targets(ctx context.Context, f Filter, see func(evaluationRow)) error {
	f.States, f.Payments = nil, nil
	where, args, err := f.where("at")
	if err != nil {
		return err
	}
	key := func(r evaluationRow) []any { return []any{r.Provider, r.Customer, r.Product} }
	after, beyond := key(evaluationRow{}), ` AND (provider, customer, product) > (?, ?, ?)`
	if f.Provider != "" { // SQLite compares no columns by the index that it has found already
		key = func(r evaluationRow) []any { return []any{r.Customer, r.Product} }
		after, beyond = key(evaluationRow{}), ` AND (customer, product) > (?, ?)`
	}
	for left := f.Limit; ; {
		size := pageRows
		if f.Limit > 0 {
			size = min(size, left)
		}
		var page []evaluationRow
		if err := v.list(ctx, &page, `SELECT `+evaluationColumns+` FROM snapshot WHERE `+where+beyond+` ORDER BY provider, customer, product LIMIT ?`,
			slices.Concat(args, after, []any{size})...); err != nil {
			return err
		}
		for _, r := range page {
			see(r)
		}
		if left -= len(page); len(page) < size || f.Limit > 0 && left == 0 {
			return nil
		}
		after = key(page[len(page)-1])
	}
}
