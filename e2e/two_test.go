package e2e

import (
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// busy is a world in which somebody runs low all the time.
func busy(customers int) emulator.Options {
	return emulator.Options{
		Seed: 11,
		Hyperline: emulator.HyperlineOptions{
			Customers: customers, Threshold: decimal.MustNew(500, 0), Reads: -1, Writes: -1,
			Usage:        emulator.Range{Min: decimal.MustNew(5, 0), Max: decimal.MustNew(40, 0)},
			StartBalance: emulator.Range{Min: decimal.MustNew(500, 0), Max: decimal.MustNew(700, 0)},
		},
	}
}

// TestTwoDaemonsAreBoring: two processes on one Postgres by mistake. One works,
// the other is ready and stands by, nothing is bought twice; when the first is
// killed the second buys within 15 s.
func TestTwoDaemonsAreBoring(t *testing.T) {
	t.Parallel()
	p := newPlace(t, postgresURL(t), busy(20), settings{})
	first := p.started()
	until(t, 30*time.Second, "the first to hold the lease", func() bool { return first.value("topupd_lease_held") == 1 })
	second := p.started()
	until(t, 30*time.Second, "the first to buy", func() bool { return len(p.emu.Books().Captured()) >= 5 })
	if held := second.value("topupd_lease_held"); held != 0 {
		t.Fatalf("both hold the lease")
	}
	first.kill()
	killed := time.Now()
	before := len(p.emu.Books().Captured())
	until(t, 20*time.Second, "the second to hold the lease", func() bool { return second.value("topupd_lease_held") == 1 })
	took := time.Since(killed)
	t.Logf("taking over took %s", took.Round(100*time.Millisecond))
	if took > 15*time.Second {
		t.Errorf("taking over took %s, more than 15 s", took)
	}
	until(t, 30*time.Second, "the second to buy", func() bool { return len(p.emu.Books().Captured()) >= before+5 })
	p.emu.StopUsage()
	until(t, time.Minute, "nothing open", func() bool { return p.open() == 0 })
	p.judge()
}

// TestStoppingWaitsForThePurchase: SIGTERM during a purchase. Nothing new is
// begun, the answer is awaited and stored, and the exit code is 0.
func TestStoppingWaitsForThePurchase(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), oneLow(), settings{PurchaseTimeout: "20s", Quiet: "80s"})
	p.emu.SetFaults(emulator.Faults{PurchaseDelay: 3 * time.Second})
	d := p.started()
	until(t, 30*time.Second, "a request to be at the provider", func() bool { return len(p.emu.Books().Requests) == 1 })
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !d.has("purchase", map[string]any{"to": "confirmed"}) {
		t.Errorf("the answer was not stored:\n%s", d.tail(10))
	}
	p.judge()
}
