package e2e

import (
	"testing"
	"time"

	"topupd/clients/emulator"
)

// restarted stops a daemon and starts the next one on the same ledger.
func (p *place) restarted(d *process) *process {
	p.t.Helper()
	if code := d.stop(); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM", code)
	}
	return p.started()
}

// TestAPauseHoldsUntilSomebodyResumes: P12, in every scope and across a restart.
func TestAPauseHoldsUntilSomebodyResumes(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string][]string{
		"everything": nil, "the provider": {"--provider", "hyperline"}, "the rule": {"--rule", "api-credits"},
		"the customer": {"--customer", emulator.FirstCustomer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
			d := p.started()
			d.polls(1)
			said := p.succeeds(append([]string{"pause", "--reason", "prices change", "--by", "ada"}, scope...)...)
			contains(t, "pause", said, "until somebody resumes, by ada: prices change", "nothing is in flight", "back with: topupd resume")
			p.setBalance(emulator.FirstCustomer, 100)
			d.below("paused", 1)
			d = p.restarted(d)
			d.below("paused", 1)
			d.polls(3)
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for while %s was paused", n, name)
			}
			contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "ada", "prices change")
			contains(t, "resume", p.succeeds(append([]string{"resume", "--reason", "prices are in"}, scope...)...), "lifted the pause of", "by ada: prices change")
			p.settles(1)
		})
	}
}

// TestAPauseSaysWhatIsInFlight: what was sent is listed, finished and stored;
// nothing follows it.
func TestAPauseSaysWhatIsInFlight(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{
		PurchaseTimeout: "20s", Quiet: "80s", Bundles: "{price_id: pri_0Jv8EbMDOGsHcn, credits: 120, price_excluding_tax: 200.00 EUR}",
	})
	p.emu.SetFaults(emulator.Faults{PurchaseDelay: 4 * time.Second})
	d := p.started()
	until(t, 30*time.Second, "a request to be at the provider", func() bool { return p.asked() == 1 })
	contains(t, "pause", p.succeeds("pause", "--reason", "wrong pack"), "paused: everything", "still in flight: what was sent cannot be called back", "200.00 EUR", "sent")
	p.settles(1)
	d.below("paused", 1) // 220 is still below 500
	d.polls(3)
	if n := p.asked(); n != 1 {
		t.Errorf("%d purchases were asked for, want the 1 in flight", n)
	}
}

// TestADryRunBuysNothing: in the daemon's mode and in the rule's, and it says
// what it would have bought.
func TestADryRunBuysNothing(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]settings{"of the daemon": {Mode: "dry_run"}, "of the rule": {Extra: "    mode: dry_run\n"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 100), s)
			d := p.started()
			d.below("dry_run", 1)
			d.polls(3)
			if n := p.asked(); n != 0 {
				t.Errorf("%d purchases were asked for", n)
			}
			if n := len(p.purchases()); n != 0 {
				t.Errorf("%d purchases are in the ledger", n)
			}
			contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "would buy 600 credits for 900.00 EUR")
			contains(t, "explain", p.succeeds("explain", emulator.FirstCustomer), "dry_run", "900.00 EUR")
		})
	}
}

// TestTheProvidersOwnTopUpIsNotDoubled: P8. Where the provider tops up by
// itself nothing is bought, however low the balance; when it is switched off,
// once.
func TestTheProvidersOwnTopUpIsNotDoubled(t *testing.T) {
	t.Parallel()
	own := quiet(1, 100)
	own.Hyperline.RetrySchedule = []time.Duration{} // its unpaid invoice is collected as soon as there is a card
	for _, tt := range []struct {
		name, customer string
		world          emulator.Options
		voices         int
	}{
		{"hyperline", emulator.FirstCustomer, own, 0},
		{"talkover", "env-1", lowVoice(), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), tt.world, settings{Voices: tt.voices})
			p.card(tt.customer, emulator.CardMissing) // the provider's own top-up fails
			if err := p.emu.SetAutoTopup(tt.customer, true); err != nil {
				t.Fatal(err)
			}
			d := p.started()
			d.below("native_auto_topup", 1)
			d.polls(3)
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for", n)
			}
			if err := p.emu.SetAutoTopup(tt.customer, false); err != nil {
				t.Fatal(err)
			}
			p.card(tt.customer, emulator.CardGood)
			p.restarted(d) // what is known of customers is up to a minute old otherwise
			p.settles(1)
		})
	}
}

// card replaces a customer's payment method.
func (p *place) card(customer string, card emulator.Card) {
	p.t.Helper()
	if err := p.emu.SetCard(customer, card); err != nil {
		p.t.Fatal(err)
	}
}

// TestACapHolds: P6. What is reached stays reached across a restart, and the
// reason names the cap.
func TestACapHolds(t *testing.T) {
	t.Parallel()
	small := smallPack
	for name, tt := range map[string]struct {
		before, after string // in the daemon's configuration
		settings      settings
		want          string
	}{
		"purchases of a customer in a day": {"mode:", "mode:", settings{Bundles: small, DailyPurchases: 1}, "customer"},
		"money of everybody in a day":      {"EUR: 100000000.00", "EUR: 300.00", settings{Bundles: small}, "global"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 100), tt.settings)
			p.edit("topupd.yml", tt.before, tt.after)
			d := p.started()
			d.below("over_cap", 1) // 220 is still below 500
			d = p.restarted(d)
			d.below("over_cap", 1)
			d.polls(3)
			contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, tt.want, "day")
			if n := p.asked(); n != 1 {
				t.Errorf("%d purchases were asked for, want 1", n)
			}
			p.settles(1)
		})
	}
}

// TestTheFirstPurchaseIsHeld while an earlier installation may have one in
// flight, until the time is over.
func TestTheFirstPurchaseIsHeld(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{FirstHold: "8s"})
	began := time.Now()
	d := p.started()
	d.below("first_hold", 1)
	contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "first_purchase_after")
	p.settles(1)
	if held := p.emu.Books().Captured()[0].At.Sub(began); held < 8*time.Second {
		t.Errorf("the first purchase came %s after the start, before first_purchase_after 8s", held)
	}
}

// TestResumeLiftsTheFirstHold for a person who knows that nothing is in flight.
func TestResumeLiftsTheFirstHold(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{FirstHold: "1h"})
	d := p.started()
	d.below("first_hold", 1)
	d.polls(3)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for", n)
	}
	said := p.succeeds("resume", "--provider", "hyperline", "--reason", "this is the first installation")
	contains(t, "resume", said, "lifted the first hold")
	p.settles(1)
}
