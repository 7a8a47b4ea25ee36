package hyperline_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// manyRows is more than may be skipped through.
const manyRows = 10_050

// longList is a list of customers whose ids begin with ten different characters.
func longList() []string {
	rows := make([]string, 0, manyRows)
	for i := range manyRows {
		rows = append(rows, row(fmt.Sprintf("cus_%d%05d", i%10, i), `"current_balance":5`))
	}
	return rows
}

// cutShort answers a list like the others of Hyperline: not beyond 10,000 rows.
func cutShort(rows []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
		if skip > 9_900 {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"statusCode":400,"type":"ValidationError","message":"Invalid query params"}`)
			return
		}
		list(len(rows), rows).ServeHTTP(w, r)
	}
}

func TestAListThatIsCutShortIsReadInParts(t *testing.T) {
	all := longList()
	parts := map[string][]string{}
	for i, one := range all {
		prefix := fmt.Sprintf("cus_%d", i%10)
		parts[prefix] = append(parts[prefix], one)
	}
	for _, tt := range []struct {
		name     string
		drop     string // a part that answers nothing
		complete bool
	}{
		{"every part is there", "", true},
		{"a part that is missing is missed", "cus_3", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				prefix := r.URL.Query().Get("customer_id__startsWith")
				switch {
				case r.URL.Path != "/v1/customers/credits":
					list(0, nil).ServeHTTP(w, r)
				case prefix == "":
					cutShort(all)(w, r)
				case prefix == tt.drop:
					list(0, nil).ServeHTTP(w, r)
				default:
					cutShort(parts[prefix])(w, r)
				}
			}))
			first, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
			must(t, err)
			poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
			must(t, err)
			if poll.Reads > first.Reads-100 {
				t.Errorf("%d reads, then %d: the next poll began with the list that is cut short", first.Reads, poll.Reads)
			}
			if poll.Complete != tt.complete || tt.complete && len(poll.Readings) != manyRows {
				t.Errorf("%d readings, complete %v, in %d reads; want %v", len(poll.Readings), poll.Complete, poll.Reads, tt.complete)
			}
		})
	}
}

func TestARefusedBulkListIsReadCustomerByCustomer(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 30}})
	var bulk atomic.Int64
	c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/customers/credits" {
			bulk.Add(1)
			rw.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(rw, `{"message":"Forbidden"}`)
			return
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	for range 2 {
		poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
		must(t, err)
		if len(poll.Readings) != 30 || !poll.Complete {
			t.Fatalf("%d readings, complete %v", len(poll.Readings), poll.Complete)
		}
		compare(t, w, poll)
	}
	if bulk.Load() != 1 {
		t.Errorf("the refused list was asked for %d times, want once", bulk.Load())
	}
	if since := c.TokenRefused(); !since.IsZero() { // a token may lack this right
		t.Errorf("the token counts as refused since %s", since)
	}
}

func TestAnIgnoredPrefixFilterIsNoticed(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 5}})
	whole := cutShort(longList())
	var bulk atomic.Int64
	c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/customers/credits" {
			w.Handler().ServeHTTP(rw, r)
			return
		}
		bulk.Add(1)
		whole(rw, r)
	}))
	poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	known := 0
	for _, r := range poll.Readings {
		if r.Account.Inactive == "" { // not of the list that was cut short
			known++
		}
	}
	if known != 5 || !poll.Complete {
		t.Errorf("%d readings, complete %v; want the 5 customers, one by one", known, poll.Complete)
	}
	if bulk.Load() > 105 {
		t.Errorf("the list that cannot be filtered was read on: %d pages", bulk.Load())
	}
}

func TestA400OnTheFirstPagesIsAnError(t *testing.T) {
	h := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(rw, `{"message":"Invalid query params"}`)
	})
	if _, err := clients.Gather(t.Context(), serve(t, h), []topup.ProductID{product}); !contains(err, "Invalid query params") {
		t.Errorf("Poll = %v, want the 400", err)
	}
}

// TestAKnownSkipLimitIsNeverTried: what the doctor found out saves the pages that
// would be read for nothing, and the 400 at their end.
func TestAKnownSkipLimitIsNeverTried(t *testing.T) {
	for _, tt := range []struct {
		name         string
		limit, reach int // reach: the largest skip + take that is asked for
	}{
		{"the list is longer than the limit: read in parts at once", 200, 100},
		{"the list ends within the limit: read whole", 300, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 250, Profile: emulator.HyperlineProfile{SkipLimit: tt.limit}}})
			c := w.client(t)
			c.LimitSkip(tt.limit)
			poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
			if err != nil || len(poll.Readings) != 250 || !poll.Complete {
				t.Fatalf("%d readings, complete %t, %v", len(poll.Readings), poll.Complete, err)
			}
			reach := 0
			for _, r := range w.requests() {
				query, _ := url.ParseQuery(r.query)
				if r.path != "/v1/customers/credits" || query.Has("customer_id__startsWith") {
					continue
				}
				skip, _ := strconv.Atoi(query.Get("skip"))
				reach = max(reach, skip+100)
			}
			if reach != tt.reach {
				t.Errorf("skipped up to %d, want %d", reach, tt.reach)
			}
		})
	}
}

// TestOffer: P10, asked before anybody is low.
func TestOffer(t *testing.T) {
	order := topup.Order{
		Target:  topup.Target{Provider: provider, Product: product},
		Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}, PriceID: emulator.SmallPack,
	}
	for _, tt := range []struct {
		name  string
		spoil func(*topup.Order)
		want  string // part of the problem; "" = none
	}{
		{"as sold", func(*topup.Order) {}, ""},
		{"another amount", func(o *topup.Order) { o.Price.Minor++ }, "configured is 120 credits for 200.01 EUR"},
		{"another pack", func(o *topup.Order) { o.Credits++ }, "configured is"},
		{"another currency", func(o *topup.Order) { o.Price.Currency = "USD" }, "configured is USD"},
		{"a price that is not there", func(o *topup.Order) { o.PriceID = "pri_none" }, "0 bundle prices pri_none"},
		{"a product that is not there", func(o *topup.Order) { o.Target.Product = "itm_none" }, "does not know the product"},
		{"a custom amount has no price to differ from", func(o *topup.Order) { o.PriceID = "" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := order
			tt.spoil(&o)
			got, err := newWorld(t, emulator.Options{}).client(t).Offer(t.Context(), o)
			if err != nil || (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// TestAForgottenSkipLimitIsNone: a person has withdrawn what the doctor found.
func TestAForgottenSkipLimitIsNone(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 250}})
	c := w.client(t)
	c.LimitSkip(200)
	c.LimitSkip(0)
	poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	if err != nil || len(poll.Readings) != 250 || !poll.Complete {
		t.Fatalf("%d readings, complete %t, %v", len(poll.Readings), poll.Complete, err)
	}
	for _, r := range w.requests() {
		if strings.Contains(r.query, "customer_id__startsWith") {
			t.Errorf("still read in parts: %s?%s", r.path, r.query)
		}
	}
}
