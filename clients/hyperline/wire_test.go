package hyperline

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/clients"
	"topupd/topup"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// object reads a published example.
func object(t *testing.T, name string) clients.Object {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func parse(t *testing.T, text string) clients.Object {
	t.Helper()
	o, err := clients.ParseObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func example(t *testing.T, name string, edits ...string) clients.Object {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(string(text), edits[i]) {
			t.Fatalf("%s does not contain %s", name, edits[i])
		}
	}
	return parse(t, strings.NewReplacer(edits...).Replace(string(text)))
}

func TestThePublishedCredit(t *testing.T) {
	list, _ := object(t, "credits.json").List("data")
	c, err := readCredit(parse(t, string(list[0])), noon)
	if err != nil {
		t.Fatal(err)
	}
	mark := 10 * topup.Credit
	want := topup.Reading{
		Target:      topup.Target{Provider: "p", Customer: "cus_Typ0px2W0aiEtl", Product: "itm_3kXODDF42QXtnL"},
		ProductName: "Credit name", Balance: 2000 * topup.Credit, Threshold: &mark, ThresholdFrom: "customer",
		ReadAt: noon, RefreshedAt: time.Date(2025, 11, 23, 9, 0, 1, 860e6, time.UTC), Native: "auto_topup buys 32 credits",
	}
	if diff := cmp.Diff(want, c.reading("p")); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

func TestNative(t *testing.T) {
	for _, tt := range []struct{ name, json, want string }{
		{"null is off", `{"auto_topup":null}`, ""},
		{"absent is off, as in old answers", `{}`, ""},
		{"a pack", `{"auto_topup":{"credit_count":120,"amount_excluding_tax":null,"price_id":"pri_1"}}`, "auto_topup buys 120 credits at pri_1"},
		{"anything else is on", `{"auto_topup":true}`, "auto_topup is set"},
		{"an empty object is on", `{"auto_topup":{}}`, "auto_topup is set"},
		{"false is not null", `{"auto_topup":false}`, "auto_topup is set"},
		{"twice is on", `{"auto_topup":{},"auto_topup":null}`, "auto_topup is there twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := nativeOf(parse(t, tt.json)); got != tt.want {
				t.Errorf("nativeOf(%s) = %q, want %q", tt.json, got, tt.want)
			}
		})
	}
}

func TestThePublishedLedgerRow(t *testing.T) {
	list, _ := object(t, "transactions.json").List("data")
	row, ok, err := readRow(parse(t, string(list[0])), "EUR")
	want := topup.Topup{
		ID: "cdt_BPZ19obsBS2qyo", Invoice: "inv_1eTaiytfA0i2Va", Credits: 32 * topup.Credit,
		Price: topup.Money{Minor: 123, Currency: "EUR"}, PriceID: "pri_0Jv8EbMDOGsHcn", Source: "api", ExpiresOn: topup.Never,
		At: time.Date(2026, 11, 13, 7, 0, 1, 860e6, time.UTC),
	}
	if diff := cmp.Diff(want, row); diff != "" || !ok || err != nil {
		t.Errorf("readRow = %v, %v (-want +got):\n%s", ok, err, diff)
	}
}

func TestReadRow(t *testing.T) {
	const pack = `"price":{"id":"pri_1","amount":20000,"pack_size":120}`
	for _, tt := range []struct {
		name, json string
		price      string // "" = none
		ok         bool
		err        string
	}{
		{"a whole pack costs the pack's price", `{"id":"cdt_1","type":"topup","invoice_id":"inv_1","created_at":"2026-11-20T12:00:00Z","credit_count":120,"amount_excluding_tax":123,` + pack + `}`, "200.00 EUR", true, ""},
		{"a custom amount", `{"id":"cdt_1","type":"topup","invoice_id":"inv_1","created_at":"2026-11-20T12:00:00Z","credit_count":50,"amount_excluding_tax":2400,"price":null}`, "24.00 EUR", true, ""},
		{"free credits have no price", `{"id":"cdt_1","type":"topup","invoice_id":null,"created_at":"2026-11-20T12:00:00Z","credit_count":50,"amount_excluding_tax":null,"price":null}`, "", true, ""},
		{"usage is no addition", `{"id":"cdt_1","type":"usage","created_at":"2026-11-20T12:00:00Z","credit_count":-1}`, "", false, ""},
		{"a row without a type", `{"id":"cdt_1"}`, "", false, "without a type"},
		{"a row without an id", `{"type":"topup","created_at":"2026-11-20T12:00:00Z","credit_count":1}`, "", false, "without a valid id"},
		{"a row without a time", `{"id":"cdt_1","type":"topup","credit_count":1}`, "", false, "without a valid id"},
		{"a row with an invoice that is no id", `{"id":"cdt_1","type":"topup","invoice_id":7,"created_at":"2026-11-20T12:00:00Z","credit_count":1}`, "", false, "without a valid id"},
		{"a row without credits", `{"id":"cdt_1","type":"topup","created_at":"2026-11-20T12:00:00Z"}`, "", false, "credit_count is missing"},
		{"absurd credits", `{"id":"cdt_1","type":"topup","created_at":"2026-11-20T12:00:00Z","credit_count":1e300}`, "", false, "credit_count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			row, ok, err := readRow(parse(t, tt.json), "EUR")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("readRow = %v, want %q", err, tt.err)
				}
				return
			}
			got := ""
			if !row.Price.IsZero() {
				got = row.Price.String()
			}
			if err != nil || ok != tt.ok || got != tt.price {
				t.Errorf("readRow = %+v, %v, %v; want %s", row, ok, err, tt.price)
			}
		})
	}
}

func TestThePublishedInvoice(t *testing.T) {
	i, ok, err := readInvoice(object(t, "invoice.json"))
	want := topup.Invoice{
		ID: "inv_wHV65Sds7ssdEC", Customer: "cus_Typ0px2W0aiEtl", Products: []topup.ProductID{"itm_SjbvrMcfwfC4i3"}, Lines: 1,
		Amount: topup.Money{Minor: 21540, Currency: "USD"}, Paid: topup.Money{Currency: "USD"},
		Status: "to_pay", Payment: topup.PaymentPending, At: time.Date(2026, 9, 1, 16, 21, 52, 397e6, time.UTC),
	}
	if diff := cmp.Diff(want, i); diff != "" || !ok || err != nil {
		t.Errorf("readInvoice = %v, %v (-want +got):\n%s", ok, err, diff)
	}
}

func TestInvoiceStatuses(t *testing.T) {
	for status, want := range map[string]topup.Payment{
		"paid": topup.PaymentPaid, "voided": topup.PaymentVoid, "closed": topup.PaymentVoid,
		"error": topup.PaymentFailed, "late": topup.PaymentFailed, "uncollectible": topup.PaymentFailed, "partially_paid": topup.PaymentFailed,
		"draft": topup.PaymentPending, "open": topup.PaymentPending, "to_pay": topup.PaymentPending, "grace_period": topup.PaymentPending,
		"consolidated": topup.PaymentPending, "charged_on_parent": topup.PaymentPending, "missing_info": topup.PaymentPending,
	} {
		i, _, err := readInvoice(example(t, "invoice.json", `"status":"to_pay"`, `"status":"`+status+`"`))
		if err != nil || i.Payment != want || i.Unexpected != "" {
			t.Errorf("%s is %q (%s), %v; want %q", status, i.Payment, i.Unexpected, err, want)
		}
	}
	i, _, err := readInvoice(example(t, "invoice.json", `"status":"to_pay"`, `"status":"closed"`, `"amount_paid":0`, `"amount_paid":1`))
	if err != nil || i.Payment != topup.PaymentPaid || i.Unexpected == "" {
		t.Errorf("closed with something paid is %q (%s), %v", i.Payment, i.Unexpected, err)
	}
	i, _, err = readInvoice(example(t, "invoice.json", `"status":"to_pay"`, `"status":"teleported"`))
	if err != nil || i.Payment != topup.PaymentPending || !strings.Contains(i.Unexpected, "teleported") {
		t.Errorf("an unknown status is %q (%s), %v", i.Payment, i.Unexpected, err)
	}
}

func TestReadInvoice(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edits []string
		err   string
		check func(topup.Invoice, bool) bool
	}{
		{"a credit line", []string{`"product_type":"seat"`, `"product_type":"credit"`}, "", func(i topup.Invoice, ok bool) bool { return ok && i.Credit }},
		{"another line", nil, "", func(i topup.Invoice, ok bool) bool { return ok && !i.Credit }},
		{"a line of unknown kind counts as credit", []string{`"product_type":"seat",`, ``}, "", func(i topup.Invoice, ok bool) bool { return ok && i.Credit }},
		{"a credit note is no bill", []string{`"type":"invoice"`, `"type":"refund"`}, "", func(_ topup.Invoice, ok bool) bool { return !ok }},
		{"a draft counts from its last change", []string{`"issued_at":"2026-09-01T16:21:52.397Z"`, `"issued_at":null`}, "", func(i topup.Invoice, ok bool) bool { return ok && !i.At.IsZero() }},
		{
			"why it was not paid",
			[]string{`"transactions":[]`, `"transactions":[{"status":"settled"},{"status":"failed","error_type":"insufficient_funds","error_message":"No money"}]`},
			"", func(i topup.Invoice, _ bool) bool { return i.Detail == `insufficient_funds: "No money"` },
		},
		{"no lines at all", []string{`"line_items"`, `"other"`}, "line_items is missing", nil},
		{"no amount", []string{`"amount_excluding_tax":21540,"tax_amount"`, `"tax_amount"`}, "amount_excluding_tax is missing", nil},
		{"half a cent", []string{`"amount_excluding_tax":21540,"tax_amount"`, `"amount_excluding_tax":21540.5,"tax_amount"`}, "not a whole number of minor units", nil},
		{"no currency", []string{`"currency":"USD"`, `"currency":null`}, "currency", nil},
		{"no customer", []string{`"customer":{"id"`, `"customer":{"ID"`}, "without its id, customer", nil},
		{"an amount that is there twice", []string{`"amount_paid":0`, `"amount_paid":0,"amount_paid":5`}, "amount_paid is there twice", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, ok, err := readInvoice(example(t, "invoice.json", tt.edits...))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("readInvoice = %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || !tt.check(i, ok) {
				t.Errorf("readInvoice = %+v, %v, %v", i, ok, err)
			}
		})
	}
}

func TestPriceCheck(t *testing.T) {
	order := topup.Order{Credits: 120 * topup.Credit, Price: topup.Money{Minor: 20_000, Currency: "EUR"}, PriceID: "pri_0Jv8EbMDOGsHcn"}
	french := customer{currency: "EUR", country: "FR"}
	for _, tt := range []struct {
		name     string
		edits    []string
		customer customer
		order    func(*topup.Order)
		price    string
		currency string
		unusable bool
	}{
		{"what is offered is what is configured", nil, french, nil, "", "", false},
		{"a raised price", []string{`"amount":20000`, `"amount":21000`}, french, nil, "120 credits for 210.00 EUR, configured is 120 credits for 200.00 EUR", "", false},
		{"another pack", []string{`"unit_count":120`, `"unit_count":100`}, french, nil, "price pri_0Jv8EbMDOGsHcn is 100 credits", "", false},
		{"cents became euros", []string{`"amount":20000`, `"amount":200`}, french, nil, "2.00 EUR", "", false},
		{"a fraction of a cent", []string{`"amount":20000`, `"amount":20000.5`}, french, nil, "not a whole number", "", false},
		{"an archived product", []string{`"status":"active","description"`, `"status":"archived","description"`}, french, nil, `not an active credit product`, "", false},
		{"a product of another kind", []string{`"type":"credit"`, `"type":"seat"`}, french, nil, `not an active credit product`, "", false},
		{"an archived configuration", []string{`"price_book_id":null,"status":"active"`, `"price_book_id":null,"status":"archived"`}, french, nil, "is archived", "", false},
		{"a price that is gone", []string{`"pri_0Jv8EbMDOGsHcn"`, `"pri_other"`}, french, nil, "0 bundle prices", "", false},
		{"a price of another kind", []string{`"archived_at":null,"type":"bundle"`, `"archived_at":null,"type":"volume"`}, french, nil, "0 bundle prices", "", false},
		{"a price in another currency", []string{`"currency":"EUR"`, `"currency":"USD"`}, french, nil, "", "is in USD, configured is EUR", false},
		{"a price without a currency is the customer's", []string{`"currency":"EUR"`, `"currency":null`}, french, nil, "", "", false},
		{"a customer in another currency", nil, customer{currency: "USD", country: "FR"}, nil, "", "billed in USD", false},
		{"a customer without a currency", nil, customer{country: "FR"}, nil, "", "no currency", false},
		{"a price for another country", []string{`"countries":null`, `"countries":["DE"]`}, french, nil, "", `not for customers of country "FR"`, false},
		{"a price for this country", []string{`"countries":null`, `"countries":["DE","FR"]`}, french, nil, "", "", false},
		{"a price for customers without a country", []string{`"countries":null`, `"countries":[]`}, french, nil, "", "country", false},
		{"and one of those", []string{`"countries":null`, `"countries":[]`}, customer{currency: "EUR"}, nil, "", "", false},
		{"a custom amount has no price to differ from", []string{`"amount":20000`, `"amount":1`}, french, func(o *topup.Order) { o.PriceID = "" }, "", "", false},
		{"another product than asked for", []string{`"id":"itm_3kXODDF42QXtnL"`, `"id":"itm_other"`}, french, nil, "", "", true},
		{"a mark in words spoils no price", []string{`"low_credits_threshold":25`, `"low_credits_threshold":"25"`}, french, nil, "", "", false},
		{"nor does another configuration that is none", []string{`"price_configurations":[`, `"price_configurations":[7,`}, french, nil, "", "", false},
		{"nor another price that is none", []string{`"prices":[`, `"prices":[null,`}, french, nil, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/product.json")
			if err != nil {
				t.Fatal(err)
			}
			p, err := readProduct([]byte(strings.NewReplacer(tt.edits...).Replace(string(text))), "itm_3kXODDF42QXtnL")
			if (err != nil) != tt.unusable {
				t.Fatalf("readProduct = %v", err)
			}
			if tt.unusable {
				return
			}
			o := order
			if tt.order != nil {
				tt.order(&o)
			}
			price, currency := p.check(o, tt.customer)
			if !strings.Contains(price, tt.price) || (price == "") != (tt.price == "") || !strings.Contains(currency, tt.currency) || (currency == "") != (tt.currency == "") {
				t.Errorf("check = %q, %q; want %q, %q", price, currency, tt.price, tt.currency)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	for _, tt := range []struct {
		name    string
		methods []paymentMethod
		want    topup.PaymentMethod
	}{
		{"none", nil, topup.PaymentMissing},
		{"a card", []paymentMethod{{"pm_1", "card", "active"}}, topup.PaymentCard},
		{"a phone", []paymentMethod{{"pm_1", "apple_pay", "active"}}, topup.PaymentCard},
		{"a link", []paymentMethod{{"pm_1", "stripe_link", "active"}}, topup.PaymentCard},
		{"a mandate", []paymentMethod{{"pm_1", "direct_debit", "active"}}, topup.PaymentOther},
		{"a card and a mandate", []paymentMethod{{"pm_1", "card", "active"}, {"pm_2", "direct_debit", "pending"}}, topup.PaymentOther},
		{"an expired card", []paymentMethod{{"pm_1", "card", "expired"}}, topup.PaymentErrored},
		{"an errored card beside a good one", []paymentMethod{{"pm_1", "card", "errored"}, {"pm_2", "card", "active"}}, topup.PaymentCard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := kindOf(tt.methods); got != tt.want {
				t.Errorf("kindOf = %q, want %q", got, tt.want)
			}
		})
	}
}
