package daemon

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/scheduler"
)

const (
	// verifyTick is how often the daemon asks whether a comparison is due.
	verifyTick = time.Minute
	// verifyAgain is the rest after one that did not read everything: halved, a
	// provider that is down is asked for its bills twice as often.
	verifyAgain = time.Hour
	// verifyPatience bounds one run, so that a provider that answers slowly for
	// ever is a late comparison and not none.
	verifyPatience = 6 * time.Hour
)

// comparing is the daemon's comparison of one connection with its books.
type comparing struct {
	d      *Daemon
	from   *Connection
	held   func() bool     // whether this replica holds the lease
	tried  time.Time       // when the last run that was not whole ended
	logged map[string]bool // findings of such runs: the ledger remembers the others
}

// compareDaily lets the scheduler compare a connection, unless it is off.
func (d *Daemon) compareDaily(l *line) {
	if d.setup.Config.Verify.Off {
		return
	}
	d.metrics.WatchVerify(l.Name)
	c := &comparing{d: d, from: l.Connection, held: l.watch.Held}
	d.scheduler.Chores = append(d.scheduler.Chores, scheduler.Chore{Every: verifyTick, Run: c.tick})
}

// tick runs a comparison when one is due, on the replica that holds the lease.
// What is due goes by the ledger: a run that was missed while nobody was there
// is made up for, and a second replica does not repeat it.
func (c *comparing) tick(ctx context.Context) {
	if !c.held() {
		return
	}
	list, err := c.d.store.Verifications(ctx)
	if err != nil {
		return // housekeeping reads the same, and says so
	}
	last := LastOf(list, c.from.ID)
	if now := c.d.now(); c.due(last, now) {
		c.run(ctx, last, now)
	}
}

func (c *comparing) due(last ledger.Verification, now time.Time) bool {
	from := last.At
	if from.IsZero() {
		from = c.d.started
	}
	next := c.d.setup.Config.Verify.Next(from)
	return !next.IsZero() && !now.Before(next) && now.Sub(c.tried) >= verifyAgain
}

// run compares once, and tells the log, the ledger and through it the gauges.
func (c *comparing) run(ctx context.Context, last ledger.Verification, now time.Time) {
	since, err := SinceLast(ctx, c.d.store, last, c.from.UnknownOutcome.QuietPeriod, now, c.d.setup.Config.Verify.Since)
	if err != nil {
		return // the ledger is away, and housekeeping says so
	}
	bounded, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	report, err := NewVerifier(c.from, c.d.rulebook.Load(), c.d.store, c.d.now).Run(bounded, since)
	if ctx.Err() != nil {
		return // stopping
	}
	if err != nil {
		report.Incomplete = append(report.Incomplete, err.Error())
	}
	known, unread := Acknowledged(ctx, c.d.store)
	c.tell(ctx, report, last, known)
	if err = errors.Join(err, unread); err == nil {
		err = c.d.store.SaveVerification(ctx, outcome(c.from, report, last, known))
	}
	if err != nil || !report.Whole() {
		c.tried = c.d.now()
	}
	if err != nil {
		c.d.options.Log.LogAttrs(ctx, slog.LevelError, "verify", slog.String("provider", c.from.Name), slog.Any("err", err))
	}
}

// outcome is what the ledger keeps of a run. One that is not whole is no
// success, and what it did not find may still be there: the larger count stands.
// What was acknowledged is among it, first, since the ledger keeps a thousand at
// most: stillOpen takes it off the counts.
func outcome(from *Connection, r verify.Report, last ledger.Verification, known map[string]ledger.Action) ledger.Verification {
	n := ledger.Verification{Provider: from.ID, At: r.At, Since: r.Since, Counts: map[string]int{}}
	for k, count := range r.Counts() {
		n.Counts[string(k)] = count
	}
	for _, f := range r.Findings {
		n.Keys = append(n.Keys, f.Key())
	}
	if !r.Whole() {
		n.At, n.Since = last.At, last.Since
		for k, count := range last.Counts {
			n.Counts[k] = max(n.Counts[k], count)
		}
		n.Keys = slices.Compact(slices.Sorted(slices.Values(append(n.Keys, last.Keys...))))
		named := map[string]int{}
		for _, key := range n.Keys {
			kind, _ := verify.Keyed(key)
			named[string(kind)]++
			n.Counts[string(kind)] = max(n.Counts[string(kind)], named[string(kind)])
		}
	}
	slices.SortStableFunc(n.Keys, func(a, b string) int {
		return cmp.Compare(rankOf(a, known), rankOf(b, known))
	})
	return n
}

// rankOf is 0 for the key of an acknowledged finding, 1 for others.
func rankOf(key string, known map[string]ledger.Action) int {
	if _, id := verify.Keyed(key); known[id].Subject != "" {
		return 0
	}
	return 1
}

// stillOpen is what nobody has acknowledged of a comparison: how many of each
// kind, and the ids of those that the ledger names.
func stillOpen(n ledger.Verification, known map[string]ledger.Action) (counts map[string]int, ids map[string][]string) {
	counts, ids = maps.Clone(n.Counts), map[string][]string{}
	for _, key := range n.Keys {
		kind, id := verify.Keyed(key)
		switch {
		case rankOf(key, known) == 0:
			counts[string(kind)] = max(0, counts[string(kind)]-1)
		case id != "":
			ids[string(kind)] = append(ids[string(kind)], id)
		}
	}
	return counts, ids
}

// tell logs each finding that nobody has acknowledged once, and one line about
// the run.
func (c *comparing) tell(ctx context.Context, r verify.Report, last ledger.Verification, known map[string]ledger.Action) {
	if c.logged == nil {
		c.logged = map[string]bool{}
	}
	told := maps.Clone(c.logged)
	for _, key := range last.Keys {
		told[key] = true
	}
	clear(c.logged)
	open := 0
	for _, f := range r.Findings {
		c.logged[f.Key()] = true
		if _, ok := known[f.ID]; ok {
			continue
		}
		open++
		if !told[f.Key()] {
			c.d.options.Log.LogAttrs(ctx, slog.LevelWarn, "difference", findingAttrs(c.from.Name, f)...)
		}
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("provider", c.from.Name), slog.Time("since", r.Since), slog.Int("purchases", r.Purchases),
		slog.Int("invoices", r.Invoices), slog.Int("rows", r.Rows), slog.Int("differences", open), slog.Int("acknowledged", len(r.Findings)-open),
		slog.Int("not_judged", r.Open+r.Young+r.Waiting), slog.Bool("complete", r.Whole()),
	}
	if !r.Whole() {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("unread", strings.Join(r.Incomplete[:min(len(r.Incomplete), 5)], "; ")))
	}
	c.d.options.Log.LogAttrs(ctx, level, "verify", attrs...)
}

func findingAttrs(provider string, f verify.Finding) []slog.Attr {
	attrs := []slog.Attr{slog.String("id", f.ID), slog.String("provider", provider), slog.String("kind", string(f.Kind)), slog.String("customer", string(f.Customer))}
	for _, part := range [][2]string{
		{"product", string(f.Product)},
		{"purchase", f.Purchase},
		{"other_purchase", f.Other},
		{"reference", f.Invoice},
		{"row", f.Row},
		{"ours", f.Ours},
		{"theirs", f.Theirs},
	} {
		if part[1] != "" {
			attrs = append(attrs, slog.String(part[0], part[1]))
		}
	}
	return attrs
}

// verifyGauges shows what the newest comparisons found, on every replica.
func (d *Daemon) verifyGauges(ctx context.Context) error {
	if d.setup.Config.Verify.Off {
		return nil
	}
	list, err := d.store.Verifications(ctx)
	if err != nil {
		return err
	}
	known, err := Acknowledged(ctx, d.store)
	if err != nil {
		return err
	}
	for _, l := range d.lines {
		if n := LastOf(list, l.ID); n.Counts != nil {
			counts, ids := stillOpen(n, known)
			d.metrics.Verified(l.Name, counts, ids, n.At)
		}
	}
	return nil
}

// Acknowledged are the differences that people live with, by their ids.
func Acknowledged(ctx context.Context, store *ledger.Store) (map[string]ledger.Action, error) {
	list, err := store.Acknowledgements(ctx)
	known := make(map[string]ledger.Action, len(list))
	for _, action := range list {
		known[action.Subject] = action
	}
	return known, err
}
