package clients

import (
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
func drain(b *bucket, c Class, d time.Duration, step func() time.Duration) []time.Time {
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
		c := rapid.SampledFrom([]Class{Polling, Evidence, Confirming, Retrying, Comparing}).Draw(t, "class")
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
		if wait, _ := b.take(noon, Polling); wait > 0 {
			break
		}
	}
	if polled != 15 {
		t.Errorf("polling took %d of a burst of 20, want 15", polled)
	}
	for i := range 5 {
		if wait, _ := b.take(noon, Evidence); wait != 0 {
			t.Fatalf("evidence %d has to wait %v behind polling", i+1, wait)
		}
	}
	if wait, _ := b.take(noon, Evidence); wait == 0 {
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
		if wait, _ := b.take(noon, Comparing); wait > 0 {
			break
		}
	}
	if taken != 10 {
		t.Errorf("background took %d of a burst of 20, want 10", taken)
	}
	if wait, _ := b.take(noon, Polling); wait != 0 {
		t.Errorf("polling waits %v behind background", wait)
	}
}

// contend lets any number of each class ask for as long as it lasts, as wait does,
// and returns how many requests of each were let through, per second.
func contend(t *testing.T, b *bucket, callers [classes]int, lasting time.Duration) (rates [classes]float64) {
	t.Helper()
	type caller struct {
		class Class
		next  time.Time
	}
	var all []*caller
	for c, n := range callers {
		for range n {
			all = append(all, &caller{Class(c), noon})
			b.enter(Class(c)) // it asks again at once, so somebody always waits
		}
	}
	var got [classes]int
	for now := noon; now.Before(noon.Add(lasting)); now = now.Add(time.Millisecond) {
		for _, c := range all {
			if now.Before(c.next) {
				continue
			}
			wait, _ := b.take(now, c.class)
			if wait == 0 {
				got[c.class]++
			}
			c.next = now.Add(max(wait, time.Millisecond))
		}
	}
	for c, n := range got {
		rates[c] = float64(n) / lasting.Seconds()
	}
	return rates
}

// TestNoClassIsStarvedByTheOthers: 500 customers whose confirm reads come to
// nothing kept the polls from the budget, and with them everybody else. Each
// class gets its part whatever the others want, and a poll a quarter.
func TestNoClassIsStarvedByTheOthers(t *testing.T) {
	all := [classes]int{Polling: 1, Evidence: 8, Confirming: 8, Retrying: 8, Comparing: 2}
	for _, tt := range []struct {
		name    string
		callers [classes]int
		least   [classes]float64 // of the steady 9 a second
	}{
		{"everybody at once", all, [classes]float64{Polling: 2.2, Evidence: 2.2, Confirming: 2.2, Retrying: 0.85, Comparing: 0.4}},
		{"polls against first reads", [classes]int{Polling: 1, Confirming: 8}, [classes]float64{Polling: 2.2, Confirming: 6.5}},
		{"polls against retries: they get what is left", [classes]int{Polling: 1, Retrying: 8}, [classes]float64{Polling: 7, Retrying: 0.85}},
		{"first reads against retries", [classes]int{Confirming: 8, Retrying: 8}, [classes]float64{Confirming: 7.4, Retrying: 0.85}},
		{"comparisons against polls", [classes]int{Polling: 4, Comparing: 1}, [classes]float64{Polling: 7.5, Comparing: 0.4}},
		{"retries alone", [classes]int{Retrying: 8}, [classes]float64{Retrying: 8.8}},
		{"polls alone", [classes]int{Polling: 1}, [classes]float64{Polling: 8.8}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rates := contend(t, newBucket(Rate{200, 10 * time.Second}, 50), tt.callers, 10*time.Minute)
			sum := 0.0
			for c, least := range tt.least {
				sum += rates[c]
				if rates[c] < least {
					t.Errorf("class %d gets %.2f a second, want at least %.2f; all: %.2f", c, rates[c], least, rates)
				}
			}
			if sum < 8.8 {
				t.Errorf("%.2f of 9 a second are used: %.2f", sum, rates)
			}
		})
	}
}

func TestNoLimitNeverWaits(t *testing.T) {
	b := newBucket(Rate{}, 50)
	for range 1000 {
		if wait, _ := b.take(noon, Polling); wait != 0 {
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
	if wait, silent := b.take(noon, Evidence); wait != 5*time.Second || !silent {
		t.Errorf("take = %v, %v; want 5s of silence", wait, silent)
	}
	if wait, _ := b.take(noon.Add(5*time.Second), Evidence); wait != 0 {
		t.Errorf("take after the silence waits %v", wait)
	}
}
