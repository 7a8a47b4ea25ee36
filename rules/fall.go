package rules

import (
	"time"

	"topupd/topup"
)

// Trusted is what is known of a target from readings that were believed. The
// zero Trusted has seen none.
type Trusted struct {
	Balance topup.Credits `json:"balance_micro"`
	ReadAt  time.Time     `json:"read_at"`
	Pace    Pace          `json:"pace"`
}

// Next takes over a reading that is believed. The way to it is learnt from; after
// a doubt there is none, because nobody knows when it was true again.
func (t Trusted) Next(r topup.Reading, doubted bool) Trusted {
	next := Trusted{Balance: r.Balance, ReadAt: r.ReadAt, Pace: t.Pace}
	if !t.ReadAt.IsZero() && !doubted {
		next.Pace = t.Pace.Learn(t.Balance, r.Balance, r.ReadAt.Sub(t.ReadAt))
	}
	return next
}

// Verdict is what a reading says about the trust in a provider.
type Verdict int

// The verdicts.
const (
	Steady    Verdict = iota // neither zero nor unreadable, or it was so before
	Plausible                // it fell, as it well may have
	Beside                   // it fell, no faster than ever, and in one look: no sign of a crowd, nor against one
	Suspect                  // nothing explains the fall
)

// Empty tells whether a reading shows nothing: what a provider shows of everybody
// when it has lost them.
func Empty(r topup.Reading) bool { return r.Bad != "" || r.Balance == 0 }

// Judge says whether a reading that shows nothing can be true, by the last one
// that was believed. Use explains a fall of up to three times the target's own
// pace for as long as nobody looked, and expiring is what may have expired
// meanwhile. What was read no longer than closely ago fell before our eyes.
// Whether falls are too many at once is not asked here.
func Judge(t Trusted, r topup.Reading, expiring topup.Credits, closely time.Duration) Verdict {
	if !Empty(r) || t.ReadAt.IsZero() {
		return Steady
	}
	if r.Bad != "" && t.Balance != 0 {
		return Suspect // no use and no expiry makes a balance unreadable
	}
	if r.Bad != "" {
		return Beside
	}
	elapsed := r.ReadAt.Sub(t.ReadAt)
	uses := t.Pace.Uses(elapsed)
	switch {
	case t.Balance == 0:
		return Steady
	case t.Balance < 0:
		return Beside // a debt was paid, or hidden
	case expiring > 0 && t.Balance <= uses+expiring:
		return Plausible
	case t.Balance > uses:
		return Suspect
	case elapsed > closely:
		return Plausible
	default:
		return Beside
	}
}

// Expiring is credits that end, or ended, at a moment that is not known exactly.
type Expiring struct {
	Credits topup.Credits
	At      []time.Time // any of these: a provider may keep the date alone
}

// An expiry shows in a balance from a little before its time, by clocks that
// disagree, until long after, when the provider gets to it late.
const (
	expiryEarly = 5 * time.Minute
	expiryLate  = 2 * time.Hour
)

// ExpiryAround is how far an expiry may be from the readings that it explains,
// because a provider may keep the date alone.
const ExpiryAround = 24*time.Hour + expiryLate

// Expired is how many of the credits may have expired between two readings.
func Expired(list []Expiring, from, to time.Time) topup.Credits {
	var sum topup.Credits
	for _, e := range list {
		for _, at := range e.At {
			if !at.Add(-expiryEarly).After(to) && at.Add(expiryLate).After(from) {
				sum = min(sum+e.Credits, topup.MaxCredits)
				break
			}
		}
	}
	return sum
}

// ExpiresAt is when credits that were ordered to expire at a moment may do so: a
// provider that keeps the date alone ends them where the day begins or ends.
func ExpiresAt(credits topup.Credits, at time.Time) Expiring {
	day := at.UTC().Truncate(24 * time.Hour)
	return Expiring{Credits: credits, At: []time.Time{at, day, day.AddDate(0, 0, 1)}}
}

// Ended are the same of what a provider's own list says: a row that credits ended
// has a time, an addition that is to end often a date alone.
func Ended(list []topup.Expiry) []Expiring {
	var out []Expiring
	for _, e := range list {
		at := Expiring{Credits: e.Credits, At: []time.Time{e.At}}
		if e.DateOnly {
			at.At = append(at.At, e.At.AddDate(0, 0, 1))
		}
		out = append(out, at)
	}
	return out
}
