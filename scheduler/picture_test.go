package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/rules"
	"topupd/topup"
)

func TestRecoveryIsToldFromTheLastReadingAbove(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 100)
		p := w.run(t, "a")
		after(11 * time.Second) // last above at 10 s
		w.balance("cus", 50)    // low from 15 s on, bought at 20 s, seen above at 20 or 25 s
		after(time.Minute)
		if got := p.board.recoveries(); len(got) != 1 || got[0] < 10*time.Second || got[0] > 15*time.Second {
			t.Errorf("recovered after %v, want once, after 10 to 15 s", got)
		}
	})
}

// TestATryDoesNotEndTheTrouble: P16. A provider that turns every request away is
// asked again and again; each try must not begin the time of trouble anew.
func TestATryDoesNotEndTheTrouble(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		until := w.start.Add(time.Minute)
		w.ledger.do(func(m *memory) {
			m.change = func(s *topup.Standing) { s.Unused, s.UnusedUntil, s.Open, s.EndedAt = 3, &until, nil, nil }
		})
		tries := 0
		w.answering = func(topup.Purchase) bool { tries++; return false }
		p := w.run(t, "a")
		after(30 * time.Second)
		troubled := p.board.state("cus").TroubleSince
		if s := p.board.state("cus"); s.Reason != topup.ProviderUnavailable || troubled.IsZero() {
			t.Fatalf("state %+v, want trouble", s)
		}
		after(2 * time.Minute) // it was tried meanwhile
		if tries == 0 {
			t.Fatal("nothing was tried after the wait")
		}
		if s := p.board.state("cus"); !s.TroubleSince.Equal(troubled) {
			t.Errorf("in trouble since %s after the tries, was since %s", s.TroubleSince, troubled)
		}
	})
}

func TestTroubleAndDrynessHaveTimesOfTheirOwn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
		p := w.run(t, "a")
		after(time.Minute + time.Second)
		troubled := p.board.state("cus").TroubleSince
		if s := p.board.state("cus"); s.Reason != topup.PriceMismatch || !s.DrySince.IsZero() {
			t.Fatalf("state %+v", s)
		}
		w.balance("cus", 0) // dry at 65 s
		after(time.Minute)
		w.ledger.do(func(m *memory) { // another trouble, at 125 s
			m.change = func(s *topup.Standing) { s.Quarantined = "restored" }
		})
		after(time.Minute)
		s := p.board.state("cus")
		if s.Reason != topup.Quarantined || !s.TroubleSince.Equal(troubled) || !s.DrySince.Equal(w.start.Add(65*time.Second)) {
			t.Errorf("state %+v: one trouble after the other is one time of trouble", s)
		}
		w.ledger.do(func(m *memory) {
			m.change = func(s *topup.Standing) { s.Pauses = []topup.Pause{{Scope: topup.PauseAll}} }
		})
		after(pollTime)
		if s := p.board.state("cus"); !s.TroubleSince.IsZero() || s.DrySince.IsZero() {
			t.Errorf("a paused customer is nobody's trouble, but still dry: %+v", s)
		}
		w.balance("cus", 100)
		after(pollTime)
		if s := p.board.state("cus"); !s.DrySince.IsZero() || s.Reason != topup.Enough {
			t.Errorf("state %+v", s)
		}
	})
}

func TestADebtAndAMissingThresholdAreDryToo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.set("cus", func(a *account) { a.balance, a.threshold = -topup.Credit, nil })
		p := w.run(t, "a")
		after(time.Second)
		if s := p.board.state("cus"); s.Reason != topup.NoThreshold || !s.DrySince.Equal(w.start) {
			t.Errorf("state %+v", s)
		}
	})
}

func TestWhomNoRuleIsForIsNobodysTrouble(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.reload(func(r *rules.Rule) { r.Match = rules.Match{All: true, ExcludeIDs: []topup.CustomerID{"cus"}} })
		w.balance("cus", 0)
		p := w.run(t, "a")
		after(time.Second)
		if s := p.board.state("cus"); s.Reason != topup.Excluded || !s.DrySince.IsZero() || !s.TroubleSince.IsZero() {
			t.Errorf("state %+v", s)
		}
	})
}

func TestNativeTopUpThatDoesNotDeliverIsTrouble(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.set("cus", func(a *account) { a.balance, a.native = 0, "auto top-up" })
		p := w.run(t, "a")
		after(time.Minute)
		if s := p.board.state("cus"); s.Reason != topup.NativeAutoTopup || !s.TroubleSince.Equal(w.start) {
			t.Errorf("state %+v", s)
		}
	})
}

func TestANewHolderKnowsSinceWhen(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop func(*world)
		want topup.Reason
	}{
		{"while the trouble goes on", func(*world) {}, topup.PriceMismatch},
		{"while nobody can look any more", func(w *world) { w.away = errAway }, topup.ProviderUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 50)
				w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
				first := w.run(t, "a")
				after(10 * time.Minute)
				w.balance("cus", 0)
				after(10 * time.Minute)
				old := first.board.state("cus")
				first.end(t)
				tt.stop(w)
				after(time.Minute)
				second := w.run(t, "b")
				after(time.Second)
				got := second.board.state("cus")
				want := TargetState{
					Target: old.Target, Balance: old.Balance, Threshold: old.Threshold,
					Reason: tt.want, TroubleSince: old.TroubleSince, DrySince: old.DrySince,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the first picture of the new holder (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An older daemon recorded decisions without these times.
func TestARecordWithoutTimesIsNeverOlderThanItWas(t *testing.T) {
	balance, mark := topup.Credits(0), 100*topup.Credit
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	e := topup.Evaluation{
		Target: target("cus"), Reason: topup.OverCap, Since: noon.Add(-time.Hour), At: noon.Add(-time.Minute),
		Balance: &balance, Threshold: &mark,
	}
	got := recalled(e)
	if !got.troubled.Equal(e.Since) || !got.dry.Equal(e.At) || got.recalled != topup.OverCap {
		t.Errorf("troubled since %s, dry since %s, verdict %q", got.troubled, got.dry, got.recalled)
	}
	if !got.reading.ReadAt.IsZero() {
		t.Error("a recalled reading has an age, so that something might be bought on it")
	}
	e.Balance = nil
	if got := recalled(e); got.reading.Bad == "" || got.below || !got.dry.IsZero() {
		t.Errorf("an unreadable one: %+v", got)
	}
}

func TestProductsOfAProvider(t *testing.T) {
	b := rulebook()
	b.Rules.Rules = append(b.Rules.Rules, b.Rules.Rules[0], rules.Rule{Providers: []string{"voice", name}, Product: "itm_2"}, rules.Rule{Providers: []string{"voice"}, Product: "credits"})
	if diff := cmp.Diff([]topup.ProductID{"itm_1", "itm_2"}, b.Products(name)); diff != "" {
		t.Errorf("Products() (-want +got):\n%s", diff)
	}
}
