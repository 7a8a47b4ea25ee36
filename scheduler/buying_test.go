package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/rules"
	"topupd/topup"
)

func TestALowCustomerIsReadAgainAndBoughtForOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("low", 99)
		w.balance("full", 100)
		p := w.run(t, "a")
		after(time.Minute)

		if diff := cmp.Diff([]topup.CustomerID{"low"}, w.charged()); diff != "" {
			t.Fatalf("charged (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{5 * time.Second}, w.read(w.start)); diff != "" {
			t.Errorf("the second reading comes confirm_after the first, and no third (-want +got):\n%s", diff)
		}
		if got := w.polled(w.start)[:3]; !slices.Equal(got, []time.Duration{0, 5 * time.Second, 10 * time.Second}) {
			t.Errorf("polled at %v, want at once and every 5 s", got)
		}
		want := []topup.Reason{topup.Rechecking, topup.Buy}
		if diff := cmp.Diff(want, w.ledger.decisions("low")[:2]); diff != "" {
			t.Errorf("decisions (-want +got):\n%s", diff)
		}
		p.end(t)
		checkPlan(t, w)
	})
}

// checkPlan looks at what was frozen with the purchase.
func checkPlan(t *testing.T, w *world) {
	t.Helper()
	plan := w.ledger.planned()[0]
	p, confirmed := plan.Purchase, w.start.Add(5*time.Second)
	switch {
	case p.BalanceBefore != 99*topup.Credit || p.Threshold != 100*topup.Credit || !p.ReadAt.Equal(confirmed):
		t.Errorf("frozen reading: %s of %s at %s", p.BalanceBefore, p.Threshold, p.ReadAt)
	case p.PriceID != "pri_small" || p.Credits != 120*topup.Credit || p.Price.String() != "200.00 EUR":
		t.Errorf("frozen pack: %s, %s for %s", p.PriceID, p.Credits, p.Price)
	case p.Key == "" || p.ID == "" || p.Key == p.ID || p.Fingerprint != p.Request.Fingerprint() || p.Request.Path != "/buy/low":
		t.Errorf("frozen request: key %q, id %q, %+v", p.Key, p.ID, p.Request)
	case p.Policy != topup.PolicyRetry || p.QuietPeriod != 15*time.Minute || p.PurchaseTimeout != 75*time.Second || p.Declines.SuspendAfter != 4:
		t.Errorf("frozen terms: %+v", p)
	case plan.Facts.Version != 0 || !plan.Facts.At.Equal(confirmed) || plan.Facts.MaxAge != 2*time.Minute:
		t.Errorf("facts: %+v", plan.Facts)
	case len(plan.Caps) != 2 || plan.TokenFingerprint != "token" || plan.Lease.Holder != "a":
		t.Errorf("plan: %+v", plan)
	}
	var rule rules.Rule
	if err := json.Unmarshal(p.Terms, &rule); err != nil || cmp.Diff(rulebook().Rules.Rules[0], rule) != "" {
		t.Errorf("the frozen rule is not the rule: %v\n%s", err, cmp.Diff(rulebook().Rules.Rules[0], rule))
	}
	if len(plan.Evidence) != 1 || plan.Evidence[0].Kind != topup.EvidencePlanned || !json.Valid(plan.Evidence[0].Detail) {
		t.Errorf("evidence: %+v", plan.Evidence)
	}
	var why struct {
		Caps []string `json:"caps"`
	}
	if err := json.Unmarshal(plan.Evidence[0].Detail, &why); err != nil || len(why.Caps) != len(plan.Caps) || why.Caps[0] != plan.Caps[0].String() {
		t.Errorf("evidence names the caps %q, %v; want %v", why.Caps, err, plan.Caps)
	}
}

func TestTheSecondReadingDecides(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 99)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.Reading.Balance = 100 * topup.Credit }
		p := w.run(t, "a")
		after(time.Minute)
		if n := len(w.charged()); n != 0 {
			t.Fatalf("bought %d times although the second reading said enough", n)
		}
		if got := p.board.state("cus").Reason; got != topup.Enough {
			t.Errorf("reason %q, want what the confirm read found", got)
		}
	})
}

func TestABalanceThatRecoversBeforeTheSecondReadingStartsAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.reload(func(r *rules.Rule) { r.ConfirmAfter = 12 * time.Second })
		w.balance("cus", 99)
		w.run(t, "a")
		after(7 * time.Second)
		w.balance("cus", 100) // seen at 10 s
		after(4 * time.Second)
		w.balance("cus", 99) // low again at 15 s: read again at 27 s
		after(15*time.Second + 500*time.Millisecond)
		if n := len(w.charged()); n != 0 {
			t.Fatalf("bought after %v: the first low reading before the recovery must not count", w.read(w.start))
		}
		after(time.Second)
		if diff := cmp.Diff([]time.Duration{27 * time.Second}, w.read(w.start)); diff != "" {
			t.Errorf("confirm reads (-want +got):\n%s", diff)
		}
	})
}

func TestAExternalRowDelaysThePurchaseByACooldown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 99)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) {
			c.Topups = []topup.Topup{{ID: "cdt_portal", Invoice: "inv_portal", Credits: topup.Credit, At: w.start.Add(3 * time.Second)}}
		}
		p := w.run(t, "a")
		after(20 * time.Second)
		if n := len(w.charged()); n != 0 {
			t.Fatalf("bought %d times on facts that an import had overtaken", n)
		}
		if n := len(w.ledger.planned()); n != 0 {
			t.Errorf("the ledger was asked for %d plans on them", n)
		}
		if got := p.board.state("cus").Reason; got != topup.ExternalTopup {
			t.Errorf("reason %q, want external_topup", got)
		}
		after(5 * time.Minute)
		if diff := cmp.Diff([]topup.CustomerID{"cus"}, w.charged()); diff != "" {
			t.Errorf("charged after the cooldown (-want +got):\n%s", diff)
		}
		if at := w.paid(w.start); len(at) > 0 && at[0] < 3*time.Second+5*time.Minute {
			t.Errorf("charged %s after the start", at[0])
		}
	})
}

func TestARefusedPlanIsAReason(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse error
		want   topup.Reason // of the picture, once the check is over
	}{
		{"a cap that filled up meanwhile", &topup.CapError{Cap: topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Limit: 3}}, topup.OverCap},
		{"a pause thrown meanwhile", topup.ErrPaused, topup.Paused},
		{"a rule stopped meanwhile", topup.ErrRuleStopped, topup.RuleStopped},
		{"held after a change", topup.ErrChangeHeld, topup.ChangeHeld},
		{"a hold meanwhile", topup.ErrHeld, topup.Implausible},
		{"a purchase opened meanwhile", topup.ErrPurchaseOpen, topup.Rechecking},
		{"the first hold by the database clock", topup.ErrFirstHold, topup.Rechecking},
		{"a token refused meanwhile", topup.ErrProviderStopped, topup.ProviderUnavailable},
		{"facts that another purchase overtook", topup.ErrFactsOvertaken, topup.Rechecking},
		{"a lease lost meanwhile", topup.ErrLeaseLost, topup.Rechecking},
		{"facts too old by the database clock", topup.ErrFactsTooOld, topup.StaleReading},
		{"a commit in doubt", topup.ErrInDoubt, topup.ProviderUnavailable},
		{"anything else is trouble, not silence", errors.New("disk full"), topup.ProviderUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 99)
				w.ledger.refuse = tt.refuse
				p := w.run(t, "a")
				after(11 * time.Second)
				if got := p.board.state("cus").Reason; got != tt.want {
					t.Errorf("the picture says %q, want %q; decisions %v", got, tt.want, w.ledger.decisions("cus"))
				}
				if n := len(w.charged()); n != 0 {
					t.Errorf("bought %d times without a plan", n)
				}
			})
		})
	}
}

func TestRefusalWords(t *testing.T) {
	for err, want := range map[error]topup.Reason{
		topup.ErrPurchaseOpen: topup.StillOpen, topup.ErrFirstHold: topup.FirstHold,
		topup.ErrFactsOvertaken: topup.Rechecking, topup.ErrLeaseLost: topup.Rechecking,
	} {
		d, unknown := refusal(rules.Decision{Reason: topup.Buy}, err)
		if d.Reason != want || d.Text != err.Error() || unknown != nil {
			t.Errorf("refusal(%v) = %q (%s), %v; want %q", err, d.Reason, d.Text, unknown, want)
		}
	}
}

func TestACheckThatFailsOnOurSideIsRetriedLaterAndLater(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 99)
		w.prepareErr = errors.New("the order cannot be written down")
		p := w.run(t, "a")
		after(20 * time.Minute)
		got := p.board.state("cus")
		if since := got.TroubleSince.Sub(w.start); got.Reason != topup.ProviderUnavailable || since < 5*time.Second || since > 10*time.Second {
			t.Errorf("state %q in trouble since %s, want trouble from the poll after the first check on", got.Reason, since)
		}
		if e := w.ledger.last("cus"); e.Reason != topup.ProviderUnavailable || e.Text != "the check failed: preparing the request: the order cannot be written down" {
			t.Errorf("recorded: %q (%s)", e.Reason, e.Text)
		}
		if n := len(w.read(w.start)); n > 15 {
			t.Errorf("%d confirm reads in 20 minutes eat the budget", n)
		}
	})
}

func TestConfirmReadsThatFindAReasonComeLaterAndLater(t *testing.T) {
	for _, tt := range []struct {
		name   string
		reason topup.Reason
		wrong  func(*provider)
		first  time.Duration
		most   time.Duration
	}{
		{"one that may pass by itself", topup.BadReading, func(p *provider) {
			p.confirming = func(_ topup.Order, c *topup.Confirmation) { c.Reading.Bad = "null" }
		}, 10 * time.Second, 2 * time.Minute},
		{"one that takes people", topup.PriceMismatch, func(p *provider) {
			p.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "pri_small costs 210.00 EUR" }
		}, time.Minute, 30 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 99)
				w.do(tt.wrong)
				p := w.run(t, "a")
				after(3 * time.Hour)
				reads, wait := w.read(w.start), tt.first
				for i := 1; i < len(reads); i++ {
					if got := reads[i] - reads[i-1]; got != wait {
						t.Fatalf("read %d came %s after the one before, want %s: %v", i, got, wait, reads)
					}
					wait = min(2*wait, tt.most)
				}
				if s := p.board.state("cus"); s.Reason != tt.reason || s.TroubleSince.After(w.start.Add(10*time.Second)) || s.TroubleSince.IsZero() {
					t.Errorf("state %+v, want %s since the first confirm read", s, tt.reason)
				}
				if e := w.ledger.last("cus"); e.Reason != tt.reason || time.Since(e.At) > time.Minute+pollTime {
					t.Errorf("recorded %s ago as %q (%s)", time.Since(e.At), e.Reason, e.Text)
				}
				w.do(func(at *provider) { at.confirming = nil })
				after(tt.most + pollTime)
				if diff := cmp.Diff([]topup.CustomerID{"cus"}, w.charged()); diff != "" {
					t.Errorf("once all is right (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAReadFailureIsTriedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 99)
		w.confirmErr = func(topup.Order) error { return errors.New("HTTP 502") }
		p := w.run(t, "a")
		after(6 * time.Second)
		if e := w.ledger.last("cus"); e.Reason != topup.ProviderUnavailable || e.Text != "the confirm read failed: HTTP 502" {
			t.Errorf("recorded %q (%s)", e.Reason, e.Text)
		}
		w.do(func(at *provider) { at.confirmErr = nil })
		after(15 * time.Second)
		if len(w.charged()) != 1 || p.board.state("cus").Reason != topup.Enough {
			t.Errorf("charged %v, state %+v", w.charged(), p.board.state("cus"))
		}
	})
}

// The balance may fall past a bundle between the two readings. What is bought
// must be what the confirm read was about, price and cap included (P10).
func TestAPackIsBoughtOnlyAfterItsOwnPriceWasRead(t *testing.T) {
	asked := func(w *world) (ids []string) {
		for _, o := range w.orders() {
			ids = append(ids, o.PriceID)
		}
		return ids
	}
	fall := func(o topup.Order, c *topup.Confirmation) {
		c.Reading.Balance = 10 * topup.Credit // the small pack does not reach 200 any more
		if o.PriceID == "pri_large" {
			c.PriceProblem = "pri_large costs 950.00 EUR"
		}
	}
	t.Run("a wrong price of the other pack stops it", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			w.balance("cus", 99)
			w.confirming = fall
			p := w.run(t, "a")
			after(6 * time.Second)
			if diff := cmp.Diff([]string{"pri_small", "pri_large"}, asked(w)); diff != "" || len(w.charged()) != 0 {
				t.Errorf("asked about (-want +got):\n%s\ncharged %v", diff, w.charged())
			}
			after(pollTime)
			if got := p.board.state("cus").Reason; got != topup.PriceMismatch {
				t.Errorf("reason %q", got)
			}
		})
	})
	t.Run("a right price of the other pack buys it", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			w.balance("cus", 99)
			w.confirming = func(o topup.Order, c *topup.Confirmation) { fall(o, c); c.PriceProblem = "" }
			w.run(t, "a")
			after(6 * time.Second)
			if got := w.bought(); len(got) != 1 || got[0].PriceID != "pri_large" || got[0].BalanceBefore != 10*topup.Credit {
				t.Errorf("bought %+v", got)
			}
		})
	})
	t.Run("a balance that jumps to and fro waits", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			w.balance("cus", 99)
			w.confirming = func(o topup.Order, c *topup.Confirmation) {
				if o.PriceID == "pri_small" {
					c.Reading.Balance = 10 * topup.Credit
				}
			}
			w.run(t, "a")
			after(6 * time.Second)
			if n := len(w.charged()); n != 0 {
				t.Errorf("bought %d times", n)
			}
		})
	})
}

func TestTheMostUrgentGoesFirst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for customer, balance := range map[topup.CustomerID]int64{"a": 90, "b": -5, "c": 50, "d": 0, "e": 99} {
			w.balance(customer, balance)
		}
		w.buying = func(context.Context, topup.Purchase) { time.Sleep(time.Second) }
		w.run(t, "one", func(o *Options) { o.Workers = 1 })
		after(time.Minute)
		if diff := cmp.Diff([]topup.CustomerID{"b", "d", "c", "a", "e"}, w.charged()); diff != "" {
			t.Errorf("charged (-want +got):\n%s", diff)
		}
	})
}

func TestOneSlowPurchaseDoesNotKeepTheOthersWaiting(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for _, customer := range []topup.CustomerID{"slow", "b", "c", "d"} {
			w.balance(customer, 99)
		}
		w.balance("slow", 1)
		w.buying = func(_ context.Context, p topup.Purchase) {
			if p.Target.Customer == "slow" {
				time.Sleep(75 * time.Second)
			}
		}
		// With such a poll interval no poll wakes the second worker.
		w.run(t, "a", func(o *Options) { o.PollEvery = time.Hour })
		after(6 * time.Second)
		if n := len(w.charged()); n != 3 {
			t.Errorf("%d of 3 were bought for while one purchase was slow", n)
		}
	})
}

func TestAPurchaseThatDidNotRunIsTriedAgainSoon(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 99)
		w.answering = func(p topup.Purchase) bool { return time.Since(w.start) > 10*time.Second }
		w.run(t, "a")
		after(time.Minute)
		plans := w.ledger.planned()
		if len(w.charged()) != 1 || len(plans) != 2 || plans[0].Purchase.Key == plans[1].Purchase.Key {
			t.Fatalf("%d charges of %d plans, want the second with a key of its own", len(w.charged()), len(plans))
		}
		if got := w.paid(w.start)[0]; got < 35*time.Second || got > 50*time.Second {
			t.Errorf("charged after %s, want soon after the 30 s rest and two new readings", got)
		}
	})
}

func TestDryRunReadsAndRecordsButBuysNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.reload(func(r *rules.Rule) { r.DryRun = true })
		w.balance("cus", 99)
		p := w.run(t, "a")
		after(time.Minute)
		if s, n := p.board.state("cus"), len(w.ledger.planned()); n != 0 || s.Reason != topup.DryRun || !s.TroubleSince.IsZero() {
			t.Errorf("%d plans, state %+v", n, s)
		}
	})
}
