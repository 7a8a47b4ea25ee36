package hyperline_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/clients/hyperline"
	"topupd/topup"
)

// sent is a purchase of the small bundle as it stands after its request.
func sent(id topup.CustomerID, reference string) topup.Purchase {
	at := noon
	o := pack(id)
	return topup.Purchase{
		ID: "purchase-" + string(id), Target: o.Target, Credits: o.Credits, Price: o.Price, PriceID: o.PriceID,
		Reference: reference, PlannedAt: at, SentAt: &at, LastSentAt: &at, State: topup.Sent,
	}
}

func TestBooksShowAPurchaseOfUnknownOutcome(t *testing.T) {
	for _, fault := range []string{"charge_then_500", "charge_then_drop", "charge_then_truncate", "charge_then_html"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t, emulator.Options{
				Faults:    emulator.Faults{Next: []string{fault}},
				Hyperline: emulator.HyperlineOptions{Customers: 3},
			})
			c := w.client(t)
			a := buy(t, c, pack(aCard), aKey)
			if a.Verdict != topup.Unknown || len(w.Books().Charges) != 1 {
				t.Fatalf("answer %+v, charges %+v", a, w.Books().Charges)
			}
			w.pass(20 * time.Second)
			b, err := c.Books(t.Context(), pack(aCard).Target, noon)
			must(t, err)
			matches := topup.Matches(sent(aCard, ""), b, nil)
			if !b.Complete || len(matches) != 1 || matches[0].ID != w.Books().Charges[0].Invoice || matches[0].Row == nil || matches[0].Invoice == nil {
				t.Errorf("books %+v, matches %+v; want the charge", b, matches)
			}
			if b.ServerTime.IsZero() {
				t.Error("the books have no time")
			}
		})
	}
}

func TestEmptyBooksAreComplete(t *testing.T) {
	w := newWorld(t, emulator.Options{
		Faults:    emulator.Faults{Next: []string{"drop_without_charging"}},
		Hyperline: emulator.HyperlineOptions{Customers: 3},
	})
	c := w.client(t)
	if a := buy(t, c, pack(aCard), aKey); a.Verdict != topup.Unknown {
		t.Fatalf("answer %+v", a)
	}
	b, err := c.Books(t.Context(), pack(aCard).Target, noon)
	must(t, err)
	if !b.Complete || len(topup.Matches(sent(aCard, ""), b, nil)) != 0 {
		t.Errorf("books %+v, want a complete look that finds nothing", b)
	}
}

func TestTheSameKeyAndBytesAreReplayed(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}})
	c := w.client(t)
	first, second := buy(t, c, pack(aCard), aKey), buy(t, c, pack(aCard), aKey)
	if first.Verdict != topup.Accepted || second.Verdict != topup.Accepted || first.Reference != second.Reference {
		t.Errorf("answers %+v and %+v", first, second)
	}
	if n := len(w.Books().Captured()); n != 1 {
		t.Errorf("%d charges, want 1", n)
	}
	other := pack(aCard)
	other.PriceID, other.Credits, other.Price.Minor = "pri_9large", 600*topup.Credit, 90_000
	if a := buy(t, c, other, aKey); !a.NeverRepeat || a.Verdict != topup.Unknown {
		t.Errorf("another purchase under the key: %+v", a)
	}
}

func TestBooksThatCannotBeReadInFull(t *testing.T) {
	const rowsPath = "/v1/customers/cus_Typ0px2W0aiEtl/credits/itm_3kXODDF42QXtnL/transactions"
	target := pack(documentedCustomer).Target
	t.Run("without invoices they are incomplete", func(t *testing.T) {
		f := documented(t)
		delete(f, "/v2/invoices")
		b, err := serve(t, f).Books(t.Context(), target, noon.Add(-30*24*time.Hour))
		must(t, err)
		if b.Complete || len(b.Topups) != 1 {
			t.Errorf("books %+v", b)
		}
	})
	t.Run("without rows they are incomplete", func(t *testing.T) {
		f := documented(t)
		delete(f, rowsPath)
		b, err := serve(t, f).Books(t.Context(), target, noon.Add(-300*24*time.Hour))
		must(t, err)
		if b.Complete || len(b.Invoices) != 1 {
			t.Errorf("books %+v", b)
		}
	})
	t.Run("without either there are none", func(t *testing.T) {
		f := documented(t)
		delete(f, rowsPath)
		delete(f, "/v2/invoices")
		if _, err := serve(t, f).Books(t.Context(), target, noon); !contains(err, "404") {
			t.Errorf("Books = %v", err)
		}
	})
	t.Run("rows that do not add up are incomplete", func(t *testing.T) {
		f := documented(t)
		f[rowsPath] = strings.Replace(f[rowsPath], `"total":1`, `"total":2`, 1)
		b, err := serve(t, f).Books(t.Context(), target, noon)
		must(t, err)
		if b.Complete {
			t.Errorf("books %+v", b)
		}
	})
}

// ledger answers the rows of a customer: one an hour, in an order, with usage in
// between if the filter by type is ignored.
type ledger struct {
	total int
	order func(i, total int) int // the age in hours of row i
	usage int                    // every nth row is an addition; 0 = all
	reads atomic.Int64
	grow  bool // a row is added with every read
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(l.reads.Add(1))
	total := l.total
	if l.grow {
		total += n
	}
	skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
	var rows []string
	for i := skip; i < min(skip+100, total); i++ {
		age := l.order(i, total)
		kind := "topup"
		if l.usage > 0 && age%l.usage != 0 {
			kind = "usage"
		}
		rows = append(rows, fmt.Sprintf(`{"id":"cdt_%d","product_id":%q,"customer_id":%q,"type":%q,"invoice_id":null,"price":null,
			"amount_excluding_tax":null,"credit_count":1,"created_at":%q}`, age, product, documentedCustomer, kind, noon.Add(-time.Duration(age)*time.Hour).Format(time.RFC3339)))
	}
	_, _ = fmt.Fprintf(w, `{"meta":{"total":%d,"taken":%d,"skipped":%d},"data":[%s]}`, total, len(rows), skip, strings.Join(rows, ","))
}

func TestHowFarTheLedgerIsRead(t *testing.T) {
	newest := func(i, _ int) int { return i }
	oldest := func(i, total int) int { return total - 1 - i }
	shuffled := func(i, total int) int { return (i * 7919) % total }
	for _, tt := range []struct {
		name     string
		ledger   *ledger
		days     int
		complete bool
		rows     int
		reads    int64 // at most
	}{
		{"one page", &ledger{total: 90, order: newest}, 2, true, 49, 1},
		{"two pages of no order", &ledger{total: 150, order: shuffled}, 2, true, 49, 2},
		{"years, newest first", &ledger{total: 20_000, order: newest}, 2, true, 49, 2},
		{"years, oldest first", &ledger{total: 20_000, order: oldest}, 2, true, 49, 2},
		{"years of no order", &ledger{total: 20_011, order: shuffled}, 2, false, -1, 40},
		{"a thousand of no order are all read", &ledger{total: 1_003, order: shuffled}, 2, true, 49, 11},
		{"uses in between, newest first", &ledger{total: 20_000, order: newest, usage: 10}, 20, true, 49, 6},
		{"uses in between, oldest first", &ledger{total: 20_050, order: oldest, usage: 10}, 20, true, 49, 7},
		{"rows that are added all the time", &ledger{total: 250, order: newest, grow: true}, 2, false, -1, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle("/", documented(t))
			mux.Handle("/v1/customers/{c}/credits/{p}/transactions", tt.ledger)
			b, err := serve(t, mux).Books(t.Context(), pack(documentedCustomer).Target, noon.Add(-time.Duration(tt.days)*24*time.Hour+time.Hour))
			must(t, err)
			if b.Complete != tt.complete || tt.rows >= 0 && len(b.Topups) != tt.rows || tt.ledger.reads.Load() > tt.reads {
				t.Errorf("complete %v with %d rows in %d reads; want %v with %d in %d", b.Complete, len(b.Topups), tt.ledger.reads.Load(), tt.complete, tt.rows, tt.reads)
			}
			if !slices.IsSortedFunc(b.Topups, func(a, b topup.Topup) int { return b.At.Compare(a.At) }) {
				t.Error("the rows are not newest first")
			}
		})
	}
}

// follow gathers what Follow tells, in the order that was asked for. Two with the
// same reference are not told apart.
func follow(t *testing.T, c *hyperline.Client, purchases []topup.Purchase) ([]topup.Books, error) {
	t.Helper()
	var mu sync.Mutex
	list, told := make([]topup.Books, len(purchases)), 0
	var errs error
	c.Follow(t.Context(), purchases, func(p topup.Purchase, b topup.Books, err error) {
		mu.Lock()
		defer mu.Unlock()
		told++
		errs = errors.Join(errs, err)
		for i := range purchases {
			if purchases[i].Reference == p.Reference {
				list[i] = b
			}
		}
	})
	if told != len(purchases) {
		t.Errorf("%d of %d purchases were told", told, len(purchases))
	}
	return list, errs
}

// TestACustomerThatHangsHoldsUpNobodysSettlement: five customers whose ledger rows
// never come.
func TestACustomerThatHangsHoldsUpNobodysSettlement(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 12}})
	hang := make(chan struct{})
	var silent []string
	c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if slices.ContainsFunc(silent, func(id string) bool { return strings.Contains(r.URL.Path, "/"+id+"/") && r.Method == http.MethodGet }) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	var purchases []topup.Purchase
	for i, customer := range w.Customers()[:10] {
		if customer.Card == emulator.CardGood {
			id := topup.CustomerID(customer.ID)
			purchases = append(purchases, sent(id, buy(t, c, pack(id), fmt.Sprintf("%s-%d", aKey, i)).Reference))
		}
	}
	if len(purchases) < 7 {
		t.Fatalf("only %d customers have a good card", len(purchases))
	}
	for _, p := range purchases[:5] {
		silent = append(silent, string(p.Target.Customer))
	}
	told := make(chan topup.Purchase, len(purchases))
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Follow(t.Context(), purchases, func(p topup.Purchase, b topup.Books, err error) {
			if err != nil || len(b.Topups) != 1 {
				t.Errorf("%s: %+v, %v", p, b, err)
			}
			told <- p
		})
	}()
	for range len(purchases) - 5 {
		if p := <-told; slices.Contains(silent, string(p.Target.Customer)) {
			t.Errorf("%s was told although its rows hang", p)
		}
	}
	close(hang)
	<-done
}

func TestFollow(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 12}})
	c := w.client(t)
	var purchases []topup.Purchase
	for i, customer := range w.Customers()[:10] {
		if customer.Card == emulator.CardMissing {
			continue
		}
		id := topup.CustomerID(customer.ID)
		a := buy(t, c, pack(id), fmt.Sprintf("%s-%d", aKey, i))
		if a.Verdict != topup.Accepted {
			t.Fatalf("%s: %+v", id, a)
		}
		purchases = append(purchases, sent(id, a.Reference))
	}
	before := w.reads()
	list, err := follow(t, c, purchases)
	must(t, err)
	if reads := w.reads() - before; reads != len(purchases)+1 {
		t.Errorf("%d reads for %d purchases, want one each and one page of invoices", reads, len(purchases))
	}
	for i, b := range list {
		p := purchases[i]
		if !b.Complete || len(b.Invoices) != 1 || len(b.Topups) != 1 || b.Invoices[0].ID != p.Reference || b.Topups[0].Invoice != p.Reference {
			t.Fatalf("books of %s: %+v", p, b)
		}
		if row := b.Topups[0]; row.Credits != p.Credits || row.Price != p.Price || row.PriceID != p.PriceID || b.Invoices[0].Payment != topup.PaymentPaid {
			t.Errorf("books of %s: %+v", p, b)
		}
		at := b.Topups[0].At
		purchases[i].RowAt = &at
	}
	before = w.reads()
	_, err = follow(t, c, purchases)
	must(t, err)
	if reads := w.reads() - before; reads != 0 {
		t.Errorf("%d reads within five seconds, want none", reads)
	}
	w.pass(6 * time.Second)
	_, err = follow(t, c, purchases[:1])
	must(t, err)
	if reads := w.reads() - before; reads != 1 {
		t.Errorf("%d reads for one purchase whose row is known, want 1: its invoice", reads)
	}
}

func TestFollowWhereAFilterIsIgnored(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 2}})
	c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q.Del("invoice_id")
		r.URL.RawQuery = q.Encode()
		w.Handler().ServeHTTP(rw, r)
	}))
	first, second := buy(t, c, pack(aCard), aKey), buy(t, c, pack(aCard), aKey+"2")
	for _, a := range []topup.Answer{first, second} {
		list, err := follow(t, c, []topup.Purchase{sent(aCard, a.Reference)})
		must(t, err)
		if len(list[0].Topups) != 1 || list[0].Topups[0].Invoice != a.Reference || !list[0].Complete {
			t.Errorf("books of %s: %+v", a.Reference, list[0])
		}
	}
}

func TestFollowGoesOnAfterOneFailure(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 2}})
	c := w.client(t)
	a := buy(t, c, pack(aCard), aKey)
	list, err := follow(t, c, []topup.Purchase{sent(aCard, "inv_unknown"), sent(aCard, a.Reference)})
	if !contains(err, "404") {
		t.Errorf("Follow = %v", err)
	}
	if list[0].Complete || len(list[0].Invoices) != 0 || !list[1].Complete || len(list[1].Invoices) != 1 {
		t.Errorf("books %+v", list)
	}
	if _, err := follow(t, c, []topup.Purchase{sent(aCard, "inv_unknown")}); !contains(err, "404") {
		t.Errorf("Follow = %v", err)
	}
	// An invoice of somebody else is no proof of anything.
	other := topup.CustomerID(w.Customers()[1].ID)
	if _, err := follow(t, c, []topup.Purchase{sent(other, a.Reference)}); !contains(err, "is "+string(aCard)) {
		t.Errorf("Follow = %v", err)
	}
}
