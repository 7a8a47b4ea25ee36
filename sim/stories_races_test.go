package sim

import (
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// TestStoryAStoppedProcessBuysNothingFromItsOldFacts: P1. One process reads that
// the customer is low and is stopped before it plans. The other one takes over,
// buys and settles; credits are used, so that all looks as before. The first one
// goes on, and its old facts buy nothing.
func TestStoryAStoppedProcessBuysNothingFromItsOldFacts(t *testing.T) {
	s := play(t, alone(2, 1, 0), func(s *script) {
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.once("caps", 0, func(r *replica) { s.freeze(r.n, 3*time.Minute) })
		s.endBy(10*time.Minute, 5*time.Minute, s.is(0, 1, topup.Settled))
	})
	s.want("api 1", outcome{Path: "planned sent confirmed settled", Payment: topup.PaymentPaid, By: "answer", Of: "api", Requests: 1})
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
		s.at(4*time.Minute, func() { s.balance(0, "80") }) // used up
		s.endBy(30*time.Minute, 5*time.Minute, s.is(0, 1, topup.Settled))
	})
	s.want("api 1, portal 1", outcome{Path: "planned sent confirmed settled", Payment: topup.PaymentPaid, By: "evidence", Of: "portal", Requests: 1})
}
