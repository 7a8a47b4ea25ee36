package scheduler

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"topupd/topup"
)

var errAway = errors.New("connection refused")

func TestOnlyTheHolderPollsAndVisits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		holder, standby := w.run(t, "a"), w.run(t, "b")
		after(time.Minute)
		if !holder.Held() || standby.Held() || holder.StandsBy() || !standby.StandsBy() {
			t.Fatalf("held %v and %v", holder.Held(), standby.Held())
		}
		if n := len(standby.board.polls()); n != 0 || !standby.LastPoll().IsZero() {
			t.Errorf("the standby polled %d times", n)
		}
		if n := standby.Visitor.(*visits).count(); n != 0 {
			t.Errorf("the standby visited %d times", n)
		}
		if n := holder.Visitor.(*visits).count(); n != 60 {
			t.Errorf("the holder visited %d times in a minute", n)
		}
		if len(w.charged()) != 1 {
			t.Errorf("charged %v", w.charged())
		}
	})
}

func TestTakeover(t *testing.T) {
	for _, tt := range []struct {
		name   string
		leave  func(*testing.T, *world, *process)
		within time.Duration
	}{
		{"a holder that dies is replaced in 15 s", func(_ *testing.T, w *world, p *process) {
			p.Options.Leases.(*switched).off(true) // nothing reaches the ledger any more, no release either
			p.stop()
		}, 15 * time.Second},
		{"one that releases, at the next renewal", func(t *testing.T, _ *world, p *process) { p.end(t) }, LeaseRenew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 500)
				first := w.run(t, "a", func(o *Options) { o.Leases = &switched{memory: w.ledger} })
				second := w.run(t, "b", func(o *Options) { o.PollEvery = time.Hour })
				after(20 * time.Second)
				left := time.Now()
				tt.leave(t, w, first)
				for !second.Held() {
					if time.Since(left) > tt.within {
						t.Fatalf("nobody has taken over after %s", tt.within)
					}
					after(100 * time.Millisecond)
				}
				if _, term, _ := w.ledger.lease(); term != 2 {
					t.Errorf("term %d", term)
				}
				after(time.Millisecond)
				if n := len(second.board.polls()); n != 1 {
					t.Errorf("%d polls right after the takeover: the next tick is an hour away", n)
				}
			})
		})
	}
}

func TestTrustEndsBeforeTheLeaseDoes(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(*memory)
		back func(*memory)
	}{
		{"renewals that fail", func(m *memory) { m.away = errAway }, func(m *memory) { m.away = nil }},
		{"renewals that hang", func(m *memory) { m.hang = make(chan struct{}) }, func(m *memory) { m.hang = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.balance("cus", 500)
				p := w.run(t, "a")
				after(time.Minute + time.Second) // the last renewal was at 60 s
				w.ledger.do(tt.fail)
				after(8*time.Second + 900*time.Millisecond)
				if !p.Held() {
					t.Error("given up after three renewals at most")
				}
				after(200 * time.Millisecond)
				if _, _, left := w.ledger.lease(); p.Held() || left <= 0 {
					t.Errorf("held: %v, %s before the ledger gives it to another", p.Held(), left)
				}
				after(LeaseRenew + LeaseRenew)
				if p.board.holding() {
					t.Error("the metrics were not told")
				}
				polled := len(w.polled(w.start))
				after(time.Minute)
				if n := len(w.polled(w.start)); n != polled {
					t.Errorf("%d polls without the lease", n-polled)
				}
				w.ledger.do(tt.back)
				after(LeaseRenew)
				if !p.Held() || p.board.state("cus").Reason != topup.Enough {
					t.Error("not taken up again when the ledger was back")
				}
			})
		})
	}
}

func TestTrustCountsFromBeforeTheRequest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.process("a")
		w.ledger.hang = make(chan struct{})
		go p.holding.tick(t.Context())
		after(2 * time.Second)
		close(w.ledger.hang)
		after(LeaseTTL - leaseMargin - 2*time.Second - 1)
		if !p.Held() {
			t.Error("not trusted long enough")
		}
		after(1)
		if p.Held() {
			t.Error("trusted from the answer on, not from the question")
		}
	})
}

// Between the lease and its first poll a worker may find a target in the queue
// that was put there under an earlier lease.
func TestNothingIsCheckedUnderALeaseBeforeItsFirstPoll(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		p := w.process("a")
		p.holding.tick(t.Context())
		p.poll(t.Context())
		p.holding.release()
		p.holding.tick(t.Context())
		after(6 * time.Second)
		p.check(t.Context(), waiting{target: target("cus"), class: first})
		if n := len(w.read(w.start)); n != 0 || p.queue.len() != 1 {
			t.Fatalf("%d confirm reads on what was seen under the earlier lease; %d wait", n, p.queue.len())
		}
		w.away = errAway
		p.poll(t.Context())
		if n := p.queue.len(); n != 0 {
			t.Errorf("%d still wait although nothing was read under this lease", n)
		}
	})
}

func TestAShortOutageKeepsTheLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p := w.run(t, "a")
		after(10 * time.Second)
		w.ledger.do(func(m *memory) { m.hang = make(chan struct{}) })
		after(5 * time.Second)
		w.ledger.do(func(m *memory) { close(m.hang); m.hang = nil })
		after(10 * time.Second)
		if _, term, _ := w.ledger.lease(); !p.Held() || term != 1 {
			t.Errorf("held %v, term %d", p.Held(), term)
		}
	})
}

// What was seen before another process held the lease must not count: neither
// first low readings nor verdicts nor pictures.
func TestARegainedLeaseStartsFromTheLedger(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 500)
		first := w.run(t, "a", func(o *Options) { o.Leases = &switched{memory: w.ledger} })
		after(3*time.Second + 500*time.Millisecond)
		w.balance("cus", 50)
		after(2 * time.Second) // low since 5 s, to be read again at 10 s
		first.Options.Leases.(*switched).off(true)
		w.ledger.do(func(m *memory) { m.holder, m.until = "", time.Time{} })
		second := w.process("b")
		second.holding.tick(t.Context())
		// The first one still trusts its lease and may check: the ledger refuses its plan.
		after(6 * time.Second)
		if n := len(w.charged()); n != 0 {
			t.Fatalf("bought %d times by a holder that was replaced", n)
		}
		after(10 * time.Second)
		if first.board.holding() || first.board.shows("cus") {
			t.Error("the replaced holder still shows a picture")
		}
		first.Options.Leases.(*switched).off(false)
		second.holding.release()
		before := len(w.read(w.start))
		after(LeaseRenew)
		if _, term, _ := w.ledger.lease(); !first.Held() || term != 3 {
			t.Fatalf("held %v, term %d", first.Held(), term)
		}
		regained := time.Since(w.start)
		after(4 * time.Second)
		if n := len(w.read(w.start)); n != before {
			t.Errorf("a confirm read less than confirm_after after the lease was regained")
		}
		after(5 * time.Second)
		if at := w.paid(w.start); len(at) != 1 || at[0] < regained-LeaseRenew+5*time.Second {
			t.Errorf("charged at %v, regained at %s", at, regained)
		}
	})
}

func TestAPollThatOutlivesItsLeaseShowsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 500)
		p := w.run(t, "a", func(o *Options) { o.Leases = &switched{memory: w.ledger} })
		after(time.Second)
		w.do(func(at *provider) { at.polling = func(context.Context) { time.Sleep(30 * time.Second) } })
		after(5 * time.Second)
		p.Options.Leases.(*switched).off(true)
		after(time.Minute)
		if got := p.board.polls(); !slices.Equal(got, []string{SweptOK}) || p.board.shows("cus") {
			t.Errorf("polls %v, still shown: %v", got, p.board.shows("cus"))
		}
	})
}

func TestStaleTellsPollsThatStopped(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 500)
		p, standby := w.run(t, "a"), w.run(t, "b")
		stale := func(p *process) []string {
			return p.scheduler.Stale(time.Now(), func(*Watch) time.Duration { return 2 * time.Minute }, w.start)
		}
		after(time.Hour)
		if got := stale(p); got != nil {
			t.Errorf("stale %v while polls go on", got)
		}
		w.do(func(at *provider) { at.away = errAway })
		after(time.Hour)
		if got := stale(p); got != nil {
			t.Errorf("stale %v: a restart does not bring a provider back", got)
		}
		w.do(func(at *provider) { at.polling = func(context.Context) { time.Sleep(10 * time.Minute) } })
		p.end(t)
		for !standby.Held() {
			after(100 * time.Millisecond)
		}
		if got := stale(standby); got != nil {
			t.Errorf("stale %v right after the takeover", got)
		}
		after(3 * time.Minute)
		if got := stale(standby); !slices.Equal(got, []string{name}) {
			t.Errorf("stale %v while a poll hangs", got)
		}
	})
}
