package rules

import (
	"slices"
	"time"

	"topupd/topup"
)

// Trusted is what is known of a target from readings that were believed. The
// zero Trusted has seen none.
type Trusted struct {
	Balance topup.Credits `json:"balance_micro"`
	ReadAt  time.Time     `json:"read_at"`
	Pace    Pace          `json:"pace"`

	// What was left before the newest rise, and when: of credits that had ended by
	// then no more can be left since.
	Low   topup.Credits `json:"low_micro,omitzero"`
	LowAt time.Time     `json:"low_at,omitzero"`
	// When it last fell by more than use explains: what had ended by then is gone.
	ShedAt time.Time `json:"shed_at,omitzero"`
}

// Next takes over a reading that is believed. The way to it is learnt from; after
// a doubt there is none, because nobody knows when it was true again.
func (t Trusted) Next(r topup.Reading, doubted bool) Trusted {
	next := t
	next.Balance, next.ReadAt = r.Balance, r.ReadAt
	if !t.ReadAt.IsZero() && r.Balance > t.Balance {
		next.Low, next.LowAt = t.Balance, t.ReadAt
	}
	if t.Pace.Known() && t.Balance-r.Balance > t.Pace.Uses(r.ReadAt.Sub(t.ReadAt)) {
		next.ShedAt = r.ReadAt
	}
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

// Expired is how many of the credits may have expired between the last reading
// that was believed and another one. No credits expire twice: what was seen to go
// explains nothing any more, and of what has ended no more is left than there was
// before others were added.
func (t Trusted) Expired(list []Expiring, to time.Time) topup.Credits {
	var sum, left topup.Credits // left: of what had ended when the balance was lowest
	for _, e := range list {
		switch at := e.between(t.ReadAt, to); {
		case at.IsZero() || e.seen(t.ShedAt):
		case !t.LowAt.Before(at.Add(-expiryEarly)):
			left = min(left+e.Credits, topup.MaxCredits)
		default:
			sum = min(sum+e.Credits, topup.MaxCredits)
		}
	}
	return min(sum+min(left, max(0, t.Low)), topup.MaxCredits)
}

// between is the moment at which the credits may have ended between two readings;
// zero = at none.
func (e Expiring) between(from, to time.Time) time.Time {
	for _, at := range e.At {
		if !at.Add(-expiryEarly).After(to) && at.Add(expiryLate).After(from) {
			return at
		}
	}
	return time.Time{}
}

// seen tells whether a fall at that time may have been these credits' end.
func (e Expiring) seen(shed time.Time) bool {
	return slices.ContainsFunc(e.At, func(at time.Time) bool {
		return !shed.Before(at.Add(-expiryEarly)) && shed.Before(at.Add(expiryLate))
	})
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
