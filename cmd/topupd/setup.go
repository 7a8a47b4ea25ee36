package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"topupd/config"
	"topupd/config/yamlfile"
	"topupd/internal/daemon"
	"topupd/ledger"
	"topupd/topup"
)

// loaded is a configuration that may be run with, or was reported.
type loaded struct{ *daemon.Setup }

// load reads the configuration and the rules. Mistakes are an exitError that
// prints the whole list, warnings included.
func (a *app) load() (*loaded, error) {
	l := a.read()
	if err := l.Problems.Err(); err != nil {
		return nil, &exitError{code: exitUsage, err: listed{l}}
	}
	return l, nil
}

// listed is a broken configuration as an error: every problem and the count.
type listed struct{ l *loaded }

func (e listed) Error() string { return e.l.Problems.Text(e.l.Files) }

// read is load without a verdict.
func (a *app) read() *loaded { return &loaded{daemon.Read(a.config, a.rules, a.getenv, a.now())} }

// daemon builds the daemon of the configuration.
func (a *app) daemon(l *loaded, o daemon.Options) (*daemon.Daemon, error) {
	o.Version, o.Now = programVersion(), a.now
	o.Reload = func() (*daemon.Setup, error) {
		fresh, err := a.load()
		if err != nil {
			return nil, err
		}
		return fresh.Setup, nil
	}
	d, err := daemon.New(a.ctx, l.Setup, o)
	if orphans, ok := errors.AsType[*daemon.OrphansError](err); ok {
		return nil, &exitError{code: exitUsage, err: orphans}
	}
	return d, err
}

// openLedger opens the ledger of the configuration. A read-only one must have
// the schema of this program.
func (a *app) openLedger(l *loaded, o ledger.Options) (*ledger.Store, error) {
	store, err := ledger.Open(a.ctx, l.Config.DatabaseURL.Reveal(), l.Ledger(o))
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	if !o.ReadOnly {
		return store, nil
	}
	if err := store.CheckSchema(a.ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// errNoLedger: nothing has been stored yet: the SQLite file was never made, or the
// database at Postgres is empty. One that is not there is an error.
var errNoLedger = errors.New("there is no ledger yet")

// history opens the ledger of a daemon that has run, to read or, when write is
// set, to store a person's decision. It creates nothing: errNoLedger.
func (a *app) history(l *loaded, write bool) (*ledger.Store, error) {
	if path, ok := strings.CutPrefix(l.Config.DatabaseURL.Reveal(), "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s does not exist; topupd run makes it, or check database_url in %s", errNoLedger, path, a.config)
		}
	}
	store, err := a.openLedger(l, ledger.Options{ReadOnly: !write})
	if err == nil && write {
		if err = store.CheckSchema(a.ctx); err != nil {
			err = errors.Join(err, store.Close())
		}
	}
	if errors.Is(err, ledger.ErrNoSchema) {
		err = fmt.Errorf("%w: %w", errNoLedger, err)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// provider finds a connection by its name in the YAML.
func (l *loaded) provider(name string) (config.Provider, error) {
	var names []string
	for _, p := range l.Config.Providers {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return config.Provider{}, usage("there is no provider %.80q in %s; %s", name, l.Config.File, meant(name, names))
}

// meant says which of the names a misspelt one may have been.
func meant(name string, names []string) string {
	if one := yamlfile.Suggest(name, names); one != "" {
		return "did you mean " + one + "?"
	}
	return "known: " + strings.Join(names, ", ")
}

// label is what the configuration calls a provider now; stored is what it was
// called when the row was written, for one that is not there any more.
func (l *loaded) label(id topup.ProviderID, stored string) string {
	for _, p := range l.Config.Providers {
		if p.Identity() == id {
			return p.Name
		}
	}
	return stored
}

// relabel gives purchases the names that their providers have now.
func (l *loaded) relabel(purchases []topup.Purchase) []topup.Purchase {
	for i := range purchases {
		purchases[i].ProviderName = l.label(purchases[i].Target.Provider, purchases[i].ProviderName)
	}
	return purchases
}

// providerID is the identity behind an optional --provider; "" for none.
func (l *loaded) providerID(name string) (topup.ProviderID, error) {
	if name == "" {
		return "", nil
	}
	p, err := l.provider(name)
	if err != nil {
		return "", err
	}
	return p.Identity(), nil
}
