package sim

import (
	"net/http"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// TestStoryTheProviderIsAwayForHours: P3, P16, P19. One customer's charge was
// made and its answer lost when the provider goes away; another falls low while
// it is. For six hours nothing is bought and both are shown as in trouble, since
// when they are. When it is back, the first charge is found, the second
// customer is bought for, and nobody had to do anything.
func TestStoryTheProviderIsAwayForHours(t *testing.T) {
	const back = 6 * time.Hour
	h := alone(2, 2, 0)
	h.Poll = time.Minute
	s := play(t, h, func(s *script) {
		away := func() bool {
			at := s.now().Sub(began)
			return s.row(0, 1).SentAt != nil && at < back
		}
		s.spoils = append(s.spoils, func(r *http.Request, f *emulator.Faults) {
			if away() && r.Method == http.MethodGet {
				f.Outage, s.readsBad = 1, s.now() // nobody can know more than that polls fail, which is an alert
			}
		})
		s.request(0, 1, "charge_then_drop", 0)
		s.at(time.Minute, func() { s.balance(0, "90") })
		s.at(10*time.Minute, func() { s.balance(0, "80"); s.balance(1, "90") }) // used up, and nobody sees it
		for _, at := range []time.Duration{40 * time.Minute, 3 * time.Hour, back - time.Minute} {
			s.at(at, func() { s.inTrouble(0, at) })
		}
		s.endBy(back+time.Hour, 10*time.Minute, func() bool {
			return s.row(0, 2).State == topup.Credited && s.row(1, 1).State == topup.Credited
		})
	})
	s.want("api 3", creditedBy("evidence", "api", 1), creditedBy("answer", "api", 1), creditedBy("answer", "api", 1))
}

// inTrouble fails the test unless the customer is shown as in trouble because of
// the provider, for nearly as long as the time given.
func (s *script) inTrouble(customer int, at time.Duration) {
	s.t.Helper()
	got := s.judge.states[topup.CustomerID(s.customers[customer].ID)]
	if got.Reason != topup.ProviderUnavailable || got.TroubleSince.IsZero() || s.now().Sub(got.TroubleSince) < at-20*time.Minute {
		s.t.Errorf("after %s the picture says %s, in trouble since %s: want %s since the beginning", at, got.Reason, got.TroubleSince, topup.ProviderUnavailable)
	}
	if n := len(s.ordered(customer)); n != 1 {
		s.t.Errorf("after %s the customer was charged %d times, want once", at, n)
	}
}
