package scheduler

import (
	"testing"
	"time"

	"topupd/topup"
)

func TestTakeIsByUrgencyAmongThoseThatAreDue(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	q := newQueue(4)
	q.put(waiting{class: first, target: target("later but emptier"), due: noon.Add(time.Second), left: -5})
	q.put(waiting{class: first, target: target("half"), due: noon, left: 500})
	q.put(waiting{class: first, target: target("half, longer due"), due: noon.Add(-time.Minute), left: 500})
	q.put(waiting{class: first, target: target("empty"), due: noon, left: 0})
	q.notify() // the poll is over
	for _, want := range []topup.CustomerID{"empty", "half, longer due", "half"} {
		<-q.wake // of the poll, then of the takes: while somebody waits, somebody else must look
		if got, ok, _ := q.take(noon); !ok || got.target.Customer != want {
			t.Fatalf("take() = %q, %v; want %q", got.target.Customer, ok, want)
		}
	}
	if _, ok, wait := q.take(noon); ok || wait != time.Second {
		t.Errorf("take() = %v, wait %s; want to wait 1s for the next", ok, wait)
	}
	if got, ok, _ := q.take(noon.Add(time.Second)); !ok || got.target.Customer != "later but emptier" {
		t.Errorf("take() = %q, %v", got.target.Customer, ok)
	}
	if _, ok, wait := q.take(noon); ok || wait != 0 {
		t.Errorf("take() of nobody = %v, wait %s", ok, wait)
	}
}

func TestATargetIsCheckedByOneWorkerAtATime(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	q := newQueue(4)
	w := waiting{class: first, target: target("cus"), due: noon}
	q.put(w)
	q.take(noon)
	q.put(w)
	if _, ok, _ := q.take(noon); ok {
		t.Fatal("taken twice")
	}
	q.done(w.target)
	q.put(w)
	if _, ok, _ := q.take(noon); !ok {
		t.Error("not taken again after it was done")
	}
	q.put(waiting{class: first, target: target("other"), due: noon})
	q.drop(target("other"))
	if n := q.len(); n != 1 { // cus is still busy
		t.Errorf("len() = %d", n)
	}
}

func TestLeftOf(t *testing.T) {
	for _, tt := range []struct {
		name               string
		balance, threshold topup.Credits
		want               int64
	}{
		{"full", 100 * topup.Credit, 100 * topup.Credit, 1000},
		{"half", 50 * topup.Credit, 100 * topup.Credit, 500},
		{"a debt", -10 * topup.Credit, 100 * topup.Credit, -100},
		{"a threshold of zero does not divide", -topup.Credit, 0, -1_000_000},
		{"nor does a negative one", -topup.MaxCredits, -topup.Credit, -int64(topup.MaxCredits)},
		{"the largest amounts fit", topup.MaxCredits, 1, int64(topup.MaxCredits)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := leftOf(tt.balance, tt.threshold); got != tt.want {
				t.Errorf("leftOf(%s, %s) = %d, want %d", tt.balance, tt.threshold, got, tt.want)
			}
		})
	}
}

// Targets that wait for their time must cost no processor time: in a bubble a
// worker that spins would keep the clock from moving.
func TestWaitingTargetsDoNotKeepWorkersBusy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for _, customer := range []topup.CustomerID{"a", "b", "c", "d"} {
			w.balance(customer, 50)
		}
		w.run(t, "one", func(o *Options) { o.Workers = 3 })
		after(time.Minute)
		if n := len(w.charged()); n != 4 {
			t.Errorf("bought for %d of 4", n)
		}
	})
}
