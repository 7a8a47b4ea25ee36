package scheduler

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"topupd/rules"
	"topupd/topup"
)

func TestAStartReadsTheBooksBeforeItBuys(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		for _, c := range []topup.CustomerID{"cus_lost", "cus_ours", "cus_other"} {
			w.balance(c, 20)
		}
		b.bills = bill("inv_lost", "cus_lost", w.start.Add(-time.Minute))
		b.bills[target("cus_ours")] = []topup.Topup{{ID: "inv_ours", Invoice: "inv_ours", At: w.start.Add(-time.Hour)}}
		w.ledger.ours, w.ledger.known = map[string]bool{"inv_ours": true}, w.start.Add(-10*time.Hour)
		p := w.run(t, "a", withBooks)
		after(time.Minute)
		charged := w.charged()
		slices.Sort(charged)
		if !slices.Equal(charged, []topup.CustomerID{"cus_other", "cus_ours"}) {
			t.Errorf("charged %v; whose purchase was lost has it and cools down", charged)
		}
		if n := len(b.looked(w.start)); n != 1 || !b.sinces[0].Equal(w.start.Add(-11*time.Hour)) {
			t.Errorf("%d looks since %v, want one, from an hour before all was known", n, b.sinces)
		}
		if lines := p.journal.find("books", map[string]string{"imported": "1"}); len(lines) != 1 {
			t.Errorf("the import was told %d times, want once", len(lines))
		}
		if known, _ := w.ledger.noted(); known.Before(w.start) || known.After(time.Now()) {
			t.Errorf("known up to %s", known)
		}
	})
}

// The bill of a lost purchase is paid by transfer days later, and its credits come then.
func TestALostPurchaseBlocksUntilItsCreditsCome(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		w.balance("cus_lost", 20)
		b.bills = bill("inv_lost", "cus_lost", w.start.Add(-time.Minute))
		owed := topup.Invoice{ID: "inv_lost", Credit: true, Status: "to_pay", Payment: topup.PaymentPending, At: w.start.Add(-time.Minute)}
		w.provider.do(func(p *provider) {
			p.confirming = func(_ topup.Order, c *topup.Confirmation) {
				c.Reading.Account.PaymentMethod = topup.PaymentOther
				c.Invoices = []topup.Invoice{owed}
			}
		})
		w.reload(func(r *rules.Rule) { r.Unpaid = rules.Unpaid{Other: 2} })
		p := w.run(t, "a", withBooks)
		after(24 * time.Hour)
		if s := p.board.state("cus_lost"); len(w.charged()) != 0 || s.Reason != topup.ExternalTopup || s.TroubleSince.IsZero() {
			t.Fatalf("charged %v; shown as %+v, want external_topup as trouble", w.charged(), s)
		}
		w.provider.do(func(p *provider) { owed.Payment = topup.PaymentVoid })
		after(lastingMost + time.Minute)
		if got := w.charged(); len(got) != 1 {
			t.Errorf("charged %v after the bill was voided, want once", got)
		}
	})
}

func TestAStartLooksBackAMonthAtMost(t *testing.T) {
	for name, known := range map[string]time.Duration{"long ago": -400 * 24 * time.Hour, "in the future, by a clock that was ahead": 25 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				b, withBooks := w.books()
				w.ledger.known = w.start.Add(known)
				w.run(t, "a", withBooks)
				after(time.Second)
				if len(b.sinces) != 1 || !b.sinces[0].Equal(b.looks[0].Add(-30*24*time.Hour)) {
					t.Errorf("looked back to %v", b.sinces)
				}
			})
		})
	}
}

func TestBooksThatCannotBeReadKeepAStartFromBuying(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		w.balance("cus_1", 20)
		b.err = errors.New("503")
		p := w.run(t, "a", withBooks)
		after(65 * time.Second)
		if s := p.board.state("cus_1"); s.Reason != topup.ProviderUnavailable || s.TroubleSince.IsZero() {
			t.Errorf("shown as %+v, want provider_unavailable as trouble", s)
		}
		if text := w.ledger.last("cus_1").Text; !strings.Contains(text, "503") {
			t.Errorf("recorded %q, want why", text)
		}
		again, err := p.Again(t.Context(), topup.Purchase{Target: target("cus_1"), Terms: []byte("{}")})
		if err != nil || again.Reason == topup.Buy {
			t.Errorf("a repeat meanwhile: %+v, %v", again, err)
		}
		looked := b.looked(w.start)
		if want := []time.Duration{0, 10 * time.Second, 30 * time.Second}; len(looked) != len(want) {
			t.Errorf("looked at %v, want it tried again later and later, as %v", looked, want)
		}
		if charged := w.charged(); len(charged) != 0 {
			t.Fatalf("charged %v before the books were read", charged)
		}
		b.change(func(b *bookish) { b.err = nil })
		after(time.Minute)
		if charged := w.charged(); len(charged) != 1 {
			t.Errorf("charged %v after they were read, want once", charged)
		}
	})
}

func TestABillThatCannotBeReadKeepsNoStartFromBuying(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		w.balance("cus_1", 20)
		b.broken = []string{"inv_odd"}
		p := w.run(t, "a", withBooks)
		after(20 * time.Second)
		if lines := p.journal.find("books", nil); len(w.charged()) != 1 || len(lines) != 1 || !strings.Contains(lines[0].fields["err"], "inv_odd") {
			t.Errorf("charged %v, told %v; want a purchase and a warning that names the bill", w.charged(), lines)
		}
	})
}

func TestTheBooksAreReadOnceInTheLifeOfAProcess(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		leases := &switched{memory: w.ledger}
		w.run(t, "a", withBooks, func(o *Options) { o.Leases = leases })
		after(time.Minute)
		leases.off(true)
		after(time.Minute)
		leases.off(false)
		after(time.Minute)
		if looked := b.looked(w.start); len(looked) != 1 {
			t.Errorf("the books were read at %v, want once", looked)
		}
		if known, _ := w.ledger.noted(); time.Since(known) > knownEvery+pollTime {
			t.Errorf("known up to %s ago", time.Since(known))
		}
	})
}

func TestAProviderWithoutBooksIsNotKeptWaiting(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus_1", 20)
		p := w.run(t, "a")
		after(20 * time.Second)
		if len(w.charged()) != 1 {
			t.Fatal("nothing was bought")
		}
		w.ledger.begin("restored")
		after(24 * time.Hour)
		w.balance("cus_1", 20)
		after(time.Minute)
		if s := p.board.state("cus_1"); s.Reason != topup.Quarantined || len(w.charged()) != 1 {
			t.Errorf("%s, charged %v: without books only a person ends a quarantine", s.Reason, w.charged())
		}
	})
}

// quarantined runs a process whose provider is quarantined a minute after its
// start, with one low customer whose purchase was lost.
func quarantined(t *testing.T, w *world, changes ...func(*Options)) (*process, *bookish, time.Time) {
	t.Helper()
	b, withBooks := w.books()
	w.ledger.known = w.start
	p := w.run(t, "a", append(changes, withBooks)...)
	after(time.Minute)
	w.ledger.begin("the database was promoted")
	began := time.Now()
	w.balance("cus_lost", 20)
	w.set("cus_lost", func(a *account) { a.refreshed = time.Hour }) // its balance does not show the lost purchase yet
	w.balance("cus_other", 20)
	b.change(func(b *bookish) { b.bills = bill("inv_lost", "cus_lost", began) })
	return p, b, began
}

func TestAQuarantineEndsWithItsQuietPeriodAndTheBooks(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p, b, began := quarantined(t, w)
		after(15*time.Minute - pollTime)
		if s := p.board.state("cus_other"); s.Reason != topup.Quarantined || len(w.charged()) != 0 {
			t.Errorf("meanwhile %s, charged %v", s.Reason, w.charged())
		}
		if looked := b.looked(began); len(looked) != 1 {
			t.Errorf("the books were read at %v, before the quiet period was over", looked)
		}
		after(time.Minute)
		known, ends := w.ledger.noted()
		if len(ends) != 1 || ends[0].ReadAt.Sub(began) < 15*time.Minute || !ends[0].Since.Equal(began) || !ends[0].Others.Equal(began.Add(75*time.Second)) {
			t.Errorf("ended by %+v", ends)
		}
		if lines := p.journal.find("quarantine ended", map[string]string{"imported": "1"}); len(lines) != 1 {
			t.Errorf("the end was told %d times, want once with what was imported", len(lines))
		}
		if charged := w.charged(); !slices.Equal(charged, []topup.CustomerID{"cus_other"}) {
			t.Errorf("charged %v; the lost purchase is known by now, and newer than its customer's balance", charged)
		}
		if known.Before(began.Add(15 * time.Minute)) {
			t.Errorf("known up to %s after the quarantine began", known.Sub(began))
		}
	})
}

// TestAQuarantineLastsAsLongAsPurchasesWereSeenToHide: P18, and what topupd
// doctor found holds here too.
func TestAQuarantineLastsAsLongAsPurchasesWereSeenToHide(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		_, b, began := quarantined(t, w, func(o *Options) {
			o.Found = func() topup.Found { return topup.Found{Visible: 10 * time.Minute} }
		})
		after(30*time.Minute - pollTime)
		if looked := b.looked(began); len(looked) != 1 || len(w.charged()) != 0 {
			t.Errorf("the books were read at %v, charged %v: a purchase may show half an hour later", looked, w.charged())
		}
		after(time.Minute)
		if _, ends := w.ledger.noted(); len(ends) != 1 {
			t.Errorf("ended %d times, want once", len(ends))
		}
	})
}

func TestBooksThatCannotBeReadEndNoQuarantine(t *testing.T) {
	for name, spoil := range map[string]func(*bookish){
		"a list that breaks off":     func(b *bookish) { b.err = errors.New("the answer broke off") },
		"a bill that cannot be read": func(b *bookish) { b.broken = []string{"inv_odd"} },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				p, b, _ := quarantined(t, w)
				b.change(spoil)
				after(20 * time.Minute)
				if _, ends := w.ledger.noted(); len(ends) != 0 || len(w.charged()) != 0 {
					t.Errorf("ended by %+v, charged %v", ends, w.charged())
				}
				if looks := len(b.looked(w.start)); looks < 4 || looks > 8 {
					t.Errorf("%d looks in 20 minutes, want it tried again with pauses", looks)
				}
				if s := p.board.state("cus_other"); s.Reason != topup.Quarantined {
					t.Errorf("shown as %s", s.Reason)
				}
				b.change(func(b *bookish) { b.err, b.broken = nil, nil })
				after(3 * time.Minute)
				if _, ends := w.ledger.noted(); len(ends) != 1 {
					t.Errorf("ended %d times after a whole look, want once", len(ends))
				}
			})
		})
	}
}

func TestAQuarantineOfSomebodyElsesPurchasesStays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		p, b, _ := quarantined(t, w)
		w.ledger.do(func(m *memory) { m.stays = "inv_9 was bought by somebody else" })
		after(2 * time.Hour)
		if s := p.board.state("cus_other"); s.Reason != topup.Quarantined || len(w.charged()) != 0 {
			t.Errorf("%s, charged %v", s.Reason, w.charged())
		}
		if lines := p.journal.find("quarantine stays", nil); len(lines) != 1 {
			t.Errorf("told %d times, want once", len(lines))
		}
		if looks := len(b.looked(w.start)); looks != 2 {
			t.Errorf("%d looks; what a person must end needs none", looks)
		}
	})
}

// A person who ends a quarantine before this process has read the books does
// not make it buy without.
func TestAStartUnderQuarantineReadsTheBooksAfterwards(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		w.balance("cus_1", 20)
		w.ledger.do(func(m *memory) { m.quarantined, m.quarantine, m.person = "restored", time.Now(), true })
		w.run(t, "a", withBooks)
		after(time.Hour)
		if looked := b.looked(w.start); len(looked) != 0 {
			t.Errorf("the books were read at %v", looked)
		}
		w.ledger.do(func(m *memory) { m.quarantined = "" })
		after(time.Minute)
		if looked := b.looked(w.start); len(looked) != 1 || len(w.charged()) != 1 || w.paid(w.start)[0] < looked[0] {
			t.Errorf("looked at %v, bought at %v", looked, w.paid(w.start))
		}
	})
}

// A long gap is read over several polls, and says how far it has come.
func TestBooksOfAnyLengthAreReadPartByPart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, withBooks := w.books()
		w.balance("cus_1", 20)
		w.balance("cus_lost", 20)
		b.parts, b.bills = 2*partsPerPoll+50, bill("inv_lost", "cus_lost", w.start.Add(-time.Minute))
		p := w.run(t, "a", withBooks)
		after(pollTime)
		if text := w.ledger.last("cus_1").Text; !strings.Contains(text, "10000 bills so far, back to ") {
			t.Errorf("recorded %q, want how far the books are read", text)
		}
		if len(w.charged()) != 0 {
			t.Errorf("charged %v before all of the books were read", w.charged())
		}
		after(time.Minute)
		if b.change(func(b *bookish) { b.parts = b.read }); b.parts != 2*partsPerPoll+50 {
			t.Errorf("%d parts were read, want each once", b.parts)
		}
		if lines := p.journal.find("books", map[string]string{"bills": "10000"}); len(lines) != 1 {
			t.Errorf("the progress was told %d times, want once a poll", len(lines))
		}
		if charged := w.charged(); !slices.Equal(charged, []topup.CustomerID{"cus_1"}) {
			t.Errorf("charged %v, want all but the one whose purchase was lost", charged)
		}
		if known, _ := w.ledger.noted(); known.After(w.start.Add(pollTime)) && known.Sub(w.start) < knownEvery {
			t.Errorf("known up to %s, which is after the reading began", known)
		}
	})
}

// What was read stays read, however long the provider is away; a part that can
// never be read again is led to anew.
func TestBooksGoOnWhereTheyStopped(t *testing.T) {
	const parts = 2 * partsPerPoll
	for name, tt := range map[string]struct {
		fail, heal func(*bookish)
		away       time.Duration
		anew       bool
	}{
		"after an error": {
			func(b *bookish) { b.breaks = partsPerPoll + 50 }, func(b *bookish) { b.breaks = 0 }, 5 * time.Second, false,
		},
		"after an hour without the provider": {
			func(b *bookish) { b.breaks = partsPerPoll + 50 }, func(b *bookish) { b.err, b.breaks = nil, 0 }, time.Hour, false,
		},
		"after one that stays": {
			func(b *bookish) { b.breaks = partsPerPoll + 50 }, func(b *bookish) { b.breaks = 0 }, 10 * time.Minute, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				b, withBooks := w.books()
				w.balance("cus_1", 20)
				b.parts = parts
				tt.fail(b)
				w.run(t, "a", withBooks)
				after(pollTime)
				if !tt.anew {
					b.change(func(b *bookish) { b.err = errors.New("503") })
				}
				after(tt.away)
				b.change(func(b *bookish) { b.err = nil })
				b.change(tt.heal)
				after(lastingMost)
				var read int
				b.change(func(b *bookish) { read = b.read })
				if len(w.charged()) != 1 || tt.anew != (read > parts) {
					t.Errorf("charged %v after %d parts of %d", w.charged(), read, parts)
				}
			})
		})
	}
}
