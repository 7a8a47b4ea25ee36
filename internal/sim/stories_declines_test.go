package sim

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// refused is a history in which the card is declined, and what the refusal
// leaves behind is collected by the provider's own retries.
func refused(style emulator.DeclineStyle, retries ...time.Duration) history {
	h := alone(2, 1, 0)
	h.Poll = 30 * time.Second
	h.Profile.Decline, h.Retries = style, retries
	return h
}

// declines fails the test when the ledger has counted another number of declines
// in a row by then.
func (s *script) declines(at time.Duration, want int) {
	s.at(at, func() {
		if got := s.standing(0).Declines; got != want {
			s.t.Errorf("after %s %d declines in a row are counted, want %d", at, got, want)
		}
	})
}

func (s *script) card(at time.Duration, c emulator.Card) {
	s.at(at, func() { _ = s.emu.SetCard(s.customers[0].ID, c) })
}

// TestStoryARefusalLeavesAnInvoiceThatIsCollectedLater: P3, P7, P9. The provider
// says no and leaves an unpaid invoice, which its own retry collects two hours
// later. The no counts as a decline at once, and the invoice is found to be ours:
// the purchase waits for it, and nothing is bought beside it.
func TestStoryARefusalLeavesAnInvoiceThatIsCollectedLater(t *testing.T) {
	s := play(t, refused(emulator.DeclineRefusedUnpaid, 2*time.Hour), func(s *script) {
		s.card(0, emulator.CardDeclined)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.declines(2*time.Minute, 1)
		s.declines(time.Hour, 1)
		s.card(time.Hour, emulator.CardGood)
		s.endBy(3*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "api", Requests: 1})
	if got := s.ending.stands[topup.CustomerID(s.customers[0].ID)].Declines; got != 0 {
		t.Errorf("%d declines in a row after the payment, want none", got)
	}
}

// TestStoryADeclinedCardIsCollectedTwelveHoursLater: P3, P9. Nothing is bought in
// the fourteen hours in which the provider may still collect.
func TestStoryADeclinedCardIsCollectedTwelveHoursLater(t *testing.T) {
	h := refused(emulator.DeclineRefusedUnpaid, 2*time.Hour, 12*time.Hour)
	h.Replicas = 1
	s := play(t, h, func(s *script) {
		s.card(0, emulator.CardDeclined)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.card(10*time.Hour, emulator.CardGood)
		s.endBy(16*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "api", Requests: 1})
	for _, c := range s.ending.books.Captured() {
		if c.CapturedBy != "retry" || c.CapturedAt.Sub(began) < 14*time.Hour {
			t.Errorf("collected by %s after %s: want the second retry", c.CapturedBy, c.CapturedAt.Sub(began))
		}
	}
}

// TestStoryARefusalThatLeavesNothingIsOver: P7. Two complete looks after the
// quiet period find nothing; the decline is counted once, and the next attempt
// comes after the back-off.
func TestStoryARefusalThatLeavesNothingIsOver(t *testing.T) {
	s := play(t, refused(emulator.DeclineRefused), func(s *script) {
		s.card(0, emulator.CardDeclined)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.declines(2*time.Minute, 1)
		s.card(10*time.Minute, emulator.CardGood)
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 2, topup.Credited))
	})
	s.want("api 1",
		outcome{Path: "planned sent declined", Payment: topup.PaymentNone, Reason: topup.FailedDeclined, Requests: 1},
		outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 1})
}

// TestStoryAnArchivedCustomerIsRefusedNotDeclined: P7. The customer is archived
// between the confirm read and the request, and Hyperline refuses it. That is in
// nobody's card: no decline is counted, and the words are kept.
func TestStoryAnArchivedCustomerIsRefusedNotDeclined(t *testing.T) {
	s := play(t, refused(emulator.DeclineRefused), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step permitted", 0, func(*replica) { _ = s.emu.Archive(s.customers[0].ID) })
		s.declines(5*time.Minute, 0)
		s.at(5*time.Minute, func() {
			standing := s.standing(0)
			if standing.Refusals != 1 || !strings.Contains(standing.Refusal, "The customer is archived") || standing.BackoffUntil == nil {
				t.Errorf("%d refusals, the last %q, back-off until %v", standing.Refusals, standing.Refusal, standing.BackoffUntil)
			}
		})
		s.endBy(2*time.Hour, 5*time.Minute, s.is(0, 1, topup.Declined))
	})
	s.want("", outcome{Path: "planned sent declined", Payment: topup.PaymentNone, Reason: topup.FailedRefused, Requests: 1})
}

// TestStoryAFailedPaymentIsNoFinalDecline: P9. The yes comes with an invoice that
// no retry collects. It counts as a decline, the purchase stays confirmed, and
// when the customer brings another card the provider collects after all: once.
func TestStoryAFailedPaymentIsNoFinalDecline(t *testing.T) {
	s := play(t, refused(emulator.DeclineCreatedUnpaid, 30*time.Minute), func(s *script) {
		s.card(0, emulator.CardDeclined)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.declines(20*time.Minute, 0) // not collected yet is not refused
		s.at(2*time.Hour, func() {
			p, standing := s.row(0, 1), s.standing(0)
			if p.State != topup.Confirmed || p.Payment != topup.PaymentFailed || standing.Declines != 1 || s.reason(0) != topup.InvoiceUnpaid {
				t.Errorf("%s, payment %s, %d declines, the picture says %s: want it confirmed and failed, one, %s",
					p.State, p.Payment, standing.Declines, s.reason(0), topup.InvoiceUnpaid)
			}
		})
		s.card(3*time.Hour, emulator.CardGood)
		s.endBy(5*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 1})
}

// TestStoryARefusedRepeatProvesNothingAboutTheFirst: P3, P4, P7. The outcome of
// the first request is unclear, the repeat is refused: no decline is counted,
// and the purchase goes on as unclear until a repeat is answered with yes.
func TestStoryARefusedRepeatProvesNothingAboutTheFirst(t *testing.T) {
	s := play(t, refused(emulator.DeclineRefused), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "hang_without_charging", 0)
		s.request(0, 2, "decline", 0)
		s.declines(25*time.Minute, 0)
		s.at(25*time.Minute, func() {
			if p := s.row(0, 1); p.State != topup.Sent || p.Attempts != 2 || p.Refused {
				t.Errorf("%s after %d requests, refused %t: want it unclear after the refused repeat", p.State, p.Attempts, p.Refused)
			}
		})
		s.endBy(2*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 3})
}

// TestStoryThePriceRisesBetweenConfirmReadAndCharge: P10. The charge is at the
// new price. The true amount is stored, and the rule is stopped before anything
// else is bought.
func TestStoryThePriceRisesBetweenConfirmReadAndCharge(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step permitted", 0, func(*replica) { _ = s.emu.SetPrice(emulator.SmallPack, 22_000) })
		s.at(3*time.Minute, func() { s.balance(0, "80") })
		s.when(s.paused, func() { s.tell("", "* the rule is stopped") })
		s.endBy(10*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, Reason: topup.FailedMismatch, By: "answer", Of: "api", Requests: 1})
	s.dearer()
}

// TestStoryADeclineAtAnotherPriceIsNoEmptyLook: P3, P10. As before, and the card
// is refused, with an unpaid bill of the new price left behind. It may be ours,
// so no look is empty while it is open; when it is collected, its ledger row
// tells that it is.
func TestStoryADeclineAtAnotherPriceIsNoEmptyLook(t *testing.T) {
	s := play(t, refused(emulator.DeclineRefusedUnpaid, 2*time.Hour), func(s *script) {
		s.card(0, emulator.CardDeclined)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step permitted", 0, func(*replica) { _ = s.emu.SetPrice(emulator.SmallPack, 22_000) })
		s.card(time.Hour, emulator.CardGood)
		s.at(time.Hour, func() {
			if p := s.row(0, 1); p.State != topup.Sent || p.EmptyLooks != 0 || p.Found == "" {
				t.Errorf("%s, %d empty looks, found %q: want it to wait for the bill", p.State, p.EmptyLooks, p.Found)
			}
		})
		s.endBy(3*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, Reason: topup.FailedMismatch, By: "evidence", Of: "api", Requests: 1})
	s.dearer()
}

func (s *script) paused() bool { return len(s.judge.pauses) > 0 }

// dearer wants the first purchase stored with what it truly cost, and its rule
// to have been paused for it.
func (s *script) dearer() {
	s.t.Helper()
	if len(s.ending.rows) == 0 {
		s.t.Fatal("nothing was bought")
	}
	if got := s.ending.rows[0].Charged; got == nil || got.Minor != 22_000 {
		s.t.Errorf("charged %v, want 220.00 EUR", got)
	}
	if s.pausesThrown == 0 {
		s.t.Error("the rule was not stopped")
	}
}

// TestStoryThreeRefusalsStopTheRule: P7, P12. The provider refuses whatever the rule
// asks for. Three customers find that out, not twelve; after a quarter of an hour
// one more is tried, then after half an hour, and its yes lets all the others go.
func TestStoryThreeRefusalsStopTheRule(t *testing.T) {
	var first, second int
	s := play(t, alone(2, 12, 0), func(s *script) {
		s.at(time.Minute, func() {
			for i := range s.customers {
				s.balance(i, "90")
			}
		})
		s.spoils = append(s.spoils, func(r *http.Request, f *emulator.Faults) {
			if r.Method == http.MethodPost && s.now().Sub(began) < 30*time.Minute {
				f.Next = []string{"refuse"}
			}
		})
		s.at(15*time.Minute, func() {
			first = len(s.judge.rows)
			if got := s.reason(11); got != topup.RuleStopped {
				t.Errorf("the last customer is %s, want %s", got, topup.RuleStopped)
			}
		})
		s.at(29*time.Minute, func() { second = len(s.judge.rows) })
		s.endBy(3*time.Hour, 5*time.Minute, func() bool {
			credited := 0
			for _, f := range s.judge.rows {
				if f.row.State == topup.Credited {
					credited++
				}
			}
			return credited == 12
		})
	})
	if first != topup.RefusalsAlike || second != topup.RefusalsAlike+1 {
		t.Errorf("%d purchases in the first quarter of an hour and %d before the provider was put right, want 3 and 4", first, second)
	}
	if got := len(s.ending.books.Captured()); got != 12 {
		t.Errorf("%d customers were charged, want all 12", got)
	}
}

// TestStoryArchivedCustomersStopNobody: P7. Four customers are archived right before
// their requests arrive, and are refused for that. It is in no rule: a fifth is
// bought for.
func TestStoryArchivedCustomersStopNobody(t *testing.T) {
	s := play(t, alone(1, 5, 0), func(s *script) {
		for i := range 4 {
			s.once("step permitted", i, func(*replica) { _ = s.emu.Archive(s.customers[i].ID) })
			s.at(time.Minute+time.Duration(i)*time.Minute, func() { s.balance(i, "90") })
		}
		s.at(10*time.Minute, func() { s.balance(4, "90") })
		s.endBy(time.Hour, 20*time.Minute, s.is(4, 1, topup.Credited))
	})
	if s.pausesThrown != 0 || len(s.ending.rows) != 5 {
		t.Errorf("%d pauses, %d purchases: want none, and 5", s.pausesThrown, len(s.ending.rows))
	}
}
