package sim

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/ledger"
	"topupd/rules"
	"topupd/topup"
)

// script is a history that was written by hand: what shall happen at which
// moment, and how it shall end. A nil script does nothing.
type script struct {
	*world
	t            *testing.T
	moments      []moment
	held         []func(*visitor) bool
	spoils       []func(*http.Request, *emulator.Faults)
	paths        map[string][]string // of every purchase: the states it was in
	minutely     func()              // called once in a minute; may be nil
	last         time.Time
	pausesThrown int
	nobody       bool         // looks at a hold: what ends it ends by itself
	expires      rules.Expiry // of every rule
	ending       ending
}

// moment is what a script waits for: a visitor, or a condition when what is nil.
type moment struct {
	what func(*visitor) bool
	so   func() bool
	do   func(*visitor)
}

// ending is everything that is known when a script is over.
type ending struct {
	rows     []topup.Purchase // oldest first
	books    emulator.Books
	external map[topup.CustomerID][]topup.Topup // imported
	stands   map[topup.CustomerID]topup.Standing
}

// outcome is what became of one purchase.
type outcome struct {
	Path     string // its states
	Payment  topup.Payment
	Reason   topup.FailureReason
	By       string // who named its reference: answer, evidence, person
	Of       string // who truly ordered what the reference names; "rise" of a rise of the balance
	Requests int    // that were, or may have been, on the wire
}

// alone is a small and quiet history: nobody uses anything, nothing is late, and
// it never ends by itself.
func alone(replicas, hyperline, voices int) history {
	return history{
		Seed: 7, Weather: calm, Replicas: replicas, Targets: hyperline, Voices: voices, Length: 10_000 * time.Hour,
		Poll: 10 * time.Second, Cooldown: 10 * time.Second, Cap: 1000, KeyMemory: 24 * time.Hour,
		ConnectionLife: time.Minute, Retries: []time.Duration{2 * time.Hour, 12 * time.Hour},
		Profile: emulator.HyperlineProfile{SettleAfter: 72 * time.Hour},
	}
}

// play runs a script until it says that it is over.
func play(t *testing.T, h history, plot func(*script)) *script {
	t.Helper()
	s := &script{t: t, paths: map[string][]string{}}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(began))
		s.world = newWorld(t, h)
		s.world.script, s.tracing = s, true
		for i, c := range s.customers {
			s.customers[i].PerSecond = "0"
			_ = s.emu.SetUsage(c.ID, decimal.Decimal{})
			s.balance(i, "200")
		}
		plot(s)
		s.drive()
		s.close(t)
	})
	for _, b := range s.judge.breaches {
		t.Errorf("broken promise: %s", b)
	}
	t.Cleanup(func() {
		for _, l := range s.trace {
			if t.Failed() {
				t.Logf("%10s %s", l.at.Truncate(time.Millisecond), l.text)
			}
		}
	})
	return s
}

// at lets something happen at a time from the beginning.
func (s *script) at(d time.Duration, do func()) { s.after(d-s.now().Sub(began), do) }

// once lets something happen right before the next visitor of that kind for the
// customer passes: "step permitted", "plan", "advance done".
func (s *script) once(what string, customer int, do func(*replica)) {
	s.moments = append(s.moments, moment{what: s.visit(what, customer), do: func(v *visitor) { do(v.by) }})
}

func (s *script) visit(what string, customer int) func(*visitor) bool {
	id := s.customers[customer].ID
	return func(v *visitor) bool {
		return v.what == what && (v.about == id || what == "request" && strings.Contains(v.about, id))
	}
}

// when lets something happen as soon as it is so.
func (s *script) when(so func() bool, do func()) {
	s.moments = append(s.moments, moment{so: so, do: func(*visitor) { do() }})
}

// hold keeps the first visitor that fits waiting until it is so.
func (s *script) hold(fits func(*visitor) bool, until func() bool) {
	var first *visitor
	s.held = append(s.held, func(v *visitor) bool {
		if first == nil && fits(v) {
			first = v
		}
		return v == first && !until()
	})
}

// request spoils the customer's nth purchase request: a fault, and how long it
// takes until it is executed.
func (s *script) request(customer, nth int, fault string, takes time.Duration) {
	id := topup.CustomerID(s.customers[customer].ID)
	s.spoils = append(s.spoils, func(r *http.Request, f *emulator.Faults) {
		if s.buyer(r) == id && r.Method == http.MethodPost && s.requests[id] == nth {
			f.Next, f.PurchaseDelay = []string{fault}, takes
		}
	})
}

// reads spoils the reads whose path ends so, while it is so.
func (s *script) reads(suffix, fault string, while func() bool) {
	s.spoils = append(s.spoils, func(r *http.Request, f *emulator.Faults) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, suffix) && while() {
			f.Next = append(f.Next, fault)
		}
	})
}

func (s *script) holds(v *visitor) bool {
	if s == nil {
		return false
	}
	return slices.ContainsFunc(s.held, func(held func(*visitor) bool) bool { return held(v) })
}

func (s *script) seen(v *visitor) {
	if s == nil {
		return
	}
	for id, f := range s.judge.rows {
		if n, state := len(s.paths[id]), string(f.row.State); n == 0 || s.paths[id][n-1] != state {
			s.paths[id] = append(s.paths[id], state)
		}
	}
	if s.minutely != nil && s.now().Sub(s.last) >= time.Minute {
		s.last = s.now()
		s.minutely()
	}
	s.pausesThrown = max(s.pausesThrown, len(s.judge.pauses))
	for i := 0; i < len(s.moments); i++ {
		if m := s.moments[i]; m.what != nil && m.what(v) || m.so != nil && m.so() {
			s.moments = slices.Delete(s.moments, i, i+1)
			m.do(v)
			return // one at a time: what it did decides about the others
		}
	}
}

func (s *script) spoil(r *http.Request, f *emulator.Faults) {
	if s == nil {
		return
	}
	for _, spoil := range s.spoils {
		spoil(r, f)
	}
}

// balance sets the true balance.
func (s *script) balance(customer int, credits string) {
	if err := s.emu.SetBalance(s.customers[customer].ID, decimal.MustParse(credits)); err != nil {
		s.t.Error(err)
	}
	s.tell(topup.CustomerID(s.customers[customer].ID), "* the balance is %s", credits)
}

// portal lets the customer buy a pack.
func (s *script) portal(customer int, pack string) {
	var packs []string
	if pack != "" {
		packs = append(packs, pack)
	}
	if err := s.emu.PortalPurchase(s.customers[customer].ID, packs...); err != nil {
		s.t.Error(err)
	}
	s.tell(topup.CustomerID(s.customers[customer].ID), "* the customer buys %s", pack)
}

// post is a person in the provider's dashboard.
func (s *script) post(path string) { s.dashboard(http.MethodPost, path, emulator.DefaultToken, "") }

// get is what the provider shows now.
func (s *script) get(path string) string {
	return s.dashboard(http.MethodGet, path, emulator.DefaultToken, "")
}

func (s *script) dashboard(method, path, token, body string) string {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	rw := httptest.NewRecorder()
	s.emu.Handler().ServeHTTP(rw, r)
	if rw.Code >= 300 {
		s.t.Errorf("%s %s: %d %s", method, path, rw.Code, rw.Body)
	}
	return rw.Body.String()
}

// row is the customer's nth purchase, counted from 1, as stored last.
func (s *script) row(customer, nth int) topup.Purchase {
	var list []*file
	for _, f := range s.judge.rows {
		if string(f.row.Target.Customer) == s.customers[customer].ID {
			list = append(list, f)
		}
	}
	if len(list) < nth {
		return topup.Purchase{}
	}
	slices.SortFunc(list, func(a, b *file) int { return a.planned.Compare(b.planned) })
	return list[nth-1].row
}

// is tells, for when, that the customer's nth purchase is in that state.
func (s *script) is(customer, nth int, state topup.State) func() bool {
	return func() bool { return s.row(customer, nth).State == state }
}

// reason is what the picture says about a customer.
func (s *script) reason(customer int) topup.Reason {
	return s.judge.states[topup.CustomerID(s.customers[customer].ID)].Reason
}

// standing is what the ledger knows about the customer's target.
func (s *script) standing(customer int) topup.Standing {
	standing, err := s.store.Standing(context.Background(), s.target(customer))
	if err != nil {
		s.t.Error(err)
	}
	return standing
}

func (s *script) target(customer int) topup.Target {
	c := s.customers[customer]
	id := topup.Target{Provider: hyperlineID, Customer: topup.CustomerID(c.ID), Product: topup.ProductID(c.Product)}
	if c.Provider == "talkover" {
		id.Provider = talkoverID(c.ID)
	}
	return id
}

// ordered lists who ordered what the provider executed for the customer so far.
func (s *script) ordered(customer int) []emulator.Charge {
	return s.emu.Books().For(s.customers[customer].ID)
}

// end ends the history: every process ends, and the judge reads the books.
func (s *script) end() {
	s.ended = true
	s.moments, s.held, s.actions = nil, nil, nil // nothing else happens, and nobody comes back
	for _, r := range s.replicas {
		if r != nil {
			r.restart = -1
			r.frozenUntil.Store(0)
			r.stop()
		}
	}
	s.after(2*time.Second, s.collect)
}

func (s *script) collect() {
	ctx := context.Background()
	rows, err := s.store.Purchases(ctx, ledger.Filter{})
	if err != nil {
		s.t.Error(err)
	}
	slices.Reverse(rows)
	s.ending = ending{rows: rows, books: s.emu.Books(), external: map[topup.CustomerID][]topup.Topup{}, stands: map[topup.CustomerID]topup.Standing{}}
	for i, c := range s.customers {
		id := topup.CustomerID(c.ID)
		others, err := s.store.Others(ctx, topup.Purchase{Target: s.target(i)}, began.Add(-time.Hour))
		if err != nil {
			s.t.Error(err)
		}
		s.ending.external[id], s.ending.stands[id] = others.External, s.standing(i)
	}
	s.finish()
}

// endBy ends the story some time after it is so, so that late effects show, and
// fails it when that takes longer than limit from the beginning.
func (s *script) endBy(limit, later time.Duration, so func() bool) {
	s.when(so, func() { s.after(later, s.end) })
	s.at(limit, func() {
		s.t.Errorf("the story is not over after %s", limit)
		s.end()
	})
}

// want holds the ending against what was expected: how every purchase went, and
// who took the customers' money how often: "api 1, portal 1".
func (s *script) want(captured string, outcomes ...outcome) {
	s.t.Helper()
	var got []outcome
	for _, p := range s.ending.rows {
		got = append(got, outcome{
			Path: strings.Join(s.paths[p.ID], " "), Payment: p.Payment, Reason: p.Reason,
			By: p.ReferenceBy, Of: s.orderer(p.Reference), Requests: p.Attempts,
		})
	}
	if diff := cmp.Diff(outcomes, got); diff != "" {
		s.t.Errorf("the purchases (-want +got):\n%s", diff)
	}
	counts := map[string]int{}
	for _, c := range s.ending.books.Captured() {
		counts[c.Source]++
	}
	var parts []string
	for source, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", source, n))
	}
	slices.Sort(parts)
	if paid := strings.Join(parts, ", "); paid != captured {
		s.t.Errorf("the money was taken by %q, want %q", paid, captured)
	}
}

// told fails the test unless one line of what happened has all the words.
func (s *script) told(words ...string) {
	s.t.Helper()
	for _, l := range s.trace {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(l.text, w) }) {
			return
		}
	}
	s.t.Errorf("nobody was told %q", words)
}

// orderer is who truly ordered what a reference names.
func (s *script) orderer(reference string) string {
	if strings.HasPrefix(reference, "balance-increase@") {
		return "rise"
	}
	for _, c := range s.ending.books.Charges {
		if reference != "" && (c.Invoice == reference || c.ID == reference) {
			return c.Source
		}
	}
	return reference
}
