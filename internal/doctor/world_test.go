package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/clients/hyperline"
	"topupd/clients/talkover"
	"topupd/config"
	"topupd/ledger"
	"topupd/rules"
	"topupd/topup"
)

// ward is one emulated world with patients in it, and a record of what was
// about to be sent.
type ward struct {
	*emulator.Emulator
	t   *testing.T
	url *url.URL

	mu       sync.Mutex
	begun    []ledger.Experiment
	ended    map[string]string
	refusing bool // the record takes nothing
	said     []string
}

func newWard(t *testing.T, o emulator.Options, front func(http.Handler) http.Handler) *ward {
	t.Helper()
	whole := func(n int64) emulator.Range {
		return emulator.Range{Min: decimal.MustNew(n, 0), Max: decimal.MustNew(n, 0)}
	}
	o.Seed, o.Hyperline.NoUsage, o.Talkover.NoUsage = 7, true, true
	o.Hyperline.Threshold, o.Hyperline.StartBalance = decimal.MustNew(100, 0), whole(500)
	w := &ward{t: t, Emulator: emulator.New(o), ended: map[string]string{}}
	handler := w.Handler()
	if front != nil {
		handler = front(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	var err error
	if w.url, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	return w
}

// BeginExperiment is Record.
func (w *ward) BeginExperiment(_ context.Context, e ledger.Experiment) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refusing {
		return errors.New("the disk is full")
	}
	w.begun = append(w.begun, e)
	return nil
}

// EndExperiment is Record.
func (w *ward) EndExperiment(_ context.Context, id, answer string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[id] = answer
	return nil
}

func (w *ward) announce(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

var smallPack = rules.Bundle{PriceID: emulator.SmallPack, Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}}

func (w *ward) rules() rules.Set {
	large := rules.Bundle{PriceID: emulator.LargePack, Credits: 600 * topup.Credit, Price: topup.Money{Minor: 900_00, Currency: "EUR"}}
	charge := rules.Bundle{Credits: 25 * topup.Credit, Price: topup.Money{Minor: 25_00, Currency: "USD"}}
	fixed := 50 * topup.Credit
	return rules.Set{Rules: []rules.Rule{
		{
			Name: "api-credits", Providers: []string{"hyperline"}, Product: emulator.Product, Match: rules.Match{All: true},
			Threshold: rules.Threshold{Provider: true}, Buy: rules.Buy{Bundles: []rules.Bundle{large, smallPack}},
		},
		{
			Name: "voice", Providers: []string{"voice"}, Product: talkover.Product, Match: rules.Match{All: true},
			Threshold: rules.Threshold{Fixed: &fixed}, Buy: rules.Buy{Bundles: []rules.Bundle{charge}},
		},
	}}
}

// hyperline is the Hyperline connection, with one thing changed.
func (w *ward) hyperline(change func(*config.Provider)) (Patient, *hyperline.Client) {
	w.t.Helper()
	p := config.Provider{
		Name: "hyperline", Type: topup.Hyperline, BaseURL: w.url, Token: config.NewSecret(emulator.DefaultToken),
		RateLimit:      config.RateLimit{Reads: config.Rate{Count: 200, Window: 10 * time.Second}, SharePercent: 50},
		UnknownOutcome: config.UnknownOutcome{Policy: config.Retry, QuietPeriod: 15 * time.Minute},
	}
	if change != nil {
		change(&p)
	}
	api := clients.Options{BaseURL: p.BaseURL, Limits: clients.Limits{SharePercent: 100}, PurchaseTimeout: 2 * time.Second}
	client, err := hyperline.New(hyperline.Options{ID: p.Identity(), Name: p.Name, API: api, Token: p.Token})
	if err != nil {
		w.t.Fatal(err)
	}
	return Patient{Provider: p, Rules: w.rules(), API: api, Client: client, Now: time.Now}, client
}

func (w *ward) talkover(change func(*config.Provider)) Patient {
	w.t.Helper()
	p := config.Provider{
		Name: "voice", Type: topup.Talkover, BaseURL: w.url.JoinPath("talkover"), EnvironmentID: "env-1",
		UserToken: config.NewSecret("user_emulator_1"), EnvironmentToken: config.NewSecret("talq_emulator_1"),
		RateLimit: config.RateLimit{Requests: config.Rate{Count: 100, Window: time.Minute}, SharePercent: 50},
	}
	if change != nil {
		change(&p)
	}
	api := clients.Options{BaseURL: p.BaseURL}
	client, err := talkover.New(talkover.Options{
		ID: p.Identity(), Name: p.Name, API: api, Environment: topup.CustomerID(p.EnvironmentID), UserToken: p.UserToken, EnvironmentToken: p.EnvironmentToken,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return Patient{Provider: p, Rules: w.rules(), API: api, Client: client, Now: time.Now}
}

// terms allow so many of the cheapest purchases.
func terms(purchases int64) Terms {
	return Terms{
		Customer: emulator.FirstCustomer, By: "ana", Wait: 20 * time.Millisecond,
		SpendAtMost: topup.Money{Minor: purchases * smallPack.Price.Minor, Currency: "EUR"},
	}
}

// wantFinding fails the test unless a finding says so.
func wantFinding(t *testing.T, v Visit, name string, s Status, text string) {
	t.Helper()
	for _, f := range v.Findings {
		if f.Name == name {
			if f.Status != s || !strings.Contains(f.Saw, text) {
				t.Errorf("%s: %s, %q; want %s with %q", name, f.Status, f.Saw, s, text)
			}
			if person := s == Warn || s == Fail; person && f.Next == "" {
				t.Errorf("%s needs a person, and does not say what to do", name)
			}
			return
		}
	}
	t.Errorf("nothing is said about %s: %+v", name, v.Findings)
}
