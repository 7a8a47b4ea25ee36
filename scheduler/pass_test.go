package scheduler

import (
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
		if slices.Contains(p.board.sweeps()[2:], SweptOK) {
			t.Errorf("sweeps %v", p.board.sweeps())
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
