package clients

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestTheBudgetOfTheDocumentedLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit Rate
		share int
		burst int
		rate  float64
	}{
		{"200 reads in 10 s are 18/s with a burst of 20", Rate{200, 10 * time.Second}, 100, 20, 18},
		{"50 writes in 10 s are 4/s with a burst of 10", Rate{50, 10 * time.Second}, 100, 10, 4},
		{"half of the reads", Rate{200, 10 * time.Second}, 50, 10, 9},
		{"half of the writes", Rate{50, 10 * time.Second}, 50, 5, 2},
		{"100 requests in a minute", Rate{100, time.Minute}, 100, 10, 1.5},
		{"a small limit keeps a steady rate", Rate{10, time.Minute}, 100, 5, 5.0 / 60},
		{"a share of less than one request still asks", Rate{2, time.Second}, 1, 1, 0.01},
	} {
		t.Run(tt.name, func(t *testing.T) {
			burst, perSecond := budget(tt.limit, tt.share)
			if burst != tt.burst || perSecond != tt.rate {
				t.Errorf("budget(%v, %d) = %d, %v; want %d, %v", tt.limit, tt.share, burst, perSecond, tt.burst, tt.rate)
			}
		})
	}
}

// drain takes as greedily as the bucket lets it for a while and returns when.
func drain(b *bucket, c class, d time.Duration, step func() time.Duration) []time.Time {
	var taken []time.Time
	for now := noon; now.Before(noon.Add(d)); {
		wait, _ := b.take(now, c)
		if wait == 0 {
			taken = append(taken, now)
			continue
		}
		now = now.Add(wait + step())
	}
	return taken
}

// most is the largest number of moments in any window.
func most(taken []time.Time, window time.Duration) int {
	best, first := 0, 0
	for i, at := range taken {
		for at.Sub(taken[first]) > window {
			first++
		}
		best = max(best, i-first+1)
	}
	return best
}

func TestNoWindowHoldsMoreThanTheShareOfTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Rate{
			Count:  rapid.IntRange(4, 500).Draw(t, "count"),
			Window: time.Duration(rapid.IntRange(1, 60).Draw(t, "window")) * time.Second,
		}
		share := rapid.IntRange(1, 100).Draw(t, "share")
		c := rapid.SampledFrom([]class{urgent, polling, background}).Draw(t, "class")
		pause := rapid.SliceOfN(rapid.IntRange(0, 20_000), 1, 20).Draw(t, "pauses in ms")
		i := 0
		taken := drain(newBucket(limit, share), c, 3*limit.Window, func() time.Duration {
			i++
			if i%7 != 0 {
				return 0 // greedy
			}
			return time.Duration(pause[i%len(pause)]) * time.Millisecond
		})
		got, ours := most(taken, limit.Window), max(2, limit.Count*share/100)
		if got > ours || got > limit.Count {
			t.Fatalf("%d requests in a window of %v, allowed %d of %d", got, limit.Window, ours, limit.Count)
		}
		if len(taken) == 0 {
			t.Fatal("the budget lets nothing through")
		}
	})
}

func TestPollingLeavesAQuarterOfTheBurst(t *testing.T) {
	b := newBucket(Rate{200, 10 * time.Second}, 100)
	polled := 0
	for ; polled < 100; polled++ {
		if wait, _ := b.take(noon, polling); wait > 0 {
			break
		}
	}
	if polled != 15 {
		t.Errorf("polling took %d of a burst of 20, want 15", polled)
	}
	for i := range 5 {
		if wait, _ := b.take(noon, urgent); wait != 0 {
			t.Fatalf("evidence %d has to wait %v behind polling", i+1, wait)
		}
	}
	if wait, _ := b.take(noon, urgent); wait == 0 {
		t.Error("evidence got more than the burst")
	}
	if used := b.used(noon); used != 1 {
		t.Errorf("used = %v, want 1", used)
	}
}

func TestBackgroundLeavesHalfOfTheBurst(t *testing.T) {
	b := newBucket(Rate{200, 10 * time.Second}, 100)
	taken := 0
	for ; taken < 100; taken++ {
		if wait, _ := b.take(noon, background); wait > 0 {
			break
		}
	}
	if taken != 10 {
		t.Errorf("background took %d of a burst of 20, want 10", taken)
	}
	if wait, _ := b.take(noon, polling); wait != 0 {
		t.Errorf("polling waits %v behind background", wait)
	}
}

func TestBackgroundGetsItsTurnAlthoughPollingUsesTheShareUp(t *testing.T) {
	now := noon
	a := New(Options{Limits: Limits{Reads: Rate{200, 10 * time.Second}, SharePercent: 100}, Now: func() time.Time { return now }})
	sweeps := func() {
		for wait := time.Duration(0); wait == 0; {
			wait, _ = a.reads.take(now, polling)
		}
	}
	sweeps()
	a.sleep = func(_ context.Context, d time.Duration) error {
		for end := now.Add(d); now.Before(end); now = now.Add(10 * time.Millisecond) {
			sweeps()
		}
		return nil
	}
	if err := a.wait(t.Context(), "invoices", a.reads, background, time.Minute); err != nil {
		t.Fatal(err)
	}
	if waited := now.Sub(noon); waited < backgroundPatience || waited > 10*backgroundPatience {
		t.Errorf("got its turn after %v, want it a little after %v", waited, backgroundPatience)
	}
}

func TestNoLimitNeverWaits(t *testing.T) {
	b := newBucket(Rate{}, 50)
	for range 1000 {
		if wait, _ := b.take(noon, polling); wait != 0 {
			t.Fatalf("waited %v without a limit", wait)
		}
	}
	if used := b.used(noon); used != 0 {
		t.Errorf("used = %v, want 0", used)
	}
}

func TestASilenceHoldsUntilItsEnd(t *testing.T) {
	b := newBucket(Rate{200, 10 * time.Second}, 50)
	b.silence(noon.Add(5 * time.Second))
	b.silence(noon.Add(2 * time.Second)) // a shorter one does not shorten it
	if wait, silent := b.take(noon, urgent); wait != 5*time.Second || !silent {
		t.Errorf("take = %v, %v; want 5s of silence", wait, silent)
	}
	if wait, _ := b.take(noon.Add(5*time.Second), urgent); wait != 0 {
		t.Errorf("take after the silence waits %v", wait)
	}
}
