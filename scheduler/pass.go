package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"topupd/rules"
	"topupd/topup"
)

const (
	// consultEvery is how old what the ledger knows may be when a page is decided
	// on. A purchase is decided on fresh facts all the same: each check asks again.
	consultEvery = 5 * time.Second
	// consultShare bounds what asking about everybody costs in a large account: it
	// rests this many times as long as it took.
	consultShare = 10
)

// pass is one poll under way. Each page is decided on, recorded and queued as it
// comes, so that the age of a reading never depends on the size of the account,
// and no transaction on it either.
type pass struct {
	w     *Watch
	lease topup.Lease

	standings map[topup.Target]topup.Standing
	base      topup.Standing
	consulted time.Time
	fresh     time.Duration // for how long that is good enough

	began time.Time
	long  bool  // longer than readings may be old, and said so
	err   error // what ended it on our side
}

// consult asks the ledger about everybody.
func (p *pass) consult(ctx context.Context) (err error) {
	p.consulted = p.w.Now()
	if p.standings, p.base, err = p.w.Standings.Standings(ctx, p.w.ID); err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	p.fresh = max(consultEvery, consultShare*p.w.Now().Sub(p.consulted))
	p.w.noteOpen(p.standings)
	return nil
}

// ours tells whether the lease that the pass began under is still held.
func (p *pass) ours() bool {
	now, held := p.w.holding.current()
	return held && now.Term == p.lease.Term
}

// take decides about the targets of one page.
func (p *pass) take(ctx context.Context, page topup.Page) error {
	w := p.w
	if !p.ours() {
		return topup.ErrLeaseLost
	}
	p.goesOn(ctx)
	if len(page.Readings) == 0 {
		return nil
	}
	if w.Now().Sub(p.consulted) >= p.fresh {
		if err := p.consult(ctx); err != nil {
			return err
		}
	}
	p.decide(ctx, w.take(page, p.standings), nil)
	return nil
}

// goesOn notes that the pass is alive, and says when it takes longer than a
// reading may be old: then most readings are too old to be bought on between two
// passes. It goes on: whoever is low is read anew before anything is bought.
func (p *pass) goesOn(ctx context.Context) {
	w := p.w
	now, mayTake := w.Now(), w.Rulebook().MaxReadingAge(w.Name)
	took := now.Sub(p.began)
	w.mu.Lock()
	w.lastPage = now
	takes := max(took, w.passTook)
	if w.passEnded == w.pass {
		takes = took
	}
	due := !w.lastOK.IsZero() && now.Sub(w.lastShown) >= showEvery
	seen := len(w.tracked)
	w.mu.Unlock()
	w.Observer.Pace(w.Name, takes, mayTake)
	if due {
		w.show(ctx)
	}
	if p.long || mayTake == 0 || took <= mayTake {
		return
	}
	p.long = true
	w.Log.LogAttrs(ctx, slog.LevelWarn, "poll takes longer than readings may be old", slog.String("provider", w.Name),
		slog.Float64("seconds", took.Seconds()), slog.Float64("max_reading_age_seconds", mayTake.Seconds()), slog.Int("targets", seen),
		slog.String("remedy", "raise rate_limit.share, or the limits if the provider allows you more; or max_reading_age of the rules"))
}

// showEvery is how old the picture of everybody may become during a long pass.
const showEvery = 15 * time.Second

// end counts what fell, ends what is back, and decides about everybody whom no
// page was enough for: whom the pass has not shown, and whom it made suspect.
func (p *pass) end(ctx context.Context, poll topup.Poll, failed error) error {
	w := p.w
	if err := p.consult(ctx); err != nil {
		return err
	}
	var err error // the ledger may refuse to take what was seen; everybody else is decided about
	if failed == nil {
		w.endPass(poll)
		if err = p.settleFalls(ctx); err == nil {
			err = p.settleBacks(ctx, poll.Complete)
		}
	}
	w.mu.Lock()
	if failed == nil {
		w.lastOK, w.passTook, w.passEnded = w.Now(), w.Now().Sub(p.began), w.pass
	}
	var left []topup.Target
	for target, t := range w.tracked {
		if t.pass != w.pass || t.doubted {
			left = append(left, target)
			t.doubted = false
		}
	}
	w.mu.Unlock()
	p.decide(ctx, left, failed)
	p.tellLost(ctx)
	p.goesOn(ctx)
	w.show(ctx)
	return err
}

// decide asks the rules about the targets, lets the low ones wait for their
// confirm read, and writes down what is new. It buys nothing.
func (p *pass) decide(ctx context.Context, targets []topup.Target, failed error) {
	w := p.w
	now, book := w.Now(), w.Rulebook()
	var evaluations []topup.Evaluation
	w.mu.Lock()
	for _, target := range targets {
		if t := w.tracked[target]; t.doubted { // what the pass says of it is waited for
			w.queue.drop(target)
			continue
		}
		if e, record := p.one(book, target, failed, now); record {
			evaluations = append(evaluations, e)
		}
	}
	w.mu.Unlock()
	w.queue.notify()
	w.crowded()
	w.record(ctx, evaluations)
}

// one decides about one target; the caller holds mu.
func (p *pass) one(book *Rulebook, target topup.Target, failed error, now time.Time) (e topup.Evaluation, record bool) {
	w := p.w
	t := w.tracked[target]
	standing, known := p.standings[target]
	if !known {
		standing = p.base
	}
	d, f, relevant := w.decide(book, target, t, standing, failed, now)
	if !relevant {
		delete(w.tracked, target)
		w.queue.drop(target)
		return e, false
	}
	t.decide(d, f, t.moved(standing, book))
	t.explain = w.lists() && standing.DoubtedAt != nil && rules.Empty(t.reading)
	if t.decided == topup.Rechecking {
		t.spell = t.spell.told(w.debt(target, t, now))
	}
	e, record = w.note(t, d, f)
	w.enqueue(target, t, now)
	t.shown = state(target, t, d, f)
	w.Observer.Decided(w.Name, ruleName(f.Rule), d.Reason)
	return e, record
}

// beginPass starts a pass over everybody.
func (w *Watch) beginPass() {
	w.mu.Lock()
	w.pass++
	w.seen, w.gone = 0, 0
	w.mu.Unlock()
}

// take puts a page's readings into memory, after the crowd detector has seen
// them. It returns whom the page is about.
func (w *Watch) take(page topup.Page, standings map[topup.Target]topup.Standing) []topup.Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.suspect(page, standings)
	targets := make([]topup.Target, 0, len(page.Readings))
	for _, r := range page.Readings {
		t, known := w.tracked[r.Target]
		if !known {
			t = &tracked{}
			t.believe(r)
			w.tracked[r.Target] = t
		}
		t.news = t.news || known && !t.reading.ReadAt.IsZero() && !sameAccount(t.reading.Account, r.Account)
		t.reading, t.pass, t.missing = r, w.pass, time.Time{}
		_, t.doubted = w.suspects[r.Target]
		targets = append(targets, r.Target)
	}
	return targets
}

// endPass forgets who is long gone.
func (w *Watch) endPass(poll topup.Poll) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Now()
	for target, t := range w.tracked {
		switch {
		case t.pass == w.pass:
		case t.missing.IsZero():
			t.missing = now
		case poll.Complete && now.Sub(t.missing) > forgetAfter:
			delete(w.tracked, target)
			w.queue.drop(target)
		}
	}
}

// show gives the picture of everybody to the metrics, and tells of a rush.
func (w *Watch) show(ctx context.Context) {
	w.mu.Lock()
	w.lastShown = w.Now()
	states, low := make([]TargetState, 0, len(w.tracked)), 0
	for t := range maps.Values(w.tracked) {
		if t.shown.Target == (topup.Target{}) {
			continue // known from the ledger only, and not decided about yet
		}
		states = append(states, t.shown)
		if s := t.shown; s.Balance != nil && s.Threshold != nil && *s.Balance < *s.Threshold {
			low++
		}
	}
	w.mu.Unlock()
	w.Observer.Targets(w.Name, w.Now(), states)
	if waiting := w.queue.len(); waiting > 10*w.Workers {
		w.tellRush(ctx, slog.Int("waiting", waiting), slog.Int("low", low))
	}
}

// rushEvery is how often a rush is told, at most: it lasts for many passes.
const rushEvery = time.Minute

// tellRush tells that many are low at once.
func (w *Watch) tellRush(ctx context.Context, attrs ...slog.Attr) {
	now := w.Now()
	w.mu.Lock()
	told := !w.rushTold.IsZero() && now.Sub(w.rushTold) < rushEvery
	if !told {
		w.rushTold = now
	}
	w.mu.Unlock()
	if !told {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "rush", append([]slog.Attr{slog.String("provider", w.Name)}, attrs...)...)
	}
}
