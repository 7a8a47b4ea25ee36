package sim

import (
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// TestStoryAStoppedProcessBuysNothingFromItsOldFacts: P1. One process reads that
// the customer is low and is stopped before it plans. The other one takes over,
// buys and settles. The first one goes on, and its old facts buy nothing.
func TestStoryAStoppedProcessBuysNothingFromItsOldFacts(t *testing.T) {
	late := topup.Purchase{}
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("caps", 0, func(r *replica) {
			s.freeze(r.n, time.Minute) // shorter than a reading may be old
			s.moments = append(s.moments, moment{
				what: func(v *visitor) bool { return v.what == "plan" && v.by == r },
				do:   func(*visitor) { late = s.row(0, 1) },
			})
		})
		s.endBy(10*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	if late.State != topup.Credited {
		t.Errorf("the stopped process planned when the other's purchase was %q: want it credited by then", late.State)
	}
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 1})
}

// TestStoryASlowRequestAndAPortalPurchase: P3. A request takes five minutes; in
// between the customer buys the same pack and uses it. What the customer bought
// does not count as ours before the quiet period is over, so nothing is bought
// beside the request that still runs. Then history takes the earlier of the two
// for ours, since they cannot be told apart, and the other for the customer's.
func TestStoryASlowRequestAndAPortalPurchase(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "none", 5*time.Minute)
		s.at(3*time.Minute, func() { s.portal(0, emulator.SmallPack) })
		s.at(4*time.Minute, func() { s.balance(0, "80") }) // used up: the need is there again
		s.at(5*time.Minute, func() { s.stillOneRequest() })
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1, portal 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "portal", Requests: 1})
	if got := len(s.ending.external[topup.CustomerID(s.customers[0].ID)]); got != 1 {
		t.Errorf("%d additions are known as the customer's, want the other one", got)
	}
}

func (s *script) stillOneRequest() {
	if p := s.row(0, 1); p.State != topup.Sent || p.Found == "" || len(s.judge.rows) != 1 {
		s.t.Errorf("%s, found %q, %d purchases: want the one purchase sent, and the other's seen", p.State, p.Found, len(s.judge.rows))
	}
}

// TestStoryAWrongClaimMovesWhenTheInvoiceIsVoided: P3. The provider's own top-up
// leaves an unpaid invoice for the same pack, which is the earlier match and is
// claimed; a person voids it. The claim moves to the invoice that our slow
// request made: it is not declined with the money taken.
func TestStoryAWrongClaimMovesWhenTheInvoiceIsVoided(t *testing.T) {
	h := alone(2, 1, 0)
	h.Retries = []time.Duration{100 * time.Hour}
	wrong := ""
	s := play(t, h, func(s *script) {
		id := s.customers[0].ID
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.request(0, 1, "none", 5*time.Minute)
		s.at(3*time.Minute, func() { // an unpaid order of the provider's own
			_ = s.emu.SetCard(id, emulator.CardDeclined)
			_ = s.emu.SetAutoTopup(id, true)
			s.emu.Tick(s.now())
			_ = s.emu.SetAutoTopup(id, false)
			_ = s.emu.SetCard(id, emulator.CardGood)
		})
		s.when(s.is(0, 1, topup.Confirmed), func() {
			wrong = s.row(0, 1).Reference
			s.post("/v1/invoices/" + wrong + "/void")
		})
		s.endBy(40*time.Minute, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "api", Requests: 1})
	if by := s.orderer(wrong); by != emulator.SourceNative {
		t.Errorf("the first claim was %q of %q: want the provider's own order, else this tests nothing", wrong, by)
	}
}

// TestStoryALateYesMovesTheClaim: P3. The sender is stopped with the answer in
// its hands; the customer bought the same pack just before, and that one is
// claimed in the meantime. The yes, once stored, says which invoice is ours.
func TestStoryALateYesMovesTheClaim(t *testing.T) {
	h := alone(2, 1, 0)
	h.Latency = 20 * time.Millisecond // so that the customer's is the earlier one
	s := play(t, h, func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step connected", 0, func(*replica) { s.portal(0, emulator.SmallPack) })
		var stopped *replica
		s.once("step answered", 0, func(r *replica) {
			stopped = r
			s.freeze(r.n, time.Hour)
		})
		s.when(s.is(0, 1, topup.Confirmed), func() {
			if by := s.row(0, 1).ReferenceBy; by != "evidence" {
				t.Errorf("confirmed by %s: want evidence first, else this tests nothing", by)
			}
			stopped.frozenUntil.Store(s.now().UnixNano())
		})
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1, portal 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 1})
}

// TestStoryALateYesAfterTheWrongClaimHasCredited: P3. As before, but the sender
// goes on only when the purchase is over. History keeps the wrong invoice; what
// the answer names is known all the same, so that no reading from before it counts.
func TestStoryALateYesAfterTheWrongClaimHasCredited(t *testing.T) {
	h := alone(2, 1, 0)
	h.Latency = 20 * time.Millisecond
	s := play(t, h, func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step connected", 0, func(*replica) { s.portal(0, emulator.SmallPack) })
		s.once("step answered", 0, func(r *replica) { s.freeze(r.n, 20*time.Minute) })
		s.endBy(time.Hour, 10*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1, portal 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "portal", Requests: 1})
	external := s.ending.external[topup.CustomerID(s.customers[0].ID)]
	if len(external) != 1 || s.orderer(external[0].Invoice) != emulator.SourceAPI {
		t.Errorf("known beside it: %v, want the invoice that the answer named", external)
	}
}

// TestStoryOneKillAndTheCustomerBuysTheSamePack: P3. The process dies with its
// permit and before the first byte; the customer buys the same pack. That one is
// taken for ours, which costs nobody anything, and nobody is needed.
func TestStoryOneKillAndTheCustomerBuysTheSamePack(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step permitted", 0, func(r *replica) { s.kill(r.n, time.Minute) })
		s.at(3*time.Minute, func() { s.portal(0, emulator.SmallPack) })
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("portal 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "portal", Requests: 1})
}

// TestStoryOneKillAndTheCustomerBuysAnotherPack: P3, P4. As before, but what the
// customer bought cannot be ours. It would not be bought now, so it is not
// repeated; when the need is back, it is, and nobody is needed.
func TestStoryOneKillAndTheCustomerBuysAnotherPack(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("step permitted", 0, func(r *replica) { s.kill(r.n, time.Minute) })
		s.at(3*time.Minute, func() { s.portal(0, emulator.LargePack) })
		s.at(39*time.Minute, func() {
			if p := s.row(0, 1); p.State != topup.Sent || p.Attempts != 1 {
				t.Errorf("%s after %d requests: want it to wait for a need", p.State, p.Attempts)
			}
		})
		s.at(40*time.Minute, func() { s.balance(0, "80") })
		s.endBy(2*time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	s.want("api 1, portal 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 2})
}

// TestStoryASlowConfirmReadSeesOurOwnRow: P1, P3. A confirm read began before the
// purchase was planned, and ends when the purchase was executed and its sender
// killed. It must not import our own row as the customer's: nothing could ever
// match it again.
func TestStoryASlowConfirmReadSeesOurOwnRow(t *testing.T) {
	read := 0
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		// The first confirm read stands still, with its process, until the other
		// one's request was executed.
		executed := func() bool { return len(s.ordered(0)) > 0 }
		s.hold(s.visit("request", 0), executed)
		s.once("standing", 0, func(r *replica) { s.freeze(r.n, 40*time.Second) })
		s.once("import", 0, func(*replica) { s.once("import", 0, func(*replica) { read = len(s.ordered(0)) }) })
		s.once("step answered", 0, func(r *replica) { s.kill(r.n, time.Minute) })
		s.endBy(time.Hour, 5*time.Minute, s.is(0, 1, topup.Credited))
	})
	if read == 0 {
		t.Error("the slow confirm read ended before anything was executed: this tests nothing")
	}
	if list := s.ending.external[topup.CustomerID(s.customers[0].ID)]; len(list) != 0 {
		t.Errorf("imported as the customer's: %v", list)
	}
	s.want("api 1", outcome{Path: "planned sent confirmed credited", Payment: topup.PaymentPaid, By: "evidence", Of: "api", Requests: 1})
}
