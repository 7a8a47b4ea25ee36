package main

import (
	"errors"
	"fmt"
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
			if begin, err = daemon.SinceLast(a.ctx, store, newest, from.UnknownOutcome.QuietPeriod, a.now(), verifyDefault); err != nil {
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
