package talkover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/clientstest"
	"topupd/internal/fuzztest"
	"topupd/topup"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// seeds are the documented bodies, whole and cut.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no documented bodies: %v", err)
	}
	var all [][]byte
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, body, body[:len(body)/2])
	}
	return append(all,
		[]byte(`{"success":true,"data":{"balance":1e30,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`),
		[]byte(`{"success":true,"data":{"balance":"-0.0000005","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`),
		[]byte(`{"success":true,"data":[{"id":"a","status":"pending","created_at":"2024-01-15T19:30:00Z"}],"pagination":{"current_page":1,"last_page":99999999999999999999}}`),
	)
}

// asIs is quote without tokens to redact.
func asIs(text string) string { return clients.Quote([]byte(text)) }

func FuzzAnswer(f *testing.F) {
	for _, body := range seeds(f) {
		for _, status := range []int{200, 307, 402, 403, 429, 500} {
			f.Add(status, body)
		}
	}
	price := topup.Money{Minor: 100_00, Currency: "USD"}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := judge(clients.Raw{Status: status, Body: body, Written: 1}, price, asIs)
		switch a.Verdict {
		case topup.Accepted:
			if status < 200 || status > 299 || a.Reference == "" || a.Charged == nil || *a.Charged != price || !json.Valid(body) {
				t.Errorf("%d %q is a yes: %+v", status, body, a)
			}
			if !documentedYes(body, price) {
				t.Errorf("%q is a yes for %s", body, price)
			}
		case topup.Rejected:
			if !slices.Contains([]int{401, 402, 403, 404, 422}, status) || !json.Valid(body) {
				t.Errorf("%d %q is a no", status, body)
			}
		case topup.NotRun:
			if status != 429 || !json.Valid(body) {
				t.Errorf("%d %q was not run", status, body)
			}
		case topup.Unknown:
			if a.Reason == topup.FailedNone || a.Detail == "" {
				t.Errorf("%d %q is unclear without a reason: %+v", status, body, a)
			}
		default:
			t.Errorf("verdict %q", a.Verdict)
		}
		if len(a.Detail) > 2_000 || len(a.Reference) > maxID {
			t.Errorf("%d bytes of detail, %d of reference", len(a.Detail), len(a.Reference))
		}
		if a.Stop && a.Verdict != topup.Rejected {
			t.Errorf("%d %q stops the provider without a no", status, body)
		}
	})
}

// documentedYes tells whether encoding/json finds in the body what a yes says.
func documentedYes(body []byte, price topup.Money) bool {
	var said struct {
		Success any `json:"success"`
		Data    struct {
			ID       any `json:"transaction_id"`
			Currency any `json:"currency"`
			Charged  any `json:"amount_charged"`
		} `json:"data"`
	}
	reader := json.NewDecoder(bytes.NewReader(body))
	reader.UseNumber()
	if err := reader.Decode(&said); err != nil {
		return false
	}
	id, _ := said.Data.ID.(string)
	charged, err := topup.ParseAmount(fmt.Sprint(said.Data.Charged), price.Currency)
	return said.Success == true && id != "" && said.Data.Currency == string(price.Currency) && err == nil && charged == price
}

// secret is a token that may never be shown.
type secret string

func (s secret) Reveal() string        { return string(s) }
func (s secret) Reload() (bool, error) { return false, nil }
func (s secret) Fingerprint() string   { return "fp" }

const aSecret = secret("7|very-secret-token")

// FuzzPurchaseOnTheWire: bytes instead of an answer. Only a whole documented one
// is a yes, and no error shows a token.
func FuzzPurchaseOnTheWire(f *testing.F) {
	yes, err := os.ReadFile("testdata/purchase.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, wire := range clientstest.Wires(200, strings.TrimSpace(string(yes)), string(aSecret)) {
		f.Add(wire)
	}
	order := topup.Order{
		Target:  topup.Target{Provider: "talkover://wire/env-1", Customer: "env-1", Product: Product},
		Credits: 100 * topup.Credit, Price: topup.Money{Minor: 100_00, Currency: "USD"},
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		pipe := clientstest.Pipe{Answer: wire}
		c, err := New(Options{
			ID: order.Target.Provider, Name: "wire", Environment: order.Target.Customer, UserToken: aSecret, EnvironmentToken: aSecret,
			API: clients.Options{BaseURL: &url.URL{Scheme: "http", Host: "127.0.0.1:80"}, Dial: pipe.Dial, PurchaseTimeout: 5 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		a := pipe.Purchase(t, c, order)
		status, body, whole := pipe.Whole()
		switch {
		case a.Verdict == topup.Unknown:
		case !whole:
			t.Errorf("%q holds no whole answer and is a %s", wire, a.Verdict)
		case a.Verdict == topup.Accepted && (status < 200 || status > 299 || !documentedYes(body, order.Price)):
			t.Errorf("%q is a yes", wire)
		case a.Verdict == topup.NotRun && status != 429, a.Verdict == topup.Rejected && !slices.Contains([]int{401, 402, 403, 404, 422}, status):
			t.Errorf("%q is a %s", wire, a.Verdict)
		}
		if strings.Contains(a.Detail, string(aSecret)) || len(a.Detail) > 2000 {
			t.Errorf("the token, or too much, is in %q", a.Detail)
		}
	})
}

// FuzzFailure: an error body is Talkover's own only if it is an object with a
// message or a code of its own, claims no success, and names no other status.
func FuzzFailure(f *testing.F) {
	for _, body := range seeds(f) {
		for _, status := range []int{401, 402, 422, 500} {
			f.Add(status, body)
		}
	}
	f.Add(401, []byte(`{"error":"UNAUTHORIZED","message":"no","status_code":401}`))
	f.Add(402, []byte(`{"success":true,"message":"no"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, own := parseFailure(status, body)
		if !own {
			return
		}
		var said map[string]any
		if json.Unmarshal(body, &said) != nil || said == nil {
			t.Fatalf("%q is taken for an error of Talkover's", body)
		}
		if said["success"] == true || got.Message == "" && got.Code == "" {
			t.Errorf("%q is taken for an error of Talkover's: %+v", body, got)
		}
		if code, ok := said["status_code"].(float64); ok && int(code) != status {
			t.Errorf("%q belongs to another status than %d", body, status)
		}
	})
}

// FuzzReads: whatever body answers a read. The environment is ours only if the
// answer says so in one place; a balance is bounded, stamped and there; the
// provider's own top-ups have ids, times and bounded amounts.
func FuzzReads(f *testing.F) {
	for _, body := range seeds(f) {
		f.Add(body)
	}
	f.Add([]byte(`{"current_environment_id":"env-uuid-1","current_environment_id":"env-2"}`))
	f.Add([]byte(`{"Current_Environment_ID":"env-uuid-1"}`))
	now := time.Date(2024, 1, 15, 19, 31, 0, 0, time.UTC)
	c := &Client{id: "talkover://app.talkover.ai/env-uuid-1", environment: "env-uuid-1"}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := clients.ParseObject(body)
		if err != nil {
			return
		}
		problem := c.environmentProblem(reply{Object: o})
		if ours := o.Text("current_environment_id") == "env-uuid-1"; ours != (problem == "") || len(problem) > 1000 {
			t.Errorf("%q: %q", body, problem)
		}
		checkReading(t, c.see(reply{Object: o, sentAt: now}).reading, o, now)
		checkNative(t, o, now)
		_, _ = readCards(o)
	})
}

func checkReading(t *testing.T, r topup.Reading, o clients.Object, now time.Time) {
	t.Helper()
	if len(r.Bad) > 1_000 || len(r.Native) > 1_000 {
		t.Errorf("%d bytes of bad, %d of native", len(r.Bad), len(r.Native))
	}
	if r.Bad != "" {
		return
	}
	if r.Balance > topup.MaxCredits || r.Balance < -topup.MaxCredits {
		t.Errorf("balance %v of %v", r.Balance, o)
	}
	if _, err := topup.ParseCurrency(string(r.Account.Currency)); err != nil {
		t.Errorf("currency %q of %v", r.Account.Currency, o)
	}
	if r.RefreshedAt.IsZero() || r.RefreshedAt.After(now) {
		t.Errorf("stamp %v of %v", r.RefreshedAt, o)
	}
	if data, ok := o.Object("data"); !ok || !data.Has("balance") {
		t.Errorf("%v has no balance, and yet %v", o, r.Balance)
	}
}

func checkNative(t *testing.T, o clients.Object, now time.Time) {
	t.Helper()
	if data, ok := o.Object("data"); ok {
		if n, err := readSettings(data); err == nil && n.on() != (n.text != "") {
			t.Errorf("settings %v: on %v, text %q", o, n.on(), n.text)
		}
	}
	page, err := readHistory(o, 1)
	if err != nil {
		return
	}
	page.rows = slices.DeleteFunc(once(page.rows), func(r recharge) bool { return r.bad != nil })
	for _, r := range page.rows {
		if r.id == "" || len(r.id) > maxID || r.at.IsZero() {
			t.Errorf("recharge %+v of %v", r, o)
		}
	}
	_ = underWay(page.rows, now)
	all, err := topups(page.rows, now)
	if err != nil {
		return
	}
	for _, x := range all {
		if x.Credits > topup.MaxCredits || x.At.Before(now.Add(-recent)) {
			t.Errorf("top-up %+v of %v", x, o)
		}
	}
}
