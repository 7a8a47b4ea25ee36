package main

import (
	"strings"
	"testing"
	"time"

	"topupd/internal/fuzztest"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzFlags: --until and --since are a moment, or a duration from now within a
// hundred years; ranges and retries of the emulator are numbers; all else is a
// mistake that names its flag and says what to write.
func FuzzFlags(f *testing.F) {
	for _, text := range []string{
		"2026-11-20T09:00:00Z", "2026-11-20T09:00:00+01:00", "90m", "24h", "7d", "0s", "-5m", "36500d", "36501d", "tomorrow", "2026-11-20", "", "1h30m", "9999-12-31T23:59:59Z", "1.5h",
		"0.5..5", "5", "..", "1..", "a..b", "2h,12h,24h", "none", "2h,,", "1e3..1e4", "5..1", "NaN",
	} {
		f.Add(text)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	a := &app{now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := parseRange("--usage", text); err == nil && (r.Min.String() == "" || !strings.ContainsAny(text, "0123456789")) {
			t.Errorf("%q is %v", text, r)
		} else if err != nil && !strings.Contains(err.Error(), "--usage") {
			t.Errorf("%v names no flag", err)
		}
		if _, err := parseRetries(text); err != nil && !strings.Contains(err.Error(), "--retries") {
			t.Errorf("%v names no flag", err)
		}
		for name, direction := range map[string]time.Duration{"--until": 1, "--since": -1} {
			at, err := a.moment(name, text, direction)
			if err != nil {
				if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "write a time") || !at.IsZero() {
					t.Errorf("%s %q: %v, %v", name, text, at, err)
				}
				continue
			}
			if _, absolute := time.Parse(time.RFC3339, text); absolute == nil || text == "" {
				continue
			}
			if away := at.Sub(now).Abs(); away == 0 || away > 36_500*24*time.Hour || at.After(now) != (direction > 0) {
				t.Errorf("%s %q is %v", name, text, at)
			}
		}
	})
}
