package doctor

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/config"
	"topupd/topup"
)

// headers changes what an answer says about itself.
func headers(change func(http.Header)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&headed{w, change}, r) })
	}
}

type headed struct {
	http.ResponseWriter
	change func(http.Header)
}

func (h *headed) WriteHeader(status int) {
	h.change(h.Header())
	h.ResponseWriter.WriteHeader(status)
}

// replaced answers paths with a status and a body of its own.
func replaced(status int, body string, paths ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(paths, r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
}

func TestAHealthyAccountNeedsNobody(t *testing.T) {
	t.Parallel()
	w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}, Talkover: emulator.TalkoverOptions{Environments: 1}}, nil)
	patient, _ := w.hyperline(nil)
	for name, p := range map[string]Patient{"hyperline": patient, "voice": w.talkover(nil)} {
		v := Examine(t.Context(), p)
		if Person(v.Findings) || len(v.Findings) < 12 || len(v.Capabilities) != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if n := len(w.Books().Requests); n != 0 {
		t.Errorf("an examination sent %d purchases", n)
	}
}

// TestExamineHyperline: one thing is wrong at a time, and the doctor says which.
func TestExamineHyperline(t *testing.T) {
	t.Parallel()
	const oneCredit = `{"meta":{"total":1,"taken":1,"skipped":0},"data":[{"product_id":"` + emulator.Product + `","customer_id":"cus_a","name":"x","current_balance":null,"low_count_threshold":5}]}`
	const oneBill = `{"data":[{"id":"inv_1","status":"error","customer":{"id":"cus_a"},"line_items":[{"product_type":"credit"}]}],"has_more":false,"next_cursor":null}`
	for _, tt := range []struct {
		name    string
		spoil   func(*config.Provider)
		world   func(*testing.T, *ward)
		front   func(http.Handler) http.Handler
		profile emulator.HyperlineProfile
		finding string
		status  Status
		text    string
	}{
		{
			name: "nobody listens", spoil: func(p *config.Provider) { p.BaseURL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"} },
			finding: "reachable", status: Fail, text: "no connection to 127.0.0.1:1",
		},
		{
			name: "TLS is expected where there is none", spoil: func(p *config.Provider) { p.BaseURL = &url.URL{Scheme: "https", Host: p.BaseURL.Host} },
			finding: "reachable", status: Fail, text: "TLS failed",
		},
		{name: "the token is refused", spoil: func(p *config.Provider) { p.Token = config.NewSecret("test_other") }, finding: "token", status: Fail, text: "401"},
		{name: "one list is refused", front: replaced(http.StatusForbidden, `{"message":"no"}`, invoicesPath), finding: "scopes", status: Fail, text: "invoices (403)"},
		{
			name: "the clock is a little wrong", front: headers(func(h http.Header) { h.Set("Date", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat)) }),
			finding: "clock", status: Warn, text: "apart",
		},
		{
			name: "the clock is too wrong to buy", front: headers(func(h http.Header) { h.Set("Date", time.Now().Add(-5*time.Minute).UTC().Format(http.TimeFormat)) }),
			finding: "clock", status: Fail, text: "apart",
		},
		{name: "no rate limit headers", front: headers(func(h http.Header) { h.Del("X-RateLimit-Limit") }), finding: "rate limit", status: Unknown, text: "no X-RateLimit-Limit"},
		{
			name: "a smaller limit than configured", front: headers(func(h http.Header) { h.Set("X-RateLimit-Limit", "100"); h.Set("X-RateLimit-Remaining", "99") }),
			finding: "rate limit", status: Warn, text: "allows 100, configured is 200",
		},
		{
			name: "others use it up", front: headers(func(h http.Header) { h.Set("X-RateLimit-Limit", "200"); h.Set("X-RateLimit-Remaining", "40") }),
			finding: "rate limit", status: Warn, text: "79 %",
		},
		{
			name: "another price", world: func(t *testing.T, w *ward) { mustDo(t, w.SetPrice(emulator.SmallPack, 250_00)) },
			finding: "price " + emulator.SmallPack, status: Fail, text: "configured is 120 credits for 200.00 EUR",
		},
		{name: "no threshold", world: func(t *testing.T, w *ward) { mustDo(t, w.SetThreshold(emulator.FirstCustomer, nil)) }, // the product's mark serves
			finding: "thresholds", status: OK, text: "all of 3"},
		{
			name: "native top-up is on", world: func(t *testing.T, w *ward) { mustDo(t, w.SetAutoTopup(emulator.FirstCustomer, true)) },
			finding: "native top-up", status: Warn, text: "1 of 3",
		},
		{
			name: "no card", world: func(t *testing.T, w *ward) { mustDo(t, w.SetCard(emulator.FirstCustomer, emulator.CardMissing)) },
			finding: "payment methods", status: Warn, text: "1 without any",
		},
		{
			name: "direct debit", world: func(t *testing.T, w *ward) { mustDo(t, w.SetCard(emulator.FirstCustomer, emulator.CardDirectDebit)) },
			finding: "payment methods", status: OK, text: "1 by direct debit",
		},
		{
			name: "an archived customer", world: func(t *testing.T, w *ward) { mustDo(t, w.Archive(emulator.FirstCustomer)) },
			finding: "inactive customers", status: Warn, text: "1 of 3",
		},
		{name: "missing fields", front: replaced(http.StatusOK, oneCredit, creditsPath), finding: "account data", status: Warn, text: "auto_topup (1 of 1)"},
		{name: "balances of unknown age", front: replaced(http.StatusOK, oneCredit, creditsPath), finding: "balance age", status: Warn, text: "no balance says"},
		{name: "a null balance", front: replaced(http.StatusOK, oneCredit, creditsPath), finding: "bad balances", status: Warn, text: "1 balance"},
		{name: "a failed invoice", front: replaced(http.StatusOK, oneBill, invoicesPath), finding: "unpaid invoices", status: Warn, text: "1 customer"},
		{name: "a skip limit", profile: emulator.HyperlineProfile{SkipLimit: 12_345}, finding: "skip limit", status: OK, text: "beyond 12345"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3, Profile: tt.profile}}, tt.front)
			if tt.world != nil {
				tt.world(t, w)
			}
			p, _ := w.hyperline(tt.spoil)
			v := Examine(t.Context(), p)
			wantFinding(t, v, tt.finding, tt.status, tt.text)
			if limit := slices.ContainsFunc(v.Capabilities, func(c topup.Capability) bool { return c.Name == topup.SkipLimit && c.Value == "12345" }); limit != (tt.profile.SkipLimit > 0) {
				t.Errorf("capabilities: %+v", v.Capabilities)
			}
		})
	}
}

// TestStatusAllIsNoticed: open invoices are listed only when they are asked for.
func TestStatusAllIsNoticed(t *testing.T) {
	t.Parallel()
	const open = `{"id":"inv_2","status":"open","issued_at":"2026-11-20T12:00:00Z"},`
	const paid = `{"id":"inv_1","status":"paid","issued_at":"2026-11-20T11:00:00Z"}`
	for name, ignored := range map[string]bool{"honoured": false, "ignored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1}}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != invoicesPath {
						next.ServeHTTP(w, r)
						return
					}
					rows := paid
					if !ignored && r.URL.Query().Get("status") == "all" {
						rows = open + paid
					}
					_, _ = w.Write([]byte(`{"data":[` + rows + `],"has_more":false,"next_cursor":null}`))
				})
			})
			p, _ := w.hyperline(nil)
			want, text := OK, "1 invoice more"
			if ignored {
				want, text = Unknown, "no open invoice"
			}
			wantFinding(t, Examine(t.Context(), p), "invoice status", want, text)
		})
	}
}

func TestReachableOverTLS(t *testing.T) {
	t.Parallel()
	w := newWard(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1}}, nil)
	server := httptest.NewTLSServer(w.Handler())
	t.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	p, _ := w.hyperline(nil)
	base, err := url.Parse(server.URL)
	mustDo(t, err)
	p.Provider.BaseURL, p.API.BaseURL, p.API.RootCAs = base, base, trusted
	wantFinding(t, Examine(t.Context(), p), "reachable", OK, "TLS 1.3")
	p.Now = func() time.Time { return server.Certificate().NotAfter.Add(-time.Hour) }
	wantFinding(t, Examine(t.Context(), p), "reachable", Warn, "valid for 1h")
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestExamineTalkover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		spoil   func(*config.Provider)
		world   func(*testing.T, *ward)
		front   func(http.Handler) http.Handler
		finding string
		status  Status
		text    string
	}{
		{
			name: "the tokens are swapped", spoil: func(p *config.Provider) { p.UserToken, p.EnvironmentToken = p.EnvironmentToken, p.UserToken },
			finding: "environment token", status: Fail, text: "refused",
		},
		{name: "the owner is elsewhere", spoil: func(p *config.Provider) { p.EnvironmentID = "env-2" }, finding: "environment", status: Fail, text: "configured is env-2"},
		{name: "native top-up is on", world: func(t *testing.T, w *ward) { mustDo(t, w.SetAutoTopup("env-1", true)) }, finding: "native top-up", status: Warn, text: "1 of 1"},
		{name: "no card", front: replaced(http.StatusOK, `{"success":true,"data":[]}`, "/talkover"+cardsPath), finding: "cards", status: Warn, text: "none"},
		{
			name: "the account is in another currency", front: replaced(http.StatusOK,
				`{"success":true,"data":{"balance":80,"currency":"EUR","as_of":"2026-11-20T12:00:00Z","auto_topup_enabled":false}}`, "/talkover"+balancePath),
			finding: "currency", status: Fail, text: "in EUR, the rule charges 25.00 USD",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t, emulator.Options{Talkover: emulator.TalkoverOptions{Environments: 2}}, tt.front)
			if tt.world != nil {
				tt.world(t, w)
			}
			wantFinding(t, Examine(t.Context(), w.talkover(tt.spoil)), tt.finding, tt.status, tt.text)
		})
	}
}

func TestSorting(t *testing.T) {
	at := func(seconds ...int) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, time.Unix(int64(s), 0))
		}
		return times
	}
	for want, lists := range map[string][][]time.Time{
		newest:     {at(3, 2, 1), at(2, 2, 1)},
		oldest:     {at(1, 2, 3), at(1, 1, 2)},
		"no order": {at(1, 3, 2)},
		"":         {at(), at(1), at(2, 2)},
	} {
		for _, list := range lists {
			if got := sorting(list); got != want {
				t.Errorf("%v: %q, want %q", list, got, want)
			}
		}
	}
}

func TestLargest(t *testing.T) {
	for _, most := range []int{0, 1, 2, 99, 100, 9_999, 10_000} {
		asked := 0
		got, err := largest(func(n int) (bool, error) { asked++; return n <= most, nil }, 10_000)
		if got != most || err != nil || asked > 20 {
			t.Errorf("%d, %v after %d questions, want %d", got, err, asked, most)
		}
	}
}

func TestApart(t *testing.T) {
	from := time.Date(2026, 11, 20, 12, 0, 0, 500_000_000, time.UTC)
	to := from.Add(2 * time.Second)
	for _, tt := range []struct{ stamp, want time.Duration }{
		{-500 * time.Millisecond, 0}, {1500 * time.Millisecond, 0}, {-1500 * time.Millisecond, -500 * time.Millisecond}, {3 * time.Second, time.Second},
	} {
		if got := apart(from.Add(tt.stamp), from, to); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.stamp, got, tt.want)
		}
	}
}
