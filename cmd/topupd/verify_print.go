package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"topupd/internal/english"
	"topupd/internal/screen"
	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/topup"
)

// print writes the findings, and what was compared: for people after the
// findings, for programs on stderr.
func (c *verifyListCmd) print(a *app, results []compared, customers []ledger.Customer) error {
	type customer struct {
		provider topup.ProviderID
		id       topup.CustomerID
	}
	names := map[customer]string{}
	for _, c := range customers {
		names[customer{c.Provider, c.ID}] = c.Name
	}
	var open, known []findingRecord
	for _, r := range results {
		for _, f := range r.report.Findings {
			record := findingOf(r.from.Name, f)
			record.CustomerName = screen.Word(names[customer{r.from.ID, f.Customer}])
			open = append(open, record)
		}
		for _, k := range r.known {
			record := findingOf(r.from.Name, k.Finding)
			record.CustomerName = screen.Word(names[customer{r.from.ID, k.Customer}])
			record.AcknowledgedBy, record.AcknowledgedAt, record.AcknowledgedNote = screen.Word(k.action.By), screen.Stamp(&k.action.At), screen.Word(k.action.Reason)
			known = append(known, record)
		}
	}
	out := a.Err
	if c.Output == "table" {
		out = a.Out
	}
	if err := screen.List(a.Screen, c.Output, slices.Concat(open, known), func() { a.findingTable(open); a.knownTable(known) }); err != nil {
		return err
	}
	for _, r := range results {
		if len(c.ID) == 0 { // else it counts only some
			a.compareLine(out, r)
		}
	}
	return nil
}

// onWordShown bounds the purchases that a person's word alone stands for, in one
// run; the newest are shown.
const onWordShown = 20

// printOnWord lists, every time, the purchases whose outcome no books bear out:
// it is no difference, and nobody else can see it.
func (c *verifyListCmd) printOnWord(a *app, store *ledger.Store, results []compared) error {
	out := a.Err
	if c.Output == "table" {
		out = a.Out
	}
	decided, err := store.Purchases(a.ctx, ledger.Filter{Decided: true})
	if err != nil {
		return err
	}
	for _, r := range results {
		list := slices.DeleteFunc(slices.Clone(decided), func(p topup.Purchase) bool {
			return p.Target.Provider != r.from.ID || !p.OnWord(r.from.Traits.HasRecords)
		})
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s: by a person's word alone, %s\n", r.from.Name, english.Plural(len(list), "purchase"))
		for i, p := range list {
			if i == onWordShown {
				fmt.Fprintf(out, "  and %s older\n", english.Grouped(len(list)-i))
				break
			}
			fmt.Fprintf(out, "  %s  %s  %s  %s of %s  %s, says %s\n", a.Clock(p.PlannedAt), p.Short(), screen.Printable(string(p.Target.Customer)),
				p.Credits.Grouped(), p.Price.Grouped(), screen.StateOf(p), screen.Printable(p.ResolvedBy))
		}
	}
	return nil
}

// findingTable prints differences for people, and below them what to do.
func (a *app) findingTable(records []findingRecord) {
	if len(records) == 0 {
		return
	}
	g := screen.Grid{Columns: []screen.Column{
		{Title: "id"},
		{Title: "provider"},
		{Title: "difference"},
		{Title: "customer", Stack: true},
		{Title: "purchase"},
		{Title: "at the provider"},
		{Title: "ours → theirs", Wrap: true},
	}}
	counts := map[string]int{}
	for _, r := range records {
		counts[r.Kind]++
		g.Rows = append(g.Rows, []string{
			r.ID, r.Provider, a.Paint(findingColor(r.Kind), r.Kind), screen.Both(screen.Given(r.CustomerName), r.Customer), lastOfID(r.Purchase),
			screen.Printable(screen.Either(screen.Given(r.Invoice), screen.Given(r.Row))), screen.Printable(strings.TrimPrefix(screen.Given(r.Ours)+" → "+screen.Given(r.Theirs), " → ")),
		})
	}
	a.Printf("%s\nWhat to do\n", g.Render(a.Width))
	for _, k := range verify.Kinds() {
		if n := counts[string(k)]; n > 0 {
			a.Printf("  %s (%s): %s\n    %s\n", k, english.Grouped(n), k.Words(), a.Fold(sentence(k.Next())+".", 4))
		}
	}
	a.Printf("  or live with one: topupd verify ack ID --note \"…\"; it is listed apart then, and alerts no more\n\n")
}

func findingColor(kind string) string {
	if verify.Kind(kind).Unexplained() {
		return screen.Yellow
	}
	return screen.Red
}

// lastOfID is enough of a purchase's id for a person to type.
func lastOfID(id *string) string {
	s := screen.Given(id)
	if len(s) > 8 {
		s = s[len(s)-8:]
	}
	return screen.Dash(s)
}

// sentence begins with a capital.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// compareLine says what one connection's comparison rests on. A comparison that
// is not whole never says that there is no difference.
func (a *app) compareLine(out io.Writer, r compared) {
	if r.err != nil {
		fmt.Fprintf(out, "%s: nothing could be compared\n", r.from.Name)
		return
	}
	n := r.report
	result := english.Plural(len(n.Findings), "difference")
	switch {
	case !n.Whole():
		result += " so far: NOT EVERYTHING COULD BE READ"
	case len(n.Findings) == 0 && n.Blind != "":
		result = "no difference in what can be compared"
	case len(n.Findings) == 0:
		result = "no difference"
	}
	if len(r.known) > 0 {
		result += fmt.Sprintf(" beside %s acknowledged", english.Grouped(len(r.known)))
	}
	natively := 0
	parts := []string{fmt.Sprintf("%s: %s since %s", r.from.Name, result, a.Clock(n.Since))}
	if !r.from.Traits.HasRecords {
		parts = append(parts, english.Plural(n.Rows+n.Native, "own recharge")+" of the provider")
	} else {
		natively = n.Native
		parts = append(parts, english.Plural(n.Purchases, "purchase")+", "+english.Plural(n.Invoices, "invoice")+" and "+english.Plural(n.Rows, "ledger row")+" compared")
	}
	for _, rest := range []struct {
		n    int
		what string
	}{
		{n.Open, "%s still open, not judged"},
		{n.Young, "%s younger than their quiet period, not judged"},
		{n.Waiting, "%s at the provider too young or perhaps of an open purchase, not judged"},
		{n.Imported, "%s of somebody else, imported"},
		{natively, "%s bought by customers or by the provider itself"},
		{n.Reversals, "%s of somebody else, refunded"},
		{n.Unnamed, "%s credited by a person without a reference"},
		{n.Unwatched, "%s for products that no rule buys"},
		{n.Detached, "credits of %s customers detached: their rows could not be compared"},
	} {
		if rest.n > 0 {
			parts = append(parts, fmt.Sprintf(rest.what, english.Grouped(rest.n)))
		}
	}
	if n.Blind != "" {
		parts = append(parts, n.Blind)
	}
	fmt.Fprintf(out, "%s\n", a.Fold(strings.Join(parts, " · "), 2))
}
