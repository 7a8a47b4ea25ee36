package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"topupd/internal/daemon"
	"topupd/internal/doctor"
	"topupd/internal/english"
	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// The experiments wait for a purchase to show once, and after each of six
// requests for a second charge; at most seven requests are sent.
const (
	waits    = 7
	requests = 7
)

// pausedFor is how much longer than its waits a customer stays paused for the
// daemon, so that it does not buy between two experiments; it ends by itself.
const pausedFor = 10 * time.Minute

// experiment buys at one provider, with the daemon kept away from the customers.
func (c *doctorCmd) experiment(a *app, store *ledger.Store, one *daemon.Connection, p doctor.Patient, t doctor.Terms) (doctor.Visit, error) {
	for _, customer := range []topup.CustomerID{t.Customer, t.Declined} {
		if customer == "" {
			continue
		}
		if err := a.keepAway(store, one, p, customer, t); err != nil {
			return doctor.Visit{}, err
		}
	}
	announce := func(text string) { fmt.Fprintln(a.Err, text) }
	v, err := doctor.Experiments(a.ctx, p, one.Client, store, t, announce)
	err = errors.Join(err, a.known(store, one, v.Purchases))
	if err != nil && a.ctx.Err() != nil {
		err = fmt.Errorf("%w; what was sent is recorded: topupd doctor --show", err)
	}
	return v, err
}

// known imports what was bought, so that neither the daemon nor a comparison with
// the books takes it for something that nobody explains, or for a second charge.
func (a *app) known(store *ledger.Store, one *daemon.Connection, bought []doctor.Purchase) error {
	ctx := context.WithoutCancel(a.ctx) // Ctrl-C does not undo what was bought
	for _, p := range bought {
		if p.Invoice == "" {
			continue
		}
		target := topup.Target{Provider: one.ID, Customer: topup.CustomerID(p.Customer), Product: topup.ProductID(p.Product)}
		_, err := store.Import(ctx, target, []topup.Topup{{ID: p.Invoice, Invoice: p.Invoice, Source: topup.SourceDoctor, At: p.At}})
		if errors.Is(err, topup.ErrNotFound) {
			return nil // no daemon has met the provider with this ledger: its first start reads what was bought before
		}
		if err != nil {
			return fmt.Errorf("storing that %s is the doctor's: %w", p.Invoice, err)
		}
	}
	return nil
}

// keepAway pauses a customer and refuses while a purchase of the daemon is open
// for it: that purchase could take the experiment's invoice for its own.
func (a *app) keepAway(store *ledger.Store, one *daemon.Connection, p doctor.Patient, customer topup.CustomerID, t doctor.Terms) error {
	until := a.now().Add(waits*t.Wait + t.Watch + requests*p.Provider.PurchaseTimeout + pausedFor)
	pauses, err := store.Pauses(a.ctx)
	if err != nil {
		return err
	}
	paused := false
	for _, q := range pauses {
		same := q.Scope == topup.PauseCustomer && q.Subject == string(customer) && q.Provider == one.ID
		paused = paused || same && (q.Until == nil || q.Until.After(until))
	}
	if !paused {
		_, err := store.Pause(a.ctx, topup.Pause{
			Scope: topup.PauseCustomer, Provider: one.ID, Subject: string(customer), Until: &until,
			Reason: "topupd doctor tries purchases for it", By: t.By,
		})
		if err != nil {
			return err
		}
	}
	for _, r := range p.Rules.Rules {
		standing, err := store.Standing(a.ctx, topup.Target{Provider: one.ID, Customer: customer, Product: r.Product})
		if err != nil {
			return err
		}
		if standing.Open != nil {
			return &doctor.Refusal{Why: fmt.Sprintf("customer %s has the open purchase %s: take another one, or wait for its end", customer, standing.Open.Short())}
		}
	}
	return nil
}

// printFindings shows the visit to a person.
func (a *app) printFindings(l *loaded, r doctor.Report, stored bool, found []topup.Capability) {
	g := screen.Grid{Columns: []screen.Column{{Title: "provider"}, {Title: "what"}, {Title: "status"}, {Title: "seen", Wrap: true}}}
	counts := map[doctor.Status]int{}
	for _, f := range r.Findings {
		counts[f.Status]++
		seen := screen.Printable(f.Saw)
		if f.Next != "" {
			seen += " → " + screen.Printable(f.Next)
		}
		name := f.Name
		if f.Kind == doctor.Experiment {
			name = "tried: " + name
		}
		g.Rows = append(g.Rows, []string{f.Provider, screen.Printable(name), a.Paint(statusColor(f.Status), string(f.Status)), seen})
	}
	a.Printf("%s\n", g.Render(a.Width))
	for _, line := range l.effects(found) {
		a.Printf("%s\n", a.Fold(line, 0))
	}
	if !stored && len(found) > 0 {
		a.Printf("%s\n", a.Fold("There is no ledger yet, so nothing of this was stored: run the doctor again after topupd migrate.", 0))
	}
	a.Printf("%d ok · %d warn · %d fail · %d not known", counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail], counts[doctor.Unknown])
	if n := len(r.Purchases); n > 0 {
		a.Printf(" · %s sent", english.Plural(n, "purchase"))
	}
	a.Printf("\n")
}

func statusColor(s doctor.Status) string {
	switch s {
	case doctor.OK:
		return screen.Green
	case doctor.Warn:
		return screen.Yellow
	case doctor.Fail:
		return screen.Red
	case doctor.Unknown:
		return ""
	default:
		return screen.Red
	}
}

// effects says what findings change for the providers of the configuration.
func (l *loaded) effects(list []topup.Capability) []string {
	var lines []string
	for _, p := range l.Config.Providers {
		var mine []topup.Capability
		for _, c := range list {
			if c.Provider == p.Identity() {
				mine = append(mine, c)
			}
		}
		for _, effect := range daemon.Effects(p, topup.FoundIn(mine)) {
			lines = append(lines, p.Name+": "+effect)
		}
	}
	return lines
}

// capabilityRecord is one stored finding for programs.
type capabilityRecord struct {
	Provider string  `json:"provider"`
	Name     string  `json:"name"`
	Value    string  `json:"value"`
	FoundAt  *string `json:"found_at"`
	By       string  `json:"by"`
	Report   string  `json:"report"` // SHA-256
}

// show prints what was found before: at the last visit from this machine, and
// what is stored in the ledger, where there is one.
func (c *doctorCmd) show(a *app, l *loaded) (err error) {
	id, err := l.providerID(c.Provider)
	if err != nil {
		return err
	}
	visit := a.lastVisit(l)
	if visit != nil && c.Output == "table" {
		a.printVisit(l, *visit)
	}
	store, err := a.history(l, false)
	if errors.Is(err, errNoLedger) && visit != nil {
		return screen.List(a.Screen, c.Output, []capabilityRecord(nil), func() {}) // nothing that the daemon obeys is stored
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	list, err := store.Capabilities(a.ctx, id)
	if err != nil {
		return err
	}
	var records []capabilityRecord
	for _, f := range list {
		records = append(records, capabilityRecord{
			Provider: l.label(f.Provider, string(f.Provider)), Name: string(f.Name), Value: f.Value,
			FoundAt: screen.Stamp(&f.FoundAt), By: f.By, Report: f.Report,
		})
	}
	if err := screen.List(a.Screen, c.Output, records, func() { a.printFound(l, list, visit != nil) }); err != nil || c.Output != "table" {
		return err
	}
	return a.printExperiments(l, store, id)
}

func (a *app) printFound(l *loaded, list []topup.Capability, visited bool) {
	switch {
	case len(list) == 0 && visited:
		a.Printf("Nothing that the daemon obeys was found.\n")
		return
	case len(list) == 0:
		a.Printf("Nothing was found yet: topupd doctor looks.\n")
		return
	}
	g := screen.Grid{Columns: []screen.Column{{Title: "provider"}, {Title: "what"}, {Title: "found"}, {Title: "at"}, {Title: "by"}, {Title: "report"}}}
	for _, f := range list {
		g.Rows = append(g.Rows, []string{
			screen.Printable(l.label(f.Provider, string(f.Provider))), string(f.Name), screen.Printable(f.Value), a.Clock(f.FoundAt), screen.Printable(f.By), f.Report[:min(12, len(f.Report))],
		})
	}
	a.Printf("%s", g.Render(a.Width))
	for _, line := range l.effects(list) {
		a.Printf("%s\n", a.Fold(line, 0))
	}
}

// experimentsShown bounds the list of --show.
const experimentsShown = 50

func (a *app) printExperiments(l *loaded, store *ledger.Store, only topup.ProviderID) error {
	g := screen.Grid{Columns: []screen.Column{{Title: "provider"}, {Title: "experiment"}, {Title: "customer"}, {Title: "excl. tax", Right: true}, {Title: "at"}, {Title: "answer", Wrap: true}}}
	for _, p := range l.Config.Providers {
		if only != "" && p.Identity() != only {
			continue
		}
		list, err := store.Experiments(a.ctx, p.Identity(), experimentsShown)
		if err != nil {
			return err
		}
		for _, e := range list {
			g.Rows = append(g.Rows, []string{
				p.Name, e.Name, screen.Printable(string(e.Target.Customer)), e.Price.Grouped(), a.Clock(e.At), screen.Printable(screen.Either(e.Answer, "none was stored")),
			})
		}
	}
	if len(g.Rows) > 0 {
		a.Printf("\nPurchases of experiments\n%s", g.Render(a.Width))
	}
	return nil
}

// withdraw takes a finding out of what the daemon obeys: the one way towards
// less care, and a person's.
func (c *doctorCmd) withdraw(a *app, l *loaded) (err error) {
	by := c.by(a)
	switch {
	case c.Provider == "":
		return usage("--withdraw needs --provider")
	case c.Reason == "":
		return usage("--withdraw needs --reason: how do you know?")
	case by == "":
		return usage("nobody knows who you are: add --by NAME")
	case !slices.Contains(topup.CapabilityNames(), topup.CapabilityName(c.Withdraw)):
		return usage("--withdraw %s: there is %v", screen.Clipped(c.Withdraw), topup.CapabilityNames())
	}
	p, err := l.provider(c.Provider)
	if err != nil {
		return err
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	n, err := store.WithdrawCapability(a.ctx, p.Identity(), topup.CapabilityName(c.Withdraw), by, c.Reason)
	if err != nil {
		return err
	}
	a.Printf("%s of %s at %s withdrawn\n", english.Plural(n, "finding"), c.Withdraw, p.Name)
	return nil
}

// adopt stores the findings of a report for another connection of the same
// type: what holds on a sandbox is the best guess for production, and can only
// make it more careful.
func (c *doctorCmd) adopt(a *app, l *loaded) (err error) {
	if c.Provider == "" {
		return usage("--adopt needs --provider: who is to obey the report")
	}
	p, err := l.provider(c.Provider)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.Adopt)
	if err != nil {
		return usage("--adopt %s: %w", screen.Clipped(c.Adopt), errors.Unwrap(err))
	}
	report, err := doctor.Verify(text)
	if err != nil {
		return usage("--adopt %s: %w", screen.Clipped(c.Adopt), err)
	}
	sum, err := report.Sum()
	if err != nil {
		return err
	}
	var found []topup.Capability
	for _, f := range report.Capabilities {
		if kind, _, _ := strings.Cut(f.Identity, "://"); kind == string(p.Type) {
			found = append(found, topup.Capability{Provider: p.Identity(), Name: topup.CapabilityName(f.Name), Value: f.Value})
		}
	}
	if len(found) == 0 {
		return usage("--adopt %s: it has no findings for %s", screen.Clipped(c.Adopt), p.Type)
	}
	store, err := c.ledger(a, l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.StoreCapabilities(a.ctx, doctor.Sealed(found, cmp.Or(c.by(a), "somebody"), sum)); err != nil {
		return err
	}
	a.Printf("%s of the report by %s adopted for %s\n", english.Plural(len(found), "finding"), screen.Printable(report.By), p.Name)
	for _, line := range l.effects(found) {
		a.Printf("%s\n", a.Fold(line, 0))
	}
	return nil
}
