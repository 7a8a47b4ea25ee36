package talkover_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/talkover"
	"topupd/topup"
)

const (
	environment = "env-uuid-1"
	connection  = topup.ProviderID("talkover://app.talkover.ai/env-uuid-1")

	userToken = "1|user-secret"
	envToken  = "talq_environment-secret"

	purchasePath = "/api/v1/credits/purchase"
	balancePath  = "/api/v1/credits/balance"
	settingsPath = "/api/v1/auto-topup/settings"
	historyPath  = "/api/v1/auto-topup/history"
	cardsPath    = "/api/v1/auto-topup/payment-methods"
	userPath     = "/api/user"
)

// noon is the provider's clock; the documented examples lie shortly before it.
var noon = time.Date(2024, 1, 15, 19, 31, 0, 0, time.UTC)

var target = topup.Target{Provider: connection, Customer: environment, Product: talkover.Product}

// token is a secret in memory. A 401 finds the next one, if there is one.
type token struct {
	mu    sync.Mutex
	value string
	next  string
}

func (s *token) Reveal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

func (s *token) Fingerprint() string { return fmt.Sprintf("print of %d bytes", len(s.Reveal())) }

func (s *token) Reload() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == "" || s.next == s.value {
		return false, nil
	}
	s.value = s.next
	return true, nil
}

// page is what the account answers at a path.
type page struct {
	status int // 0 = 200
	body   string
	header map[string]string
}

// account is a Talkover account that answers what its pages hold, under the path
// of a reseller, and remembers what it was asked.
type account struct {
	*httptest.Server
	user, env *token

	mu    sync.Mutex
	pages map[string]page // by path, or by path and query
	asked []asked
}

// asked is one request on the wire.
type asked struct {
	method, path, query, token, body string
	header                           http.Header
}

// healthy is an account that a purchase may be made for.
func healthy(t *testing.T) *account {
	t.Helper()
	a := &account{
		user: &token{value: userToken}, env: &token{value: envToken},
		pages: map[string]page{
			balancePath:  {body: `{"success":true,"data":{"balance":41.20,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`},
			settingsPath: {body: golden(t, "settings_disabled")},
			historyPath:  {body: history(1, 1, "")},
			userPath:     {body: golden(t, "user")},
			cardsPath:    {body: golden(t, "payment_methods")},
			purchasePath: {body: golden(t, "purchase")},
		},
	}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

// serve refuses the wrong kind of token, as two kinds of tokens deserve.
func (a *account) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	path, _ := strings.CutPrefix(r.URL.Path, "/reseller")
	a.mu.Lock()
	defer a.mu.Unlock()
	given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.asked = append(a.asked, asked{r.Method, path, r.URL.RawQuery, given, string(body), r.Header.Clone()})
	p, ok := a.pages[path+"?"+r.URL.RawQuery]
	if !ok {
		p, ok = a.pages[path]
	}
	want := userToken
	if strings.Contains(path, "/auto-topup/") {
		want = envToken
	}
	switch {
	case !ok:
		p = page{status: 404, body: `{"success":false,"message":"Not found."}`}
	case given != want:
		p = page{status: 401, body: `{"success":false,"message":"Unauthenticated."}`}
	}
	w.Header().Set("Date", noon.Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	for k, v := range p.header {
		w.Header().Set(k, v)
	}
	if p.status != 0 {
		w.WriteHeader(p.status)
	}
	_, _ = io.WriteString(w, p.body)
}

// set changes what the account answers at a path.
func (a *account) set(path string, p page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages[path] = p
}

func (a *account) requests() []asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// client is a client of the account.
func (a *account) client(t *testing.T) *talkover.Client {
	t.Helper()
	return newClient(t, a.URL+"/reseller", a.user, a.env)
}

func newClient(t *testing.T, base string, user, env clients.Token) *talkover.Client {
	t.Helper()
	c, err := talkover.New(talkover.Options{
		ID: connection, Name: "voice", Environment: environment, UserToken: user, EnvironmentToken: env,
		API: clients.Options{
			BaseURL:         mustURL(t, base),
			Limits:          clients.Limits{Reads: clients.Rate{Count: 100_000, Window: time.Minute}, SharePercent: 100},
			ReadTimeout:     5 * time.Second,
			PurchaseTimeout: 5 * time.Second,
			Rand:            func() float64 { return 0 },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// order is a purchase that the healthy account deserves.
func order() topup.Order {
	return topup.Order{
		Target: target, Credits: 100 * topup.Credit,
		Price: topup.Money{Minor: 100_00, Currency: "USD"}, PaymentMethodID: "pm_uuid_1",
	}
}

// golden is a documented example body.
func golden(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// history is a page of the native history with the given lines.
func history(current, last int, lines string) string {
	return fmt.Sprintf(`{"success":true,"data":[%s],"pagination":{"current_page":%d,"per_page":100,"total":1,"last_page":%d}}`, lines, current, last)
}

// line is one line of the native history.
func line(id, status string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"amount":100.00,"currency":"USD","trigger":"threshold","status":%q,"transaction_id":"txn_%s","created_at":%q}`,
		id, status, id, at.Format(time.RFC3339))
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
