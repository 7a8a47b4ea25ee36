package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"topupd/topup"
)

// importChunk bounds the rows of one transaction: it holds the provider, and the
// renewal of its lease waits. On SQLite every other writer waits too.
const importChunk = 100

// Import stores additions of credits that are not ours and were not known, and
// returns how many. It leaves alone what may yet turn out to be ours: rows in
// the match window of an open purchase of the target that was sent. New ones
// raise the target's version, so that no decision made before them counts (P1).
// Many rows are several transactions: after an error the first ones may be stored.
func (s *Store) Import(ctx context.Context, target topup.Target, rows []topup.Topup) (imported int, err error) {
	for part := range slices.Chunk(rows, importChunk) {
		n, err := s.importPart(ctx, target, part)
		if err != nil {
			return imported, fmt.Errorf("importing for %s, %s: %w", target.Customer, target.Product, err)
		}
		imported += n
	}
	return imported, nil
}

func (s *Store) importPart(ctx context.Context, target topup.Target, rows []topup.Topup) (imported int, err error) {
	err = s.write(ctx, "import", func(ctx context.Context, t tx) error {
		if _, err := t.lockProvider(ctx, target.Provider, s.sql.share); err != nil {
			return err
		}
		row, err := t.lockTarget(ctx, target)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		before := row
		if imported, err = t.importTopups(ctx, &row, target, rows, now, true); err != nil || row == before {
			return err
		}
		return t.storeTarget(ctx, target, row)
	})
	if err != nil {
		return 0, err
	}
	return imported, nil
}

// importTopups imports for a target that the caller has locked and will store.
// careful leaves rows alone that an open purchase may yet claim; without it the
// caller has decided that they are not ours.
func (t tx) importTopups(ctx context.Context, target *targetRow, key topup.Target, rows []topup.Topup, now time.Time, careful bool) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	window, err := t.matchWindow(ctx, key, careful)
	if err != nil {
		return 0, err
	}
	imported, newest := 0, target.NewestRowAt
	for _, r := range rows {
		at := r.At
		if at.IsZero() || at.After(now) { // a provider's clock may be wrong; a cooldown must end
			at = now
		}
		us := micros(at)
		origin, err := t.origin(ctx, key.Provider, r)
		if err != nil {
			return 0, err
		}
		if origin != unknown { // known: it may have a later time than we knew of
			target.NewestRowAt = later(target.NewestRowAt, &us)
			continue
		}
		if window.holds(r.At) {
			continue
		}
		if err := t.insertExternal(ctx, key, r, at, now); err != nil {
			return 0, err
		}
		target.NewestRowAt, target.ExternalAt = later(target.NewestRowAt, &us), later(target.ExternalAt, &us)
		imported++
		why, err := t.contradicted(ctx, key, r, now)
		if err != nil {
			return 0, err
		}
		if why != "" && (target.Implausible == "" || target.DoubtedAt != nil) {
			target.Implausible, target.DoubtedAt = why, nil // readings do not end it
		}
	}
	// A newer row makes older readings worthless, so facts that were read
	// without it are overtaken.
	if imported > 0 || target.NewestRowAt != newest {
		target.Version++
	}
	return imported, nil
}

// contradicted finds the purchase that a person called not charged and that the
// addition looks like, writes the find into its history, and says why its target
// is held; "" when there is none. The customer may have paid twice.
func (t tx) contradicted(ctx context.Context, key topup.Target, r topup.Topup, now time.Time) (why string, err error) {
	denied, err := t.purchases(ctx, `provider = ? AND customer = ? AND product = ? AND state = 'declined' AND resolved_by <> ''
		ORDER BY planned_at DESC LIMIT 20`, string(key.Provider), string(key.Customer), string(key.Product))
	if err != nil {
		return "", err
	}
	for _, p := range denied {
		if !p.Contradicts(r) {
			continue
		}
		text := fmt.Sprintf("the provider's books show %s of %s, which looks like this purchase although %s called it not charged",
			cmp.Or(r.Invoice, r.ID), r.At.UTC().Format(time.RFC3339), p.ResolvedBy)
		if err := t.appendEvidence(ctx, p.ID, now, []topup.Evidence{{Kind: topup.EvidenceLook, Text: text}}); err != nil {
			return "", err
		}
		return bound(fmt.Sprintf("%s looks like purchase %s, which %s called not charged: the customer may have paid twice; look at topupd purchases show %s, settle it with the provider, then topupd resume --provider",
			cmp.Or(r.Invoice, r.ID), p.Short(), p.ResolvedBy, p.Short()), 2000), nil
	}
	return "", nil
}

// matchWindow is the provider time in which rows may be what an open purchase made.
type matchWindow struct{ from, to time.Time }

func (w matchWindow) holds(at time.Time) bool {
	return !w.to.IsZero() && !at.Before(w.from) && !at.After(w.to)
}

func (t tx) matchWindow(ctx context.Context, key topup.Target, careful bool) (matchWindow, error) {
	if !careful {
		return matchWindow{}, nil
	}
	var sent struct {
		First *int64 `db:"sent_at"`
		Last  *int64 `db:"last_sent_at"`
	}
	open, err := t.find(ctx, &sent, `SELECT sent_at, last_sent_at FROM purchase
		WHERE provider = ? AND customer = ? AND product = ? AND `+isOpen,
		string(key.Provider), string(key.Customer), string(key.Product))
	if err != nil || !open || sent.First == nil || sent.Last == nil {
		return matchWindow{}, err
	}
	return matchWindow{instant(*sent.First).Add(-topup.MatchBefore), instant(*sent.Last).Add(topup.MatchAfter)}, nil
}

// origin is whose addition a row is.
type origin string

const (
	unknown  origin = "unknown"
	ours     origin = "ours"     // explained by a purchase
	external origin = "external" // imported before, by its own id or its invoice's
)

func (t tx) origin(ctx context.Context, provider topup.ProviderID, r topup.Topup) (origin, error) {
	var id string
	found, err := t.find(ctx, &id, `SELECT id FROM purchase WHERE provider = ? AND reference IN (?, ?)`,
		string(provider), r.ID, r.Invoice)
	if err != nil || found {
		return ours, err
	}
	found, err = t.find(ctx, &id, `SELECT id FROM external_topup WHERE provider = ? AND id IN (?, ?) LIMIT 1`, string(provider), r.ID, r.Invoice)
	if err != nil || found {
		return external, err
	}
	found, err = t.find(ctx, &id, `SELECT id FROM external_topup WHERE provider = ? AND invoice <> '' AND invoice = ? LIMIT 1`,
		string(provider), r.Invoice)
	if err != nil || found {
		return external, err
	}
	return unknown, nil
}

func (t tx) insertExternal(ctx context.Context, key topup.Target, r topup.Topup, at, now time.Time) error {
	_, err := t.exec(ctx, `
		INSERT INTO external_topup (provider, id, customer, product, invoice, credits_micro, price_minor, price_currency,
			price_id, source, at, imported_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(key.Provider), r.ID, string(key.Customer), string(key.Product), r.Invoice, int64(r.Credits), r.Price.Minor,
		string(r.Price.Currency), r.PriceID, bound(r.Source, 300), micros(at), micros(now))
	if err != nil {
		return fmt.Errorf("importing %s: %w", r.ID, err)
	}
	return nil
}
