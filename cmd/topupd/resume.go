package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// resumeCmd takes the switch back.
type resumeCmd struct {
	IDs []string `arg:"" optional:"" name:"id" help:"The pauses to lift, by the ids that pause and resume print; with a scope, none leaves its pauses and lifts what else holds it."`
	scopeFlags
}

func (*resumeCmd) Help() string {
	return `Takes back the pauses with these ids, or the pause of exactly this scope: resume --customer does not end a pause of everything. When the scope is paused more than once, they are listed and you are asked which; without a terminal nothing is lifted and the exit code is 2.

resume --customer also lifts the customer's suspension and back-off after declined payments. resume --provider also lifts a stop after a refused token, the first hold, a quarantine and the hold on implausible balances there.

Examples:

    topupd resume --reason "prices are in"
    topupd resume 3f2a91bc --reason "prices are in"
    topupd resume --customer cus_Typ0px2W0aiEtl --reason "new card on file"
    topupd resume --provider hyperline --reason "the zeros were real"`
}

func (c *resumeCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	p, err := c.pause(a, l)
	if err != nil {
		return err
	}
	store, err := a.history(l, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if len(c.IDs) > 0 && c.Provider == "" && c.Rule == "" && c.Customer == "" {
		lifted, err := store.ResumePauses(a.ctx, c.IDs, p.By, p.Reason)
		if err != nil {
			return err
		}
		a.Printf("resumed by %s: %s\n", screen.Printable(p.By), screen.Printable(p.Reason))
		a.printLifted(l, lifted)
		for _, q := range lifted.Pauses {
			err = errors.Join(err, a.otherSwitches(store, l, topup.Pause{Scope: q.Scope, Provider: q.Provider, Subject: q.Subject}))
		}
		return err
	}
	if p, err = a.acquainted(store, p, false); err != nil {
		return err
	}
	lifted, err := store.Resume(a.ctx, p, c.IDs...)
	if several, ok := errors.AsType[*ledger.SeveralPausesError](err); ok {
		ids, err := a.whichPauses(l, p, several.Pauses)
		if err != nil {
			return err
		}
		lifted, err = store.Resume(a.ctx, p, ids...)
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if lines := liftedLines(lifted); len(lines) == 0 && len(lifted.Pauses) == 0 {
		a.Printf("nothing was paused or held for %s\n", l.words(p))
	} else {
		a.Printf("resumed: %s, by %s: %s\n", l.words(p), screen.Printable(p.By), screen.Printable(p.Reason))
	}
	a.printLifted(l, lifted)
	return a.otherSwitches(store, l, p)
}

func (a *app) printLifted(l *loaded, r ledger.Resumed) {
	for _, p := range r.Pauses {
		a.Printf("  lifted the %s of %s (%s)\n", map[bool]string{true: "stop", false: "pause"}[p.Own()], a.switchWords(l, p), p.ID)
	}
	for _, line := range liftedLines(r) {
		a.Printf("  lifted %s\n", line)
	}
}

// whichPauses lists what would be lifted and asks which, since nobody may end
// another's pause unseen. Where nobody can be asked, that is a mistake.
func (a *app) whichPauses(l *loaded, p topup.Pause, pauses []topup.Pause) ([]string, error) {
	g := screen.Grid{Indent: "  ", Columns: []screen.Column{{Title: "id"}, {Title: "by"}, {Title: "since"}, {Title: "until"}, {Title: "why", Wrap: true}}}
	var all []string
	for _, q := range pauses {
		until := "resumed"
		if q.Until != nil {
			until = a.Clock(*q.Until)
		}
		g.Rows = append(g.Rows, []string{q.ID, screen.Printable(q.By), a.Clock(q.At), until, screen.Printable(q.Reason)})
		all = append(all, q.ID)
	}
	a.Printf("%s is off %d times:\n%s", l.words(p), len(pauses), g.Render(a.Width))
	if !a.asks {
		return nil, usage("nothing was lifted: write the ids to lift, as in topupd resume %s --reason \"…\"; with the scope, %s leaves them and lifts what else holds it",
			strings.Join(all, " "), ledger.NoPause)
	}
	fmt.Fprint(a.Err, "Which shall be lifted? Write ids, all, or none: ")
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	switch ids := strings.Fields(line); {
	case err != nil && line == "", len(ids) == 0:
		return nil, usage("nothing was lifted")
	case len(ids) == 1 && ids[0] == "all":
		return all, nil // those that were shown: not one that came meanwhile
	default:
		return ids, nil
	}
}

// liftedLines says what a resume lifted beside pauses.
func liftedLines(r ledger.Resumed) []string {
	var lines []string
	add := func(n int, noun string) {
		if n > 0 {
			lines = append(lines, english.Plural(n, noun))
		}
	}
	add(r.Suspensions, "suspension or back-off")
	add(r.Refunds, "hold after a refund")
	add(r.Implausible, "hold on implausible balances")
	if r.Changed > 0 {
		lines = append(lines, fmt.Sprintf("the hold after a change of the terms on %s", english.Plural(r.Changed, "target")))
	}
	for _, flag := range []struct {
		set  bool
		text string
	}{
		{r.Stop, "the stop after a refused token"},
		{r.Hold, "the first hold"},
		{r.Quarantine, "the quarantine"},
	} {
		if flag.set {
			lines = append(lines, flag.text)
		}
	}
	return lines
}

// overlaps tells whether a pause may go on covering some of what was resumed:
// unless it is plainly about something else.
func overlaps(p, resumed topup.Pause, now time.Time) bool {
	switch {
	case p.Until != nil && !now.Before(*p.Until):
		return false
	case p.Provider != "" && resumed.Provider != "" && p.Provider != resumed.Provider:
		return false
	default:
		return p.Scope != resumed.Scope || p.Subject == resumed.Subject
	}
}
