package rules

import (
	"math"
	"time"

	"topupd/topup"
)

// guess is a number that nothing is counted by: how fast, for how long.
type guess = float64 //nolint:forbidigo // no amount of money or credits is ever one

// Pace is how fast a target uses its credits up, learnt from its own readings.
// The zero Pace is not known. It is a guess about the future and never an
// amount: what is bought does not depend on it.
type Pace struct {
	Hourly guess `json:"hourly"` // credits an hour, over the last hour that was watched
	Over   guess `json:"over"`   // seconds, of at most an hour, that Hourly was learnt over
	Peak   guess `json:"peak"`   // the highest Hourly of a whole while; it halves every week
}

const (
	paceOver = time.Hour          // older use counts for less and less
	peakHalf = 7 * 24 * time.Hour // office hours come again on Monday
	// paceKnown is how long use must have been watched to mean anything.
	paceKnown = time.Minute
	// peakKnown is how long it must have been to mean anything for days.
	peakKnown = 30 * time.Minute
	// paceSlack is how many times as fast as ever is still plausible.
	paceSlack = 3
)

// Learn takes over that the balance went from one reading to the next in so
// long. Where it rose, credits came, and nobody can tell what was used.
func (p Pace) Learn(from, to topup.Credits, elapsed time.Duration) Pace {
	if elapsed <= 0 || to > from {
		return p
	}
	used := guess(from-to) / guess(topup.Credit)
	kept := math.Exp(-elapsed.Seconds() / paceOver.Seconds())
	fresh := paceOver.Seconds() * (1 - kept)
	over := p.Over*kept + fresh
	next := Pace{
		Hourly: (p.Hourly*p.Over*kept + used/elapsed.Hours()*fresh) / over,
		Over:   over,
		Peak:   p.Peak * math.Exp2(-elapsed.Hours()/peakHalf.Hours()),
	}
	if next.watched(peakKnown) {
		next.Peak = max(next.Peak, next.Hourly)
	}
	return next
}

// watched tells whether the pace was learnt over at least so long.
func (p Pace) watched(least time.Duration) bool {
	return p.Over >= paceOver.Seconds()*(1-math.Exp(-least.Seconds()/paceOver.Seconds()))*(1-1e-9)
}

// Known tells whether use was watched long enough.
func (p Pace) Known() bool { return p.watched(paceKnown) }

// Uses is how many credits may plausibly be used in so long: three times what
// the pace says. Zero when it is not known.
func (p Pace) Uses(elapsed time.Duration) topup.Credits {
	if !p.Known() || elapsed <= 0 {
		return 0
	}
	credits := paceSlack * max(0, p.Hourly, p.Peak) * elapsed.Hours() * guess(topup.Credit)
	if credits >= math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return topup.Credits(math.Ceil(credits))
}
