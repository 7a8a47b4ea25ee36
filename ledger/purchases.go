package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

// Filter chooses rows; empty fields choose all.
type Filter struct {
	Provider     topup.ProviderID
	ProviderName string // label in the YAML when it was stored
	Rule         string
	Customer     topup.CustomerID
	Product      topup.ProductID
	States       []topup.State   // of purchases; none = all
	Payments     []topup.Payment // of purchases; none = all
	Decided      bool            // purchases whose outcome a person has said
	Since        time.Time       // inclusive; planned, or evaluated
	Limit        int             // 0 = all
}

// where builds the condition; at is the column that Since compares.
func (f Filter) where(at string) (string, []any, error) {
	clauses, args := []string{"1 = 1"}, []any{}
	equal := func(column, value string) {
		if value != "" {
			clauses, args = append(clauses, column+" = ?"), append(args, value)
		}
	}
	equal("provider", string(f.Provider))
	equal("provider_name", f.ProviderName)
	equal("rule", f.Rule)
	equal("customer", string(f.Customer))
	equal("product", string(f.Product))
	if !f.Since.IsZero() {
		clauses, args = append(clauses, at+" >= ?"), append(args, micros(f.Since))
	}
	if f.Decided {
		clauses = append(clauses, isDecided)
	}
	if f.open() {
		clauses = append(clauses, isOpen)
	}
	if f.unpaid() {
		clauses = append(clauses, isUnpaid)
	}
	for _, among := range []struct {
		clause string
		size   int
		values any
	}{
		{"state IN (?)", len(f.States), f.States},
		{"payment IN (?)", len(f.Payments), f.Payments},
	} {
		if among.size == 0 {
			continue
		}
		in, values, err := sqlx.In(among.clause, among.values)
		if err != nil {
			return "", nil, fmt.Errorf("binding a list: %w", err)
		}
		clauses, args = append(clauses, in), append(args, values...)
	}
	return strings.Join(clauses, " AND "), args, nil
}

// isDecided is the condition of purchase_decided.
const isDecided = `resolved_by <> ''`

// isUnpaid is the condition of purchase_unpaid.
const isUnpaid = `payment IN ('pending', 'failed')`

// open and unpaid tell whether the filter chooses nothing else. That is little:
// an index has these rows alone, and is used where its own condition stands in
// the question.
func (f Filter) open() bool {
	return len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s topup.State) bool { return !s.Open() })
}

func (f Filter) unpaid() bool {
	return len(f.Payments) > 0 && !slices.ContainsFunc(f.Payments, func(p topup.Payment) bool {
		return p != topup.PaymentPending && p != topup.PaymentFailed
	})
}

// newestFirst is the order of purchases. What is little is sorted: read in the
// order of an index, it would be looked for among all the others.
func (f Filter) newestFirst() string {
	if f.open() || f.unpaid() || f.Decided {
		return ` ORDER BY planned_at + 0 DESC, id DESC`
	}
	return ` ORDER BY planned_at DESC, id DESC`
}

// purchases reads whole purchases; rest is everything after WHERE.
func (v view) purchases(ctx context.Context, rest string, args ...any) ([]topup.Purchase, error) {
	var rows []purchaseRow
	if err := v.list(ctx, &rows, `SELECT `+purchaseColumns+` FROM purchase WHERE `+rest, args...); err != nil {
		return nil, err
	}
	return purchasesOf(rows)
}

// stored reads one purchase back as this transaction leaves it.
func (t tx) stored(ctx context.Context, id string) (topup.Purchase, error) {
	list, err := t.purchases(ctx, `id = ?`, id)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("purchase %s: %w", id, topup.ErrNotFound)
	}
	if err != nil {
		return topup.Purchase{}, err
	}
	return list[0], nil
}

// minPart is the shortest part of an id that names a purchase.
const minPart = 4

// Purchase finds one by its id, or by the beginning or end of it, at least four
// characters. topup.ErrNotFound when there is none; several are an error that
// lists them.
func (s *Store) Purchase(ctx context.Context, idOrPart string) (topup.Purchase, error) {
	part := strings.ToLower(strings.TrimSpace(idOrPart))
	if len(part) < minPart || len(part) > 64 {
		return topup.Purchase{}, fmt.Errorf("%.80q does not name a purchase: give its id, or at least %d characters of its beginning or end", idOrPart, minPart)
	}
	var list []topup.Purchase
	err := s.read(ctx, "purchase", func(ctx context.Context, v view) (err error) {
		if list, err = v.purchases(ctx, `id = ?`, part); err != nil || len(list) > 0 {
			return err
		}
		// The indexes know the first eight characters and the last four.
		first := part[:min(len(part), 8)]
		list, err = v.purchases(ctx, `substr(id, 1, 8) >= ? AND substr(id, 1, 8) < ? AND substr(id, 1, ?) = ?
				OR substr(id, length(id) - 3) = ? AND substr(id, length(id) - ? + 1) = ? ORDER BY id DESC LIMIT 6`,
			first, first+"zzzzzzzz", len(part), part, part[len(part)-minPart:], len(part), part)
		return err
	})
	switch {
	case err != nil:
		return topup.Purchase{}, err
	case len(list) == 0:
		return topup.Purchase{}, fmt.Errorf("purchase %s: %w", idOrPart, topup.ErrNotFound)
	case len(list) > 1:
		lines := make([]string, 0, len(list))
		for _, p := range list {
			lines = append(lines, p.ID+" ("+string(p.Target.Customer)+")")
		}
		return topup.Purchase{}, errors.New(idOrPart + " names several purchases: " + strings.Join(lines, ", ") + "; give more of the id")
	default:
		return list[0], nil
	}
}

// Purchases lists purchases, newest first.
func (s *Store) Purchases(ctx context.Context, f Filter) ([]topup.Purchase, error) {
	where, args, err := f.where("planned_at")
	if err != nil {
		return nil, err
	}
	var list []topup.Purchase
	for {
		most := pageRows
		if f.Limit > 0 {
			most = min(most, f.Limit-len(list))
		}
		where, args := where, slices.Clone(args)
		if len(list) > 0 {
			last := list[len(list)-1]
			where, args = where+` AND (planned_at, id) < (?, ?)`, append(args, micros(last.PlannedAt), last.ID)
		}
		var page []topup.Purchase
		err := s.read(ctx, "purchases", func(ctx context.Context, v view) (err error) {
			page, err = v.purchases(ctx, where+f.newestFirst()+` LIMIT ?`, append(args, most)...)
			return err
		})
		if err != nil {
			return nil, err
		}
		if list = append(list, page...); len(page) < most || len(list) == f.Limit {
			return list, nil
		}
	}
}

// Due lists the purchases of a provider that somebody should look at now, the
// longest due first: planned ones whose sender never came, open ones, and
// finished ones whose payment has not ended.
func (s *Store) Due(ctx context.Context, provider topup.ProviderID, limit int) (now time.Time, due []topup.Purchase, err error) {
	err = s.read(ctx, "due", func(ctx context.Context, v view) error {
		if now, err = v.now(ctx); err != nil {
			return err
		}
		due, err = v.purchases(ctx, `provider = ? AND next_look_at IS NOT NULL AND next_look_at <= ?
			AND (`+isOpen+` OR `+isUnpaid+`) ORDER BY next_look_at, id LIMIT ?`,
			string(provider), micros(now), limit)
		return err
	})
	return now, due, err
}

// Claimed tells which of the references explain a purchase other than except.
func (s *Store) Claimed(ctx context.Context, provider topup.ProviderID, references []string, except string) (map[string]bool, error) {
	claimed := map[string]bool{}
	const chunk = 500 // both engines bound the number of parameters
	err := s.read(ctx, "claimed", func(ctx context.Context, v view) error {
		for len(references) > 0 {
			part := references[:min(chunk, len(references))]
			references = references[len(part):]
			query, args, err := sqlx.In(`SELECT reference FROM purchase WHERE provider = ? AND id <> ? AND reference IN (?)`,
				string(provider), except, part)
			if err != nil {
				return err
			}
			var found []string
			if err := v.list(ctx, &found, query, args...); err != nil {
				return err
			}
			for _, reference := range found {
				claimed[reference] = true
			}
		}
		return nil
	})
	return claimed, err
}

// maxTaken bounds one call of TakeFinished: its rows are locked together.
const maxTaken = 500

// TakeFinished hands out final purchases that were never handed out before,
// oldest first, at most 500 a call: counters move once for each, whichever process counts. What is
// lost between here and the counter is missing there, never counted twice.
func (s *Store) TakeFinished(ctx context.Context, provider topup.ProviderID, limit int) ([]topup.Purchase, error) {
	var taken []topup.Purchase
	err := s.write(ctx, "take_finished", func(ctx context.Context, t tx) error {
		taken = nil
		var ids []string
		if err := t.list(ctx, &ids, `SELECT id FROM purchase WHERE provider = ? AND finished_at IS NOT NULL AND counted = 0
			ORDER BY finished_at, id LIMIT ?`+s.sql.update, string(provider), max(1, min(limit, maxTaken))); err != nil {
			return err
		}
		for _, id := range ids {
			n, err := t.exec(ctx, `UPDATE purchase SET counted = 1 WHERE id = ? AND counted = 0`, id)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			p, err := t.stored(ctx, id)
			if err != nil {
				return err
			}
			taken = append(taken, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// OpenCount is how many purchases of a provider are in one open state.
type OpenCount struct {
	Provider topup.ProviderID
	State    topup.State
	Count    int
	Oldest   *time.Time // when the oldest of them was planned
}

// OpenCounts counts the open purchases by provider and state.
func (s *Store) OpenCounts(ctx context.Context) ([]OpenCount, error) {
	var rows []struct {
		Provider string `db:"provider"`
		State    string `db:"state"`
		Count    int    `db:"count"`
		Oldest   *int64 `db:"oldest"`
	}
	err := s.read(ctx, "open_counts", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT provider, state, count(id) AS count, min(planned_at) AS oldest
			FROM purchase WHERE `+isOpen+` GROUP BY provider, state ORDER BY provider, state`)
	})
	counts := make([]OpenCount, 0, len(rows))
	for _, r := range rows {
		counts = append(counts, OpenCount{topup.ProviderID(r.Provider), topup.State(r.State), r.Count, pointer(r.Oldest)})
	}
	return counts, err
}

// UnpaidCount is how many purchases of a provider wait for their payment.
type UnpaidCount struct {
	Provider topup.ProviderID
	Payment  topup.Payment // pending or failed
	Count    int
}

// UnpaidCounts counts purchases whose payment has not ended.
func (s *Store) UnpaidCounts(ctx context.Context) ([]UnpaidCount, error) {
	var rows []struct {
		Provider string `db:"provider"`
		Payment  string `db:"payment"`
		Count    int    `db:"count"`
	}
	err := s.read(ctx, "unpaid_counts", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT provider, payment, count(id) AS count
			FROM purchase WHERE `+isUnpaid+` GROUP BY provider, payment ORDER BY provider, payment`)
	})
	counts := make([]UnpaidCount, 0, len(rows))
	for _, r := range rows {
		counts = append(counts, UnpaidCount{topup.ProviderID(r.Provider), topup.Payment(r.Payment), r.Count})
	}
	return counts, err
}
