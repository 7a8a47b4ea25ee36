package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// wallet is a connection that is one account, as at Talkover.
type wallet struct{ *provider }

func (wallet) Sample(context.Context, topup.Target) (topup.Sample, error) {
	return topup.Sample{}, errors.New("not asked here")
}

func (wallet) Recharges(context.Context, topup.Target, time.Time) (done, pending []topup.Topup, err error) {
	return nil, nil, errors.New("not asked here")
}

// asAccount lets a daemon watch the provider as one account.
func (w *world) asAccount(o *Options) { o.Reader = wallet{w.provider} }

// TestAnAccountsZeroIsSeenTwiceBeforeItIsBoughtFor: P5, P14.
func TestAnAccountsZeroIsSeenTwiceBeforeItIsBoughtFor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lies   time.Duration // for how long it shows zero; 0 = for ever
		frozen bool          // under one stamp
		bought time.Duration // after it fell, within a retry; 0 = never
		proven bool
	}{
		{"for five seconds", 5 * time.Second, false, 0, true},
		{"for fifty seconds", 50 * time.Second, false, 0, true},
		{"for nine minutes, under one stamp", 9 * time.Minute, true, 0, true},
		{"truly", 0, false, time.Minute, true},
		{"truly, and the stamp stops with the use", 0, true, 10 * time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.ledger.accounts = 1
				w.balance("env", 500)
				p := w.run(t, "a", w.asAccount)
				after(3*time.Minute - time.Second)
				fell := time.Now().Add(time.Second)
				w.set("env", func(a *account) {
					a.balance = 0
					if tt.frozen {
						a.stamp = time.Now()
					}
				})
				if tt.lies > 0 {
					after(tt.lies)
					w.balance("env", 500)
				}
				if tt.bought > 0 {
					after(tt.bought - 2*time.Second)
					if len(w.charged()) != 0 {
						t.Fatalf("bought for %s after it fell, want not before %s", w.chargedAt[0].Sub(fell), tt.bought)
					}
				}
				after(5 * time.Minute)
				if tt.bought > 0 != (len(w.charged()) == 1) {
					t.Fatalf("bought %d times", len(w.charged()))
				}
				said := p.journal.find("unproven", map[string]string{"customer": "env"})
				if tt.proven == (len(said) == 1 && said[0].level == slog.LevelError) {
					t.Errorf("an error line for a person: %+v", said)
				}
				if len(w.charged()) == 0 && w.ledger.stored("env").Fall != nil {
					t.Error("its balance is back, and the fall is not over")
				}
			})
		})
	}
}

// stored is what is stored about a customer.
func (m *memory) stored(customer topup.CustomerID) topup.Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read(target(customer))
}

// TestAnUnprovenPurchaseIsShownUntilTheBalanceIsBack: P16.
func TestAnUnprovenPurchaseIsShownUntilTheBalanceIsBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.ledger.accounts = 1
		w.balance("env", 500)
		w.do(func(p *provider) { p.answering = func(topup.Purchase) bool { return false } }) // it stays empty
		p := w.run(t, "a", w.asAccount)
		after(time.Minute)
		w.set("env", func(a *account) { a.balance, a.stamp = 0, time.Now() })
		after(13 * time.Minute)
		if len(w.ledger.planned()) == 0 || !p.board.state("env").Unproven {
			t.Errorf("%d plans, shown as %+v", len(w.ledger.planned()), p.board.state("env"))
		}
		w.set("env", func(a *account) { a.balance, a.stamp = 500*topup.Credit, time.Time{} })
		after(2 * pollTime)
		if p.board.state("env").Unproven {
			t.Error("shown still, although the balance is back")
		}
	})
}

// TestARestartDoesNotProveAnAccountsZero: P5, P14.
func TestARestartDoesNotProveAnAccountsZero(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.ledger.accounts = 1
		w.balance("env", 500)
		w.run(t, "a", w.asAccount).end(t)
		w.set("env", func(a *account) { a.balance, a.stamp = 0, time.Now() })
		for _, holder := range []string{"b", "c", "d"} {
			p := w.run(t, holder, w.asAccount)
			after(4 * time.Minute)
			p.end(t)
		}
		if n := len(w.charged()); n != 0 {
			t.Errorf("bought %d times: three processes of four minutes have not seen ten minutes without a break", n)
		}
	})
}

// TestAccountsOfAHostAreDoubtedTogether: P14. Another process sees the other one.
func TestAccountsOfAHostAreDoubtedTogether(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.ledger.accounts, w.ledger.otherFalls = 2, 1
		w.balance("env", 500)
		p := w.run(t, "a", w.asAccount)
		after(time.Minute)
		w.balance("env", 0)
		after(20 * time.Minute)
		if len(w.charged()) != 0 || !w.ledger.held("env") || p.board.state("env").HeldSince.IsZero() {
			t.Errorf("bought %d times, held %t", len(w.charged()), w.ledger.held("env"))
		}
	})
}

// TestAHoldEndsWhenBalancesAreBack: P14. Whoever is back in two complete polls
// is let go; whoever is not stays held; meanwhile the records show what is read.
func TestAHoldEndsWhenBalancesAreBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(6)
		p := w.run(t, "a")
		after(7 * time.Second)
		w.empty(6)
		after(time.Minute)
		held := p.board.state("cus_01")
		if !w.ledger.held("cus_01") || held.HeldSince.IsZero() || held.Reason != topup.Implausible {
			t.Fatalf("not held: %+v", held)
		}
		w.do(func(at *provider) { at.incomplete = true })
		for _, customer := range w.all()[1:] {
			w.balance(customer, 400)
		}
		after(pollTime)
		e := w.ledger.last("cus_01")
		if e.Reason != topup.Implausible || e.Balance == nil || *e.Balance != 400*topup.Credit || !strings.Contains(e.Text, "it shows 400 now") {
			t.Errorf("the newest record does not show the reading of now: %+v", e)
		}
		after(4 * pollTime)
		if !w.ledger.held("cus_01") {
			t.Error("polls that are not complete have ended the hold")
		}
		w.do(func(at *provider) { at.incomplete = false })
		after(pollTime)
		if !w.ledger.held("cus_01") {
			t.Error("one complete poll has ended the hold")
		}
		after(pollTime)
		if w.ledger.held("cus_01") || !w.ledger.held("cus_00") {
			t.Errorf("after two: who is back is held %t, who is not %t", w.ledger.held("cus_01"), w.ledger.held("cus_00"))
		}
		if s := p.board.state("cus_01"); s.Reason != topup.Enough || !s.HeldSince.IsZero() {
			t.Errorf("shown as %+v", s)
		}
		said := p.journal.find("hold lifted", map[string]string{"targets": "5"})
		if len(said) != 1 || said[0].level != slog.LevelWarn || len(w.charged()) != 0 {
			t.Errorf("said %+v, bought for %v", said, w.charged())
		}
		w.balance("cus_01", 0) // a new fall, of one
		after(30 * time.Second)
		if got := w.charged(); len(got) != 0 {
			t.Errorf("one more than the held one fell, a fifth and a sixth of six: %v", got)
		}
	})
}

// TestAZeroInBetweenBeginsTheCountAnew: P14.
func TestAZeroInBetweenBeginsTheCountAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(6)
		w.run(t, "a")
		after(7 * time.Second)
		for range 5 { // back in one poll, gone in the next
			w.empty(6)
			after(pollTime)
			for _, customer := range w.all() {
				w.balance(customer, 400)
			}
			after(pollTime)
		}
		if !w.ledger.held("cus_00") || len(w.charged()) != 0 {
			t.Errorf("held %t, bought for %v", w.ledger.held("cus_00"), w.charged())
		}
	})
}

// TestHoldsOfAPersonStay: what may have been paid for twice is no matter of
// readings (P14).
func TestHoldsOfAPersonStay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.ledger.of("cus", func(s *topup.Standing) { s.Implausible = "may have paid twice" })
		p := w.run(t, "a", func(o *Options) { o.Reader = lister{w.provider, nil} })
		after(time.Hour)
		if !w.ledger.held("cus") || len(w.charged()) != 0 || !p.board.state("cus").HeldSince.IsZero() {
			t.Errorf("held %t, bought for %v, shown %+v", w.ledger.held("cus"), w.charged(), p.board.state("cus"))
		}
	})
}

// lister is a provider whose list shows what ended.
type lister struct {
	*provider
	ended func(topup.Target) ([]topup.Expiry, error)
}

func (l lister) Expired(_ context.Context, target topup.Target, _ time.Time) ([]topup.Expiry, error) {
	if l.ended == nil {
		return nil, nil
	}
	return l.ended(target)
}

// TestTheProvidersListExplainsAZero: P14.
func TestTheProvidersListExplainsAZero(t *testing.T) {
	for _, tt := range []struct {
		name    string
		credits topup.Credits
		earlier time.Duration
		err     error
		bought  int
	}{
		{"all of it ended", 500 * topup.Credit, 0, nil, 6},
		{"less ended than was there", 499 * topup.Credit, 0, nil, 0},
		{"it ended long before", 500 * topup.Credit, 3 * time.Hour, nil, 0},
		{"the list cannot be read", 0, 0, errors.New("HTTP 500"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.customers(6)
				p := w.run(t, "a", func(o *Options) {
					o.Reader = lister{w.provider, func(topup.Target) ([]topup.Expiry, error) {
						return []topup.Expiry{{Credits: tt.credits, At: w.start.Add(7*time.Second - tt.earlier)}}, tt.err
					}}
				})
				after(7 * time.Second)
				w.empty(6)
				after(2 * time.Minute)
				if got := len(w.charged()); got != tt.bought {
					t.Errorf("bought for %d", got)
				}
				if said := len(p.journal.find("hold lifted", nil)); said != tt.bought {
					t.Errorf("%d lines about holds that are over", said)
				}
				if s := p.board.state("cus_00"); tt.bought == 0 && s.Reason != topup.Implausible {
					t.Errorf("shown as %+v", s)
				}
			})
		})
	}
}

// TestWhatWeOrderedToEndExplainsAZero: P14.
func TestWhatWeOrderedToEndExplainsAZero(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ends   func(w *world) []topup.Batch
		bought int
	}{
		{"all of it", func(w *world) []topup.Batch {
			return []topup.Batch{{Credits: 500 * topup.Credit, ExpiresAt: w.start.Add(8 * time.Second)}}
		}, 6},
		{"all of it, in two purchases", func(w *world) []topup.Batch {
			return []topup.Batch{{Credits: 250 * topup.Credit, ExpiresAt: w.start}, {Credits: 250 * topup.Credit, ExpiresAt: w.start.Add(time.Second)}}
		}, 6},
		{"a part of it", func(w *world) []topup.Batch { return []topup.Batch{{Credits: 400 * topup.Credit, ExpiresAt: w.start}} }, 0},
		{"all of it, tomorrow noon", func(w *world) []topup.Batch {
			return []topup.Batch{{Credits: 500 * topup.Credit, ExpiresAt: w.start.Add(36 * time.Hour)}}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.customers(6)
				w.ledger.do(func(m *memory) {
					m.expiring = map[topup.Target][]topup.Batch{}
					for _, customer := range w.all() {
						m.expiring[target(customer)] = tt.ends(w)
					}
				})
				p := w.run(t, "a")
				after(7 * time.Second)
				w.empty(6)
				after(time.Minute)
				if got := len(w.charged()); got != tt.bought {
					t.Errorf("bought for %d, want %d", got, tt.bought)
				}
				if rush := len(p.journal.find("rush", map[string]string{"ran_out": "6"})); (rush == 1) != (tt.bought > 0) {
					t.Errorf("%d lines tell of the rush", rush)
				}
			})
		})
	}
}

// TestAnUnreadableBalanceIsNoLastOne: P13, P14. Zero after null is a fall from
// what was believed before.
func TestAnUnreadableBalanceIsNoLastOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.ledger.accounts = 1
		w.balance("env", 500)
		w.run(t, "a", w.asAccount)
		after(7 * time.Second)
		w.set("env", func(a *account) { a.bad = "null" })
		after(30 * time.Minute)
		w.set("env", func(a *account) { a.bad, a.balance = "", 0 })
		after(50 * time.Second)
		if n := len(w.charged()); n != 0 {
			t.Errorf("bought %d times on a zero that was null before", n)
		}
		synctest.Wait()
	})
}

// TestFilled: a zero is doubtful while credits are due, or came after what was
// believed last (P14).
func TestFilled(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 12, 1, 12, minute, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name          string
		dry, believed time.Time
		standing      topup.Standing
		want          bool
	}{
		{"nothing came", at(10), at(9), topup.Standing{}, false},
		{"a purchase whose credits are due", time.Time{}, at(9), topup.Standing{Open: &topup.Purchase{State: topup.Confirmed}}, true},
		{"one of which nothing is known yet", time.Time{}, at(9), topup.Standing{Open: &topup.Purchase{State: topup.Sent}}, false},
		{"credits after what was believed last", time.Time{}, at(9), topup.Standing{NewestRowAt: new(at(10))}, true},
		{"credits before", time.Time{}, at(9), topup.Standing{NewestRowAt: new(at(8))}, false},
		{"credits after it had run dry", at(5), at(9), topup.Standing{NewestRowAt: new(at(6))}, true},
	} {
		tr := &tracked{dry: tt.dry, trust: rules.Trusted{ReadAt: tt.believed}}
		if got := filled(tr, tt.standing); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// uses lets a customer use so many credits between two polls, two dozen times, until
// that much is left.
func (w *world) uses(customer topup.CustomerID, each, left int64) {
	for balance := left + 24*each; balance >= left; balance -= each {
		w.balance(customer, balance)
		after(pollTime)
	}
}

// TestUseAloneEndsNoHold: P14. What a customer could have used since explains a
// zero less the longer it is held, and the provider's list says nothing.
func TestUseAloneEndsNoHold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(6)
		w.run(t, "a", func(o *Options) { o.Reader = lister{w.provider, nil} })
		after(7 * time.Second)
		w.uses("cus_00", 10, 110)
		w.empty(6)
		after(30 * time.Minute)
		if !w.ledger.held("cus_00") || len(w.charged()) != 0 {
			t.Errorf("held %t, bought for %v", w.ledger.held("cus_00"), w.charged())
		}
	})
}

// TestWhoFallsBesideAHeldCrowdIsHeld: P14. However much later: the provider may
// still be lying.
func TestWhoFallsBesideAHeldCrowdIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(6)
		w.run(t, "a")
		after(7 * time.Second)
		w.empty(5)
		after(5 * time.Minute)
		w.uses("cus_05", 150, 105)
		w.balance("cus_05", 0)
		after(time.Minute)
		if !w.ledger.held("cus_00") || !w.ledger.held("cus_05") || len(w.charged()) != 0 {
			t.Errorf("held %t and %t, bought for %v", w.ledger.held("cus_00"), w.ledger.held("cus_05"), w.charged())
		}
	})
}

// TestARushIsToldOnceAMinute: it lasts for many passes.
func TestARushIsToldOnceAMinute(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(1)
		p := w.run(t, "a")
		for range 125 { // two minutes and five seconds
			p.Watch.tellRush(t.Context())
			after(time.Second)
		}
		if n := len(p.journal.find("rush", nil)); n != 3 {
			t.Errorf("told %d times, want 3", n)
		}
	})
}

// TestABeliefIsAboutTheZeroBeforeTheCredits: P14. A person said that a zero was
// true; what is shown after credits came is another one.
func TestABeliefIsAboutTheZeroBeforeTheCredits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.customers(1)
		p := w.run(t, "a")
		after(7 * time.Second)
		now := time.Now()
		for _, came := range []bool{false, true} {
			p.Watch.mu.Lock()
			tr := &tracked{dry: now.Add(-time.Hour), trust: rules.Trusted{ReadAt: now.Add(-time.Minute)}}
			s := topup.Standing{Fall: &topup.Fall{Believed: true}}
			if came {
				s.NewestRowAt = new(now.Add(-time.Minute - time.Second))
			}
			p.Watch.fell(tr, topup.Reading{Target: target("cus"), ReadAt: now}, s)
			fall, doubted := p.Watch.suspects[target("cus")]
			delete(p.Watch.suspects, target("cus"))
			p.Watch.mu.Unlock()
			if doubted != came || fall.Beside != came {
				t.Errorf("credits came %t: doubted %t, beside %t", came, doubted, fall.Beside)
			}
		}
	})
}
