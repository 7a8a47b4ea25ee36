package scheduler

import (
	"sync/atomic"
	"testing"
	"time"

	"topupd/topup"
)

// TestWhatWasFoundIsFrozenWithThePurchase: P4. It only ever adds care, and it is
// followed from the next purchase on, without a restart.
func TestWhatWasFoundIsFrozenWithThePurchase(t *testing.T) {
	for _, tt := range []struct {
		name   string
		found  topup.Found
		policy topup.Policy
		quiet  time.Duration
	}{
		{"nothing", topup.Found{}, topup.PolicyRetry, 15 * time.Minute},
		{"keys are ignored", topup.Found{KeysIgnored: true}, topup.PolicyReview, 15 * time.Minute},
		{"purchases show at once", topup.Found{Visible: time.Second}, topup.PolicyRetry, 15 * time.Minute},
		{"purchases show after ten minutes", topup.Found{Visible: 10 * time.Minute}, topup.PolicyRetry, 30 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				var found atomic.Pointer[topup.Found]
				found.Store(&topup.Found{})
				w.balance("cus", 500)
				w.run(t, "a", func(o *Options) { o.Found = func() topup.Found { return *found.Load() } })
				found.Store(&tt.found)
				w.balance("cus", 99)
				after(20 * time.Second)
				planned := w.ledger.planned()
				if len(planned) != 1 {
					t.Fatalf("%d purchases planned, want one", len(planned))
				}
				if p := planned[0].Purchase; p.Policy != tt.policy || p.QuietPeriod != tt.quiet {
					t.Errorf("frozen %s, %s; want %s, %s", p.Policy, p.QuietPeriod, tt.policy, tt.quiet)
				}
			})
		})
	}
}
