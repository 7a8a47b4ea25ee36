package hyperline_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// documented serves the published examples of everything that a confirm read asks for.
func documented(t *testing.T) files {
	t.Helper()
	const credit = "/v1/customers/cus_Typ0px2W0aiEtl/credits/itm_3kXODDF42QXtnL"
	return files{
		credit:                             golden(t, "credit.json"),
		credit + "/transactions":           golden(t, "transactions.json"),
		"/v2/customers/cus_Typ0px2W0aiEtl": golden(t, "customer.json"),
		"/v1/customers/cus_Typ0px2W0aiEtl/payment-methods": golden(t, "payment_methods.json"),
		"/v1/products/itm_3kXODDF42QXtnL":                  golden(t, "product.json"),
		"/v2/invoices":                                     `{"data":[` + golden(t, "invoice.json") + `],"next_cursor":null,"has_more":false}`,
	}
}

const documentedCustomer = topup.CustomerID("cus_Typ0px2W0aiEtl")

func TestConfirmWithThePublishedExamples(t *testing.T) {
	conf, err := serve(t, documented(t)).Confirm(t.Context(), pack(documentedCustomer))
	must(t, err)
	mark := 10 * topup.Credit
	want := topup.Confirmation{
		Reading: topup.Reading{
			Target: pack(documentedCustomer).Target, CustomerName: "Name", ProductName: "Credit name",
			Balance: 2000 * topup.Credit, Threshold: &mark, ThresholdFrom: "customer",
			ReadAt: noon, RefreshedAt: time.Date(2025, 11, 23, 9, 0, 1, 860e6, time.UTC),
			Account: topup.Account{Currency: "EUR", PaymentMethod: topup.PaymentCard, Properties: map[string]string{"plan": "pro"}},
		},
		Invoices: []topup.Invoice{{
			ID: "inv_wHV65Sds7ssdEC", Customer: documentedCustomer, Products: []topup.ProductID{"itm_SjbvrMcfwfC4i3"}, Lines: 1,
			Amount: topup.Money{Minor: 21540, Currency: "USD"}, Paid: topup.Money{Currency: "USD"},
			Status: "to_pay", Payment: topup.PaymentPending, At: time.Date(2026, 9, 1, 16, 21, 52, 397e6, time.UTC),
		}},
		Topups: []topup.Topup{{
			ID: "cdt_BPZ19obsBS2qyo", Invoice: "inv_1eTaiytfA0i2Va", Credits: 32 * topup.Credit,
			Price: topup.Money{Minor: 123, Currency: "EUR"}, PriceID: "pri_0Jv8EbMDOGsHcn", Source: "api", ExpiresOn: topup.Never,
			At: time.Date(2026, 11, 13, 7, 0, 1, 860e6, time.UTC),
		}},
		ServerTime: noon,
	}
	if diff := cmp.Diff(want, conf); diff != "" {
		t.Errorf("Confirm (-want +got):\n%s", diff)
	}
}

func TestAnythingUnreadableIsAnError(t *testing.T) {
	const credit = "/v1/customers/cus_Typ0px2W0aiEtl/credits/itm_3kXODDF42QXtnL"
	for _, tt := range []struct {
		name, path, old, new string // new "" drops the path
		want                 string
	}{
		{"no such credit", credit, "", "", "404"},
		{"the credit of somebody else", credit, `"cus_Typ0px2W0aiEtl"`, `"cus_other"`, "cus_other came"},
		{"a credit that is HTML", credit, `{`, `<`, "not JSON"},
		{"no rows", credit + "/transactions", "", "", "404"},
		{"rows of somebody else", credit + "/transactions", `"cus_Typ0px2W0aiEtl"`, `"cus_other"`, "has a row of"},
		{"a row without credits", credit + "/transactions", `"credit_count"`, `"x"`, "credit_count is missing"},
		{"rows that do not add up", credit + "/transactions", `"total":1`, `"total":7`, "moved while they were read"},
		{"rows without a total", credit + "/transactions", `"total":1,`, ``, "moved while they were read"},
		{"no invoices", "/v2/invoices", "", "", "404"},
		{"an ignored filter by customer", "/v2/invoices", `"customer":{"id":"cus_Typ0px2W0aiEtl"`, `"customer":{"id":"cus_other"`, "the filter by customer_id is ignored"},
		{"a row that is none", credit + "/transactions", `"data":[`, `"data":[null,`, "has a row of"},
		{"a list that does not say whether it ends", "/v2/invoices", `,"has_more":false`, ``, "has_more"},
		{"more to come, from nowhere", "/v2/invoices", `"has_more":false`, `"has_more":true`, "next_cursor is missing"},
		{"the wrong customer", "/v2/customers/cus_Typ0px2W0aiEtl", `"cus_Typ0px2W0aiEtl"`, `"cus_other"`, "cus_other came"},
		{"no payment methods", "/v1/customers/cus_Typ0px2W0aiEtl/payment-methods", "", "", "404"},
		{"the wrong product", "/v1/products/itm_3kXODDF42QXtnL", `{"id":"itm_3kXODDF42QXtnL"`, `{"id":"itm_other"`, "itm_other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := maps.Clone(documented(t))
			if tt.new == "" && tt.old == "" {
				delete(f, tt.path)
			} else {
				if !strings.Contains(f[tt.path], tt.old) {
					t.Fatalf("%s does not contain %s", f[tt.path], tt.old)
				}
				f[tt.path] = strings.ReplaceAll(f[tt.path], tt.old, tt.new)
			}
			conf, err := serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
			if !contains(err, tt.want) || len(conf.Invoices)+len(conf.Topups) > 0 {
				t.Errorf("Confirm = %+v, %v; want an error with %q", conf, err, tt.want)
			}
		})
	}
}

func TestABadBalanceIsConfirmedAsBad(t *testing.T) {
	f := documented(t)
	for path, body := range f {
		f[path] = strings.ReplaceAll(body, `"current_balance":2000`, `"current_balance":null`)
	}
	conf, err := serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
	must(t, err)
	if conf.Reading.Bad != "current_balance is null" {
		t.Errorf("reading %+v", conf.Reading)
	}
}

func TestConfirmIsCheapWhenMuchIsKnown(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 20}})
	c := w.client(t)
	cost := func() int {
		before := w.reads()
		_, err := c.Confirm(t.Context(), pack(aCard))
		must(t, err)
		return w.reads() - before
	}
	if alone := cost(); alone > 6 {
		t.Errorf("the first confirm read took %d reads, want at most 6", alone)
	}
	_, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	if known := cost(); known != 3 {
		t.Errorf("a confirm read after a poll took %d reads, want 3: credit, invoices, rows", known)
	}
}

// P10. A price is believed for two seconds, and all confirm reads in that time
// share one read of it.
func TestAPriceIsBelievedForTwoSeconds(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 20}})
	c := w.client(t)
	products := func() (n int) {
		for _, r := range w.requests() {
			if strings.HasPrefix(r.path, "/v1/products/") {
				n++
			}
		}
		return n
	}
	confirm := func() (string, int) {
		before := products()
		conf, err := c.Confirm(t.Context(), pack(aCard))
		must(t, err)
		return conf.PriceProblem, products() - before
	}
	if problem, reads := confirm(); problem != "" || reads != 1 {
		t.Fatalf("the first confirm read says %q after %d reads of the product", problem, reads)
	}
	must(t, w.SetPrice(emulator.SmallPack, 950_00))
	w.pass(2 * time.Second)
	if problem, reads := confirm(); problem != "" || reads != 0 {
		t.Errorf("two seconds later it says %q after %d reads of the product, want the same read shared", problem, reads)
	}
	w.pass(time.Millisecond)
	if problem, reads := confirm(); problem == "" || reads != 1 {
		t.Errorf("after two seconds it says %q after %d reads of the product, want the new price seen", problem, reads)
	}
}

func TestConfirmSeesWhatThePurchaseLeft(t *testing.T) {
	for _, tt := range []struct {
		name    string
		card    emulator.Card
		style   emulator.DeclineStyle
		payment topup.Payment
		status  string
	}{
		{"a paid purchase", emulator.CardGood, "", topup.PaymentPaid, "paid"},
		{"a declined card with an unpaid invoice", emulator.CardDeclined, emulator.DeclineCreatedUnpaid, topup.PaymentPending, "to_pay"},
		{"a direct debit", emulator.CardDirectDebit, "", topup.PaymentPending, "to_pay"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3, Profile: emulator.HyperlineProfile{Decline: tt.style}}})
			must(t, w.SetCard(string(aCard), tt.card))
			c := w.client(t)
			answer := buy(t, c, pack(aCard), aKey)
			if answer.Verdict != topup.Accepted {
				t.Fatalf("answer %+v", answer)
			}
			conf, err := c.Confirm(t.Context(), pack(aCard))
			must(t, err)
			if len(conf.Invoices) != 1 || conf.Invoices[0].ID != answer.Reference || conf.Invoices[0].Payment != tt.payment || conf.Invoices[0].Status != tt.status {
				t.Errorf("invoices %+v, want %s %s", conf.Invoices, tt.payment, tt.status)
			}
			if i := conf.Invoices[0]; !i.Credit || !i.Concerns(product) || i.Amount != pack(aCard).Price {
				t.Errorf("invoice %+v", i)
			}
			if !slices.Contains(conf.Seen(), answer.Reference) {
				t.Errorf("the baseline %v lacks the invoice", conf.Seen())
			}
		})
	}
}

func TestConfirmReportsProblems(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}})
	must(t, w.SetPrice("pri_0Jv8EbMDOGsHcn", 21_000))
	must(t, w.SetAutoTopup(string(aCard), true))
	conf, err := w.client(t).Confirm(t.Context(), pack(aCard))
	must(t, err)
	if !strings.Contains(conf.PriceProblem, "210.00 EUR") || conf.Reading.Native == "" {
		t.Errorf("price problem %q, native %q", conf.PriceProblem, conf.Reading.Native)
	}
	o := pack(aCard)
	o.Price.Currency = "USD"
	conf, err = w.client(t).Confirm(t.Context(), o)
	must(t, err)
	if conf.CurrencyProblem == "" {
		t.Error("no currency problem")
	}
	o = pack(aCard)
	o.PriceID = "pri_gone"
	conf, err = w.client(t).Confirm(t.Context(), o)
	must(t, err)
	if !strings.Contains(conf.PriceProblem, "pri_gone") {
		t.Errorf("price problem %q", conf.PriceProblem)
	}
}

// bills answers the invoices of one customer, n a page, each an hour older.
func bills(total, every int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var skip int
		_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &skip)
		var rows []string
		for i := skip; i < min(skip+100, total); i++ {
			at := noon.Add(-time.Duration(i*every) * time.Second).Format(time.RFC3339)
			rows = append(rows, fmt.Sprintf(`{"id":"inv_%d","type":"invoice","status":"paid","currency":"EUR","amount_paid":1,"amount_excluding_tax":1,
				"customer":{"id":%q},"issued_at":%q,"updated_at":%q,"line_items":[]}`, i, documentedCustomer, at, at))
		}
		next, more := "null", false
		if skip+100 < total {
			next, more = fmt.Sprintf("%q", fmt.Sprint(skip+100)), true
		}
		_, _ = fmt.Fprintf(w, `{"data":[%s],"next_cursor":%s,"has_more":%v}`, strings.Join(rows, ","), next, more)
	})
}

func TestHowFarInvoicesAreRead(t *testing.T) {
	for _, tt := range []struct {
		name         string
		total, every int
		kept         int
		want         string
	}{
		{"the last day", 300, 3600, 25, ""},
		{"several pages of the last day", 300, 60, 300, ""},
		{"more in a day than is ever right", 1000, 60, 0, "more than 500 invoices"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle("/", documented(t))
			mux.Handle("/v2/invoices", bills(tt.total, tt.every))
			conf, err := serve(t, mux).Confirm(t.Context(), pack(documentedCustomer))
			if !contains(err, tt.want) || len(conf.Invoices) != tt.kept {
				t.Errorf("%d invoices, %v; want %d, %q", len(conf.Invoices), err, tt.kept, tt.want)
			}
		})
	}
}

// A paid bill is over after a day, unless the credits that it bought are still to come.
func TestAPaidBillStaysUntilItsCreditsCome(t *testing.T) {
	const one = `{"id":%q,"type":"invoice","status":%q,"currency":"EUR","amount_paid":1,"amount_excluding_tax":1,"customer":{"id":%q},
		"issued_at":%q,"updated_at":%[4]q,"refunded_at":%s,"line_items":[{"product_id":%q,"product_type":"credit"}]}`
	o := pack(documentedCustomer)
	bill := func(id, status string, age time.Duration, refunded string, product topup.ProductID) string {
		return fmt.Sprintf(one, id, status, documentedCustomer, noon.Add(-age).Format(time.RFC3339), refunded, product)
	}
	const day = 24 * time.Hour
	f := documented(t)
	f["/v2/invoices"] = `{"data":[` + strings.Join([]string{
		bill("inv_awaited", "paid", 5*day, "null", o.Target.Product),
		bill("inv_elsewhere", "paid", 6*day, "null", "itm_other"),
		bill("inv_1eTaiytfA0i2Va", "paid", 7*day, "null", o.Target.Product), // the row of the published example is for it
		bill("inv_refunded", "paid", 8*day, `"2026-11-19T00:00:00.000Z"`, o.Target.Product),
		bill("inv_refunded_elsewhere", "paid", 8*day, `"2026-11-19T00:00:00.000Z"`, "itm_other"),
		bill("inv_void", "voided", 9*day, "null", o.Target.Product),
		bill("inv_oldest", "paid", 30*day, "null", o.Target.Product),
		bill("inv_too_old", "paid", 31*day, "null", o.Target.Product),
		bill("inv_open", "to_pay", 90*day, "null", o.Target.Product),
	}, ",") + `],"next_cursor":null,"has_more":false}`
	conf, err := serve(t, f).Confirm(t.Context(), o)
	must(t, err)
	var ids []string
	for _, i := range conf.Invoices {
		ids = append(ids, i.ID)
	}
	if want := []string{"inv_awaited", "inv_refunded", "inv_oldest", "inv_open"}; !slices.Equal(ids, want) {
		t.Errorf("kept %v, want %v", ids, want)
	}
}

func TestPaymentMethodsChangeTheirFingerprint(t *testing.T) {
	const path = "/v1/customers/cus_Typ0px2W0aiEtl/payment-methods"
	print := func(body string) string {
		t.Helper()
		fp, err := serve(t, files{path: body}).PaymentMethods(t.Context(), pack(documentedCustomer).Target)
		must(t, err)
		return fp
	}
	base := golden(t, "payment_methods.json")
	one := print(base)
	if one != print(base) {
		t.Error("the fingerprint changes by itself")
	}
	second := strings.Replace(base, `"total":1`, `"total":2`, 1)
	second = strings.Replace(second, `"data":[`, `"data":[{"id":"pm_2","type":"card","status":"active"},`, 1)
	for name, body := range map[string]string{
		"a changed status":       strings.Replace(base, `"active"`, `"errored"`, 1),
		"an added method":        second,
		"a removed method":       `{"meta":{"total":0,"taken":0,"skipped":0},"data":[]}`,
		"a method without an id": strings.Replace(second, `"id":"pm_2",`, ``, 1),
	} {
		if print(body) == one {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
}

// TestAConfirmReadWaitsForNoListOfCustomers: a poll lists them, and the list
// hangs.
func TestAConfirmReadWaitsForNoListOfCustomers(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 2}})
	listing, release := make(chan struct{}, 8), make(chan struct{})
	c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/customers" {
			listing <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		_, _ = clients.Gather(t.Context(), c, []topup.ProductID{product})
	}()
	<-listing
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second) // the list is given up after 15 s
	defer cancel()
	conf, err := c.Confirm(within, pack(aCard))
	must(t, err)
	if conf.Reading.Account.PaymentMethod != topup.PaymentCard {
		t.Errorf("payment method %q, want it read by itself", conf.Reading.Account.PaymentMethod)
	}
	close(release)
	<-polled
}
