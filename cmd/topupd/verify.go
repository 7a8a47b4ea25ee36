package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"topupd/internal/daemon"
	"topupd/internal/english"
	"topupd/internal/screen"
	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/topup"
)

// verifyCmd compares the ledger with the providers' books.
type verifyCmd struct {
	List verifyListCmd `cmd:"" default:"withargs" help:"Compare and list the differences; verify alone does the same."`
	Ack  verifyAckCmd  `cmd:"" help:"Acknowledge a difference that you know of and live with."`
}

func (*verifyCmd) Help() string {
	return `topupd verify alone compares and lists. Flags of that: topupd verify list --help.`
}

// booksFlags say what is compared.
type booksFlags struct {
	Since    string `help:"Compare what was planned or billed since then: a date (2026-11-01), a time (2026-11-20T09:00:00Z) or how long ago (30d). Default: 24h, further back to what the daemon's last complete comparison compared, could not judge or found charged wrongly." placeholder:"D"`
	Provider string `help:"Only this provider, by its name in the configuration." placeholder:"NAME"`
}

// verifyListCmd lists the differences.
type verifyListCmd struct {
	booksFlags
	ID []string `name:"id" help:"Only these differences (d-…), by commas." placeholder:"ID"`
	outputFlags
}

func (*verifyListCmd) Help() string {
	return `Reads every bill of the account, the credits of customers who bought or were billed, and the ledger, and lists each difference with its id and what to do about it. Changes nothing, anywhere. Purchases that are open, or younger than their quiet period, are not judged. What was acknowledged (topupd verify ack ID) is listed apart.

Exits 0 when there is no difference, or none but acknowledged ones; 3 when there are others; 1 when not everything could be read: then no difference means nothing.

Examples:

    topupd verify
    topupd verify --since 30d -o csv > november.csv
    topupd verify --provider hyperline --since 2026-11-01
    topupd verify --provider hyperline --id d-5b1f0c9e7a24,d-90e2d1c3b4a5`
}

func (c *verifyListCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	store, err := a.history(l, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	results, err := c.results(a, l, store)
	if err != nil {
		return err
	}
	if results, err = pick(results, c.ID); err != nil {
		return err
	}
	customers, err := store.Customers(a.ctx, "")
	if err != nil {
		return err
	}
	if err := c.print(a, results, customers); err != nil {
		return err
	}
	if len(c.ID) == 0 { // one difference is no place for what else is remarkable
		if err := c.printOnWord(a, store, results); err != nil {
			return err
		}
	}
	return verdict(results)
}

// results compares, and puts what was acknowledged apart.
func (c booksFlags) results(a *app, l *loaded, store *ledger.Store) ([]compared, error) {
	if _, err := l.providerID(c.Provider); err != nil {
		return nil, err
	}
	since, err := c.moment(a)
	if err != nil {
		return nil, err
	}
	connections, err := daemon.ConnectAll(l.Config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, err
	}
	results, err := c.compare(a, l, store, connections, since)
	if err != nil {
		return nil, err
	}
	known, err := daemon.Acknowledged(a.ctx, store)
	if err != nil {
		return nil, err
	}
	for i := range results {
		results[i].divide(known)
	}
	return results, nil
}

// moment is --since; the zero time for the default.
func (c booksFlags) moment(a *app) (time.Time, error) {
	since, err := time.Parse(time.DateOnly, c.Since)
	if err != nil {
		since, err = a.moment("--since", c.Since, -1)
	}
	if err == nil && since.After(a.now()) {
		err = usage("--since %s is in the future", screen.Clipped(c.Since))
	}
	return since, err
}

// verifyDefault is how far back a comparison reaches when nobody says.
const verifyDefault = 24 * time.Hour

// compared is what came of one connection. The findings of the report are those
// that nobody has acknowledged.
type compared struct {
	from   *daemon.Connection
	report verify.Report
	known  []knownFinding
	err    error
}

func (c booksFlags) compare(a *app, l *loaded, store *ledger.Store, connections []*daemon.Connection, since time.Time) ([]compared, error) {
	last, err := store.Verifications(a.ctx)
	if err != nil {
		return nil, err
	}
	var at atomic.Pointer[verify.Verifier]
	stop := a.Progress(func() string {
		v := at.Load()
		if v == nil {
			return "Reading …"
		}
		bills, ledgers, of := v.Progress()
		return fmt.Sprintf("Reading the books … %s, credits of %s of %s", english.Plural(bills, "bill"), english.Grouped(ledgers), english.Plural(of, "customer"))
	})
	defer stop()
	var results []compared
	for _, from := range connections {
		if c.Provider != "" && from.Name != c.Provider {
			continue
		}
		v := daemon.NewVerifier(from, l.Rulebook, store, a.now)
		at.Store(v)
		begin := since
		if begin.IsZero() {
			newest := daemon.LastOf(last, from.ID)
			if begin, err = daemon.SinceLast(a.ctx, store, newest, from.Unclear.QuietPeriod, a.now(), verifyDefault); err != nil {
				return nil, err
			}
			if !newest.Since.IsZero() && newest.Since.Before(begin) { // an alert tells of what it found
				begin = newest.Since
			}
		}
		report, err := v.Run(a.ctx, begin)
		if a.ctx.Err() != nil {
			return nil, a.ctx.Err()
		}
		report.Since = begin
		results = append(results, compared{from: from, report: report, err: err})
	}
	return results, nil
}

// verdict is the exit code: what could not be read outweighs what was found,
// since nobody knows what else there is.
func verdict(results []compared) error {
	if err := unread(results); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r compared) bool { return len(r.report.Findings) > 0 }) {
		return &exitError{code: exitPerson}
	}
	return nil
}

// unread is what could not be read, as an error; nil when all was.
func unread(results []compared) error {
	var list []string
	for _, r := range results {
		if r.err != nil {
			list = append(list, fmt.Sprintf("%s: %v", r.from.Name, r.err))
		}
		for _, what := range r.report.Incomplete {
			list = append(list, fmt.Sprintf("%s: %s", r.from.Name, what))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("%w; run it again when the provider answers:\n  %s", verify.ErrIncomplete, strings.Join(list, "\n  "))
}

// findingRecord is one difference for programs. Its fields and their order are
// relied on outside: add at the end, remove nothing.
type findingRecord struct {
	Provider      string  `json:"provider"`
	Kind          string  `json:"kind"`
	Meaning       string  `json:"meaning"`
	Customer      string  `json:"customer"`
	Product       *string `json:"product"`
	Purchase      *string `json:"purchase"`
	OtherPurchase *string `json:"other_purchase"`
	Invoice       *string `json:"invoice"`
	Row           *string `json:"row"`
	Ours          *string `json:"ours"`
	Theirs        *string `json:"theirs"`
	At            *string `json:"at"`
	Next          string  `json:"next"`
	CustomerName  *string `json:"customer_name"`
	ID            string  `json:"id"`

	AcknowledgedBy   *string `json:"acknowledged_by"`
	AcknowledgedAt   *string `json:"acknowledged_at"`
	AcknowledgedNote *string `json:"acknowledged_note"`
}

func findingOf(provider string, f verify.Finding) findingRecord {
	return findingRecord{
		Provider: provider, Kind: string(f.Kind), Meaning: f.Kind.Words(), Customer: string(f.Customer), Product: screen.Word(f.Product),
		Purchase: screen.Word(f.Purchase), OtherPurchase: screen.Word(f.Other), Invoice: screen.Word(f.Invoice), Row: screen.Word(f.Row),
		Ours: screen.Word(f.Ours), Theirs: screen.Word(f.Theirs), At: screen.Stamp(&f.At), Next: f.Kind.Next(), ID: f.ID,
	}
}

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
		{n.Unnamed, "%s settled by a person without a reference"},
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
