package scheduler

import (
	"time"

	"topupd/topup"
)

const (
	// suspendedEvery is how often the payment methods of a suspended customer
	// are read: a new card should not wait for long, and the reads add up.
	suspendedEvery = 5 * time.Minute
	// retryFirst and retryMost bound the waits after a check whose reason may pass
	// by itself: the customer must be bought for soon after.
	retryFirst = 10 * time.Second
	retryMost  = 2 * time.Minute
	// lastingFirst and lastingMost bound the waits after a check whose reason takes
	// people or days. What would change it ends the wait (wake.go).
	lastingFirst = time.Minute
	lastingMost  = 30 * time.Minute
)

// class is why a target waits for its check. The queue gives each class its part.
type class int

const (
	idle      class = iota // it does not wait
	first                  // nothing is known against buying
	again                  // what an earlier check found may have passed
	lasting                // what an earlier check found takes people or days
	suspended              // its payment methods are watched, or what explains that it shows nothing
	classes   = iota
)

// spell is one time of being low: since when, and what the checks have found. All
// that is remembered between the checks of a target is in it.
type spell struct {
	low     time.Time    // the first low reading; zero = the last one was not
	found   topup.Reason // what the newest check found against buying; "" = no check has
	said    string       // in words
	checks  int          // in a row that found something
	began   time.Time    // when the newest check began
	checked time.Time    // when it ended
	woken   time.Time    // when something changed that its finding may hang on; zero = nothing has
	cut     bool         // another reason than being low has stood since the newest check
}

// next says when the target is to be checked, and as what, after a poll has
// decided about it. It is pure: the queue, the workers and the wakes only do what
// it says. A wait is never longer than its class allows, whatever a clock has done.
func next(s spell, decided topup.Reason, confirmAfter time.Duration, now time.Time) (when time.Time, c class) {
	second := s.low.Add(confirmAfter)
	switch {
	case decided == topup.Suspended, decided == topup.Implausible:
		return soonerOf(s.checked.Add(suspendedEvery), now.Add(suspendedEvery)), suspended
	case decided != topup.Rechecking:
		return time.Time{}, idle
	case s.found == "" || s.found == topup.Suspended: // its card has changed
		return second, first
	case s.found.Class() == topup.ClassWaiting: // for another purchase, or for facts: nothing against this one
		return laterOf(second, s.wokenOr(s.retry(retryFirst, retryMost, now))), first
	case s.woken.After(s.began):
		return laterOf(second, s.woken), again
	case takesPeople(s.found):
		return laterOf(second, s.retry(lastingFirst, lastingMost, now)), lasting
	default:
		return laterOf(second, s.retry(retryFirst, retryMost, now)), again
	}
}

// wokenOr is when the spell was woken since the newest check, else the time given.
func (s spell) wokenOr(when time.Time) time.Time {
	if s.woken.After(s.began) {
		return s.woken
	}
	return when
}

// retry doubles the wait with each check in a row, from shortest to longest.
func (s spell) retry(shortest, longest time.Duration, now time.Time) time.Time {
	wait := min(shortest<<min(max(0, s.checks-1), 10), longest)
	return soonerOf(s.checked.Add(wait), now.Add(longest))
}

// takesPeople tells whether what a check found stays until a person has acted,
// or for days, so that looking again soon is of no use.
func takesPeople(found topup.Reason) bool {
	switch found {
	case topup.ProviderUnavailable, topup.StaleReading, topup.BadReading, topup.NotSeen, topup.OverCap,
		topup.Quarantined: // by a check: a ledger that was not fit for a moment, or a failover
		return false
	default:
		return found.Class() == topup.ClassTrouble || found.Class() == topup.ClassChosen
	}
}

// seen is the spell after a poll's decision on a reading. changed tells that
// something is new that a check's finding may hang on.
func (s spell) seen(decided topup.Reason, readAt time.Time, changed bool, now time.Time) spell {
	switch decided {
	case topup.Rechecking:
		if s.low.IsZero() {
			s.low = readAt
		}
		if s.found != "" && (changed || s.cut) {
			s.woken = now
		}
		s.cut = false
		return s
	case topup.ProvingPrice, topup.PriceUnproven: // it stays low until the bill of another is seen
		if s.low.IsZero() {
			s.low = readAt
		}
		s.cut = true
		return s
	case topup.Suspended:
		return s
	case topup.Enough, topup.Buy, topup.StillOpen, topup.CoolingDown, topup.BackingOff, topup.NoRule, topup.Excluded:
		return spell{} // the next time begins anew
	case topup.StaleReading, topup.BadReading, topup.NotSeen, topup.ProviderUnavailable:
		s.low = time.Time{} // nothing was learnt about what the check found
		return s
	default:
		s.low, s.cut = time.Time{}, true
		return s
	}
}

// after is the spell after a check.
func (s spell) after(found topup.Reason, text string, began, now time.Time) spell {
	if found == topup.Buy {
		return spell{}
	}
	s.found, s.said, s.began, s.checked = found, text, began, now
	s.checks++
	return s
}

// stands is the reason that a check has found and that holds until the next; ""
// when it found none that says more than that the customer is low.
func (s spell) stands() topup.Reason {
	if s.found == topup.Suspended || s.found.Class() == topup.ClassWaiting {
		return ""
	}
	return s.found
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func soonerOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
