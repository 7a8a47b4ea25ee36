package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/topup"
)

// wallet is a history of one Talkover environment.
func wallet(replicas int) history { return alone(replicas, 0, 1) }

// byRise is an unclear purchase that the balance has confirmed.
var byRise = outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentNone, By: "evidence", Of: "rise", Requests: 1}

// forAPerson is an unclear purchase that only a person can settle.
var forAPerson = outcome{Path: "planned sent needs_review", Payment: topup.PaymentNone, Reason: topup.FailedConnection, Requests: 1}

// unclear lets the environment become low, and spoils its purchase request.
func (s *script) unclear(fault string) {
	s.at(time.Minute, func() { s.balance(0, "45") })
	s.request(0, 1, fault, 0)
}

// charged tells that the purchase request was executed.
func (s *script) charged() bool { return len(s.ordered(0)) > 0 }

// reviewOr ends the story ten minutes after the purchase needs review or is credited.
func (s *script) reviewOr() {
	s.endBy(40*time.Minute, 10*time.Minute, func() bool {
		state := s.row(0, 1).State
		return state == topup.NeedsReview || !state.Open() && state != ""
	})
}

// TestStoryAnUnclearChargeIsConfirmedByItsRise: P3. The charge was made and the
// answer lost. The balance rose once, by the amount, right after the request, and
// nothing else explains it.
func TestStoryAnUnclearChargeIsConfirmedByItsRise(t *testing.T) {
	s := play(t, wallet(2), func(s *script) {
		s.unclear("charge_then_drop")
		s.at(15*time.Minute, func() {
			if p := s.row(0, 1); p.State != topup.Sent || !strings.Contains(p.Found, "counts from") {
				t.Errorf("%s, found %q: want the rise shown, and not counted before the quiet period is over", p.State, p.Found)
			}
		})
		s.reviewOr()
	})
	s.want("api 1", byRise)
}

// TestStoryARechargeOfTheSameSizeAtTheSameMoment: P3, P8. Talkover's own top-up
// is switched on while our request is on its way, and recharges by the same
// amount. Whichever of the two the balance shows, a person has to say.
func TestStoryARechargeOfTheSameSizeAtTheSameMoment(t *testing.T) {
	for _, tt := range []struct {
		name, fault, captured, words string
		briefly                      bool // off again before anybody sees it on
	}{
		{"ours was charged too", "charge_then_drop", "api 1, native 1", "showed no rise", false},
		{"ours was not charged", "drop_without_charging", "native 1", "showed no rise", false},
		{"ours was charged too, and it was on for a moment", "charge_then_drop", "api 1, native 1", "rose more than once", true},
		{"ours was not charged, and it was on for a moment", "drop_without_charging", "native 1", "another explanation", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, wallet(2), func(s *script) {
				s.unclear(tt.fault)
				s.once("step permitted", 0, func(*replica) {
					s.recharge(`{"is_enabled":true,"recharge_amount":40,"threshold_amount":50}`)
					if tt.briefly {
						s.recharge(`{"is_enabled":false}`) // what has begun goes on
					}
				})
				s.at(2*time.Minute, func() { s.recharge(`{"is_enabled":false}`) })
				s.reviewOr()
			})
			s.want(tt.captured, forAPerson)
			s.told("quiet period over", tt.words)
		})
	}
}

// recharge changes the environment's own top-up.
func (s *script) recharge(settings string) {
	s.dashboard("PUT", "/talkover/api/v1/auto-topup/settings", s.customers[0].EnvironmentToken, settings)
	s.emu.Tick(s.now())
}

// TestStoryADashboardPurchaseOfAnotherSize: P3. The customer pays in 60 where we
// buy 40. With ours charged, only one rise fits; without, none does.
func TestStoryADashboardPurchaseOfAnotherSize(t *testing.T) {
	for _, tt := range []struct {
		name, fault, captured string
		want                  outcome
	}{
		{"ours was charged too", "charge_then_drop", "api 1, portal 1", byRise},
		{"ours was not charged", "drop_without_charging", "portal 1", forAPerson},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, wallet(2), func(s *script) {
				s.unclear(tt.fault)
				s.at(3*time.Minute, func() { s.portal(0, "") })
				s.reviewOr()
			})
			s.want(tt.captured, tt.want)
		})
	}
}

// TestStoryTheEnvironmentIsSwitchedDuringTheRise: P3. A person looks at another
// environment for a minute and comes back. What rose in between was not seen
// rising, so it is no evidence.
func TestStoryTheEnvironmentIsSwitchedDuringTheRise(t *testing.T) {
	s := play(t, alone(2, 0, 2), func(s *script) {
		s.unclear("charge_then_drop")
		s.when(s.charged, func() {
			s.switchEnvironment(s.customers[0].ID, time.Minute)
		})
		s.reviewOr()
	})
	s.want("api 1", forAPerson)
	s.told("quiet period over", "showed no rise")
}

// TestStoryACreditPostedLate: P3. Charged at once, posted minutes later: the rise
// counts when it comes.
func TestStoryACreditPostedLate(t *testing.T) {
	h := wallet(2)
	h.ListLate, h.Seed = 30*time.Minute, 7 // a third of it at Talkover; the seed draws minutes
	s := play(t, h, func(s *script) {
		s.unclear("charge_then_drop")
		s.reviewOr()
	})
	s.want("api 1", byRise)
	for _, c := range s.ending.books.Charges {
		if c.VisibleAt.Sub(c.At) < 2*time.Minute {
			t.Errorf("posted after %s: want minutes, else this tests nothing", c.VisibleAt.Sub(c.At))
		}
	}
}

// TestStoryUsageDuringTheRise: P3. Calls go on meanwhile and hide a part of it.
func TestStoryUsageDuringTheRise(t *testing.T) {
	s := play(t, wallet(2), func(s *script) {
		s.unclear("charge_then_drop")
		s.once("step permitted", 0, func(*replica) { _ = s.emu.SetUsage(s.customers[0].ID, decimal.MustNew(5, 1)) })
		s.at(2*time.Minute, s.emu.StopUsage) // or the next need would come
		s.reviewOr()
	})
	s.want("api 1", byRise)
	for _, p := range s.ending.rows {
		if jumps := p.Trail.Jumps; len(jumps) != 1 || jumps[0].Rise() >= 40*topup.Credit {
			t.Errorf("the rises %v: want one of less than 40, else this tests nothing", jumps)
		}
	}
}

// TestStoryTheRiseFallsIntoAGapAfterARestart: P3, P19. The only process is killed
// before the first sample and comes back a minute later. The rise was not seen,
// so a person is asked.
func TestStoryTheRiseFallsIntoAGapAfterARestart(t *testing.T) {
	s := play(t, wallet(1), func(s *script) {
		s.unclear("charge_then_drop")
		s.when(s.charged, func() { s.kill(0, time.Minute) })
		s.reviewOr()
	})
	want := forAPerson
	want.Reason = topup.FailedOther // the answer died with the process
	s.want("api 1", want)
	s.told("quiet period over", "showed no rise")
}

// TestStoryTheOtherProcessSeesTheRise: P3, P19. As before, but the other process
// takes over in time to see it.
func TestStoryTheOtherProcessSeesTheRise(t *testing.T) {
	s := play(t, wallet(2), func(s *script) {
		s.unclear("charge_then_drop")
		var sender *replica
		s.once("step permitted", 0, func(r *replica) { sender = r })
		s.when(s.charged, func() { s.kill(sender.n, time.Minute) })
		s.reviewOr()
	})
	s.want("api 1", byRise)
}

// TestStoryTalkoverIsNeverAskedTwice: P4. The request certainly did not run, and
// nobody can know: it is not repeated however low the customer is, and a person
// who has looked says so.
func TestStoryTalkoverIsNeverAskedTwice(t *testing.T) {
	s := play(t, wallet(2), func(s *script) {
		s.unclear("hang_without_charging")
		s.when(s.is(0, 1, topup.NeedsReview), func() { s.after(10*time.Minute, s.resolve) })
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 2, topup.Credited))
	})
	s.want("api 1",
		outcome{Path: "planned sent needs_review declined", Payment: topup.PaymentNone, Reason: topup.FailedTimeout, Requests: 1},
		outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentNone, By: "answer", Of: "api", Requests: 1})
}

// TestStoryAnotherAmountIsConfirmedByItsRise: P3, P10. The answer says yes to 44
// where 40 were ordered, and the balance shows 44: what was charged is known. The
// rule is stopped, since its price is wrong.
func TestStoryAnotherAmountIsConfirmedByItsRise(t *testing.T) {
	s := play(t, wallet(2), func(s *script) {
		s.unclear("wrong_amount")
		s.reviewOr()
	})
	want := byRise
	want.Of, want.Reason = "api", topup.FailedNone // the transaction that the answer named
	s.want("api 1", want)
	s.told("the rule is stopped")
	for _, p := range s.ending.rows {
		if p.Charged == nil || p.Charged.String() != "44.00 USD" {
			t.Errorf("charged %v, want 44.00 USD on the row", p.Charged)
		}
	}
}

// TestStoryAnotherEnvironmentBuysMeanwhile: P3. A second environment buys the
// same amount while ours is unclear, and its credits come after ours have risen.
// The two never showed the same balance, so its purchase explains nothing.
func TestStoryAnotherEnvironmentBuysMeanwhile(t *testing.T) {
	h := alone(2, 0, 2)
	h.ListLate = 9 * time.Minute // a third of it at Talkover
	s := play(t, h, func(s *script) {
		s.unclear("charge_then_drop")
		s.at(time.Minute, func() { s.balance(1, "20") })
		s.reviewOr()
	})
	for _, p := range s.ending.rows {
		if p.Target == s.target(0) && (p.ReferenceBy != "evidence" || len(p.Trail.Apart) == 0) {
			t.Errorf("%s by %q, apart %v: want it confirmed by its rise, and the other known to be apart", p.State, p.ReferenceBy, p.Trail.Apart)
		}
	}
}
