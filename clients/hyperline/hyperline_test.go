package hyperline_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/clients/hyperline"
	"topupd/topup"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const (
	provider = topup.ProviderID("hyperline://emulator/")
	product  = topup.ProductID(emulator.Product)
	aCard    = topup.CustomerID(emulator.FirstCustomer)
	aKey     = "6d1f0b2e-6c0b-4d0c-9f0e-3a7f5e0c9b11"
)

// key is a secret that never changes.
type key string

func (t key) Reveal() string        { return string(t) }
func (t key) Reload() (bool, error) { return false, nil }
func (t key) Fingerprint() string   { return fmt.Sprintf("fp-%d", len(t)) }

// request is what a server saw of one request.
type request struct{ method, path, query, key string }

// world is the emulated provider behind a recorder.
type world struct {
	*emulator.Emulator
	url     string
	elapsed atomic.Int64

	mu   sync.Mutex
	seen []request
}

func (w *world) now() time.Time { return noon.Add(time.Duration(w.elapsed.Load())) }

// pass lets virtual time go by.
func (w *world) pass(d time.Duration) {
	w.elapsed.Add(int64(d))
	w.Tick(w.now())
}

func (w *world) requests() []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]request(nil), w.seen...)
}

// reads counts the requests since a mark.
func (w *world) reads() int { return len(w.requests()) }

func newWorld(t *testing.T, o emulator.Options) *world {
	t.Helper()
	w := &world{}
	o.Seed, o.Now = 7, w.now
	o.Hyperline.NoUsage, o.Hyperline.Reads, o.Hyperline.Writes = true, -1, -1
	w.Emulator = emulator.New(o)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, request{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, key: r.Header.Get("Idempotency-Key")})
		w.mu.Unlock()
		w.Handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) client(t *testing.T) *hyperline.Client {
	t.Helper()
	return newClient(t, w.url, func(o *hyperline.Options) { o.API.Now = w.now })
}

// newClient is a client without a rate limit and with short patience.
func newClient(t *testing.T, base string, change func(*hyperline.Options)) *hyperline.Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	free := clients.Rate{Count: 1_000_000, Window: time.Second}
	o := hyperline.Options{
		ID: provider, Name: "billing", Token: key(emulator.DefaultToken),
		API: clients.Options{
			BaseURL: u, Limits: clients.Limits{Reads: free, Writes: free, SharePercent: 100},
			ReadTimeout: 5 * time.Second, PurchaseTimeout: 2 * time.Second,
			Now: func() time.Time { return noon }, Rand: func() float64 { return 0 },
		},
	}
	if change != nil {
		change(&o)
	}
	c, err := hyperline.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// files serves documented bodies by path.
type files map[string]string

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", noon.Format(http.TimeFormat))
	body, ok := f[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		body = `{"message":"Route not found"}`
	}
	_, _ = fmt.Fprint(w, body)
}

func serve(t *testing.T, h http.Handler) *hyperline.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return newClient(t, server.URL, nil)
}

func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// must fails the test at once.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pack is the order of the small bundle for a customer.
func pack(id topup.CustomerID) topup.Order {
	return topup.Order{
		Target:  topup.Target{Provider: provider, Customer: id, Product: product},
		Credits: 120 * topup.Credit, Price: topup.Money{Minor: 20_000, Currency: "EUR"}, PriceID: "pri_0Jv8EbMDOGsHcn",
	}
}

// buy sends one purchase of the order.
func buy(t *testing.T, c *hyperline.Client, o topup.Order, key string) topup.Answer {
	t.Helper()
	request, err := c.Prepare(o)
	must(t, err)
	s, err := c.Connect(t.Context())
	must(t, err)
	defer s.Close()
	return s.Send(t.Context(), request, key)
}

// contains is strings.Contains for errors; "" matches nil only.
func contains(err error, text string) bool {
	if err == nil || text == "" {
		return err == nil && text == ""
	}
	return strings.Contains(err.Error(), text)
}
