package talkover_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topupd/clients"
	"topupd/clients/talkover"
	"topupd/topup"
)

func TestPrepareWritesTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	got, err := healthy(t).client(t).Prepare(order())
	if err != nil {
		t.Fatal(err)
	}
	want := topup.Request{Method: "POST", Path: purchasePath, Body: []byte(strings.TrimSpace(golden(t, "purchase_request")))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	c := healthy(t).client(t)
	for _, tt := range []struct {
		name  string
		spoil func(*topup.Order)
		want  string // the body, or after "error:" part of the error
	}{
		{"the default card", func(o *topup.Order) { o.PaymentMethodID = "" }, `{"amount":100.00}`},
		{"a currency without cents", func(o *topup.Order) { o.Price = topup.Money{Minor: 100, Currency: "JPY"} }, `{"amount":100,"payment_method_id":"pm_uuid_1"}`},
		{"a currency with three decimals", func(o *topup.Order) { o.Price = topup.Money{Minor: 100_000, Currency: "KWD"} }, `{"amount":100.000,"payment_method_id":"pm_uuid_1"}`},
		{"cents", func(o *topup.Order) {
			o.Price.Minor, o.Credits = 9705, 97*topup.Credit+50_000
		}, `{"amount":97.05,"payment_method_id":"pm_uuid_1"}`},
		{"an id that needs quoting", func(o *topup.Order) { o.PaymentMethodID = `pm"}` }, `{"amount":100.00,"payment_method_id":"pm\"}"}`},
		{"nothing", func(o *topup.Order) { o.Price.Minor, o.Credits = 0, 0 }, "error:not above zero"},
		{"less than nothing", func(o *topup.Order) { o.Price.Minor, o.Credits = -1, -10_000 }, "error:not above zero"},
		{"credits that are not the money", func(o *topup.Order) { o.Credits = 120 * topup.Credit }, "error:buys 100 credits, not 120"},
		{"more than can be counted", func(o *topup.Order) { o.Price.Minor = topup.MaxMinor }, "error:charge"},
		{"a bundle price", func(o *topup.Order) { o.PriceID = "pri_1" }, "error:no bundle prices"},
		{"an expiry", func(o *topup.Order) { o.ExpiresAt = new(noon) }, "error:do not expire"},
		{"a card id with a space", func(o *topup.Order) { o.PaymentMethodID = "pm 1" }, "error:payment method"},
		{"a card id that is too long", func(o *topup.Order) { o.PaymentMethodID = strings.Repeat("x", 129) }, "error:payment method"},
		{"another environment", func(o *topup.Order) { o.Target.Customer = "env-uuid-2" }, "error:env-uuid-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := order()
			tt.spoil(&o)
			got, err := c.Prepare(o)
			if want, isErr := strings.CutPrefix(tt.want, "error:"); isErr {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Prepare() = %s, %v; want an error with %q", got.Body, err, want)
				}
				return
			}
			if err != nil || string(got.Body) != tt.want {
				t.Errorf("Prepare() = %s, %v; want %s", got.Body, err, tt.want)
			}
		})
	}
}

// P4: no header gives net/http leave to send the request again.
func TestAPurchaseCarriesNoKey(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	if got := buy(t, a, order()); got.Verdict != topup.Accepted {
		t.Fatalf("answer = %+v", got)
	}
	r := a.requests()[0]
	for name := range r.header {
		if lower := strings.ToLower(name); strings.Contains(lower, "idempotency") || strings.Contains(lower, "key") {
			t.Errorf("the request has the header %s", name)
		}
	}
	want := asked{method: "POST", path: purchasePath, token: userToken, body: `{"amount":100.00,"payment_method_id":"pm_uuid_1"}`}
	r.header = nil
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(asked{})); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestOnlyAPreparedRequestIsSent(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	good, err := c.Prepare(order())
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]topup.Request{
		"another body": {Method: "POST", Path: purchasePath, Body: []byte(`{"amount":999.00}`)},
		"another path": {Method: "POST", Path: "/api/v1/auto-topup/disable", Body: good.Body},
		"a method":     {Method: "PUT", Path: purchasePath, Body: good.Body},
	} {
		s, err := c.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := s.Send(t.Context(), r, "")
		if got.Verdict != topup.NotRun || got.Written != 0 || got.Reason != topup.FailedInvalid {
			t.Errorf("%s: answer = %+v", name, got)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(a.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// P4: a connection carries one request.
func TestASecondSendSendsNothing(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	request, err := c.Prepare(order())
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Send(t.Context(), request, ""); got.Verdict != topup.Accepted {
		t.Fatalf("answer = %+v", got)
	}
	if got := s.Send(t.Context(), request, ""); got.Verdict == topup.Accepted {
		t.Errorf("the second answer = %+v", got)
	}
	if n := len(a.requests()); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAnAnswerThatNeverComesIsUnclear(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cut  func(net.Conn)
		want topup.FailureReason
	}{
		{"the connection closes", func(c net.Conn) {}, topup.FailedConnection},
		{"the answer is half a head", func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Le")) }, topup.FailedConnection},
		{"the answer is half a body", func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"success\":true"))
		}, topup.FailedConnection},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := healthy(t)
			whole := a.Config.Handler
			a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				whole.ServeHTTP(httptest.NewRecorder(), r)
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				tt.cut(conn)
				conn.Close()
			})
			got := buy(t, a, order())
			if got.Verdict != topup.Unknown || got.Reason != tt.want || got.Written == 0 || got.Detail == "" {
				t.Errorf("answer = %+v, want unclear, %s", got, tt.want)
			}
			if n := len(a.requests()); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestAConnectionThatFailsSendsNothing(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	a.Close()
	if s, err := c.Connect(t.Context()); err == nil {
		s.Close()
		t.Error("Connect() to a closed port succeeded")
	} else if clients.ReasonOf(err) != topup.FailedConnection || !strings.Contains(err.Error(), "voice") {
		t.Errorf("Connect() = %v (%s)", err, clients.ReasonOf(err))
	}
}

func TestThereAreNoBooks(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	if _, err := c.Books(t.Context(), target, noon); !errors.Is(err, topup.ErrNoBooks) {
		t.Errorf("Books() = %v, want ErrNoBooks", err)
	}
	var told []string
	c.Follow(t.Context(), []topup.Purchase{{ID: "1", Target: target}, {ID: "2", Target: target}, {ID: "3"}}, func(p topup.Purchase, b topup.Books, err error) {
		told = append(told, p.ID)
		if b.Complete || len(b.Topups) != 0 || (err != nil) != (p.ID == "3") {
			t.Errorf("Follow() tells of %s: %+v, %v; want empty, incomplete books, and an error for another connection's purchase", p.ID, b, err)
		}
	})
	if len(told) != 3 {
		t.Errorf("Follow() told of %v, want of all", told)
	}
	if n := len(a.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	good := func() talkover.Options {
		u := mustURL(t, a.URL)
		return talkover.Options{
			ID: connection, Name: "voice", Environment: environment, UserToken: a.user, EnvironmentToken: a.env,
			API: clients.Options{BaseURL: u},
		}
	}
	if _, err := talkover.New(good()); err != nil {
		t.Fatalf("New() of good options: %v", err)
	}
	for name, spoil := range map[string]func(*talkover.Options){
		"identity":             func(o *talkover.Options) { o.ID = "" },
		"base_url":             func(o *talkover.Options) { o.API.BaseURL = nil },
		"environment_id":       func(o *talkover.Options) { o.Environment = "" },
		"user_token_file":      func(o *talkover.Options) { o.UserToken = nil },
		"environment_token_fi": func(o *talkover.Options) { o.EnvironmentToken = nil },
	} {
		o := good()
		spoil(&o)
		if _, err := talkover.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	before := c.TokenFingerprint()
	if changed, err := c.ReloadToken(); err != nil || changed {
		t.Errorf("ReloadToken() = %v, %v; nothing has changed", changed, err)
	}
	a.env.next = "talq_another"
	if changed, err := c.ReloadToken(); err != nil || changed || a.env.Reveal() != "talq_another" {
		t.Errorf("ReloadToken() = %v, %v; only the environment's token has changed, and is %q", changed, err, a.env.Reveal())
	}
	a.user.next = "1|another, longer"
	if changed, err := c.ReloadToken(); err != nil || !changed || c.TokenFingerprint() == before {
		t.Errorf("ReloadToken() = %v, %v; the user's token has changed", changed, err)
	}
}

// The budget of reads and purchases is one: a purchase waits for what reads used.
func TestReadsAndPurchasesShareOneBudget(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c, err := talkover.New(talkover.Options{
		ID: connection, Name: "voice", Environment: environment, UserToken: a.user, EnvironmentToken: a.env,
		API: clients.Options{BaseURL: mustURL(t, a.URL+"/reseller")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.Gather(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	reads, writes := c.BudgetUsed()
	if reads <= 0 || writes <= 0 || writes > 1 {
		t.Errorf("after one read BudgetUsed() = %v, %v; want both in use", reads, writes)
	}
}

func TestTheSurfaceIsSmall(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("the package's files: %v, %v", files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, never := range []string{"auto-topup/test\"", "auto-topup/disable\"", "http.MethodPut", "http.MethodDelete", "Idempotency-Key\""} {
			if strings.Contains(string(code), never) {
				t.Errorf("%s holds %s", file, never)
			}
		}
	}
	c := healthy(t).client(t)
	if r, err := c.Prepare(order()); err != nil || r.Path != purchasePath || r.Method != http.MethodPost {
		t.Errorf("the one request that changes anything is %s %s, %v", r.Method, r.Path, err)
	}
}
