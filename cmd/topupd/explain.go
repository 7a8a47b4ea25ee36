package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/rules"
	"topupd/topup"
)

// explainCmd tells the last decisions about a customer in words.
type explainCmd struct {
	Customer string `arg:"" help:"The customer's id or exact name at the provider; at Talkover the environment."`
	Product  string `arg:"" optional:"" help:"Only this credit product, by its id or a name that no other of the customer has."`
	Provider string `help:"Only at this provider, by its name in the configuration." placeholder:"NAME"`
	Limit    *int   `help:"At most so many decisions per product; 0 for all (default: 5 in words, else all)." placeholder:"N"`
	outputFlags
}

func (*explainCmd) Help() string {
	return `Answers "why was this customer (not) charged?" from what the daemon wrote down: the last decisions per product with the facts they rest on, the open purchase, and what you can do. topupd plan asks the provider anew.

Examples:

    topupd explain cus_Typ0px2W0aiEtl
    topupd explain cus_Typ0px2W0aiEtl itm_3kXODDF42QXtnL -o json`
}

func (c *explainCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	limit := math.MaxInt
	switch {
	case c.Limit != nil && *c.Limit < 0:
		return usage("--limit %d: write 0 or more", *c.Limit)
	case c.Limit != nil && *c.Limit > 0:
		limit = *c.Limit
	case c.Limit != nil: // 0: all of them
	case c.Output == "table":
		limit = 5
	}
	f := ledger.Filter{Customer: topup.CustomerID(c.Customer), Product: topup.ProductID(c.Product)}
	if f.Provider, err = l.providerID(c.Provider); err != nil {
		return err
	}
	store, err := a.history(l, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	x := explaining{a: a, l: l, store: store, limit: limit}
	evaluations, err := x.find(f)
	if err != nil {
		return err
	}
	var records []screen.DecisionRecord
	for _, e := range evaluations {
		records = append(records, screen.DecisionOf(e))
	}
	targets, err := x.targets(evaluations)
	if err != nil {
		return err
	}
	return screen.List(a.Screen, c.Output, records, func() { a.Explain(targets) })
}

// explaining is one answer under way.
type explaining struct {
	a     *app
	l     *loaded
	store *ledger.Store
	limit int

	hidden map[topup.Target]int // decisions beyond the limit
}

// find reads the evaluations of a customer, newest first for each target.
func (x *explaining) find(f ledger.Filter) ([]topup.Evaluation, error) {
	var err error
	if f.Provider, f.Customer, err = x.a.customer(x.store, f.Provider, string(f.Customer)); err != nil {
		return nil, err
	}
	product := string(f.Product)
	f.Product = ""
	list, err := x.store.Evaluations(x.a.ctx, f)
	if err != nil {
		return nil, err
	}
	if list, err = ofProduct(list, product); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("nothing is known about %s: no decision was written down; topupd targets list shows who is watched, topupd plan asks the provider",
			screen.Clipped(string(f.Customer)))
	}
	for i := range list {
		list[i].ProviderName = x.l.label(list[i].Target.Provider, list[i].ProviderName)
	}
	perTarget := map[topup.Target]int{}
	x.hidden = map[topup.Target]int{}
	list = slices.DeleteFunc(list, func(e topup.Evaluation) bool {
		perTarget[e.Target]++
		x.hidden[e.Target] = max(0, perTarget[e.Target]-x.limit)
		return perTarget[e.Target] > x.limit
	})
	slices.SortStableFunc(list, func(a, b topup.Evaluation) int {
		return cmp.Or(
			cmp.Compare(a.ProviderName, b.ProviderName), cmp.Compare(a.Target.Customer, b.Target.Customer), cmp.Compare(a.Target.Product, b.Target.Product))
	})
	return list, nil
}

// ofProduct leaves the evaluations of one product, by its id or by a name that
// stands for one id only; "" is all of them.
func ofProduct(list []topup.Evaluation, product string) ([]topup.Evaluation, error) {
	if product == "" {
		return list, nil
	}
	var words []string
	named := map[topup.ProductID]bool{}
	for _, e := range list {
		if string(e.Target.Product) == product {
			named = map[topup.ProductID]bool{e.Target.Product: true}
			break
		}
		if strings.EqualFold(e.ProductName, product) {
			named[e.Target.Product] = true
		}
		for _, word := range []string{string(e.Target.Product), e.ProductName} {
			if word != "" && !slices.Contains(words, word) {
				words = append(words, word)
			}
		}
	}
	if len(named) != 1 && len(list) > 0 {
		return nil, usage("the customer has no product with the id or name %s that stands for one alone; %s", screen.Clipped(product), screen.Clipped(meant(product, words)))
	}
	return slices.DeleteFunc(list, func(e topup.Evaluation) bool { return !named[e.Target.Product] }), nil
}

// targets gathers what is known beside the decisions, target by target.
func (x *explaining) targets(list []topup.Evaluation) (targets []screen.Explained, err error) {
	for len(list) > 0 {
		newest := list[0]
		end := slices.IndexFunc(list, func(e topup.Evaluation) bool { return e.Target != newest.Target })
		if end < 0 {
			end = len(list)
		}
		one := screen.Explained{Decisions: list[:end], Older: x.hidden[newest.Target]}
		if newest.Rule != "" {
			one.Rule = x.ruleWords(newest)
		}
		one.Open, err = x.store.Purchases(x.a.ctx, ledger.Filter{
			Provider: newest.Target.Provider, Customer: newest.Target.Customer, Product: newest.Target.Product, States: openStates(), Limit: 1,
		})
		if err != nil {
			return nil, err
		}
		targets = append(targets, one)
		list = list[end:]
	}
	return targets, nil
}

func openStates() []topup.State {
	return slices.DeleteFunc(topup.States(), func(s topup.State) bool { return !s.Open() })
}

// ruleWords names the rule that decided, and where it stands now.
func (x *explaining) ruleWords(e topup.Evaluation) string {
	rule := fmt.Sprintf("rule %s %s", e.Rule, e.RuleVersion)
	i := slices.IndexFunc(x.l.Rulebook.Rules.Rules, func(r rules.Rule) bool { return r.Name == e.Rule })
	if i < 0 {
		return rule + " (gone since)"
	}
	now := x.l.Rulebook.Rules.Rules[i]
	rule += fmt.Sprintf(" (%s:%d)", now.File, now.Line)
	if now.Version != e.RuleVersion {
		rule += ", changed since"
	}
	return rule
}
