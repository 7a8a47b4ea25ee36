package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTheSameSeedMakesTheSameWorld(t *testing.T) {
	t.Parallel()
	o := Options{
		Seed: 42, Now: func() time.Time { return noon },
		Hyperline: HyperlineOptions{Customers: 60, MissingCards: 0.1, DeclinedCards: 0.2, Native: 0.3},
		Talkover:  TalkoverOptions{Environments: 15, Native: 0.5, DeclinedCards: 0.2},
	}
	first, second := New(o).Customers(), New(o).Customers()
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two worlds of one seed differ:\n%s", diff)
	}
	cards := map[Card]int{}
	for _, c := range first {
		cards[c.Card]++
		if c.PerSecond == "0" || c.Balance == "0" || c.ID == "" {
			t.Errorf("customer %+v has nothing to lose", c)
		}
	}
	if cards[CardMissing] == 0 || cards[CardDeclined] == 0 || cards[CardGood] < 40 {
		t.Errorf("cards %v, want some of each and mostly good ones", cards)
	}
	if first[0].ID != FirstCustomer || first[60].ID != "env-1" || first[60].Name != "voice-berlin" {
		t.Errorf("first customer %s, first environment %s %s", first[0].ID, first[60].ID, first[60].Name)
	}
	o.Speed = 600
	slow, fast := dec(first[0].PerSecond), dec(New(o).Customers()[0].PerSecond)
	if want, _ := slow.Mul(dec("600")); !fast.Equal(want) {
		t.Errorf("at 600 times %s became %s", slow, fast)
	}
}

func TestRunWorksAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{Seed: 1, Hyperline: HyperlineOptions{Customers: 1, NoUsage: true}})
		must(t, e.SetBalance(FirstCustomer, dec("1000")))
		must(t, e.SetUsage(FirstCustomer, dec("10")))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- e.Run(ctx) }()
		time.Sleep(20*time.Second + time.Millisecond) // of the bubble's clock
		if got := e.Customers()[0].Balance; got != "800" {
			t.Errorf("balance %s after 20 s at 10 a second, want 800", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestWithoutAConnectionACutIsAGatewayError(t *testing.T) {
	t.Parallel()
	e := New(Options{Hyperline: HyperlineOptions{Customers: 1}, Faults: Faults{ChargeThenDrop: 1}})
	r := httptest.NewRequestWithContext(t.Context(), "POST", purchasePath, strings.NewReader(smallOrder))
	r.Header.Set("Authorization", "Bearer "+DefaultToken)
	rec := httptest.NewRecorder()
	e.Handler().ServeHTTP(rec, r)
	if rec.Code != http.StatusBadGateway || len(e.Books().Captured()) != 1 {
		t.Errorf("status %d, books %+v", rec.Code, e.Books())
	}
}

func TestOneKeyIsChargedOnceHoweverManySendIt(t *testing.T) {
	t.Parallel()
	const senders, keys = 8, 6
	b := newBench(t, Options{
		Hyperline: HyperlineOptions{Writes: -1, Reads: -1},
		Faults:    Faults{Provider: "hyperline", ChargeThenDrop: 0.3, Slow: 0.3, Decline: 0.1, SlowFor: time.Millisecond},
	})
	var group sync.WaitGroup
	for sender := range senders {
		group.Go(func() {
			for key := range keys {
				for range 3 {
					b.buy(fmt.Sprintf("%s-%d", keyOne, key))
					b.get("/v1/customers/credits")
					b.ask("POST", topUpPath, topUpOrder, nil)
					b.Tick(b.clock.now())
				}
			}
			must(t, b.SetBalance("env-1", dec(fmt.Sprint(sender))))
		})
	}
	group.Wait()
	byKey := map[string]int{}
	for _, c := range b.Books().Captured() {
		if c.Provider == HyperlineName {
			byKey[c.Key]++
		}
	}
	if len(byKey) != keys {
		t.Errorf("%d keys charged, want %d", len(byKey), keys)
	}
	for key, n := range byKey {
		if n != 1 {
			t.Errorf("key %s charged %d times", key, n)
		}
	}
}

// TestTheBooksAlwaysAgree throws every fault at both providers and holds the
// books to the balances: what was captured was granted, once, and every executed
// request has exactly one charge.
func TestTheBooksAlwaysAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{at: noon}
		o := Options{
			Seed: rapid.Uint64Range(1, 1<<40).Draw(t, "seed"), Now: c.now,
			Hyperline: HyperlineOptions{
				Customers: 2, NoUsage: true, Writes: -1, ExecuteLate: time.Minute, LatePosting: time.Minute,
				Profile: HyperlineProfile{Decline: rapid.SampledFrom([]DeclineStyle{
					DeclineRefused, DeclineRefusedUnpaid, DeclineCreatedUnpaid,
				}).Draw(t, "decline")},
			},
			Talkover: TalkoverOptions{Environments: 2, NoUsage: true, Requests: -1, ExecuteLate: time.Minute, PostLate: time.Minute},
		}
		e := New(o)
		before := balances(e)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			step(t, e, c)
		}
		e.SetFaults(Faults{})
		c.pass(e, time.Hour)
		wantAgreement(t, e, before)
	})
}

func (c *clock) pass(e *Emulator, d time.Duration) {
	c.mu.Lock()
	c.at = c.at.Add(d)
	c.mu.Unlock()
	e.Tick(c.now())
}

func balances(e *Emulator) map[string]quantity {
	out := map[string]quantity{}
	for _, c := range e.Customers() {
		q, _ := parseQuantity(c.Balance)
		out[c.ID] = q
	}
	return out
}

// step is one purchase under some fault, or something that happens meanwhile.
func step(t *rapid.T, e *Emulator, c *clock) {
	ids := []string{e.Customers()[0].ID, e.Customers()[1].ID, "env-1", "env-2"}
	id := rapid.SampledFrom(ids).Draw(t, "who")
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		c.pass(e, time.Duration(rapid.IntRange(1, 3*3600).Draw(t, "seconds"))*time.Second)
	case 1:
		card := rapid.SampledFrom([]Card{CardGood, CardDeclined, CardMissing}).Draw(t, "card")
		if err := e.SetCard(id, card); err != nil {
			t.Fatal(err)
		}
	case 2:
		_ = e.PortalPurchase(id) // refused with a bad card
	default:
		fault := rapid.SampledFrom(append(FaultNames(), noFault)).Draw(t, "fault")
		e.SetFaults(Faults{Next: []string{fault}, HangFor: time.Microsecond, SlowFor: time.Microsecond})
		path, body, token := topUpPath, topUpOrder, "user_emulator_"+id[len(id)-1:]
		if strings.HasPrefix(id, "cus_") {
			path, body, token = "/v1/customers/"+id+"/credits/"+Product+"/purchase", smallOrder, DefaultToken
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Idempotency-Key", keyOne+rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"))
		e.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
}

func wantAgreement(t *rapid.T, e *Emulator, before map[string]quantity) {
	books := e.Books()
	granted := before
	byRequest := map[int]int{}
	for _, c := range books.Charges {
		byRequest[c.RequestSeq]++
		if c.Captured {
			q, _ := parseQuantity(c.Credits)
			granted[c.Customer] += q
		}
		if c.Captured == c.CapturedAt.IsZero() || c.Captured != (c.Status == "paid" || c.Status == "captured") {
			t.Errorf("charge %+v contradicts itself", c)
		}
	}
	if diff := cmp.Diff(granted, balances(e)); diff != "" {
		t.Errorf("balances are not what was captured (-books +balances):\n%s", diff)
	}
	for _, r := range books.Requests {
		if want := map[bool]int{true: 1, false: 0}[r.Executed]; byRequest[r.Seq] != want {
			t.Errorf("request %+v has %d charges, want %d", r, byRequest[r.Seq], want)
		}
	}
}

func TestAThousandCustomersAreReadFast(t *testing.T) {
	t.Parallel()
	e := New(Options{Seed: 3, Hyperline: HyperlineOptions{Customers: 1000, Reads: -1}})
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	b := &bench{Emulator: e, t: t, url: server.URL, http: server.Client()}
	seen := map[string]bool{}
	for skip := 0; skip < 1000; skip += 100 {
		ids, total := b.bulk(fmt.Sprintf("take=100&skip=%d", skip))
		for _, id := range ids {
			seen[id] = true
		}
		if total != 1000 {
			t.Fatalf("total %d", total)
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d customers in ten pages, want 1000", len(seen))
	}
}

func BenchmarkBulkPage(b *testing.B) {
	e := New(Options{Seed: 3, Hyperline: HyperlineOptions{Customers: 1000, Reads: -1}})
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), "GET", "/v1/customers/credits?take=100&skip=500", nil)
		r.Header.Set("Authorization", "Bearer "+DefaultToken)
		e.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
}

func TestQuantities(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"412": "412", "41.20": "41.2", "-3.5": "-3.5", "0.000001": "0.000001", "1000000000": "1000000000", "1e3": "1000",
		"0.0000001": "", "1000000000.000001": "", "1e30": "", "NaN": "", "": "",
	} {
		q, err := parseQuantity(text)
		if got := q.String(); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q became %s, %v; want %q", text, got, err, want)
		}
	}
}

func TestAMeterLosesNothingHoweverOftenItIsRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := quantity(rapid.Int64Range(1, int64(1000*one)).Draw(t, "rate"))
		pauses := rapid.SliceOfN(rapid.Int64Range(1, int64(time.Minute)), 1, 50).Draw(t, "pauses")
		often, once := meter{rate: rate, step: one, at: noon}, meter{rate: rate, step: one, at: noon}
		var sum quantity
		now := noon
		for _, pause := range pauses {
			now = now.Add(time.Duration(pause))
			sum += often.drain(now)
		}
		if whole := once.drain(now); sum > whole || whole-sum > one {
			t.Errorf("read %d times %s, once %s", len(pauses), sum, whole)
		}
	})
}

func TestFaultNamesAreUnique(t *testing.T) {
	t.Parallel()
	names := FaultNames()
	slices.Sort(names)
	if got := len(slices.Compact(slices.Clone(names))); got != len(names) {
		t.Errorf("%d of %d names are different", got, len(names))
	}
}

// TestALargeAccountIsServedPageByPage: a page of a long list costs no more than
// one of a short list, whatever else goes on in between.
func TestALargeAccountIsServedPageByPage(t *testing.T) {
	t.Parallel()
	const count = 30_000
	began := time.Now()
	e := New(Options{Seed: 3, Hyperline: HyperlineOptions{Customers: count, MissingCards: 0.01, Reads: -1}})
	made := time.Since(began)
	ask := func(path string) []byte {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+DefaultToken)
		e.Handler().ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	seen := map[string]bool{}
	began = time.Now()
	for _, filter := range []string{"missing", "card", "errored"} {
		for cursor := ""; ; {
			var page struct {
				Data []struct{ ID string }
				Next *string `json:"next_cursor"`
			}
			must(t, json.Unmarshal(ask("/v2/customers?status=all&limit=100&payment_method_type__in="+filter+"&cursor="+cursor), &page))
			for _, c := range page.Data {
				seen[c.ID] = true
			}
			if page.Next == nil {
				break
			}
			cursor = *page.Next
		}
	}
	listed := time.Since(began)
	if len(seen) != count {
		t.Errorf("%d customers were listed, want %d", len(seen), count)
	}
	began = time.Now()
	for skip := 0; skip < count; skip += 10_000 {
		ask(fmt.Sprintf("/v1/customers/credits?take=100&skip=%d", skip))
		e.Tick(time.Now())
	}
	balances := time.Since(began)
	t.Logf("made in %s, customers listed in %s, ten pages of balances and ticks in %s", made, listed, balances)
	// Work that grows with the account on each page would take many times as long as
	// making it did; a slow machine is slow at both.
	if listed > 20*made || balances > 2*made {
		t.Errorf("made in %s, but customers listed in %s, ten pages of balances and ticks in %s", made, listed, balances)
	}
	must(t, e.SetCard(FirstCustomer, CardMissing))
	if !strings.Contains(string(ask("/v2/customers?status=all&limit=100&order=asc&payment_method_type__in=missing")), FirstCustomer) {
		t.Error("a change of a card does not show in the list")
	}
}
