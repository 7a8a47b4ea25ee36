package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// maxDetail bounds the JSON of one line of evidence, in bytes.
const maxDetail = 200_000

// Append adds evidence to a purchase in whatever state it is; topup.ErrNotFound
// when there is none with the id.
func (s *Store) Append(ctx context.Context, id string, evidence ...topup.Evidence) error {
	return s.write(ctx, "append", func(ctx context.Context, t tx) error {
		var found string
		ok, err := t.find(ctx, &found, `SELECT id FROM purchase WHERE id = ?`+s.sql.update, id)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("purchase %s: %w", id, topup.ErrNotFound)
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		return t.appendEvidence(ctx, id, now, evidence)
	})
}

// appendEvidence numbers and stores lines of a purchase that the caller has locked.
func (t tx) appendEvidence(ctx context.Context, id string, now time.Time, evidence []topup.Evidence) error {
	if len(evidence) == 0 {
		return nil
	}
	var n int64
	if err := t.get(ctx, &n, `SELECT coalesce(max(n), 0) FROM evidence WHERE purchase_id = ?`, id); err != nil {
		return err
	}
	for i, e := range evidence {
		detail := string(e.Detail)
		if len(detail) > maxDetail {
			detail = fmt.Sprintf(`{"dropped_bytes":%d}`, len(detail))
		}
		_, err := t.exec(ctx, `
			INSERT INTO evidence (purchase_id, n, at, kind, from_state, to_state, text, detail)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			id, n+int64(i)+1, micros(now), string(e.Kind), string(e.From), string(e.To), bounded(e.Text), bound(detail, maxDetail))
		if err != nil {
			return fmt.Errorf("appending evidence: %w", err)
		}
	}
	return nil
}

// Evidence is the history of a purchase, oldest first.
func (s *Store) Evidence(ctx context.Context, id string) ([]topup.Evidence, error) {
	var rows []struct {
		At     int64  `db:"at"`
		Kind   string `db:"kind"`
		From   string `db:"from_state"`
		To     string `db:"to_state"`
		Text   string `db:"text"`
		Detail string `db:"detail"`
	}
	err := s.read(ctx, "evidence", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT at, kind, from_state, to_state, text, detail FROM evidence WHERE purchase_id = ? ORDER BY n`, id)
	})
	list := make([]topup.Evidence, 0, len(rows))
	for _, r := range rows {
		list = append(list, topup.Evidence{
			At: instant(r.At), Kind: topup.EvidenceKind(r.Kind), From: topup.State(r.From), To: topup.State(r.To),
			Text: r.Text, Detail: raw(r.Detail),
		})
	}
	return list, err
}
