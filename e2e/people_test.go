package e2e

import (
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// TestAPersonsWordWaitsForTheCredits: a parked Talkover purchase that a person
// calls charged blocks its customer until a reading shows the credits; the old
// balance must not buy once more.
func TestAPersonsWordWaitsForTheCredits(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), emulator.Options{Seed: 5, Talkover: emulator.TalkoverOptions{
		Environments: 1, NoUsage: true, PostLate: time.Hour,
		StartBalance: emulator.Range{Min: decimal.MustNew(40, 0), Max: decimal.MustNew(40, 0)},
	}}, settings{Voices: 1, Quiet: "4s", PurchaseTimeout: "1s"})
	p.emu.SetFaults(emulator.Faults{Provider: "talkover", Next: []string{"charge_then_drop"}})
	d := p.started()
	state := func() string {
		for _, b := range p.purchases() {
			if b.Provider == "voice-1" {
				return b.State
			}
		}
		return ""
	}
	until(t, time.Minute, "a parked purchase", func() bool { return state() == "parked" })
	id := p.purchases()[0].ID
	if out, errs, code := p.run("purchases", "resolve", id, "charged", "--note", "on the card statement", "--by", "ada"); code != 0 {
		t.Fatalf("resolve: exit %d: %s%s", code, out, errs)
	}
	if got := state(); got != "confirmed" {
		t.Fatalf("after a person's word the purchase is %s, want confirmed", got)
	}
	sweeps := d.value("topup_sweeps_total", "provider", "voice-1")
	until(t, time.Minute, "eight more sweeps", func() bool { return d.value("topup_sweeps_total", "provider", "voice-1") >= sweeps+8 })
	if n := len(p.emu.Books().Charges); n != 1 {
		t.Errorf("%d charges, want 1: the balance is old, not low", n)
	}
	if _, _, code := p.run("purchases", "resolve", id, "charged", "--note", "the credits are there", "--by", "ada"); code != 0 || state() != "settled" {
		t.Errorf("saying so again: exit %d, %s; want 0, settled", code, state())
	}
}
