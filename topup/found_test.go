package topup

import (
	"testing"
	"time"
)

// TestWhatWasFoundHoldsForPurchasesPlannedBefore: P4. A purchase that was frozen
// with policy retry is not repeated once its provider was seen to charge a
// repeat again, and not before three times the delay that was seen.
func TestWhatWasFoundHoldsForPurchasesPlannedBefore(t *testing.T) {
	for _, tt := range []struct {
		name     string
		found    Found
		after    time.Duration
		state    State
		attempts int
	}{
		{"nothing was found: repeated after the quiet period", Found{}, 25 * time.Minute, Sent, 2},
		{"keys are ignored: in review after it", Found{KeysIgnored: true}, 25 * time.Minute, NeedsReview, 1},
		{"listed after 20 minutes: still waiting after 59", Found{Visible: 20 * time.Minute}, 59 * time.Minute, Sent, 1},
		{"and repeated after an hour", Found{Visible: 20 * time.Minute}, 70 * time.Minute, Sent, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			p := w.plan()
			w.fault = fault{answer: Unknown}
			_, _ = w.purchaser().Buy(t.Context(), p, Lease{})
			r := w.reconciler()
			r.Found = func() Found { return tt.found }
			for end := w.now.Add(tt.after); w.now.Before(end); {
				w.advance(time.Minute)
				w.fault = fault{answer: Unknown}
				if _, err := visited(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if got := w.ledger.rows[p.ID]; got.State != tt.state || got.Attempts != tt.attempts {
				t.Errorf("%s after %d requests, want %s after %d", got.State, got.Attempts, tt.state, tt.attempts)
			}
		})
	}
}
