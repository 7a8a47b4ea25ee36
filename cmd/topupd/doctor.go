package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"topupd/config"
	"topupd/internal/daemon"
	"topupd/internal/doctor"
	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// doctorCmd looks at the live API of every provider.
type doctorCmd struct {
	Provider         string        `help:"Only this provider, by its name in the configuration." placeholder:"NAME"`
	SpendAtMost      string        `name:"spend-at-most" help:"Make the experiments too, on a sandbox, for at most so much excluding tax: \"10.00 EUR\"." placeholder:"AMOUNT"`
	Customer         string        `help:"With --spend-at-most: the customer to buy for. Nobody else may buy for it meanwhile." placeholder:"ID"`
	DeclinedCustomer string        `name:"declined-customer" help:"With --spend-at-most: a customer whose card is declined." placeholder:"ID"`
	Yes              bool          `help:"Do not ask before buying."`
	Wait             time.Duration `default:"2m" help:"Longest wait for a purchase to show."`
	Watch            time.Duration `default:"30s" help:"How long the refreshing of a balance is watched; 0 for not at all."`
	Report           string        `help:"Write a signed-off report: JSON to a name that ends in .json, else Markdown." placeholder:"FILE"`
	By               string        `help:"Who signs (default: $SUDO_USER, else $USER)." placeholder:"WHO"`
	Show             bool          `help:"Show what was found before, and ask nobody."`
	Withdraw         string        `help:"Stop obeying a finding at --provider, by its name in --show; needs --reason." placeholder:"NAME"`
	Reason           string        `help:"With --withdraw: how you know better." placeholder:"TEXT"`
	Adopt            string        `help:"Obey the findings of a JSON report at --provider, such as those of its sandbox." placeholder:"FILE"`
	outputFlags
}

func (*doctorCmd) Help() string {
	return `Reads what the daemon would read, and says one line for each thing that it relies on: reachable, token, clock, rate limit, prices, customers, thresholds, payment methods, lists and their filters. Nothing is changed at the provider.

With --spend-at-most it also buys, to find out what the documentation leaves open: whether a repeat under one key is charged again, when a purchase shows, what a declined card leaves. That needs Hyperline's sandbox or this machine, a test_ key and --customer. Every purchase is announced with its price before it is sent, each is counted in full against the bound, and all are recorded in the ledger. The customer is paused for the daemon meanwhile.

What is found is stored in the ledger and obeyed by the daemon from then on, only ever towards more care.

Exits 0 when all is well, 3 when something needs a person, 1 when it could not be done, 2 for a mistake in the flags.

Examples:

    topupd doctor
    topupd doctor --provider sandbox --spend-at-most "50.00 EUR" --customer cus_1 --report doctor.json
    topupd doctor --adopt doctor.json --provider hyperline
    topupd doctor --withdraw keys_honoured --provider hyperline --reason "somebody else bought meanwhile"
    topupd doctor --show`
}

func (c *doctorCmd) Run(a *app) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	switch {
	case c.Show:
		return c.show(a, l)
	case c.Adopt != "":
		return c.adopt(a, l)
	case c.Withdraw != "":
		return c.withdraw(a, l)
	}
	connections, err := c.chosen(a, l)
	if err != nil {
		return err
	}
	if c.by(a) == "" && (c.Report != "" || c.SpendAtMost != "") {
		return usage("nobody knows who you are: add --by NAME")
	}
	terms, err := c.terms(a, connections)
	if err != nil {
		return err
	}
	return c.visit(a, l, connections, terms)
}

// chosen are the connections to look at.
func (c *doctorCmd) chosen(a *app, l *loaded) ([]*daemon.Connection, error) {
	all, err := daemon.ConnectAll(l.Config, slog.New(slog.DiscardHandler), nil)
	if err != nil || c.Provider == "" {
		return all, err
	}
	for _, one := range all {
		if one.Name == c.Provider {
			return []*daemon.Connection{one}, nil
		}
	}
	_, err = l.provider(c.Provider)
	return nil, err
}

// terms are what the flags allow; nil when nothing may be bought.
func (c *doctorCmd) terms(a *app, connections []*daemon.Connection) (*doctor.Terms, error) {
	if c.SpendAtMost == "" {
		if c.Customer != "" || c.DeclinedCustomer != "" || c.Yes {
			return nil, usage("--customer, --declined-customer and --yes belong to --spend-at-most")
		}
		return nil, nil
	}
	bound, err := topup.ParseMoney(c.SpendAtMost)
	t := &doctor.Terms{
		Customer: topup.CustomerID(c.Customer), Declined: topup.CustomerID(c.DeclinedCustomer),
		SpendAtMost: bound, Wait: c.Wait, Watch: c.Watch, By: c.by(a),
	}
	switch {
	case err != nil:
		return nil, usage("--spend-at-most: %w", err)
	case bound.Minor <= 0:
		return nil, usage("--spend-at-most %s: write more than nothing, or leave it out", screen.Clipped(c.SpendAtMost))
	case c.Customer == "":
		return nil, usage("--spend-at-most needs --customer: whom to buy for")
	case c.Customer == c.DeclinedCustomer:
		return nil, usage("--customer and --declined-customer are the same")
	case c.Wait < time.Second || c.Wait > time.Hour || c.Watch < 0 || c.Watch > time.Hour:
		return nil, usage("--wait is from 1s to 1h, --watch from 0s to 1h")
	case t.By == "":
		return nil, usage("nobody knows who you are: add --by NAME")
	case len(connections) != 1:
		return nil, usage("--spend-at-most needs --provider: experiments are made at one")
	}
	if err := doctor.Allowed(connections[0].Provider); err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return t, c.agreed(a, connections[0].Provider, bound)
}

func (c *doctorCmd) by(a *app) string { return cmp.Or(c.By, a.person()) }

// agreed asks a person on a terminal, and refuses elsewhere without --yes.
func (c *doctorCmd) agreed(a *app, p config.Provider, bound topup.Money) error {
	if c.Yes {
		return nil
	}
	if !a.asks {
		return usage("experiments buy for up to %s at %s: nobody can be asked here, so say --yes", bound, p.BaseURL.Host)
	}
	fmt.Fprintf(a.Err, "Buy for customer %s at %s (%s), for at most %s excluding tax? Write yes: ", c.Customer, p.Name, p.BaseURL.Host, bound)
	var answer string
	if _, err := fmt.Fscanln(a.stdin, &answer); err != nil || answer != "yes" {
		return usage("not agreed: nothing was bought")
	}
	return nil
}

// visit examines every connection, experiments where that was allowed, and
// reports.
func (c *doctorCmd) visit(a *app, l *loaded, connections []*daemon.Connection, terms *doctor.Terms) (err error) {
	store, err := c.ledger(a, l, terms != nil)
	if err != nil {
		return err
	}
	if store != nil {
		defer func() { err = errors.Join(err, store.Close()) }()
	}
	report := doctor.Report{Date: a.now().UTC().Truncate(time.Second), Version: programVersion(), Host: hostName(), By: cmp.Or(c.by(a), "somebody")}
	var found []topup.Capability
	var failed error
	for _, one := range connections {
		report.Accounts = append(report.Accounts, doctor.Account{Provider: one.Name, Identity: string(one.ID), Token: one.Client.TokenFingerprint()})
		patient := doctor.Patient{
			Provider: one.Provider, Rules: l.Rulebook.Rules, Client: one.Client, Now: a.now,
			API: daemon.ClientOptions(one.Provider, slog.New(slog.DiscardHandler), nil),
		}
		visits := []doctor.Visit{a.examine(patient)} // first: its rate limit check counts what others ask
		if a.ctx.Err() != nil {
			return a.ctx.Err() // half a look says nothing of a provider, and nothing was bought yet
		}
		if terms != nil {
			v, err := c.experiment(a, store, one, patient, *terms)
			if _, refused := errors.AsType[*doctor.Refusal](err); refused {
				return &exitError{code: exitUsage, err: err}
			}
			visits, failed = append(visits, v), errors.Join(failed, err)
		}
		for _, v := range visits {
			report.Add(v)
			found = append(found, v.Capabilities...)
		}
	}
	done := c.finish(a, l, store, report, found)
	if exit, ok := errors.AsType[*exitError](done); failed != nil && ok && exit.err == nil {
		done = nil // that somebody is needed is less than that it could not be done
	}
	return errors.Join(failed, done)
}

func (a *app) examine(p doctor.Patient) doctor.Visit {
	stop := a.Progress(func() string { return "Looking at " + p.Provider.Name + " …" })
	defer stop()
	return doctor.Examine(a.ctx, p)
}

// ledger opens the ledger to write what is found. Without experiments one that
// does not exist is not made: nil.
func (c *doctorCmd) ledger(a *app, l *loaded, buys bool) (*ledger.Store, error) {
	if !buys {
		store, err := a.history(l, true)
		if errors.Is(err, errNoLedger) {
			return nil, nil
		}
		return store, err
	}
	store, err := a.openLedger(l, ledger.Options{})
	if err != nil {
		return nil, err
	}
	if _, err := store.Migrate(a.ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return host
}

// finish stores, prints and signs what was found.
func (c *doctorCmd) finish(a *app, l *loaded, store *ledger.Store, report doctor.Report, found []topup.Capability) error {
	sum, err := report.Sum()
	if err != nil {
		return err
	}
	if store != nil {
		ctx := context.WithoutCancel(a.ctx) // what was found until Ctrl-C counts
		if err := store.StoreCapabilities(ctx, doctor.Sealed(found, report.By, sum)); err != nil {
			return err
		}
	}
	if err := screen.List(a.Screen, c.Output, report.Findings, func() { a.printFindings(l, report, store != nil, found) }); err != nil {
		return err
	}
	a.keepVisit(l, report)
	if c.Report != "" {
		if err := writeReport(c.Report, report); err != nil {
			return err
		}
		fmt.Fprintf(a.Err, "report written to %s, SHA-256 %s\n", c.Report, sum)
	}
	for _, f := range report.Findings {
		if f.Name == "reachable" && f.Status == doctor.Fail {
			return &exitError{code: exitFailed}
		}
	}
	if doctor.Person(report.Findings) {
		return &exitError{code: exitPerson}
	}
	return nil
}

func writeReport(name string, r doctor.Report) error {
	var content []byte
	var err error
	if filepath.Ext(name) == ".json" {
		content, err = r.JSON()
	} else {
		var text string
		text, err = r.Markdown()
		content = []byte(text)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
