package emulator

import (
	"net/http"
	"testing"
)

// The examples below are those of Hyperline's documentation and of answers seen
// live (read 2026-11-20).
const (
	exampleCredits = `{"meta":{"total":1,"taken":1,"skipped":0},
 "data":[{"product_id":"itm_3kXODDF42QXtnL","customer_id":"cus_Typ0px2W0aiEtl","name":"Credit name",
  "current_balance":2000,"low_count_threshold":10,"last_refreshed_at":"2025-11-23T09:00:01.860Z",
  "auto_topup":{"credit_count":32,"amount_excluding_tax":null,"price_id":null},
  "created_at":"2025-10-12T07:00:01.860Z","updated_at":"2025-10-13T10:00:01.860Z"}]}`
	examplePurchased = `{"invoice_id":"inv_1eTaiytfA0i2Va","new_credit_balance":2120}`
	exampleRow       = `{"id":"cdt_BPZ19obsBS2qyo","product_id":"itm_3kXODDF42QXtnL",
 "price":{"id":"pri_0Jv8EbMDOGsHcn","amount":20000,"pack_size":120},
 "customer_id":"cus_Typ0px2W0aiEtl","payment_method_id":"pm_1xMpj5bwRqN7LM",
 "invoice_id":"inv_1eTaiytfA0i2Va","event_id":null,"aggregator_id":null,"expires_at":null,
 "type":"topup","source":"api","amount_excluding_tax":123,"credit_count":32,"balance_after":2000,
 "created_at":"2024-10-13T07:00:01.860Z","updated_at":"2024-10-13T07:00:01.860Z"}`
	exampleInvoice = `{"id":"inv_wHV65Sds7ssdEC","number":"INV6","type":"invoice","status":"to_pay","reference":"C2P5RBDBHX",
 "purchase_order":null,"currency":"USD","source":"hyperline","total_amount":22919,"amount_due":22919,
 "amount_paid":0,"amount_excluding_tax":21540,"tax_amount":1379,"payment_method_id":null,
 "customer":{"id":"cus_DLbkNq9AUjjk5u","name":"...","email":"...","external_id":null},
 "subscription_id":"sub_cTPmfEKQo0q34b","due_at":"2026-10-01T16:21:36.454Z","settled_at":null,
 "refunded_at":null,"updated_at":"2026-09-01T16:21:52.397Z","issued_at":"2026-09-01T16:21:52.397Z",
 "properties":null,"custom_properties":{},
 "line_items":[{"id":"ili_jcwvxqDpKBwjt0","entry_type":"debit","product_id":"itm_SjbvrMcfwfC4i3",
   "product_type":"seat","units_count":1,"unit_amount":21540,"amount":22919,"amount_excluding_tax":21540}],
 "transactions":[]}`
	exampleBundle = `{"type":"bundle","id":"pri_0Jv8EbMDOGsHcn","amount":20000,"unit_count":120}`
)

func TestHyperlineAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetAutoTopup(FirstCustomer, true))
	must(t, b.SetBalance(FirstCustomer, dec("2000")))
	bought := b.buy(keyOne).want(t, http.StatusCreated)
	var receipt struct {
		Invoice string `json:"invoice_id"`
		Balance int    `json:"new_credit_balance"`
	}
	bought.into(t, &receipt)
	if receipt.Balance != 2120 {
		t.Errorf("new_credit_balance %d, want 2120", receipt.Balance)
	}
	row := `{"meta":{"total":1,"taken":1,"skipped":0},"data":[` + exampleRow + `]}`
	invoices := `{"data":[` + exampleInvoice + `],"next_cursor":null,"has_more":false}`
	customers := `{"data":[{"id":"cus_Typ0px2W0aiEtl","name":"n","type":"corporate","status":"active","currency":"EUR","country":"FR",
 "timezone":"Europe/Paris","language":"en","external_id":null,"properties":null,"custom_properties":null}],
 "next_cursor":null,"has_more":false,"total":1}`
	methods := `{"meta":{"total":1,"taken":1,"skipped":0},"data":[{"id":"pm_1xMpj5bwRqN7LM","type":"card","status":"active",
 "last_4_digits":"4242","expiration_date":"2027-12","brand":"visa"}]}`
	product := `{"id":"itm_3kXODDF42QXtnL","name":"n","status":"active","description":null,"public_description":null,"properties":null,
 "custom_properties":{},"type":"credit","aggregator":{},"credit_aggregators":[],"low_credits_threshold":10,"credits_grant_mode":"prorated",
 "price_configurations":[{"id":"prc_1","product_id":"itm_3kXODDF42QXtnL","price_book_id":null,"status":"active","currency":"EUR",
  "country":null,"countries":null,"plan_id":null,"billing_interval":{"period":"once"},"commitment_interval":null,
  "updated_at":"2026-01-01","archived_at":null,"type":"bundle","allow_on_portal":true,"prices":[` + exampleBundle + `]}]}`

	for _, tt := range []struct {
		name, path, documented string
		extra                  []string
	}{
		{"the bulk list", "/v1/customers/credits", exampleCredits, nil},
		{"one customer's list", "/v1/customers/" + FirstCustomer + "/credits", exampleCredits, nil},
		{"one credit", creditPath, exampleCredits[len(`{"meta":{"total":1,"taken":1,"skipped":0},
 "data":[`) : len(exampleCredits)-2], nil},
		{"the ledger", creditPath + "/transactions?type=topup", row, nil},
		{"invoices", "/v2/invoices?status=all&customer_id=" + FirstCustomer, invoices, nil},
		{"one invoice", "/v2/invoices/" + receipt.Invoice, exampleInvoice, []string{"integrations"}},
		{"customers", "/v2/customers?include_total=true", customers, []string{"billing_email", "created_at", "updated_at"}},
		{"payment methods", "/v1/customers/" + FirstCustomer + "/payment-methods", methods, nil},
		{"a product", "/v1/products/" + Product, product, nil},
		{"products", "/v1/products", `{"meta":{"total":1,"taken":1,"skipped":0},"data":[` + product + `]}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantShape(t, tt.documented, b.get(tt.path).want(t, http.StatusOK).body, tt.extra...)
		})
	}
	wantShape(t, examplePurchased, bought.body)
}

func TestHyperlineRefusesAsDocumented(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	for _, tt := range []struct {
		name, method, path, body string
		headers                  header
		status                   int
		want                     string
	}{
		{"no token", "GET", "/v1/products", "", header{"Authorization": ""}, 401, `{"message":"Missing authentication token"}`},
		{"another token", "GET", "/v1/products", "", header{"Authorization": "Bearer prod_x"}, 401, `{"message":"Missing authentication token"}`},
		{"the key as a Basic user is fine", "GET", "/v1/products/itm_x", "", header{"Authorization": "Basic dGVzdF9lbXVsYXRvcjo="}, 404, `{"message":"Product not found"}`},
		{"an unknown path", "GET", "/v1/wallets", "", nil, 404, `{"message":"Route not found"}`},
		{"an unknown customer", "GET", "/v2/customers/cus_x", "", nil, 404, `{"message":"Customer not found"}`},
		{"an unknown invoice", "GET", "/v2/invoices/inv_x", "", nil, 404, `{"message":"Invoice not found"}`},
		{
			"take beyond 100 is refused, not clamped", "GET", "/v1/customers/credits?take=101", "", nil, 400,
			`{"statusCode":400,"type":"ValidationError","message":"Invalid query params","errors":{"take":["Too big: expected number to be \u003c=100"]}}`,
		},
		{
			"limit beyond 100 too", "GET", "/v2/invoices?limit=101", "", nil, 400,
			`{"statusCode":400,"type":"ValidationError","message":"Invalid query params","errors":{"limit":["Too big: expected number to be \u003c=100"]}}`,
		},
		{
			"a date without a time", "GET", "/v1/customers/credits?updated_at__gte=2026-11-20", "", nil, 400,
			`{"statusCode":400,"type":"ValidationError","message":"Invalid query params","errors":{"updated_at__gte":["Invalid ISO datetime"]}}`,
		},
		{"both kinds of price", "POST", purchasePath, `{"credit_count":120,"price_id":"` + SmallPack + `","amount_excluding_tax":20000}`, nil, 400, `{"message":"Either amount_excluding_tax or price_id must be defined"}`},
		{"no kind of price", "POST", purchasePath, `{"credit_count":120}`, nil, 400, `{"message":"Either amount_excluding_tax or price_id must be defined"}`},
		{"an unknown price", "POST", purchasePath, `{"credit_count":120,"price_id":"pri_x"}`, nil, 404, `{"message":"Price not found"}`},
		{"part of a pack", "POST", purchasePath, `{"credit_count":60,"price_id":"` + SmallPack + `"}`, nil, 400, `{"message":"credit_count must correspond to a full credit pack for the price"}`},
		{"two packs at once", "POST", purchasePath, `{"credit_count":240,"price_id":"` + SmallPack + `"}`, nil, 400, `{"message":"credit_count must correspond to a full credit pack for the price"}`},
		{
			"credits already expired", "POST", purchasePath, `{"credit_count":120,"price_id":"` + SmallPack + `","expires_at":"2026-11-20T12:00:00Z"}`, nil, 400,
			`{"statusCode":400,"type":"ValidationError","message":"Invalid body","errors":{"expires_at":["Too small: expected a date in the future"]}}`,
		},
		{
			"a count as text", "POST", purchasePath, `{"credit_count":"120"}`, nil, 400,
			`{"statusCode":400,"type":"ValidationError","message":"Invalid body","errors":{"body":["Invalid input: expected number, received string"]}}`,
		},
		{
			"no body", "POST", purchasePath, "", nil, 400,
			`{"statusCode":400,"type":"ValidationError","message":"Invalid body","errors":{"body":["Invalid input: unexpected end of JSON input"]}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := b.ask(tt.method, tt.path, tt.body, tt.headers).want(t, tt.status).body; got != tt.want {
				t.Errorf("body %s, want %s", got, tt.want)
			}
		})
	}
	b.wantCaptured(0)
}

func TestHyperlineIgnoresUnknownParameters(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 3}})
	var list struct {
		Meta struct{ Total int }
	}
	b.get("/v1/customers/credits?customer=cus_x&custmer_id=cus_y").want(t, http.StatusOK).into(t, &list)
	if list.Meta.Total != 3 {
		t.Errorf("%d rows for misspelt filters, want all 3", list.Meta.Total)
	}
}

func TestHyperlineLimitsItsCallers(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Reads: 2, Writes: 1}})
	first := b.get("/v1/products").want(t, http.StatusOK)
	for name, want := range map[string]string{
		"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "2026-11-20T12:00:10.000Z",
		"Date": "Fri, 20 Nov 2026 12:00:00 GMT", "Retry-After": "",
	} {
		if got := first.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	b.get("/v1/products").want(t, http.StatusOK)
	refused := b.get("/v1/products").want(t, http.StatusTooManyRequests)
	if refused.body != "Too many requests" || refused.header.Get("Retry-After") != "10" || refused.header.Get("Content-Type") != textType {
		t.Errorf("refused with %q, %v", refused.body, refused.header)
	}
	b.buy(keyOne).want(t, http.StatusCreated)
	b.buy(keyTwo).want(t, http.StatusTooManyRequests)
	b.wantCaptured(1)
	b.pass(10 * 1e9)
	b.get("/v1/products").want(t, http.StatusOK)
	b.buy(keyTwo).want(t, http.StatusCreated)
}
