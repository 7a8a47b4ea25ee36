package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/topup"
)

// Provider is a provider connection as the ledger knows it.
type Provider struct {
	ID           topup.ProviderID
	Name         string // label in the YAML
	Type         string
	FirstSeenAt  time.Time // database clock
	Stopped      string    // why it refuses us; "" when it does not
	StoppedToken string    // fingerprint of the token it refused
	Quarantined  string    // why nothing may be bought there; "" when it may
	KnownAt      time.Time // up to when the ledger knows every purchase that the provider's books show
}

type providerRow struct {
	ID                string `db:"id"`
	Name              string `db:"name"`
	Type              string `db:"type"`
	FirstSeenAt       int64  `db:"first_seen_at"`
	HoldLiftedAt      *int64 `db:"hold_lifted_at"`
	Stopped           string `db:"stopped"`
	StoppedToken      string `db:"stopped_token"`
	Quarantined       string `db:"quarantined"`
	QuarantinedAt     *int64 `db:"quarantined_at"`
	QuarantineHeld    int64  `db:"quarantine_held"`
	QuarantineWitness string `db:"quarantine_witness"`
	KnownAt           *int64 `db:"known_at"`
	Holder            string `db:"holder"`
	LeaseUntil        int64  `db:"lease_until"`
	Term              int64  `db:"term"`
}

const providerColumns = `id, name, type, first_seen_at, hold_lifted_at, stopped, stopped_token, quarantined, quarantined_at,
	quarantine_held, quarantine_witness, known_at, holder, lease_until, term`

// firstSeen is when the first hold began; the zero time when a person ended it.
func (r providerRow) firstSeen() time.Time {
	if r.HoldLiftedAt != nil {
		return time.Time{}
	}
	return instant(r.FirstSeenAt)
}

// Register makes providers known. When one is first seen is stored once; its
// label follows the YAML.
func (s *Store) Register(ctx context.Context, providers []Provider) error {
	sorted := slices.SortedFunc(slices.Values(providers), func(a, b Provider) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return s.write(ctx, "register", func(ctx context.Context, t tx) error {
		if _, err := t.lockLineage(ctx); err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		for _, p := range sorted {
			if _, err := t.exec(ctx, `
				INSERT INTO provider (id, name, type, first_seen_at, known_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (id) DO UPDATE SET name = excluded.name, type = excluded.type`,
				string(p.ID), p.Name, p.Type, micros(now), micros(now)); err != nil {
				return fmt.Errorf("provider %s: %w", p.ID, err)
			}
		}
		return nil
	})
}

// Providers lists every provider ever registered, by id.
func (s *Store) Providers(ctx context.Context) ([]Provider, error) {
	var rows []providerRow
	err := s.read(ctx, "providers", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT `+providerColumns+` FROM provider ORDER BY id`)
	})
	list := make([]Provider, 0, len(rows))
	for _, r := range rows {
		list = append(list, Provider{
			ID: topup.ProviderID(r.ID), Name: r.Name, Type: r.Type, FirstSeenAt: instant(r.FirstSeenAt),
			Stopped: r.Stopped, StoppedToken: r.StoppedToken, Quarantined: r.Quarantined,
			KnownAt: r.knownAt(),
		})
	}
	return list, err
}

// ProvidersWithOpen counts the open purchases of every provider that has some:
// none of these may be missing from the YAML.
func (s *Store) ProvidersWithOpen(ctx context.Context) (map[topup.ProviderID]int, error) {
	var rows []struct {
		Provider string `db:"provider"`
		Count    int    `db:"count"`
	}
	err := s.read(ctx, "providers_with_open", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT provider, count(id) AS count FROM purchase WHERE `+isOpen+` GROUP BY provider`)
	})
	counts := make(map[topup.ProviderID]int, len(rows))
	for _, r := range rows {
		counts[topup.ProviderID(r.Provider)] = r.Count
	}
	return counts, err
}

// NoteToken lifts the stop of a provider when its token is no longer the one
// that was refused. Plan and Permit do the same by themselves.
func (s *Store) NoteToken(ctx context.Context, provider topup.ProviderID, fingerprint string) (lifted bool, err error) {
	err = s.write(ctx, "note_token", func(ctx context.Context, t tx) error {
		n, err := t.exec(ctx, `UPDATE provider SET stopped = '', stopped_token = '' WHERE id = ? AND stopped <> '' AND stopped_token <> ?`,
			string(provider), fingerprint)
		lifted = n > 0
		return err
	})
	return lifted && err == nil, err
}

// lockProvider is the first lock of every transaction that gives a right to
// spend: shared, so that such transactions run beside each other and beside the
// renewal of their lease, while Pause and Resume, which lock it alone, wait for
// them (P12), and so does whoever takes the lease over (P18).
func (t tx) lockProvider(ctx context.Context, id topup.ProviderID, mode string) (providerRow, error) {
	var r providerRow
	found, err := t.find(ctx, &r, `SELECT `+providerColumns+` FROM provider WHERE id = ?`+mode, string(id))
	if err == nil && !found {
		err = fmt.Errorf("provider %s is not registered: %w", id, topup.ErrNotFound)
	}
	return r, err
}

// lockProviders locks every provider alone, in order.
func (t tx) lockProviders(ctx context.Context) ([]string, error) {
	var ids []string
	err := t.list(ctx, &ids, `SELECT id FROM provider ORDER BY id`+t.store.sql.alone)
	return ids, err
}

// allows tells whether anything may be planned or sent under the lease now.
func (r providerRow) allows(now time.Time, lease topup.Lease, token string) error {
	switch {
	case !r.heldUnder(lease, now):
		return fmt.Errorf("%s, term %d of %s: %w", r.ID, lease.Term, lease.Holder, topup.ErrLeaseLost)
	case r.Stopped != "" && r.StoppedToken == token:
		return fmt.Errorf("%s: %s: %w", r.ID, r.Stopped, topup.ErrProviderStopped)
	case r.Quarantined != "":
		return fmt.Errorf("%s is quarantined: %s: %w", r.ID, r.Quarantined, topup.ErrProviderStopped)
	default:
		return nil
	}
}
