package ledgertest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

var changing = map[string]func(*testing.T, Opener){
	"a change that makes many low is bought for a few at once":  changeHolds,
	"a tenth of a large rule is bought for at once":             changeOfManyHolds,
	"a change is seen before the poll's decisions are kept":     changeUnrecorded,
	"whoever falls below the old threshold is bought for":       changeBelowOld,
	"a change in small steps is one change":                     changeInSteps,
	"a rehearsal is no change, and neither is its end":          changeRehearsed,
	"the first rules of a ledger are no change":                 changeFirst,
	"a rule for those who had none is a change":                 changeNoRule,
	"a new product is a change, a new customer is none":         changeNewProduct,
	"a rule that was away for an hour is no change":             changeAway,
	"a reading without a balance does not hide a change":        changeUnread,
	"whoever is not low any more is forgotten":                  changeOver,
	"resuming the rule accepts a change":                        changeResumed,
	"a paused rule is not resumed together with its change":     changePaused,
	"many who plan at once do not pass the bound of a change":   changeRaced,
	"a purchase that came to nothing is not counted once again": changeTriedAgain,
}

// judge records what a poll decides about targets at a balance.
func (d *desk) judge(threshold, balance int64, change func(*topup.Evaluation), targets ...topup.Target) {
	d.t.Helper()
	var list []topup.Evaluation
	for _, target := range targets {
		e := evaluation(target, topup.Enough)
		if balance < threshold {
			e.Reason = topup.Rechecking
		}
		e.Balance, e.Threshold = new(topup.Credits(balance)*topup.Credit), new(topup.Credits(threshold)*topup.Credit)
		if change != nil {
			change(&e)
		}
		list = append(list, e)
	}
	d.must(d.store.RecordEvaluations(d.ctx(), list))
}

// buys plans for every target at the balance and counts those that are bought for;
// all others must be held because of a change.
func (d *desk) buys(threshold, balance int64, targets ...topup.Target) (n int) {
	d.t.Helper()
	for _, target := range targets {
		p, err := d.store.Plan(d.ctx(), d.request(target, terms(threshold, balance)))
		switch {
		case err == nil:
			n++
			d.advance(p, cancelled)
		case !errors.Is(err, topup.ErrChangeHeld):
			d.t.Errorf("%s: %v, want ErrChangeHeld", target.Customer, err)
		}
	}
	return n
}

func terms(threshold, balance int64) func(*topup.PlanRequest) {
	return func(r *topup.PlanRequest) {
		r.Purchase.Threshold, r.Purchase.BalanceBefore = topup.Credits(threshold)*topup.Credit, topup.Credits(balance)*topup.Credit
	}
}

func several(from, to int) (list []topup.Target) {
	for n := from; n <= to; n++ {
		list = append(list, customer(n))
	}
	return list
}

func (d *desk) wantBought(want, got int) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("bought for %d, want %d", got, want)
	}
}

// changeHolds: a reload to 900 charged 39 of 40 customers.
func changeHolds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	all := several(1, 40)
	d.judge(100, 500, nil, all...)
	d.judge(900, 500, nil, all[:39]...)
	d.judge(900, 1000, nil, all[39])
	d.wantBought(5, d.buys(900, 500, all[:39]...))
	s := d.standing(customer(39))
	if s.Raised == nil || !s.Raised.Holds(500*topup.Credit) || s.Raised.Old != 100*topup.Credit || s.Raised.New != 900*topup.Credit || s.Raised.Rule != "api-credits" {
		t.Errorf("change = %+v", s.Raised)
	}
	known, _, err := d.store.Standings(t.Context(), hyperline)
	d.must(err)
	held := 0
	for _, s := range known {
		if s.Raised.Holds(500 * topup.Credit) {
			held++
		}
	}
	if held != 34 {
		t.Errorf("%d are held, want 34", held)
	}
	d.clock.forward(topup.ChangeWindow + time.Hour)
	d.takeLease()
	d.judge(900, 500, nil, all[:39]...)
	d.wantBought(5, d.buys(900, 500, all[:39]...)) // those who were let by before; waiting ends no hold
}

func changeOfManyHolds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.judge(100, 500, nil, several(1, 89)...)
	d.judge(900, 500, nil, several(1, 89)...)
	d.wantBought(8, d.buys(900, 500, several(1, 89)...))
}

func changeUnrecorded(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.judge(100, 500, nil, several(1, 20)...)
	d.wantBought(5, d.buys(900, 500, several(1, 20)...))
	d.judge(900, 500, nil, several(1, 20)...)
	d.wantBought(5, d.buys(900, 500, several(1, 20)...)) // those who were let by
}

func changeBelowOld(t *testing.T, open Opener) {
	d := newDesk(t, open)
	all := several(1, 20)
	d.judge(100, 500, nil, all...)
	d.judge(900, 500, nil, all...)
	d.wantBought(5, d.buys(900, 500, all...))
	d.wantBought(0, d.buys(900, 100, all[10:]...)) // exactly at the old threshold was enough
	d.wantBought(10, d.buys(900, 99, all[10:]...))
}

func changeInSteps(t *testing.T, open Opener) {
	d := newDesk(t, open)
	bought := 0
	d.judge(0, 5, nil, several(1, 20)...)
	for step := int64(1); step <= 20; step++ {
		// Every step makes one more customer low, whose balance is the old threshold.
		d.judge(5+step, 4+step, nil, customer(int(step)))
		d.judge(5+step, 400, nil, several(int(step)+1, 20)...)
		bought += d.buys(5+step, 4+step, customer(int(step)))
		d.clock.forward(time.Second)
	}
	d.wantBought(5, bought)
}

func changeRehearsed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	dry := func(e *topup.Evaluation) { e.DryRun = true }
	d.judge(100, 500, dry, several(1, 20)...)
	d.judge(900, 500, dry, several(1, 20)...)
	d.judge(900, 500, nil, several(1, 20)...)
	d.wantBought(20, d.buys(900, 500, several(1, 20)...))
}

func changeFirst(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.judge(900, 500, nil, several(1, 20)...)
	d.clock.forward(30 * time.Minute)
	d.takeLease()
	other := several(21, 40) // of the next product, by the next process
	for i := range other {
		other[i].Product = "itm_other"
	}
	d.judge(900, 500, nil, other...)
	d.wantBought(40, d.buys(900, 500, append(several(1, 20), other...)...))
}

func changeNoRule(t *testing.T, open Opener) {
	d := newDesk(t, open)
	none := func(e *topup.Evaluation) { e.Rule, e.Threshold, e.Reason = "", nil, topup.NoRule }
	d.judge(0, 50, none, several(1, 20)...)
	d.clock.forward(2 * time.Hour)
	d.takeLease()
	d.judge(100, 50, nil, several(1, 20)...)
	d.wantBought(5, d.buys(100, 50, several(1, 20)...))
}

func changeNewProduct(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.judge(100, 500, nil, several(1, 5)...)
	d.clock.forward(2 * time.Hour)
	d.takeLease()
	d.judge(100, 50, nil, several(21, 40)...) // new customers of a product that is watched
	d.wantBought(20, d.buys(100, 50, several(21, 40)...))
	added := several(1, 20)
	for i := range added {
		added[i].Product = "itm_added"
	}
	d.judge(100, 50, nil, added...)
	d.wantBought(5, d.buys(100, 50, added...))
}

func changeAway(t *testing.T, open Opener) {
	d := newDesk(t, open)
	none := func(e *topup.Evaluation) { e.Rule, e.Threshold, e.Reason = "", nil, topup.NoRule }
	d.judge(100, 500, nil, several(1, 20)...)
	d.clock.forward(time.Hour)
	d.takeLease()
	d.judge(0, 50, none, several(1, 20)...)
	d.clock.forward(time.Hour)
	d.takeLease()
	d.judge(100, 50, nil, several(1, 20)...)
	d.wantBought(20, d.buys(100, 50, several(1, 20)...))
}

func changeUnread(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.judge(100, 500, nil, several(1, 20)...)
	d.judge(900, 0, func(e *topup.Evaluation) { e.Balance, e.Reason = nil, topup.BadReading }, several(1, 20)...)
	d.judge(900, 500, nil, several(1, 20)...)
	d.wantBought(5, d.buys(900, 500, several(1, 20)...))
}

func changeOver(t *testing.T, open Opener) {
	d := newDesk(t, open)
	all := several(1, 20)
	d.judge(100, 500, nil, all...)
	d.judge(900, 500, nil, all...)
	d.wantBought(5, d.buys(900, 500, all...))
	d.judge(900, 1000, nil, all...) // somebody bought for them by hand
	d.judge(900, 800, nil, all...)  // and this is usage
	d.wantBought(20, d.buys(900, 800, all...))
}

func changeResumed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	all := several(1, 20)
	d.judge(100, 500, nil, all...)
	d.judge(900, 500, nil, all...)
	d.wantBought(5, d.buys(900, 500, all...))
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_20", By: "ana", Reason: "this one"})
	d.must(err)
	if r.Changed != 1 {
		t.Errorf("resuming a customer = %+v, want its hold lifted", r)
	}
	d.wantBought(1, d.buys(900, 500, customer(20)))
	r, err = d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseRule, Subject: "another", By: "ana", Reason: "meant so"})
	d.must(err)
	if r.Changed != 0 {
		t.Errorf("resuming another rule = %+v", r)
	}
	r, err = d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "meant so"})
	d.must(err)
	if r.Changed != 14 {
		t.Errorf("resuming the rule = %+v, want 14 holds lifted", r)
	}
	d.wantBought(20, d.buys(900, 500, all...))
	d.judge(2000, 950, nil, all...) // the next change is another one
	d.wantBought(5, d.buys(2000, 950, all...))
}

func changePaused(t *testing.T, open Opener) {
	d := newDesk(t, open)
	rule := topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "new threshold"}
	all := several(1, 20)
	d.judge(100, 500, nil, all...)
	d.paused(rule)
	d.judge(900, 500, nil, all...)
	_, err := d.store.Resume(t.Context(), rule)
	both, ok := errors.AsType[*ledger.SeveralPausesError](err)
	if !ok || len(both.Pauses) != 2 || both.Pauses[1].ID != ledger.ChangePause {
		t.Fatalf("Resume = %v, want the pause and the change", err)
	}
	r, err := d.store.Resume(t.Context(), rule, both.Pauses[0].ID)
	d.must(err)
	if len(r.Pauses) != 1 || r.Changed != 0 {
		t.Errorf("resuming the pause = %+v", r)
	}
	d.wantBought(5, d.buys(900, 500, all...))
	r, err = d.store.Resume(t.Context(), rule, ledger.ChangePause)
	d.must(err)
	if r.Changed != 15 {
		t.Errorf("accepting the change = %+v", r)
	}
}

func changeRaced(t *testing.T, open Opener) {
	d := newDesk(t, open)
	all := several(1, 16)
	d.judge(100, 500, nil, all...)
	d.judge(900, 500, nil, all[:8]...)
	var bought atomic.Int64
	var wg sync.WaitGroup
	for _, target := range all {
		request := d.request(target, terms(900, 500))
		wg.Go(func() {
			switch _, err := d.store.Plan(t.Context(), request); {
			case err == nil:
				bought.Add(1)
			case !errors.Is(err, topup.ErrChangeHeld):
				t.Errorf("%s: %v", target.Customer, err)
			}
		})
	}
	wg.Wait()
	d.wantBought(5, int(bought.Load()))
}

func changeTriedAgain(t *testing.T, open Opener) {
	d := newDesk(t, open)
	all := several(1, 20)
	d.judge(100, 500, nil, all...)
	d.judge(900, 500, nil, all...)
	for range 3 {
		d.wantBought(5, d.buys(900, 500, all...))
		d.judge(900, 500, nil, all...)
	}
}
