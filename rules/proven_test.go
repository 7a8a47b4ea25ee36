package rules

import (
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

// TestAZeroOfAnAccountIsSeenTwice: P5, P14. Two answers of one lying cache are one
// reading.
func TestAZeroOfAnAccountIsSeenTwice(t *testing.T) {
	const enough = 100 * topup.Credit // the threshold
	for _, tt := range []struct {
		name     string
		fell     time.Duration // before the confirm read
		asOf     time.Duration // from the stamp of the fall to that of the confirm read
		zero     time.Duration // without a break; 0 = not known
		change   func(*Facts)
		want     topup.Reason
		unproven bool
	}{
		{"five seconds later", 5 * time.Second, 5 * time.Second, 5 * time.Second, nil, topup.Rechecking, false},
		{"a minute later, the same stamp", time.Minute, 0, time.Minute, nil, topup.Rechecking, false},
		{"a minute later, a stamp of half a minute later", time.Minute, 30 * time.Second, time.Minute, nil, topup.Rechecking, false},
		{"a minute later, an older stamp", time.Minute, -time.Minute, time.Minute, nil, topup.Rechecking, false},
		{"a stamp that jumps, in one answer", 5 * time.Second, time.Hour, 5 * time.Second, nil, topup.Rechecking, false},
		{"just not a minute", time.Minute - 1, time.Minute, 0, nil, topup.Rechecking, false},
		{"just not a minute by the stamps", time.Minute, time.Minute - 1, 0, nil, topup.Rechecking, false},
		{"a minute later, a stamp of a minute later", time.Minute, time.Minute, 0, nil, topup.Buy, false},
		{"ten minutes of the same stamp", 10 * time.Minute, 0, 10 * time.Minute, nil, topup.Buy, true},
		{"ten minutes of the same stamp, with a break", time.Hour, 0, 10*time.Minute - 1, nil, topup.Rechecking, false},
		{"ten minutes, and nobody knows whether without a break", time.Hour, 0, 0, nil, topup.Rechecking, false},
		{"no stamps at all", time.Hour, 0, 0, func(f *Facts) {
			f.Standing.Fall.AsOf, f.Confirmation.Reading.RefreshedAt = time.Time{}, time.Time{}
		}, topup.Rechecking, false},
		{"no stamp on the fall", time.Hour, time.Hour, 0, func(f *Facts) { f.Standing.Fall.AsOf = time.Time{} }, topup.Rechecking, false},
		{"it was unreadable first", time.Hour, time.Hour, 0, func(f *Facts) { f.Standing.Fall.Bad = true }, topup.Rechecking, false},

		{"from exactly the threshold", 5 * time.Second, 0, 0, func(f *Facts) { f.Standing.Fall.Before = enough }, topup.Rechecking, false},
		{"from below the threshold", 5 * time.Second, 0, 0, func(f *Facts) { f.Standing.Fall.Before = enough - 1 }, topup.Buy, false},
		{"not to zero", 5 * time.Second, 0, 0, func(f *Facts) { f.Confirmation.Reading.Balance = 1 }, topup.Buy, false},
		{"into debt", 5 * time.Second, 0, 0, func(f *Facts) { f.Confirmation.Reading.Balance = -1 }, topup.Buy, false},
		{"a person says that it is true", 5 * time.Second, 0, 0, func(f *Facts) { f.Standing.Fall.Believed = true }, topup.Buy, false},
		{"no account", 5 * time.Second, 0, 0, func(f *Facts) { f.Standing.Fall.Twice = false }, topup.Buy, false},
		{"no fall", 5 * time.Second, 0, 0, func(f *Facts) { f.Standing.Fall = nil }, topup.Buy, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := low()
			read := &f.Confirmation.Reading
			f.Reading.Balance, read.Balance = 0, 0
			f.Standing.Fall = &topup.Fall{Twice: true, Before: 2 * enough, ReadAt: read.ReadAt.Add(-tt.fell), AsOf: read.RefreshedAt.Add(-tt.asOf)}
			if tt.zero > 0 {
				since := read.ReadAt.Add(-tt.zero)
				f.ZeroSince = &since
			}
			if tt.change != nil {
				tt.change(&f)
			}
			d := Decide(f)
			if d.Reason != tt.want || d.Unproven != tt.unproven {
				t.Errorf("%s (%s), unproven %t, want %s, %t", d.Reason, d.Text, d.Unproven, tt.want, tt.unproven)
			}
			if d.Reason == topup.Rechecking && !strings.Contains(d.Text, "resume --provider") {
				t.Errorf("nobody learns what they can do: %s", d.Text)
			}
		})
	}
}

// TestAnAgedAnswerIsNoFreshReading: P5, P13. A cache that replays an answer makes
// the reading as old as the answer is.
func TestAnAgedAnswerIsNoFreshReading(t *testing.T) {
	for _, tt := range []struct {
		name string
		age  func(*Facts)
		want topup.Reason
	}{
		{"fresh", func(*Facts) {}, topup.Buy},
		{"a poll of ten minutes ago", func(f *Facts) { f.Reading.ReadAt = f.Now.Add(-10 * time.Minute) }, topup.StaleReading},
		{"the confirm read of ten minutes ago", func(f *Facts) {
			f.Confirmation.Reading.ReadAt = f.Now.Add(-10 * time.Minute)
			first := f.Now.Add(-20 * time.Minute)
			f.FirstLow = &first
		}, topup.StaleReading},
		{"exactly as old as it may be", func(f *Facts) {
			f.Confirmation.Reading.ReadAt = f.Now.Add(-f.Rule.MaxReadingAge)
			first := f.Now.Add(-20 * time.Minute)
			f.FirstLow = &first
		}, topup.Buy},
		{"the same answer twice is one reading", func(f *Facts) { f.Confirmation.Reading.ReadAt = *f.FirstLow }, topup.Rechecking},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := low()
			tt.age(&f)
			if d := Decide(f); d.Reason != tt.want {
				t.Errorf("%s (%s), want %s", d.Reason, d.Text, tt.want)
			}
		})
	}
}
