package talkover_test

import (
	"cmp"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/clients/talkover"
	"topupd/topup"
)

// world is the emulated provider, whose books say what was truly charged.
type world struct {
	*emulator.Emulator
	server *httptest.Server
	clock  atomic.Int64 // virtual seconds past noon
}

func newWorld(t *testing.T, o emulator.Options) *world {
	t.Helper()
	w := &world{}
	o.Seed = cmp.Or(o.Seed, 7)
	o.Now = w.now
	o.Talkover.NoUsage, o.Talkover.Requests = true, -1
	o.Talkover.Environments = 2
	w.Emulator = emulator.New(o)
	w.server = httptest.NewServer(w.Handler())
	t.Cleanup(w.server.Close)
	w.balance(t, 41)
	return w
}

func (w *world) now() time.Time { return noon.Add(time.Duration(w.clock.Load()) * time.Second) }

func (w *world) balance(t *testing.T, credits int64) {
	t.Helper()
	if err := w.SetBalance("env-1", decimal.MustNew(credits, 0)); err != nil {
		t.Fatal(err)
	}
}

// pass lets virtual time go by.
func (w *world) pass(d time.Duration) {
	w.clock.Add(int64(d / time.Second))
	w.Tick(w.now())
}

// first is the target of the first environment.
var first = topup.Target{Provider: "talkover://emulator/env-1", Customer: "env-1", Product: talkover.Product}

func (w *world) client(t *testing.T) *talkover.Client { return w.clientAt(t, nil) }

// clientAt makes a client with a clock of its own; nil is the wall clock.
func (w *world) clientAt(t *testing.T, now func() time.Time) *talkover.Client {
	t.Helper()
	c, err := talkover.New(talkover.Options{
		ID: first.Provider, Name: "voice", Environment: first.Customer,
		UserToken: &token{value: "user_emulator_1"}, EnvironmentToken: &token{value: "talq_emulator_1"},
		API: clients.Options{
			BaseURL:         mustURL(t, w.server.URL+"/talkover"),
			Limits:          clients.Limits{Reads: clients.Rate{Count: 100_000, Window: time.Minute}, SharePercent: 100},
			ReadTimeout:     300 * time.Millisecond,
			PurchaseTimeout: 300 * time.Millisecond,
			Rand:            func() float64 { return 0 },
			Now:             now,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func charge() topup.Order {
	return topup.Order{Target: first, Credits: 100 * topup.Credit, Price: topup.Money{Minor: 100_00, Currency: "USD"}}
}

// purchase makes one purchase, the way the life of a purchase does.
func purchase(t *testing.T, c *talkover.Client) topup.Answer {
	t.Helper()
	request, err := c.Prepare(charge())
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Send(t.Context(), request, "key-1")
}

func TestAPurchaseAtTheEmulatedProvider(t *testing.T) {
	t.Parallel()
	for _, style := range []emulator.MoneyStyle{emulator.MoneyNumber, emulator.MoneyString, emulator.MoneyMixed} {
		t.Run(string(style), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{Talkover: emulator.TalkoverOptions{Profile: emulator.TalkoverProfile{Money: style}}})
			c := w.client(t)
			before, err := c.Confirm(t.Context(), charge())
			if err != nil || before.Reading.Bad != "" || before.Reading.Balance != 41*topup.Credit ||
				before.CurrencyProblem+before.EnvironmentProblem+before.NativeProblem != "" {
				t.Fatalf("Confirm() = %+v, %v", before, err)
			}
			got := purchase(t, c)
			booked := w.Books().Captured()
			if got.Verdict != topup.Accepted || len(booked) != 1 || booked[0].ID != got.Reference || booked[0].Amount != "100.00" || booked[0].Key != "" {
				t.Fatalf("answer %+v, books %+v", got, booked)
			}
			after, err := clients.Gather(t.Context(), c, nil)
			if err != nil || after.Readings[0].Balance != 141*topup.Credit || *got.Balance != 141*topup.Credit {
				t.Errorf("Poll() = %+v, %v; the answer said %v", after, err, got.Balance)
			}
			if cards, err := c.PaymentMethods(t.Context(), first); err != nil || cards == "" {
				t.Errorf("PaymentMethods() = %q, %v", cards, err)
			}
		})
	}
}

// P3, P4: whatever happens to a purchase, one request reaches the provider, a
// yes was charged, and a no or a not run was not.
func TestNoFaultMakesAVerdictThatTheBooksDeny(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]topup.Verdict{
		"none":                      topup.Accepted,
		"slow":                      topup.Accepted,
		"charge_then_500":           topup.Unknown,
		"charge_then_hang":          topup.Unknown,
		"charge_then_drop":          topup.Unknown,
		"charge_then_truncate":      topup.Unknown,
		"charge_then_html":          topup.Unknown,
		"fail_without_charging_500": topup.Unknown,
		"drop_without_charging":     topup.Unknown,
		"hang_without_charging":     topup.Unknown,
		"decline":                   topup.Rejected,
		"decline_201_unpaid":        topup.Unknown, // 200 with success false: documented nowhere
		"decline_no_credits":        topup.Unknown, // 402 INSUFFICIENT_CREDITS: documented for calls only
		"throttle":                  topup.NotRun,
		"redirect_307":              topup.Unknown,
		"wrong_amount":              topup.Unknown,
		"execute_late":              topup.Unknown,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{Faults: emulator.Faults{Next: []string{fault}, SlowFor: 20 * time.Millisecond}})
			got := purchase(t, w.client(t))
			if got.Verdict != want || (want != topup.Accepted) != (got.Reason != topup.FailedNone) {
				t.Errorf("answer = %+v, want %s", got, want)
			}
			books := w.Books()
			if len(books.Requests) != 1 {
				t.Errorf("%d requests reached the provider: %+v", len(books.Requests), books.Requests)
			}
			charged := len(books.Captured())
			if got.Verdict == topup.Accepted && charged != 1 || (got.Verdict == topup.Rejected || got.Verdict == topup.NotRun) && charged != 0 || charged > 1 {
				t.Errorf("%s, and yet the books have %+v", got.Verdict, books.Captured())
			}
			if fault == "wrong_amount" && (got.Reason != topup.FailedMismatch || got.Reference != books.Captured()[0].ID || got.Charged == nil) {
				t.Errorf("answer = %+v; the books have %+v", got, books.Captured())
			}
		})
	}
}

func TestADeclinedCardIsANo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{})
	if err := w.SetCard("env-1", emulator.CardDeclined); err != nil {
		t.Fatal(err)
	}
	got := purchase(t, w.client(t))
	if got.Verdict != topup.Rejected || got.Reason != topup.FailedDeclined || got.Stop || len(w.Books().Captured()) != 0 {
		t.Errorf("answer = %+v", got)
	}
}

// P13: no reading that a fault has spoilt is taken for a balance.
func TestSpoiltReadingsAreBadOrErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault, glitch string
		bad           bool // a bad reading, else an error
	}{
		{"glitch_balance", `null`, true},
		{"glitch_balance", `"abc"`, true},
		{"glitch_balance", `1e30`, true},
		{"read_html", "", false},
		{"read_truncate", "", false},
		{"read_hang", "", false},
	} {
		t.Run(tt.fault+" "+tt.glitch, func(t *testing.T) {
			t.Parallel()
			faults := emulator.Faults{GlitchValue: tt.glitch}
			if err := faults.Set(tt.fault, 1); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, emulator.Options{Faults: faults})
			poll, err := clients.Gather(t.Context(), w.client(t), nil)
			if tt.bad != (err == nil) || tt.bad && poll.Readings[0].Bad == "" {
				t.Errorf("Poll() = %+v, %v", poll, err)
			}
		})
	}
}

func TestAReadThatFailsOnceIsRepeated(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"read_500", "read_truncate"} {
		w := newWorld(t, emulator.Options{Faults: emulator.Faults{Next: []string{fault}}})
		poll, err := clients.Gather(t.Context(), w.client(t), nil)
		if err != nil || poll.Readings[0].Balance != 41*topup.Credit {
			t.Errorf("%s: Poll() = %+v, %v", fault, poll, err)
		}
	}
}

func TestASwitchedEnvironmentIsSeenBeforeBuying(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{})
	if err := w.SwitchEnvironment("env-1", "env-2"); err != nil {
		t.Fatal(err)
	}
	conf, err := w.client(t).Confirm(t.Context(), charge())
	if err != nil || !strings.Contains(conf.EnvironmentProblem, "env-2") {
		t.Errorf("Confirm() = %+v, %v", conf, err)
	}
}

// P8: Talkover's own top-up is seen when it is on, when it is under way, and
// when it has just been.
func TestNativeTopupIsSeenThroughItsLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Talkover: emulator.TalkoverOptions{
		Profile: emulator.TalkoverProfile{QueueDelay: 10 * time.Second, PendingFor: time.Minute},
	}})
	c := w.client(t)
	allowed := charge()
	allowed.Native = true
	look := func(o topup.Order) topup.Confirmation {
		t.Helper()
		conf, err := c.Confirm(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return conf
	}
	if err := w.SetAutoTopup("env-1", true); err != nil {
		t.Fatal(err)
	}
	if conf := look(charge()); conf.NativeProblem == "" || conf.Reading.Native == "" {
		t.Errorf("on: %+v", conf)
	}
	if conf := look(allowed); conf.NativeProblem != "" || conf.Reading.Native == "" {
		t.Errorf("on, and allowed: %+v", conf)
	}
	w.pass(time.Second) // the balance of 41 is seen to be below 50
	w.pass(15 * time.Second)
	if conf := look(allowed); !strings.Contains(conf.NativeProblem, "pending") {
		t.Errorf("under way: %+v", conf)
	}
	w.pass(2 * time.Minute)
	conf := look(allowed)
	if conf.NativeProblem != "" || len(conf.Topups) != 1 || conf.Topups[0].Credits != 100*topup.Credit || conf.Reading.Balance != 141*topup.Credit {
		t.Errorf("done: %+v", conf)
	}
	if booked := w.Books().Captured(); len(booked) != 1 || booked[0].ID != conf.Topups[0].Invoice {
		t.Errorf("the books have %+v", booked)
	}
}

func TestTheWrongKindOfTokenIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{})
	c, err := talkover.New(talkover.Options{
		ID: first.Provider, Name: "voice", Environment: first.Customer, API: clients.Options{BaseURL: mustURL(t, w.server.URL+"/talkover")},
		UserToken: &token{value: "talq_emulator_1"}, EnvironmentToken: &token{value: "user_emulator_1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if poll, err := clients.Gather(t.Context(), c, nil); clients.ReasonOf(err) != topup.FailedAuth {
		t.Errorf("Poll() = %+v, %v", poll, err)
	}
	got := purchase(t, c)
	if got.Verdict != topup.Rejected || !got.Stop || got.Reason != topup.FailedAuth || len(w.Books().Charges) != 0 {
		t.Errorf("answer = %+v", got)
	}
}
