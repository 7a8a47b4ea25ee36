package e2e

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// TestAnUnreadableBalanceNeverBuys: P13. The customer truly is low, but what is
// shown is no number; nothing is bought until it is, then once.
func TestAnUnreadableBalanceNeverBuys(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"null": "null", "a text": `"abc"`, "NaN as a text": `"NaN"`, "far beyond any account": "1e30", "an object": `{"credits":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
			p.emu.SetFaults(emulator.Faults{Glitch: 1, GlitchValue: value})
			d := p.started()
			d.decides("bad_reading")
			d.polls(3)
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for on a balance of %s", n, value)
			}
			if s := p.stance(emulator.FirstCustomer); s.Reason != "bad_reading" || s.Class != "trouble" || s.Balance != nil {
				t.Errorf("the target stands as %+v, want bad_reading without a balance", s)
			}
			p.emu.SetFaults(emulator.Faults{})
			p.settles(1)
		})
	}
}

// TestOneLowReadingIsNotEnough: P5. A balance that is shown as zero once, and
// as it is right before buying, buys nothing.
func TestOneLowReadingIsNotEnough(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
	p.emu.SetFaults(emulator.Faults{GlitchValue: "0", Next: []string{"glitch_balance"}})
	d := p.started()
	until(t, 30*time.Second, "a low reading", func() bool { return d.value("topupd_decisions_total", "reason", "rechecking") >= 1 })
	d.decides("enough")
	d.polls(3)
	if n := p.asked(); n != 0 {
		t.Errorf("%d purchases were asked for", n)
	}
}

// TestBalancesAllAtZeroWaitForAPerson: P14. The daemon says so, buys nothing, and
// lets go by itself whose balance is back. Whoever is not waits for a person.
func TestBalancesAllAtZeroWaitForAPerson(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(12, 1000), settings{})
	d := p.started()
	d.polls(2)
	p.emu.SetFaults(emulator.Faults{AllZero: 1})
	d.below("implausible", 12)
	d.polls(3)
	p.setBalance(emulator.FirstCustomer, 0)
	p.emu.SetFaults(emulator.Faults{})
	until(t, 30*time.Second, "the end of eleven holds", func() bool {
		return d.has("hold lifted", map[string]any{"level": "WARN", "targets": 11.0})
	})
	d.below("implausible", 1)
	d.polls(3)
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for", n)
	}
	if !d.has("implausible", map[string]any{"level": "ERROR", "targets": 12.0}) {
		t.Errorf("no log line tells of the twelve:\n%s", d.tail(20))
	}
	contains(t, "resume", p.succeeds("resume", "--provider", "hyperline", "--reason", "it is true"), "lifted 1 hold on implausible balances")
	p.settles(1)
}

// TestLyingPagesNeverBuy: rows that come twice, or never, because the list
// moves. The poll says that it is incomplete; a customer who is low is bought
// for once.
func TestLyingPagesNeverBuy(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]emulator.Faults{"rows come twice": {RepeatRow: 1}, "rows are lost": {MissingRow: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(250, 1000), settings{})
			d := p.started()
			d.polls(1)
			p.emu.SetFaults(faults)
			until(t, 30*time.Second, "three incomplete polls", func() bool {
				return d.value("topupd_polls_total", "result", "incomplete") >= 3
			})
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for", n)
			}
			p.setBalance(emulator.FirstCustomer, 100)
			d.polls(3)
			p.emu.SetFaults(emulator.Faults{})
			p.settles(1)
		})
	}
}

// TestBrokenAnswersNeverBuy: whole answers that are no answers. Polls fail and
// say so; a confirm read that fails is provider_unavailable; when it is over,
// the customer is bought for once.
func TestBrokenAnswersNeverBuy(t *testing.T) {
	t.Parallel()
	var visitors atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visitors.Add(1) }))
	t.Cleanup(func() {
		elsewhere.Close()
		if n := visitors.Load(); n != 0 {
			t.Errorf("%d reads followed a redirect to another host, with the token", n)
		}
	})
	for name, how := range map[string]http.HandlerFunc{
		"HTML with status 200": htmlPage,
		"half a JSON text":     halfJSON,
		"a body that is cut":   cutBody,
		"30 MB":                thirtyMegabytes,
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
			m := p.meddled(t)
			d := p.started()
			d.polls(1)
			m.set(onReads(how))
			until(t, 40*time.Second, "a failed poll", func() bool { return d.value("topupd_polls_total", "result", "error") >= 1 })
			m.set(onReads(how, "/credits/"+emulator.Product)) // now only the confirm read
			p.setBalance(emulator.FirstCustomer, 100)
			d.below("provider_unavailable", 1)
			if n := p.asked(); n != 0 {
				t.Fatalf("%d purchases were asked for", n)
			}
			if m.hits.Load() == 0 || d.ended() {
				t.Fatalf("%d answers were spoilt; ended: %v", m.hits.Load(), d.ended())
			}
			m.stop()
			p.settles(1)
		})
	}
}

// TestARedirectedPurchaseIsNotFollowed: P4. Neither the request nor the token
// goes where a 307 points; after the quiet period the same key buys once.
func TestARedirectedPurchaseIsNotFollowed(t *testing.T) {
	t.Parallel()
	var visitors atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visitors.Add(1) }))
	t.Cleanup(thief.Close)
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "4s", PurchaseTimeout: "1s"})
	m := p.meddled(t)
	var redirected atomic.Int64
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || redirected.Add(1) > 1 {
			return false
		}
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
		return true
	})
	p.started()
	p.settles(1)
	if n := visitors.Load(); n != 0 {
		t.Errorf("%d requests followed the redirect to another host", n)
	}
	if all := p.purchases(); len(all) != 1 || all[0].Attempts != 2 {
		t.Errorf("purchases: %+v, want one with two requests under one key", all)
	}
}

// TestAHugeAnswerToAPurchaseIsUnclear: P3. The charge was made, the answer
// cannot be read; evidence settles it, nothing is sent again.
func TestAHugeAnswerToAPurchaseIsUnclear(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{Quiet: "4s", PurchaseTimeout: "1s"})
	m := p.meddled(t)
	m.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			return false
		}
		m.proxy.ServeHTTP(httptest.NewRecorder(), r) // executed, the answer thrown away
		thirtyMegabytes(w, r)
		return true
	})
	d := p.started()
	p.settles(1)
	if n := p.asked(); n != 1 {
		t.Errorf("%d requests reached the provider, want 1", n)
	}
	if !d.has("purchase", map[string]any{"verdict": "unknown"}) {
		t.Errorf("the answer was not called unclear:\n%s", d.tail(10))
	}
}
