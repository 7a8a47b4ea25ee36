package topup

import "time"

// looks are the times of the first looks, counted from the last send (or from
// the confirmation); after them one look every lookEvery.
var looks = []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute}

const (
	lookEvery = 5 * time.Minute
	// fullQuiet is the quiet period that the times above are made for; with a
	// shorter one they shrink in proportion.
	fullQuiet = 15 * time.Minute
	// minLook keeps rehearsals with tiny quiet periods from spinning.
	minLook = 200 * time.Millisecond
	// UnavailableAfter is how long past the quiet period a purchase may go
	// without one complete look before its target counts as being in trouble.
	UnavailableAfter = 15 * time.Minute
)

// Scaled shrinks a duration made for the full quiet period.
func Scaled(d, quiet time.Duration) time.Duration {
	if quiet >= fullQuiet || quiet <= 0 {
		return d
	}
	scaled := d.Milliseconds() * quiet.Milliseconds() / fullQuiet.Milliseconds()
	return max(minLook, time.Duration(scaled)*time.Millisecond)
}

// every is the wait between looks after the first ones. What is confirmed or
// in review for long is asked for less and less often: its reads come before the
// polls, and many unpaid invoices must not keep balances from being read.
func (p *Purchase) every() time.Duration {
	switch late := p.LookStep - len(looks); {
	case p.State == Sent || late < 12: // an hour
		return lookEvery
	case late < 24: // three more
		return 3 * lookEvery
	default:
		return 12 * lookEvery
	}
}

// scheduleLook sets the next look after now, counted from the given moment.
// While the quiet period lasts, no look is later than its end.
func (p *Purchase) scheduleLook(from, now time.Time) {
	var next time.Time
	for {
		if p.LookStep < len(looks) {
			next = from.Add(Scaled(looks[p.LookStep], p.QuietPeriod))
		} else {
			next = now.Add(Scaled(p.every(), p.QuietPeriod))
		}
		p.LookStep++
		if next.After(now) {
			break
		}
	}
	if quiet := p.QuietUntil(); p.State == Sent && now.Before(quiet) && next.After(quiet) {
		next = quiet
	}
	p.NextLookAt = &next
}

// restartLooks begins the schedule anew.
func (p *Purchase) restartLooks(from, now time.Time) {
	p.LookStep = 0
	p.scheduleLook(from, now)
}

// Unavailable tells whether the provider has kept us from looking for too
// long: the quiet period is over, and so are 15 minutes without a complete look.
func (p Purchase) Unavailable(now time.Time) bool {
	if p.State != Sent {
		return false
	}
	since := p.QuietUntil()
	if p.LookedAt != nil && p.LookedAt.After(since) {
		since = *p.LookedAt
	}
	return now.Sub(since) > Scaled(UnavailableAfter, p.QuietPeriod)
}
