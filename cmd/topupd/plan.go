package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"topupd/internal/daemon"
	"topupd/internal/english"
	"topupd/internal/screen"
	"topupd/rules"
	"topupd/topup"
)

// planCmd says who would be charged now.
type planCmd struct {
	Rules            []string `type:"path" help:"Rule files instead of those of the configuration: what they would do." placeholder:"FILE"`
	DetailedExitcode bool     `name:"detailed-exitcode" help:"Exit 0 when nothing would be bought, 2 when something would, 1 after an error."`
	outputFlags
}

func (*planCmd) Help() string {
	return `Reads every balance, reads the low ones again with everything that must hold right before buying, and asks the same rules as the daemon. It takes the two readings back to back instead of confirm_after apart, and counts what it would buy against the caps. Whom only a change of the terms makes low, against what the daemon judged by last, is held after the first few, as the daemon would. It writes nothing, at the provider or in the ledger.

The reads count against the provider's rate limit; rate_limit.share of them is used. In the formats json, jsonl and csv there is a record for everybody whose balance is not enough.

Examples:

    topupd plan
    topupd plan --rules rules/new.yml
    topupd plan --detailed-exitcode || echo "somebody is low, or it failed"
    topupd plan -o jsonl`
}

func (c *planCmd) Run(a *app) error {
	bought, err := c.run(a)
	if !c.DetailedExitcode {
		return err
	}
	switch {
	case err != nil: // with this flag 2 means something else than a mistake
		return &exitError{code: exitFailed, err: err}
	case bought:
		return &exitError{code: exitUsage}
	default:
		return nil
	}
}

func (c *planCmd) run(a *app) (bought bool, err error) {
	a.rules = c.Rules
	l, err := a.load()
	if err != nil {
		return false, err
	}
	store, err := a.history(l, false)
	var known planLedger = blank{a.now}
	switch {
	case errors.Is(err, errNoLedger): // a first look before the first run
	case err != nil:
		return false, err
	default:
		known = store
		defer func() { err = errors.Join(err, store.Close()) }()
	}
	connections, err := daemon.ConnectAll(l.Config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return false, err
	}
	p := &planning{a: a, book: l.Rulebook, ledger: known, tally: newTally(known)}
	if err := p.plan(connections); err != nil {
		return false, err
	}
	buys := p.chosen(wouldBuy)
	err = screen.List(a.Screen, c.Output, p.records(), func() { p.print(l) })
	return len(buys) > 0, errors.Join(err, p.unread())
}

// prospect is one target as plan judges it.
type prospect struct {
	from  *daemon.Connection
	facts rules.Facts
	d     rules.Decision
}

// wouldBuy: it is bought now, or would be but for the mode.
func wouldBuy(p *prospect) bool { return p.d.Reason == topup.Buy || p.d.Reason == topup.DryRun }

// heldBack: it is below its threshold, and nothing would be bought.
func heldBack(p *prospect) bool { return !wouldBuy(p) && p.below() }

// unclear: nobody can tell whether it is below.
func unclear(p *prospect) bool {
	if wouldBuy(p) || p.below() {
		return false
	}
	switch p.d.Reason {
	case topup.BadReading, topup.NoThreshold, topup.NotSeen, topup.StaleReading, topup.Implausible, topup.ProviderUnavailable:
		return true
	default:
		return false
	}
}

// newest is the last reading there is; nil when the provider shows none.
func (p *prospect) newest() *topup.Reading {
	if p.facts.Confirmation != nil {
		return &p.facts.Confirmation.Reading
	}
	return p.facts.Reading
}

// threshold is the decision's, else the provider's own mark.
func (p *prospect) threshold() *topup.Credits {
	if p.d.Threshold != nil || p.facts.Reading == nil {
		return p.d.Threshold
	}
	return p.facts.Reading.Threshold
}

func (p *prospect) below() bool {
	r, threshold := p.newest(), p.threshold()
	return r != nil && r.Bad == "" && threshold != nil && r.Balance < *threshold && p.d.Reason != topup.Enough
}

// urgency sorts who has least of the threshold left first, as the daemon does.
func (p *prospect) urgency() int64 {
	r, threshold := p.facts.Reading, p.threshold()
	if r == nil || threshold == nil || *threshold <= 0 {
		return 0
	}
	return int64(r.Balance / max(*threshold/1000, 1))
}

// chosen are the prospects that want tells, most urgent first.
func (p *planning) chosen(want func(*prospect) bool) []*prospect {
	var list []*prospect
	for _, x := range p.prospects {
		if want(x) {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b *prospect) int {
		return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.target().Customer, b.target().Customer))
	})
	return list
}

func (p *prospect) target() topup.Target { return p.facts.Reading.Target }

// planRecord is one target for programs.
type planRecord struct {
	Provider          string  `json:"provider"`
	Customer          string  `json:"customer"`
	CustomerName      *string `json:"customer_name"`
	Product           string  `json:"product"`
	ProductName       *string `json:"product_name"`
	Decision          string  `json:"decision"`
	Class             string  `json:"class"`
	Text              string  `json:"text"`
	Rule              *string `json:"rule"`
	RuleVersion       *string `json:"rule_version"`
	Balance           *string `json:"balance"`
	Threshold         *string `json:"threshold"`
	Below             bool    `json:"below"`
	Credits           *string `json:"credits"` // what would be bought; null otherwise
	PriceExcludingTax *string `json:"price_excluding_tax"`
	Currency          *string `json:"currency"`
	PriceID           *string `json:"price_id"`
	ExpiresAt         *string `json:"expires_at"`
	BalanceAfter      *string `json:"balance_after"`
}

func (p *planning) records() []planRecord {
	var records []planRecord
	for _, x := range p.chosen(func(x *prospect) bool { return x.d.Reason != topup.Enough }) {
		records = append(records, x.record())
	}
	return records
}

func (p *prospect) record() planRecord {
	r := p.newest()
	record := planRecord{
		Provider: p.from.Name, Customer: string(r.Target.Customer), CustomerName: screen.Word(r.CustomerName),
		Product: string(r.Target.Product), ProductName: screen.Word(r.ProductName),
		Decision: string(p.d.Reason), Class: string(p.d.Reason.Class()), Text: p.d.Text,
		Threshold: screen.Number(p.threshold()), Below: p.below(),
	}
	if p.facts.Rule != nil {
		record.Rule, record.RuleVersion = screen.Word(p.facts.Rule.Name), screen.Word(p.facts.Rule.Version)
	}
	if r.Bad == "" && !r.ReadAt.IsZero() {
		record.Balance = screen.Number(&r.Balance)
	}
	if wouldBuy(p) {
		o := p.d.Order
		record.Credits, record.PriceExcludingTax, record.Currency = screen.Number(&o.Credits), new(o.Price.Amount()), screen.Word(o.Price.Currency)
		record.PriceID, record.ExpiresAt = screen.Word(o.PriceID), screen.Stamp(o.ExpiresAt)
		record.BalanceAfter = screen.Number(new(r.Balance + o.Credits))
	}
	return record
}

// unread is the error of the connections that could not be read.
func (p *planning) unread() error {
	var errs []error
	for _, s := range p.polls {
		if s.err != nil {
			errs = append(errs, fmt.Errorf("provider %s could not be read: %w", s.from.Name, s.err))
		}
	}
	return errors.Join(errs...)
}

// print shows the plan to a person.
func (p *planning) print(l *loaded) {
	a := p.a
	a.Printf("%s\n", p.readLine())
	if _, none := p.ledger.(blank); none {
		a.Printf("%s\n", a.Fold("There is no ledger yet: nothing is known about earlier purchases, and topupd run would wait for first_purchase_after before it buys.", 0))
	}
	if buys := p.chosen(wouldBuy); len(buys) > 0 {
		a.Printf("\nWould buy now\n%s", a.buyTable(buys))
		for _, line := range p.totals(l, buys) {
			a.Printf("  %s\n", line)
		}
	}
	if held := p.chosen(heldBack); len(held) > 0 {
		a.Printf("\nBelow the threshold, but would not buy\n%s", a.heldTable(held))
	}
	for _, line := range append(p.changed(), p.nobodyHas()...) {
		a.Printf("%s\n", a.Fold(line, 0))
	}
	if odd := p.chosen(unclear); len(odd) > 0 {
		a.Printf("\nCannot be judged\n%s", a.heldTable(odd))
	}
	a.Printf("\n%s\n", p.summary())
}

// nobodyHas says which rules buy a product that no customer has where they buy:
// misspelt, or not attached to anybody yet. What could not be read says nothing.
func (p *planning) nobodyHas() (lines []string) {
	for _, s := range p.polls {
		if s.err != nil || !s.poll.Complete {
			continue
		}
		had := map[topup.ProductID]bool{}
		for _, r := range s.poll.Readings {
			had[r.Target.Product] = true
		}
		for _, r := range p.book.Rules.Rules {
			if slices.Contains(r.Providers, s.from.Name) && !had[r.Product] {
				lines = append(lines, fmt.Sprintf("%s: no customer has the product %s of rule %s, so nothing is bought by it: check its id, or attach it (topupd targets add)",
					s.from.Name, screen.Printable(string(r.Product)), r.Name))
			}
		}
	}
	return lines
}

// readLine says what was read, and how long that took.
func (p *planning) readLine() string {
	var parts []string
	for _, s := range p.polls {
		if s.err != nil {
			parts = append(parts, s.from.Name+" failed")
			continue
		}
		part := fmt.Sprintf("%s %s in %.1f s (%s)", s.from.Name, english.Plural(len(s.poll.Readings), "target"), s.took.Seconds(), english.Plural(s.poll.Reads, "read"))
		if !s.poll.Complete {
			part += ", incomplete: customers moved while they were listed"
		}
		parts = append(parts, part)
	}
	return "Read balances: " + strings.Join(parts, " · ")
}

func (p *planning) summary() string {
	buys := len(p.chosen(wouldBuy))
	held, odd := len(p.chosen(heldBack)), len(p.chosen(unclear))
	enough := len(p.chosen(func(x *prospect) bool { return x.d.Reason == topup.Enough }))
	parts := []string{
		english.Grouped(enough) + " enough", english.Grouped(buys) + " would buy", english.Grouped(held) + " below and held",
	}
	if odd > 0 {
		parts = append(parts, english.Grouped(odd)+" cannot be judged")
	}
	if rest := len(p.prospects) - enough - buys - held - odd; rest > 0 {
		parts = append(parts, english.Grouped(rest)+" not watched by any rule")
	}
	return strings.Join(append(parts, "nothing was bought"), " · ")
}

func (a *app) buyTable(buys []*prospect) string {
	g := screen.Grid{Indent: "  ", Columns: []screen.Column{
		{Title: "provider"},
		{Title: "customer", Stack: true},
		{Title: "product", Stack: true},
		{Title: "balance", Right: true},
		{Title: "threshold", Right: true},
		{Title: "pack", Right: true},
		{Title: "excl. tax", Right: true},
		{Title: "rule"},
		{Title: "after", Right: true},
	}}
	for _, x := range buys {
		r, rule := x.newest(), x.facts.Rule.Name
		if x.d.Reason == topup.DryRun {
			rule += " (dry run)"
		}
		g.Rows = append(g.Rows, []string{
			x.from.Name, screen.Both(r.CustomerName, string(r.Target.Customer)), screen.Both(r.ProductName, string(r.Target.Product)),
			r.Balance.Grouped(), screen.Figure(x.d.Threshold), x.d.Order.Credits.Grouped() + " credits", x.d.Order.Price.Grouped(),
			rule, (r.Balance + x.d.Order.Credits).Grouped(),
		})
	}
	return g.Render(a.Width)
}

func (a *app) heldTable(held []*prospect) string {
	g := screen.Grid{Indent: "  ", Columns: []screen.Column{
		{Title: "provider"},
		{Title: "customer", Stack: true},
		{Title: "product", Stack: true},
		{Title: "balance", Right: true},
		{Title: "threshold", Right: true},
		{Title: "decision"},
		{Title: "why", Wrap: true},
	}}
	rows := map[string]int{} // of what is wrong with a rule: its row
	same := map[int]int{}
	for _, x := range held {
		r, balance := x.newest(), "-"
		if r.Bad == "" && !r.ReadAt.IsZero() {
			balance = r.Balance.Grouped()
		}
		if x.d.Reason == topup.PriceMismatch || x.d.Reason == topup.RuleStopped { // one mistake, however many wait for it
			key := strings.Join([]string{x.from.Name, string(r.Target.Product), x.facts.Rule.Name, x.d.Text}, "\n")
			if row, known := rows[key]; known {
				same[row]++
				continue
			}
			rows[key] = len(g.Rows)
		}
		g.Rows = append(g.Rows, []string{
			x.from.Name, screen.Both(r.CustomerName, string(r.Target.Customer)), screen.Both(r.ProductName, string(r.Target.Product)),
			balance, screen.Figure(x.threshold()), a.Paint(screen.ReasonColor(x.d.Reason), string(x.d.Reason)), screen.Printable(x.d.Text),
		})
	}
	for row, others := range same { // whose balances differ
		g.Rows[row][1], g.Rows[row][3], g.Rows[row][4] = english.Plural(others+1, "customer"), "", ""
	}
	return g.Render(a.Width)
}

// totals sums what would be bought by currency, and holds it against the
// global cap of the day where there is one.
func (p *planning) totals(l *loaded, buys []*prospect) []string {
	sums := map[topup.Currency]int64{}
	for _, x := range buys {
		sums[x.d.Order.Price.Currency] += x.d.Order.Price.Minor
	}
	var lines []string
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		total := topup.Money{Minor: sums[currency], Currency: currency}
		lines = append(lines, "total "+total.Grouped()+l.dayCap(currency))
	}
	return lines
}

// dayCap says what a day may cost in the currency; "" when there is no such cap.
func (l *loaded) dayCap(currency topup.Currency) string {
	for _, c := range l.Config.Limits.Global {
		if c.Period == topup.CapDay && c.Currency == currency {
			return fmt.Sprintf(" (of %s a day)", topup.Money{Minor: c.Limit, Currency: currency}.Grouped())
		}
	}
	return ""
}
