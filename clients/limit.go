package clients

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"topupd/topup"
)

// bucket is the budget of one class of requests. A token bucket lets burst +
// rate × window through in the worst window, so both are chosen to add up to
// our share of the limit: a limit of 200 per 10 s becomes 18/s with a burst of
// 20, and never 200 at once followed by 200 more.
type bucket struct {
	window  time.Duration // of the provider's limit; how long to rest when it does not say
	limiter *rate.Limiter // nil = no limit
	reserve float64       // tokens that polling leaves to evidence and purchases

	mu        sync.Mutex
	silent    time.Time // nobody asks before
	pollAgain time.Time // polling does not ask before
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
	b.reserve = float64(burst / 4)
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

// class is how urgent a request is.
type class int

const (
	urgent     class = iota // purchases and the evidence for them
	polling                 // sweeps: leave the reserve alone
	background              // comparisons: leave twice as much
)

// backgroundPatience is how long a background request lets polling go first.
// Sweeps that use their whole share up would otherwise keep it waiting for ever.
const backgroundPatience = 2 * time.Second

// take spends a token and returns 0, or says how long to wait before asking
// again, and whether that is because the provider asked for silence.
func (b *bucket) take(now time.Time, c class) (wait time.Duration, silence bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	until := b.silent
	if c != urgent && b.pollAgain.After(until) {
		until = b.pollAgain
	}
	if now.Before(until) {
		return until.Sub(now), true
	}
	if b.limiter == nil {
		return 0, false
	}
	need := 1 + float64(c)*b.reserve
	if tokens := b.limiter.TokensAt(now); tokens < need {
		missing := (need - tokens) / float64(b.limiter.Limit())
		return max(time.Millisecond, time.Duration(missing*float64(time.Second))), false
	}
	b.limiter.AllowN(now, 1)
	return 0, false
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
func (a *API) wait(ctx context.Context, op string, b *bucket, c class, patience time.Duration) error {
	began := a.o.Now()
	for {
		now := a.o.Now()
		if c == background && now.Sub(began) >= backgroundPatience {
			c = polling
		}
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
