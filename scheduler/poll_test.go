package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/rules"
	"topupd/topup"
)

// customers fills a provider with n customers who have enough.
func (w *world) customers(n int) {
	for i := range n {
		w.balance(topup.CustomerID(fmt.Sprintf("cus_%02d", i)), 500)
	}
}

func (w *world) all() []topup.CustomerID {
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	return slices.Sorted(maps.Keys(w.accounts))
}

// empty sets the balances of the first n customers to zero.
func (w *world) empty(n int) {
	for i := range n {
		w.balance(topup.CustomerID(fmt.Sprintf("cus_%02d", i)), 0)
	}
}

func TestManyBalancesThatBecomeEmptyAtOnceAreHeld(t *testing.T) {
	for _, tt := range []struct {
		name      string
		customers int
		empty     int
		held      bool
	}{
		{"three of three are a handful", 3, 3, false},
		{"four of twelve are not", 12, 4, true},
		{"three of forty", 40, 3, false},
		{"four of forty are a tenth", 40, 4, false},
		{"five of forty are more than a tenth", 40, 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.customers(tt.customers)
				p := w.run(t, "a")
				after(7 * time.Second)
				w.empty(tt.empty)
				after(30 * time.Second)
				want := tt.empty
				if tt.held {
					want = 0
				}
				if got := len(w.charged()); got != want {
					t.Errorf("bought for %d of %d empty ones, want %d", got, tt.empty, want)
				}
				said := p.journal.find("implausible", map[string]string{"provider": name, "targets": fmt.Sprint(tt.empty)})
				if tt.held != (len(said) == 1 && said[0].level == slog.LevelError) {
					t.Errorf("an error line for a person: %+v", said)
				}
				if got := p.board.state("cus_00").Reason; tt.held != (got == topup.Implausible) {
					t.Errorf("reason %q", got)
				}
			})
		})
	}
}

// TestWhoIsHeldAlreadyCountsTowardsTheCrowd: a provider that shows zero for
// everybody shows it to the few who are left, too (P14).
func TestWhoIsHeldAlreadyCountsTowardsTheCrowd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(12)
		w.run(t, "a")
		after(7 * time.Second)
		w.empty(4)
		after(30 * time.Second)
		w.empty(5)
		after(30 * time.Second)
		if !w.ledger.held("cus_04") || len(w.charged()) != 0 {
			t.Errorf("the fifth is held: %t; bought for %v", w.ledger.held("cus_04"), w.charged())
		}
	})
}

// TestWhoHasNothingIsNoWitness: a provider that has lost everybody shows it of those
// who had anything. Sixty of whom five had something, and none of the five has now,
// is everybody (P14).
func TestWhoHasNothingIsNoWitness(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(60)
		for n := 5; n < 60; n++ {
			w.balance(topup.CustomerID(fmt.Sprintf("cus_%02d", n)), 0)
		}
		w.reload(func(r *rules.Rule) { r.DryRun = true }) // so that they stay empty
		w.run(t, "a")
		after(2*topup.FallWindow + 7*time.Second)
		w.empty(5)
		after(30 * time.Second)
		for n := range 5 {
			if id := topup.CustomerID(fmt.Sprintf("cus_%02d", n)); !w.ledger.held(id) {
				t.Errorf("%s is not held", id)
			}
		}
		if w.ledger.held("cus_05") {
			t.Error("one that had nothing is held")
		}
	})
}

// TestWhoWasDryAndGotCreditsIsHeldBesideTheCrowd: a provider that shows zero for
// everybody hides that a purchase arrived. Whoever was dry before and got nothing
// is bought for all the same (P14).
func TestWhoWasDryAndGotCreditsIsHeldBesideTheCrowd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		crowd  int
		row    time.Duration // when the credits came, after the customer ran dry; 0 = never
		bought bool
	}{
		{"credits came, and everybody is at zero", 6, time.Second, false},
		{"no credits came, and everybody is at zero", 6, 0, true},
		{"credits came, and nobody else is at zero", 0, time.Second, true},
		{"credits had come before", 6, -time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.customers(12)
				w.reload(func(r *rules.Rule) { r.DryRun = true }) // so that it stays dry
				w.run(t, "a")
				after(7 * time.Second)
				w.balance("cus_11", 0)
				after(topup.FallWindow + pollTime) // it fell by itself, not with the others
				if tt.row != 0 {
					at := time.Now().Add(tt.row - topup.FallWindow - pollTime/2)
					w.ledger.of("cus_11", func(s *topup.Standing) { s.NewestRowAt = &at })
				}
				after(time.Second)
				w.empty(tt.crowd)
				after(pollTime)
				if held := w.ledger.held("cus_11"); held == tt.bought {
					t.Errorf("held: %t, want %t", held, !tt.bought)
				}
			})
		})
	}
}

func TestUnreadableBalancesCountAsEmptyAndFallsDoNot(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*account)
		held   bool
	}{
		{"null", func(a *account) { a.bad = "null" }, true},
		{"zero", func(a *account) { a.balance = 0 }, true},
		{"a fall to one credit", func(a *account) { a.balance = topup.Credit }, false},
		{"a fall into debt", func(a *account) { a.balance = -topup.Credit }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.customers(6)
				w.run(t, "a")
				after(7 * time.Second)
				for _, customer := range w.all() {
					w.set(customer, tt.change)
				}
				after(30 * time.Second)
				if held := w.ledger.held("cus_00"); held != tt.held {
					t.Errorf("held %v, want %v", held, tt.held)
				}
				if bought := len(w.charged()) > 0; bought == tt.held {
					t.Errorf("bought for %v", w.charged())
				}
			})
		})
	}
}

func TestAHoldThatTheLedgerDoesNotTakeHoldsAllTheSame(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(6)
		w.ledger.holdErr = errors.New("disk full")
		p := w.run(t, "a")
		after(7 * time.Second)
		w.empty(6)
		after(30 * time.Second)
		if n := len(w.charged()); n != 0 {
			t.Fatalf("bought for %d customers whose hold could not be stored", n)
		}
		w.ledger.do(func(m *memory) { m.holdErr = nil })
		after(pollTime)
		if !w.ledger.held("cus_05") || p.board.state("cus_05").Reason != topup.Implausible {
			t.Error("the next poll did not try again")
		}
		w.resume()
		after(30 * time.Second)
		if n := len(w.charged()); n != 6 {
			t.Errorf("bought for %d of 6 once a person resumed", n)
		}
	})
}

func TestNothingIsBoughtWhileAHoldIsBeingStored(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.reload(func(r *rules.Rule) { r.ConfirmAfter = 12 * time.Second })
		w.customers(6)
		for _, customer := range w.all() {
			w.balance(customer, 99) // to be read again at 12 s
		}
		w.ledger.holding = func() { time.Sleep(10 * time.Second) }
		w.run(t, "a")
		after(7 * time.Second)
		w.empty(6) // seen at 10 s, held at 20 s
		after(20 * time.Second)
		if len(w.charged()) != 0 || len(w.read(w.start)) != 0 || !w.ledger.held("cus_00") {
			t.Errorf("charged %v after confirm reads at %v", w.charged(), w.read(w.start))
		}
		after(20 * time.Second)
	})
}

func TestARestartDoesNotMakeZerosPlausible(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(6)
		w.run(t, "a").end(t)
		w.empty(6)
		w.run(t, "b")
		after(30 * time.Second)
		if n := len(w.charged()); n != 0 {
			t.Errorf("bought for %d customers whose balances became zero during a restart", n)
		}
	})
}

func TestATargetThatIsNotShownAnyMore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("gone", 50)
		w.balance("stays", 500)
		w.ledger.refuse = topup.ErrPaused
		p := w.run(t, "a")
		after(7 * time.Second)
		w.set("gone", func(a *account) { a.hidden = true })
		after(pollTime)
		s := p.board.state("gone")
		if s.Reason != topup.NotSeen || s.Balance == nil || *s.Balance != 50*topup.Credit || s.TroubleSince.IsZero() {
			t.Errorf("state %+v, want not_seen with the last balance, in trouble", s)
		}
		w.do(func(at *provider) { at.incomplete = true })
		after(2 * time.Hour)
		if got := p.board.state("gone").Reason; got != topup.NotSeen {
			t.Errorf("incomplete polls prove nothing, but it is %q", got)
		}
		w.do(func(at *provider) { at.incomplete = false })
		after(2 * pollTime)
		if p.board.shows("gone") {
			t.Error("after an hour and a complete poll it counts as taken off")
		}
		if results := p.board.polls(); results[0] != SweptOK || !slices.Contains(results, SweptIncomplete) {
			t.Errorf("polls: %v", results[:5])
		}
	})
}

func TestAProviderThatCannotBeRead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("low", 50)
		w.balance("full", 500)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) { c.PriceProblem = "wrong price" }
		p := w.run(t, "a")
		after(7 * time.Second)
		troubled := p.board.state("low").TroubleSince
		w.do(func(at *provider) { at.away = errors.New("HTTP 503") })
		after(time.Minute)
		if got := p.board.state("full").Reason; got != topup.Enough {
			t.Errorf("a reading younger than max_reading_age still counts, got %q", got)
		}
		after(time.Minute + 2*pollTime)
		for _, customer := range []topup.CustomerID{"low", "full"} {
			if got := p.board.state(customer).Reason; got != topup.ProviderUnavailable {
				t.Errorf("%s: %q, want provider_unavailable", customer, got)
			}
		}
		s := p.board.state("low")
		if s.Threshold == nil || *s.Threshold != 100*topup.Credit || s.TroubleSince.IsZero() || s.TroubleSince.Before(troubled) {
			t.Errorf("a low customer stays low and in trouble while nobody can look: %+v", s)
		}
		if !p.board.state("full").TroubleSince.IsZero() {
			t.Error("a customer who had enough is not low because nobody can look")
		}
		if results := p.board.polls(); results[len(results)-1] != SweptError {
			t.Errorf("polls: %v", results)
		}
		if p.LastPoll().Sub(w.start) > 10*time.Second {
			t.Errorf("a failed poll counted as one that gave readings")
		}
	})
}

func TestASuspendedCustomersPaymentMethodsAreReadEveryFiveMinutes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.methods = "visa 4242"
		w.ledger.cards[target("cus")] = "visa 4242"
		w.ledger.of("cus", func(s *topup.Standing) { s.SuspendedAt, s.Declines = &w.start, 4 })
		p := w.run(t, "a")
		after(11 * time.Minute)
		if diff := cmp.Diff([]time.Duration{0, 5 * time.Minute, 10 * time.Minute}, w.asked(w.start)); diff != "" {
			t.Errorf("payment methods read at (-want +got):\n%s", diff)
		}
		if s := p.board.state("cus"); s.Reason != topup.Suspended || !s.TroubleSince.Equal(w.start) {
			t.Errorf("state %+v", s)
		}
		w.do(func(at *provider) { at.methods = "amex 0005" })
		after(5 * time.Minute)
		if len(w.charged()) != 1 || len(p.journal.find("suspension lifted", map[string]string{"customer": "cus"})) != 1 {
			t.Errorf("a new card lifts the suspension: charged %v", w.charged())
		}
	})
}

func TestAFailedReadOfPaymentMethodsWaitsToo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.ledger.of("cus", func(s *topup.Standing) { s.SuspendedAt = &w.start })
		p := w.process("a")
		p.Reader = &noMethods{w.provider}
		p.begin(t)
		after(4 * time.Minute)
		if n := len(w.asked(w.start)); n != 1 {
			t.Errorf("asked %d times in 4 minutes", n)
		}
		if got := p.board.state("cus").Reason; got != topup.Suspended {
			t.Errorf("reason %q", got)
		}
	})
}

// noMethods refuses to list payment methods.
type noMethods struct{ *provider }

func (p *noMethods) PaymentMethods(ctx context.Context, t topup.Target) (string, error) {
	_, _ = p.provider.PaymentMethods(ctx, t)
	return "", errors.New("HTTP 403")
}

func TestTheDecisionLogHasEveryChangeAndOneLineAMinute(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 500)
		p := w.run(t, "a")
		after(2*time.Minute + time.Second)
		if diff := cmp.Diff([]topup.Reason{topup.Enough, topup.Enough, topup.Enough}, w.ledger.decisions("cus")); diff != "" {
			t.Errorf("an unchanged decision, every minute (-want +got):\n%s", diff)
		}
		if e := w.ledger.last("cus"); !e.Since.Equal(w.start) || !e.At.Equal(w.start.Add(2*time.Minute)) {
			t.Errorf("since %s, at %s: want the whole time", e.Since.Sub(w.start), e.At.Sub(w.start))
		}
		w.ledger.do(func(m *memory) {
			m.change = func(s *topup.Standing) {
				s.Pauses = []topup.Pause{{Scope: topup.PauseAll, By: "ops", Reason: "maintenance"}}
			}
		})
		w.balance("cus", 50)
		after(pollTime)
		e := w.ledger.last("cus")
		if e.Reason != topup.Paused || !e.Since.Equal(w.start.Add(125*time.Second)) || len(e.Detail) == 0 {
			t.Errorf("a change is recorded at once: %+v", e)
		}
		w.reload(func(r *rules.Rule) { r.Version = "v2" })
		after(pollTime)
		if e := w.ledger.last("cus"); e.RuleVersion != "v2" {
			t.Errorf("a new version of the rule is recorded at once: %+v", e)
		}
		got := p.journal.find("check", map[string]string{"decision": "paused"})
		want := map[string]string{
			"provider": name, "customer": "cus", "product": "itm_1", "rule": "api-credits", "decision": "paused",
			"reason": "paused (all) by ops: maintenance", "balance": "50", "threshold": "100",
		}
		if len(got) == 0 || cmp.Diff(want, got[0].fields) != "" || got[0].level != slog.LevelDebug {
			t.Errorf("the canonical line: %+v", got)
		}
	})
}

func TestTheLineOfAPurchase(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		p := w.run(t, "a")
		after(6 * time.Second)
		lines := p.journal.find("check", map[string]string{"decision": "buy"})
		want := map[string]string{
			"provider": name, "customer": "cus", "product": "itm_1", "rule": "api-credits", "decision": "buy",
			"reason": "buying 600 credits for 900.00 EUR excluding tax", "balance": "50", "threshold": "100",
			"purchase": w.ledger.planned()[0].Purchase.ID,
		}
		if len(lines) != 1 || cmp.Diff(want, lines[0].fields) != "" || lines[0].level != slog.LevelInfo {
			t.Errorf("one line at info: %+v", lines)
		}
		if n := p.board.count(topup.Buy); n != 1 {
			t.Errorf("counted %d purchases", n)
		}
	})
}

func TestADatabaseThatIsAwayStopsNothingElse(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 500)
		p := w.run(t, "a")
		after(time.Second)
		w.balance("cus", 50)
		w.ledger.do(func(m *memory) { m.away = errors.New("connection refused") })
		after(8 * time.Second)
		if got := p.board.polls(); got[len(got)-1] != SweptError || len(p.journal.find("poll", nil)) == 0 {
			t.Errorf("polls %v: a poll without the ledger is a failed one", got)
		}
		w.ledger.do(func(m *memory) { m.away = nil })
		after(30 * time.Second)
		if len(w.charged()) != 1 {
			t.Errorf("charged %v once the database was back", w.charged())
		}
	})
}

func TestARuleThatGoesAwayDuringACheckLeavesARecordOfItsTarget(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.confirming = func(_ topup.Order, c *topup.Confirmation) {
			c.PriceProblem = "wrong price"
			w.mu.Lock()
			w.book = &Rulebook{}
			w.mu.Unlock()
		}
		p := w.run(t, "a")
		after(time.Minute)
		for _, e := range w.ledger.records() {
			if e.Target != target("cus") {
				t.Errorf("recorded for %+v", e.Target)
			}
		}
		if p.board.shows("cus") {
			t.Error("a product that no rule buys is still watched")
		}
	})
}
