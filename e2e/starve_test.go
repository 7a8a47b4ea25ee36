package e2e

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// must ends a test that cannot even be prepared.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestThoseWhoOweKeepNobodyWaiting: 500 customers are low and owe a bill, so that
// their confirm reads come to nothing. Within the default limits 20 others who
// fall low meanwhile are bought for within a minute, before they run dry, and the
// polls keep their pace.
func TestThoseWhoOweKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	const owing, paying, threshold = 500, 20, 100
	world := quiet(owing+paying, 5*threshold)
	world.Hyperline.Threshold, world.Hyperline.Reads, world.Hyperline.Writes = whole(threshold), 0, 0
	// The default limits, half of which are ours.
	p := newPlace(t, sqliteURL(t), world, settings{
		Reads: "100/10s", Writes: "25/10s", Poll: "auto", Confirm: "5s", Cooldown: "5m", Quiet: "15m", PurchaseTimeout: "75s", DailyPurchases: 10,
	})
	var healthy []string
	for i, c := range p.emu.Customers() {
		if i < paying {
			healthy = append(healthy, c.ID)
			continue
		}
		invoices, err := p.emu.AddPast(emulator.PastPurchase{Customer: c.ID, Price: emulator.SmallPack, At: time.Now().Add(-time.Hour)})
		must(t, err)
		must(t, p.emu.Spoil(invoices[0], emulator.MistakeUnpaid))
		must(t, p.emu.SetBalance(c.ID, whole(0)))
	}
	d := p.started()
	began := time.Now()
	fell := map[string]time.Time{}
	for i, id := range healthy { // the first at once, the last after 57 s
		if wait := time.Duration(i) * 3 * time.Second; i > 4 {
			time.Sleep(time.Until(began.Add(wait)))
		}
		fell[id] = time.Now()
		must(t, p.emu.SetBalance(id, whole(threshold-1)))
		must(t, p.emu.SetUsage(id, decimal.MustNew(5, 1)))
	}
	charged := func() (found []emulator.Charge) {
		for _, c := range p.emu.Books().Charges {
			if c.RequestSeq > 0 {
				found = append(found, c)
			}
		}
		return found
	}
	until(t, time.Minute, "the last of the 20 to be bought for", func() bool { return len(charged()) >= paying })
	slowest := time.Duration(0)
	for _, c := range charged() {
		if !slices.Contains(healthy, c.Customer) {
			t.Errorf("bought for %s, who owes", c.Customer)
			continue
		}
		slowest = max(slowest, c.At.Sub(fell[c.Customer]))
		if before, err := strconv.ParseFloat(c.Before, 64); err != nil || before <= 0 {
			t.Errorf("%s had %s when it was bought for", c.Customer, c.Before)
		}
	}
	polls, lasted := d.value("topupd_polls_total", "result", "ok"), time.Since(began)
	t.Logf("the slowest was bought for %s after its fall; %v polls in %s", slowest, polls, lasted.Round(time.Second))
	if slowest > slowMachine*time.Minute {
		t.Errorf("the slowest was bought for %s after its fall", slowest)
	}
	if each := time.Duration(float64(lasted) / max(1, polls)); each > 2*slowMachine*5*time.Second {
		t.Errorf("a poll every %s", each)
	}
	until(t, time.Minute, "those who owe to be shown as such", func() bool { return d.value("topupd_targets_below_threshold", "reason", "invoice_unpaid") == owing })
}
