package sim

import (
	"context"
	"slices"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// TestStoryAWrongPriceIsBilledOnce: P10. The provider bills another price than it
// shows, from the first of fifteen customers on who are low at once. The first
// purchase goes alone, its bill tells, and the rule stops before anybody else is
// charged.
func TestStoryAWrongPriceIsBilledOnce(t *testing.T) {
	s := play(t, alone(2, 15, 0), func(s *script) {
		for i := range s.customers {
			s.request(i, 1, "wrong_amount", 0)
		}
		s.at(time.Minute, func() {
			for i := range s.customers {
				s.balance(i, "90")
			}
		})
		s.when(s.paused, func() { s.tell("", "* the rule is paused") })
		s.endBy(30*time.Minute, 10*time.Minute, s.paused)
	})
	if n := len(s.ending.books.Captured()); n != 1 {
		t.Errorf("%d customers were charged the wrong price, want 1", n)
	}
	if n := len(s.ending.rows); n != 1 || s.ending.rows[0].Charged == nil {
		t.Errorf("%d purchases were planned, want 1 that knows what it truly cost", n)
	}
	if s.pausesThrown == 0 {
		t.Error("the rule was not paused")
	}
}

// TestStoryTheFirstAtAPriceLetsTheOthersGo: P10. At the right price the others wait
// for one bill, not for each other, and the next day's first goes alone again.
func TestStoryTheFirstAtAPriceLetsTheOthersGo(t *testing.T) {
	var sent []time.Time
	s := play(t, alone(1, 8, 0), func(s *script) {
		s.at(time.Minute, func() {
			for i := range s.customers {
				s.balance(i, "90")
			}
		})
		s.endBy(20*time.Minute, time.Minute, func() bool { return len(s.judge.rows) == 8 })
	})
	for _, p := range s.ending.rows {
		if p.State != topup.Credited {
			t.Errorf("%s is %s: want it credited", p.ID, p.State)
			continue
		}
		sent = append(sent, *p.SentAt)
	}
	slices.SortFunc(sent, time.Time.Compare)
	if len(sent) != 8 || sent[1].Sub(sent[0]) < time.Second {
		t.Fatalf("sent at %v: want the first alone, until its bill was seen", sent)
	}
	if last := sent[len(sent)-1].Sub(sent[0]); last > time.Minute {
		t.Errorf("the last of them waited %s for the first: want less than a minute", last)
	}
}

// TestStoryACanaryWithoutABill: P10. Nobody can say what became of the first
// purchase at a price. Another goes every two minutes, and after five it is
// trouble.
func TestStoryACanaryWithoutABill(t *testing.T) {
	var planned, troubled int
	s := play(t, alone(1, 4, 0), func(s *script) {
		s.at(time.Minute, func() {
			for i := range s.customers {
				s.balance(i, "90")
			}
		})
		for i := range s.customers {
			s.request(i, 1, "hang_without_charging", 0)
		}
		s.at(2*time.Minute+30*time.Second, func() { planned = len(s.judge.rows) })
		s.at(6*time.Minute+45*time.Second, func() {
			for i := range s.customers {
				if s.reason(i) == topup.PriceUnproven {
					troubled++
				}
			}
		})
		s.endBy(3*time.Hour, 5*time.Minute, func() bool {
			all := true
			for i := range s.customers {
				all = all && s.row(i, 1).State == topup.Credited
			}
			return all
		})
	})
	if planned != 1 {
		t.Errorf("%d purchases in the first ninety seconds, want 1", planned)
	}
	if len(s.ending.rows) != 4 {
		t.Errorf("%d purchases after some time, want one every two minutes until there are 4", len(s.ending.rows))
	}
	if troubled == 0 {
		t.Errorf("nobody is in trouble after more than five minutes without a bill, want %s", topup.PriceUnproven)
	}
}

// TestStoryARefundIsNotBoughtAgain: P12. The customer's purchase is paid back as a
// whole and its credits are taken. Nobody buys them again until a person says so,
// and then the same refund holds nobody any more.
func TestStoryARefundIsNotBoughtAgain(t *testing.T) {
	h := alone(1, 1, 0)
	h.Poll = time.Minute
	s := play(t, h, func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.when(s.is(0, 1, topup.Credited), func() {
			if err := s.emu.Spoil(s.row(0, 1).Reference, emulator.MistakeRefunded); err != nil {
				t.Error(err)
			}
			s.balance(0, "90")
		})
		s.at(26*time.Hour, func() {
			if got := s.reason(0); got != topup.Refunded || len(s.judge.rows) != 1 {
				t.Errorf("%s after %d purchases, want %s after 1", got, len(s.judge.rows), topup.Refunded)
			}
			r, err := s.store.Resume(context.Background(), topup.Pause{Scope: topup.PauseCustomer, Subject: s.customers[0].ID, By: "ana", Reason: "they want it"})
			if err != nil || r.Refunds != 1 {
				t.Errorf("Resume = %+v, %v", r, err)
			}
		})
		s.when(s.is(0, 2, topup.Credited), func() { s.balance(0, "90") })
		s.endBy(30*time.Hour, time.Minute, s.is(0, 3, topup.Credited))
	})
	if n := len(s.ending.rows); n != 3 {
		t.Errorf("%d purchases, want one before the refund and two after a person let it go", n)
	}
}
