package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"topupd/internal/screen"
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
	p := topup.Pause{Scope: topup.PauseAll, Reason: strings.TrimSpace(c.Reason), By: cmp.Or(strings.TrimSpace(c.By), a.person()), At: a.now()}
	var err error
	if p.Provider, err = l.providerID(c.Provider); err != nil {
		return p, err
	}
	switch {
	case p.By == "":
		return p, usage("nobody knows who you are: add --by NAME")
	case c.Rule != "" && (c.Customer != "" || c.Provider != ""):
		return p, usage("--rule stands alone: it covers the rule at all its providers and customers")
	case c.Rule != "":
		p.Scope, p.Subject = topup.PauseRule, c.Rule
		return p, l.ruleKnown(c.Rule)
	case c.Customer != "":
		p.Scope, p.Subject = topup.PauseCustomer, c.Customer
	case c.Provider != "":
		p.Scope = topup.PauseProvider
	}
	return p, nil
}

// ruleBought is ruleKnown for a list of the past: a rule that is gone and has
// bought is known too.
func (a *app) ruleBought(store *ledger.Store, l *loaded, name string) error {
	err := l.ruleKnown(name)
	if err == nil {
		return nil
	}
	if list, found := store.Purchases(a.ctx, ledger.Filter{Rule: name, Limit: 1}); found != nil || len(list) > 0 {
		return found
	}
	return err
}

// ruleKnown refuses a rule that is not in the configuration; "" is none.
func (l *loaded) ruleKnown(name string) error {
	var names []string
	for _, r := range l.Rulebook.Rules.Rules {
		names = append(names, r.Name)
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return usage("there is no rule %q in %s; %s", screen.Clipped(name), strings.Join(l.Config.RuleFiles, ", "), meant(name, names))
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
		return "rule " + p.Subject
	case topup.PauseCustomer:
		if at == "" {
			return "customer " + p.Subject
		}
		return fmt.Sprintf("customer %s at %s", p.Subject, at)
	default:
		return string(p.Scope)
	}
}

// pauseCmd throws the switch.
type pauseCmd struct {
	scopeFlags
	Until  string `help:"When it ends by itself: a time (2026-11-21T09:00:00Z) or after how long (2h, 3d); default: when somebody resumes." placeholder:"T"`
	Anyway bool   `help:"Pause a customer id although nobody with it has been seen."`
}

func (*pauseCmd) Help() string {
	return `Holds from the next purchase of every process, survives restarts, and needs the database only. A purchase whose request has left cannot be called back: those are listed.

Pauses stack: yours does not end or change one that holds already, and each is lifted by itself.

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
			return usage("--until %s is over already", screen.Clipped(c.Until))
		}
		p.Until = &until
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if p, err = a.acquainted(store, p, c.Anyway); err != nil {
		return err
	}
	if p, err = store.Pause(a.ctx, p); err != nil {
		return err
	}
	a.Printf("paused: %s\nback with: topupd resume %s --reason \"…\"\n", a.switchWords(l, p), p.ID)
	return errors.Join(a.otherSwitches(store, l, p), a.inFlight(store, l, p))
}

// switchWords say what is off, until when, and who did it why.
func (a *app) switchWords(l *loaded, p topup.Pause) string {
	if p.Own() {
		return fmt.Sprintf("%s, %s, because of %s: %s", l.words(p), a.untilWords(p), p.Cause, screen.Printable(p.Reason))
	}
	return fmt.Sprintf("%s, %s, by %s: %s", l.words(p), a.untilWords(p), screen.Printable(p.By), screen.Printable(p.Reason))
}

// off is the participle for a switch.
func off(p topup.Pause) string {
	if p.Own() {
		return "stopped"
	}
	return "paused"
}

// otherSwitches names what also covers some of p, and the id that lifts it: a
// person who resumes a customer under a global pause must not wait in vain.
func (a *app) otherSwitches(store *ledger.Store, l *loaded, p topup.Pause) error {
	pauses, err := store.Pauses(a.ctx)
	if err != nil {
		return fmt.Errorf("it is done, but the other pauses could not be listed: %w", err)
	}
	word := "still"
	if p.ID != "" {
		word = "also"
	}
	for _, other := range pauses {
		if other.ID != p.ID && overlaps(other, p, a.now()) {
			a.Printf("%s %s: %s (%s)\n", word, off(other), a.switchWords(l, other), other.ID)
		}
	}
	return nil
}

func (a *app) untilWords(p topup.Pause) string {
	if p.Until == nil {
		return "until somebody resumes"
	}
	return "until " + a.Clock(*p.Until)
}

// inFlight says what the pause comes too late for.
func (a *app) inFlight(store *ledger.Store, l *loaded, p topup.Pause) error {
	open, err := store.Purchases(a.ctx, ledger.Filter{States: []topup.State{topup.Sent, topup.Confirmed, topup.NeedsReview}})
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
		a.Printf("nothing is in flight\n")
		return nil
	}
	a.Printf("\nstill in flight: what was sent cannot be called back\n")
	a.Purchases(l.relabel(covered), false)
	return nil
}
