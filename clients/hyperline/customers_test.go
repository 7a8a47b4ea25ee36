package hyperline_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// TestAConfirmReadDoesNotWaitForTheListOfCustomers, which takes minutes of a large
// account.
func TestAConfirmReadDoesNotWaitForTheListOfCustomers(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 3}})
	listing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/customers" {
			once.Do(func() { close(listing) })
			<-release
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	polled := make(chan error, 1)
	ctx := t.Context()
	go func() {
		_, err := clients.Gather(ctx, c, []topup.ProductID{product})
		polled <- err
	}()
	<-listing
	done := make(chan error, 1)
	go func() {
		_, err := c.Confirm(ctx, pack(aCard))
		_, booksErr := c.Books(ctx, pack(aCard).Target, noon)
		done <- errorsOf(err, booksErr)
	}()
	select {
	case err := <-done:
		must(t, err)
	case err := <-polled:
		t.Errorf("the poll ended first: %v", err)
	case <-ctx.Done():
	}
	close(release)
	must(t, <-polled)
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// directory lists customers by cursor, newest first or, if it heeds the order,
// oldest first.
type directory struct {
	mu    sync.Mutex
	ids   []string
	heeds bool
	asked map[string]int // by order
	page  int
}

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/v2/customers" || q.Get("payment_method_type__in") != "card" {
		list(0, nil).ServeHTTP(w, r)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[q.Get("order")]++
	d.page++
	ids := slices.Clone(d.ids)
	if d.heeds && q.Get("order") == "asc" {
		slices.Reverse(ids)
	}
	from := 0
	if cursor := q.Get("cursor"); cursor != "" { // names the last id seen
		from = slices.Index(ids, cursor) + 1
	}
	to := min(from+100, len(ids))
	var rows []string
	for _, id := range ids[from:to] {
		rows = append(rows, fmt.Sprintf(`{"id":%q,"status":"active","currency":"EUR"}`, id))
	}
	next := "null"
	if to < len(ids) {
		next = strconv.Quote(ids[to-1])
	}
	fmt.Fprintf(w, `{"data":[%s],"next_cursor":%s,"has_more":%t}`, strings.Join(rows, ","), next, to < len(ids))
}

// TestCustomersAreListedFromBothEnds: each once, whatever the order means there.
func TestCustomersAreListedFromBothEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		count int
		heeds bool
		most  int // pages
	}{
		{"none", 0, true, 1},
		{"one page", 100, true, 1},
		{"a few", 101, true, 4},
		{"many", 2550, true, 29},
		{"where the order is ignored", 2550, false, 28},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &directory{heeds: tt.heeds, asked: map[string]int{}}
			var rows []string
			for n := range tt.count {
				id := fmt.Sprintf("cus_%04d", n)
				d.ids = append(d.ids, id)
				rows = append(rows, row(id, `"current_balance":5`))
			}
			mux := http.NewServeMux()
			mux.Handle("/v2/customers", d)
			mux.Handle("/", list(len(rows), rows))
			mux.HandleFunc("/v2/customers/", func(w http.ResponseWriter, r *http.Request) {
				t.Errorf("a customer is read by itself: %s", r.URL.Path)
				http.NotFound(w, r)
			})
			poll, err := clients.Gather(t.Context(), serve(t, mux), []topup.ProductID{product})
			must(t, err)
			for _, r := range poll.Readings {
				if r.Account.PaymentMethod != topup.PaymentCard || r.Account.Inactive != "" {
					t.Fatalf("%s: %+v", r.Target.Customer, r.Account)
				}
			}
			if len(poll.Readings) != tt.count || d.page > tt.most {
				t.Errorf("%d readings after %d pages of customers (%v), want %d after at most %d", len(poll.Readings), d.page, d.asked, tt.count, tt.most)
			}
			if tt.heeds && tt.count > 1000 && (d.asked["asc"] < 5 || d.asked["asc"] > 21) {
				t.Errorf("pages by order: %v, want the work shared", d.asked)
			}
		})
	}
}
