package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"topupd/internal/daemon"
	"topupd/internal/screen"
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
	var records []screen.TargetRecord
	for _, e := range all {
		if c.Below && !e.Below() {
			continue
		}
		e.ProviderName = l.label(e.Target.Provider, e.ProviderName)
		shown = append(shown, e)
		records = append(records, screen.TargetOf(e))
	}
	return screen.List(a.Screen, c.Output, records, func() { a.Targets(shown) })
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
	a.Printf("%s · %s · %s: balance %s, threshold %s\n", c.Provider,
		screen.Printable(screen.Either(reading.CustomerName, c.Customer)), screen.Printable(screen.Either(reading.ProductName, c.Product)),
		reading.Balance.Grouped(), screen.Figure(reading.Threshold))
	return nil
}

func (c *targetsAddCmd) threshold() (*topup.Credits, error) {
	if c.Threshold == "" {
		return nil, nil
	}
	credits, err := topup.ParseCredits(c.Threshold)
	if err != nil || credits < 0 {
		return nil, usage("--threshold %s: write a number of credits, 0 or more", screen.Clipped(c.Threshold))
	}
	return &credits, nil
}

func whyNot(t topup.ProviderType) string {
	if t.Traits().OneCustomer {
		return fmt.Sprintf("a %s connection is one customer, and its one balance is always there", t.Title())
	}
	return fmt.Sprintf("the provider type %s has no such request", t)
}
