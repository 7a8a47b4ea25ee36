package hyperline_test

import (
	"net/http"
	"testing"
	"time"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// cached is a world behind a cache that keeps answers for ten minutes.
func cached(t *testing.T) *world {
	t.Helper()
	return newWorld(t, emulator.Options{
		Faults:    emulator.Faults{CacheFor: 10 * time.Minute},
		Hyperline: emulator.HyperlineOptions{Customers: 3},
	})
}

func TestAReadingIsAsOldAsTheCacheThatAnswered(t *testing.T) {
	w := cached(t)
	c := w.client(t)
	for _, after := range []time.Duration{0, 9 * time.Minute} {
		w.pass(after)
		poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
		must(t, err)
		for _, r := range poll.Readings {
			if !r.ReadAt.Equal(noon) {
				t.Errorf("%s later: read at %s, want %s, when the cache was filled", after, r.ReadAt, noon)
			}
		}
	}
}

// TestAConfirmReadIsAsOldAsItsOldestPart: a fresh balance beside bills of nine
// minutes ago is no fresh look (P5, P9).
func TestAConfirmReadIsAsOldAsItsOldestPart(t *testing.T) {
	w := cached(t)
	c := w.client(t)
	first, err := c.Confirm(t.Context(), pack(aCard))
	must(t, err)
	w.pass(9 * time.Minute)
	old, err := c.Confirm(t.Context(), pack(aCard))
	must(t, err)
	if !first.Reading.ReadAt.Equal(noon) || !old.Reading.ReadAt.Equal(noon) {
		t.Errorf("read at %s and %s, want %s twice", first.Reading.ReadAt, old.Reading.ReadAt, noon)
	}
	if old.ServerTime.Sub(w.now()).Abs() > time.Second {
		t.Errorf("the provider's clock is %s, want %s", old.ServerTime, w.now())
	}
	w.SetFaults(emulator.Faults{})
	bills := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/invoices" {
			rw.Header().Set("Age", "540")
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	part, err := bills.Confirm(t.Context(), pack(aCard))
	must(t, err)
	if want := noon.Add(-9 * time.Minute); !part.Reading.ReadAt.Equal(want) {
		t.Errorf("with old bills alone: read at %s, want %s", part.Reading.ReadAt, want)
	}
}

// TestWhatACacheKeptProvesNoAbsence: P3, P18. The charge was made after the cache
// was filled.
func TestWhatACacheKeptProvesNoAbsence(t *testing.T) {
	w := cached(t)
	c := w.client(t)
	empty, err := c.Books(t.Context(), pack(aCard).Target, noon)
	must(t, err)
	none, err := billedBy(t, c, noon)
	must(t, err)
	if !empty.Complete || len(empty.Invoices) != 0 || len(none.Topups) != 0 {
		t.Fatalf("before the purchase: %+v, %+v", empty, none)
	}
	w.pass(time.Minute)
	if a := buy(t, c, pack(aCard), aKey); a.Verdict != topup.Accepted {
		t.Fatalf("answer %+v", a)
	}
	old, err := c.Books(t.Context(), pack(aCard).Target, noon)
	must(t, err)
	if old.Complete || len(old.Invoices) != 0 {
		t.Errorf("from the cache: %+v, want an incomplete look", old)
	}
	if _, err := billedBy(t, c, noon); !contains(err, "cache on the way") {
		t.Errorf("the account's bills from the cache: %v, want an error that names it", err)
	}
	w.pass(10 * time.Minute)
	fresh, err := c.Books(t.Context(), pack(aCard).Target, noon)
	must(t, err)
	all, err := billedBy(t, c, noon)
	must(t, err)
	if !fresh.Complete || len(fresh.Invoices) != 1 || len(all.Topups) != 1 {
		t.Errorf("after the cache: %+v, %+v; want the charge", fresh, all)
	}
}
