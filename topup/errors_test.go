package topup

import (
	"strings"
	"testing"
	"time"
)

// TestTheCapThatEndsLastIsNamed: a customer waits for all of the caps that stop a
// purchase, and for one that a single purchase passes, for good.
func TestTheCapThatEndsLastIsNamed(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC)
	hour := Cap{Scope: CapGlobal, Period: CapHour, Limit: 10}
	month := Cap{Scope: CapRule, Period: CapMonth, Limit: 10}
	small := Cap{Scope: CapCustomer, Period: CapDay, Limit: 3}
	for _, tt := range []struct {
		name string
		caps []Cap
		want Cap
		says string
	}{
		{"one", []Cap{hour}, hour, "until 2026-11-20T13:00:00Z"},
		{"the later one comes last", []Cap{hour, month}, month, "until 2026-12-01T00:00:00Z"},
		{"the later one comes first", []Cap{month, hour}, month, "until 2026-12-01T00:00:00Z"},
		{"one that a single purchase passes", []Cap{month, small}, small, "for good"},
		{"the same, first", []Cap{small, month}, small, "for good"},
	} {
		var passed *CapError
		for _, c := range tt.caps {
			passed = passed.Passed(c, 5, now)
		}
		if passed.Cap != tt.want || !strings.HasPrefix(passed.Until(now), tt.says) {
			t.Errorf("%s: %s, %s", tt.name, passed, passed.Until(now))
		}
	}
}
