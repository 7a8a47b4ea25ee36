package hyperline_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// TestFewerRowsAPageThanAsked: every list goes on from the rows that came.
func TestFewerRowsAPageThanAsked(t *testing.T) {
	for _, most := range []int{50, 33, 1} {
		t.Run(fmt.Sprintf("%d a page", most), func(t *testing.T) {
			w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{
				Customers: 120, Profile: emulator.HyperlineProfile{MaxTake: most},
			}})
			var past []emulator.PastPurchase
			for n := range 130 {
				past = append(past, emulator.PastPurchase{Customer: emulator.FirstCustomer, At: noon.Add(-time.Duration(200-n) * time.Minute)})
			}
			_, err := w.AddPast(past...)
			must(t, err)
			c := w.client(t)
			poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
			must(t, err)
			if len(poll.Readings) != 120 || !poll.Complete || poll.Missing != "" {
				t.Errorf("%d readings, complete %t (%s); want all 120", len(poll.Readings), poll.Complete, poll.Missing)
			}
			conf, err := c.Confirm(t.Context(), pack(aCard))
			if err != nil || len(conf.Topups) != len(past) {
				t.Errorf("%d additions, %v; want %d", len(conf.Topups), err, len(past))
			}
		})
	}
}

func TestAnIncompletePollSaysWhatItMissed(t *testing.T) {
	var seventy []string
	for n := range 70 {
		seventy = append(seventy, row(fmt.Sprintf("cus_%02d", n), `"current_balance":5`))
	}
	nobody := append(slices.Clone(seventy), row("", `"current_balance":5`))
	for _, tt := range []struct {
		name  string
		total int
		rows  []string
		want  string
	}{
		{"rows that never come", 120, seventy, "50 of 120 balances were not shown"},
		{"a row of nobody", 71, nobody, "1 of 71 rows do not say whose balance they are"},
		{"more rows than it has", 69, seventy, "the list has 69 balances and shows 70"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			poll, err := clients.Gather(t.Context(), serve(t, list(tt.total, tt.rows)), []topup.ProductID{product})
			must(t, err)
			if poll.Complete || poll.Missing != tt.want || len(poll.Readings) != 70 {
				t.Errorf("%d readings, complete %t, missing %q; want 70 and %q", len(poll.Readings), poll.Complete, poll.Missing, tt.want)
			}
		})
	}
}

// TestAListThatAlwaysLacksRowsIsReadOnce: it says that it is longer than it is.
func TestAListThatAlwaysLacksRowsIsReadOnce(t *testing.T) {
	c := serve(t, list(2, []string{row("cus_a", `"current_balance":5`)}))
	var reads []int
	for range 3 {
		poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
		must(t, err)
		reads = append(reads, poll.Reads)
	}
	if reads[1] >= reads[0] || reads[2] != reads[1] || reads[2] > 2 {
		t.Errorf("%v reads, want the second and third poll to read the list once", reads)
	}
}

// TestABalanceThatIsListedTwice: P13. It is a bad reading, by name and from then
// on from the start; the others go on.
func TestABalanceThatIsListedTwice(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 250}})
	c := w.client(t)
	before, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	must(t, w.ListTwice(emulator.FirstCustomer))
	for n := range 3 {
		good := 0
		whole := map[topup.CustomerID]topup.Reading{}
		poll, err := c.Poll(t.Context(), []topup.ProductID{product}, func(p topup.Page) error {
			for _, r := range p.Readings {
				if whole[r.Target.Customer] = r; r.Target.Customer == aCard && r.Bad == "" {
					good++
				}
			}
			return nil
		})
		must(t, err)
		if !poll.Complete || len(whole) != 250 || !strings.Contains(whole[aCard].Bad, "lists this balance twice") {
			t.Errorf("poll %d: complete %t (%s) with %d readings, the one listed twice is %+v", n, poll.Complete, poll.Missing, len(whole), whole[aCard])
		}
		if n > 0 && good > 0 {
			t.Errorf("poll %d: it was shown as good meanwhile", n)
		}
		for id, r := range whole {
			if id != aCard && r.Bad != "" {
				t.Errorf("poll %d: %s is bad too: %s", n, id, r.Bad)
			}
		}
		if poll.Reads > before.Reads+3 {
			t.Errorf("poll %d took %d reads, %d without the second row", n, poll.Reads, before.Reads)
		}
	}
	conf, err := c.Confirm(t.Context(), pack(aCard))
	if err != nil || !strings.Contains(conf.Reading.Bad, "twice") {
		t.Errorf("confirm read %+v, %v; want it bad", conf.Reading, err)
	}
}

// moving is a list of balances that changes while it is read.
type moving struct {
	mu    sync.Mutex
	rows  []string
	pages int
	meet  func(m *moving) // before each page; holds mu
}

func (m *moving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/customers/credits" {
		list(0, nil).ServeHTTP(w, r)
		return
	}
	skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
	m.mu.Lock()
	m.pages++
	if m.meet != nil {
		m.meet(m)
	}
	page := slices.Clone(m.rows[min(skip, len(m.rows)):min(skip+100, len(m.rows))])
	total := len(m.rows)
	m.mu.Unlock()
	fmt.Fprintf(w, `{"meta":{"total":%d},"data":[%s]}`, total, strings.Join(page, ","))
}

func thousand() *moving {
	m := &moving{}
	for n := range 1000 {
		m.rows = append(m.rows, row(fmt.Sprintf("cus_%04d", n), `"current_balance":5`))
	}
	return m
}

// TestAListThatMovesIsReadOnce: whoever was there from the beginning to the end is
// seen, and a list that grows or shrinks is not read again for that.
func TestAListThatMovesIsReadOnce(t *testing.T) {
	fresh := func(m *moving) string { return row(fmt.Sprintf("cus_new%03d", m.pages), `"current_balance":5`) }
	for _, tt := range []struct {
		name string
		meet func(m *moving)
		most int // pages
		gone func(id string) bool
	}{
		{"it stands still", nil, 10, nil},
		{"rows are added in front", func(m *moving) { m.rows = slices.Insert(m.rows, 0, fresh(m)) }, 21, nil},
		{"rows are added at the end", func(m *moving) { m.rows = append(m.rows, fresh(m)) }, 21, nil},
		{"rows are added in the middle", func(m *moving) { m.rows = slices.Insert(m.rows, len(m.rows)/2, fresh(m)) }, 21, nil},
		{"one row is taken away in front", func(m *moving) {
			if m.pages == 4 {
				m.rows = m.rows[1:]
			}
		}, 21, func(id string) bool { return id == "cus_0000" }},
		{"rows are taken away in front", func(m *moving) {
			if m.pages%3 == 0 && m.pages < 10 {
				m.rows = m.rows[2:]
			}
		}, 29, func(id string) bool { return id < "cus_0006" }},
		{"rows are taken away at the end", func(m *moving) {
			if m.pages < 10 {
				m.rows = m.rows[:len(m.rows)-1]
			}
		}, 29, func(id string) bool { return id >= "cus_0990" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := thousand()
			m.meet = tt.meet
			poll, err := clients.Gather(t.Context(), serve(t, m), []topup.ProductID{product})
			must(t, err)
			seen := map[string]bool{}
			for _, r := range poll.Readings {
				seen[string(r.Target.Customer)] = true
				if r.Bad != "" {
					t.Errorf("%s is bad: %s", r.Target.Customer, r.Bad)
				}
			}
			for n := range 1000 {
				if id := fmt.Sprintf("cus_%04d", n); !seen[id] && (tt.gone == nil || !tt.gone(id)) {
					t.Errorf("%s was not seen", id)
				}
			}
			if !poll.Complete || m.pages > tt.most {
				t.Errorf("complete %t (%s) after %d pages, want at most %d", poll.Complete, poll.Missing, m.pages, tt.most)
			}
		})
	}
}

// TestSeveralPagesAreAskedForAtOnce, and not all of them.
func TestSeveralPagesAreAskedForAtOnce(t *testing.T) {
	m := thousand()
	var now, most atomic.Int64
	together := make(chan struct{})
	var once sync.Once
	poll, err := clients.Gather(t.Context(), serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("skip") != "0" && r.URL.Path == "/v1/customers/credits" {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if n == 4 {
				once.Do(func() { close(together) })
			}
			select { // the first wait until four are there
			case <-together:
			case <-r.Context().Done():
			}
		}
		m.ServeHTTP(w, r)
	})), []topup.ProductID{product})
	must(t, err)
	if len(poll.Readings) != 1000 || !poll.Complete || most.Load() < 4 || most.Load() > 8 {
		t.Errorf("%d readings, complete %t, at most %d pages at once; want 4 to 8", len(poll.Readings), poll.Complete, most.Load())
	}
}

// TestAPageThatFailsEndsThePoll: those on their way are waited for, and nothing
// is handed over any more.
func TestAPageThatFailsEndsThePoll(t *testing.T) {
	m := thousand()
	handed := 0
	_, err := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("skip") == "500" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		m.ServeHTTP(w, r)
	})).Poll(t.Context(), []topup.ProductID{product}, func(p topup.Page) error { handed += len(p.Readings); return nil })
	if !contains(err, "418") || handed == 0 || handed > 900 {
		t.Errorf("Poll = %v after %d readings", err, handed)
	}
}

// TestBeyondTwoHundredThousand: nobody is hidden by a bound.
func TestBeyondTwoHundredThousand(t *testing.T) {
	const count = 200_250
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/customers/credits" {
			list(0, nil).ServeHTTP(w, r)
			return
		}
		skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
		var b strings.Builder
		for n := skip; n < min(skip+100, count); n++ {
			if n > skip {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"product_id":"itm_other","customer_id":"cus_%d","current_balance":5}`, n)
		}
		if skip <= count-1 && skip+100 >= count { // of all these, the last is of the product
			fmt.Fprintf(&b, ",%s", row("cus_last", `"current_balance":5`))
		}
		fmt.Fprintf(w, `{"meta":{"total":%d},"data":[%s]}`, count+1, b.String())
	}))
	poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	if len(poll.Readings) != 1 || !poll.Complete {
		t.Errorf("%d readings, complete %t (%s)", len(poll.Readings), poll.Complete, poll.Missing)
	}
}

// TestAProductThatCannotBeReadIsAskedForOnce in a poll, for all of its customers.
func TestAProductThatCannotBeReadIsAskedForOnce(t *testing.T) {
	var rows []string
	for n := range 250 {
		rows = append(rows, strings.ReplaceAll(row(fmt.Sprintf("cus_%03d", n), `"current_balance":5`), `"low_count_threshold":10`, `"low_count_threshold":null`))
	}
	var asked atomic.Int64
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/products/") {
			asked.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		list(len(rows), rows).ServeHTTP(w, r)
	}))
	for n := range 2 {
		poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
		must(t, err)
		if len(poll.Readings) != len(rows) || asked.Load() != int64(3*(n+1)) { // one read is three tries
			t.Errorf("poll %d: %d readings, the product was asked for %d times; want 250, and three tries a poll", n, len(poll.Readings), asked.Load())
		}
	}
}
