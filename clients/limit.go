package clients

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"topupd/topup"
)

// Class is what a request is for. Each class has its part of the budget: it gets
// that much whatever the others want, and what they leave besides.
type Class int

// The classes.
const (
	Polling    Class = iota // polls
	Evidence                // purchases, and what tells how they stand
	Confirming              // the read before a purchase that nothing is known against
	Retrying                // the read for a customer who could not be bought for the last time
	Comparing               // comparisons of the books: nobody waits for them
	classes    = iota
)

// parts are the parts of the classes, in hundredths; what is left goes to whom it
// is urgent for, and to polls. A poll always gets its
// quarter, or every reading would be stale; nobody's retries can take it, nor
// what the first read for a customer needs.
var parts = [classes]int{Polling: 25, Evidence: 25, Confirming: 25, Retrying: 10, Comparing: 5}

// reserves are what a class leaves of the burst, in quarters of it, when it takes
// more than its part: whoever comes next is more urgent.
var reserves = [classes]int{Polling: 1, Evidence: 0, Confirming: 0, Retrying: 2, Comparing: 2}

// urgent tells whether a purchase waits for requests of the class.
func (c Class) urgent() bool { return c == Evidence || c == Confirming }

// bucket is the budget of reads or of writes. A token bucket lets burst +
// rate × window through in the worst window, so both are chosen to add up to
// our share of the limit: a limit of 200 per 10 s becomes 18/s with a burst of
// 20, and never 200 at once followed by 200 more.
type bucket struct {
	window  time.Duration // of the provider's limit; how long to rest when it does not say
	limiter *rate.Limiter // nil = no limit
	parts   [classes]*rate.Limiter
	quarter float64 // of the burst

	mu        sync.Mutex
	silent    time.Time // nobody asks before
	pollAgain time.Time // only what is urgent asks before
	waiting   [classes]int
}

// defaultWindow is how long to rest after a 429 that names no time, at a
// provider without a configured limit.
const defaultWindow = 10 * time.Second

func newBucket(r Rate, sharePercent int) *bucket {
	b := &bucket{window: r.Window}
	if b.window <= 0 {
		b.window = defaultWindow
	}
	if r.Count <= 0 {
		return b
	}
	burst, perSecond := budget(Rate{Count: r.Count, Window: b.window}, sharePercent)
	b.limiter = rate.NewLimiter(rate.Limit(perSecond), burst)
	b.quarter = float64(burst / 4)
	for c, hundredths := range parts {
		b.parts[c] = rate.NewLimiter(rate.Limit(perSecond*float64(hundredths)/100), max(3, burst*hundredths/100))
	}
	return b
}

// budget splits our share of a limit into a burst and a steady rate.
func budget(r Rate, sharePercent int) (burst int, perSecond float64) {
	share := float64(sharePercent) / 100
	whole := min(max(10, r.Count/10), max(1, r.Count/2))
	burst = max(1, int(float64(whole)*share))
	steady := float64(r.Count)*share - float64(burst)
	if steady <= 0 { // a share of less than two requests: slowly, one by one
		steady = float64(r.Count) * share / 2
	}
	return burst, steady / r.Window.Seconds()
}

// take spends a token and returns 0, or says how long to wait before asking
// again, and whether that is because the provider asked for silence.
func (b *bucket) take(now time.Time, c Class) (wait time.Duration, silence bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	until := b.silent
	if !c.urgent() && b.pollAgain.After(until) {
		until = b.pollAgain
	}
	if now.Before(until) {
		return until.Sub(now), true
	}
	if b.limiter == nil {
		return 0, false
	}
	tokens, need := b.limiter.TokensAt(now), 1.0
	own := b.parts[c].TokensAt(now) >= 1
	if !own {
		need += float64(reserves[c]) * b.quarter
		if b.owed(now, c) {
			need = max(need, tokens+1)
		}
	}
	if tokens < need {
		missing := (need - tokens) / float64(b.limiter.Limit())
		if !own {
			part := b.parts[c]
			missing = min(missing, (1-part.TokensAt(now))/float64(part.Limit()))
		}
		return max(time.Millisecond, time.Duration(missing*float64(time.Second))), false
	}
	b.limiter.AllowN(now, 1)
	b.parts[c].AllowN(now, 1) // its part is used first; without one left it takes what others leave
	return 0, false
}

// owed tells whether another class waits for what is its part. The caller holds mu.
func (b *bucket) owed(now time.Time, c Class) bool {
	for other, n := range b.waiting {
		if n > 0 && Class(other) != c && b.parts[other].TokensAt(now) >= 1 {
			return true
		}
	}
	return false
}

// enter notes that somebody of the class waits; leave ends it.
func (b *bucket) enter(c Class) (leave func()) {
	note := func(by int) {
		b.mu.Lock()
		b.waiting[c] += by
		b.mu.Unlock()
	}
	note(1)
	return func() { note(-1) }
}

// used is the part of the burst that is spent, or 1 during a silence.
func (b *bucket) used(now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.silent) {
		return 1
	}
	if b.limiter == nil {
		return 0
	}
	return min(1, max(0, 1-b.limiter.TokensAt(now)/float64(b.limiter.Burst())))
}

// silence holds everyone back until then, if that is later than what was known.
func (b *bucket) silence(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.silent) {
		b.silent = until
	}
}

// pausePolling holds polling back, so that what is left of somebody else's use of
// the same limit goes to evidence and purchases.
func (b *bucket) pausePolling(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.pollAgain) {
		b.pollAgain = until
	}
}

// wait returns when one request may be sent. A silence that outlasts patience
// is an error at once: the caller should say so rather than hang.
func (a *API) wait(ctx context.Context, op string, b *bucket, c Class, patience time.Duration) error {
	defer b.enter(c)()
	for {
		now := a.o.Now()
		d, silence := b.take(now, c)
		if d == 0 {
			return nil
		}
		if silence && d > patience {
			return &Error{
				Op: op, Reason: topup.FailedThrottled,
				Message: fmt.Sprintf("the provider asked for silence until %s", now.Add(d).UTC().Format(time.RFC3339)),
			}
		}
		if err := a.sleep(ctx, d); err != nil {
			return &Error{Op: op, Reason: topup.FailedThrottled, Message: "waiting for the rate budget", Err: err}
		}
	}
}

// sleep waits, or returns why it was woken.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
