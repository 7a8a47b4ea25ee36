package scheduler

import (
	"encoding/json"
	"testing"
	"time"

	"topupd/rules"
	"topupd/topup"
)

func TestWhoIsNotServed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	idle := func(f *rules.Facts, t *tracked) { t.still.Since = f.Now.Add(-idleFor) }
	for _, tt := range []struct {
		name  string
		spoil func(*rules.Facts, *tracked)
		want  bool
	}{
		{"whoever is bought for is served", func(*rules.Facts, *tracked) {}, false},
		{"without a rule", func(f *rules.Facts, _ *tracked) { f.Rule = nil }, true},
		{"excluded", func(f *rules.Facts, _ *tracked) { f.Rule, f.Excluded = nil, true }, true},
		{"in dry run", func(f *rules.Facts, _ *tracked) { f.Rule.DryRun = true }, true},
		{"archived", func(_ *rules.Facts, t *tracked) { t.reading.Account.Inactive = "archived" }, true},
		{"a threshold of 0", func(_ *rules.Facts, t *tracked) { t.reading.Threshold = new(topup.Credits) }, true},
		{"a threshold of 0 that the rule sets", func(f *rules.Facts, _ *tracked) { f.Rule.Threshold.Fixed = new(topup.Credits) }, true},
		{"a threshold of 0 while the provider is away", func(f *rules.Facts, t *tracked) {
			f.Unreadable, t.reading.Threshold = "connection refused", new(topup.Credits)
		}, true},
		{"the smallest threshold", func(_ *rules.Facts, t *tracked) { t.reading.Threshold = new(topup.Credits(1)) }, false},
		{"no threshold is trouble, and no choice", func(_ *rules.Facts, t *tracked) { t.reading.Threshold = nil }, false},
		{"paused", func(f *rules.Facts, _ *tracked) { f.Standing.Pauses = []topup.Pause{{Scope: topup.PauseAll}} }, false},
		{"never asked for and idle for 30 days", idle, true},
		{"never asked for and idle for a second less", func(f *rules.Facts, t *tracked) { t.still.Since = f.Now.Add(time.Second - idleFor) }, false},
		{"idle, and a purchase was declined once", func(f *rules.Facts, t *tracked) { idle(f, t); f.Standing.EndedAt = &now }, false},
		{"idle, and a purchase is open", func(f *rules.Facts, t *tracked) { idle(f, t); f.Standing.Open = &topup.Purchase{} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := rules.Facts{Now: now, Rule: &rules.Rule{}}
			tr := &tracked{reading: topup.Reading{Threshold: new(100 * topup.Credit)}, still: still{Since: now.Add(-time.Hour)}}
			tt.spoil(&f, tr)
			if got := tr.unserved(f); got != tt.want {
				t.Errorf("unserved = %t, want %t", got, tt.want)
			}
		})
	}
}

// A threshold of 0 and an archived customer are known to the next process too,
// though the provider is away and shows neither.
func TestWhoIsNotServedIsRememberedWhileTheProviderIsAway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.set("zero", func(a *account) { a.balance, a.threshold = 0, new(topup.Credits) })
		w.set("archived", func(a *account) { a.balance, a.inactive = 0, "archived" })
		w.balance("served", 0)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
		w.run(t, "a").end(t)
		w.away = errAway
		second := w.run(t, "b")
		after(5 * time.Minute) // its own records have replaced those of the first
		second.end(t)
		third := w.run(t, "c")
		after(time.Second)
		for customer, want := range map[topup.CustomerID]bool{"zero": true, "archived": true, "served": false} {
			if s := third.board.state(customer); s.Reason != topup.ProviderUnavailable || s.DrySince.IsZero() || s.Unserved != want {
				t.Errorf("%s: %+v, want unserved %t", customer, s, want)
			}
		}
	})
}

// Whoever was never asked for counts as churned once the balance has stood still for
// 30 days, which the next process knows from the ledger; using credits begins anew.
func TestAnIdleCustomerIsNoLongerServed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 0)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
		w.run(t, "a").end(t)
		w.ledger.do(func(m *memory) { // as if that had been long ago
			e := m.news[target("cus")]
			var kept detail
			if err := json.Unmarshal(e.Detail, &kept); err != nil || kept.Still == nil {
				t.Fatalf("recorded %s: %v", e.Detail, err)
			}
			kept.Still.Since = w.start.Add(30*time.Second - idleFor)
			e.Detail, _ = json.Marshal(kept)
			m.news[e.Target] = e
		})
		p := w.run(t, "b")
		after(time.Second)
		if p.board.state("cus").Unserved {
			t.Error("not served any more before 30 days were over")
		}
		after(time.Minute)
		if !p.board.state("cus").Unserved {
			t.Error("still served after 30 idle days")
		}
		w.balance("cus", -1)
		after(2 * pollTime)
		if p.board.state("cus").Unserved {
			t.Error("not served although it uses credits again")
		}
	})
}

func TestSinceWhenAPauseKeepsALowTargetBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("low", 50)
		w.balance("enough", 500)
		at := func(d time.Duration) time.Time { return w.start.Add(-d) }
		w.ledger.do(func(m *memory) {
			m.change = func(s *topup.Standing) {
				s.Pauses = []topup.Pause{
					{Scope: topup.PauseAll, At: at(time.Hour)},
					{Scope: topup.PauseRule, Subject: "api-credits", Cause: topup.StopPrice, At: at(9 * time.Hour)},
					{Scope: topup.PauseRule, Subject: "other", At: at(8 * time.Hour)},
					{Scope: topup.PauseRule, Subject: "api-credits", At: at(2 * time.Hour)},
				}
			}
		})
		p := w.run(t, "a")
		after(time.Second)
		if s := p.board.state("low"); !s.PausedSince.Equal(at(2 * time.Hour)) {
			t.Errorf("low: paused since %s, want %s", s.PausedSince, at(2*time.Hour))
		}
		if s := p.board.state("enough"); !s.PausedSince.IsZero() {
			t.Errorf("enough: paused since %s", s.PausedSince)
		}
	})
}

// Whatever holds nobody who would be bought for holds nobody.
func TestNobodyIsHeldInDryRun(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 0)
		w.ledger.do(func(m *memory) {
			m.row(target("cus")) // stored, so that it is among the standings
			m.change = func(s *topup.Standing) { s.Implausible, s.DoubtedAt = "many fell", &w.start }
		})
		p := w.run(t, "a")
		after(time.Second)
		if p.board.state("cus").HeldSince.IsZero() {
			t.Error("not held")
		}
		w.reload(func(r *rules.Rule) { r.DryRun = true })
		after(pollTime)
		if s := p.board.state("cus"); !s.HeldSince.IsZero() {
			t.Errorf("held in dry run: %+v", s)
		}
	})
}
