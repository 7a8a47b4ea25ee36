package scheduler

import (
	"testing"
	"time"

	"topupd/rules"
	"topupd/topup"
)

func TestWhoHasLostTheRule(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*world)
		want   int
	}{
		{"nobody while there is one", func(*world) {}, 0},
		{"a typo in the rule's customers", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Match = rules.Match{CustomerIDs: []topup.CustomerID{"cus_typo"}} })
		}, 1},
		{"a typo in the rule's product, which is then not read", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Product = "itm_typo" })
		}, 1},
		{"the rule is for another provider", func(w *world) { w.reload(func(r *rules.Rule) { r.Providers = []string{"voice"} }) }, 1},
		{"excluded on purpose", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Match.ExcludeIDs = []topup.CustomerID{"bought"} })
		}, 0},
		{"the rule is in dry run", func(w *world) { w.reload(func(r *rules.Rule) { r.DryRun = true }) }, 0},
		{"paused by name", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Product = "itm_typo" })
			w.ledger.of("bought", func(s *topup.Standing) {
				s.Pauses = []topup.Pause{{Scope: topup.PauseCustomer, Subject: "bought", Reason: "contract ended"}}
			})
		}, 0},
		{"everybody is paused, which says nothing of them", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Product = "itm_typo" })
			w.ledger.of("bought", func(s *topup.Standing) { s.Pauses = []topup.Pause{{Scope: topup.PauseAll}} })
		}, 1},
		{"archived at the provider", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Match = rules.Match{CustomerIDs: []topup.CustomerID{"cus_typo"}} })
			w.set("bought", func(a *account) { a.inactive = "archived" })
		}, 0},
		{"bought for more than 90 days ago", func(w *world) {
			w.reload(func(r *rules.Rule) { r.Product = "itm_typo" })
			w.ledger.of("bought", func(s *topup.Standing) { s.CreditedAt = new(w.start.Add(-lostFor)) })
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("bought", 500)
				w.balance("never-bought", 500)
				w.ledger.of("bought", func(s *topup.Standing) { s.CreditedAt = new(w.start.Add(-24 * time.Hour)) })
				w.ledger.of("never-bought", func(*topup.Standing) {})
				p := w.run(t, "a")
				after(time.Second)
				tt.change(w)
				after(2 * pollTime)
				if got := p.board.lostRule(); got != tt.want {
					t.Errorf("%d have lost their rule, want %d", got, tt.want)
				}
				if told := len(p.journal.find("rule lost", map[string]string{"lost": "1"})); told != tt.want {
					t.Errorf("told %d times, want %d", told, tt.want)
				}
			})
		})
	}
}

// Of whom a new process has not read yet it cannot know whether a rule matches.
func TestAnOutageLosesNobodyTheirRule(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		matching := func(r *rules.Rule) { r.Match = rules.Match{Currency: "EUR"} }
		w.reload(matching)
		w.balance("bought", 500)
		w.balance("dry", 0)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
		w.ledger.of("bought", func(s *topup.Standing) { s.CreditedAt = &w.start })
		w.run(t, "a").end(t)
		w.away = errAway
		p := w.run(t, "b")
		after(time.Minute)
		if s := p.board.state("dry"); s.Reason != topup.ProviderUnavailable || s.Unserved || !s.DrySince.Equal(w.start) {
			t.Errorf("who was dry before is %+v", s)
		}
		if n := p.board.lostRule(); n != 0 {
			t.Errorf("%d have lost their rule", n)
		}
	})
}
