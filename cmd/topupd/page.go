package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/ledger"
	"topupd/topup"
)

// page prints the purchase as a person files it.
func (a *app) page(store snapshots, p topup.Purchase, evidence []topup.Evidence) {
	a.printf("Purchase %s   %s\n", p.ID, a.paint(stateColor(p.State), stateOf(p)))
	a.printf("%s\n", a.fold(fmt.Sprintf("%s · %s · %s · rule %s", p.ProviderName, customerOf(p), dealOf(p), p.Rule), 0))
	a.printf("%s\n", a.fold(standsOf(p, a.clock), 0))
	later := a.laterLine(p, evidence)
	if p.State.Open() {
		a.printf("%s\n", ageOf(p, evidence, a.now()))
	}
	for _, block := range []struct {
		title string
		lines [][2]string
	}{
		{"Why", a.whyLines(p)},
		{"Request", a.requestLines(p)},
		{"Money", append(a.moneyLines(p), a.balanceLines(store, p)...)},
	} {
		a.printf("\n%s\n", block.title)
		for _, line := range block.lines {
			a.printf("  %-14s %s\n", line[0], a.fold(line[1], 17))
		}
	}
	a.printf("\nHistory\n")
	for _, e := range evidence {
		a.printf("  %s  %-9s %s\n", a.clock(e.At), e.Kind, a.fold(printable(e.Text), len(a.clock(e.At))+14))
	}
	next := nextStep(p, a.now())
	if later {
		next = laterStep(p)
	}
	if next != "" {
		a.printf("\nWhat to do\n%s", next)
	}
	if zone := a.zoneNote(); zone != "" {
		a.printf("\n%s\n", zone)
	}
}

// laterLine prints what came after the end of a purchase, and tells whether
// anything did.
func (a *app) laterLine(p topup.Purchase, evidence []topup.Evidence) bool {
	later := cameLater(p, evidence)
	if later != "" {
		a.printf("%s\n", a.paint(red, a.fold("Later: "+printable(later), 0)))
	}
	return later != ""
}

// fold breaks a long text into lines of the output's width, indented.
func (a *app) fold(s string, indent int) string {
	var b strings.Builder
	used := indent
	for i, w := range strings.Fields(s) {
		length := len([]rune(w))
		switch {
		case i == 0:
		case used+1+length > a.width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(w)
		used += length
	}
	return b.String()
}

func customerOf(p topup.Purchase) string {
	id := printable(string(p.Target.Customer))
	if p.CustomerName == "" || p.CustomerName == id {
		return id
	}
	return fmt.Sprintf("%s (%s)", printable(p.CustomerName), id)
}

// dealOf is what was asked for.
func dealOf(p topup.Purchase) string {
	product := printable(either(p.ProductName, string(p.Target.Product)))
	return fmt.Sprintf("%s: %s credits for %s excluding tax", product, p.Credits.Grouped(), p.Price.Grouped())
}

func (a *app) whyLines(p topup.Purchase) [][2]string {
	balance := fmt.Sprintf("%s, read %s", p.BalanceBefore.Grouped(), a.clock(p.ReadAt))
	if !p.RefreshedAt.IsZero() {
		balance += fmt.Sprintf(" (the provider refreshed it %s)", a.clock(p.RefreshedAt))
	}
	expires := "never"
	if p.ExpiresAt != nil {
		expires = p.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return [][2]string{
		{"balance", balance},
		{"threshold", p.Threshold.Grouped()},
		{"rule", fmt.Sprintf("%s, version %s", p.Rule, p.RuleVersion)},
		{"pack", fmt.Sprintf("%s credits, price %s", p.Credits.Grouped(), printable(either(p.PriceID, "as configured")))},
		{"expire", expires},
	}
}

func (a *app) requestLines(p topup.Purchase) [][2]string {
	lines := [][2]string{
		{"request", printable(p.Request.Method + " " + p.Request.Path)},
		{"key", p.Key},
		{"sha-256", p.Fingerprint},
		{"on the wire", onTheWire(p)},
	}
	if p.SentAt != nil {
		lines = append(lines, [2]string{"sent", a.clock(*p.SentAt)})
	}
	if p.Repeats > 0 {
		lines = append(lines, [2]string{"last sent", a.clockOf(p.LastSentAt)})
	}
	return lines
}

// onTheWire counts the requests that left, or may have.
func onTheWire(p topup.Purchase) string {
	switch {
	case p.Attempts == 0:
		return "nothing"
	case p.Repeats == 0:
		return english.Plural(p.Attempts, "request")
	default:
		return fmt.Sprintf("%s, %s of them repeated under the same key", english.Plural(p.Attempts, "request"), english.Grouped(p.Repeats))
	}
}

func (a *app) moneyLines(p topup.Purchase) [][2]string {
	reference := printable(dash(p.Reference))
	if p.ReferenceBy != "" {
		reference += " (by " + p.ReferenceBy + ")"
	}
	lines := [][2]string{
		{"price", p.Price.Grouped() + " excluding tax"},
		{"reference", reference},
		{"payment", string(p.Payment)},
	}
	if p.Charged != nil {
		lines = append(lines, [2]string{"invoiced", p.Charged.Grouped() + " excluding tax: not the configured price"})
	}
	switch {
	case p.RowAt == nil:
	case hasBooks(p) && p.ResolvedBy == "":
		lines = append(lines, [2]string{"credited", a.clock(*p.RowAt)})
	default: // nobody has seen a row
		lines = append(lines, [2]string{"counts", "a balance from " + a.clock(*p.RowAt) + " on"})
	}
	if p.FinishedAt != nil {
		lines = append(lines, [2]string{"finished", a.clock(*p.FinishedAt)})
	}
	if p.CorrectedAt != nil {
		lines = append(lines, [2]string{"corrected", fmt.Sprintf("%s, from %s", a.clock(*p.CorrectedAt), p.CorrectedFrom)})
	}
	if p.ResolvedBy != "" {
		lines = append(lines, [2]string{"decided by", printable(p.ResolvedBy + ": " + p.Note)})
	}
	return lines
}

// snapshots are what the daemon saw at its last sweeps.
type snapshots interface {
	Evaluations(ctx context.Context, f ledger.Filter) ([]topup.Evaluation, error)
}

// balancesShown bounds the readings on the page; the daemon keeps 20.
const balancesShown = 5

// balanceLines are the readings since an undecided purchase was sent: a rise by
// what was bought is evidence for a person.
func (a *app) balanceLines(store snapshots, p topup.Purchase) [][2]string {
	if p.SentAt == nil || (p.State != topup.Sent && p.State != topup.Parked) {
		return nil
	}
	seen, err := store.Evaluations(a.ctx, ledger.Filter{
		Provider: p.Target.Provider, Customer: p.Target.Customer, Product: p.Target.Product, Since: *p.SentAt,
	})
	if err != nil {
		return [][2]string{{"balance since", "cannot be read: " + err.Error()}}
	}
	var parts []string
	rise := "no rise"
	if a.rose(store, p) {
		rise = "a rise"
	}
	for _, e := range slices.Backward(seen) {
		if e.Balance == nil || e.ReadAt.Before(*p.SentAt) {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s at %s", e.Balance.Grouped(), a.clock(e.ReadAt)))
	}
	if len(parts) == 0 {
		return nil
	}
	parts = parts[max(0, len(parts)-balancesShown):]
	return [][2]string{{"balance since", fmt.Sprintf("%s: %s of about %s was seen", strings.Join(parts, " · "), rise, p.Credits.Grouped())}}
}

// rose tells whether a reading since the purchase was sent shows about what it
// bought. Readings that cannot be had show nothing.
func (a *app) rose(store snapshots, p topup.Purchase) bool {
	if p.SentAt == nil {
		return false
	}
	seen, err := store.Evaluations(a.ctx, ledger.Filter{
		Provider: p.Target.Provider, Customer: p.Target.Customer, Product: p.Target.Product, Since: *p.SentAt,
	})
	return err == nil && slices.ContainsFunc(seen, func(e topup.Evaluation) bool {
		return e.Balance != nil && !e.ReadAt.Before(*p.SentAt) && *e.Balance >= p.BalanceBefore+p.Credits/2
	})
}
