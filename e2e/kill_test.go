package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// oneLow is a world with one Hyperline customer who is below the threshold and
// uses nothing.
func oneLow() emulator.Options {
	return emulator.Options{Seed: 7, Hyperline: emulator.HyperlineOptions{
		Customers: 1, NoUsage: true, Threshold: decimal.MustNew(500, 0),
		StartBalance: emulator.Range{Min: decimal.MustNew(100, 0), Max: decimal.MustNew(100, 0)},
	}}
}

// TestKilledAtEveryStep: P2, P19. kill -9 at each named step of a purchase, on
// both databases, with the answer arriving and with the answer lost; after a
// restart the customer was charged at most once under each key, and the
// purchase ends without a person.
func TestKilledAtEveryStep(t *testing.T) {
	for name, open := range databases {
		for _, step := range []string{"planned", "connected", "permitted", "answered", "stored"} {
			for _, fault := range []string{"none", "charge_then_drop"} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, step, fault), func(t *testing.T) {
					t.Parallel()
					p := newPlace(t, open(t), oneLow(), settings{Quiet: "4s", PurchaseTimeout: "1s"})
					p.emu.SetFaults(emulator.Faults{Next: []string{fault}})
					first := p.start("TOPUPD_FAULT_STEP=" + step)
					until(t, 60*time.Second, "the process to die at "+step, first.ended)
					second := p.started()
					until(t, 2*time.Minute, "a purchase to be credited and nothing open", func() bool {
						credited := false
						for _, b := range p.purchases() {
							credited = credited || b.State == "credited"
							if b.State == "needs_review" {
								t.Fatalf("purchase %s needs a person", b.ID)
							}
						}
						return credited && p.open() == 0
					})
					if code := second.stop(); code != 0 {
						t.Errorf("exit code %d after SIGTERM", code)
					}
					if n := p.judge(); n != 1 {
						t.Errorf("%d payments were captured, want exactly 1 (600 credits lift 100 above 500)", n)
					}
				})
			}
		}
	}
}
