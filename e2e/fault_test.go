package e2e

import (
	"net/http"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// The tests in the files fault_*_test.go take something away from the real
// program while it buys, give it back, and hold the ledger against the
// providers' books: nothing charged twice, nothing lost, purchases resume by
// themselves. docs/faults.md lists every fault with its test.

// steady is a world of Hyperline customers who use a little all the time, so
// that purchases never cease and nobody is empty after half a minute without.
func steady(customers int) emulator.Options {
	return emulator.Options{Seed: 23, Hyperline: emulator.HyperlineOptions{
		Customers: customers, Threshold: whole(500), Reads: -1, Writes: -1,
		Usage:        emulator.Range{Min: whole(3), Max: whole(8)},
		StartBalance: emulator.Range{Min: whole(500), Max: whole(560)},
	}}
}

// brisk are settings under which a customer of steady is bought for about
// every half minute.
func brisk() settings {
	return settings{
		Quiet: "8s", PurchaseTimeout: "2s", Confirm: "200ms", Cooldown: "500ms",
		Bundles: "{price_id: pri_0Jv8EbMDOGsHcn, credits: 120, price_excluding_tax: 200.00 EUR}",
	}
}

// forgetful is brisk, with a quiet period longer than the lease of a process that
// died: a quarantine that it ends can be seen before it is over.
func forgetful() settings {
	s := brisk()
	s.Quiet = "20s"
	return s
}

// newTrial is an installation with the judge of the kills.
func newTrial(t *testing.T, db string, world emulator.Options, s settings) *killing {
	t.Helper()
	k := &killing{t: t, place: newPlace(t, db, world, s)}
	k.edit("topupd.yml", "level: debug", "level: info")
	return k
}

// buys waits for n more payments, and returns how long they took.
func (k *killing) buys(n int, what string) time.Duration {
	k.t.Helper()
	began, before := time.Now(), k.captured()
	until(k.t, 2*time.Minute, what, func() bool { return k.captured() >= before+n })
	return time.Since(began)
}

// over stops the usage, waits until all have ended and holds ledger and books
// together; every daemon must stop in order.
func (k *killing) over(daemons ...*process) {
	k.t.Helper()
	k.emu.StopUsage()
	since := time.Now()
	k.ends()
	for _, d := range daemons {
		if code := d.stop(); code != 0 {
			k.t.Errorf("exit code %d", code)
		}
	}
	k.audit(since)
}

// cadence is how often a test does a fault: less and less often while nothing
// gets done, and more often again when something does, since what fits between two of them is up to the machine. Whoever ran
// dry meanwhile is held (P14), and a person has a look.
type cadence struct {
	*place
	every      time.Duration
	first      time.Duration // what every was in the beginning
	last, lull time.Time
	done       int
}

// due tells whether the fault is to be done now.
func (c *cadence) due() bool {
	now := time.Now()
	if c.first == 0 {
		c.first = c.every
	}
	if n := c.captured(); c.lull.IsZero() || n > c.done {
		c.done, c.lull, c.every = n, now, max(c.first, c.every/2)
	}
	if now.Sub(c.lull) > 5*time.Second {
		c.every, c.lull = 2*c.every, now
		c.run("resume", "--provider", "hyperline", "--reason", "looked: they are truly dry") // it may meet the fault
	}
	if now.Sub(c.last) < c.every {
		return false
	}
	c.last = now
	return true
}

// ready waits until /-/ready answers with the status.
func (d *process) ready(want int) {
	d.t.Helper()
	until(d.t, time.Minute, http.StatusText(want)+" from /-/ready", func() bool {
		status, _ := d.get("/-/ready")
		return status == want
	})
}

// stands waits until the condition has held for so long, looking all the time;
// it fails the moment it does not.
func stands(t *testing.T, length time.Duration, what string, condition func() bool) {
	t.Helper()
	began := time.Now()
	until(t, length+time.Minute, what, func() bool {
		if !condition() {
			t.Fatalf("after %s it was not so any more: %s", time.Since(began).Round(time.Millisecond), what)
		}
		return time.Since(began) >= length
	})
}
