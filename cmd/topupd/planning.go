package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"topupd/clients"
	"topupd/config"
	"topupd/internal/daemon"
	"topupd/ledger"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// planning is the daemon's way from balances to decisions, read only.
type planning struct {
	a      *app
	book   *scheduler.Rulebook
	ledger planLedger
	tally  *tally

	mu        sync.Mutex
	polls     []polled
	prospects []*prospect
	again     atomic.Int64 // confirm reads done
}

// planLedger is what the ledger knows of the past.
type planLedger interface {
	spending
	Standing(ctx context.Context, target topup.Target) (topup.Standing, error)
	Standings(ctx context.Context, provider topup.ProviderID) (map[topup.Target]topup.Standing, topup.Standing, error)
	history
}

// history is what was seen and bought before.
type history interface {
	claims
	Targets(ctx context.Context, f ledger.Filter) ([]topup.Evaluation, error)
	// Judged and ChangeBought say what a change of the terms is measured against.
	Judged(ctx context.Context, provider topup.ProviderID) (map[topup.Target]topup.Credits, error)
	ChangeBought(ctx context.Context, rule string) (int, error)
}

// polled is what one connection gave.
type polled struct {
	from *daemon.Connection
	poll clients.Whole
	took time.Duration
	err  error
}

// confirming bounds the confirm reads at a time and connection; the rate
// budget is the real bound.
const confirming = 4

// remembered is how old a target's last decision may be for its absence to be
// worth a line: the daemon forgets after the same time.
const remembered = time.Hour

// plan fills in prospects. A connection that cannot be read is kept in polls
// with its error; an error is the ledger's.
func (p *planning) plan(connections []*daemon.Connection) error {
	stop := p.a.Progress(func() string { return fmt.Sprintf("Reading balances … %d low ones read again", p.again.Load()) })
	defer stop()
	parts, ctx := errgroup.WithContext(p.a.ctx)
	for _, c := range connections {
		parts.Go(func() error { return p.connection(ctx, c) })
	}
	if err := parts.Wait(); err != nil {
		return err
	}
	slices.SortFunc(p.polls, func(a, b polled) int { return slices.Index(connections, a.from) - slices.Index(connections, b.from) })
	return p.settle()
}

// connection polls one connection, decides, and reads the low targets again.
func (p *planning) connection(ctx context.Context, c *daemon.Connection) error {
	products := p.book.Products(c.Name)
	if len(products) == 0 {
		return nil // check warns
	}
	started := p.a.now()
	poll, err := clients.Gather(ctx, c.Client, products)
	p.mu.Lock()
	p.polls = append(p.polls, polled{from: c, poll: poll, took: p.a.now().Sub(started), err: err})
	p.mu.Unlock()
	if err != nil {
		return ctx.Err() // the others can still be read
	}
	standings, base, err := p.ledger.Standings(ctx, c.ID)
	if err != nil {
		return err
	}
	var found []*prospect
	for i := range poll.Readings {
		standing, ok := standings[poll.Readings[i].Target]
		if !ok {
			standing = base
		}
		found = append(found, p.judge(c, &poll.Readings[i], standing))
	}
	if poll.Complete {
		gone, err := p.missing(ctx, c, found, products)
		if err != nil {
			return err
		}
		found = append(found, gone...)
	}
	p.mu.Lock()
	p.prospects = append(p.prospects, found...)
	p.mu.Unlock()
	return p.readAgain(ctx, found)
}

// judge decides about one reading, without a confirm read.
func (p *planning) judge(c *daemon.Connection, r *topup.Reading, standing topup.Standing) *prospect {
	rule, excluded := p.book.Rules.Match(candidate(c, *r))
	x := &prospect{from: c, facts: rules.Facts{
		Now: p.a.now(), Rule: rule, Excluded: excluded, Reading: r, Standing: standing,
		AllowNative: c.NativeAutoTopup == config.NativeAllow, FirstHold: c.FirstPurchaseAfter,
	}}
	x.d = rules.Decide(x.facts)
	return x
}

func candidate(c *daemon.Connection, r topup.Reading) rules.Candidate {
	return rules.Candidate{
		ProviderName: c.Name, Customer: r.Target.Customer, Product: r.Target.Product,
		Currency: r.Account.Currency, Properties: r.Account.Properties,
	}
}

// missing are the targets that the daemon watched until now and that this
// complete poll does not show.
func (p *planning) missing(ctx context.Context, c *daemon.Connection, found []*prospect, products []topup.ProductID) ([]*prospect, error) {
	known, err := p.ledger.Targets(ctx, ledger.Filter{Provider: c.ID})
	if err != nil {
		return nil, err
	}
	seen := map[topup.Target]bool{}
	for _, x := range found {
		seen[x.target()] = true
	}
	var gone []*prospect
	for _, e := range known {
		if seen[e.Target] || !slices.Contains(products, e.Target.Product) || p.a.now().Sub(e.At) > remembered {
			continue
		}
		r := &topup.Reading{Target: e.Target, CustomerName: e.CustomerName, ProductName: e.ProductName, Threshold: e.Threshold}
		x := &prospect{from: c, facts: rules.Facts{Now: p.a.now(), Reading: r}}
		x.d = rules.Decision{Reason: topup.NotSeen, Text: "the provider does not show these credits any more", Threshold: e.Threshold}
		r.Bad = x.d.Text
		gone = append(gone, x)
	}
	return gone, nil
}

// readAgain does the confirm read of the low targets, most urgent first.
func (p *planning) readAgain(ctx context.Context, found []*prospect) error {
	low := (&planning{prospects: found}).chosen(func(x *prospect) bool { return x.d.Reason == topup.Rechecking })
	parts, ctx := errgroup.WithContext(ctx)
	parts.SetLimit(confirming)
	for _, x := range low {
		parts.Go(func() error {
			defer p.again.Add(1)
			return p.confirm(ctx, x)
		})
	}
	return parts.Wait()
}

// confirm reads everything that must hold right before buying. The first low
// reading is taken to be confirm_after older than it is: plan takes both back
// to back.
func (p *planning) confirm(ctx context.Context, x *prospect) error {
	standing, err := p.ledger.Standing(ctx, x.target())
	if err != nil {
		return err
	}
	read, err := x.from.Client.Confirm(ctx, x.d.Order)
	if err != nil {
		x.d.Reason, x.d.Text = topup.ProviderUnavailable, "the confirm read failed: "+err.Error()
		return ctx.Err()
	}
	first := read.Reading.ReadAt.Add(-x.facts.Rule.ConfirmAfter)
	x.facts.FirstLow, x.facts.Confirmation, x.facts.Now = &first, &read, p.a.now()
	x.facts.Standing, err = p.withExternal(ctx, x.target(), standing, read.Topups)
	return err
}

// withExternal adds what the daemon would import before it decides: credit
// additions that are newer than every known one and not ours.
func (p *planning) withExternal(ctx context.Context, target topup.Target, s topup.Standing, rows []topup.Topup) (topup.Standing, error) {
	var references []string
	for _, row := range rows {
		references = append(references, row.Invoice)
	}
	ours, err := p.ledger.Claimed(ctx, target.Provider, references, "")
	if err != nil {
		return s, err
	}
	newest := s.NewestRowAt
	for _, row := range rows {
		if ours[row.Invoice] || (newest != nil && !row.At.After(*newest)) {
			continue
		}
		at := row.At
		if at.After(s.Now) {
			at = s.Now
		}
		if s.ExternalAt == nil || at.After(*s.ExternalAt) {
			s.ExternalAt, s.NewestRowAt = &at, &at
		}
	}
	return s, nil
}

// settle decides about the low targets in the daemon's order, each with what
// the ones before it leave of the caps.
func (p *planning) settle() error {
	changes := planChanges{p: p, judged: map[topup.ProviderID]map[topup.Target]topup.Credits{}, left: map[string]int{}}
	for _, x := range p.chosen(func(x *prospect) bool { return x.facts.Confirmation != nil }) {
		caps := append(slices.Clone(p.book.Caps), x.facts.Rule.Caps...)
		over, err := p.tally.over(p.a.ctx, x.target(), x.facts.Rule.Name, x.d.Order.Price, caps, x.facts.Standing.Now)
		if err != nil {
			return err
		}
		x.facts.OverCap = over
		x.d = rules.Decide(x.facts)
		if err := changes.hold(x); err != nil {
			return err
		}
		if wouldBuy(x) {
			p.tally.add(x.target(), x.facts.Rule.Name, x.d.Order.Price)
		}
	}
	return nil
}

// blank is the ledger of a daemon that has never run.
type blank struct{ now func() time.Time }

func (b blank) Standing(context.Context, topup.Target) (topup.Standing, error) {
	return topup.Standing{Now: b.now()}, nil
}

func (b blank) Standings(context.Context, topup.ProviderID) (map[topup.Target]topup.Standing, topup.Standing, error) {
	return nil, topup.Standing{Now: b.now()}, nil
}

func (blank) Targets(context.Context, ledger.Filter) ([]topup.Evaluation, error) { return nil, nil }

func (blank) Claimed(context.Context, topup.ProviderID, []string, string) (map[string]bool, error) {
	return nil, nil
}

func (blank) Spent(context.Context, topup.CapScope, topup.ProviderID, string, topup.CapPeriod) (int64, []topup.Money, error) {
	return 0, nil, nil
}
