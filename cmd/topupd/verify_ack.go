package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"topupd/config/yamlfile"
	"topupd/internal/daemon"
	"topupd/internal/screen"
	"topupd/internal/verify"
	"topupd/ledger"
)

// verifyAckCmd stores that a person lives with a difference.
type verifyAckCmd struct {
	ID   string `arg:"" help:"The id of the difference, as topupd verify shows it."`
	Note string `required:"" help:"Why it may stay: it stands in the log of actions for ever." placeholder:"TEXT"`
	By   string `help:"Who says so (default: $SUDO_USER, else $USER)." placeholder:"WHO"`
	booksFlags
}

func (*verifyAckCmd) Help() string {
	return `Compares once more, and stores that you know of the difference with this id and live with it. Nothing else changes, at the provider or here. From then on topupd verify lists it apart and exits 0 when no other is left, and the daemon neither logs nor counts it. It cannot be taken back.

It is about this difference only: the next one alerts, and so does this one once its bill or an amount is another. What was found over a longer time needs the same --since.

Examples:

    topupd verify ack d-5b1f0c9e7a24 --note "refunded outside Hyperline, ticket 4711"
    topupd verify ack d-90e2d1c3b4a5 --since 30d --note "the customer keeps both, says Ana"`
}

func (c *verifyAckCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	action := ledger.Action{Subject: c.ID, By: cmp.Or(strings.TrimSpace(c.By), a.person()), Reason: strings.TrimSpace(c.Note)}
	if action.By == "" {
		return usage("nobody knows who you are: add --by NAME")
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	known, err := daemon.Acknowledged(a.ctx, store)
	if err != nil {
		return err
	}
	if before, ok := known[c.ID]; ok {
		return a.acknowledgedBefore(before)
	}
	results, err := c.results(a, l, store)
	if err != nil {
		return err
	}
	if results, err = pick(results, []string{c.ID}); err != nil {
		return err
	}
	for _, r := range results {
		if len(r.known) > 0 { // meanwhile
			return a.acknowledgedBefore(r.known[0].action)
		}
		for _, f := range r.report.Findings {
			action.Provider, action.Effect = r.from.ID, effectOf(f)
		}
	}
	stored, err := store.Acknowledge(a.ctx, action)
	if errors.Is(err, ledger.ErrAcknowledged) {
		return a.acknowledgedBefore(stored)
	}
	if err != nil {
		return err
	}
	a.Printf("%s\nacknowledged: %s by %s: %s\n", a.Fold(screen.Printable(stored.Effect), 2), c.ID, screen.Printable(stored.By), screen.Printable(stored.Reason))
	return nil
}

// effectOf says what was acknowledged, for the log of actions.
func effectOf(f verify.Finding) string {
	var parts []string
	for _, part := range [][2]string{
		{"of", string(f.Customer)}, {"purchase", f.Purchase}, {"and", f.Other}, {"reference", f.Invoice}, {"row", f.Row}, {"ours", f.Ours}, {"theirs", f.Theirs},
	} {
		if part[1] != "" {
			parts = append(parts, part[0]+" "+part[1])
		}
	}
	return string(f.Kind) + " " + strings.Join(parts, ", ")
}

func (a *app) acknowledgedBefore(by ledger.Action) error {
	return fmt.Errorf("%s was acknowledged by %s at %s: %s; nothing was changed", by.Subject, screen.Printable(by.By), a.Clock(by.At), screen.Printable(by.Reason))
}

// knownFinding is a difference, and who acknowledged it.
type knownFinding struct {
	verify.Finding
	action ledger.Action
}

// divide takes what was acknowledged out of the findings.
func (r *compared) divide(known map[string]ledger.Action) {
	r.report.Findings = slices.DeleteFunc(r.report.Findings, func(f verify.Finding) bool {
		action, ok := known[f.ID]
		if ok {
			r.known = append(r.known, knownFinding{f, action})
		}
		return ok
	})
}

// pick leaves only the differences with these ids; without ids all. An id that is
// not among them is an error.
func pick(results []compared, ids []string) ([]compared, error) {
	var there []string
	for _, r := range results {
		for _, f := range r.report.Findings {
			there = append(there, f.ID)
		}
		for _, k := range r.known {
			there = append(there, k.ID)
		}
	}
	for _, id := range ids {
		if slices.Contains(there, id) {
			continue
		}
		if err := unread(results); err != nil {
			return nil, fmt.Errorf("whether there is a difference %s nobody can tell: %w", screen.Clipped(id), err)
		}
		near := "none is like it"
		if list := yamlfile.Nearest(id, there, nearMatches); len(list) > 0 {
			near = "near it: " + strings.Join(list, ", ")
		}
		return nil, usage("there is no difference %s now, so nothing was changed: it has gone, or changed and has another id, or is older than what was compared (--since); %s; topupd verify lists those that there are", screen.Clipped(id), near)
	}
	if len(ids) == 0 {
		return results, nil
	}
	other := func(f verify.Finding) bool { return !slices.Contains(ids, f.ID) }
	for i := range results {
		results[i].report.Findings = slices.DeleteFunc(results[i].report.Findings, other)
		results[i].known = slices.DeleteFunc(results[i].known, func(k knownFinding) bool { return other(k.Finding) })
	}
	return results, nil
}

// knownTable prints acknowledged differences for people.
func (a *app) knownTable(records []findingRecord) {
	if len(records) == 0 {
		return
	}
	g := screen.Grid{Columns: []screen.Column{
		{Title: "id"}, {Title: "provider"}, {Title: "acknowledged"}, {Title: "customer", Stack: true}, {Title: "at the provider"}, {Title: "by"}, {Title: "note", Wrap: true},
	}}
	for _, r := range records {
		g.Rows = append(g.Rows, []string{
			r.ID, r.Provider, r.Kind, screen.Both(screen.Given(r.CustomerName), r.Customer), screen.Printable(screen.Either(screen.Given(r.Invoice), screen.Given(r.Row))),
			screen.Printable(screen.Given(r.AcknowledgedBy)), screen.Printable(screen.Given(r.AcknowledgedNote)) + " (" + screen.Given(r.AcknowledgedAt) + ")",
		})
	}
	a.Printf("%s\n", g.Render(a.Width))
}
