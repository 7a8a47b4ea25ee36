package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"topupd/rules"
	"topupd/topup"
)

const (
	// recordEvery bounds the age of what targets and explain show when nothing changes.
	recordEvery = time.Minute
	// forgetAfter is how long a target may be absent from complete polls before
	// it counts as taken off the customer instead of missing.
	forgetAfter = time.Hour
	// idleFor is how long a balance must have stood still, inclusive, until a
	// customer for whom no purchase was ever attempted counts as not served.
	idleFor = 30 * 24 * time.Hour
)

// remember starts each holding of the lease anew from what the ledger knows:
// which balances were already zero or unreadable, and since when targets are
// below. What this process saw under an earlier holding, another may have
// overtaken.
func (w *Watch) remember(ctx context.Context, term int64) error {
	w.mu.Lock()
	current := w.term == term
	w.mu.Unlock()
	if current {
		return nil
	}
	known, err := w.Decisions.Snapshot(ctx, w.ID)
	if err != nil {
		return fmt.Errorf("reading the last decisions: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue.clear()
	clear(w.suspects)
	w.term, w.tracked = term, make(map[topup.Target]*tracked, len(known))
	for _, e := range known {
		w.tracked[e.Target] = recalled(e)
	}
	return nil
}

// recalled is the memory that an evaluation leaves to a later process. Its
// reading has no time, so that nothing is bought on it.
func recalled(e topup.Evaluation) *tracked {
	var since detail
	_ = json.Unmarshal(e.Detail, &since) // without it the times below are later, never earlier
	t := &tracked{last: e, reading: topup.Reading{
		Target: e.Target, CustomerName: e.CustomerName, ProductName: e.ProductName,
		Threshold: cmp.Or(since.Mark, e.Threshold), Account: topup.Account{Inactive: since.Inactive},
	}}
	if since.Still != nil {
		t.still = *since.Still
	}
	if e.Balance == nil {
		t.reading.Bad = "unreadable before this process took over"
	} else {
		t.reading.Balance = *e.Balance
		t.trust = rules.Trusted{Balance: *e.Balance, ReadAt: firstSet(e.ReadAt, e.At)}
	}
	if since.Trusted != nil {
		t.trust = *since.Trusted
	}
	t.below, t.threshold = e.Below() || !since.TroubleSince.IsZero(), e.Threshold
	if t.below && e.Reason.Trouble() {
		t.recalled = e.Reason
		t.troubled = firstSet(since.TroubleSince, e.Since)
		if takesPeople(e.Reason) { // so that many of them are not asked about at once by each new process
			t.spell = spell{found: e.Reason, said: e.Text, checks: 1, began: e.At}
			if e.Reason != topup.Suspended && e.Reason != topup.Implausible {
				t.spell.checked = e.At // of those two the record tells when a poll saw them, not when they were checked
			}
		}
	}
	if !since.DrySince.IsZero() || e.Balance != nil && *e.Balance <= 0 {
		t.dry = firstSet(since.DrySince, e.At)
	}
	return t
}

func firstSet(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// note keeps the decision in memory, tells recoveries and says whether it
// should be recorded: when the reason changed, or when the record is old.
func (w *Watch) note(t *tracked, d rules.Decision, f rules.Facts) (topup.Evaluation, bool) {
	w.times(t, d, f.Now)
	e := evaluation(w.Name, &t.reading, d, f, f.Now)
	if d.Reason == topup.Rechecking && t.stands() != "" {
		if t.spell.stands() == "" {
			return e, false // what the ledger knew stands until the first check
		}
		e.Reason, e.Text = t.spell.stands(), t.spell.said
	}
	changed := t.last.Reason != e.Reason || t.last.RuleVersion != e.RuleVersion
	back := e.Reason == topup.Implausible && shows(t.last) != shows(e) // who looks at a hold wants to see it
	if !changed {
		e.Since = t.last.Since
	}
	if !changed && !back && f.Now.Sub(t.recordedAt) < recordEvery {
		t.last = e
		return e, false
	}
	e.Detail = t.detail(f)
	t.last, t.recordedAt = e, f.Now
	return e, true
}

// shows tells whether an evaluation was made on a balance that is not nothing.
func shows(e topup.Evaluation) bool { return e.Balance != nil && *e.Balance != 0 }

// times keeps since when the target is below, dry and in trouble. A balance
// that cannot be read or judged any more counts as it was last; whom no rule is
// for is nobody's trouble.
func (w *Watch) times(t *tracked, d rules.Decision, now time.Time) {
	if t.reading.Bad == "" && (t.still.Since.IsZero() || t.still.Balance != t.reading.Balance) {
		t.still = still{Balance: t.reading.Balance, Since: now}
	}
	reason := t.reason(d)
	if reason == topup.NoRule || reason == topup.Excluded {
		t.below, t.threshold, t.troubled, t.dry = false, nil, time.Time{}, time.Time{}
		return
	}
	if t.reading.Bad == "" && d.Threshold != nil {
		w.judged(t, *d.Threshold)
	}
	t.troubled = since(t.troubled, t.below && reason.Trouble(), now)
	if t.reading.Bad == "" {
		t.dry = since(t.dry, t.reading.Balance <= 0, now)
	}
}

// judged takes over a balance that could be held against its threshold.
func (w *Watch) judged(t *tracked, threshold topup.Credits) {
	below := t.reading.Balance < threshold
	if !below {
		if t.below && !t.lastAbove.IsZero() {
			w.Observer.Recovered(w.Name, t.reading.ReadAt.Sub(t.lastAbove))
		}
		t.lastAbove = t.reading.ReadAt
	}
	t.below, t.threshold = below, &threshold
}

// since is when something began that is so now; zero when it is not.
func since(began time.Time, so bool, now time.Time) time.Time {
	switch {
	case !so:
		return time.Time{}
	case began.IsZero():
		return now
	default:
		return began
	}
}

// reason is the decision's reason; what the last check found stands for
// "rechecking" until the next one.
func (t *tracked) reason(d rules.Decision) topup.Reason {
	if stands := t.stands(); d.Reason == topup.Rechecking && stands != "" {
		return stands
	}
	return d.Reason
}

func (t *tracked) stands() topup.Reason {
	if found := t.spell.stands(); found != "" {
		return found
	}
	return t.recalled
}

// moved tells whether something is new that what a check found may hang on: the
// account, what the ledger knows of the target, the rules, or who is paused.
func (t *tracked) moved(standing topup.Standing, book *Rulebook) bool {
	var list strings.Builder
	for _, p := range standing.Pauses {
		list.WriteString(p.ID + p.String() + "\n")
	}
	pauses := list.String()
	moved := t.book != nil && (t.news || t.version != standing.Version || t.book != book || t.pauses != pauses)
	t.news, t.version, t.book, t.pauses = false, standing.Version, book, pauses
	return moved
}

func sameAccount(a, b topup.Account) bool {
	return a.Inactive == b.Inactive && a.Currency == b.Currency && a.PaymentMethod == b.PaymentMethod && maps.Equal(a.Properties, b.Properties)
}

// decide takes a poll's decision into memory.
func (t *tracked) decide(d rules.Decision, f rules.Facts, moved bool) {
	t.spell = t.spell.seen(d.Reason, t.reading.ReadAt, moved, f.Now)
	if d.Reason != topup.Rechecking {
		t.recalled = ""
	}
	if f.Standing.Unused > 0 { // one more try does not end the trouble of requests that are turned away
		t.recalled = topup.ProviderUnavailable
	}
	t.decided = d.Reason
	if f.Rule != nil {
		t.confirmAfter, t.unpaid = f.Rule.ConfirmAfter, &f.Rule.Unpaid
	}
	if d.Threshold != nil {
		t.left = leftOf(t.reading.Balance, *d.Threshold)
	}
}

// unserved tells whether nobody buys for the target, however empty it is: that is
// chosen, and no alert. Whoever has a rule is served unless no purchase was ever
// attempted and the balance has stood still for idleFor. What a provider that is
// away does not show is taken from its last reading.
func (t *tracked) unserved(f rules.Facts) bool {
	if f.Rule == nil || f.Rule.DryRun || t.reading.Account.Inactive != "" {
		return true
	}
	if threshold := f.Rule.ThresholdOf(&t.reading); threshold != nil && *threshold <= 0 {
		return true
	}
	attempted := f.Standing.Open != nil || f.Standing.EndedAt != nil
	return !attempted && !t.still.Since.IsZero() && f.Now.Sub(t.still.Since) >= idleFor
}

func state(target topup.Target, t *tracked, d rules.Decision, f rules.Facts) TargetState {
	s := TargetState{
		Target: target, Threshold: d.Threshold, Reason: t.reason(d), TroubleSince: t.troubled, DrySince: t.dry,
		Unserved: t.unserved(f), PausedSince: pausedSince(d, f), Unproven: t.unproven,
	}
	if f.Standing.DoubtedAt != nil && f.Rule != nil && !f.Rule.DryRun { // nobody else would be bought for anyway
		s.HeldSince = *f.Standing.DoubtedAt
	}
	if s.Threshold == nil && t.below {
		s.Threshold = t.threshold
	}
	if t.reading.Bad == "" {
		balance := t.reading.Balance
		s.Balance = &balance
	}
	return s
}

// pausedSince is when a person threw the oldest of the pauses that keep a low
// target from being bought for; zero when none does.
func pausedSince(d rules.Decision, f rules.Facts) (oldest time.Time) {
	if d.Reason != topup.Paused {
		return oldest
	}
	for _, p := range f.Standing.Pauses {
		if !p.Own() && p.Covers(f.Reading.Target, f.Rule.Name, f.Standing.Now) && (oldest.IsZero() || p.At.Before(oldest)) {
			oldest = p.At
		}
	}
	return oldest
}
