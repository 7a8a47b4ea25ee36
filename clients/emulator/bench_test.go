package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/govalues/decimal"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when every bench starts.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// clock is the time of a bench; it stands still until moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// bench is an emulator behind a real socket with a clock of its own.
type bench struct {
	*Emulator
	t     testing.TB
	url   string
	clock *clock
	http  *http.Client
}

// newBench starts an emulator where nothing moves by itself: no usage, one
// customer and one environment unless o says otherwise.
func newBench(t testing.TB, o Options) *bench {
	t.Helper()
	c := &clock{at: noon}
	o.Now, o.Hyperline.NoUsage, o.Talkover.NoUsage = c.now, true, true
	if o.Seed == 0 {
		o.Seed = 7
	}
	if o.Hyperline.Customers == 0 {
		o.Hyperline.Customers = 1
	}
	if o.Talkover.Environments == 0 {
		o.Talkover.Environments = 1
	}
	e := New(o)
	server := httptest.NewServer(e.Handler())
	t.Cleanup(server.Close)
	return &bench{
		Emulator: e, t: t, url: server.URL, clock: c,
		http: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// pass moves the clock and lets the providers work.
func (b *bench) pass(d time.Duration) {
	b.clock.mu.Lock()
	b.clock.at = b.clock.at.Add(d)
	b.clock.mu.Unlock()
	b.Tick(b.clock.now())
}

// response is what a client got: a status and a body, or an error.
type response struct {
	status int
	header http.Header
	body   string
	err    error
}

type header map[string]string

// ask sends one request; the token is chosen by the path unless headers has one.
func (b *bench) ask(method, path, body string, headers header) response {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		return response{err: err}
	}
	req.GetBody = nil
	switch {
	case strings.Contains(path, "/auto-topup/"):
		req.Header.Set("Authorization", "Bearer talq_emulator_1")
	case strings.HasPrefix(path, "/talkover"):
		req.Header.Set("Authorization", "Bearer user_emulator_1")
	case strings.HasPrefix(path, "/v"):
		req.Header.Set("Authorization", "Bearer "+DefaultToken)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := b.http.Do(req)
	if err != nil {
		return response{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return response{status: res.StatusCode, header: res.Header, body: string(text), err: err}
}

func (b *bench) get(path string) response { return b.ask(http.MethodGet, path, "", nil) }

// want fails the test unless the status is as expected.
func (r response) want(t testing.TB, status int) response {
	t.Helper()
	if r.err != nil || r.status != status {
		t.Fatalf("answer %d %.300q, %v; want status %d", r.status, r.body, r.err, status)
	}
	return r
}

// into decodes the body, numbers as written.
func (r response) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("body %.300q: %v", r.body, err)
	}
}

const (
	creditPath   = "/v1/customers/" + FirstCustomer + "/credits/" + Product
	purchasePath = creditPath + "/purchase"
	smallOrder   = `{"credit_count":120,"price_id":"` + SmallPack + `"}`
	keyOne       = "6d1f0b2e-6c0b-4d0c-9f0e-3a7f5e0c9b11"
	keyTwo       = "0d2f9b5a-1111-4d0c-9f0e-3a7f5e0c9b22"
	topUpPath    = "/talkover/api/v1/credits/purchase"
	balancePath  = "/talkover/api/v1/credits/balance"
	topUpOrder   = `{"amount":100.00}`
)

// buy sends a purchase of the small pack under key, "" for none.
func (b *bench) buy(key string) response { return b.buyAs(key, smallOrder) }

func (b *bench) buyAs(key, body string) response {
	headers := header{"Content-Type": "application/json"}
	if key != "" {
		headers["Idempotency-Key"] = key
	}
	return b.ask(http.MethodPost, purchasePath, body, headers)
}

// captured is how often money was taken.
func (b *bench) captured() int { return len(b.Books().Captured()) }

func (b *bench) wantCaptured(want int) {
	b.t.Helper()
	if got := b.captured(); got != want {
		b.t.Fatalf("captured %d times, want %d; books %+v", got, want, b.Books())
	}
}

// balance is what Hyperline shows of the first customer.
func (b *bench) balance() (balance json.Number, refreshed string) {
	b.t.Helper()
	var c struct {
		Balance   json.Number `json:"current_balance"`
		Refreshed string      `json:"last_refreshed_at"`
	}
	b.get(creditPath).want(b.t, http.StatusOK).into(b.t, &c)
	return c.Balance, c.Refreshed
}

// until waits for a condition that another goroutine brings about.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("still not: %s", what)
		case <-tick.C:
		}
	}
}

// number makes a decimal from a constant of a test.
func dec(s string) decimal.Decimal { return decimal.MustParse(s) }

// must fails the test on an error of a setter.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shape reduces a JSON value to its keys and types; a null fits everything.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = shape(value)
		}
		return out
	case []any:
		if len(v) == 0 {
			return "empty list"
		}
		return []any{shape(v[0])}
	case nil:
		return "null"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// wantShape holds an answer to a documented example: the same keys at every
// level and the same types; null and an empty list fit whatever stands opposite.
// Keys listed in extra may be in the answer without being in the example.
func wantShape(t testing.TB, documented, got string, extra ...string) {
	t.Helper()
	a, b := parsed(t, documented), parsed(t, got)
	fits := cmp.FilterValues(func(x, y any) bool {
		loose := func(v any) bool { return v == "null" || v == "empty list" }
		return loose(x) || loose(y)
	}, cmp.Ignore())
	ignored := cmp.FilterPath(func(p cmp.Path) bool {
		index, ok := p.Last().(cmp.MapIndex)
		if !ok {
			return false
		}
		for _, name := range extra {
			if index.Key().String() == name {
				return true
			}
		}
		return false
	}, cmp.Ignore())
	if diff := cmp.Diff(shape(a), shape(b), fits, ignored); diff != "" {
		t.Errorf("the answer has another shape than the documented example (-documented +answered):\n%s\nanswer %s", diff, got)
	}
}

func parsed(t testing.TB, text string) any {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200q is not JSON: %v", text, err)
	}
	return v
}
