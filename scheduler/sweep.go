package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// The results of a sweep, as the metric has them.
const (
	SweptOK         = "ok"
	SweptIncomplete = "incomplete" // rows moved: what was not seen may still exist
	SweptError      = "error"
)

const (
	// recordEvery bounds the age of what targets and explain show when nothing changes.
	recordEvery = time.Minute
	// forgetAfter is how long a target may be absent from complete sweeps before
	// it counts as taken off the customer instead of missing.
	forgetAfter = time.Hour
)

// sweep reads every balance once and decides about each. It buys nothing: what
// is low goes to the queue for its confirm read.
func (w *Watch) sweep(ctx context.Context) {
	if _, held := w.holding.current(); !held {
		return
	}
	started := w.Now()
	book := w.Rulebook()
	sweep, err := w.Reader.Sweep(ctx, book.Products(w.Name))
	if ctx.Err() != nil {
		return
	}
	result := SweptOK
	switch {
	case err != nil:
		result = SweptError
		w.Log.LogAttrs(ctx, slog.LevelWarn, "sweep", slog.String("provider", w.Name), slog.Any("err", err))
	case !sweep.Complete:
		result = SweptIncomplete
	}
	standings, base, ledgerErr := w.Standings.Standings(ctx, w.ID)
	if ledgerErr != nil {
		if ctx.Err() == nil {
			w.Log.LogAttrs(ctx, slog.LevelError, "sweep", slog.String("provider", w.Name), slog.Any("err", ledgerErr))
			w.Observer.Swept(w.Name, SweptError, w.Now().Sub(started), w.Now())
		}
		return
	}
	w.seed(ctx)
	w.evaluate(ctx, book, sweep, err, standings, base)
	w.Observer.Swept(w.Name, result, w.Now().Sub(started), w.Now())
}

// seed remembers what an earlier process knew: which balances were already
// zero or unreadable, and since when targets are below.
func (w *Watch) seed(ctx context.Context) {
	w.mu.Lock()
	seeded := w.seeded
	w.mu.Unlock()
	if seeded {
		return
	}
	known, err := w.Decisions.Snapshot(ctx, w.ID)
	if err != nil {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "sweep", slog.String("provider", w.Name), slog.Any("err", err))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range known {
		t := w.get(e.Target)
		t.last = e
		t.reading = topup.Reading{Target: e.Target, CustomerName: e.CustomerName, ProductName: e.ProductName, Threshold: e.Threshold}
		if e.Balance == nil {
			t.reading.Bad = "unreadable before the restart"
		} else {
			t.reading.Balance = *e.Balance
		}
		t.below = e.Below()
		if t.below && e.Reason.Trouble() {
			t.troubled = e.Since
		}
		if e.Balance != nil && *e.Balance <= 0 {
			t.dry = e.Since
		}
	}
	w.seeded = true
}

// evaluate decides about every target, seen and known, and gives the picture
// to the metrics and the decision log.
func (w *Watch) evaluate(ctx context.Context, book *Rulebook, sweep topup.Sweep, failed error, standings map[topup.Target]topup.Standing, base topup.Standing) {
	now := w.Now()
	w.mu.Lock()
	suspects := append(w.unheld, w.implausible(sweep)...)
	w.take(sweep, failed, now)
	w.mu.Unlock()
	unheld := w.hold(ctx, suspects, standings, base)

	w.mu.Lock()
	w.unheld = unheld
	var evaluations []topup.Evaluation
	states := make([]TargetState, 0, len(w.tracked))
	low := 0
	for target, t := range w.tracked {
		standing, known := standings[target]
		if !known {
			standing = base
		}
		d, rule, relevant := w.decide(book, target, t, standing, failed, now)
		if !relevant {
			delete(w.tracked, target)
			w.queue.drop(target)
			continue
		}
		if e, record := w.note(t, d, rule, standing, now); record {
			evaluations = append(evaluations, e)
		}
		w.enqueue(target, t, d, rule, now)
		if d.Reason == topup.Confirming {
			low++
		}
		states = append(states, state(target, t, d))
		w.Observer.Decided(w.Name, ruleName(rule), d.Reason)
	}
	if failed == nil {
		w.lastOK = now
	}
	w.mu.Unlock()

	w.Observer.Targets(w.Name, now, states)
	w.record(ctx, evaluations)
	if waiting := w.queue.len(); waiting > 10*w.Workers {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "rush", slog.String("provider", w.Name), slog.Int("waiting", waiting), slog.Int("low", low))
	}
}

// take puts the sweep's readings into memory.
func (w *Watch) take(sweep topup.Sweep, failed error, now time.Time) {
	if failed != nil {
		return
	}
	for _, t := range w.tracked {
		t.seen = false
	}
	for _, r := range sweep.Readings {
		t := w.get(r.Target)
		t.reading, t.seen, t.missing = r, true, time.Time{}
	}
	for target, t := range w.tracked {
		switch {
		case t.seen:
		case t.missing.IsZero():
			t.missing = now
		case sweep.Complete && now.Sub(t.missing) > forgetAfter:
			delete(w.tracked, target)
		}
	}
}

// decide asks the rules about one target, without a confirm read. A target of
// a product that no rule buys is not relevant.
func (w *Watch) decide(book *Rulebook, target topup.Target, t *tracked, standing topup.Standing, failed error, now time.Time) (rules.Decision, *rules.Rule, bool) {
	rule, excluded := book.Rules.Match(w.candidate(target, t))
	if rule == nil && !excluded && !w.bought(book, target.Product) {
		return rules.Decision{}, nil, false
	}
	f := rules.Facts{
		Now: now, Rule: rule, Excluded: excluded, Standing: standing,
		AllowNative: w.AllowNative, FirstHold: w.FirstHold,
	}
	if t.seen || failed != nil {
		f.Reading = &t.reading
	}
	if failed != nil && (t.reading.ReadAt.IsZero() || now.Sub(t.reading.ReadAt) > maxAge(rule)) {
		f.Unreadable = failed.Error()
	}
	return rules.Decide(f), rule, true
}

func maxAge(rule *rules.Rule) time.Duration {
	if rule == nil {
		return 0
	}
	return rule.MaxReadingAge
}

func (w *Watch) bought(book *Rulebook, product topup.ProductID) bool {
	for _, p := range book.Products(w.Name) {
		if p == product {
			return true
		}
	}
	return false
}

func (w *Watch) candidate(target topup.Target, t *tracked) rules.Candidate {
	return rules.Candidate{
		ProviderName: w.Name, Customer: target.Customer, Product: target.Product,
		Currency: t.reading.Account.Currency, Properties: t.reading.Account.Properties,
	}
}

// enqueue lets low targets wait for their confirm read, and the others not.
func (w *Watch) enqueue(target topup.Target, t *tracked, d rules.Decision, rule *rules.Rule, now time.Time) {
	if d.Reason != topup.Confirming {
		if d.Reason == topup.Suspended {
			w.queue.put(waiting{target: target, due: laterOf(t.suspended.Add(suspendedEvery), now), left: leftOf(t.reading.Balance, *d.Threshold)})
			return
		}
		t.firstLow = nil
		w.queue.drop(target)
		return
	}
	if t.firstLow == nil {
		at := t.reading.ReadAt
		t.firstLow = &at
	}
	due := laterOf(t.firstLow.Add(rule.ConfirmAfter), t.retryAt)
	w.queue.put(waiting{target: target, due: laterOf(due, now), left: leftOf(t.reading.Balance, *d.Threshold)})
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// note keeps the decision in memory, tells recoveries and says whether it
// should be recorded: when the reason changed, or when the record is old.
func (w *Watch) note(t *tracked, d rules.Decision, rule *rules.Rule, standing topup.Standing, now time.Time) (topup.Evaluation, bool) {
	w.times(t, d, now)
	e := evaluation(w.Name, t, d, rule, standing, now)
	changed := t.last.Reason != e.Reason || t.last.RuleVersion != e.RuleVersion
	if d.Reason == topup.Confirming && t.verdict != "" {
		return e, false // what the last confirm read found stands until the next
	}
	t.verdict = ""
	if !changed {
		e.Since = t.last.Since
	}
	if !changed && now.Sub(t.recordedAt) < recordEvery {
		t.last = e
		return e, false
	}
	t.last, t.recordedAt = e, now
	return e, true
}

// times keeps since when the target is below, dry and in trouble.
func (w *Watch) times(t *tracked, d rules.Decision, now time.Time) {
	if t.reading.Bad != "" || d.Threshold == nil {
		return
	}
	below := t.reading.Balance < *d.Threshold
	switch {
	case !below:
		if t.below && !t.lastAbove.IsZero() {
			w.Observer.Recovered(w.Name, t.reading.ReadAt.Sub(t.lastAbove))
		}
		t.lastAbove = t.reading.ReadAt
		t.troubled, t.retries, t.retryAt = time.Time{}, 0, time.Time{}
	case t.reason(d).Trouble():
		if t.troubled.IsZero() {
			t.troubled = now
		}
	default:
		t.troubled = time.Time{}
	}
	t.below = below
	switch {
	case t.reading.Balance > 0:
		t.dry = time.Time{}
	case t.dry.IsZero():
		t.dry = now
	}
}

// reason is the decision's reason; what the last confirm read found stands for
// "confirming" until the next one.
func (t *tracked) reason(d rules.Decision) topup.Reason {
	if d.Reason == topup.Confirming && t.verdict != "" {
		return t.verdict
	}
	return d.Reason
}

func state(target topup.Target, t *tracked, d rules.Decision) TargetState {
	s := TargetState{Target: target, Threshold: d.Threshold, Reason: t.reason(d), TroubleSince: t.troubled, DrySince: t.dry}
	if t.reading.Bad == "" {
		balance := t.reading.Balance
		s.Balance = &balance
	}
	return s
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

// implausible finds the targets whose balance became null, zero or unreadable
// in this sweep, when they are too many at once to be believed (P14). The
// caller holds mu.
func (w *Watch) implausible(sweep topup.Sweep) []topup.Target {
	empty := func(r topup.Reading) bool { return r.Bad != "" || r.Balance == 0 }
	var suspects []topup.Target
	for _, r := range sweep.Readings {
		t, known := w.tracked[r.Target]
		if known && empty(r) && !empty(t.reading) {
			suspects = append(suspects, r.Target)
		}
	}
	if len(suspects) > max(implausibleAtLeast, len(sweep.Readings)/implausibleShare) {
		return suspects
	}
	return nil
}

// More than three targets and more than a tenth of a provider's: a handful may
// well run out in the same minute.
const (
	implausibleAtLeast = 3
	implausibleShare   = 10
)

// hold marks the suspects in the ledger and in this sweep's facts. It returns
// those that could not be stored, so that nothing is bought for them and the
// next sweep tries again.
func (w *Watch) hold(ctx context.Context, suspects []topup.Target, standings map[topup.Target]topup.Standing, base topup.Standing) []topup.Target {
	if len(suspects) == 0 {
		return nil
	}
	why := fmt.Sprintf("%d balances became zero or unreadable in one sweep; look at the provider, then topupd resume --provider %s", len(suspects), w.Name)
	for _, target := range suspects {
		standing, ok := standings[target]
		if !ok {
			standing = base
		}
		standing.Implausible = why
		standings[target] = standing
	}
	err := w.Holds.HoldImplausible(ctx, suspects, why)
	w.Log.LogAttrs(ctx, slog.LevelError, "implausible", // a person must act
		slog.String("provider", w.Name), slog.Int("targets", len(suspects)), slog.String("reason", why), slog.Any("err", err))
	if err != nil {
		return suspects
	}
	return nil
}
