package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"topupd/internal/english"
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
	var records []evaluationRecord
	for _, e := range evaluations {
		records = append(records, evaluationOf(e))
	}
	var failed error
	err = listing(a, c.Output, records, func() { failed = x.tell(evaluations) })
	return errors.Join(err, failed)
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
			clipped(string(f.Customer)))
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

// evaluationRecord is one decision for programs.
type evaluationRecord struct {
	At           *string         `json:"at"`
	Provider     string          `json:"provider"`
	Customer     string          `json:"customer"`
	CustomerName *string         `json:"customer_name"`
	Product      string          `json:"product"`
	ProductName  *string         `json:"product_name"`
	Reason       string          `json:"reason"`
	Class        string          `json:"class"`
	Since        *string         `json:"since"`
	Text         string          `json:"text"`
	Rule         *string         `json:"rule"`
	RuleVersion  *string         `json:"rule_version"`
	Balance      *string         `json:"balance"`
	Threshold    *string         `json:"threshold"`
	ReadAt       *string         `json:"read_at"`
	RefreshedAt  *string         `json:"refreshed_at"`
	Purchase     *string         `json:"purchase"`
	Detail       json.RawMessage `json:"detail"`
}

func evaluationOf(e topup.Evaluation) evaluationRecord {
	return evaluationRecord{
		At: stamp(&e.At), Provider: e.ProviderName, Customer: string(e.Target.Customer), CustomerName: word(e.CustomerName),
		Product: string(e.Target.Product), ProductName: word(e.ProductName),
		Reason: string(e.Reason), Class: string(e.Reason.Class()), Since: stamp(&e.Since), Text: e.Text,
		Rule: word(e.Rule), RuleVersion: word(e.RuleVersion), Balance: number(e.Balance), Threshold: number(e.Threshold),
		ReadAt: stamp(&e.ReadAt), RefreshedAt: stamp(&e.RefreshedAt), Purchase: word(e.Purchase), Detail: rawJSON(e.Detail),
	}
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
		return nil, usage("the customer has no product with the id or name %s that stands for one alone; %s", clipped(product), clipped(meant(product, words)))
	}
	return slices.DeleteFunc(list, func(e topup.Evaluation) bool { return !named[e.Target.Product] }), nil
}

// tell prints the decisions target by target.
func (x *explaining) tell(evaluations []topup.Evaluation) error {
	for i := 0; i < len(evaluations); {
		end := i + 1
		for end < len(evaluations) && evaluations[end].Target == evaluations[i].Target {
			end++
		}
		if i > 0 {
			x.a.printf("\n")
		}
		if err := x.target(evaluations[i:end]); err != nil {
			return err
		}
		i = end
	}
	if zone := x.a.zoneNote(); zone != "" {
		x.a.printf("\n%s\n", zone)
	}
	return nil
}

// target explains one target, of which list has the decisions, newest first.
func (x *explaining) target(list []topup.Evaluation) error {
	a, newest := x.a, list[0]
	a.printf("%s\n", a.fold(x.headline(newest), 0))
	open, err := x.store.Purchases(a.ctx, ledger.Filter{
		Provider: newest.Target.Provider, Customer: newest.Target.Customer, Product: newest.Target.Product, States: openStates(), Limit: 1,
	})
	if err != nil {
		return err
	}
	for _, p := range open {
		if p.State == topup.Parked {
			a.printf("Purchase %s waits for you. %s", p.Short(), strings.TrimLeft(nextStep(p, a.now()), " "))
		}
	}
	said := wordsOf(newest)
	verdict := "Not buying: " + said.means
	if newest.Reason == topup.Buy || newest.Reason == topup.Enough {
		verdict = strings.ToUpper(said.means[:1]) + said.means[1:]
	}
	a.printf("%s (%s), since %s.\n\n", a.paint(reasonColor(newest.Reason), verdict), newest.Reason, a.clock(newest.Since))
	for _, e := range list {
		lines := factLines(e, a.clock)
		indent := len(a.clock(e.At)) + 2
		a.printf("%s  %s\n", a.clock(e.At), a.fold(lines[0], indent))
		for _, line := range lines[1:] {
			a.printf("%s%s\n", strings.Repeat(" ", indent), a.fold(line, indent))
		}
	}
	if n := x.hidden[newest.Target]; n > 0 {
		a.printf("and %s older; --limit 0 shows all\n", english.Plural(n, "decision"))
	}
	if note := a.silence(newest.At); note != "" {
		a.printf("\n%s\n", note)
	}
	for _, p := range open {
		a.printf("\n%s\n", a.fold(fmt.Sprintf("Open purchase %s is %s, open for %s. %s", p.Short(), p.State, openFor(p, a.now(), long), standsOf(p, a.clock)), 0))
	}
	a.printf("\nWhat you can do: %s\n", a.fold(said.do, len("What you can do: ")))
	return nil
}

// silent is how old the newest decision may be: the daemon writes every minute.
const silent = 10 * time.Minute

// silence says that what is shown is old; "" when it is not.
func (a *app) silence(newest time.Time) string {
	age := a.now().Sub(newest)
	if age <= silent {
		return ""
	}
	return fmt.Sprintf("Nothing was written down for %s: is topupd run working?", long(age))
}

func openStates() []topup.State {
	return slices.DeleteFunc(topup.States(), func(s topup.State) bool { return !s.Open() })
}

// headline names the target and its rule as it is now.
func (x *explaining) headline(e topup.Evaluation) string {
	customer := printable(string(e.Target.Customer))
	if e.CustomerName != "" && e.CustomerName != customer {
		customer = fmt.Sprintf("%s (%s)", printable(e.CustomerName), customer)
	}
	product := printable(string(e.Target.Product))
	if e.ProductName != "" && e.ProductName != product {
		product = fmt.Sprintf("%s (%s)", printable(e.ProductName), product)
	}
	parts := []string{e.ProviderName, customer, product}
	if e.Rule == "" {
		return strings.Join(append(parts, "no rule"), " · ")
	}
	return strings.Join(append(parts, x.ruleWords(e)), " · ")
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

// facts is the part of an evaluation's detail that is told in words.
type facts struct {
	ThresholdFrom string `json:"threshold_from"`
	PaymentMethod string `json:"payment_method"`
	Declines      int    `json:"declines"`
	Refusals      int    `json:"refusals"`
	Refusal       string `json:"refusal"`
	Skipped       int    `json:"skipped"`
	Invoices      []struct {
		ID     string    `json:"id"`
		Amount string    `json:"amount"`
		Status string    `json:"status"`
		At     time.Time `json:"at"`
		Detail string    `json:"detail"`
	} `json:"invoices"`
}

// factLines tells one decision; the first line is the balance.
func factLines(e topup.Evaluation, clock func(time.Time) string) []string {
	var f facts
	_ = json.Unmarshal(e.Detail, &f) // details are extras: without them the decision still stands
	lines := []string{printable(balanceLine(e, f, clock))}
	for _, i := range f.Invoices {
		line := fmt.Sprintf("invoice %s of %s from %s is %s", i.ID, i.Amount, clock(i.At), i.Status)
		if i.Detail != "" {
			line += ": " + i.Detail
		}
		lines = append(lines, printable(line))
	}
	if f.Skipped > 0 {
		lines = append(lines, fmt.Sprintf("bills and ledger rows that cannot be read, too old or for something else, so left out: %d", f.Skipped))
	}
	decided := fmt.Sprintf("%s: %s", e.Reason, printable(e.Text))
	if e.Purchase != "" && e.Reason == topup.Buy {
		decided += " → purchase " + topup.Purchase{ID: e.Purchase}.Short()
	}
	lines = append(lines, decided)
	if f.Refusals > 0 {
		lines = append(lines, fmt.Sprintf("requests refused since the last success: %d", f.Refusals))
	}
	if f.Declines > 0 {
		lines = append(lines, fmt.Sprintf("declined payments in a row: %d", f.Declines))
	}
	return lines
}

func balanceLine(e topup.Evaluation, f facts, clock func(time.Time) string) string {
	if e.Balance == nil {
		return "no balance that could be used"
	}
	line := fmt.Sprintf("balance %s (read %s", e.Balance.Grouped(), clock(e.ReadAt))
	if !e.RefreshedAt.IsZero() {
		line += ", refreshed by the provider " + clock(e.RefreshedAt)
	}
	line += ")"
	if e.Threshold == nil {
		return line + ", no threshold"
	}
	relation := "not below"
	if e.Below() {
		relation = "below"
	}
	line += fmt.Sprintf(" %s threshold %s", relation, e.Threshold.Grouped())
	if f.ThresholdFrom != "" {
		line += fmt.Sprintf(" (the %s's)", f.ThresholdFrom)
	}
	return line
}
