package clients

import (
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of a pause that a provider asks for, inclusive. Shorter ones are not
// worth a timer; longer ones are a mistake or an attack, and customers run dry.
const (
	minPause = time.Second
	maxPause = 15 * time.Minute
)

// heed adapts the budget to what a response says about the provider's limits: a
// 429 silences the whole connection, a spent class of requests silences itself,
// and a nearly spent one stops polling.
func (a *API) heed(b *bucket, status int, h http.Header) {
	now := a.o.Now()
	reset, hasReset := resetIn(h, now)
	after, hasAfter := retryAfter(h, now)
	if status == http.StatusTooManyRequests {
		pause := b.window
		switch {
		case hasAfter:
			pause = after
		case hasReset:
			pause = reset
		}
		pause = clamp(pause)
		a.o.Logger.Warn("provider limits our rate", slog.Float64("pause_seconds", pause.Seconds()))
		a.reads.silence(now.Add(pause))
		a.writes.silence(now.Add(pause))
		return
	}
	if status == http.StatusServiceUnavailable && hasAfter {
		b.silence(now.Add(clamp(after)))
	}
	left, hasLeft := count(h, "X-RateLimit-Remaining")
	if !hasLeft || !hasReset || ageOf(h) > 0 { // what a cache kept says nothing about now
		return
	}
	all, _ := count(h, "X-RateLimit-Limit")
	switch {
	case left <= 0:
		b.silence(now.Add(clamp(reset)))
	case left <= all/10:
		b.pausePolling(now.Add(clamp(reset)))
	}
}

func clamp(d time.Duration) time.Duration { return min(max(d, minPause), maxPause) }

// count reads a header that holds a whole number.
func count(h http.Header, name string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(h.Get(name)))
	return n, err == nil
}

// retryAfter reads Retry-After: seconds or an HTTP date (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	return span(h.Get("Retry-After"), h, now)
}

// resetIn reads X-RateLimit-Reset. Hyperline sends a date-time (Hyperline docs,
// /developers/rate-limiting, read 2026-11-20); elsewhere it is seconds, or
// seconds since 1970.
func resetIn(h http.Header, now time.Time) (time.Duration, bool) {
	return span(h.Get("X-RateLimit-Reset"), h, now)
}

// span reads a moment or a number of seconds as the time from now. Moments are
// the provider's, so they are compared with its own Date where it sends one.
func span(text string, h http.Header, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, false
	}
	if date, ok := serverTime(h); ok {
		now = date
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds(n, now), !math.IsNaN(n)
	}
	for _, layout := range []string{time.RFC3339Nano, http.TimeFormat} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.Sub(now), true
		}
	}
	return 0, false
}

// seconds tells a duration from a moment since 1970 by its size: nobody asks
// for a pause of 30 years.
func seconds(n float64, now time.Time) time.Duration {
	const year2001, year2001Milli = 1e9, 1e12
	switch {
	case n >= 1e15 || n < 0:
		return clampFloat(n)
	case n >= year2001Milli:
		return time.UnixMilli(int64(n)).Sub(now)
	case n >= year2001:
		return time.Unix(int64(n), 0).Sub(now)
	default:
		return time.Duration(min(n, 1e8) * float64(time.Second))
	}
}

func clampFloat(n float64) time.Duration {
	if n < 0 {
		return minPause
	}
	return maxPause
}

// serverTime is the provider's clock as its Date header has it, in whole
// seconds; false when it sent none.
func serverTime(h http.Header) (time.Time, bool) {
	at, err := http.ParseTime(h.Get("Date"))
	return at.UTC(), err == nil
}

// maxAge bounds what an Age header is believed to mean.
const maxAge = 365 * 24 * time.Hour

// ageOf is how long a cache on the way had kept the answer (RFC 9111, 5.1); of
// several values the oldest. What is no number of seconds says nothing.
func ageOf(h http.Header) time.Duration {
	oldest := time.Duration(0)
	for _, line := range h.Values("Age") {
		for text := range strings.SplitSeq(line, ",") {
			text = strings.TrimSpace(text)
			if strings.Trim(text, "0123456789") != "" || text == "" {
				continue
			}
			age := maxAge
			if n, err := strconv.Atoi(text); err == nil && n < int(maxAge/time.Second) {
				age = time.Duration(n) * time.Second
			}
			oldest = max(oldest, age)
		}
	}
	return oldest
}
