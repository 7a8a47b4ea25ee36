package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"topupd/config"
	"topupd/internal/daemon"
	"topupd/internal/english"
	"topupd/ledger"
	"topupd/topup"
)

// targetsCmd is who is watched.
type targetsCmd struct {
	List targetsListCmd `cmd:"" default:"withargs" help:"List balances, thresholds and the last decisions (the default)."`
	Add  targetsAddCmd  `cmd:"" help:"Attach a credit product to a customer."`
}

func (*targetsCmd) Help() string {
	return `topupd targets alone lists. Flags of the list: topupd targets list --help.`
}

// targetsListCmd lists what the daemon saw last.
type targetsListCmd struct {
	Provider string `help:"Only at this provider, by its name in the configuration." placeholder:"NAME"`
	Customer string `help:"Only of this customer, by id or by a name that nobody else has." placeholder:"WHO"`
	Rule     string `help:"Only of this rule." placeholder:"NAME"`
	Below    bool   `help:"Only below their threshold."`
	outputFlags
}

func (*targetsListCmd) Help() string {
	return `From what the daemon wrote down: every change at once, everything else once a minute; read at says when. topupd plan asks the providers now.

Examples:

    topupd targets
    topupd targets --below
    topupd targets list --provider hyperline -o jsonl`
}

func (c *targetsListCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	f := ledger.Filter{Rule: c.Rule}
	if f.Provider, err = l.providerID(c.Provider); err != nil {
		return err
	}
	store, err := a.history(l, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if f.Provider, f.Customer, err = a.customer(store, f.Provider, c.Customer); err != nil {
		return err
	}
	all, err := store.Targets(a.ctx, f)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		if err := a.ruleBought(store, l, c.Rule); err != nil {
			return err
		}
	}
	var shown []topup.Evaluation
	var records []targetRecord
	for _, e := range all {
		if c.Below && !e.Below() {
			continue
		}
		e.ProviderName = l.label(e.Target.Provider, e.ProviderName)
		shown = append(shown, e)
		records = append(records, targetOf(e))
	}
	return listing(a, c.Output, records, func() { a.targetTable(shown) })
}

// targetRecord is one target for programs.
type targetRecord struct {
	Provider     string  `json:"provider"`
	Customer     string  `json:"customer"`
	CustomerName *string `json:"customer_name"`
	Product      string  `json:"product"`
	ProductName  *string `json:"product_name"`
	Balance      *string `json:"balance"`
	Threshold    *string `json:"threshold"`
	Below        bool    `json:"below"`
	Reason       string  `json:"reason"`
	Class        string  `json:"class"`
	Since        *string `json:"since"`
	Text         string  `json:"text"`
	Rule         *string `json:"rule"`
	RuleVersion  *string `json:"rule_version"`
	ReadAt       *string `json:"read_at"`
	RefreshedAt  *string `json:"refreshed_at"`
	Purchase     *string `json:"purchase"`
	TroubleSince *string `json:"trouble_since"`
}

func targetOf(e topup.Evaluation) targetRecord {
	return targetRecord{
		Provider: e.ProviderName, Customer: string(e.Target.Customer), CustomerName: word(e.CustomerName),
		Product: string(e.Target.Product), ProductName: word(e.ProductName),
		Balance: number(e.Balance), Threshold: number(e.Threshold), Below: e.Below(),
		Reason: string(e.Reason), Class: string(e.Reason.Class()), Since: stamp(&e.Since), Text: e.Text,
		Rule: word(e.Rule), RuleVersion: word(e.RuleVersion),
		ReadAt: stamp(&e.ReadAt), RefreshedAt: stamp(&e.RefreshedAt), Purchase: word(e.Purchase), TroubleSince: stamp(new(troubleSince(e))),
	}
}

func (a *app) targetTable(targets []topup.Evaluation) {
	if len(targets) == 0 {
		a.printf("no targets: nothing that fits has been written down; topupd run does that, topupd plan asks the providers now\n")
		return
	}
	g := grid{columns: []column{
		{title: "provider"},
		{title: "customer", stack: true},
		{title: "product", stack: true},
		{title: "balance", right: true},
		{title: "threshold", right: true},
		{title: "decision"},
		{title: "since"},
		{title: "read at"},
		{title: "in trouble for"},
	}}
	if !slices.ContainsFunc(targets, func(e topup.Evaluation) bool { return !troubleSince(e).IsZero() }) {
		g.columns = g.columns[:len(g.columns)-1]
	}
	below := 0
	newest := targets[0].At
	for _, e := range targets {
		newest = laterOf(newest, e.At)
		if e.Below() {
			below++
		}
		trouble := "-"
		if since := troubleSince(e); !since.IsZero() {
			trouble = short(a.now().Sub(since))
		}
		row := []string{
			e.ProviderName, both(e.CustomerName, string(e.Target.Customer)), both(e.ProductName, string(e.Target.Product)),
			figure(e.Balance), figure(e.Threshold), a.paint(reasonColor(e.Reason), string(e.Reason)), a.clock(e.Since), a.clock(e.ReadAt), trouble,
		}
		g.rows = append(g.rows, row[:len(g.columns)])
	}
	a.printf("%s", g.render(a.width))
	notes := []string{english.Plural(len(targets), "target"), fmt.Sprintf("%s below the threshold", english.Grouped(below))}
	if zone := a.zoneNote(); zone != "" {
		notes = append(notes, zone)
	}
	a.printf("%s\n", strings.Join(notes, " · "))
	if note := a.silence(newest); note != "" {
		a.printf("%s\n", note)
	}
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// targetsAddCmd attaches a credit product.
type targetsAddCmd struct {
	Provider  string `arg:"" help:"The provider's name in the configuration."`
	Customer  string `arg:"" help:"The customer's id at the provider."`
	Product   string `arg:"" help:"The credit product's id."`
	Name      string `help:"What the credits are called on the customer's account." placeholder:"TEXT"`
	Threshold string `help:"low_count_threshold: topupd buys below it." placeholder:"N"`
}

func (*targetsAddCmd) Help() string {
	return `Attaches a Hyperline credit product to a customer, so that it can be watched and bought for. It never adds credits: the balance begins at zero, and the first purchase follows if a rule matches.

Examples:

    topupd targets add hyperline cus_Typ0px2W0aiEtl itm_3kXODDF42QXtnL --threshold 100`
}

// attacher is a client whose provider has products to attach.
type attacher interface {
	Attach(ctx context.Context, customer topup.CustomerID, product topup.ProductID, name string, threshold *topup.Credits) (topup.Reading, error)
}

func (c *targetsAddCmd) Run(a *app) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	p, err := l.provider(c.Provider)
	if err != nil {
		return err
	}
	threshold, err := c.threshold()
	if err != nil {
		return err
	}
	connection, err := daemon.Connect(p, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	client, ok := connection.Client.(attacher)
	if !ok {
		return usage("%s has nothing to attach: %s", c.Provider, whyNot(p.Type))
	}
	reading, err := client.Attach(a.ctx, topup.CustomerID(c.Customer), topup.ProductID(c.Product), c.Name, threshold)
	if err != nil {
		return err
	}
	a.printf("%s · %s · %s: balance %s, threshold %s\n", c.Provider,
		printable(either(reading.CustomerName, c.Customer)), printable(either(reading.ProductName, c.Product)),
		reading.Balance.Grouped(), figure(reading.Threshold))
	return nil
}

func (c *targetsAddCmd) threshold() (*topup.Credits, error) {
	if c.Threshold == "" {
		return nil, nil
	}
	credits, err := topup.ParseCredits(c.Threshold)
	if err != nil || credits < 0 {
		return nil, usage("--threshold %s: write a number of credits, 0 or more", clipped(c.Threshold))
	}
	return &credits, nil
}

func whyNot(t config.Type) string {
	if t == config.Talkover {
		return "a Talkover connection is one environment, and its one balance is always there"
	}
	return fmt.Sprintf("the provider type %s has no such request", t)
}
