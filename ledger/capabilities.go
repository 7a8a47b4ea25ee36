package ledger

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

type capabilityRow struct {
	Provider string `db:"provider"`
	Name     string `db:"name"`
	FoundAt  int64  `db:"found_at"`
	Value    string `db:"value"`
	By       string `db:"by_whom"`
	Report   string `db:"report"`
}

// StoreCapabilities keeps what was found out, all of it or nothing. Earlier
// findings stay: the most careful counts (topup.FoundIn).
func (s *Store) StoreCapabilities(ctx context.Context, found []topup.Capability) error {
	for _, c := range found {
		if err := topup.CheckCapability(c); err != nil {
			return fmt.Errorf("storing what was found at %s: %w", c.Provider, err)
		}
	}
	return s.write(ctx, "store_capabilities", func(ctx context.Context, t tx) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		for _, c := range found {
			if _, err := t.exec(ctx, `
				INSERT INTO capability (provider, name, found_at, value, by_whom, report) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (provider, name, found_at, value) DO NOTHING`,
				string(c.Provider), string(c.Name), micros(now), c.Value, bound(c.By, 300), c.Report); err != nil {
				return fmt.Errorf("storing %s of %s: %w", c.Name, c.Provider, err)
			}
		}
		return nil
	})
}

// WithdrawCapability takes every finding of a name at a provider out of what
// counts, because a person knows better. The rows stay, with who and why. It
// returns how many there were.
func (s *Store) WithdrawCapability(ctx context.Context, provider topup.ProviderID, name topup.CapabilityName, by, why string) (n int, err error) {
	err = s.write(ctx, "withdraw_capability", func(ctx context.Context, t tx) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		rows, err := t.exec(ctx, `UPDATE capability SET withdrawn_at = ?, withdrawn_by = ?, withdrawn_why = ?
			WHERE provider = ? AND name = ? AND withdrawn_at IS NULL`,
			micros(now), bound(by, 300), bound(why, 2000), string(provider), string(name))
		n = int(rows)
		return err
	})
	return n, err
}

// Capabilities lists what was found out about a provider and not withdrawn,
// newest first; "" lists every provider.
func (s *Store) Capabilities(ctx context.Context, provider topup.ProviderID) ([]topup.Capability, error) {
	var list []topup.Capability
	err := s.read(ctx, "capabilities", func(ctx context.Context, v view) error {
		var err error
		list, err = v.capabilities(ctx, provider)
		return err
	})
	return list, err
}

func (v view) capabilities(ctx context.Context, provider topup.ProviderID) ([]topup.Capability, error) {
	var rows []capabilityRow
	err := v.list(ctx, &rows, `SELECT provider, name, found_at, value, by_whom, report FROM capability
		WHERE (provider = ? OR ? = '') AND withdrawn_at IS NULL ORDER BY provider, found_at DESC, name`, string(provider), string(provider))
	list := make([]topup.Capability, 0, len(rows))
	for _, r := range rows {
		list = append(list, topup.Capability{
			Provider: topup.ProviderID(r.Provider), Name: topup.CapabilityName(r.Name), Value: r.Value,
			FoundAt: instant(r.FoundAt), By: r.By, Report: r.Report,
		})
	}
	return list, err
}

// mayRepeat holds a repeat against what was found out about its provider, also
// after the purchase was planned (P4).
func (t tx) mayRepeat(ctx context.Context, row purchaseRow, now time.Time) error {
	list, err := t.capabilities(ctx, topup.ProviderID(row.Provider))
	if err != nil {
		return fmt.Errorf("reading what was found out about %s: %w", row.Provider, err)
	}
	found := topup.FoundIn(list)
	if found.KeysIgnored {
		return fmt.Errorf("%w: %s was seen to charge a repeat under the same key again, so none is sent", topup.ErrOvertaken, row.Provider)
	}
	if quiet := instant(*row.LastSentAt).Add(found.Quiet(span(row.QuietPeriodUS))); now.Before(quiet) {
		return fmt.Errorf("%w: purchases were seen to be listed %s late there, so a repeat waits until %s",
			topup.ErrOvertaken, found.Visible, quiet.Format(time.RFC3339))
	}
	return nil
}

// Experiment is one request that somebody sent to find out how a provider
// behaves.
type Experiment struct {
	ID      string
	Target  topup.Target
	Name    string
	Price   topup.Money
	Key     string
	Request string // its fingerprint
	By      string
	At      time.Time // database clock; filled in when stored
	Answer  string    // "" until one was stored
}

type experimentRow struct {
	ID          string `db:"id"`
	Provider    string `db:"provider"`
	Customer    string `db:"customer"`
	Product     string `db:"product"`
	Name        string `db:"name"`
	Minor       int64  `db:"price_minor"`
	Currency    string `db:"price_currency"`
	Key         string `db:"idempotency_key"`
	Fingerprint string `db:"fingerprint"`
	By          string `db:"by_whom"`
	At          int64  `db:"at"`
	Answer      string `db:"answer"`
}

// BeginExperiment stores that a request is about to be sent. It may be sent only
// when this returned without error.
func (s *Store) BeginExperiment(ctx context.Context, e Experiment) error {
	return s.write(ctx, "begin_experiment", func(ctx context.Context, t tx) error {
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `
			INSERT INTO experiment (id, provider, customer, product, name, price_minor, price_currency, idempotency_key, fingerprint, by_whom, at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.ID, string(e.Target.Provider), string(e.Target.Customer), string(e.Target.Product), e.Name,
			e.Price.Minor, string(e.Price.Currency), e.Key, e.Request, bound(e.By, 300), micros(now))
		return err
	})
}

// EndExperiment stores what came of it.
func (s *Store) EndExperiment(ctx context.Context, id, answer string) error {
	return s.write(ctx, "end_experiment", func(ctx context.Context, t tx) error {
		return t.one(ctx, "ending experiment "+id, `UPDATE experiment SET answer = ? WHERE id = ?`, bound(answer, 2000), id)
	})
}

// Experiments lists the newest experiments at a provider, newest first.
func (s *Store) Experiments(ctx context.Context, provider topup.ProviderID, limit int) ([]Experiment, error) {
	var rows []experimentRow
	err := s.read(ctx, "experiments", func(ctx context.Context, v view) error {
		return v.list(ctx, &rows, `SELECT id, provider, customer, product, name, price_minor, price_currency, idempotency_key, fingerprint, by_whom, at, answer
			FROM experiment WHERE provider = ? ORDER BY at DESC, id DESC LIMIT ?`, string(provider), limit)
	})
	list := make([]Experiment, 0, len(rows))
	for _, r := range rows {
		list = append(list, Experiment{
			ID: r.ID, Name: r.Name, Key: r.Key, Request: r.Fingerprint, By: r.By, At: instant(r.At), Answer: r.Answer,
			Target: topup.Target{Provider: topup.ProviderID(r.Provider), Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product)},
			Price:  topup.Money{Minor: r.Minor, Currency: topup.Currency(r.Currency)},
		})
	}
	return list, err
}
