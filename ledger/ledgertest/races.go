package ledgertest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

var races = map[string]func(*testing.T, Opener){
	"fifty plans for one target open one purchase":     fiftyPlans,
	"caps are never passed, however many plan at once": capsUnderRace,
	"one permit wins": onePermit,
	"a permit and the reconciler's cancellation exclude":    permitAgainstCancel,
	"no permit is given after a pause returned":             permitAgainstPause,
	"one process gets the lease":                            oneLease,
	"evidence appended at once is all kept":                 appendAtOnce,
	"finished purchases are handed out once to many":        takeAtOnce,
	"a row is imported once by many":                        importAtOnce,
	"evaluations of many polls at once do not deadlock":     evaluateAtOnce,
	"whole lives beside each other leave the caps balanced": wholeLives,
}

// together runs fn n times at once.
func together(n int, fn func(int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() { <-start; fn(i) })
	}
	close(start)
	all.Wait()
}

func fiftyPlans(t *testing.T, open Opener) {
	d := newDesk(t, open)
	requests := make([]topup.PlanRequest, 50)
	for i := range requests {
		requests[i] = d.request(acme)
	}
	var won, found, overtaken atomic.Int64
	together(len(requests), func(i int) {
		switch _, err := d.store.Plan(t.Context(), requests[i]); {
		case err == nil:
			won.Add(1)
		case errors.Is(err, topup.ErrPurchaseOpen):
			found.Add(1)
		case errors.Is(err, topup.ErrFactsOvertaken):
			overtaken.Add(1)
		default:
			t.Error(err)
		}
	})
	if won.Load() != 1 || found.Load() != 49 {
		t.Errorf("%d planned, %d found it open, %d overtaken; want 1 and 49", won.Load(), found.Load(), overtaken.Load())
	}
	d.spentGlobally(1, 900_00)
}

func (d *desk) spentGlobally(purchases, minor int64) {
	d.t.Helper()
	n, spend, err := d.store.Spent(d.ctx(), topup.CapGlobal, "", "", topup.CapDay)
	d.must(err)
	if n != purchases || total(spend) != minor {
		d.t.Errorf("counted %d purchases, %d spent; want %d and %d", n, total(spend), purchases, minor)
	}
}

func capsUnderRace(t *testing.T, open Opener) {
	d := newDesk(t, open)
	limits := capped(
		topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 5 * 900_00},
		topup.Cap{Scope: topup.CapProvider, Period: topup.CapHour, Limit: 7})
	requests := make([]topup.PlanRequest, 30)
	for i := range requests {
		requests[i] = d.request(customer(i), limits)
	}
	var won atomic.Int64
	together(len(requests), func(i int) {
		if _, err := d.store.Plan(t.Context(), requests[i]); err == nil {
			won.Add(1)
		} else if !errors.Is(err, topup.ErrOverCap) {
			t.Error(err)
		}
	})
	if won.Load() != 5 {
		t.Errorf("%d purchases under a cap for five", won.Load())
	}
	d.spentGlobally(5, 5*900_00)
}

func onePermit(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	requests := make([]topup.PermitRequest, 20)
	for i := range requests {
		requests[i] = d.permission(p)
	}
	var won atomic.Int64
	together(len(requests), func(i int) {
		if _, err := d.store.Permit(t.Context(), requests[i]); err == nil {
			won.Add(1)
		} else if !errors.Is(err, topup.ErrOvertaken) {
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d permits", won.Load())
	}
}

func permitAgainstCancel(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for n := range 15 {
		p := d.plan(customer(n))
		request, change := d.permission(p), step(p, cancelled)
		var permitted, cancelledToo atomic.Bool
		together(2, func(i int) {
			var err error
			if i == 0 {
				_, err = d.store.Permit(t.Context(), request)
				permitted.Store(err == nil)
			} else {
				_, err = d.store.Advance(t.Context(), change)
				cancelledToo.Store(err == nil)
			}
			if err != nil && !errors.Is(err, topup.ErrOvertaken) {
				t.Error(err)
			}
		})
		if permitted.Load() == cancelledToo.Load() {
			t.Fatalf("permitted %t and cancelled %t", permitted.Load(), cancelledToo.Load())
		}
	}
}

func permitAgainstPause(t *testing.T, open Opener) {
	d := newDesk(t, open)
	const n = 20
	requests := make([]topup.PermitRequest, n)
	for i := range requests {
		requests[i] = d.permission(d.plan(customer(i)))
	}
	var paused atomic.Bool
	together(n+1, func(i int) {
		if i == n {
			d.paused(topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "stop"})
			paused.Store(true)
			return
		}
		after := paused.Load()
		_, err := d.store.Permit(t.Context(), requests[i])
		if err == nil && after {
			t.Error("a permit was given to a request made after the pause had returned")
		}
		if err != nil && !errors.Is(err, topup.ErrPaused) {
			t.Error(err)
		}
	})
	// What the pause reports as in flight is all that ever will be.
	sent := func() int {
		list, err := d.store.Purchases(t.Context(), ledger.Filter{States: []topup.State{topup.Sent}})
		d.must(err)
		return len(list)
	}
	before := sent()
	for _, r := range requests {
		if _, err := d.store.Permit(t.Context(), r); err == nil {
			t.Error("a permit was given under a pause")
		}
	}
	if after := sent(); after != before {
		t.Errorf("%d sent after the pause, then %d", before, after)
	}
}

func oneLease(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for range 5 {
		d.clock.forward(time.Hour)
		var holders atomic.Int64
		together(15, func(i int) {
			_, ok, err := d.store.Acquire(t.Context(), hyperline, fmt.Sprintf("host-%d", i), 12*time.Second)
			if err != nil {
				t.Error(err)
			}
			if ok {
				holders.Add(1)
			}
		})
		if holders.Load() != 1 {
			t.Fatalf("%d hold the lease", holders.Load())
		}
	}
}

func appendAtOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	together(20, func(i int) {
		if err := d.store.Append(t.Context(), p.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: fmt.Sprint(i)}); err != nil {
			t.Error(err)
		}
	})
	got, err := d.store.Evidence(t.Context(), p.ID)
	d.must(err)
	if len(got) != 22 {
		t.Errorf("%d lines of evidence, want 22", len(got))
	}
}

func takeAtOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for n := range 12 {
		d.advance(d.plan(customer(n)), cancelled)
	}
	var mu sync.Mutex
	taken := map[string]int{}
	together(6, func(int) {
		list, err := d.store.TakeFinished(t.Context(), hyperline, 5)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range list {
			taken[p.ID]++
		}
	})
	rest, err := d.store.TakeFinished(t.Context(), hyperline, 100)
	d.must(err)
	for _, p := range rest {
		taken[p.ID]++
	}
	if len(taken) != 12 {
		t.Errorf("%d handed out, want 12", len(taken))
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%s was handed out %d times", id, n)
		}
	}
}

func importAtOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	var imported atomic.Int64
	together(10, func(int) {
		n, err := d.store.Import(t.Context(), acme, []topup.Topup{addition("1", noon), addition("2", noon)})
		if err != nil {
			t.Error(err)
		}
		imported.Add(int64(n))
	})
	if s := d.standing(acme); imported.Load() != 2 || s.Version != 1 {
		t.Errorf("%d rows imported, version %d; want 2 and 1", imported.Load(), s.Version)
	}
	together(10, func(i int) { // each raises the version that the others have read
		if _, err := d.store.Import(t.Context(), acme, []topup.Topup{addition(fmt.Sprintf("own-%d", i), noon)}); err != nil {
			t.Error(err)
		}
	})
	if s := d.standing(acme); s.Version != 11 {
		t.Errorf("version %d after ten more imports, want 11", s.Version)
	}
}

func evaluateAtOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	together(6, func(i int) {
		var list []topup.Evaluation
		for n := range 40 {
			list = append(list, evaluation(customer((n*(i+1))%40), topup.Enough)) // every poll in another order
		}
		if err := d.store.RecordEvaluations(t.Context(), list); err != nil {
			t.Error(err)
		}
	})
}

func wholeLives(t *testing.T, open Opener) {
	d := newDesk(t, open)
	const n = 24
	together(n, func(i int) {
		p, err := d.store.Plan(t.Context(), d.request(customer(i%8), func(r *topup.PlanRequest) { r.Purchase.Rule = fmt.Sprintf("rule-%d", i%3) }))
		if errors.Is(err, topup.ErrPurchaseOpen) || errors.Is(err, topup.ErrFactsOvertaken) {
			return
		}
		d.carryOn(i, p, err)
	})
	list, err := d.store.Purchases(t.Context(), ledger.Filter{})
	d.must(err)
	var purchases, minor int64
	for _, p := range list {
		if p.State != topup.Cancelled {
			purchases++
		}
		if p.State == topup.Credited || p.State.Open() {
			minor += p.Price.Minor
		}
	}
	if len(list) < 8 {
		t.Errorf("only %d purchases of 8 targets", len(list))
	}
	d.spentGlobally(purchases, minor)
}

// carryOn takes a purchase to one of its ends.
func (d *desk) carryOn(i int, p topup.Purchase, err error) {
	ctx := d.ctx()
	if err == nil && i%4 != 0 {
		p, err = d.store.Permit(ctx, d.permission(p))
	}
	switch {
	case err != nil:
	case i%4 == 0, i%4 == 1:
		_, err = d.store.Advance(ctx, step(p, cancelled))
	case i%4 == 2:
		_, err = d.store.Advance(ctx, step(p, refused))
	default:
		if p, err = d.store.Advance(ctx, step(p, confirmed("inv_"+p.ID))); err == nil {
			_, err = d.store.Advance(ctx, step(p, credited))
		}
	}
	if err != nil {
		d.t.Error(err)
	}
}
