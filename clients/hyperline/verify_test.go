package hyperline_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// aMonth is a world with so many purchases, an hour apart, the last at noon.
func aMonth(t *testing.T, purchases int) (*world, []string) {
	t.Helper()
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}})
	var past []emulator.PastPurchase
	for n := range purchases {
		past = append(past, emulator.PastPurchase{
			Customer: w.Customers()[n%3].ID, At: noon.Add(-time.Duration(purchases-1-n) * time.Hour),
		})
	}
	ids, err := w.AddPast(past...)
	if err != nil {
		t.Fatal(err)
	}
	return w, ids
}

func TestBillsOfTheWholeAccount(t *testing.T) {
	t.Parallel()
	w, ids := aMonth(t, 250)
	for _, tt := range []struct {
		name  string
		since time.Time
		bills int
		reads int
	}{
		{"all", noon.AddDate(0, -2, 0), 250, 3},
		{"from a moment on, inclusive", noon.Add(-99 * time.Hour), 100, 1},
		{"none", noon.Add(time.Minute), 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, seen := w.reads(), 0
			list, unread, err := w.client(t).Bills(t.Context(), tt.since, func(n int) { seen = n })
			if err != nil || len(unread) != 0 || len(list) != tt.bills || seen != tt.bills {
				t.Errorf("%d bills (heard of %d), unread %q, %v; want %d", len(list), seen, unread, err, tt.bills)
			}
			if n := w.reads() - before; n != tt.reads {
				t.Errorf("%d reads, want %d", n, tt.reads)
			}
			for _, i := range list {
				if !i.Credit || i.At.Before(tt.since) {
					t.Errorf("%+v", i)
				}
			}
		})
	}
	t.Run("one by its id", func(t *testing.T) {
		if i, ok, err := w.client(t).Bill(t.Context(), ids[7]); !ok || err != nil || i.ID != ids[7] {
			t.Errorf("Bill() = %+v, %v, %v", i, ok, err)
		}
		for _, id := range []string{"inv_nobody", "card statement of May", ".."} {
			if _, ok, err := w.client(t).Bill(t.Context(), id); ok || err != nil {
				t.Errorf("Bill(%q) = %v, %v; want none", id, ok, err)
			}
		}
	})
	t.Run("the credits of one customer", func(t *testing.T) {
		target := topup.Target{Provider: provider, Customer: topup.CustomerID(w.Customers()[0].ID), Product: product}
		list, whole, err := w.client(t).Additions(t.Context(), target, "EUR", noon.AddDate(0, -2, 0))
		if len(list) != 84 || !whole || err != nil {
			t.Errorf("%d rows, %v, %v; want 84", len(list), whole, err)
		}
		target.Customer = "cus_nobody"
		if list, whole, err = w.client(t).Additions(t.Context(), target, "EUR", noon); len(list) != 0 || whole || !errors.Is(err, topup.ErrNotFound) {
			t.Errorf("nobody's: %v, %v, %v; want ErrNotFound", list, whole, err)
		}
	})
}

// listed is a row of the list of invoices.
func listed(id, currency, kind string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"type":"invoice","status":"paid","currency":%q,"amount_paid":240,"amount_excluding_tax":200,
		"customer":{"id":"cus_1"},"issued_at":%q,"line_items":[{"product_id":"itm_1","product_type":%q}]}`,
		id, currency, at.Format(time.RFC3339), kind)
}

func TestBillsThatAreMissingAreTold(t *testing.T) {
	t.Parallel()
	page := func(next string, rows ...string) string {
		return fmt.Sprintf(`{"data":[%s],"has_more":%t,"next_cursor":%q}`, strings.Join(rows, ","), next != "", next)
	}
	var old []string // a filter that is ignored: a whole page from before
	for n := range 100 {
		old = append(old, listed(fmt.Sprintf("inv_old%d", n), "EUR", "credit", noon.AddDate(0, -1, 0).Add(-time.Duration(n)*time.Minute)))
	}
	for _, tt := range []struct {
		name   string
		pages  map[string]string // by cursor
		bills  int
		unread []string
		fails  bool
	}{
		{
			"a bill that cannot be read",
			map[string]string{"": page("", listed("inv_1", "EUR", "credit", noon), listed("inv_2", "XXX", "credit", noon))},
			1,
			[]string{"inv_2"},
			false,
		},
		{
			"one for something else does not matter",
			map[string]string{"": page("", listed("inv_1", "EUR", "credit", noon), listed("inv_2", "XXX", "seat", noon))},
			1, nil, false,
		},
		{
			"a page that does not come",
			map[string]string{"": page("2", listed("inv_1", "EUR", "credit", noon))},
			1,
			[]string{"the bills before 2026-11-20T12:00:00Z"},
			false,
		},
		{"a list that never comes", map[string]string{}, 0, nil, true},
		{
			"a filter that is ignored ends with the order",
			map[string]string{"": page("2", listed("inv_1", "EUR", "credit", noon)), "2": page("3", old...)},
			1, nil, false,
		},
		{"a list without an order is read to its end", map[string]string{
			"":  page("2", listed("inv_1", "EUR", "credit", noon.AddDate(0, -1, 0)), listed("inv_2", "EUR", "credit", noon)),
			"2": page("3", old...), "3": page("", listed("inv_3", "EUR", "credit", noon)),
		}, 2, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, ok := tt.pages[r.URL.Query().Get("cursor")]
				if !ok {
					w.WriteHeader(http.StatusForbidden)
					body = `{"message":"no"}`
				}
				_, _ = w.Write([]byte(body))
			}))
			defer server.Close()
			list, unread, err := newClient(t, server.URL, nil).Bills(t.Context(), noon.Add(-24*time.Hour), func(int) {})
			if len(list) != tt.bills || (err != nil) != tt.fails || len(unread) != len(tt.unread) {
				t.Fatalf("%d bills, unread %q, %v", len(list), unread, err)
			}
			for i, part := range tt.unread {
				if !strings.Contains(unread[i], part) {
					t.Errorf("unread %q, want %q", unread[i], part)
				}
			}
		})
	}
}
