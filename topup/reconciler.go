package topup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Queue is where the reconciler finds its work.
type Queue interface {
	Witnesses
	// Due returns the purchases of a provider whose next look is due, and the
	// database clock.
	Due(ctx context.Context, provider ProviderID, limit int) (now time.Time, due []Purchase, err error)
	// Rewind puts right what a clock of the database that was ahead has left in the
	// future: see Rewound.
	Rewind(ctx context.Context, provider ProviderID) error
	// Stop throws a switch of topupd's own. It tells whether it was not thrown yet.
	Stop(context.Context, Pause) (began bool, err error)
}

// Witnesses tell what else the ledger knows that evidence may be about.
type Witnesses interface {
	// Claimed tells which references belong to purchases other than except.
	Claimed(ctx context.Context, provider ProviderID, references []string, except string) (map[string]bool, error)
	// Others lists what else may have raised the balance of the purchase's target
	// since then: purchases sent at the same provider, and imported additions.
	Others(ctx context.Context, p Purchase, since time.Time) (Others, error)
	// Elsewhere lists what other accounts at the same host showed last, of those
	// that have sent a purchase since then.
	Elsewhere(ctx context.Context, p Purchase, since time.Time) ([]Shown, error)
}

// Again is the answer to "would we still buy this now?", asked before a repeat.
type Again struct {
	Reason     Reason // Buy, or why not
	Text       string
	Facts      Facts
	ServerTime time.Time
}

// Reconciler takes every open purchase of one provider connection as far as
// the provider's books allow, after a crash, a timeout and a restart alike. It
// reads no rules: everything it needs is on the row.
type Reconciler struct {
	ID        ProviderID
	Queue     Queue
	Ledger    Ledger
	Provider  Provider
	Purchaser *Purchaser
	Books     bool

	// Latest is the newest reading of a target, if there is one.
	Latest func(Target) (Reading, bool)
	// Decide reads and decides again on the purchase's own frozen terms.
	Decide func(context.Context, Purchase) (Again, error)
	// Found is what was found out about the provider; nil = nothing. It holds for
	// purchases that were planned before, too.
	Found func() Found
	// Observe is told everything that happens. It must not block.
	Observe func(Event)

	looks, repeats       crew
	visitedAt, rewoundAt time.Time // by the database clock
}

// Wait returns when nothing is under way any more. A look may lead to a repeat.
func (r *Reconciler) Wait() {
	r.looks.all.Wait()
	r.repeats.all.Wait()
}

// batch bounds the purchases of one visit; the rest is due again at once.
const batch = 200

// The rate budget is the real bound of what runs at the same time, these only
// keep connections few. Looks that hang are given up after lookWithin; until then
// they hold up nobody while there are fewer than atOnce.
const (
	atOnce        = 32
	repeatsAtOnce = 4
	lookWithin    = time.Minute
)

// Visit begins to look at every purchase that is due, and returns how many there
// are. It does not wait for the answers: each is stored as it comes, and whoever
// is still under way, or finds no place, is due again soon. What fails for single
// purchases is observed, not returned.
func (r *Reconciler) Visit(ctx context.Context, lease Lease) (int, error) {
	now, due, err := r.Queue.Due(ctx, r.ID, batch)
	if err != nil {
		return 0, fmt.Errorf("listing the purchases that are due: %w", err)
	}
	if err := r.rewind(ctx, now); err != nil {
		return 0, err
	}
	var following []Purchase
	for _, p := range due {
		switch p.State {
		case Planned:
			r.apply(ctx, p, Expired(p))
		case Sent, NeedsReview:
			if r.looks.enter(p.ID, atOnce) {
				r.looks.all.Go(func() {
					defer r.looks.leave(p.ID)
					r.look(ctx, lease, p, now)
				})
			}
		case Confirmed, Credited, Declined:
			if r.looks.enter(p.ID, atOnce) {
				following = append(following, p)
			}
		case Held, Cancelled:
		default:
		}
	}
	r.follow(ctx, following, now)
	return len(due), nil
}

// rewind has what lies too far in the future put right, now and then and whenever
// the database's clock has gone back, as soon as that clock agrees with ours.
func (r *Reconciler) rewind(ctx context.Context, now time.Time) error {
	if now.Before(r.visitedAt.Add(-clocksAgree)) {
		r.rewoundAt = time.Time{}
	}
	r.visitedAt = now
	if now.Sub(r.rewoundAt).Abs() < rewindEvery || now.Sub(r.Purchaser.Clock()).Abs() > clocksAgree {
		return nil
	}
	if err := r.Queue.Rewind(ctx, r.ID); err != nil {
		return fmt.Errorf("putting right what a clock that was ahead has left: %w", err)
	}
	r.rewoundAt = now
	return nil
}

// crew does things beside the visits, for each purchase one at a time.
type crew struct {
	all     sync.WaitGroup
	mu      sync.Mutex
	running map[string]bool // by purchase
}

// enter takes a place for the purchase; false when it has one, or none is left.
func (c *crew) enter(id string, places int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[string]bool{}
	}
	if c.running[id] || len(c.running) >= places {
		return false
	}
	c.running[id] = true
	return true
}

func (c *crew) leave(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, id)
}

// look asks the provider's books about a purchase of unknown outcome.
func (r *Reconciler) look(ctx context.Context, lease Lease, p Purchase, now time.Time) {
	if !r.Books {
		r.watch(ctx, p, now)
		return
	}
	within, cancel := context.WithTimeout(ctx, lookWithin)
	books, claimed, err := r.read(within, p)
	cancel()
	if err != nil {
		books = Books{} // an incomplete look changes nothing, but the next one is planned
	}
	if r.Found != nil {
		p = r.Found().Careful(p)
	}
	c, then := Looked(p, books, claimed, now)
	if !r.stopRule(ctx, p, c.Next) {
		return
	}
	stored, ok := r.apply(ctx, p, c)
	if err != nil {
		r.tell(Event{Purchase: stored, From: p.State, Text: "the provider's books could not be read", Err: err})
	}
	if ok && then == WantRepeat && r.repeats.enter(stored.ID, repeatsAtOnce) { // it may take as long as the provider takes to answer
		r.repeats.all.Go(func() {
			defer r.repeats.leave(stored.ID)
			r.repeat(ctx, lease, stored)
		})
	}
}

// watch follows the balance for a purchase of unknown outcome where there are
// no books to ask.
func (r *Reconciler) watch(ctx context.Context, p Purchase, now time.Time) {
	sampler, ok := r.Provider.(Sampler)
	if !ok || p.State != Sent {
		if c, changed := Waited(p, now); changed {
			r.apply(ctx, p, c)
		}
		return
	}
	within, cancel := context.WithTimeout(ctx, sampleTimeout)
	sample, err := sampler.Sample(within, p.Target)
	cancel()
	taken := &sample
	if err != nil {
		taken = nil // the next one is planned all the same
	}
	c, ask := Sampled(p, taken, now)
	if taken != nil { // not knowing what others show is safe: they may explain more
		if shown, err := r.Queue.Elsewhere(ctx, p, p.SentAt.Add(-othersSince)); err == nil {
			c = Compared(c, shown)
		}
	}
	if ask {
		others, err := r.others(ctx, sampler, c.Next)
		if err != nil {
			r.tell(Event{Purchase: p, From: p.State, Text: "asking what else raised the balance", Err: err})
		}
		c = Weighed(c, others, now)
	}
	if !r.stopRule(ctx, p, c.Next) {
		return
	}
	if stored, ok := r.apply(ctx, p, c); ok && err != nil {
		r.tell(Event{Purchase: stored, From: p.State, Text: "the balance could not be read", Err: err})
	}
}

// others asks the provider and the ledger what else may have raised the balance.
func (r *Reconciler) others(ctx context.Context, sampler Sampler, p Purchase) (*Others, error) {
	since := p.SentAt.Add(-othersSince)
	done, pending, err := sampler.Recharges(ctx, p.Target, since)
	if err != nil {
		return nil, fmt.Errorf("the provider's own top-ups: %w", err)
	}
	others, err := r.Queue.Others(ctx, p, since)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	others.Recharges, others.Pending = done, pending
	return &others, nil
}

// read fetches the books from the match window on, and who claims what in them.
func (r *Reconciler) read(ctx context.Context, p Purchase) (Books, map[string]bool, error) {
	books, err := r.Provider.Books(ctx, p.Target, p.SentAt.Add(-MatchBefore))
	if err != nil {
		return Books{}, nil, err
	}
	claimed, err := r.Queue.Claimed(ctx, r.ID, references(books), p.ID)
	if err != nil {
		return Books{}, nil, fmt.Errorf("asking who claims what: %w", err)
	}
	return books, claimed, nil
}

func references(b Books) []string {
	var ids []string
	for _, t := range b.Topups {
		if t.Invoice != "" {
			ids = append(ids, t.Invoice)
		}
	}
	for _, i := range b.Invoices {
		ids = append(ids, i.ID)
	}
	return ids
}

// repeat sends the request once more under its key if it would still be bought.
func (r *Reconciler) repeat(ctx context.Context, lease Lease, p Purchase) {
	again, err := r.Decide(ctx, p)
	if err != nil {
		r.tell(Event{Purchase: p, From: p.State, Text: "deciding again before a repeat", Err: err})
		return
	}
	if again.Reason != Buy {
		r.tell(Event{Purchase: p, From: p.State, Text: "not repeated: " + again.Text})
		return
	}
	if _, err := r.Purchaser.Repeat(ctx, p, lease, again.Facts, again.ServerTime); err != nil {
		r.tell(Event{Purchase: p, From: p.State, Text: "repeating the request under its key", Err: err})
	}
}

// follow asks how purchases with a reference stand, and stores each answer as it
// comes.
func (r *Reconciler) follow(ctx context.Context, purchases []Purchase, now time.Time) {
	if len(purchases) == 0 {
		return
	}
	r.looks.all.Go(func() {
		within, cancel := context.WithTimeout(ctx, lookWithin)
		defer cancel()
		r.Provider.Follow(within, purchases, func(p Purchase, b Books, err error) {
			defer r.looks.leave(p.ID)
			if err == nil {
				r.followOne(ctx, p, b, now)
				return
			}
			c := Change{Next: p} // nothing learnt; the next visit is planned all the same
			c.again(now)
			r.apply(ctx, p, c)
			r.tell(Event{Purchase: p, From: p.State, Text: "following its payment", Err: err})
		})
	})
}

func (r *Reconciler) followOne(ctx context.Context, p Purchase, b Books, now time.Time) {
	var latest *Reading
	if reading, ok := r.Latest(p.Target); ok {
		latest = &reading
	}
	c := Followed(p, b, latest, r.Books, now)
	if c.Next.State == Confirmed && c.Next.Payment == PaymentVoid {
		all, claimed, err := r.read(ctx, p)
		if err != nil {
			all = Books{}
		}
		c = Voided(p, all, claimed, now)
	}
	if !r.stopRule(ctx, p, c.Next) {
		return
	}
	stored, ok := r.apply(ctx, p, c)
	if invoice := findInvoice(b, p.Reference); ok && invoice != nil && invoice.Unexpected != "" && stored.Detail != p.Detail {
		r.tell(Event{Purchase: stored, From: p.State, Failure: FailedMismatch, Text: invoice.Unexpected})
	}
}

// stopRule stops a rule whose price turned out not to be what is charged,
// before that is stored: a process that dies in between does it again. It tells
// whether the change may be stored.
func (r *Reconciler) stopRule(ctx context.Context, was, next Purchase) bool {
	if next.Charged == nil || was.Charged != nil && *was.Charged == *next.Charged {
		return true
	}
	_, err := r.Queue.Stop(ctx, Pause{
		Scope: PauseRule, Subject: next.Rule, Cause: StopPrice,
		Reason: fmt.Sprintf("purchase %s was billed %s instead of %s", next.Short(), next.Charged, next.Price),
	})
	r.tell(Event{
		Purchase: next, From: was.State, Failure: FailedMismatch, Err: err,
		Text: "the rule is stopped: what was charged differs from the configured price",
	})
	return err == nil
}

// apply stores a change. Another process may have been faster: then its result
// stands and the next visit sees it.
func (r *Reconciler) apply(ctx context.Context, p Purchase, c Change) (Purchase, bool) {
	stored, err := r.Ledger.Advance(ctx, c)
	switch {
	case errors.Is(err, ErrOvertaken):
		return p, false
	case err != nil:
		r.tell(Event{Purchase: p, From: p.State, Text: "storing a look", Err: err})
		return p, false
	}
	if stored.State != p.State || stored.Payment != p.Payment || stored.Found != p.Found {
		r.tell(Event{Purchase: stored, From: p.State, Text: lastText(c)})
	}
	return stored, true
}

func lastText(c Change) string {
	if len(c.Evidence) == 0 {
		return ""
	}
	return c.Evidence[len(c.Evidence)-1].Text
}

func (r *Reconciler) tell(e Event) {
	if r.Observe != nil {
		r.Observe(e)
	}
}
