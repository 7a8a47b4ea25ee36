package topup

import (
	"slices"
	"time"
)

// This file keeps what the balance shows while the outcome of a purchase is not
// known, where a provider keeps no books: a charge raises the balance by its
// amount at one moment, and balances read close together show that moment.

const (
	// JumpGap is how far apart two neighbouring samples may be, inclusive, by our
	// clock and by the provider's stamp, for a rise between them to be evidence.
	// Further apart, usage and other people's credits hide in between.
	JumpGap = 30 * time.Second
	// maxLevels bounds what is kept of the samples, inclusive.
	maxLevels = 12
	// maxJumps is enough to know that there are several.
	maxJumps = 2
	// apartTimes is how many readings show that another account has a balance of
	// its own: one alone may be a slip.
	apartTimes = 2
	// maxApart bounds how many other accounts are compared, inclusive. Those
	// beyond it may explain a rise, as if nothing were known of them.
	maxApart = 20
)

// Sample is one look at the balance of a purchase of unknown outcome. Both
// problems mean that the samples before it and after it are not neighbours.
type Sample struct {
	Reading            Reading
	EnvironmentProblem string // why the balance may be another account's; "" when it is the target's
}

// Level is a balance that a sample showed.
type Level struct {
	Balance Credits   `json:"balance_micro"`
	ReadAt  time.Time `json:"read_at"`        // our clock
	AsOf    time.Time `json:"as_of,omitzero"` // the provider's stamp; zero when it gave none
}

// at is the provider's time of the level, else ours.
func (l Level) at() time.Time {
	if l.AsOf.IsZero() {
		return l.ReadAt
	}
	return l.AsOf
}

// Jump is a rise between two neighbouring samples that a purchase may have made.
type Jump struct {
	Before Level `json:"before"`
	After  Level `json:"after"`
	Held   bool  `json:"held"` // a later sample still showed it
}

// Rise is by how much the balance rose.
func (j Jump) Rise() Credits { return j.After.Balance - j.Before.Balance }

// reference names the jump as what explains a purchase: one jump explains one.
// It does not look like any provider's id, and there is none.
func (j Jump) reference() string {
	return "balance-increase@" + j.After.at().UTC().Format(time.RFC3339)
}

// Shown is the balance that another account at the same provider showed last.
type Shown struct {
	Account ProviderID
	Level   Level
}

// Apart counts the readings by which another account cannot share the balance.
type Apart struct {
	Account ProviderID `json:"account"`
	Times   int        `json:"times"`
	Last    time.Time  `json:"last"` // the newest of them, so that each counts once
}

// Trail is what the balance has shown since the confirm read, at a provider
// without books.
type Trail struct {
	Begun  bool      `json:"begun"`            // the confirm read is in Levels, or was
	Newest time.Time `json:"newest,omitzero"`  // the provider's newest stamp; an older figure says nothing
	Levels []Level   `json:"levels,omitempty"` // oldest first, of at most JumpGap
	Jumps  []Jump    `json:"jumps,omitempty"`  // that fit, oldest first, at most two
	Apart  []Apart   `json:"apart,omitempty"`  // other accounts that showed another balance
	Said   *Said     `json:"said,omitempty"`   // the answer's charge, when it is not what was ordered
}

// Said is what an answer claims that was charged instead of the price. It counts
// once the balance shows it too.
type Said struct {
	Reference string `json:"reference"`
	Charged   Money  `json:"charged"`
}

// held lists the jumps that lasted. Exactly one is evidence.
func (t Trail) held() []Jump {
	return slices.DeleteFunc(slices.Clone(t.Jumps), func(j Jump) bool { return !j.Held })
}

// waiting tells whether a jump may yet turn out to have lasted.
func (t Trail) waiting() bool {
	return slices.ContainsFunc(t.Jumps, func(j Jump) bool { return !j.Held })
}

// clone lets a change be made without touching the purchase that it was read as.
func (t Trail) clone() Trail {
	t.Levels, t.Jumps, t.Apart = slices.Clone(t.Levels), slices.Clone(t.Jumps), slices.Clone(t.Apart)
	return t
}

// compare holds the balances of other accounts against the last two samples.
// Whoever was read between the two, while the balance stood still but for a
// little usage, and showed something else, has a balance of its own. Whether
// environments share one is not documented (Talkover docs, get-credits-balance,
// read 2026-11-20).
func (t *Trail) compare(others []Shown, amount Credits) {
	n := len(t.Levels)
	if n < 2 {
		return
	}
	before, after := t.Levels[n-2], t.Levels[n-1]
	little := amount - leastRise(amount)
	low, high := min(before.Balance, after.Balance), max(before.Balance, after.Balance)
	if high-low > little {
		return
	}
	for _, o := range others {
		at := o.Level.at()
		same := o.Level.Balance >= low-little && o.Level.Balance <= high+little
		if !same && !at.Before(before.at()) && !at.After(after.at()) {
			t.count(o.Account, at)
		}
	}
}

func (t *Trail) count(account ProviderID, at time.Time) {
	i := slices.IndexFunc(t.Apart, func(a Apart) bool { return a.Account == account })
	switch {
	case i < 0 && len(t.Apart) < maxApart:
		t.Apart = append(t.Apart, Apart{Account: account, Times: 1, Last: at})
	case i >= 0 && t.Apart[i].Times < apartTimes && at.After(t.Apart[i].Last):
		t.Apart[i].Times++
		t.Apart[i].Last = at
	}
}

// apart tells whether the account is known to have a balance of its own.
func (t Trail) apart(account ProviderID) bool {
	return slices.ContainsFunc(t.Apart, func(a Apart) bool { return a.Account == account && a.Times >= apartTimes })
}

// begin starts with the confirm read: the last balance that is certainly of
// before the send.
func (t *Trail) begin(p Purchase) {
	if t.Begun {
		return
	}
	t.Begun = true
	before := levelOf(p.BalanceBefore, p.ReadAt, p.RefreshedAt)
	t.Levels, t.Newest = []Level{before}, before.AsOf
}

func levelOf(balance Credits, readAt, asOf time.Time) Level {
	l := Level{Balance: balance, ReadAt: readAt.UTC().Truncate(time.Microsecond)}
	if !asOf.IsZero() {
		l.AsOf = asOf.UTC().Truncate(time.Microsecond)
	}
	return l
}

// cut ends the neighbourhood: what comes next has no sample before it.
func (t *Trail) cut() { t.Levels = nil }

// add takes one more level. It is false for a figure that is not newer than the
// last one by the provider's own stamp: an old balance says nothing new.
func (t *Trail) add(l Level, amount Credits) bool {
	if !l.AsOf.IsZero() && !l.AsOf.After(t.Newest) {
		return false
	}
	if n := len(t.Levels); n > 0 && !l.ReadAt.After(t.Levels[n-1].ReadAt) { // another process, or a clock that was set
		t.cut()
	}
	if !l.AsOf.IsZero() {
		t.Newest = l.AsOf
	}
	t.hold(l, amount)
	if j, ok := jump(t.Levels, l, amount); ok && len(t.Jumps) < maxJumps {
		t.Jumps = append(t.Jumps, j)
	}
	t.Levels = slices.DeleteFunc(append(t.Levels, l), func(old Level) bool { return !near(old, l) })
	t.Levels = t.Levels[max(0, len(t.Levels)-maxLevels):]
	return true
}

// hold marks the jumps that the level still shows, and drops those that nothing
// has shown in time: one figure alone may be a slip.
func (t *Trail) hold(l Level, amount Credits) {
	t.Jumps = slices.DeleteFunc(t.Jumps, func(j Jump) bool { return !j.Held && !near(j.After, l) })
	for i := range t.Jumps {
		if fell := t.Jumps[i].After.Balance - l.Balance; !t.Jumps[i].Held && fell <= amount-leastRise(amount) {
			t.Jumps[i].Held = true
		}
	}
}

// jump tells whether the balance rose by what was bought: at most by the amount
// above its neighbour, and by at least four fifths of it above every level of
// the last JumpGap, since usage in between hides a little. The latter keeps a
// balance that merely returns from a slip from being taken for a purchase.
func jump(levels []Level, l Level, amount Credits) (Jump, bool) {
	if len(levels) == 0 || amount <= 0 {
		return Jump{}, false
	}
	before := levels[len(levels)-1]
	if !near(before, l) || !fits(l.Balance-before.Balance, amount) {
		return Jump{}, false
	}
	for _, old := range levels {
		if near(old, l) && l.Balance-old.Balance < leastRise(amount) {
			return Jump{}, false
		}
	}
	return Jump{Before: before, After: l}, true
}

// near tells whether two levels are within JumpGap, by every clock there is.
func near(a, b Level) bool {
	if b.ReadAt.Sub(a.ReadAt) > JumpGap {
		return false
	}
	return a.AsOf.IsZero() || b.AsOf.IsZero() || b.AsOf.Sub(a.AsOf) <= JumpGap
}

// leastRise is four fifths of the amount, rounded up: exact, since amounts are
// at most MaxCredits, of which five still fit.
func leastRise(amount Credits) Credits { return (4*amount + 4) / 5 }

// fits tells whether a purchase of the amount may have made the rise; both
// bounds are inclusive.
func fits(rise, amount Credits) bool { return rise >= leastRise(amount) && rise <= amount }
