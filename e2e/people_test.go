package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// TestAPersonsWordWaitsForTheCredits: a Talkover purchase that needs review, and that a person
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
	until(t, time.Minute, "a purchase that needs review", func() bool { return state() == "needs_review" })
	id := p.purchases()[0].ID
	if out, errs, code := p.run("purchases", "resolve", id, "charged", "--note", "on the card statement", "--by", "ada"); code != 0 {
		t.Fatalf("resolve: exit %d: %s%s", code, out, errs)
	}
	if got := state(); got != "confirmed" {
		t.Fatalf("after a person's word the purchase is %s, want confirmed", got)
	}
	polls := d.value("topupd_polls_total", "provider", "voice-1")
	until(t, time.Minute, "eight more polls", func() bool { return d.value("topupd_polls_total", "provider", "voice-1") >= polls+8 })
	if n := len(p.emu.Books().Charges); n != 1 {
		t.Errorf("%d charges, want 1: the balance is old, not low", n)
	}
	until(t, 15*time.Second, "the same word again, between two looks", func() bool { // a look that is stored meanwhile overtakes it
		_, _, code := p.run("purchases", "resolve", id, "charged", "--note", "the credits are there", "--by", "ada")
		return code == 0
	})
	if got := state(); got != "credited" {
		t.Errorf("after the word was repeated the purchase is %s, want credited", got)
	}
	if out, errs, code := p.run("purchases", "correct", id, "--to", "not-charged", "--note", "it was another card", "--by", "bea"); code != 0 {
		t.Fatalf("correct: exit %d: %s%s", code, out, errs)
	}
	until(t, time.Minute, "the customer, who was never topped up, to be bought for", func() bool { return len(p.emu.Books().Charges) == 2 })
	if out, _, _ := p.run("purchases"); !strings.Contains(out, "corrected") {
		t.Errorf("the list does not tell of the correction:\n%s", out)
	}
}

// TestAWrongNotChargedIsNoticed: a person calls a purchase not charged, the
// customer is bought for again, and then a charge turns up that the first request
// may have made (the portal makes it, so that it comes after the second purchase
// on every machine). topupd says so, writes it into the history of the purchase
// and buys nothing more for the customer until a person has looked.
func TestAWrongNotChargedIsNoticed(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "2s", PurchaseTimeout: "1s"})
	p.edit("topupd.yml", "policy: retry", "policy: review")
	p.emu.SetFaults(emulator.Faults{Provider: "hyperline", Next: []string{"drop_without_charging"}})
	d := p.started()
	until(t, time.Minute, "a purchase that needs review", func() bool { return d.value("topupd_purchases_open", "state", "needs_review") == 1 })
	wrong := p.purchases()[0].ID
	until(t, 15*time.Second, "a resolution between two looks", func() bool { // a look that is stored meanwhile overtakes it
		_, _, code := p.run("purchases", "resolve", wrong, "not-charged", "--note", "nothing on the statement", "--by", "ada")
		return code == 0
	})
	until(t, time.Minute, "the second purchase", func() bool { return p.captured() == 1 && p.open() == 0 })
	if err := p.emu.PortalPurchase(emulator.FirstCustomer, emulator.LargePack); err != nil {
		t.Fatal(err)
	}
	charged := p.captured()
	p.setBalance(emulator.FirstCustomer, 100)
	d.below("implausible", 1)
	d.polls(3)
	if n := p.asked(); n != 2 {
		t.Errorf("%d purchases were asked for, want 2 and no third", n)
	}
	if !d.has("held", map[string]any{"level": "ERROR", "customer": emulator.FirstCustomer}) {
		t.Errorf("the log does not tell of it:\n%s", d.tail(20))
	}
	contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "which ada called not charged", "the customer may have paid twice")
	contains(t, "purchases show", p.succeeds("purchases", "show", wrong), "which looks like this purchase although ada called it not charged")
	p.succeeds("resume", "--provider", "hyperline", "--reason", "refunded one of the two")
	until(t, time.Minute, "a third purchase", func() bool { return p.captured() == charged+1 && p.open() == 0 })
}
