package hyperline_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// billedBy reads all parts.
func billedBy(t *testing.T, c topup.Biller, since time.Time) (topup.Billed, error) {
	t.Helper()
	all, bills := topup.Billed{Topups: map[topup.Target][]topup.Topup{}}, c.BilledSince(since)
	for {
		part, done, err := bills.Next(t.Context())
		for target, rows := range part.Topups {
			all.Topups[target] = append(all.Topups[target], rows...)
		}
		all.Unreadable = append(all.Unreadable, part.Unreadable...)
		if done || err != nil {
			return all, err
		}
	}
}

func TestBilledListsThePurchasesOfTheAccount(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 5}})
	c := w.client(t)
	if a := buy(t, c, pack(aCard), aKey); a.Verdict != topup.Accepted {
		t.Fatalf("answer %+v", a)
	}
	w.pass(2 * time.Hour)
	since := w.now()
	w.pass(time.Minute)
	newer := buy(t, c, pack(aCard), "6d1f0b2e-6c0b-4d0c-9f0e-3a7f5e0c9b12")
	w.pass(time.Minute)
	before := w.reads()
	b, err := billedBy(t, c, since)
	must(t, err)
	got := b.Topups[pack(aCard).Target]
	if len(b.Topups) != 1 || len(got) != 1 || len(b.Unreadable) != 0 {
		t.Fatalf("billed %+v, want the newer purchase alone", b)
	}
	if r := got[0]; r.ID != newer.Reference || r.Invoice != newer.Reference || r.Price != pack(aCard).Price || r.At.Before(since) {
		t.Errorf("billed %+v, want invoice %s of %s", r, newer.Reference, pack(aCard).Price)
	}
	if n := w.reads() - before; n != 1 {
		t.Errorf("it took %d reads, want 1", n)
	}
}

// bill is one row of the list, issued the given time before noon.
func bill(id string, ago time.Duration, change ...string) string {
	text := fmt.Sprintf(`{"id":%q,"type":"invoice","status":"paid","currency":"EUR","amount_excluding_tax":20000,"amount_paid":20000,
		"customer":{"id":"cus_1"},"issued_at":%q,"line_items":[{"product_id":"itm_1","product_type":"credit"}]}`, id, noon.Add(-ago).Format(time.RFC3339))
	return strings.NewReplacer(change...).Replace(text)
}

// account serves bills in pages of 100.
func account(bills ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		to := min(from+100, len(bills))
		next := "null"
		if to < len(bills) {
			next = fmt.Sprintf("%q", strconv.Itoa(to))
		}
		fmt.Fprintf(w, `{"data":[%s],"next_cursor":%s,"has_more":%t}`, strings.Join(bills[from:to], ","), next, to < len(bills))
	})
}

func TestBilledReadsWhatItMust(t *testing.T) {
	hours := func(n int) (list []string) {
		for i := range n {
			list = append(list, bill(fmt.Sprintf("inv_%d", i), time.Duration(i)*time.Hour))
		}
		return list
	}
	reversed := func(list []string) []string { slices.Reverse(list); return list }
	backdated := hours(250)
	backdated[0] = bill("inv_0", 2000*time.Hour)
	for _, tt := range []struct {
		name       string
		bills      []string
		want       int
		unreadable []string
	}{
		{"an empty account", nil, 0, nil},
		{"back to the moment asked for, and a page beyond", hours(1000), 100, nil},
		{"to the end when the order is not the one asked for", reversed(hours(1000)), 100, nil},
		{"past a bill that was dated back", backdated, 99, nil},
		{"a void bill bought nothing", []string{bill("inv_1", 0, `"paid"`, `"voided"`)}, 0, nil},
		{"a failed payment is a purchase all the same", []string{bill("inv_1", 0, `"paid"`, `"error"`)}, 1, nil},
		{"a credit note is none", []string{bill("inv_1", 0, `"type":"invoice"`, `"type":"refund"`)}, 0, nil},
		{"a subscription is none", []string{bill("inv_1", 0, `"credit"`, `"flat_fee"`)}, 0, nil},
		{"a line that does not say counts", []string{bill("inv_1", 0, `,"product_type":"credit"`, ``)}, 1, nil},
		{"a bill twice counts once", []string{bill("inv_1", 0), bill("inv_1", 0)}, 1, nil},
		{"a bill that cannot be read is told", []string{bill("inv_1", 0, `"EUR"`, `"???"`), bill("inv_2", 0)}, 1, []string{"inv_1"}},
		{
			"a bill without an id is told beside a credit note without one",
			[]string{bill("", 0, `"type":"invoice"`, `"type":"refund"`), bill("", 0, `"EUR"`, `"???"`)},
			0,
			[]string{""},
		},
		{"a bill without a time is told", []string{bill("inv_1", 0, `"issued_at"`, `"elsewhere"`)}, 0, []string{"inv_1"}},
		{"a row that is none is told, and spoils no other", []string{"7", bill("inv_2", 0)}, 1, []string{""}},
		{"an old bill that cannot be read matters to nobody", []string{bill("inv_1", 200*time.Hour, `"EUR"`, `"???"`)}, 0, nil},
		{"nor does a subscription", []string{bill("inv_1", 0, `"EUR"`, `"???"`, `"credit"`, `"flat_fee"`)}, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := billedBy(t, serve(t, account(tt.bills...)), noon.Add(-99*time.Hour))
			must(t, err)
			n := len(b.Topups[topup.Target{Provider: provider, Customer: "cus_1", Product: "itm_1"}])
			if n != tt.want || !slices.Equal(b.Unreadable, tt.unreadable) {
				t.Errorf("%d purchases, unreadable %q; want %d, %q", n, b.Unreadable, tt.want, tt.unreadable)
			}
		})
	}
}

// TestBilledEndsInTime: neither credit notes nor short pages keep the list from
// ending, and neither end it early.
func TestBilledEndsInTime(t *testing.T) {
	var bills []string
	for i := range 1000 {
		b := bill(fmt.Sprintf("inv_%d", i), time.Duration(i)*time.Hour)
		if i%10 == 3 { // a credit note, which has a time of its own or none
			b = bill(fmt.Sprintf("inv_%d", i), time.Duration(i)*time.Hour, `"type":"invoice"`, `"type":"refund"`, `"issued_at"`, `"elsewhere"`)
		}
		bills = append(bills, b)
	}
	for _, tt := range []struct {
		name              string
		size, least, most int // of a page; pages read
	}{
		{"whole pages", 100, 3, 3},
		{"pages of another size than asked for", 10, 20, 22},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pages := 0
			b, err := billedBy(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				pages++
				from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
				fmt.Fprintf(w, `{"data":[%s],"next_cursor":"%d","has_more":true}`, strings.Join(bills[from:from+tt.size], ","), from+tt.size)
			})), noon.Add(-99*time.Hour))
			must(t, err)
			if n := len(b.Topups[topup.Target{Provider: provider, Customer: "cus_1", Product: "itm_1"}]); n != 90 || pages < tt.least || pages > tt.most {
				t.Errorf("%d purchases in %d pages, want 90 in %d to %d", n, pages, tt.least, tt.most)
			}
		})
	}
}

func TestBilledDoesNotHideWhatItCouldNotRead(t *testing.T) {
	for _, tt := range []struct {
		name, text, body string
	}{
		{"no list", "no list", `{}`},
		{"a list that leads in circles", "circles", `{"data":[` + bill("inv_1", 0) + `],"next_cursor":"a","has_more":true}`},
		{"an empty page before the end", "circles", `{"data":[],"next_cursor":"a","has_more":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := billedBy(t, serve(t, files{"/v2/invoices": tt.body}), noon)
			if !contains(err, tt.text) || !contains(err, "billing: reading what was bought in the account") {
				t.Errorf("Billed = %v, want %q", err, tt.text)
			}
		})
	}
}

// An account may have billed more than any bound while nobody looked. What was
// read stays read: after an error the reading goes on with the page that failed.
func TestBilledGoesOnWhereItStopped(t *testing.T) {
	var bills []string
	for i := range 60_000 {
		bills = append(bills, bill(fmt.Sprintf("inv_%d", i), time.Duration(i)*time.Second))
	}
	pages := account(bills...)
	requests := 0
	reading := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if requests%50 == 0 {
			w.WriteHeader(http.StatusBadRequest) // which no client asks again by itself
			return
		}
		pages.ServeHTTP(w, r)
	})).BilledSince(noon.Add(-99 * time.Hour))
	got, parts, failed := 0, 0, 0
	for done := false; !done; {
		part, last, err := reading.Next(t.Context())
		if err != nil {
			if failed++; failed > 100 {
				t.Fatal(err)
			}
			continue
		}
		done = last
		parts++
		got += part.Bills
		if want := noon.Add(-time.Duration(got-1) * time.Second); !part.Back.Equal(want) {
			t.Fatalf("after %d bills it is back at %s, want %s", got, part.Back, want)
		}
	}
	if got != len(bills) || parts != 600 || failed == 0 {
		t.Errorf("%d bills in %d parts, %d times an error; want %d, each once", got, parts, failed, len(bills))
	}
}
