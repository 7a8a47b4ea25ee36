package scheduler

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"topupd/topup"
)

func TestOnceReconcilesPollsBuysAndReturns(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var order []string
		for _, customer := range []topup.CustomerID{"a", "b", "c", "full"} {
			w.balance(customer, 50)
		}
		w.balance("full", 500)
		p := w.process("cron")
		p.Visitor.(*visits).visit = func() { order = append(order, "visit") }
		w.polling = func(context.Context) { order = append(order, "poll") }
		w.buying = func(context.Context, topup.Purchase) { time.Sleep(10 * time.Second) } // longer than the lease's margin
		if err := p.scheduler.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(order, []string{"visit", "poll", "visit"}) {
			t.Errorf("order %v", order)
		}
		if v := p.Visitor.(*visits); v.waited != v.count() {
			t.Errorf("returned after waiting for %d of %d visits: a repeat may be under way", v.waited, v.count())
		}
		got := w.charged()
		slices.Sort(got)
		if !slices.Equal(got, []topup.CustomerID{"a", "b", "c"}) {
			t.Errorf("charged %v", got)
		}
		if w.ledger.holder != "" {
			t.Error("the lease was not released")
		}
	})
}

func TestOnceReadsTheBooksToTheirEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		w.balance("cus", 50)
		b.parts = 3 * partsPerPoll
		if err := w.process("cron", withBooks).scheduler.Once(t.Context()); err != nil || len(w.charged()) != 1 {
			t.Errorf("charged %v, %v; want it once the books were read", w.charged(), err)
		}
	})
}

func TestOnceAsksEachTargetOnlyOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
		p := w.process("cron")
		if err := p.scheduler.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(w.read(w.start)); n != 1 || time.Since(w.start) > 6*time.Second {
			t.Errorf("%d confirm reads in %s", n, time.Since(w.start))
		}
	})
}

func TestOnceSaysWhatKeptIt(t *testing.T) {
	for _, tt := range []struct {
		name      string
		prepare   func(*world)
		elsewhere bool
	}{
		{"another process holds the lease", func(w *world) { w.ledger.holder, w.ledger.until = "b", time.Now().Add(LeaseTTL) }, true},
		{"the ledger is away", func(w *world) { w.ledger.away = errAway }, false},
		{"the provider is away", func(w *world) { w.away = errAway }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 50)
				tt.prepare(w)
				err := w.process("cron").scheduler.Once(t.Context())
				if err == nil || errors.Is(err, ErrLeaseElsewhere) != tt.elsewhere {
					t.Errorf("Once() = %v, want an error; that another holds the lease: %v", err, tt.elsewhere)
				}
				if len(w.charged()) != 0 || tt.elsewhere && len(w.polled(w.start)) != 0 {
					t.Error("it worked all the same")
				}
			})
		})
	}
}

func TestOnceEndsWithItsContext(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := w.process("cron").scheduler.Once(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Once() = %v", err)
		}
		if len(w.charged()) != 0 || w.ledger.holder != "" {
			t.Errorf("charged %v, lease with %q", w.charged(), w.ledger.holder)
		}
	})
}
