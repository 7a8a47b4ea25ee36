package hyperline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

func TestPrepare(t *testing.T) {
	expiry := time.Date(2026, 12, 20, 17, 4, 11, 900, time.FixedZone("", 3600))
	for _, tt := range []struct {
		name   string
		change func(*topup.Order)
		path   string
		body   string
		err    string
	}{
		{"a bundle", func(*topup.Order) {}, "/v1/customers/cus_1/credits/itm_3kXODDF42QXtnL/purchase", `{"credit_count":120,"price_id":"pri_0Jv8EbMDOGsHcn"}`, ""},
		{"with an expiry in whole seconds, UTC", func(o *topup.Order) { o.ExpiresAt = &expiry }, "", `{"credit_count":120,"price_id":"pri_0Jv8EbMDOGsHcn","expires_at":"2026-12-20T16:04:11Z"}`, ""},
		{"a custom amount in minor units, and no price", func(o *topup.Order) { o.PriceID, o.Credits, o.Price.Minor = "", 100*topup.Credit, 2400 }, "", `{"credit_count":100,"amount_excluding_tax":2400}`, ""},
		{"a fraction of a credit is exact", func(o *topup.Order) { o.Credits = 100_000_001 }, "", `{"credit_count":100.000001,"price_id":"pri_0Jv8EbMDOGsHcn"}`, ""},
		{"ids are escaped", func(o *topup.Order) { o.Target.Customer = "cus/../x?y" }, "/v1/customers/cus%2F..%2Fx%3Fy/credits/itm_3kXODDF42QXtnL/purchase", `{"credit_count":120,"price_id":"pri_0Jv8EbMDOGsHcn"}`, ""},
		{"not a step in a path", func(o *topup.Order) { o.Target.Customer = ".." }, "", "", "is not a customer and a product"},
		{"no customer", func(o *topup.Order) { o.Target.Customer = "" }, "", "", "is not a customer and a product"},
		{"an id with a line break", func(o *topup.Order) { o.Target.Product = "itm\n1" }, "", "", "is not a customer and a product"},
		{"nothing", func(o *topup.Order) { o.Credits = 0 }, "", "", "0 credits cannot be bought"},
		{"less than nothing", func(o *topup.Order) { o.Credits = -1 }, "", "", "cannot be bought"},
		{"free", func(o *topup.Order) { o.Price.Minor = 0 }, "", "", "is no price"},
		{"another provider's target", func(o *topup.Order) { o.Target.Provider = "talkover://x/" }, "", "", "is not a target of"},
		{"a payment method", func(o *topup.Order) { o.PaymentMethodID = "pm_1" }, "", "", "leave payment_method_id out"},
		{"a price id that is none", func(o *topup.Order) { o.PriceID = "a b" }, "", "", "is not a price id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := pack("cus_1")
			tt.change(&o)
			r, err := newClient(t, "http://127.0.0.1:1", nil).Prepare(o)
			if !contains(err, tt.err) {
				t.Fatalf("Prepare = %v, want %q", err, tt.err)
			}
			if string(r.Body) != tt.body || tt.path != "" && r.Path != tt.path || err == nil && r.Method != http.MethodPost {
				t.Errorf("Prepare = %s %s %s, want %s %s", r.Method, r.Path, r.Body, tt.path, tt.body)
			}
		})
	}
}

func TestThePurchaseOnTheWire(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, golden(t, "purchased.json"))
	}))
	t.Cleanup(server.Close)
	answer := buy(t, newClient(t, server.URL+"/proxy/", nil), pack("cus_1"), aKey)
	if answer.Verdict != topup.Accepted || answer.Reference != "inv_1eTaiytfA0i2Va" || answer.Balance.String() != "2120" || answer.ServerTime.IsZero() || answer.Written == 0 {
		t.Errorf("answer %+v", answer)
	}
	if got.URL.Path != "/proxy/v1/customers/cus_1/credits/itm_3kXODDF42QXtnL/purchase" || string(body) != `{"credit_count":120,"price_id":"pri_0Jv8EbMDOGsHcn"}` {
		t.Errorf("request %s %s", got.URL, body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer test_emulator", "Content-Type": "application/json", "Accept": "application/json",
		"Idempotency-Key": aKey, "X-Idempotency-Key": "", "Accept-Encoding": "identity",
	} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
}

// P11: no request but a purchase leaves through a sender.
func TestOnlyPurchasesAreSent(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1}})
	good, err := w.client(t).Prepare(pack(aCard))
	must(t, err)
	for _, tt := range []struct {
		name, method, path, key string
	}{
		{"free credits", "POST", strings.Replace(good.Path, "/purchase", "/topup", 1), aKey},
		{"another method", "PUT", good.Path, aKey},
		{"another path", "POST", "/v1/customers/x/archive", aKey},
		{"no key", "POST", good.Path, ""},
		{"a key that is too short", "POST", good.Path, "short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := w.client(t).Connect(t.Context())
			must(t, err)
			defer s.Close()
			a := s.Send(t.Context(), topup.Request{Method: tt.method, Path: tt.path, Body: good.Body}, tt.key)
			if a.Verdict != topup.NotRun || a.Written != 0 || !strings.Contains(a.Detail, "nothing was sent") || w.reads() > 0 {
				t.Errorf("answer %+v, requests %+v", a, w.requests())
			}
		})
	}
}

// P11: this package has no way to give credits away.
func TestThePackageNamesNoFreeTopup(t *testing.T) {
	entries, err := os.ReadDir(".")
	must(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		must(t, err)
		imports := map[*ast.BasicLit]bool{}
		for _, i := range file.Imports {
			imports[i.Path] = true
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING || imports[text] {
				return true
			}
			for _, never := range []string{"/topup", "/usage", "current_balance\":", "/charge", "/void", "/archive"} {
				if strings.Contains(text.Value, never) {
					t.Errorf("%s: %s names %s", e.Name(), text.Value, never)
				}
			}
			return true
		})
	}
}

// P11: everything that the client can do, seen from outside.
func TestEveryRequestOfTheClientIsKnown(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 5}})
	c := w.client(t)
	_, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	_, err = c.Confirm(t.Context(), pack(aCard))
	must(t, err)
	a := buy(t, c, pack(aCard), aKey)
	_, err = c.Books(t.Context(), pack(aCard).Target, noon.Add(-time.Hour))
	must(t, err)
	_, err = follow(t, c, []topup.Purchase{{Target: pack(aCard).Target, Reference: a.Reference, Price: pack(aCard).Price}})
	must(t, err)
	_, err = c.PaymentMethods(t.Context(), pack(aCard).Target)
	must(t, err)
	writes := 0
	for _, r := range w.requests() {
		if r.method == http.MethodGet && r.key == "" {
			continue
		}
		writes++
		if r.method != http.MethodPost || !strings.HasSuffix(r.path, "/purchase") || r.key != aKey {
			t.Errorf("%s %s with key %q", r.method, r.path, r.key)
		}
	}
	if writes != 1 || len(w.Books().Charges) != 1 {
		t.Errorf("%d writes, %d charges; want 1", writes, len(w.Books().Charges))
	}
}

func TestAttachGivesNoCredits(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 2}})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			text, _ := io.ReadAll(r.Body)
			mu.Lock()
			bodies = append(bodies, r.URL.Path+" "+string(text))
			mu.Unlock()
			rw.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(rw, row("cus_a", `"current_balance":0`))
			return
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	mark := 50 * topup.Credit
	reading, err := newClient(t, server.URL, nil).Attach(t.Context(), "cus_a", product, "API credits", &mark)
	must(t, err)
	if reading.Balance != 0 || reading.Bad != "" || reading.Target.Customer != "cus_a" {
		t.Errorf("reading %+v", reading)
	}
	if want := `/v1/customers/cus_a/credits {"product_id":"itm_3kXODDF42QXtnL","name":"API credits","low_count_threshold":50}`; len(bodies) != 1 || bodies[0] != want {
		t.Errorf("requests %q, want %s", bodies, want)
	}
	if _, err := newClient(t, server.URL, nil).Attach(t.Context(), "cus_b", product, "", nil); !contains(err, "cus_a came") {
		t.Errorf("Attach = %v, want the mixed-up customer", err)
	}
	if _, err := newClient(t, server.URL, nil).Attach(t.Context(), "..", product, "", nil); !contains(err, "is not a customer") {
		t.Errorf("Attach = %v", err)
	}
}

func TestARefusedAttachIsAnError(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1}})
	before := w.reads()
	if _, err := w.client(t).Attach(t.Context(), "cus_unknown", product, "", nil); !contains(err, "404") {
		t.Errorf("Attach = %v, want a 404", err)
	}
	if w.reads()-before != 1 {
		t.Errorf("%d requests, want 1", w.reads()-before)
	}
}
