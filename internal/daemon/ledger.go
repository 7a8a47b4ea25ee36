package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"topupd/config"
	"topupd/internal/english"
	"topupd/ledger"
)

// databasePatience is how long a daemon that starts waits for its database.
const databasePatience = 60 * time.Second

// patience is how a daemon that starts waits for its database.
func (d *Daemon) patience(ctx context.Context) []backoff.RetryOption {
	pauses := backoff.NewExponentialBackOff()
	pauses.MaxInterval = 5 * time.Second
	return []backoff.RetryOption{
		backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(databasePatience),
		backoff.WithNotify(func(err error, wait time.Duration) {
			d.options.Log.LogAttrs(ctx, slog.LevelWarn, "database", slog.Any("err", err), slog.Float64("retry_in_seconds", wait.Seconds()))
		}),
	}
}

// openLedger waits for the database, then migrates it and checks that it fits
// the configuration.
func (d *Daemon) openLedger(ctx context.Context) error {
	open := func() (*ledger.Store, error) {
		store, err := ledger.Open(ctx, d.setup.Config.DatabaseURL.Reveal(), d.setup.Ledger(ledger.Options{
			Logger: d.options.Log, Observe: d.metrics.LedgerQuery, Lock: true,
		}))
		if err != nil && !errors.Is(err, ledger.ErrUnreachable) {
			return nil, backoff.Permanent(err) // waiting does not mend it
		}
		return store, err
	}
	store, err := backoff.Retry(ctx, open, d.patience(ctx)...)
	if err != nil {
		return fmt.Errorf("opening %s: %w", d.setup.Config.DatabaseName(), err)
	}
	d.store = store
	applied, err := store.Migrate(ctx)
	if err != nil {
		return fmt.Errorf("migrating %s: %w", d.setup.Config.DatabaseName(), err)
	}
	if len(applied) > 0 {
		d.options.Log.LogAttrs(ctx, slog.LevelInfo, "migrated", slog.String("database", d.setup.Config.DatabaseName()), slog.String("migrations", strings.Join(applied, " ")))
	}
	d.reachable.Store(true)
	return d.orphans(ctx, d.setup.Config)
}

// orphans refuses a configuration that has lost a provider with open
// purchases: nobody would look at them any more.
func (d *Daemon) orphans(ctx context.Context, cfg *config.Config) error {
	open, err := d.store.ProvidersWithOpen(ctx)
	if err != nil {
		return fmt.Errorf("listing open purchases: %w", err)
	}
	for _, p := range cfg.Providers {
		delete(open, p.Identity())
	}
	if len(open) == 0 {
		return nil
	}
	known, err := d.store.Providers(ctx)
	if err != nil {
		return fmt.Errorf("listing providers: %w", err)
	}
	var missing []string
	for _, p := range known {
		if n := open[p.ID]; n > 0 {
			missing = append(missing, fmt.Sprintf("%s (%s) has %s", p.Name, p.ID, english.Plural(n, "open purchase")))
		}
	}
	slices.Sort(missing)
	return &OrphansError{File: cfg.File, Missing: missing}
}

// OrphansError is a configuration that has lost providers with open purchases.
type OrphansError struct {
	File    string
	Missing []string // each provider and how many it has
}

func (e *OrphansError) Error() string {
	return fmt.Sprintf("%s: a provider with open purchases is missing: %s; put it back until they have ended, or settle them with topupd purchases resolve",
		e.File, strings.Join(e.Missing, "; "))
}

// register makes the providers known to the ledger, and notes their tokens.
func (d *Daemon) register(ctx context.Context, connections []*Connection) error {
	var rows []ledger.Provider
	for _, c := range connections {
		rows = append(rows, ledger.Provider{ID: c.ID, Name: c.Name, Type: string(c.Type)})
	}
	// A process that was stopped in a transaction may hold the providers for a while.
	store := func() (struct{}, error) { return struct{}{}, d.store.Register(ctx, rows) }
	if _, err := backoff.Retry(ctx, store, d.patience(ctx)...); err != nil {
		return fmt.Errorf("registering the providers: %w", err)
	}
	for _, c := range connections {
		if err := d.noteToken(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// noteToken ends a provider's stop when its token is not the refused one any
// more.
func (d *Daemon) noteToken(ctx context.Context, c *Connection) error {
	lifted, err := d.store.NoteToken(ctx, c.ID, c.Client.TokenFingerprint())
	if err != nil {
		return fmt.Errorf("noting the token of %s: %w", c.Name, err)
	}
	if lifted {
		d.options.Log.LogAttrs(ctx, slog.LevelInfo, "provider resumed", slog.String("provider", c.Name), slog.String("reason", "its token changed"))
	}
	return nil
}
