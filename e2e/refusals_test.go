package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients/emulator"
)

const smallPack = "{price_id: pri_0Jv8EbMDOGsHcn, credits: 120, price_excluding_tax: 200.00 EUR}"

// TestAPurchaseInThePortalIsNotBoughtOnTopOf: P1, P5. The customer has just
// bought; topupd takes note and waits for the cooldown, although the balance is
// still low.
func TestAPurchaseInThePortalIsNotBoughtOnTopOf(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{Cooldown: "10s"})
	d := p.started()
	d.polls(1)
	if err := p.emu.PortalPurchase(emulator.FirstCustomer, emulator.SmallPack); err != nil {
		t.Fatal(err)
	}
	p.setBalance(emulator.FirstCustomer, 220)
	d.below("external_topup", 1)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for", n)
	}
	contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "somebody else added credits")
	p.settles(1)
	var at [2]time.Time // of the customer's purchase and ours
	for i, c := range p.emu.Books().Captured() {
		at[i] = c.At
	}
	if waited := at[1].Sub(at[0]); waited < 10*time.Second {
		t.Errorf("bought %s after the customer did, within the cooldown of 10s", waited)
	}
}

// TestAChangedPriceBuysNothing: P10, until the prices agree again.
func TestAChangedPriceBuysNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
	if err := p.emu.SetPrice(emulator.LargePack, 950_00); err != nil {
		t.Fatal(err)
	}
	d := p.started()
	d.below("price_mismatch", 1)
	d.polls(3)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for at another price than the configured one", n)
	}
	contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "950.00", "900.00")
	p.edit("rules.yml", "900.00 EUR", "950.00 EUR")
	if status, body := d.reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	p.settles(1)
}

// declines makes the rules give up soon.
func (p *place) declines(terms string) {
	p.edit("rules.yml", "declines: {backoff: 10s, max_backoff: 1m, suspend_after: 20}", "declines: "+terms)
}

// TestADeclinedCardIsAskedLessAndLess: P7. Rests that double, then a suspension
// that a new card lifts.
func TestADeclinedCardIsAskedLessAndLess(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "2s", PurchaseTimeout: "1s"})
	p.declines("{backoff: 4s, max_backoff: 1m, suspend_after: 2}")
	p.card(emulator.FirstCustomer, emulator.CardDeclined)
	d := p.started()
	d.below("backing_off", 1)
	d.below("suspended", 1)
	until(t, 30*time.Second, "the payment methods to be looked at", func() bool {
		return d.value("topupd_provider_requests_total", "op", "payment_methods") >= 1
	})
	d.polls(3)
	requests := p.emu.Books().Requests
	if len(requests) != 2 {
		t.Fatalf("%d purchases were asked for, want 2 and then a suspension", len(requests))
	}
	if rest := requests[1].ReceivedAt.Sub(requests[0].ReceivedAt); rest < 4*time.Second {
		t.Errorf("asked again after %s, sooner than backoff 4s", rest)
	}
	if n := d.value("topupd_purchase_failures_total", "reason", "declined"); n != 2 {
		t.Errorf("topupd_purchase_failures_total says %v declined, want 2", n)
	}
	p.card(emulator.FirstCustomer, emulator.CardGood)
	d = p.restarted(d) // a running daemon looks at a suspended customer's cards every five minutes
	p.settles(1)
	if !d.has("suspension lifted", map[string]any{"reason": "payment method changed"}) {
		t.Errorf("the log does not say why the suspension ended:\n%s", d.tail(20))
	}
}

// TestAPersonLiftsASuspension at a provider without keys and books too.
func TestAPersonLiftsASuspension(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), lowVoice(), settings{Voices: 1})
	p.edit("rules.yml", "    buy: {charge: 25.00 USD}\n", "    buy: {charge: 25.00 USD}\n    declines: {backoff: 1s, max_backoff: 2s, suspend_after: 3}\n")
	p.emu.SetFaults(emulator.Faults{Decline: 1})
	d := p.started()
	d.below("suspended", 1)
	d.polls(3)
	if n := p.asked(); n != 3 {
		t.Errorf("%d purchases were asked for, want 3", n)
	}
	p.emu.SetFaults(emulator.Faults{})
	contains(t, "resume", p.succeeds("resume", "--customer", "env-1", "--reason", "the bank has called"), "lifted 1 suspension or back-off")
	p.settles(1)
}

// TestAWrongPaymentMethodIsNoDeclinedCard: P7. Talkover answers a method that it
// does not know with a 422, which is about the rule and nobody's card. It backs
// off, says so in Talkover's words, and goes on when the rule is put right.
func TestAWrongPaymentMethodIsNoDeclinedCard(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), lowVoice(), settings{Voices: 1})
	p.edit("rules.yml", "buy: {charge: 25.00 USD}", "buy: {charge: 25.00 USD, payment_method_id: pm_nobodys}")
	d := p.started()
	d.below("backing_off", 1)
	d.polls(3)
	if n := p.asked(); n != 1 {
		t.Errorf("%d purchases were asked for, want 1 and then a back-off", n)
	}
	if refused, declined := d.value("topupd_purchase_failures_total", "reason", "refused"), d.value("topupd_purchase_failures_total", "reason", "declined"); refused != 1 || declined != 0 {
		t.Errorf("topupd_purchase_failures_total says %v refused and %v declined, want 1 and 0", refused, declined)
	}
	said := p.succeeds("explain", "env-1")
	contains(t, "explain", said, "The selected payment method is invalid", "not a declined payment", "correct the rule")
	if strings.Contains(said, "another card") {
		t.Errorf("explain asks for another card:\n%s", said)
	}
	contains(t, "purchases list", p.succeeds("purchases", "list"), "refused")
	p.edit("rules.yml", ", payment_method_id: pm_nobodys", "")
	if status, body := d.reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, body)
	}
	p.settles(1) // under the new version at once, not after the back-off
}

// TestAnUnpaidInvoiceBlocks: P9. The provider said yes, but the card failed:
// nothing more is bought until the invoice is paid.
func TestAnUnpaidInvoiceBlocks(t *testing.T) {
	t.Parallel()
	world := quiet(1, 100)
	world.Hyperline.RetrySchedule = []time.Duration{}
	p := newPlace(t, sqliteURL(t), world, settings{})
	p.card(emulator.FirstCustomer, emulator.CardDeclined)
	p.emu.SetFaults(emulator.Faults{Next: []string{"decline_201_unpaid"}})
	d := p.started()
	d.below("invoice_unpaid", 1)
	d.polls(3)
	if n := p.asked(); n != 1 || p.captured() != 0 {
		t.Fatalf("%d purchases were asked for, %d captured; want 1 and 0", n, p.captured())
	}
	if all := p.purchases(); len(all) != 1 || all[0].State != "confirmed" || all[0].Payment != "failed" || deref(all[0].Reason) != "declined" {
		t.Errorf("purchases: %+v, want one that is confirmed and whose payment failed", all)
	}
	if n := d.value("topupd_invoices_unpaid", "payment", "failed"); n != 1 {
		t.Errorf("topupd_invoices_unpaid says %v failed, want 1", n)
	}
	p.card(emulator.FirstCustomer, emulator.CardGood) // the provider collects the invoice
	p.settles(1)
	if n := p.asked(); n != 1 {
		t.Errorf("%d purchases were asked for, want 1", n)
	}
}

// TestWithoutAPaymentMethodNothingIsAskedFor.
func TestWithoutAPaymentMethodNothingIsAskedFor(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
	p.card(emulator.FirstCustomer, emulator.CardMissing)
	d := p.started()
	d.below("no_payment_method", 1)
	d.polls(3)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for", n)
	}
	p.card(emulator.FirstCustomer, emulator.CardGood)
	p.restarted(d) // what is known of customers is up to a minute old otherwise
	p.settles(1)
}

// TestARefusedTokenStopsTheProvider: one 401 or 403 to a purchase and nothing more is
// sent, also after a restart, until the token's file has changed.
func TestARefusedTokenStopsTheProvider(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			refusedToken(t, status)
		})
	}
}

func refusedToken(t *testing.T, status int) {
	p := newPlace(t, sqliteURL(t), quiet(2, 100), settings{Quiet: "2s", PurchaseTimeout: "1s"})
	m := p.meddled(t)
	p.write("hyperline.token", "test_revoked\n")
	p.edit("topupd.yml", "token: test_emulator", "token_file: "+filepath.Join(p.dir, "hyperline.token"))
	var purchases, revoked atomic.Int64 // requests with the old token; not 0 = not even reads
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		old := strings.HasSuffix(r.Header.Get("Authorization"), "test_revoked")
		if old && r.Method != http.MethodGet {
			purchases.Add(1)
		}
		if old && (r.Method != http.MethodGet || revoked.Load() != 0) {
			w.Header().Set("Content-Type", "application/json")
			if r.Method == http.MethodGet {
				w.WriteHeader(http.StatusUnauthorized)
			} else {
				w.WriteHeader(status)
			}
			_, _ = w.Write([]byte(`{"message":"Missing authentication token"}`))
			return true
		}
		r.Header.Set("Authorization", "Bearer "+emulator.DefaultToken)
		return false
	})
	const refused = "topupd_provider_token_refused_timestamp_seconds" // what pages
	d := p.started()
	d.below("provider_unavailable", 2)
	d = p.restarted(d)
	d.below("provider_unavailable", 2)
	d.polls(3)
	until(t, 30*time.Second, "the refusal of purchases to be shown, whatever reads say", func() bool {
		return d.value(refused, "provider", "hyperline") > 0
	})
	if n := purchases.Load(); n < 1 || n > 2 { // two customers may be asked for at the same moment
		t.Errorf("%d purchases were sent with a refused token", n)
	}
	contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "the provider refused the token")
	p.write("hyperline.token", "test_fresh\n")
	revoked.Store(1) // now reads are refused too, and the file is read again
	p.settles(2)
	until(t, 30*time.Second, "the refusal to be over", func() bool { return d.value(refused, "provider", "hyperline") == 0 })
	if slices.ContainsFunc(p.purchases(), func(b bought) bool { return b.State == "needs_review" }) {
		t.Error("a purchase needs a person")
	}
}

// TestAnotherEnvironmentBuysNothing: the token's owner has switched, and a
// purchase would fill another wallet.
func TestAnotherEnvironmentBuysNothing(t *testing.T) {
	t.Parallel()
	world := lowVoice()
	world.Talkover.Environments = 2
	p := newPlace(t, sqliteURL(t), world, settings{Voices: 1})
	if err := p.emu.SwitchEnvironment("env-1", "env-2"); err != nil {
		t.Fatal(err)
	}
	d := p.started()
	d.below("environment_changed", 1)
	d.polls(3)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for in another environment", n)
	}
	contains(t, "targets list", p.stance("env-1").Text, "env-2, not env-1")
	if err := p.emu.SwitchEnvironment("env-1", "env-1"); err != nil {
		t.Fatal(err)
	}
	p.settles(1)
	if c := p.emu.Books().Captured()[0]; c.Customer != "env-1" {
		t.Errorf("the payment went to %s", c.Customer)
	}
}
