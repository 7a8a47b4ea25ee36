package topup

import (
	"fmt"
	"time"
)

// clocksAgree is how far apart the database's clock and ours may be for what is
// in the future to be taken for a mistake of the past: two clocks that say the
// same are right, and one alone may be the one that is wrong now.
const clocksAgree = MatchBefore / 2

// rewindEvery is how often what lies too far ahead is looked for, besides whenever
// the database's clock was seen to go back: it reads every target.
const rewindEvery = 10 * time.Minute

// Ahead tells whether a moment that was once the present lies in the future now:
// the clock that wrote it was ahead.
func Ahead(at *time.Time, now time.Time) bool { return at != nil && at.After(now.Add(clocksAgree)) }

// longestWait is the longest that a look of the purchase can be planned ahead.
func (p Purchase) longestWait(now time.Time) time.Duration {
	switch p.State {
	case Planned, Held:
		return PlannedLifetime
	case Sent, Confirmed, NeedsReview:
		return Scaled(p.every(), p.QuietPeriod)
	case Credited, Declined, Cancelled:
		return Scaled(paymentEvery(now.Sub(p.PlannedAt)), p.QuietPeriod)
	default:
		return lookEvery
	}
}

// Rewound puts right what a clock that was ahead for a moment has left on a
// purchase: a look that is further away than one can be planned, and looks and a
// confirmation from the future, are as if set now. They never count as over. When
// it was sent, and with it the quiet period, the age of its key and the time in
// which a charge can be its own, stay as they are: they may only delay. ok is
// false when nothing is wrong.
func Rewound(p Purchase, now time.Time) (c Change, ok bool) {
	c = Change{Next: p}
	next := &c.Next
	due := now.Add(p.longestWait(now))
	end := p.State == Sent && p.NextLookAt != nil && p.NextLookAt.Equal(p.QuietUntil()) // which nothing looks before
	if Ahead(p.NextLookAt, due) && !end {
		next.NextLookAt, ok = &due, true
	}
	if p.State.Open() {
		for _, seen := range []**time.Time{&next.EmptyLookAt, &next.LookedAt, &next.FoundAt, &next.ConfirmedAt} {
			if Ahead(*seen, now) {
				*seen, ok = &now, true
			}
		}
	}
	if ok {
		text := "the database's clock had been ahead"
		if next.NextLookAt != nil {
			text += fmt.Sprintf("; the next look is at %s", next.NextLookAt.UTC().Format(time.RFC3339))
		}
		c.note(EvidenceState, text, nil)
	}
	return c, ok
}
