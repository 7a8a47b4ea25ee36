package scheduler

import (
	"encoding/json"
	"testing"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// sent is a purchase of the small pack that went out 20 minutes ago and left no
// trace.
func (w *world) sent(t *testing.T, customer topup.CustomerID) topup.Purchase {
	t.Helper()
	rule := rulebook().Rules.Rules[0]
	terms, err := json.Marshal(rule)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-20 * time.Minute)
	p := topup.Purchase{
		ID: "0193-sent", Target: target(customer), State: topup.Sent, Rule: rule.Name, Terms: terms, Baseline: []string{"cdt_old", "inv_old"},
		Credits: 120 * topup.Credit, Price: rule.Buy.Bundles[0].Price, PriceID: "pri_small", QuietPeriod: 15 * time.Minute,
		ReadAt: at.Add(-time.Second), PlannedAt: at, SentAt: &at, LastSentAt: &at, LookedAt: &at,
	}
	w.ledger.of(customer, func(s *topup.Standing) { s.Open, s.Version = &p, 7 })
	return p
}

func TestAgain(t *testing.T) {
	row := func(w *world, id string, ago time.Duration) topup.Topup {
		return topup.Topup{ID: id, Invoice: "inv_" + id, Credits: 120 * topup.Credit, PriceID: "pri_small", At: time.Now().Add(-ago)}
	}
	for _, tt := range []struct {
		name   string
		change func(*world)
		want   topup.Reason
	}{
		{"still low: would be bought again", func(*world) {}, topup.Buy},
		{"filled by somebody else", func(w *world) { w.balance("cus", 100) }, topup.Enough},
		{"a row that may be this purchase", func(w *world) {
			w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.Topups = []topup.Topup{row(w, "new", 19*time.Minute)} }
		}, topup.StillOpen},
		{"an invoice that may be this purchase", func(w *world) {
			w.confirming = func(o topup.Order, c *topup.Confirmation) {
				c.Invoices = []topup.Invoice{{ID: "inv_new", Products: []topup.ProductID{"itm_1"}, Credit: true, Amount: o.Price, Payment: topup.PaymentPaid, At: time.Now()}}
			}
		}, topup.StillOpen},
		{"a row from before the purchase", func(w *world) {
			w.confirming = func(_ topup.Order, c *topup.Confirmation) {
				old := row(w, "old", 19*time.Minute)
				c.Topups = []topup.Topup{{ID: "cdt_old", Invoice: "inv_old", Credits: old.Credits, PriceID: old.PriceID, At: old.At}, row(w, "yesterday", 24*time.Hour)}
			}
		}, topup.Buy},
		{"paused meanwhile", func(w *world) {
			w.ledger.of("cus", func(s *topup.Standing) { s.Pauses = []topup.Pause{{Scope: topup.PauseAll}} })
		}, topup.Paused},
		{"a bad reading", func(w *world) { w.set("cus", func(a *account) { a.bad = "null" }) }, topup.BadReading},
		{"today's rules are not read", func(w *world) {
			w.reload(func(r *rules.Rule) {
				r.DryRun, r.Threshold, r.Buy.Bundles = true, rules.Threshold{Fixed: new(topup.Credits)}, r.Buy.Bundles[1:]
			})
		}, topup.Buy},
		{"no rule at all any more", func(w *world) { w.book = &Rulebook{} }, topup.Buy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 50)
				p := w.sent(t, "cus")
				tt.change(w)
				got, err := w.process("a").Again(t.Context(), p)
				if err != nil || got.Reason != tt.want || got.Text == "" {
					t.Fatalf("Again() = %+v, %v; want %q", got, err, tt.want)
				}
				if order := w.confirms[0]; order.PriceID != "pri_small" || order.Credits != p.Credits || order.Price != p.Price {
					t.Errorf("the confirm read asked about %+v, not about what was sent", order)
				}
				if tt.want == topup.Buy && (got.Facts.Version != 7 || !got.Facts.At.Equal(w.start) || got.Facts.MaxAge != 2*time.Minute || got.ServerTime.IsZero()) {
					t.Errorf("facts for the permit: %+v", got)
				}
				if n := len(w.ledger.external); n != 0 {
					t.Errorf("%d rows were imported: before a repeat they are evidence", n)
				}
			})
		})
	}
}

func TestADryRunRepeatsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		got, err := w.process("a", func(o *Options) { o.DryRun = true }).Again(t.Context(), w.sent(t, "cus"))
		if err != nil || got.Reason != topup.DryRun || len(w.confirms) != 0 {
			t.Errorf("Again() = %+v, %v after %d reads", got, err, len(w.confirms))
		}
	})
}

func TestAgainFailsRatherThanGuess(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*world, *topup.Purchase)
	}{
		{"terms that cannot be read", func(_ *world, p *topup.Purchase) { p.Terms = []byte("{") }},
		{"a ledger that is away", func(w *world, _ *topup.Purchase) { w.ledger.away = errAway }},
		{"a provider that is away", func(w *world, _ *topup.Purchase) { w.away = errAway }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 50)
				p := w.sent(t, "cus")
				tt.change(w, &p)
				if got, err := w.process("a").Again(t.Context(), p); err == nil || got.Reason == topup.Buy {
					t.Errorf("Again() = %+v, %v; want an error", got, err)
				}
			})
		})
	}
}
