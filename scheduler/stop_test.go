package scheduler

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

func TestShutdownFinishesThePurchaseInFlightAndBeginsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("first", 10)
		w.balance("second", 20)
		began := make(chan struct{})
		w.buying = func(context.Context, topup.Purchase) {
			close(began) // a second purchase would panic here
			time.Sleep(20 * time.Second)
		}
		p := w.run(t, "a", func(o *Options) { o.Workers = 1 })
		<-began
		p.stop()
		after(19 * time.Second)
		select {
		case err := <-p.ended:
			t.Fatalf("Run() = %v before the purchase in flight was finished", err)
		default:
		}
		if holder, _, left := w.ledger.lease(); holder != "a" || left <= 0 {
			t.Error("the lease was given up while a purchase was in flight")
		}
		if err := <-p.ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
		if diff := cmp.Diff([]topup.CustomerID{"first"}, w.charged()); diff != "" {
			t.Errorf("charged (-want +got):\n%s", diff)
		}
		if holder, _, _ := w.ledger.lease(); holder != "" {
			t.Error("the lease was not released")
		}
		if v := p.Visitor.(*visits); v.waited != v.count() {
			t.Errorf("ended after waiting for %d of %d visits: a repeat may be under way", v.waited, v.count())
		}
		if e := w.ledger.last("first"); e.Reason != topup.Buy || e.Purchase == "" {
			t.Errorf("the decision was not recorded: %+v", e)
		}
	})
}

func TestShutdownDuringAConfirmReadLearnsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 99)
		p := w.process("a")
		w.confirming = func(topup.Order, *topup.Confirmation) { p.stop() }
		p.begin(t)
		if err := <-p.ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
		if n := len(w.ledger.planned()); n != 0 || !slices.Equal(w.ledger.decisions("cus"), []topup.Reason{topup.Rechecking}) {
			t.Errorf("%d plans, decisions %v", n, w.ledger.decisions("cus"))
		}
	})
}
