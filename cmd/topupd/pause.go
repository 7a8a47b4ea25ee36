package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// scopeFlags say what a pause is about; without any it is everything.
type scopeFlags struct {
	Provider string `help:"Everything at this provider, by its name in the configuration; with --customer: that customer there." placeholder:"NAME"`
	Rule     string `help:"Everything this rule buys." placeholder:"NAME"`
	Customer string `help:"This customer id, at every provider unless --provider is given." placeholder:"ID"`
	Reason   string `required:"" help:"Why: the next person will want to know." placeholder:"TEXT"`
	By       string `help:"Who says so (default: $SUDO_USER, else $USER)." placeholder:"WHO"`
}

// pause builds the switch, as yet without an end.
func (c scopeFlags) pause(a *app, l *loaded) (topup.Pause, error) {
	p := topup.Pause{Scope: topup.PauseAll, Reason: strings.TrimSpace(c.Reason), By: cmp.Or(c.By, a.person(), "somebody"), At: a.now()}
	var err error
	if p.Provider, err = l.providerID(c.Provider); err != nil {
		return p, err
	}
	switch {
	case p.Reason == "":
		return p, usage("--reason is empty: say why")
	case c.Rule != "" && (c.Customer != "" || c.Provider != ""):
		return p, usage("--rule stands alone: it covers the rule at all its providers and customers")
	case c.Rule != "" && !l.hasRule(c.Rule):
		return p, usage("there is no rule %q in %s", c.Rule, strings.Join(l.cfg.RuleFiles, ", "))
	case c.Rule != "":
		p.Scope, p.ID = topup.PauseRule, c.Rule
	case c.Customer != "":
		p.Scope, p.ID = topup.PauseCustomer, c.Customer
	case c.Provider != "":
		p.Scope = topup.PauseProvider
	}
	return p, nil
}

func (l *loaded) hasRule(name string) bool {
	for _, r := range l.book.Rules.Rules {
		if r.Name == name {
			return true
		}
	}
	return false
}

// words names what a switch covers, by the labels of the configuration.
func (l *loaded) words(p topup.Pause) string {
	at := l.label(p.Provider, string(p.Provider))
	switch p.Scope {
	case topup.PauseAll:
		return "everything"
	case topup.PauseProvider:
		return "provider " + at
	case topup.PauseRule:
		return "rule " + p.ID
	case topup.PauseCustomer:
		if at == "" {
			return "customer " + p.ID
		}
		return fmt.Sprintf("customer %s at %s", p.ID, at)
	default:
		return string(p.Scope)
	}
}

// pauseCmd throws the switch.
type pauseCmd struct {
	scopeFlags
	Until string `help:"When it ends by itself: a time (2026-11-21T09:00:00Z) or after how long (2h, 3d); default: when somebody resumes." placeholder:"T"`
}

func (*pauseCmd) Help() string {
	return `Holds from the next purchase of every process, survives restarts, and needs the database only. A purchase whose request has left cannot be called back: those are listed.

Examples:

    topupd pause --reason "prices change tonight"
    topupd pause --provider hyperline --until 2h --reason "maintenance there"
    topupd pause --rule api-credits --reason "wrong pack"
    topupd pause --customer cus_Typ0px2W0aiEtl --reason "asked us to"`
}

func (c *pauseCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	p, err := c.pause(a, l)
	if err != nil {
		return err
	}
	until, err := a.moment("--until", c.Until, 1)
	if err != nil {
		return err
	}
	if !until.IsZero() {
		if !until.After(a.now()) {
			return usage("--until %s is over already", c.Until)
		}
		p.Until = &until
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Pause(a.ctx, p); err != nil {
		return err
	}
	stands, err := standing(a.ctx, store, p)
	if err != nil {
		return err
	}
	if stands.By != p.By { // what topupd paused itself is given no end
		a.printf("already paused: %s, %s, by %s: %s\n", l.words(stands), a.untilWords(stands), stands.By, stands.Reason)
		a.printf("that stays whatever --until says; back with: topupd resume%s --reason \"…\"\n", c.flags())
		return nil
	}
	a.printf("paused: %s, %s, by %s: %s\n", l.words(p), a.untilWords(p), p.By, p.Reason)
	a.printf("back with: topupd resume%s --reason \"…\"\n", c.flags())
	return errors.Join(a.stranger(store, p), a.inFlight(store, l, p))
}

// standing is the pause as it holds now.
func standing(ctx context.Context, store *ledger.Store, p topup.Pause) (topup.Pause, error) {
	list, err := store.Pauses(ctx)
	for _, other := range list {
		if other.Scope == p.Scope && other.Provider == p.Provider && other.ID == p.ID {
			return other, err
		}
	}
	return p, err
}

func (a *app) untilWords(p topup.Pause) string {
	if p.Until == nil {
		return "until somebody resumes"
	}
	return "until " + a.clock(*p.Until)
}

// flags repeats the scope as it was typed.
func (c scopeFlags) flags() string {
	var out strings.Builder
	for _, f := range []struct{ name, value string }{{"--provider", c.Provider}, {"--rule", c.Rule}, {"--customer", c.Customer}} {
		if f.value != "" {
			if strings.ContainsRune(f.value, ' ') {
				f.value = strconv.Quote(f.value)
			}
			out.WriteString(" " + f.name + " " + f.value)
		}
	}
	return out.String()
}

// stranger warns about a customer id that nobody has heard of: a pause of a
// mistyped id, or of a name, holds nobody.
func (a *app) stranger(store *ledger.Store, p topup.Pause) error {
	if p.Scope != topup.PauseCustomer {
		return nil
	}
	purchases, err := store.Purchases(a.ctx, ledger.Filter{Provider: p.Provider, Customer: topup.CustomerID(p.ID), Limit: 1})
	if err == nil && len(purchases) > 0 {
		return nil
	}
	targets, more := store.Targets(a.ctx, ledger.Filter{Provider: p.Provider})
	if err = errors.Join(err, more); err != nil {
		return fmt.Errorf("it is done, but whether the customer is known could not be read: %w", err)
	}
	hint := "check it"
	for _, t := range targets {
		switch {
		case string(t.Target.Customer) == p.ID:
			return nil
		case strings.EqualFold(t.CustomerName, p.ID):
			hint = fmt.Sprintf("%s is the name of %s, write that", printable(t.CustomerName), printable(string(t.Target.Customer)))
		}
	}
	a.printf("note: nobody with the id %q has been seen yet: %s\n", p.ID, hint)
	return nil
}

// inFlight says what the pause comes too late for.
func (a *app) inFlight(store *ledger.Store, l *loaded, p topup.Pause) error {
	open, err := store.Purchases(a.ctx, ledger.Filter{States: []topup.State{topup.Sent, topup.Confirmed, topup.Parked}})
	if err != nil {
		return fmt.Errorf("the pause holds, but what is in flight could not be listed: %w", err)
	}
	var covered []topup.Purchase
	for _, purchase := range open {
		if p.Covers(purchase.Target, purchase.Rule, a.now()) {
			covered = append(covered, purchase)
		}
	}
	if len(covered) == 0 {
		a.printf("nothing is in flight\n")
		return nil
	}
	a.printf("\nstill in flight: what was sent cannot be called back\n")
	a.purchaseTable(l.relabel(covered), 0)
	return nil
}

// resumeCmd takes the switch back.
type resumeCmd struct{ scopeFlags }

func (*resumeCmd) Help() string {
	return `Takes back the pause of exactly this scope: resume --customer does not end a pause of everything.

resume --customer also lifts the customer's suspension and back-off after declined payments. resume --provider also lifts a stop after a refused token, the first hold, a quarantine and the hold on implausible balances there.

Examples:

    topupd resume --reason "prices are in"
    topupd resume --customer cus_Typ0px2W0aiEtl --reason "new card on file"
    topupd resume --provider hyperline --reason "the zeros were real"`
}

func (c *resumeCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	p, err := c.pause(a, l)
	if err != nil {
		return err
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	lifted, err := store.Resume(a.ctx, p)
	if err != nil {
		return err
	}
	lines := liftedLines(lifted)
	if len(lines) == 0 {
		a.printf("nothing was paused or held for %s\n", l.words(p))
	} else {
		a.printf("resumed: %s, by %s: %s\n", l.words(p), p.By, p.Reason)
	}
	for _, line := range lines {
		a.printf("  lifted %s\n", line)
	}
	return errors.Join(a.stranger(store, p), a.stillPaused(store, l, p))
}

// liftedLines says what a resume lifted.
func liftedLines(r ledger.Resumed) []string {
	var lines []string
	add := func(n int, noun string) {
		if n > 0 {
			lines = append(lines, plural(n, noun))
		}
	}
	add(r.Pauses, "pause")
	add(r.Suspensions, "suspension or back-off")
	add(r.Implausible, "hold on implausible balances")
	for _, flag := range []struct {
		set  bool
		text string
	}{
		{r.Stop, "the stop after a refused token"},
		{r.Hold, "the first hold"},
		{r.Quarantine, "the quarantine"},
	} {
		if flag.set {
			lines = append(lines, flag.text)
		}
	}
	return lines
}

// stillPaused names the pauses that still cover what was resumed: a person who
// resumes a customer under a global pause must not wait in vain.
func (a *app) stillPaused(store *ledger.Store, l *loaded, resumed topup.Pause) error {
	pauses, err := store.Pauses(a.ctx)
	if err != nil {
		return fmt.Errorf("it is resumed, but the other pauses could not be listed: %w", err)
	}
	for _, p := range pauses {
		if overlaps(p, resumed, a.now()) {
			a.printf("still paused: %s, %s, by %s: %s\n", l.words(p), a.untilWords(p), p.By, p.Reason)
		}
	}
	return nil
}

// overlaps tells whether a pause may go on covering some of what was resumed:
// unless it is plainly about something else.
func overlaps(p, resumed topup.Pause, now time.Time) bool {
	switch {
	case p.Until != nil && !now.Before(*p.Until):
		return false
	case p.Provider != "" && resumed.Provider != "" && p.Provider != resumed.Provider:
		return false
	default:
		return p.Scope != resumed.Scope || p.ID == resumed.ID
	}
}
