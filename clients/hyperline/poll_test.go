package hyperline_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

func TestPollOfAThousandCustomers(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 1000, MissingCards: 0.05, DeclinedCards: 0.05, Native: 0.1}})
	c := w.client(t)
	poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	if !poll.Complete || len(poll.Readings) != 1000 {
		t.Fatalf("complete %v with %d readings, want all 1000", poll.Complete, len(poll.Readings))
	}
	if poll.Reads > 25 || poll.Reads != w.reads() {
		t.Errorf("%d reads (%d on the wire), want at most 25", poll.Reads, w.reads())
	}
	compare(t, w, poll)

	before := w.reads()
	_, err = clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	if again := w.reads() - before; again != 10 {
		t.Errorf("the next poll within a minute took %d reads, want 10: the balances alone", again)
	}
	w.pass(61 * time.Second)
	before = w.reads()
	_, err = clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	if again := w.reads() - before; again <= 15 || again > 25 {
		t.Errorf("a poll a minute later took %d reads, want the customers too", again)
	}
}

// compare holds every reading to the truth.
func compare(t *testing.T, w *world, poll clients.Whole) {
	t.Helper()
	truth := map[topup.CustomerID]emulator.Customer{}
	for _, c := range w.Customers() {
		truth[topup.CustomerID(c.ID)] = c
	}
	for _, r := range poll.Readings {
		want := truth[r.Target.Customer]
		balance, err := topup.ParseCredits(want.Balance)
		must(t, err)
		method := map[emulator.Card]topup.PaymentMethod{
			emulator.CardGood: topup.PaymentCard, emulator.CardDeclined: topup.PaymentCard,
			emulator.CardMissing: topup.PaymentMissing, emulator.CardDirectDebit: topup.PaymentOther,
		}[want.Card]
		switch {
		case r.Bad != "" || r.Balance != balance:
			t.Errorf("%s: balance %s (%s), want %s", want.ID, r.Balance, r.Bad, balance)
		case r.Threshold == nil || r.Threshold.String() != want.Threshold || r.ThresholdFrom != "customer":
			t.Errorf("%s: threshold %v from %q, want %s", want.ID, r.Threshold, r.ThresholdFrom, want.Threshold)
		case (r.Native != "") != want.AutoTopup:
			t.Errorf("%s: native %q, want %v", want.ID, r.Native, want.AutoTopup)
		case (r.Account.Inactive != "") != want.Archived:
			t.Errorf("%s: inactive %q, want %v", want.ID, r.Account.Inactive, want.Archived)
		case r.Account.PaymentMethod != method || r.Account.Currency != "EUR":
			t.Errorf("%s: pays by %q in %s, want %q", want.ID, r.Account.PaymentMethod, r.Account.Currency, method)
		case r.CustomerName != want.Name || r.Account.Properties["plan"] == "":
			t.Errorf("%s: named %q with %v, want %q", want.ID, r.CustomerName, r.Account.Properties, want.Name)
		case !r.ReadAt.Equal(noon) || r.RefreshedAt.IsZero():
			t.Errorf("%s: read at %v, refreshed at %v", want.ID, r.ReadAt, r.RefreshedAt)
		}
	}
}

func TestPollUnderFaults(t *testing.T) {
	for _, tt := range []struct {
		name     string
		faults   emulator.Faults
		count    int
		complete bool
	}{
		{"a missing row on one page is found by reading again", emulator.Faults{Next: []string{"missing_rows"}}, 250, true},
		{"a repeated row on one page is found by reading again", emulator.Faults{Next: []string{"repeat_rows"}}, 250, true},
		{"rows that always move are said not to be complete", emulator.Faults{MissingRow: 1}, 250, false},
		{"a failing page is asked for again", emulator.Faults{Next: []string{"read_500", "read_500"}}, 250, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{Faults: tt.faults, Hyperline: emulator.HyperlineOptions{Customers: tt.count}})
			poll, err := clients.Gather(t.Context(), w.client(t), []topup.ProductID{product})
			must(t, err)
			if poll.Complete != tt.complete || tt.complete && len(poll.Readings) != tt.count {
				t.Errorf("complete %v with %d readings in %d reads, want %v", poll.Complete, len(poll.Readings), poll.Reads, tt.complete)
			}
		})
	}
}

func TestABadBalanceIsBadAlone(t *testing.T) {
	for _, value := range []string{"null", `"abc"`, "1e30", `"412"`, "true", "1000000000001"} {
		t.Run(value, func(t *testing.T) {
			w := newWorld(t, emulator.Options{
				Faults:    emulator.Faults{GlitchValue: value, Next: []string{"glitch_balance"}},
				Hyperline: emulator.HyperlineOptions{Customers: 5},
			})
			poll, err := clients.Gather(t.Context(), w.client(t), []topup.ProductID{product})
			must(t, err)
			bad := 0
			for _, r := range poll.Readings {
				if r.Bad != "" {
					bad++
				}
			}
			if bad != 1 || len(poll.Readings) != 5 || !poll.Complete {
				t.Errorf("%d of %d readings are bad, complete %v; want 1 of 5", bad, len(poll.Readings), poll.Complete)
			}
		})
	}
}

// row is a credit row with its balance as JSON text.
func row(customer, balance string) string {
	return fmt.Sprintf(`{"product_id":%q,"customer_id":%q,"name":"API credits",%s,"low_count_threshold":10,
		"last_refreshed_at":"2026-11-20T11:59:00.000Z","auto_topup":null}`, product, customer, balance)
}

// list answers the bulk list with rows, whatever page is asked for, and every
// customer list with the customers.
func list(total int, rows []string, customers ...string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/customers/credits", func(w http.ResponseWriter, r *http.Request) {
		skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
		page := rows[min(skip, len(rows)):min(skip+100, len(rows))]
		_, _ = fmt.Fprintf(w, `{"meta":{"total":%d,"taken":%d,"skipped":%d},"data":[%s]}`, total, len(page), skip, strings.Join(page, ","))
	})
	mux.HandleFunc("/v2/customers", func(w http.ResponseWriter, r *http.Request) {
		var found []string
		if r.URL.Query().Get("payment_method_type__in") == "card" {
			for _, id := range customers {
				found = append(found, fmt.Sprintf(`{"id":%q,"name":"Name","status":"active","currency":"EUR","country":"FR","properties":null,"custom_properties":{"plan":"pro","seats":3}}`, id))
			}
		}
		_, _ = fmt.Fprintf(w, `{"data":[%s],"next_cursor":null,"has_more":false}`, strings.Join(found, ","))
	})
	return mux
}

func TestHostileRows(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rows     []string
		total    int
		bad      string // of the first reading; "" = good
		balance  string
		readings int
		complete bool
	}{
		{"a good row", []string{row("cus_a", `"current_balance":412`)}, 1, "", "412", 1, true},
		{"a debt is a balance", []string{row("cus_a", `"current_balance":-8.5`)}, 1, "", "-8.5", 1, true},
		{"zero is a balance", []string{row("cus_a", `"current_balance":0`)}, 1, "", "0", 1, true},
		{"no balance is not zero", []string{row("cus_a", `"x":1`)}, 1, "current_balance is missing", "", 1, true},
		{"null is not zero", []string{row("cus_a", `"current_balance":null`)}, 1, "current_balance is null", "", 1, true},
		{"two balances are none", []string{row("cus_a", `"current_balance":5,"current_balance":5000`)}, 1, "current_balance is there twice", "", 1, true},
		{"another spelling is no balance", []string{row("cus_a", `"Current_Balance":5`)}, 1, "current_balance is missing", "", 1, true},
		{"another spelling does not replace it", []string{row("cus_a", `"current_balance":5000,"CURRENT_BALANCE":5`)}, 1, "", "5000", 1, true},
		{"a list is no balance", []string{row("cus_a", `"current_balance":[5]`)}, 1, "current_balance is not a number", "", 1, true},
		{"2^63 is no balance", []string{row("cus_a", `"current_balance":9223372036854775808`)}, 1, "current_balance", "", 1, true},
		{"1e400 is no balance", []string{row("cus_a", `"current_balance":1e400`)}, 1, "current_balance", "", 1, true},
		{"a thousandth is exact", []string{row("cus_a", `"current_balance":10.005`)}, 1, "", "10.005", 1, true},
		{"the same row twice is none", []string{row("cus_a", `"current_balance":5`), row("cus_a", `"current_balance":5`)}, 2, "lists this balance twice", "", 1, true},
		{"two rows that disagree are none", []string{row("cus_a", `"current_balance":5`), row("cus_a", `"current_balance":5000`)}, 2, "lists this balance twice", "", 1, true},
		{"a row of nobody makes the list incomplete", []string{row("cus_a", `"current_balance":5`), row("", `"current_balance":5`)}, 2, "", "5", 1, false},
		{"an id with a space is nobody's", []string{row("cus_a", `"current_balance":5`), row("cus_ a", `"current_balance":5`)}, 2, "", "5", 1, false},
		{"a row that is none makes the list incomplete", []string{row("cus_a", `"current_balance":5`), "7"}, 2, "", "5", 1, false},
		{"a total that promises more is not reached", []string{row("cus_a", `"current_balance":5`)}, 2, "", "5", 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			poll, err := clients.Gather(t.Context(), serve(t, list(tt.total, tt.rows, "cus_a")), []topup.ProductID{product})
			must(t, err)
			if len(poll.Readings) != tt.readings || poll.Complete != tt.complete {
				t.Fatalf("%d readings, complete %v; want %d, %v", len(poll.Readings), poll.Complete, tt.readings, tt.complete)
			}
			r := poll.Readings[0]
			if tt.bad == "" && (r.Bad != "" || r.Balance.String() != tt.balance) || !strings.Contains(r.Bad, tt.bad) {
				t.Errorf("balance %s, bad %q; want %s, %q", r.Balance, r.Bad, tt.balance, tt.bad)
			}
			if r.Account.PaymentMethod != topup.PaymentCard || r.Account.Properties["seats"] != "3" {
				t.Errorf("account %+v", r.Account)
			}
		})
	}
}

func TestUnreadableListsAreErrors(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"HTML", "<html>login</html>", "not JSON"},
		{"a list without its envelope", `[]`, "not a JSON object"},
		{"no data", `{"meta":{"total":0}}`, "no list (data)"},
		{"data that is no list", `{"meta":{"total":1},"data":{"0":1}}`, "no list (data)"},
		{"far too many rows", `{"meta":{"total":1},"data":[` + strings.Repeat("{},", 1000) + `{}]}`, "1001 came"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, tt.body) })
			if _, err := clients.Gather(t.Context(), serve(t, h), []topup.ProductID{product}); !contains(err, tt.want) {
				t.Errorf("Poll = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRowsOfOtherProductsAreLeftOut(t *testing.T) {
	rows := []string{row("cus_a", `"current_balance":5`), strings.ReplaceAll(row("cus_a", `"current_balance":7`), string(product), "itm_other")}
	poll, err := clients.Gather(t.Context(), serve(t, list(2, rows, "cus_a")), []topup.ProductID{product})
	must(t, err)
	if len(poll.Readings) != 1 || poll.Readings[0].Target.Product != product || !poll.Complete {
		t.Errorf("readings %+v, complete %v", poll.Readings, poll.Complete)
	}
}

func TestAnIgnoredPaymentMethodFilterIsNoticed(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 250, MissingCards: 0.2}})
	var lists atomic.Int64
	server := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); r.URL.Path == "/v2/customers" {
			lists.Add(1)
			q.Del("payment_method_type__in")
			r.URL.RawQuery = q.Encode()
		}
		w.Handler().ServeHTTP(rw, r)
	})
	poll, err := clients.Gather(t.Context(), serve(t, server), []topup.ProductID{product})
	must(t, err)
	known := slices.ContainsFunc(poll.Readings, func(r topup.Reading) bool { return r.Account.PaymentMethod != topup.PaymentUnknown })
	if known || len(poll.Readings) != 250 || !poll.Complete {
		t.Errorf("%d readings, complete %v, payment methods known: %v", len(poll.Readings), poll.Complete, known)
	}
	if lists.Load() > 6 { // the whole list from both ends, and the first page that gives it away
		t.Errorf("%d pages of customers were read, want 4, or 2 more where the ends meet", lists.Load())
	}
}

func TestCustomersThatNoPartListsAreReadByThemselves(t *testing.T) {
	for _, tt := range []struct {
		name  string
		count int
	}{{"a few", 3}, {"many", 40}} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: tt.count}})
			c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/customers" && r.URL.Query().Has("payment_method_type__in") {
					_, _ = fmt.Fprint(rw, `{"data":[],"next_cursor":null,"has_more":false}`)
					return
				}
				w.Handler().ServeHTTP(rw, r)
			}))
			poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
			must(t, err)
			for _, r := range poll.Readings {
				if r.Account.Currency != "EUR" || r.Account.Inactive != "" || r.Account.PaymentMethod != topup.PaymentUnknown {
					t.Fatalf("account %+v", r.Account)
				}
			}
			if len(poll.Readings) != tt.count || poll.Reads > 12 {
				t.Errorf("%d readings in %d reads", len(poll.Readings), poll.Reads)
			}
		})
	}
}

func TestAnArchivedCustomerIsInactive(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}})
	must(t, w.Archive(string(aCard)))
	poll, err := clients.Gather(t.Context(), w.client(t), []topup.ProductID{product})
	must(t, err)
	compare(t, w, poll)
}

func TestAnUnlistedCustomerIsInactive(t *testing.T) {
	poll, err := clients.Gather(t.Context(), serve(t, list(1, []string{row("cus_gone", `"current_balance":5`)})), []topup.ProductID{product})
	must(t, err)
	if r := poll.Readings[0]; !strings.Contains(r.Account.Inactive, "does not know the customer") {
		t.Errorf("account %+v", r.Account)
	}
}

func TestAnEndlessCursorEnds(t *testing.T) {
	for _, tt := range []struct{ name, next string }{
		{"that repeats itself", `"same"`},
		{"that is always new", ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/customers" {
					list(1, []string{row("cus_a", `"current_balance":5`)}).ServeHTTP(w, r)
					return
				}
				next := tt.next
				if next == "" {
					next = strconv.Quote(fmt.Sprint(n.Add(1)))
				}
				_, _ = fmt.Fprintf(w, `{"data":[{"id":"cus_a","status":"active","currency":"EUR"}],"next_cursor":%s,"has_more":true}`, next)
			})
			// The list of customers is of no use, but it ends.
			_, _ = clients.Gather(t.Context(), serve(t, h), []topup.ProductID{product})
			if n.Load() > 20 {
				t.Errorf("%d pages were read", n.Load())
			}
		})
	}
}

func TestTheProductsMarkIsUsedWhereTheCustomerHasNone(t *testing.T) {
	none := strings.ReplaceAll(row("cus_a", `"current_balance":5`), `"low_count_threshold":10`, `"low_count_threshold":null`)
	for _, tt := range []struct{ name, mark, want, from string }{
		{"the product has one", "25", "25", "product"},
		{"the product has none", "null", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle("/", list(1, []string{none}, "cus_a"))
			mux.HandleFunc("/v1/products/", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, `{"id":%q,"name":"API credits","status":"active","type":"credit","low_credits_threshold":%s,"price_configurations":[]}`, product, tt.mark)
			})
			poll, err := clients.Gather(t.Context(), serve(t, mux), []topup.ProductID{product})
			must(t, err)
			r := poll.Readings[0]
			got := ""
			if r.Threshold != nil {
				got = r.Threshold.String()
			}
			if got != tt.want || r.ThresholdFrom != tt.from || r.Bad != "" {
				t.Errorf("threshold %q from %q (%s), want %q from %q", got, r.ThresholdFrom, r.Bad, tt.want, tt.from)
			}
		})
	}
}
