package e2e

import (
	"testing"
	"time"

	"topupd/clients/emulator"
)

// charged is what the books say was captured by the API since the month began, in
// hundredths of euros.
func (p *place) charged() (minor int64) {
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, c := range p.emu.Books().Captured() {
		if c.Source == emulator.SourceAPI && c.Currency == "EUR" && !c.At.Before(month) {
			minor += c.AmountMinor
		}
	}
	return minor
}

// showsTheBooks waits until every process shows what the books say, to the cent:
// what the board's panels take the maximum of.
func (p *place) showsTheBooks(what string, daemons ...*process) {
	p.t.Helper()
	until(p.t, time.Minute, "the money of the books to be shown "+what, func() bool {
		want := float64(p.charged()) / 100
		for _, d := range daemons {
			for _, scope := range []string{"global", "provider", "rule"} {
				if d.value("topupd_cap_spent", "scope", scope, "period", "month", "unit", "EUR") != want {
					return false
				}
			}
		}
		return want > 0
	})
}

// TestTheMoneyShownIsTheBooks: after a restart, a kill and with two replicas of
// which one takes over, the money on the board is the provider's, to the cent.
func TestTheMoneyShownIsTheBooks(t *testing.T) {
	t.Parallel()
	bought := func(p *place, n int) {
		t.Helper()
		before := p.captured()
		until(t, time.Minute, "more purchases", func() bool { return p.captured() >= before+n })
	}
	calm := func(p *place) {
		t.Helper()
		p.emu.StopUsage()
		until(t, time.Minute, "nothing open", func() bool { return p.open() == 0 })
	}
	t.Run("restarts", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, sqliteURL(t), busy(20), settings{})
		d := p.started()
		bought(p, 5)
		d = p.restarted(d)
		bought(p, 5)
		d.kill()
		d = p.started()
		bought(p, 3)
		calm(p)
		p.showsTheBooks("after a restart and a kill", d)
		d = p.restarted(d)
		p.showsTheBooks("by a process that has bought nothing", d)
		p.judge()
	})
	t.Run("two replicas", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, postgresURL(t), busy(20), settings{})
		first := p.started()
		until(t, 30*time.Second, "the first to hold the lease", func() bool { return first.value("topupd_lease_held") == 1 })
		second := p.started()
		bought(p, 5)
		first.kill()
		until(t, time.Minute, "the second to hold the lease", func() bool { return second.value("topupd_lease_held") == 1 })
		bought(p, 5)
		third := p.started()
		calm(p)
		p.showsTheBooks("by both replicas", second, third)
		p.judge()
	})
}
