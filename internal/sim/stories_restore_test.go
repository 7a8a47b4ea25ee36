package sim

import (
	"context"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// TestStoryARestoreBuysNothingTwice: P18. The ledger of ten minutes ago is put in
// place while one purchase that it has never heard of is credited, one is executed
// after the restore, one that it remembers as planned is credited, and one at
// Talkover is credited. A person goes on as the manual says: nobody is charged
// again, the books of Hyperline explain what was bought, and whoever is low later
// is bought for.
func TestStoryARestoreBuysNothingTwice(t *testing.T) {
	h := alone(2, 3, 1)
	h.ExecuteLate = 4 * time.Minute
	h.Events = []event{{At: 2 * time.Minute, Kind: restored, For: 10 * time.Minute}}
	credited, late, planned, voice := 0, 1, 2, 3
	s := play(t, h, func(s *script) {
		s.hold(s.visit("step sending", planned), func() bool { return s.now().Sub(began) > 3*time.Minute })
		s.at(105*time.Second, func() { s.balance(planned, "90") })
		s.at(4*time.Minute, func() { s.balance(credited, "90"); s.balance(voice, "40") })
		s.request(late, 1, "execute_late", 0)
		s.at(11*time.Minute+30*time.Second, func() { s.balance(late, "90") })
		s.at(time.Hour, func() {
			for _, id := range []topup.ProviderID{hyperlineID, talkoverID(s.customers[voice].ID)} {
				if _, base, err := s.store.Standings(context.Background(), id); err != nil || base.Quarantined != "" {
					t.Errorf("%s an hour after: quarantined %q, %v", id, base.Quarantined, err)
				}
			}
			for i := range s.customers {
				if n := len(s.ordered(i)); n != 1 {
					t.Errorf("customer %d was charged %d times, want once", i, n)
				}
				s.balance(i, "45")
			}
		})
		s.endBy(3*time.Hour, 10*time.Minute, func() bool {
			for i := range s.customers {
				if len(s.ordered(i)) < 2 {
					return false
				}
			}
			return true
		})
	})
	for _, i := range []int{credited, late} {
		imported := false
		for _, f := range s.ending.external[topup.CustomerID(s.customers[i].ID)] {
			imported = imported || f.Invoice == s.ordered(i)[0].Invoice
		}
		if !imported {
			t.Errorf("the purchase of customer %d that the ledger forgot was not imported", i)
		}
	}
	for i := range s.customers {
		if got := s.ordered(i); len(got) != 2 || got[0].Source != emulator.SourceAPI {
			t.Errorf("customer %d: %d orders in the end, want 2", i, len(got))
		}
	}
}
