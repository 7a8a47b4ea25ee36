package main

import (
	"fmt"
	"strings"

	"topupd/config/yamlfile"
	"topupd/internal/english"
)

// checkCmd validates the configuration and the rules.
type checkCmd struct{}

func (*checkCmd) Help() string {
	return `Reads every file, finds every mistake in one go and talks to nobody. Exits 0 or 2; warnings do not count.

Examples:

    topupd check
    topupd check --config ./topupd.yml`
}

func (*checkCmd) Run(a *app) error {
	l := a.read()
	l.Problems = append(l.Problems, l.unused()...)
	if len(l.Problems) > 0 {
		a.Printf("%s\n", l.Problems.Text(l.Files))
	}
	if l.Problems.Err() != nil {
		return &exitError{code: exitUsage}
	}
	a.Printf("ok: %s\n", l.summary())
	for _, line := range a.foundBefore(l) {
		a.Printf("%s\n", a.Fold(line, 0))
	}
	return nil
}

// foundBefore says how topupd doctor's findings make the daemon more careful
// than configured. Only a ledger on this machine is asked: check talks to
// nobody, and one that cannot be read is no mistake in the configuration.
func (a *app) foundBefore(l *loaded) []string {
	if !strings.HasPrefix(l.Config.DatabaseURL.Reveal(), "sqlite:") {
		return nil
	}
	store, err := a.history(l, false)
	if err != nil {
		return nil
	}
	defer func() { _ = store.Close() }() // it was only read
	list, err := store.Capabilities(a.ctx, "")
	if err != nil {
		return nil
	}
	return l.effects(list)
}

// unused warns about providers that no rule buys at: their customers would run
// dry in silence.
func (l *loaded) unused() yamlfile.Problems {
	if l.Problems.Errors() > 0 {
		return nil // a rule that could not be read may name them
	}
	var warnings yamlfile.Problems
	for _, p := range l.Config.Providers {
		if len(l.Rulebook.Products(p.Name)) == 0 {
			warnings = append(warnings, yamlfile.Problem{
				File: l.Config.File, Line: p.Line, Warning: true,
				Message: fmt.Sprintf("no rule buys at provider %q", p.Name),
				Fix:     "add a rule for it, or remove the provider",
			})
		}
	}
	return warnings
}

// summary counts what was configured.
func (l *loaded) summary() string {
	dry := 0
	for _, r := range l.Rulebook.Rules.Rules {
		if r.DryRun {
			dry++
		}
	}
	parts := []string{english.Plural(len(l.Config.Providers), "provider"), english.Plural(len(l.Rulebook.Rules.Rules), "rule")}
	if dry > 0 {
		parts[1] += fmt.Sprintf(" (%d dry_run)", dry)
	}
	return strings.Join(append(parts, english.Plural(l.Files, "file"), "mode "+string(l.Config.Mode)), ", ")
}
