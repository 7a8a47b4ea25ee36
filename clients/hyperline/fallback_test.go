package hyperline_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

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
			first, err := c.Sweep(t.Context(), []topup.ProductID{product})
			must(t, err)
			sweep, err := c.Sweep(t.Context(), []topup.ProductID{product})
			must(t, err)
			if sweep.Reads > first.Reads-100 {
				t.Errorf("%d reads, then %d: the next sweep began with the list that is cut short", first.Reads, sweep.Reads)
			}
			if sweep.Complete != tt.complete || tt.complete && len(sweep.Readings) != manyRows {
				t.Errorf("%d readings, complete %v, in %d reads; want %v", len(sweep.Readings), sweep.Complete, sweep.Reads, tt.complete)
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
		sweep, err := c.Sweep(t.Context(), []topup.ProductID{product})
		must(t, err)
		if len(sweep.Readings) != 30 || !sweep.Complete {
			t.Fatalf("%d readings, complete %v", len(sweep.Readings), sweep.Complete)
		}
		compare(t, w, sweep)
	}
	if bulk.Load() != 1 {
		t.Errorf("the refused list was asked for %d times, want once", bulk.Load())
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
	sweep, err := c.Sweep(t.Context(), []topup.ProductID{product})
	must(t, err)
	if len(sweep.Readings) != 5 || !sweep.Complete {
		t.Errorf("%d readings, complete %v; want the 5 customers, one by one", len(sweep.Readings), sweep.Complete)
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
	if _, err := serve(t, h).Sweep(t.Context(), []topup.ProductID{product}); !contains(err, "Invalid query params") {
		t.Errorf("Sweep = %v, want the 400", err)
	}
}
