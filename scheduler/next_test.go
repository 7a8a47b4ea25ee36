package scheduler

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"topupd/topup"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	found := func(r topup.Reason, checks int, checked time.Duration) spell {
		return spell{low: ago(time.Hour), found: r, checks: checks, began: ago(checked), checked: ago(checked)}
	}
	for _, tt := range []struct {
		name    string
		s       spell
		decided topup.Reason
		class   class
		in      time.Duration // from now; may be past
	}{
		{"enough", spell{}, topup.Enough, idle, 0},
		{"paused while low", spell{low: now}, topup.Paused, idle, 0},
		{"low for the first time", spell{low: now}, topup.Rechecking, first, 5 * time.Second},
		{"low, and due", spell{low: ago(time.Minute)}, topup.Rechecking, first, -55 * time.Second},
		{"may pass: soon", found(topup.ProviderUnavailable, 1, 0), topup.Rechecking, again, 10 * time.Second},
		{"may pass: later", found(topup.ProviderUnavailable, 3, 0), topup.Rechecking, again, 40 * time.Second},
		{"may pass: a ledger that was not fit", found(topup.Quarantined, 3, 0), topup.Rechecking, again, 40 * time.Second},
		{"may pass: at most", found(topup.OverCap, 99, 0), topup.Rechecking, again, 2 * time.Minute},
		{"read again after an import", found(topup.Rechecking, 1, 0), topup.Rechecking, first, 10 * time.Second},
		{"another purchase goes first", found(topup.ProvingPrice, 2, 0), topup.Rechecking, first, 20 * time.Second},
		{"takes people: a minute", found(topup.InvoiceUnpaid, 1, 0), topup.Rechecking, lasting, time.Minute},
		{"takes people: later", found(topup.PriceMismatch, 3, 0), topup.Rechecking, lasting, 4 * time.Minute},
		{"takes people: at most", found(topup.NoPaymentMethod, 99, 0), topup.Rechecking, lasting, 30 * time.Minute},
		{"a dry run takes people", found(topup.DryRun, 99, 0), topup.Rechecking, lasting, 30 * time.Minute},
		{"woken since the check", spell{low: ago(time.Hour), found: topup.InvoiceUnpaid, checks: 9, began: ago(time.Minute), checked: ago(time.Minute), woken: ago(time.Second)}, topup.Rechecking, again, -time.Second},
		{"woken while it was checked", spell{low: ago(time.Hour), found: topup.InvoiceUnpaid, checks: 9, began: ago(3 * time.Second), checked: now, woken: ago(time.Second)}, topup.Rechecking, again, -time.Second},
		{"woken before the check", spell{low: ago(time.Hour), found: topup.InvoiceUnpaid, checks: 9, began: ago(time.Minute), checked: ago(time.Minute), woken: ago(time.Hour)}, topup.Rechecking, lasting, 29 * time.Minute},
		{"the list of unpaid bills says it", spell{low: ago(time.Hour), found: topup.InvoiceUnpaid}, topup.Rechecking, lasting, -time.Hour + 5*time.Second},
		{"suspended, never asked", spell{}, topup.Suspended, suspended, -1 << 62},
		{"suspended, asked", found(topup.Suspended, 7, time.Minute), topup.Suspended, suspended, 4 * time.Minute},
		{"a suspension that was lifted", found(topup.Suspended, 7, time.Minute), topup.Rechecking, first, -time.Hour + 5*time.Second},
		{"a check that our clock puts into the future", found(topup.InvoiceUnpaid, 1, -24*time.Hour), topup.Rechecking, lasting, 30 * time.Minute},
		{"a suspension that our clock puts into the future", found(topup.Suspended, 1, -24*time.Hour), topup.Suspended, suspended, 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			when, c := next(tt.s, tt.decided, 5*time.Second, now)
			if c != tt.class {
				t.Fatalf("class %d, want %d", c, tt.class)
			}
			if in := when.Sub(now); c != idle && in != tt.in && tt.in != -1<<62 || tt.in == -1<<62 && in > 0 {
				t.Errorf("due in %s, want %s", in, tt.in)
			}
		})
	}
}

// TestASpellEndsWithItsLowReadings: what a check found is forgotten when the
// customer has enough or was bought for, kept while nothing was learnt, and worth
// a new check when another reason has come between.
func TestASpellEndsWithItsLowReadings(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	was := spell{low: now.Add(-time.Hour), found: topup.InvoiceUnpaid, said: "1 pending", checks: 5, began: now.Add(-time.Minute), checked: now.Add(-time.Minute)}
	for _, tt := range []struct {
		between topup.Reason
		changed bool
		class   class
	}{
		{topup.Rechecking, false, lasting},
		{topup.Rechecking, true, again},
		{topup.Enough, false, first},
		{topup.StillOpen, false, first},
		{topup.CoolingDown, false, first},
		{topup.StaleReading, false, lasting},
		{topup.ProviderUnavailable, false, lasting},
		{topup.Paused, false, again},
		{topup.Quarantined, false, again},
		{topup.Implausible, false, again},
	} {
		t.Run(string(tt.between), func(t *testing.T) {
			s := was.seen(tt.between, now, tt.changed, now).seen(topup.Rechecking, now.Add(time.Second), false, now.Add(time.Second))
			if _, c := next(s, topup.Rechecking, 5*time.Second, now.Add(time.Second)); c != tt.class {
				t.Errorf("class %d, want %d (%+v)", c, tt.class, s)
			}
		})
	}
	if s := was.after(topup.Buy, "", now, now); s != (spell{}) {
		t.Errorf("after a purchase: %+v", s)
	}
}

// TestNobodyWaitsLongerThanTheBound: whatever the others do, who is due is taken
// within the picks that the queue promises: its class gets its part of them, and
// of those one in oldestEvery goes to who has been due the longest.
func TestNobodyWaitsLongerThanTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		workers := rapid.IntRange(1, 8).Draw(t, "workers")
		q := newQueue(workers)
		names := 0
		put := func(c class, left int64, due time.Time) waiting {
			names++
			w := waiting{target: topup.Target{Provider: id, Customer: topup.CustomerID(rune('a'+names%26)) + topup.CustomerID(time.Duration(names).String())}, class: c, left: left, due: due}
			q.put(w)
			return w
		}
		anyClass := rapid.SampledFrom([]class{first, again, lasting, suspended})
		for range rapid.IntRange(0, 40).Draw(t, "crowd") {
			put(anyClass.Draw(t, "class"), rapid.Int64Range(-5, 1000).Draw(t, "left"), now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "due for"))*time.Second))
		}
		mine := put(anyClass.Draw(t, "my class"), 1000, now) // the fullest
		ahead := 0
		for _, w := range q.waiting {
			if w.class == mine.class && w.target != mine.target && w.longer(mine) {
				ahead++
			}
		}
		perPick := (allWeights+weights[mine.class]-1)/weights[mine.class] + classes
		bound := perPick * oldestEvery * (ahead + 2) * workers // a check lasts for as many picks as there are workers
		var busy []topup.Target
		for pick := 1; ; pick++ {
			for range rapid.IntRange(0, 3).Draw(t, "newcomers") { // emptier, all the time
				put(anyClass.Draw(t, "class"), -9, now)
			}
			got, ok, _ := q.take(now)
			if !ok && len(busy) == 0 {
				t.Fatal("nobody is taken although many are due and no worker is busy")
			}
			if !ok {
				q.done(busy[0])
				busy = busy[1:]
				continue
			}
			if got.target == mine.target {
				return
			}
			if pick > bound {
				t.Fatalf("class %d, %d ahead: not taken within %d picks", mine.class, ahead, bound)
			}
			busy = append(busy, got.target)
			if len(busy) == workers {
				q.done(busy[0])
				busy = busy[1:]
			}
			now = now.Add(time.Millisecond)
		}
	})
}

// TestAFirstCheckFindsAWorker: however many checks that come to nothing are under
// way, one worker is left for who is low for the first time.
func TestAFirstCheckFindsAWorker(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	q := newQueue(8)
	for i := range 100 {
		c := []class{again, lasting, suspended}[i%3]
		q.put(waiting{target: target(topup.CustomerID(time.Duration(i).String())), class: c, due: now, left: -9})
	}
	taken := 0
	for {
		if _, ok, _ := q.take(now); !ok {
			break
		}
		taken++
	}
	q.put(waiting{target: target("healthy"), class: first, due: now, left: 999})
	if w, ok, _ := q.take(now); taken == 0 || taken >= 8 || !ok || w.target.Customer != "healthy" {
		t.Errorf("%d of 8 workers are with the others; took %q, %v", taken, w.target.Customer, ok)
	}
}
