package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

// pageRows is how many rows one query of a long list reads. Halved, a month of
// purchases takes twice the queries; doubled, each holds twice the memory.
const pageRows = 2000

// Planned lists every purchase of a provider planned since then, oldest first,
// however many there are.
func (s *Store) Planned(ctx context.Context, provider topup.ProviderID, since time.Time) ([]topup.Purchase, error) {
	var all []topup.Purchase
	err := s.read(ctx, "planned", func(ctx context.Context, v view) error {
		at, id := micros(since), ""
		for {
			page, err := v.purchases(ctx, `provider = ? AND (planned_at, id) > (?, ?) ORDER BY planned_at, id LIMIT ?`,
				string(provider), at, id, pageRows)
			if err != nil {
				return err
			}
			all = append(all, page...)
			if len(page) < pageRows {
				return nil
			}
			last := page[len(page)-1]
			at, id = micros(last.PlannedAt), last.ID
		}
	})
	return all, err
}

// Unjudged is when the oldest purchase of a provider was planned that a
// comparison which began at that moment could not judge, because it was open or
// within its quiet period, or whose id is among those given; the zero time when
// there is none.
func (s *Store) Unjudged(ctx context.Context, provider topup.ProviderID, at time.Time, ids []string) (time.Time, error) {
	var oldest *int64
	err := s.read(ctx, "unjudged", func(ctx context.Context, v view) error {
		// One after the other, each by an index of its own; a plain min(planned_at)
		// would be looked for in the order of planned_at.
		earliest := func(condition string, args ...any) error {
			var planned *int64
			err := v.get(ctx, &planned, `SELECT min(planned_at + 0) FROM purchase WHERE `+condition, args...)
			if err == nil && planned != nil && (oldest == nil || *planned < *oldest) {
				oldest = planned
			}
			return err
		}
		err := errors.Join(earliest(openAt, string(provider)),
			earliest(`provider = ? AND finished_at IS NOT NULL AND finished_at >= ?`, string(provider), micros(at)),
			earliest(`provider = ? AND last_sent_at + quiet_period_us >= ?`, string(provider), micros(at)))
		for part := range slices.Chunk(ids, idsChunk) {
			in, values, bad := sqlx.In(`provider = ? AND id IN (?)`, string(provider), part)
			if err = errors.Join(err, bad); err == nil {
				err = earliest(in, values...)
			}
		}
		return err
	})
	return value(oldest), err
}

// idsChunk bounds the ids of one query: the server finds so many one by one, and
// reads the whole table for many more.
const idsChunk = 200

// Named is a charge that the answer to a purchase request named.
type Named struct {
	Purchase  string // id
	Reference string
}

// Named lists the charges that clear answers named, of purchases of a provider
// planned since then, in the order of the purchases.
func (s *Store) Named(ctx context.Context, provider topup.ProviderID, since time.Time) ([]Named, error) {
	var list []Named
	err := s.read(ctx, "named", func(ctx context.Context, v view) error {
		at, id := micros(since), ""
		for {
			var page []struct {
				ID string `db:"id"`
				At int64  `db:"planned_at"`
			}
			if err := v.list(ctx, &page, `SELECT id, planned_at FROM purchase WHERE provider = ? AND (planned_at, id) > (?, ?)
				ORDER BY planned_at, id LIMIT ?`, string(provider), at, id, idsChunk); err != nil {
				return err
			}
			ids := make([]string, 0, len(page))
			for _, p := range page {
				ids, at, id = append(ids, p.ID), p.At, p.ID
			}
			named, err := v.named(ctx, ids)
			list = append(list, named...)
			if err != nil || len(page) < idsChunk {
				return err
			}
		}
	})
	return list, err
}

// named lists the charges that clear answers named, in the order of the ids.
func (v view) named(ctx context.Context, ids []string) ([]Named, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	query, args, err := sqlx.In(`SELECT purchase_id, detail FROM evidence WHERE purchase_id IN (?) AND kind = 'answer' AND detail <> '' ORDER BY purchase_id, n`, ids)
	if err != nil {
		return nil, fmt.Errorf("binding ids: %w", err)
	}
	var rows []struct {
		Purchase string `db:"purchase_id"`
		Detail   string `db:"detail"`
	}
	if err := v.list(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	var list []Named
	for _, r := range rows {
		var answer topup.Answer
		if err := json.Unmarshal([]byte(r.Detail), &answer); err != nil {
			return nil, fmt.Errorf("decoding an answer to purchase %s: %w", r.Purchase, err)
		}
		if answer.Reference != "" {
			list = append(list, Named{r.Purchase, answer.Reference})
		}
	}
	order := func(n Named) int { return slices.Index(ids, n.Purchase) }
	slices.SortStableFunc(list, func(a, b Named) int { return order(a) - order(b) })
	return list, nil
}

// Imports lists the additions of somebody else that are dated, or were
// imported, since then: at most a million.
func (s *Store) Imports(ctx context.Context, provider topup.ProviderID, since time.Time) ([]topup.Topup, error) {
	const most = 1_000_000
	var rows []struct {
		ID      string `db:"id"`
		Invoice string `db:"invoice"`
		Credits int64  `db:"credits_micro"`
		Source  string `db:"source"`
		At      int64  `db:"at"`
	}
	err := s.read(ctx, "imports", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT id, invoice, credits_micro, source, at FROM external_topup WHERE provider = ? AND at >= ?
			UNION SELECT id, invoice, credits_micro, source, at FROM external_topup WHERE provider = ? AND imported_at >= ?
			ORDER BY at, id LIMIT ?`, string(provider), micros(since), string(provider), micros(since), most)
	})
	if err == nil && len(rows) == most {
		err = fmt.Errorf("%d additions were imported since %s, too many to compare: verify a shorter time", most, since.UTC().Format(time.RFC3339))
	}
	list := make([]topup.Topup, 0, len(rows))
	for _, r := range rows {
		list = append(list, topup.Topup{ID: r.ID, Invoice: r.Invoice, Credits: topup.Credits(r.Credits), Source: r.Source, At: instant(r.At)})
	}
	return list, err
}

// Permit is one right to send that a purchase was given.
type Permit struct {
	N                int // from 1
	At               time.Time
	Replica          string
	Key              string // idempotency key
	Fingerprint      string // of the request
	TokenFingerprint string // of the provider token; it does not give the token away
	Term             int64  // of the lease
	Used             bool   // false: certainly not run
}

// Permits lists the permits of a purchase, oldest first.
func (s *Store) Permits(ctx context.Context, id string) ([]Permit, error) {
	var rows []struct {
		N                int    `db:"n"`
		At               int64  `db:"at"`
		Replica          string `db:"replica"`
		Key              string `db:"idempotency_key"`
		Fingerprint      string `db:"fingerprint"`
		TokenFingerprint string `db:"token_fingerprint"`
		Term             int64  `db:"term"`
		Used             int64  `db:"used"`
	}
	err := s.read(ctx, "permits", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT n, at, replica, idempotency_key, fingerprint, token_fingerprint, term, used
			FROM permit WHERE purchase_id = ? ORDER BY n`, id)
	})
	list := make([]Permit, 0, len(rows))
	for _, r := range rows {
		list = append(list, Permit{r.N, instant(r.At), r.Replica, r.Key, r.Fingerprint, r.TokenFingerprint, r.Term, r.Used != 0})
	}
	return list, err
}

// Verification is the newest complete comparison of a provider with its books.
type Verification struct {
	Provider topup.ProviderID
	At       time.Time // when it began
	Since    time.Time // what it compared
	Counts   map[string]int
	Keys     []string // of its findings, at most 1,000
}

// maxKeys bounds the findings that are remembered.
const maxKeys = 1000

// SaveVerification replaces the comparison of a provider by a newer one.
func (s *Store) SaveVerification(ctx context.Context, n Verification) error {
	n.Keys = n.Keys[:min(len(n.Keys), maxKeys)]
	counts, err := json.Marshal(n.Counts)
	if err != nil {
		return fmt.Errorf("encoding the counts: %w", err)
	}
	keys, err := json.Marshal(n.Keys)
	if err != nil {
		return fmt.Errorf("encoding the findings: %w", err)
	}
	return s.write(ctx, "save_verification", func(ctx context.Context, t tx) error {
		_, err := t.exec(ctx, `INSERT INTO verification (provider, at, since_at, counts, findings) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (provider) DO UPDATE SET at = excluded.at, since_at = excluded.since_at, counts = excluded.counts,
				findings = excluded.findings
			WHERE excluded.at >= verification.at`,
			string(n.Provider), micros(n.At), micros(n.Since), string(counts), string(keys))
		return err
	})
}

// Verifications lists the newest comparison of each provider that has one.
func (s *Store) Verifications(ctx context.Context) ([]Verification, error) {
	var rows []struct {
		Provider string `db:"provider"`
		At       int64  `db:"at"`
		Since    int64  `db:"since_at"`
		Counts   string `db:"counts"`
		Findings string `db:"findings"`
	}
	err := s.read(ctx, "verifications", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT provider, at, since_at, counts, findings FROM verification ORDER BY provider`)
	})
	list := make([]Verification, 0, len(rows))
	for _, r := range rows {
		n := Verification{Provider: topup.ProviderID(r.Provider), At: instant(r.At), Since: instant(r.Since)}
		if err := json.Unmarshal([]byte(r.Counts), &n.Counts); err != nil {
			return nil, fmt.Errorf("decoding the comparison of %s: %w", r.Provider, err)
		}
		if err := json.Unmarshal([]byte(r.Findings), &n.Keys); err != nil {
			return nil, fmt.Errorf("decoding the comparison of %s: %w", r.Provider, err)
		}
		list = append(list, n)
	}
	return list, err
}

// Acknowledge stores, for ever, that a person knows a difference with the
// provider's books and lives with it: an action whose subject is the
// difference's id and whose effect says what it is. Error: ErrAcknowledged, with
// the action that did it before.
func (s *Store) Acknowledge(ctx context.Context, a Action) (stored Action, err error) {
	a.Kind = ActionAcknowledge
	err = s.write(ctx, "acknowledge", func(ctx context.Context, t tx) error {
		if _, err := t.lockProvider(ctx, a.Provider, s.sql.alone); err != nil {
			return err
		}
		before, err := t.actions(ctx, `WHERE kind = 'acknowledge' AND subject = ?`, a.Subject)
		switch {
		case err != nil:
			return err
		case len(before) > 0:
			stored = before[0]
			return ErrAcknowledged
		}
		if a.At, err = t.now(ctx); err != nil {
			return err
		}
		stored = a
		return t.logAction(ctx, a)
	})
	return stored, err
}

// Acknowledgements lists what was acknowledged, oldest first.
func (s *Store) Acknowledgements(ctx context.Context) (list []Action, err error) {
	err = s.read(ctx, "acknowledgements", func(ctx context.Context, v view) error {
		list, err = v.actions(ctx, `WHERE kind = 'acknowledge' ORDER BY at, id`)
		return err
	})
	return list, err
}
