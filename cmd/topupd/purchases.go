package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"topupd/config/yamlfile"
	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// purchasesCmd is the history of what was bought.
type purchasesCmd struct {
	List    purchasesListCmd    `cmd:"" default:"withargs" help:"List purchases, newest first (the default)."`
	Show    purchasesShowCmd    `cmd:"" help:"Show everything known about one purchase: a page to file."`
	Resolve purchasesResolveCmd `cmd:"" help:"Say whether a purchase that needs review was charged."`
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
    topupd purchases --state needs_review
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
	records := make([]screen.PurchaseRecord, 0, len(purchases))
	for _, p := range l.relabel(purchases) {
		records = append(records, screen.RecordOf(p))
	}
	return screen.List(a.Screen, c.Output, records, func() { a.Purchases(purchases, more) })
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
			return nil, usage("%s %q: write one of %s", flag, screen.Clipped(w), oneOf(known))
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
		return time.Time{}, usage("%s %q: write a time such as 2026-11-20T09:00:00Z, or a duration such as 90m, 24h or 7d", flag, screen.Clipped(text))
	}
	return a.now().Add(direction * time.Duration(d)), nil
}
