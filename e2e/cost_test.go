package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// reads are the requests that the daemon made, by operation, purchases aside.
type reads map[string]int

func (d *process) reads() reads {
	d.t.Helper()
	r := reads{}
	for _, m := range d.metrics()["topupd_provider_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "op" && l.GetValue() != "purchase" {
				r[l.GetValue()] += int(m.GetCounter().GetValue())
			}
		}
	}
	return r
}

// total adds up the operations that are not left out.
func (r reads) total(except ...string) (n int) {
	for op, count := range r {
		if !slices.Contains(except, op) {
			n += count
		}
	}
	return n
}

func (r reads) String() string {
	var parts []string
	for _, op := range slices.Sorted(maps.Keys(r)) {
		parts = append(parts, fmt.Sprintf("%s %d", op, r[op]))
	}
	return strings.Join(parts, ", ")
}

// pollOps are the operations that only polls of Hyperline ask for.
var pollOps = []string{"credits", "customers"}

// TestPollsCostFewReads: 1,000 customers cost at most 25 reads a poll, the
// first one included. On a slow machine the next poll has begun when one is
// counted, and one may have failed: each that was begun may cost that much.
func TestPollsCostFewReads(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1000, 1000), settings{Poll: `"@every 6s"`})
	d := p.started()
	until(t, 3*time.Minute, "four polls to end well", func() bool { return d.value("topupd_polls_total", "result", "ok") >= 4 })
	r := d.reads() // before the count of polls: one that ends in between only allows more
	ended := d.value("topupd_polls_total")
	if cost, most := r.total(), 25*(int(ended)+1); cost > most {
		t.Errorf("%v polls and the one under way cost %d reads, more than %d: %s", ended, cost, most, r)
	}
	if n := d.value("topupd_targets"); n != 1000 {
		t.Errorf("%v targets were seen, want 1000", n)
	}
}

// TestPurchasesCostFewReads: beside the polls a purchase costs about 4 reads
// when there is one every second, with the pace of looks that production has.
func TestPurchasesCostFewReads(t *testing.T) {
	t.Parallel()
	world := quiet(31, 0)
	world.Hyperline.NoUsage = false
	world.Hyperline.Usage = emulator.Range{Min: whole(1), Max: whole(1)}
	world.Hyperline.StartBalance = emulator.Range{Min: whole(502), Max: whole(528)}
	p := newPlace(t, sqliteURL(t), world, settings{Quiet: "15m", PurchaseTimeout: "10s", Poll: "auto"})
	d := p.started()
	until(t, 60*time.Second, "31 purchases to settle", func() bool { return d.value("topupd_purchases_total", "result", "credited") >= 31 })
	r := d.reads()
	each := float64(r.total(pollOps...)) / 31
	t.Logf("%.2f reads for each of 31 purchases, about one a second: %s", each, r)
	if each > 5 {
		t.Errorf("a purchase cost %.2f reads beside the polls, more than 5: %s", each, r)
	}
	p.settles(31)
}

// TestAPurchaseAloneCostsAtMostEightReads at either provider, until it has
// credited and its payment is over.
func TestAPurchaseAloneCostsAtMostEightReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		world  emulator.Options
		voices int
	}{
		{"hyperline", quiet(1, 100), 0},
		{"talkover", lowVoice(), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), tt.world, settings{Voices: tt.voices, Quiet: "15m", PurchaseTimeout: "10s", Poll: "auto"})
			d := p.started()
			until(t, 40*time.Second, "the purchase to settle", func() bool { return d.value("topupd_purchases_total", "result", "credited") == 1 })
			polls := 0
			if tt.voices > 0 { // one read of the balance is a poll here
				polls = int(d.value("topupd_polls_total", "provider", "voice-1"))
			}
			r := d.reads()
			n := r.total(pollOps...) - polls
			t.Logf("%d reads: %s", n, r)
			if n > 8 {
				t.Errorf("one purchase alone cost %d reads beside the polls, more than 8: %s", n, r)
			}
		})
	}
}

// lowVoice is a world with one Talkover environment that is low.
func lowVoice() emulator.Options {
	return emulator.Options{Seed: 7, Talkover: emulator.TalkoverOptions{
		Environments: 1, NoUsage: true, Requests: -1,
		StartBalance: emulator.Range{Min: whole(40), Max: whole(40)},
	}}
}
