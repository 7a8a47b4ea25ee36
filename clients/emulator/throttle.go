package emulator

import "time"

// throttle counts requests in fixed windows, one count per caller.
type throttle struct {
	limit  int // per window; negative means none
	window time.Duration
	calls  map[string]*calls
}

// calls is one caller's current window.
type calls struct {
	until time.Time
	made  int
}

func newThrottle(limit int, window time.Duration) *throttle {
	return &throttle{limit: limit, window: window, calls: map[string]*calls{}}
}

// quota is what the rate limit headers say.
type quota struct {
	limited   bool // there is a limit at all
	refused   bool
	limit     int
	remaining int
	reset     time.Time
}

// take counts one request of the caller.
func (t *throttle) take(caller string, now time.Time) quota {
	if t.limit < 0 {
		return quota{}
	}
	c := t.calls[caller]
	if c == nil || !now.Before(c.until) {
		c = &calls{until: now.Add(t.window)}
		t.calls[caller] = c
	}
	c.made++
	return quota{
		limited:   true,
		refused:   c.made > t.limit,
		limit:     t.limit,
		remaining: max(t.limit-c.made, 0),
		reset:     c.until,
	}
}

// retryAfter is the whole seconds until the window ends, at least 1.
func (q quota) retryAfter(now time.Time) int {
	return max(1, int((q.reset.Sub(now)+time.Second-1)/time.Second))
}
