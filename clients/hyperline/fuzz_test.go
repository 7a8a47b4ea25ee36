package hyperline

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
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

// secret is a token that may never be shown.
type secret string

func (s secret) Reveal() string        { return string(s) }
func (s secret) Reload() (bool, error) { return false, nil }
func (s secret) Fingerprint() string   { return "fp" }

const aSecret = secret("test_very-secret-key")

var anHour = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// documented adds the published bodies, whole and cut, and what else is given.
func documented(f *testing.F, more ...string) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no documented bodies: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		f.Add(body[:len(body)/2])
	}
	for _, text := range more {
		f.Add([]byte(text))
	}
}

// FuzzAnswer: whatever is answered, a yes needs the documented answer, a no a
// message, and nothing is unbounded.
func FuzzAnswer(f *testing.F) {
	for _, status := range []int{200, 201, 307, 400, 401, 402, 409, 417, 429, 500} {
		f.Add(status, []byte(`{"invoice_id":"inv_1","new_credit_balance":5}`))
		f.Add(status, []byte(`{"message":"declined"}`))
	}
	f.Add(201, []byte(`{"invoice_id":"inv_1","new_credit_balance":5,"new_credit_balance":6}`))
	f.Add(201, []byte(`{"invoice_id":"inv_1","new_credit_balance":1e13}`))
	f.Add(402, []byte(`{"message":"`+string(aSecret)+`"}`))
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := answer(clients.Raw{Status: status, Body: body, Written: 1}, aSecret)
		checkAnswer(t, a, status, body)
		for _, cause := range []error{errors.New("unexpected EOF"), errors.New(string(body))} { // cut short: no verdict whatever came before
			cut := answer(clients.Raw{Status: status, Body: body, Err: cause, Written: 1}, aSecret)
			if cut.Verdict != topup.Unknown {
				t.Errorf("%d %q, cut short, is a %s", status, body, cut.Verdict)
			}
		}
	})
}

func checkAnswer(t *testing.T, a topup.Answer, status int, body []byte) {
	t.Helper()
	var said struct {
		Invoice any `json:"invoice_id"`
		Balance any `json:"new_credit_balance"`
		Message any `json:"message"`
	}
	whole := json.Unmarshal(body, &said) == nil
	switch a.Verdict {
	case topup.Accepted:
		if status != 201 || !whole || a.Reference != said.Invoice || said.Balance == nil || a.Balance == nil || beyond(*a.Balance) {
			t.Errorf("%d %q is a yes: %+v", status, body, a)
		}
	case topup.Rejected:
		if text, _ := said.Message.(string); !whole || text == "" || !slices.Contains([]int{400, 401, 402, 403, 404, 422}, status) {
			t.Errorf("%d %q is a no", status, body)
		}
	case topup.NotRun:
		if status != 429 {
			t.Errorf("%d %q was not run", status, body)
		}
	case topup.Unknown:
		if a.Reason == topup.FailedNone || a.Detail == "" {
			t.Errorf("%d %q is unclear without a reason: %+v", status, body, a)
		}
	default:
		t.Errorf("verdict %q", a.Verdict)
	}
	if len(a.Detail) > 1000 || len(a.Reference) > 128 {
		t.Errorf("unbounded: %+v", a)
	}
	if a.Stop && a.Verdict != topup.Rejected {
		t.Errorf("%d %q stops the provider without a no", status, body)
	}
}

func beyond(c topup.Credits) bool { return c > topup.MaxCredits || c < -topup.MaxCredits }

// FuzzPurchaseOnTheWire: bytes instead of an answer. Only a whole documented one
// is a yes, and no error shows the token.
func FuzzPurchaseOnTheWire(f *testing.F) {
	yes, err := os.ReadFile("testdata/purchased.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, wire := range clientstest.Wires(201, strings.TrimSpace(string(yes)), string(aSecret)) {
		f.Add(wire)
	}
	order := topup.Order{
		Target:  topup.Target{Provider: "hyperline://wire/", Customer: "cus_1", Product: "itm_1"},
		Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}, PriceID: "pri_1",
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		pipe := clientstest.Pipe{Answer: wire}
		c, err := New(Options{
			ID: "hyperline://wire/", Name: "wire", Token: aSecret,
			API: clients.Options{BaseURL: &url.URL{Scheme: "http", Host: "127.0.0.1:80"}, Dial: pipe.Dial, PurchaseTimeout: 5 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		a := pipe.Purchase(t, c, order)
		status, body, whole := pipe.Whole()
		if a.Verdict != topup.Unknown && !whole {
			t.Errorf("%q holds no whole answer and is a %s", wire, a.Verdict)
		}
		if whole && a.Verdict != topup.Unknown {
			checkAnswer(t, a, status, body)
		}
		if strings.Contains(a.Detail, string(aSecret)) || len(a.Detail) > 1000 {
			t.Errorf("the token, or too much, is in %q", a.Detail)
		}
	})
}

// FuzzCreditsPage: a balance is good only if it is a number within ±1e12, there
// once, and then it is that number.
func FuzzCreditsPage(f *testing.F) {
	row := func(balance string) string {
		return `{"meta":{"total":1},"data":[{"product_id":"p","customer_id":"c","current_balance":` + balance + `}]}`
	}
	documented(f, row("1e12"), row("1e12,\"current_balance\":3"), row("NaN"), row("-0.0000005"), row(`"12"`), row("9223372036854775808"), row("1e-30"), row("1e400"), row("[]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := pageOf(body)
		if err != nil {
			return
		}
		s := (&reader{Client: &Client{}}).scan("credits", bulkPath, "", nil)
		if err := s.take(t.Context(), page, 0); err != nil {
			t.Fatal(err)
		}
		for _, row := range page.rows {
			c, err := readCredit(row, anHour)
			if err != nil {
				continue
			}
			checkBalance(t, c, row)
		}
		if page.total >= 0 && s.missing() == "" && len(s.rows) != page.total {
			t.Errorf("%d rows of %d are a consistent list: %s", len(s.rows), page.total, body)
		}
	})
}

func pageOf(body []byte) (offsetPage, error) {
	envelope, rows, err := open("credits", body)
	page := offsetPage{rows: rows, total: -1}
	if meta, ok := envelope.Object("meta"); ok {
		if text, err := meta.Number("total"); err == nil {
			page.total = whole(text)
		}
	}
	return page, err
}

func checkBalance(t *testing.T, c credit, row clients.Object) {
	t.Helper()
	if !clients.ValidID(string(c.customer)) || !clients.ValidID(string(c.product)) || len(c.native) > 1000 || len(c.name) > 200 || len(c.bad) > 1000 {
		t.Errorf("a credit of %q %q, %d bytes of native, %d of name, %d of bad", c.customer, c.product, len(c.native), len(c.name), len(c.bad))
	}
	if c.bad != "" {
		return
	}
	raw := row.Raw("current_balance")
	if !isNumber(raw, c.balance) {
		t.Errorf("a balance of %s was read from %s", c.balance, raw)
	}
	if mark := row.Raw("low_count_threshold"); (mark != nil) != (c.threshold != nil) || mark != nil && !isNumber(mark, *c.threshold) {
		t.Errorf("a threshold of %v was read from %s", c.threshold, mark)
	}
	if row.Has("auto_topup") && c.native == "" || row.Twice("auto_topup") && c.native == "" {
		t.Errorf("auto_topup is %s, and Hyperline is said not to top up", row.Raw("auto_topup"))
	}
}

// isNumber tells whether the JSON is a number and the credits are it, to half a
// millionth.
func isNumber(raw json.RawMessage, c topup.Credits) bool {
	var n json.Number
	if len(raw) == 0 || len(raw) > 40 || bytes.ContainsAny(raw, `"[{ntf`) || json.Unmarshal(raw, &n) != nil || beyond(c) {
		return false
	}
	exact, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return false
	}
	diff := exact.Sub(exact, big.NewRat(int64(c), int64(topup.Credit)))
	return diff.Abs(diff).Cmp(big.NewRat(6, 10*int64(topup.Credit))) <= 0 // only the first 19 digits count, hence the tenth
}

// FuzzCustomersPage: an active customer is one that says so, its currency is a
// currency, and its properties are bounded.
func FuzzCustomersPage(f *testing.F) {
	documented(f,
		`{"has_more":true,"next_cursor":"","data":[]}`,
		`{"has_more":false,"data":[{"id":"cus_1","status":"active","currency":"EUR","custom_properties":{"plan":"pro","n":1e3,"x":null,"y":[1]}}]}`,
		`{"has_more":false,"data":[{"id":"cus 1"},{"id":"..","status":"active"},{"id":"cus_1","status":"Active","currency":"eur"}]}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, rows, err := open("customers", body)
		if row, one := clients.ParseObject(body); one == nil {
			rows = append(rows, row)
		} else if err != nil {
			return
		}
		for _, row := range rows {
			c, err := readCustomer(row, anHour)
			if err != nil {
				continue
			}
			if c.inactive == "" && row.Text("status") != "active" {
				t.Errorf("%q is an active customer", row.Text("status"))
			}
			if _, err := topup.ParseCurrency(string(c.currency)); c.currency != "" && err != nil {
				t.Errorf("currency %q", c.currency)
			}
			if !clients.ValidID(string(c.id)) || len(c.properties) > maxProperties || len(c.name) > 200 || len(c.inactive) > 1000 {
				t.Errorf("customer %q with %d properties", c.id, len(c.properties))
			}
			for name, value := range c.properties {
				if len(value) > 200 {
					t.Errorf("property %.60q of %d bytes", name, len(value))
				}
			}
		}
	})
}

// FuzzTransactions: an addition of credits has an id, a time and an exact number.
func FuzzTransactions(f *testing.F) {
	documented(f,
		`{"meta":{"total":1},"data":[{"id":"cdt_1","type":"topup","credit_count":-5,"created_at":"2026-11-20T12:00:00Z","customer_id":"c","amount_excluding_tax":1.5}]}`,
		`{"meta":{"total":1},"data":[{"id":"cdt_1","type":"topup","credit_count":32,"created_at":"2026-11-20T12:00:00Z","customer_id":"c","price":{"id":"p","amount":1,"pack_size":32},"invoice_id":""}]}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, rows, err := open("transactions", body)
		if err != nil {
			return
		}
		for _, row := range rows {
			r, ok, err := readRow(row, "EUR")
			if err != nil || !ok {
				continue
			}
			if r.ID == "" || r.At.IsZero() || !isNumber(row.Raw("credit_count"), r.Credits) || row.Has("invoice_id") != (r.Invoice != "") {
				t.Errorf("%+v was read from %s", r, body)
			}
			if r.Price.Minor > topup.MaxMinor || r.Price.Minor < -topup.MaxMinor || r.Price.Minor != 0 && r.Price.Currency != "EUR" || len(r.Source) > 200 {
				t.Errorf("the price of %+v", r)
			}
		}
		l := &look{reader: &reader{Client: &Client{}}, target: topup.Target{Customer: "c", Product: "p"}, take: func(row clients.Object) (topup.Topup, bool, error) { return readRow(row, "EUR") }, found: map[string]topup.Topup{}, pages: map[int]days{}, total: -1}
		if span, err := l.see(rows); err == nil && span.newest.Before(span.oldest) {
			t.Errorf("a page from %v to %v: %s", span.oldest, span.newest, body)
		}
	})
}

// FuzzInvoices: a bill has an id, a customer, a currency and exact amounts, and
// an unknown status is nothing that is over.
func FuzzInvoices(f *testing.F) {
	documented(f, `{"has_more":false,"data":[{"id":"inv_1","status":"paid","currency":"EUR","amount_excluding_tax":90000,"amount_paid":108000,
		"customer":{"id":"cus_1"},"issued_at":"2026-11-20T12:00:00Z","line_items":[{"product_id":"p","product_type":"credit"}],
		"transactions":[{"status":"failed","error_type":"card","error_message":"no"}]}]}`,
		`{"has_more":false,"data":[{"id":"inv_1","status":"PAID","currency":"EUR","amount_excluding_tax":0.5,"amount_paid":null,"customer":{"id":"cus_1"},"issued_at":"2026-11-20T12:00:00Z","line_items":[]}]}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		var rows []clients.Object
		if row, err := clients.ParseObject(body); err == nil {
			rows = append(rows, row)
		}
		if _, list, err := open("invoices", body); err == nil {
			rows = append(rows, list...)
		}
		for _, row := range rows {
			i, ok, err := readInvoice(row)
			if err != nil || !ok {
				continue
			}
			if i.ID == "" || i.Customer == "" || i.At.IsZero() || i.Amount.Currency == "" || len(i.Detail) > 1000 || len(i.Unexpected) > 1000 {
				t.Errorf("%+v was read from %s", i, body)
			}
			over := i.Payment == topup.PaymentPaid || i.Payment == topup.PaymentVoid
			if over && !slices.Contains([]string{"paid", "voided", "closed"}, i.Status) {
				t.Errorf("an invoice that is %q is %s", i.Status, i.Payment)
			}
			for _, m := range []topup.Money{i.Amount, i.Paid} {
				if m.Minor > topup.MaxMinor || m.Minor < -topup.MaxMinor {
					t.Errorf("an amount of %d", m.Minor)
				}
			}
		}
	})
}

// FuzzProduct: a price agrees with an order only if there is one such price, in
// the order's currency, with its amount and its credits.
func FuzzProduct(f *testing.F) {
	documented(f, `{"id":"itm_3kXODDF42QXtnL","type":"credit","status":"active","price_configurations":[{"type":"bundle","status":"active","countries":["FR"],
		"prices":[{"id":"pri_0Jv8EbMDOGsHcn","amount":20000,"unit_count":120},{"id":"pri_0Jv8EbMDOGsHcn","amount":20000,"unit_count":120}]}]}`)
	order := topup.Order{PriceID: "pri_0Jv8EbMDOGsHcn", Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := readProduct(body, "itm_3kXODDF42QXtnL")
		if err != nil {
			return
		}
		price, currency := p.check(order, customer{currency: "EUR", country: "FR"})
		if len(price) > 2000 || len(currency) > 2000 {
			t.Errorf("%d and %d bytes of problems", len(price), len(currency))
		}
		if price != "" || currency != "" {
			return
		}
		one := p.prices[order.PriceID]
		if p.problem != "" || len(one) != 1 || one[0].archived || !isNumber(json.RawMessage(one[0].amount), 20_000*topup.Credit) || !isNumber(json.RawMessage(one[0].count), order.Credits) {
			t.Errorf("%s has the price of the order", body)
		}
	})
}
