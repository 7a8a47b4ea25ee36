package scheduler

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"topupd/topup"
)

// TestAPageIsDecidedOnAsItComes: an account can be so large that a pass takes
// longer than a reading may be old. Whoever is low on its first page must not wait
// for its last, and nobody's reading counts as old because the pass is long.
func TestAPageIsDecidedOnAsItComes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(60)
		w.do(func(p *provider) { p.pageSize, p.pageTime = 10, 30*time.Second })
		w.balance("cus_00", 50)
		w.balance("cus_35", 50)
		p := w.run(t, "a")
		after(20 * time.Second)
		if got := w.charged(); !slices.Equal(got, []topup.CustomerID{"cus_00"}) {
			t.Errorf("the first page has come 20 s ago, bought for %v", got)
		}
		after(100 * time.Second)
		if got := w.charged(); !slices.Equal(got, []topup.CustomerID{"cus_00", "cus_35"}) {
			t.Errorf("the fourth page has come 30 s ago, bought for %v", got)
		}
		after(10 * time.Minute)
		if n := p.board.count(topup.StaleReading); n != 0 {
			t.Errorf("%d decisions were stale_reading", n)
		}
	})
}

// TestAPassThatFailsHasShownItsFirstPages: what a pass has read before it failed
// is acted on; what it has not shown is neither missing nor bought for.
func TestAPassThatFailsHasShownItsFirstPages(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(40)
		w.do(func(p *provider) { p.pageSize = 10 })
		p := w.run(t, "a")
		after(7 * time.Second)
		w.do(func(p *provider) { p.breaksAt = 3 })
		w.balance("cus_00", 50)
		w.balance("cus_39", 50)
		after(20 * time.Second)
		if got := w.charged(); !slices.Equal(got, []topup.CustomerID{"cus_00"}) {
			t.Errorf("bought for %v", got)
		}
		if got := p.board.state("cus_30").Reason; got != topup.Enough {
			t.Errorf("who was not shown is %q", got)
		}
		if slices.Contains(p.board.polls()[2:], SweptOK) {
			t.Errorf("polls %v", p.board.polls())
		}
	})
}

// TestWhoFallsToZeroOnAPageWaitsForTheEndOfThePass: whether a zero is one of too
// many is known when the last page has come, and not before (P14).
func TestWhoFallsToZeroOnAPageWaitsForTheEndOfThePass(t *testing.T) {
	for _, tt := range []struct {
		name  string
		empty int
		want  int
	}{
		{"one, which the end of the pass believes", 1, 1},
		{"one on each page: a crowd that no page shows", 12, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.customers(12)
				w.run(t, "a")
				after(7 * time.Second)
				w.do(func(p *provider) { p.pageSize, p.pageTime = 1, 10*time.Second })
				w.empty(tt.empty)
				after(time.Minute)
				if got := w.charged(); len(got) != 0 {
					t.Errorf("bought for %v before the pass has ended", got)
				}
				after(3 * time.Minute)
				if got := w.charged(); len(got) != tt.want {
					t.Errorf("bought for %v, want %d", got, tt.want)
				}
			})
		})
	}
}

// TestALongPassSaysSoAndGoesOn: while a pass takes longer than a reading may be
// old it says so, once, and everybody is bought for all the same; it is no reason
// to start the process again.
func TestALongPassSaysSoAndGoesOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(100)
		w.do(func(p *provider) { p.pageSize, p.pageTime = 10, 30*time.Second })
		p := w.run(t, "a")
		said := func() int {
			return len(p.journal.find("poll takes longer than readings may be old", map[string]string{"provider": name}))
		}
		after(110 * time.Second)
		if n := said(); n != 0 {
			t.Fatalf("said %d times before it is so", n)
		}
		for range 40 { // four passes
			after(30 * time.Second)
			if late := p.scheduler.Stale(time.Now(), func(*Watch) time.Duration { return 2 * time.Minute }, w.start); len(late) != 0 {
				t.Fatalf("%v: a pass that goes on counts as one that has stopped", late)
			}
		}
		if n := said(); n < 3 || n > 5 {
			t.Errorf("said %d times in four passes", n)
		}
		p.board.mu.Lock()
		takes, mayTake := p.board.takes, p.board.mayTake
		p.board.mu.Unlock()
		if takes < 5*time.Minute || mayTake != 2*time.Minute {
			t.Errorf("shown: a pass of %s, readings may be %s old", takes, mayTake)
		}
		if n := p.board.count(topup.StaleReading); n != 0 {
			t.Errorf("%d decisions were stale_reading", n)
		}
	})
}

// TestAReadingThatIsTooOldIsReadAnew: between two passes that are far apart a
// customer is bought for on two fresh readings, not after the next pass.
func TestAReadingThatIsTooOldIsReadAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d, options := w.desk()
		w.customers(100)
		w.do(func(p *provider) { p.pageSize, p.pageTime = 10, 60*time.Second }) // ten minutes
		w.balance("cus_00", 50)
		d.offer = "costs more"
		w.run(t, "a", options)
		after(4 * time.Minute)
		d.set(func(d *desk) { d.offer = "" })
		after(90 * time.Second)
		bought := w.bought()
		if len(bought) != 1 {
			t.Fatalf("bought %d times in the middle of the pass, want once", len(bought))
		}
		// The third finds the poll's reading 3 min old, and becomes the first of two.
		want := []time.Duration{5 * time.Second, 65 * time.Second, 185 * time.Second, 190 * time.Second, 5 * time.Minute}
		if reads := w.read(w.start); !slices.Equal(reads, want) {
			t.Errorf("read at %v, want %v", reads, want)
		}
	})
}

// TestAnIncompletePollSaysWhatWasMissing in its log line.
func TestAnIncompletePollSaysWhatWasMissing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(3)
		w.provider.mu.Lock()
		w.provider.incomplete = true
		w.provider.mu.Unlock()
		p := w.run(t, "a")
		after(pollTime)
		said := p.journal.find("poll", map[string]string{"provider": name, "missing": "70 of 120 balances were not shown"})
		if len(said) == 0 || said[0].level != slog.LevelWarn {
			t.Errorf("log lines: %+v", said)
		}
	})
}
