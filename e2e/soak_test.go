package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// everyFault at five in a hundred: half of all purchases suffer one.
func everyFault() emulator.Faults {
	const p = 0.05
	return emulator.Faults{
		ChargeThen500: p, ChargeThenHang: p, ChargeThenDrop: p, ChargeThenTruncate: p, ChargeThenHTML: p,
		Fail500: p, Decline: p, DeclineUnpaid: p, Throttle: p, Slow: p,
		Stale: p, Glitch: p, Outage: p,
		LatePosting: 10 * time.Second,
	}
}

// fromEnv is a number from the environment, for make soak.
func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s: write a whole number", name, text)
	}
	return n
}

// TestSoak buys for many customers while every fault happens, then stops the
// usage and holds the ledger against the providers' books after three quiet
// periods. TOPUPD_SOAK_SECONDS and TOPUPD_SOAK_CUSTOMERS make it longer.
func TestSoak(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seconds, customers := fromEnv(t, "TOPUPD_SOAK_SECONDS", 60), fromEnv(t, "TOPUPD_SOAK_CUSTOMERS", 200)
			soak(t, open(t), time.Duration(seconds)*time.Second, customers)
		})
	}
}

func soak(t *testing.T, db string, length time.Duration, customers int) {
	quiet := 20 * time.Second
	p := newPlace(t, db, emulator.Options{
		Seed: uint64(fromEnv(t, "TOPUPD_SOAK_SEED", 3)),
		Hyperline: emulator.HyperlineOptions{
			Customers: customers, Threshold: decimal.MustNew(500, 0),
			Usage:        emulator.Range{Min: decimal.MustNew(2, 1), Max: decimal.MustNew(12, 1)},
			StartBalance: emulator.Range{Min: decimal.MustNew(500, 0), Max: decimal.MustNew(1100, 0)},
			ExecuteLate:  3 * time.Second,
		},
		Talkover: emulator.TalkoverOptions{
			Environments: 3, StartBalance: emulator.Range{Min: decimal.MustNew(51, 0), Max: decimal.MustNew(60, 0)},
			Usage: emulator.Range{Min: decimal.MustNew(1, 1), Max: decimal.MustNew(3, 1)},
		},
	}, settings{
		Voices: 3, PurchaseTimeout: "5s", Quiet: quiet.String(), Reads: "200/10s", Writes: "50/10s", Requests: "100/1m", Poll: "auto",
	})
	d := p.started()
	p.emu.SetFaults(everyFault())
	began := time.Now()
	var troubled time.Duration
	for time.Since(began) < length {
		if d.ended() {
			t.Fatalf("the daemon ended: %v\n%s", d.err, d.tail(40))
		}
		troubled = max(troubled, p.silentTrouble(d))
		time.Sleep(time.Second)
	}
	captured := len(p.emu.Books().Captured())
	p.emu.StopUsage()
	p.emu.SetFaults(emulator.Faults{})
	stopped := time.Now()
	until(t, 3*quiet+time.Minute, "three quiet periods to pass", func() bool { return time.Since(stopped) >= 3*quiet })
	until(t, time.Minute, "nothing in flight", func() bool { return p.inFlight() == 0 })
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.judge()
	p.tell(t, captured, time.Since(began))
	if troubled > time.Minute {
		t.Errorf("a target was in trouble for %s while the metric of its alert did not show it", troubled)
	}
}

// inFlight counts purchases whose outcome is not known.
func (p *place) inFlight() (n int) {
	for _, b := range p.purchases() {
		if b.State == "planned" || b.State == "sent" {
			n++
		}
	}
	return n
}

// silentTrouble is for how long the targets that explain would call troubled
// have not been in the metric that their alert watches.
func (p *place) silentTrouble(d *process) time.Duration {
	var below, oldest float64
	families := d.metrics()
	for _, m := range families["topupd_targets_below_threshold"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "reason" && troubleReasons[l.GetValue()] {
				below += m.GetGauge().GetValue()
			}
		}
	}
	for _, m := range families["topupd_targets_trouble_oldest_timestamp_seconds"].GetMetric() {
		oldest = max(oldest, m.GetGauge().GetValue())
	}
	if below == 0 || oldest > 0 {
		p.silentSince = time.Time{}
		return 0
	}
	if p.silentSince.IsZero() {
		p.silentSince = time.Now()
	}
	return time.Since(p.silentSince)
}

var troubleReasons = map[string]bool{
	"stale_reading": true, "bad_reading": true, "not_seen": true, "no_threshold": true, "price_mismatch": true,
	"currency_mismatch": true, "customer_inactive": true, "no_payment_method": true, "invoice_unpaid": true,
	"external_topup": true, "environment_changed": true, "over_cap": true, "backing_off": true, "suspended": true,
	"quarantined": true, "implausible": true, "provider_unavailable": true,
}

// tell prints the figures of a run and bounds the purchases that a person has
// to look at.
func (p *place) tell(t *testing.T, captured int, took time.Duration) {
	states := map[string]int{}
	hyperline, inReview := 0, 0
	for _, b := range p.purchases() {
		state := b.State
		if state == "confirmed" {
			state += " " + b.Payment
		}
		states[state]++
		if b.Provider == "hyperline" {
			hyperline++
			if b.State == "needs_review" {
				inReview++
			}
		}
	}
	t.Logf("%d payments captured while usage lasted; purchases by state %v in %s; hyperline %d, in review %d", captured, states, took.Round(time.Second), hyperline, inReview)
	if inReview*100 > hyperline {
		t.Errorf("%d of %d Hyperline purchases need review, more than 1 in 100", inReview, hyperline)
	}
	if captured == 0 {
		t.Error("nothing was bought")
	}
}
