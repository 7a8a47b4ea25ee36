package e2e

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// lined puts a line in front of a database.
func lined(t *testing.T, db string) (*line, string) {
	t.Helper()
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	n := lineTo(t, u.Host)
	u.Host = n.address
	return n, u.String()
}

// TestTheLineToTheDatabaseFails: P2, P19. Slow, reset again and again, cut in
// the middle of answers: nothing is bought twice, and everything ends.
func TestTheLineToTheDatabaseFails(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(*line, int){
		"every piece is 15 ms late each way":       func(n *line, _ int) { n.set(lineFault{latency: 15 * time.Millisecond}) },
		"every connection is reset twice a second": func(n *line, _ int) { n.cutAll(true) },
		"answers are cut after some kilobytes": func(n *line, turn int) {
			n.set(lineFault{limit: 20_000 + 7_000*(turn%5), reset: turn%2 == 0})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, db := lined(t, postgresURL(t))
			p := newPlace(t, db, busy(10), settings{})
			d := p.started()
			turn, turns := 0, cadence{place: p, every: 500 * time.Millisecond}
			until(t, 90*time.Second, "8 purchases and 20 turns of the fault", func() bool {
				if turns.due() {
					happens(n, turn)
					turn++
				}
				return turn > 20 && p.captured() >= 8
			})
			p.emu.StopUsage()
			n.set(lineFault{})
			until(t, 90*time.Second, "nothing open", func() bool { return p.open() == 0 })
			if n := p.judge(); n < 8 {
				t.Errorf("%d payments were captured, want 8 or more", n)
			}
			until(t, 20*time.Second, "the daemon to be ready again", func() bool { status, _ := d.get("/-/ready"); return status == http.StatusOK })
		})
	}
}

// TestABlackHoleInFrontOfTheDatabase: connections stay open and nothing passes.
// Nothing is bought, the daemon says so and is not ready; when the line is back,
// it goes on by itself.
func TestABlackHoleInFrontOfTheDatabase(t *testing.T) {
	t.Parallel()
	n, db := lined(t, postgresURL(t))
	p := newPlace(t, db, quiet(1, 1000), settings{})
	d := p.started()
	d.polls(2)
	n.set(lineFault{deaf: true})
	n.hang.Store(true)
	p.setBalance(emulator.FirstCustomer, 100)
	until(t, 60*time.Second, "not ready", func() bool { status, _ := d.get("/-/ready"); return status == http.StatusServiceUnavailable })
	if status, _ := d.get("/-/healthy"); status != http.StatusOK {
		t.Errorf("/-/healthy is %d: a restart would not bring the database back", status)
	}
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for without a ledger", n)
	}
	n.set(lineFault{})
	n.hang.Store(false)
	n.cutAll(true) // a line that is back resets what it has forgotten
	until(t, 60*time.Second, "the purchase to be captured", func() bool { return p.captured() == 1 })
	p.settles(1)
}
