package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// TestAnswersThatSayNothing: P3, P4. Whether the charge was made before the
// answer was spoilt or not, the customer is charged once, and a second request
// is sent only where the first was not executed.
func TestAnswersThatSayNothing(t *testing.T) {
	t.Parallel()
	for fault, attempts := range map[string]int{
		"charge_then_500": 1, "charge_then_hang": 1, "charge_then_drop": 1, "charge_then_truncate": 1, "charge_then_html": 1,
		"fail_without_charging_500": 2, "hang_without_charging": 2, "drop_without_charging": 2, "redirect_307": 2,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "4s", PurchaseTimeout: "1s"})
			p.emu.SetFaults(emulator.Faults{Next: []string{fault}})
			d := p.started()
			p.settles(1)
			if !d.has("purchase", map[string]any{"verdict": "unknown"}) {
				t.Errorf("no answer was called unclear:\n%s", d.tail(10))
			}
			if all := p.purchases(); len(all) != 1 || all[0].Attempts != attempts {
				t.Errorf("purchases: %+v, want one with %d requests", all, attempts)
			}
		})
	}
}

// TestAGatewayThatCompressesUnasked: every answer is read, and the purchase is a
// yes at once, not unclear.
func TestAGatewayThatCompressesUnasked(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "1h"})
	p.emu.SetFaults(emulator.Faults{Gzip: 1})
	d := p.started()
	p.settles(1)
	if all := p.purchases(); len(all) != 1 || all[0].Attempts != 1 || d.has("purchase", map[string]any{"verdict": "unknown"}) {
		t.Errorf("purchases: %+v\n%s", all, d.tail(10))
	}
}

// TestACacheOnTheWay: P5, P13. What a cache kept is as old as it says, and nothing
// is bought, nor believed to be enough, once that is too old.
func TestACacheOnTheWay(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{Extra: "    max_reading_age: 5s\n"})
	p.emu.SetFaults(emulator.Faults{CacheFor: time.Hour})
	d := p.started()
	stale := func() bool { return p.stance(emulator.FirstCustomer).Reason == "stale_reading" }
	until(t, 60*time.Second, "the reading to be called stale", stale)
	if err := p.emu.SetBalance(emulator.FirstCustomer, whole(0)); err != nil {
		t.Fatal(err)
	}
	d.polls(3)
	if !stale() || len(p.purchases()) != 0 {
		t.Errorf("behind the cache: %+v, purchases %+v", p.stance(emulator.FirstCustomer), p.purchases())
	}
	p.emu.SetFaults(emulator.Faults{})
	p.settles(1)
}

// TestAnAnswerByteByByteIsUnclear: one deadline covers headers and body.
func TestAnAnswerByteByByteIsUnclear(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "4s", PurchaseTimeout: "1s"})
	m := p.meddled(t)
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			return false
		}
		said := httptest.NewRecorder()
		m.proxy.ServeHTTP(said, r)
		w.Header().Set("Content-Length", strconv.Itoa(said.Body.Len()))
		w.WriteHeader(said.Code)
		for _, b := range said.Body.Bytes() {
			_, err := w.Write([]byte{b})
			if err = errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
				break // the daemon has had enough
			}
			select {
			case <-r.Context().Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		return true
	})
	d := p.started()
	p.settles(1)
	if n := p.asked(); n != 1 || !d.has("purchase", map[string]any{"verdict": "unknown", "reason": "timeout"}) {
		t.Errorf("%d requests reached the provider:\n%s", n, d.tail(10))
	}
}

// TestAChargeOfAnotherAmountIsShown: the provider says yes and bills a tenth
// more. What was charged stands in the history, the rule is stopped, and the
// metric that alerts says so until somebody resumes.
func TestAChargeOfAnotherAmountIsShown(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Bundles: smallPack})
	p.emu.SetFaults(emulator.Faults{Next: []string{"wrong_amount"}})
	d := p.started()
	until(t, 30*time.Second, "the mismatch", func() bool { return d.value("topupd_purchase_failures_total", "reason", "mismatch") >= 1 })
	until(t, 30*time.Second, "the rule to be stopped", func() bool { return p.stance(emulator.FirstCustomer).Reason == "rule_stopped" }) // 220 is still below 500
	stopped := func() float64 { return d.value("topupd_rule_stopped", "rule", "api-credits", "cause", "price") }
	until(t, 30*time.Second, "the metric of stopped rules", func() bool { return stopped() == 1 })
	d.polls(3)
	all := p.purchases()
	if n := p.asked(); n != 1 || len(all) != 1 || stopped() != 1 {
		t.Fatalf("%d requests reached the provider, purchases: %+v", n, all)
	}
	contains(t, "purchases show", p.succeeds("purchases", "show", all[0].ID), "220.00 EUR", "200.00 EUR")
	contains(t, "resume", p.succeeds("resume", "--rule", "api-credits", "--reason", "credited"), "lifted the stop of rule api-credits", "because of price")
	until(t, 30*time.Second, "the metric of stopped rules to end", func() bool { return stopped() == 0 })
}

// TestTheProviderChargesTwiceByItself: one request, two charges. The answer
// names one of them; the other is taken note of as somebody else's, and nothing
// is bought on top before the cooldown after it.
func TestTheProviderChargesTwiceByItself(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Cooldown: "8s", Bundles: smallPack})
	m := p.meddled(t)
	var twice atomic.Bool
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || twice.Swap(true) {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		again := r.Clone(r.Context())
		again.Header.Del("Idempotency-Key")
		again.Body = io.NopCloser(bytes.NewReader(body))
		m.proxy.ServeHTTP(httptest.NewRecorder(), again)
		r.Body = io.NopCloser(bytes.NewReader(body))
		m.proxy.ServeHTTP(w, r)
		return true
	})
	d := p.started()
	until(t, 30*time.Second, "both charges", func() bool { return p.captured() == 2 && p.open() == 0 })
	both := time.Now()
	until(t, 30*time.Second, "the other charge to be told of", func() bool {
		return d.has("external", map[string]any{"level": "WARN", "imported": 1.0})
	})
	until(t, 30*time.Second, "the next purchase", func() bool { return p.captured() == 3 }) // 340 is still below 500
	if waited := time.Since(both); waited < 5*time.Second {
		t.Errorf("bought %s after the provider charged twice, within the cooldown of 8s", waited)
	}
}

// TestAThrottledPurchaseIsMadeLater: P3. 429 was not run: the purchase is
// cancelled without harm, nothing is sent for as long as the provider asks,
// within reason, and then the customer is bought for once.
func TestAThrottledPurchaseIsMadeLater(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after  string
		pause  float64 // seconds, as the log says
		at     time.Duration
		absurd bool // too long to wait for
	}{
		"for two seconds":        {"2", 2, 2 * time.Second, false},
		"for -1 seconds":         {"-1", 1, time.Second, false},
		"until a moment":         {"date", 0, 2 * time.Second, false},
		"for ten years":          {"315360000", 900, 0, true},
		"until year 9999":        {"Fri, 31 Dec 9999 23:59:59 GMT", 900, 0, true},
		"for who knows how long": {"soon", 10, 10 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
			m := p.meddled(t)
			var first, second atomic.Int64
			m.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					return false
				}
				if !first.CompareAndSwap(0, time.Now().UnixNano()) {
					second.CompareAndSwap(0, time.Now().UnixNano())
					return false
				}
				after := tt.after
				if after == "date" {
					after = time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) // whole seconds
				}
				w.Header().Set("Retry-After", after)
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = io.WriteString(w, "Too many requests")
				return true
			})
			d := p.started()
			until(t, 30*time.Second, "the 429", func() bool { return d.has("purchase", map[string]any{"verdict": "not_run"}) })
			if tt.pause != 0 && !d.has("provider limits our rate", map[string]any{"pause_seconds": tt.pause}) {
				t.Errorf("the log does not tell of a pause of %v s:\n%s", tt.pause, d.tail(10))
			}
			if tt.absurd {
				until(t, 30*time.Second, "the budget to be shown as used up", func() bool { return d.value("topupd_rate_budget_used_ratio", "kind", "writes") == 1 })
				if all := p.purchases(); len(all) != 1 || all[0].State != "cancelled" || deref(all[0].Reason) != "throttled" || p.asked() != 0 {
					t.Errorf("purchases: %+v, want one that was throttled; %d requests", all, p.asked())
				}
				return
			}
			p.settles(1)
			if waited := time.Duration(second.Load() - first.Load()); waited < tt.at {
				t.Errorf("asked again after %s, sooner than %s", waited, tt.at)
			}
		})
	}
}

// TestPurchasesGoFirstWhenTheLimitIsNearlySpent: somebody else uses the same
// token. Polling stops, a customer who was seen to be low is bought for.
func TestPurchasesGoFirstWhenTheLimitIsNearlySpent(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Confirm: "4s"})
	m := p.meddled(t)
	d := p.started()
	d.decides("rechecking")
	var polls atomic.Int64
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && r.URL.Path == "/v1/customers/credits" {
			polls.Add(1)
		}
		h := w.Header()
		h.Set("X-RateLimit-Limit", "200")
		h.Set("X-RateLimit-Remaining", "5")
		h.Set("X-RateLimit-Reset", time.Now().Add(time.Minute).UTC().Format(time.RFC3339))
		return false
	})
	until(t, 30*time.Second, "the purchase", func() bool { return p.captured() == 1 })
	if n := polls.Load(); n > 2 {
		t.Errorf("balances were polled %d times when the limit was nearly spent", n)
	}
	if !d.has("poll", map[string]any{"level": "ERROR"}) {
		until(t, 30*time.Second, "a poll that says so", func() bool { return d.value("topupd_polls_total", "result", "error") >= 1 })
	}
}

// TestACustomerWhoseCurrencyChangesIsNotBoughtFor at a price in another one.
func TestACustomerWhoseCurrencyChangesIsNotBoughtFor(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
	m := p.meddled(t)
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/v2/customers") {
			return false
		}
		said := httptest.NewRecorder()
		m.proxy.ServeHTTP(said, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(said.Code)
		_, _ = w.Write(bytes.ReplaceAll(said.Body.Bytes(), []byte(`"EUR"`), []byte(`"USD"`)))
		return true
	})
	d := p.started()
	d.below("currency_mismatch", 1)
	d.polls(3)
	if n := p.asked(); n != 0 || m.hits.Load() == 0 {
		t.Fatalf("%d purchases were asked for; %d answers were changed", n, m.hits.Load())
	}
	contains(t, "targets list", p.stance(emulator.FirstCustomer).Text, "USD", "EUR")
	m.stop()
	p.restarted(d) // what is known of customers is up to a minute old otherwise
	p.settles(1)
}

// TestBalancesWithoutEndAreNoPoll: the same page again and again, of a list that
// says to be longer. The poll ends, says that it is incomplete, and nothing is
// bought for whom it does not show.
func TestBalancesWithoutEndAreNoPoll(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
	m := p.meddled(t)
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/customers/credits" {
			return false
		}
		query := r.URL.Query()
		query.Set("skip", "0")
		r.URL.RawQuery = query.Encode()
		said := httptest.NewRecorder()
		m.proxy.ServeHTTP(said, r)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bytes.Replace(said.Body.Bytes(), []byte(`"total":1`), []byte(`"total":100000`), 1))
		return true
	})
	d := p.started()
	until(t, 60*time.Second, "a poll that is incomplete", func() bool { return d.value("topupd_polls_total", "result", "incomplete") >= 1 })
	if ok := d.value("topupd_polls_total", "result", "ok"); ok != 0 || p.asked() != 0 {
		t.Errorf("%v polls are ok, %d purchases were asked for", ok, p.asked())
	}
	m.stop()
	p.setBalance(emulator.FirstCustomer, 100)
	p.settles(1)
}

// TestCustomersInCirclesAreReadOneByOne: a cursor that leads in circles ends the
// reading of the list after a page, and whom it does not show is read alone.
func TestCustomersInCirclesAreReadOneByOne(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
	m := p.meddled(t)
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Path != "/v2/customers" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"has_more":true,"next_cursor":"round","data":[]}`)
		return true
	})
	p.started()
	p.settles(1)
	if n := m.hits.Load(); n == 0 || n > 30 {
		t.Errorf("the list was read %d times, want a page for each of its parts", n)
	}
}
