package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"topupd/config/yamlfile"
	"topupd/internal/english"
	"topupd/ledger"
	"topupd/topup"
)

// purchasesCmd is the history of what was bought.
type purchasesCmd struct {
	List    purchasesListCmd    `cmd:"" default:"withargs" help:"List purchases, newest first (the default)."`
	Show    purchasesShowCmd    `cmd:"" help:"Show everything known about one purchase: a page to file."`
	Resolve purchasesResolveCmd `cmd:"" help:"Say whether a parked purchase was charged."`
	Correct purchasesCorrectCmd `cmd:"" help:"Correct what was said about a purchase that has ended."`
}

func (*purchasesCmd) Help() string {
	return `topupd purchases alone lists. Flags of the list: topupd purchases list --help.`
}

// tableRows is how many purchases a table has unless --limit says otherwise.
const tableRows = 100

// purchasesListCmd lists purchases.
type purchasesListCmd struct {
	State    []string `help:"Only in these states: ${states}." placeholder:"STATE"`
	Payment  []string `help:"Only with these payments: ${payments}." placeholder:"PAYMENT"`
	Customer string   `help:"Only of this customer, by id or by a name that nobody else has." placeholder:"WHO"`
	Provider string   `help:"Only at this provider, by its name in the configuration." placeholder:"NAME"`
	Rule     string   `help:"Only by this rule." placeholder:"NAME"`
	Since    string   `help:"Only planned since then: a time (2026-11-20T09:00:00Z) or how long ago (24h, 7d)." placeholder:"T"`
	Limit    *int     `help:"At most so many; 0 for all (default: 100 in a table, else all)." placeholder:"N"`
	outputFlags
}

func (*purchasesListCmd) Help() string {
	return `The formats json, jsonl and csv have the same fields, always all of them, null (in csv: empty) where there is no value. In csv a text that a spreadsheet would run as a formula begins with an apostrophe. Times are RFC 3339 in UTC, amounts decimal strings, prices exclude tax.

Examples:

    topupd purchases
    topupd purchases --state parked
    topupd purchases --payment failed
    topupd purchases --customer cus_Typ0px2W0aiEtl --since 7d
    topupd purchases list --since 2026-11-01T00:00:00Z -o csv > november.csv`
}

func (c *purchasesListCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	filter, err := c.filter(a, l)
	if err != nil {
		return err
	}
	store, err := a.history(l, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if filter.Provider, filter.Customer, err = a.customer(store, filter.Provider, c.Customer); err != nil {
		return err
	}
	limit := filter.Limit
	if limit > 0 {
		filter.Limit++ // one more tells that there are more
	}
	purchases, err := store.Purchases(a.ctx, filter)
	if err != nil {
		return err
	}
	if len(purchases) == 0 {
		if err := a.ruleBought(store, l, c.Rule); err != nil {
			return err
		}
	}
	more := limit > 0 && len(purchases) > limit
	if more {
		purchases = purchases[:limit]
	}
	records := make([]purchaseRecord, 0, len(purchases))
	for _, p := range l.relabel(purchases) {
		records = append(records, recordOf(p))
	}
	return listing(a, c.Output, records, func() { a.purchaseTable(purchases, more) })
}

func (c *purchasesListCmd) filter(a *app, l *loaded) (ledger.Filter, error) {
	f := ledger.Filter{Rule: c.Rule}
	switch {
	case c.Limit == nil && c.Output == "table":
		f.Limit = tableRows
	case c.Limit != nil && *c.Limit < 0:
		return f, usage("--limit %d: write 0 or more", *c.Limit)
	case c.Limit != nil:
		f.Limit = *c.Limit
	}
	var err error
	if f.Provider, err = l.providerID(c.Provider); err != nil {
		return f, err
	}
	if f.States, err = among("--state", c.State, topup.States()); err != nil {
		return f, err
	}
	if f.Payments, err = among("--payment", c.Payment, topup.Payments()); err != nil {
		return f, err
	}
	f.Since, err = a.moment("--since", c.Since, -1)
	return f, err
}

// among reads words of a closed list.
func among[W ~string](flag string, words []string, known []W) (chosen []W, err error) {
	for _, w := range words {
		if !slices.Contains(known, W(w)) {
			return nil, usage("%s %q: write one of %s", flag, clipped(w), oneOf(known))
		}
		chosen = append(chosen, W(w))
	}
	return chosen, nil
}

// vocabulary is the closed lists that help texts name.
func vocabulary() kong.Vars {
	return kong.Vars{"states": oneOf(topup.States()), "payments": oneOf(topup.Payments()), "profiles": profileNames()}
}

// oneOf writes a closed list for people.
func oneOf[W ~string](words []W) string {
	names := make([]string, 0, len(words))
	for _, w := range words {
		names = append(names, string(w))
	}
	return strings.Join(names, ", ")
}

// moment reads a time, or a duration before (direction -1) or after (+1) now;
// the zero time for "".
func (a *app) moment(flag, text string, direction time.Duration) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	var d yamlfile.Duration
	if err := d.ReadText(text); err != nil || d <= 0 {
		return time.Time{}, usage("%s %q: write a time such as 2026-11-20T09:00:00Z, or a duration such as 90m, 24h or 7d", flag, clipped(text))
	}
	return a.now().Add(direction * time.Duration(d)), nil
}

// purchaseRecord is one purchase for programs. Its fields and their order are
// relied on outside: add at the end, remove nothing.
type purchaseRecord struct {
	ID                string  `json:"id"`
	Provider          string  `json:"provider"` // the name in the YAML
	Customer          string  `json:"customer"`
	Product           string  `json:"product"`
	Rule              string  `json:"rule"`
	RuleVersion       string  `json:"rule_version"`
	State             string  `json:"state"`
	Reason            *string `json:"reason"`
	Payment           string  `json:"payment"`
	Credits           string  `json:"credits"`
	PriceExcludingTax string  `json:"price_excluding_tax"`
	Currency          string  `json:"currency"`
	IdempotencyKey    string  `json:"idempotency_key"`
	Reference         *string `json:"reference"`
	Attempts          int     `json:"attempts"`
	PlannedAt         *string `json:"planned_at"`
	SentAt            *string `json:"sent_at"`
	FinishedAt        *string `json:"finished_at"`
	BalanceBefore     string  `json:"balance_before"`
	Threshold         string  `json:"threshold"`
	ExpiresAt         *string `json:"expires_at"`
	CustomerName      *string `json:"customer_name"`
	ProductName       *string `json:"product_name"`
	ResolvedBy        *string `json:"resolved_by"`
	CorrectedAt       *string `json:"corrected_at"`
	CorrectedFrom     *string `json:"corrected_from"` // its state until then
}

func recordOf(p topup.Purchase) purchaseRecord {
	return purchaseRecord{
		ID: p.ID, Provider: p.ProviderName, Customer: string(p.Target.Customer), Product: string(p.Target.Product),
		Rule: p.Rule, RuleVersion: p.RuleVersion, State: string(p.State), Reason: word(p.Reason), Payment: string(p.Payment),
		Credits: p.Credits.String(), PriceExcludingTax: p.Price.Amount(), Currency: string(p.Price.Currency),
		IdempotencyKey: p.Key, Reference: word(p.Reference), Attempts: p.Attempts,
		PlannedAt: stamp(&p.PlannedAt), SentAt: stamp(p.SentAt), FinishedAt: stamp(p.FinishedAt),
		BalanceBefore: p.BalanceBefore.String(), Threshold: p.Threshold.String(), ExpiresAt: stamp(p.ExpiresAt),
		CustomerName: word(p.CustomerName), ProductName: word(p.ProductName),
		ResolvedBy: word(p.ResolvedBy), CorrectedAt: stamp(p.CorrectedAt), CorrectedFrom: word(p.CorrectedFrom),
	}
}

// stateOf is the state, and what a person should know beside it.
func stateOf(p topup.Purchase) string {
	var notes []string
	if p.CorrectedAt != nil {
		notes = append(notes, "corrected")
	}
	switch {
	case p.OnWord(hasBooks(p)):
		notes = append(notes, "by a person")
	case p.Reason != topup.FailedNone && p.State != topup.Settled: // what went wrong on the way is over
		notes = append(notes, string(p.Reason))
	}
	if len(notes) == 0 {
		return string(p.State)
	}
	return fmt.Sprintf("%s (%s)", p.State, strings.Join(notes, ", "))
}

// purchaseTable prints purchases for people; more tells that the list goes on.
func (a *app) purchaseTable(purchases []topup.Purchase, more bool) {
	if len(purchases) == 0 {
		a.printf("no purchases\n")
		return
	}
	g := grid{columns: []column{
		{title: "planned"},
		{title: "id"},
		{title: "provider"},
		{title: "customer", stack: true},
		{title: "credits", right: true},
		{title: "excl. tax", right: true},
		{title: "state"},
		{title: "payment"},
		{title: "reference"},
		{title: "open for"},
	}}
	if !slices.ContainsFunc(purchases, func(p topup.Purchase) bool { return p.State.Open() }) {
		g.columns = g.columns[:len(g.columns)-1]
	}
	for _, p := range purchases {
		row := []string{
			a.clock(p.PlannedAt), p.Short(), p.ProviderName, both(p.CustomerName, string(p.Target.Customer)),
			p.Credits.Grouped(), p.Price.Grouped(), a.paint(stateColor(p.State), stateOf(p)), string(p.Payment), printable(dash(p.Reference)),
			openFor(p, a.now(), short),
		}
		g.rows = append(g.rows, row[:len(g.columns)])
	}
	a.printf("%s", g.render(a.width))
	notes := []string{english.Plural(len(purchases), "purchase")}
	if more {
		notes[0] = fmt.Sprintf("the newest %s, and there are more; --limit 0 lists all", english.Plural(len(purchases), "purchase"))
	}
	if zone := a.zoneNote(); zone != "" {
		notes = append(notes, zone)
	}
	a.printf("%s\n", strings.Join(notes, " · "))
}
