package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/config"
	"topupd/topup"
)

// TestExperimentsNeverPassTheBound: however much is allowed, what is put on the
// wire could not cost more, whether the provider charges each of it or not; all
// of it is announced and recorded before it is sent.
func TestExperimentsNeverPassTheBound(t *testing.T) {
	t.Parallel()
	for _, profile := range []emulator.HyperlineProfile{{}, {KeysIgnored: true}, {OtherBytes: emulator.OtherBytesRun}, {ConcurrentRuns: true}} {
		for allowed := int64(1); allowed <= 8; allowed++ {
			t.Run(fmt.Sprintf("%+v/%d", profile, allowed), func(t *testing.T) {
				t.Parallel()
				w := newWard(t, emulator.Options{
					Hyperline: emulator.HyperlineOptions{Customers: 2, Profile: profile},
					Faults:    emulator.Faults{PurchaseDelay: 20 * time.Millisecond},
				}, nil)
				mustDo(t, w.SetCard(w.Customers()[1].ID, emulator.CardDeclined))
				p, client := w.hyperline(nil)
				bound := terms(allowed)
				bound.SpendAtMost.Minor += smallPack.Price.Minor - 1 // a cent short of one more
				bound.Declined = topup.CustomerID(w.Customers()[1].ID)
				v, err := Experiments(t.Context(), p, client, w, bound, w.announce)
				mustDo(t, err)
				books := w.Books()
				if int64(len(books.Requests)) > allowed {
					t.Errorf("%d purchases were sent, %d allowed", len(books.Requests), allowed)
				}
				spent := int64(0)
				for _, c := range books.Captured() {
					spent += c.AmountMinor
				}
				if spent > bound.SpendAtMost.Minor {
					t.Errorf("%d cents were charged of %s", spent, bound.SpendAtMost)
				}
				w.accounted(t, v, books)
			})
		}
	}
}

// accounted: every request that arrived was announced, begun and ended.
func (w *ward) accounted(t *testing.T, v Visit, books emulator.Books) {
	t.Helper()
	begun := map[string]int{}
	for _, e := range w.begun {
		begun[e.Key]++
		if w.ended[e.ID] == "" {
			t.Errorf("the end of %s was not recorded", e.Name)
		}
	}
	for _, r := range books.Requests {
		if begun[r.Key]--; begun[r.Key] < 0 {
			t.Errorf("a purchase under key %s was sent and not recorded", r.Key)
		}
	}
	if n := len(books.Requests); len(w.said) != n || len(v.Purchases) != n {
		t.Errorf("%d sent, %d announced, %d reported", n, len(w.said), len(v.Purchases))
	}
	for _, said := range w.said {
		if !strings.Contains(said, "for 200.00 EUR") {
			t.Errorf("announced without its price: %s", said)
		}
	}
}

// TestWhatEndsTheExperiments: after the first doubt about being able to try, or
// to record, nothing more is sent.
func TestWhatEndsTheExperiments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		spoil   func(*testing.T, *ward)
		terms   func(*Terms)
		sent    int
		refused string // part of the refusal
		failed  bool
		finding string // of the first purchase
	}{
		{
			name: "a declined customer", spoil: func(t *testing.T, w *ward) { mustDo(t, w.SetCard(emulator.FirstCustomer, emulator.CardDeclined)) },
			sent: 1, finding: "rejected (402)",
		},
		{name: "an answer that never came", spoil: func(t *testing.T, w *ward) { mustDo(t, w.Force("charge_then_drop")) }, sent: 1, finding: "unknown"},
		{name: "a 500", spoil: func(t *testing.T, w *ward) { mustDo(t, w.Force("charge_then_500")) }, sent: 1, finding: "unknown (500)"},
		{name: "a 429", spoil: func(t *testing.T, w *ward) { mustDo(t, w.Force("throttle")) }, sent: 1, finding: "not_run (429)"},
		{name: "a record that takes nothing", spoil: func(_ *testing.T, w *ward) { w.refusing = true }, failed: true},
		{name: "a bound below the cheapest pack", terms: func(t *Terms) { t.SpendAtMost.Minor = 199_99 }, refused: "less than the cheapest"},
		{name: "a bound in another currency", terms: func(t *Terms) { t.SpendAtMost.Currency = "USD" }, refused: "the rules buy in EUR"},
		{name: "an unknown customer", terms: func(t *Terms) { t.Customer = "cus_nobody" }, refused: "cus_nobody"},
		{name: "an archived customer", spoil: func(t *testing.T, w *ward) { mustDo(t, w.Archive(emulator.FirstCustomer)) }, refused: "archived"},
		{name: "another price than configured", spoil: func(t *testing.T, w *ward) { mustDo(t, w.SetPrice(emulator.SmallPack, 1_00)) }, refused: "configured is 120 credits"},
		{name: "a customer whom the provider tops up", spoil: func(t *testing.T, w *ward) { mustDo(t, w.SetAutoTopup(emulator.FirstCustomer, true)) }, refused: "auto_topup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 2}}, nil)
			if tt.spoil != nil {
				tt.spoil(t, w)
			}
			p, client := w.hyperline(nil)
			allowed := terms(20)
			if tt.terms != nil {
				tt.terms(&allowed)
			}
			v, err := Experiments(t.Context(), p, client, w, allowed, w.announce)
			if n := len(w.Books().Requests); n != tt.sent {
				t.Errorf("%d purchases were sent, want %d", n, tt.sent)
			}
			refusal, refused := errors.AsType[*Refusal](err)
			switch {
			case tt.refused != "" && (!refused || !strings.Contains(refusal.Why, tt.refused)):
				t.Errorf("refused with %v, want %q", err, tt.refused)
			case tt.refused == "" && (err != nil) != tt.failed:
				t.Errorf("error %v, want one %t", err, tt.failed)
			}
			if tt.finding != "" {
				wantFinding(t, v, "one purchase", Fail, tt.finding)
			}
			if len(v.Capabilities) > 0 {
				t.Errorf("nothing was found out, and %+v is obeyed", v.Capabilities)
			}
		})
	}
}

// TestAnInterruptionKeepsWhatWasFound: what was seen until Ctrl-C is obeyed.
func TestAnInterruptionKeepsWhatWasFound(t *testing.T) {
	t.Parallel()
	w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1, Profile: emulator.HyperlineProfile{KeysIgnored: true}}}, nil)
	p, client := w.hyperline(nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	allowed := terms(20)
	allowed.Watch = time.Hour
	v, err := Experiments(ctx, p, client, w, allowed, func(text string) {
		if strings.HasPrefix(text, "same key again") {
			time.AfterFunc(time.Second, stop) // the watching that follows has no end of its own
		}
	})
	if err == nil {
		t.Error("an interruption is no success")
	}
	wantFinding(t, v, "same key again", Fail, "charged again")
	if found := topup.FoundIn(v.Capabilities); !found.KeysIgnored {
		t.Errorf("what was found is lost: %+v", v.Capabilities)
	}
}

func TestSomebodyElsesEarlierPurchaseIsNoRepeat(t *testing.T) {
	t.Parallel()
	w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1}}, nil)
	mustDo(t, w.PortalPurchase(emulator.FirstCustomer))
	p, client := w.hyperline(nil)
	v, err := Experiments(t.Context(), p, client, w, terms(2), w.announce)
	mustDo(t, err)
	wantFinding(t, v, "same key again", OK, "one invoice")
}

// TestAllowed: with real money, or where it could be, nothing is tried.
func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		name, base, token string
		kind              topup.ProviderType
		want              string // part of the refusal; "" = allowed
	}{
		{"the sandbox", "https://sandbox.api.hyperline.co", "test_1", topup.Hyperline, ""},
		{"this machine", "http://127.0.0.1:9847", "test_1", topup.Hyperline, ""},
		{"this machine by name", "http://localhost:9847", "test_1", topup.Hyperline, ""},
		{"production", "https://api.hyperline.co", "prod_1", topup.Hyperline, "this is a prod_ key"},
		{"a test key at production", "https://api.hyperline.co", "test_1", topup.Hyperline, "not api.hyperline.co"},
		{"a production key at the sandbox", "https://sandbox.api.hyperline.co", "prod_1", topup.Hyperline, "this is a prod_ key"},
		{"a production key on this machine", "http://127.0.0.1:1", "prod_1", topup.Hyperline, "this is a prod_ key"},
		{"a key of no known kind", "http://127.0.0.1:1", "secret", topup.Hyperline, "without a known prefix"},
		{"another host", "https://proxy.example", "test_1", topup.Hyperline, "not proxy.example"},
		{"a host that looks alike", "https://sandbox.api.hyperline.co.example", "test_1", topup.Hyperline, "not sandbox"},
		{"the sandbox in the clear", "http://sandbox.api.hyperline.co", "test_1", topup.Hyperline, "not sandbox"},
		{"Talkover", "http://127.0.0.1:1", "test_1", topup.Talkover, "no idempotency keys"},
	} {
		base, err := url.Parse(tt.base)
		mustDo(t, err)
		err = Allowed(config.Provider{Name: "p", Type: tt.kind, BaseURL: base, Token: config.NewSecret(tt.token)})
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), tt.token)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAPurchaseThatDoesNotShowInTimeIsTakenForSlow(t *testing.T) {
	t.Parallel()
	w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1, Profile: emulator.HyperlineProfile{VisibleAfter: time.Hour}}}, nil)
	p, client := w.hyperline(func(p *config.Provider) { p.UnknownOutcome.QuietPeriod = time.Millisecond })
	v, err := Experiments(t.Context(), p, client, w, terms(1), w.announce)
	mustDo(t, err)
	wantFinding(t, v, "visibility", Fail, "not shown")
	if found := topup.FoundIn(v.Capabilities); found.Visible < 20*time.Millisecond {
		t.Errorf("found %+v, want at least the time that was waited", found)
	}
}

func TestTheBundleThatIsTriedIsTheCheapest(t *testing.T) {
	w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1}}, nil)
	mustDo(t, w.SetBalance(emulator.FirstCustomer, decimal.MustNew(1, 0)))
	p, client := w.hyperline(nil)
	v, err := Experiments(t.Context(), p, client, w, terms(1), w.announce)
	mustDo(t, err)
	if len(v.Purchases) != 1 || v.Purchases[0].Price != "200.00 EUR" || v.Purchases[0].Credits != "120" {
		t.Errorf("bought %+v, want the small pack once", v.Purchases)
	}
}
