package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// The results of a poll, as the metric has them.
const (
	SweptOK         = "ok"
	SweptIncomplete = "incomplete" // rows moved: what was not seen may still exist
	SweptError      = "error"
)

// poll reads every balance once and decides about each. It buys nothing: what
// is low goes to the queue for its confirm read.
func (w *Watch) poll(ctx context.Context) {
	lease, held := w.holding.current()
	if !held {
		return
	}
	started := w.Now()
	result, err := w.pollUnder(ctx, lease)
	if ctx.Err() != nil || result == "" {
		return
	}
	ended := w.Now()
	w.mu.Lock()
	w.lastEnd = ended
	w.mu.Unlock()
	if err != nil {
		w.Log.LogAttrs(ctx, slog.LevelError, "poll", slog.String("provider", w.Name), slog.Any("err", err))
	}
	w.Observer.Polled(w.Name, result, ended.Sub(started), ended)
}

// pollUnder polls under one holding of the lease. The result is "" when
// nothing came of it; err is trouble with the ledger.
func (w *Watch) pollUnder(ctx context.Context, lease topup.Lease) (result string, err error) {
	if err := w.remember(ctx, lease.Term); err != nil {
		return SweptError, err
	}
	p := &pass{w: w, lease: lease, began: w.Now()}
	if err := p.consult(ctx); err != nil {
		return SweptError, err
	}
	if w.catchUp(ctx, lease, p.base) {
		if err := p.consult(ctx); err != nil {
			return SweptError, err
		}
	}
	w.beginPass()
	poll, failed := w.Reader.Poll(ctx, w.products(w.Rulebook()), func(page topup.Page) error {
		p.err = p.take(ctx, page)
		return p.err
	})
	if p.err == nil && !p.ours() {
		p.err = topup.ErrLeaseLost
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(p.err, topup.ErrLeaseLost):
		return "", nil // the picture is another process's by now
	case p.err != nil:
		return SweptError, p.err
	}
	result = SweptOK
	switch {
	case failed != nil:
		result = SweptError
		w.Log.LogAttrs(ctx, slog.LevelWarn, "poll", slog.String("provider", w.Name), slog.Any("err", failed))
	case !poll.Complete:
		result = SweptIncomplete
		w.Log.LogAttrs(ctx, slog.LevelWarn, "poll", slog.String("provider", w.Name), slog.String("missing", poll.Missing))
	}
	if err := p.end(ctx, poll, failed); err != nil {
		return result, err
	}
	w.weighRefusals(ctx)
	return result, nil
}

// decide asks the rules about one target, without a confirm read. A target of
// a product that no rule buys is not relevant.
func (w *Watch) decide(book *Rulebook, target topup.Target, t *tracked, standing topup.Standing, failed error, now time.Time) (rules.Decision, rules.Facts, bool) {
	rule, excluded := book.Rules.Match(w.candidate(target, t))
	if last := w.lastRule(book, target, t); last != nil && !excluded {
		rule = last
	}
	if rule == nil && !excluded && standing.Open == nil && !w.bought(book, target.Product) {
		return rules.Decision{}, rules.Facts{}, false
	}
	f := rules.Facts{
		Now: now, Rule: rule, Excluded: excluded, Standing: standing,
		AllowNative: w.AllowNative, FirstHold: w.FirstHold, Behind: w.books.behind(w.Reader), ZeroSince: t.zeroSince,
	}
	if t.pass == w.pass || failed != nil {
		f.Reading = &t.reading
	}
	if failed != nil && (t.reading.ReadAt.IsZero() || now.Sub(t.reading.ReadAt) > maxAge(rule)) {
		f.Unreadable = failed.Error()
	}
	return rules.Decide(f), f, true
}

// products are what rules buy, and what an open purchase bought under a rule
// that is gone: it needs readings to be credited by.
func (w *Watch) products(book *Rulebook) []topup.ProductID {
	products := book.Products(w.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.openProducts {
		if !slices.Contains(products, p) {
			products = append(products, p)
		}
	}
	return products
}

func (w *Watch) noteOpen(standings map[topup.Target]topup.Standing) {
	var products []topup.ProductID
	for target, s := range standings {
		if s.Open != nil && !slices.Contains(products, target.Product) {
			products = append(products, target.Product)
		}
	}
	w.mu.Lock()
	w.openProducts = products
	w.mu.Unlock()
}

// lastRule is the rule that a target was last decided about by, when this process
// has not read it yet: what a rule matches by, only a reading shows, and nothing is
// bought before there is one. nil when it was read, or the rule is gone.
func (w *Watch) lastRule(book *Rulebook, target topup.Target, t *tracked) *rules.Rule {
	if !t.reading.ReadAt.IsZero() || t.last.Rule == "" {
		return nil
	}
	i := slices.IndexFunc(book.Rules.Rules, func(r rules.Rule) bool {
		return r.Name == t.last.Rule && r.Product == target.Product && slices.Contains(r.Providers, w.Name)
	})
	if i < 0 {
		return nil
	}
	return &book.Rules.Rules[i]
}

func maxAge(rule *rules.Rule) time.Duration {
	if rule == nil {
		return 0
	}
	return rule.MaxReadingAge
}

func (w *Watch) bought(book *Rulebook, product topup.ProductID) bool {
	return slices.Contains(book.Products(w.Name), product)
}

func (w *Watch) candidate(target topup.Target, t *tracked) rules.Candidate {
	return rules.Candidate{
		ProviderName: w.Name, Customer: target.Customer, Product: target.Product,
		Currency: t.reading.Account.Currency, Properties: t.reading.Account.Properties,
	}
}

// enqueue lets a target wait for its check, or not any more. The caller holds mu.
func (w *Watch) enqueue(target topup.Target, t *tracked, now time.Time) {
	when, c := next(t.spell, t.decided, t.confirmAfter, now)
	if _, suspected := w.suspects[target]; c == idle || suspected || t.decided == topup.Implausible && !t.explain { // the next pass says
		w.queue.drop(target)
		return
	}
	w.queue.put(waiting{target: target, class: c, due: when, left: t.left})
}

func ruleName(rule *rules.Rule) string {
	if rule == nil {
		return ""
	}
	return rule.Name
}

func (w *Watch) record(ctx context.Context, evaluations []topup.Evaluation) {
	if len(evaluations) == 0 {
		return
	}
	if err := w.Decisions.RecordEvaluations(ctx, evaluations); err != nil && ctx.Err() == nil {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "recording decisions", slog.String("provider", w.Name), slog.Any("err", err))
	}
	for _, e := range evaluations {
		w.Log.LogAttrs(ctx, slog.LevelDebug, "check", checkAttrs(w.Name, e)...)
	}
}
