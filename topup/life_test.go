package topup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// settleAll lets time pass and visits until nothing is open, as a daemon that
// runs on without faults would.
func (w *world) settleAll(t interface{ Fatalf(string, ...any) }) {
	w.fault, w.looksFail = fault{execute: true}, false
	for range 2000 {
		if _, open := w.ledger.open(); !open {
			return
		}
		w.advance(2 * time.Minute)
		if _, err := w.visit(context.Background()); err != nil {
			t.Fatalf("visiting: %v", err)
		}
		if p, open := w.ledger.open(); open && p.State == NeedsReview {
			return
		}
	}
	p, _ := w.ledger.open()
	t.Fatalf("still open after days without faults: %s, next look %v, now %v", p, p.NextLookAt, w.now)
}

// TestWhatOneAnswerDoes: P3, P7. One request, one answer, then days without
// faults: how it ends, and what the provider charged.
func TestWhatOneAnswerDoes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fault    fault
		want     State
		charges  int
		declines int
		attempts int
	}{
		{"a yes is credited when the books and the balance show it", fault{execute: true}, Credited, 1, 0, 1},
		{"charged and answered with an error: found, never repeated", fault{execute: true, answer: Unknown}, Credited, 1, 0, 1},
		{"charged late after a lost answer: found", fault{execute: true, late: 6 * time.Minute, answer: Unknown}, Credited, 1, 0, 1},
		{"listed late after a lost answer: found", fault{execute: true, hidden: 10 * time.Minute, answer: Unknown}, Credited, 1, 0, 1},
		{"never executed and no answer: repeated under its key", fault{answer: Unknown}, Credited, 1, 0, 2},
		{"a listed no is declined after two empty looks", fault{answer: Rejected}, Declined, 0, 1, 1},
		{"a listed no that charged all the same is found", fault{execute: true, answer: Rejected}, Credited, 1, 1, 1},
		{"zero bytes written is cancelled", fault{answer: NotRun}, Cancelled, 0, 0, 0},
		{"no connection is cancelled", fault{connect: errors.New("refused")}, Cancelled, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			p := w.plan()
			w.fault = tt.fault
			_, _ = w.purchaser().Buy(t.Context(), p, Lease{})
			w.settleAll(t)
			got := w.ledger.rows[p.ID]
			if got.State != tt.want || len(w.charges) != tt.charges || w.ledger.declines != tt.declines || got.Attempts != tt.attempts {
				t.Errorf("ended %s with %d charges, %d declines, %d attempts; want %s, %d, %d, %d",
					got.State, len(w.charges), w.ledger.declines, got.Attempts, tt.want, tt.charges, tt.declines, tt.attempts)
			}
		})
	}
}

// TestTheProcessDies: P2, P19. Killed at each step of a send, the purchase is
// charged at most once and ends without a person.
func TestTheProcessDies(t *testing.T) {
	for _, step := range []string{"planned", "connected", "permitted", "answered", "stored"} {
		for _, answer := range []Verdict{"", Unknown} {
			t.Run(fmt.Sprintf("after %s, answer %q", step, answer), func(t *testing.T) {
				w := newWorld()
				p := w.plan()
				w.crashAt, w.fault = step, fault{execute: true, answer: answer}
				w.survive(func() { _, _ = w.purchaser().Buy(t.Context(), p, Lease{}) })
				w.settleAll(t)
				got := w.ledger.rows[p.ID]
				if len(w.charges) > 1 {
					t.Fatalf("charged %d times", len(w.charges))
				}
				if want := map[bool]State{true: Credited, false: Cancelled}[len(w.charges) == 1]; got.State != want {
					t.Errorf("ended %s with %d charges, want %s", got.State, len(w.charges), want)
				}
			})
		}
	}
}

func TestTheSendWindow(t *testing.T) {
	w := newWorld()
	p := w.plan()
	s := w.purchaser()
	s.Step = func(step string) {
		if step == "permitted" { // SIGSTOP here, SIGCONT later
			w.now = w.now.Add(SendWindow + time.Nanosecond)
		}
	}
	got, err := s.Buy(t.Context(), p, Lease{})
	if err != nil || got.State != Cancelled || len(w.charges) != 0 {
		t.Errorf("a stopped process sent all the same: %s, %d charges, %v", got.State, len(w.charges), err)
	}
}

func TestAPermitInDoubtIsNeverSentUnder(t *testing.T) {
	w := newWorld()
	p := w.plan()
	w.ledger.doubt = true
	if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); !errors.Is(err, ErrInDoubt) {
		t.Fatalf("Buy = %v, want ErrInDoubt", err)
	}
	if got := w.ledger.rows[p.ID]; got.State != Cancelled || len(w.charges) != 0 {
		t.Errorf("%s with %d charges, want cancelled with none", got.State, len(w.charges))
	}
}

func TestAYesUnderAnotherPurchasesReferenceIsNeverRepeated(t *testing.T) {
	w := newWorld()
	w.ledger.rows["old"] = Purchase{ID: "old", State: Credited, Payment: PaymentPaid, Reference: "inv_1"}
	p := w.plan()
	got, err := w.purchaser().Buy(t.Context(), p, Lease{}) // the provider says inv_1 again
	if err != nil || got.State != Sent || !got.NeverRepeat || got.Reason != FailedMismatch {
		t.Fatalf("%s, never repeated %t, %s, %v; want sent, never to be repeated", got.State, got.NeverRepeat, got.Reason, err)
	}
	w.settleAll(t)
	if got := w.ledger.rows[p.ID]; got.State != NeedsReview || got.Attempts != 1 {
		t.Errorf("ended %s after %d attempts, want in review after 1", got.State, got.Attempts)
	}
}

func TestAnUnclearAnswerWithAReferenceIsNeverRepeated(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	sent := Purchase{State: Sent, Attempts: 1, SentAt: &now, LastSentAt: &now, QuietPeriod: 15 * time.Minute, Policy: PolicyRetry}
	c := Answered(sent, Answer{Verdict: Unknown, Reason: FailedMismatch, Reference: "inv_1", Written: 9}, true, now)
	if c.Next.State != Sent || !c.Next.NeverRepeat {
		t.Errorf("%s, never repeated %t; want sent, never to be repeated", c.Next.State, c.Next.NeverRepeat)
	}
}

func TestALateYesIsKept(t *testing.T) {
	w := newWorld()
	p := w.plan()
	s := w.purchaser()
	s.Step = func(step string) {
		if step != "answered" {
			return
		}
		row := w.ledger.rows[p.ID] // somebody else called for review meanwhile
		row.State, row.Revision = NeedsReview, row.Revision+1
		w.ledger.rows[p.ID] = row
	}
	got, err := s.Buy(t.Context(), p, Lease{})
	if err != nil || got.State != Confirmed || got.ReferenceBy != "answer" {
		t.Errorf("a late yes gave %s by %q, %v; want confirmed by answer", got.State, got.ReferenceBy, err)
	}
}

func TestALookDoesNotCostTheAnswer(t *testing.T) {
	w := newWorld()
	p := w.plan()
	s := w.purchaser()
	s.Step = func(step string) {
		if step == "answered" {
			row := w.ledger.rows[p.ID]
			row.Revision++ // a look was stored in between
			w.ledger.rows[p.ID] = row
		}
	}
	if got, err := s.Buy(t.Context(), p, Lease{}); err != nil || got.State != Confirmed {
		t.Errorf("ended %s, %v; want confirmed", got.State, err)
	}
}

// TestEvidenceCountsFromTheEndOfTheQuietPeriod: what is found earlier may be
// the customer's own purchase while our request still runs (P3).
func TestEvidenceCountsFromTheEndOfTheQuietPeriod(t *testing.T) {
	w := newWorld()
	p := w.plan()
	w.fault = fault{execute: true, late: 10 * time.Minute, answer: Unknown}
	if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Minute)
	w.charge("", 0, false) // the customer buys the same pack at the portal
	w.advance(time.Minute)
	if _, err := w.visit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.ledger.rows[p.ID]; got.State != Sent || got.Found == "" {
		t.Fatalf("after an early match: %s, found %q; want sent, and the match shown", got.State, got.Found)
	}
	w.settleAll(t)
	if got := w.ledger.rows[p.ID]; got.State != Credited || len(w.ledger.external) != 1 {
		t.Errorf("ended %s, %d imported; want credited, and the other match imported", got.State, len(w.ledger.external))
	}
	if n := w.chargesOf(p.Key); n != 1 {
		t.Errorf("charged %d times", n)
	}
}

func TestABaselineOrClaimedIDIsNoEvidence(t *testing.T) {
	w := newWorld()
	w.charge("", 0, false) // seen by the confirm read
	w.advance(time.Second)
	p := w.plan()
	w.fault = fault{answer: Unknown}
	if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); err != nil {
		t.Fatal(err)
	}
	row := w.ledger.rows[p.ID]
	books, _ := w.Books(t.Context(), p.Target, time.Time{})
	if got := Matches(row, books, nil); len(got) != 0 {
		t.Errorf("a baseline id matched: %+v", got)
	}
	c := w.charge("", 0, false)
	books, _ = w.Books(t.Context(), p.Target, time.Time{})
	if got := Matches(row, books, nil); len(got) != 1 || got[0].ID != c.invoice {
		t.Fatalf("a new charge did not match: %+v", got)
	}
	if got := Matches(row, books, map[string]bool{c.invoice: true}); len(got) != 0 {
		t.Errorf("a claimed id matched: %+v", got)
	}
}

// TestABillOfAnotherAmountIsNoEmptyLook: the price may have changed between the
// confirm read and the charge. Until the bill is paid or void it is neither
// claimed nor passed over: declined, it would be collected all the same.
func TestABillOfAnotherAmountIsNoEmptyLook(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{
		State: Sent, Refused: true, Target: Target{Product: "itm_1"}, PriceID: "pri_1", QuietPeriod: 15 * time.Minute, Policy: PolicyRetry,
		Credits: 120 * Credit, Price: Money{Minor: 20000, Currency: "EUR"}, SentAt: &at, LastSentAt: &at,
	}
	bill := Invoice{ID: "inv_1", Products: []ProductID{"itm_1"}, Amount: Money{Minor: 22000, Currency: "EUR"}, Payment: PaymentFailed, At: at}
	row := Topup{ID: "cdt_1", Invoice: "inv_1", Credits: 120 * Credit, PriceID: "pri_1", At: at}
	look := func(p Purchase, b Books, after time.Duration) Purchase {
		b.Complete = true
		c, then := Looked(p, b, nil, at.Add(after))
		if then == WantRepeat {
			t.Errorf("a repeat was asked for after %s", after)
		}
		return c.Next
	}
	unpaid := Books{Invoices: []Invoice{bill}}
	p = look(look(p, unpaid, time.Minute), unpaid, 16*time.Minute)
	if p.State != Sent || p.EmptyLooks != 0 || p.Found == "" {
		t.Fatalf("unpaid: %s after %d empty looks, found %q; want sent after none", p.State, p.EmptyLooks, p.Found)
	}
	if got := look(p, Books{Invoices: []Invoice{bill}, Topups: []Topup{row}}, 30*time.Minute); got.State != Confirmed || got.Reference != "inv_1" || got.Charged == nil {
		t.Errorf("paid: %s under %q, charged %v; want confirmed under inv_1 with the true amount", got.State, got.Reference, got.Charged)
	}
	bill.Payment = PaymentVoid
	void := Books{Invoices: []Invoice{bill}}
	if got := look(look(p, void, 30*time.Minute), void, 40*time.Minute); got.State != Declined {
		t.Errorf("void: %s, want declined after two empty looks", got.State)
	}
	if got := look(p, unpaid, KeyLifetime+time.Minute); got.State != NeedsReview {
		t.Errorf("after 12 hours: %s, want in review", got.State)
	}
}

// TestAReadingOfTheSameSecondShowsNothing: Talkover stamps answers and balances
// with whole seconds. A balance read just before the charge carries its second,
// and would settle the purchase, and count again as low, before the credits are
// there.
func TestAReadingOfTheSameSecondShowsNothing(t *testing.T) {
	at := time.Date(2026, 11, 20, 14, 24, 0, 0, time.UTC)
	p := Purchase{State: Sent, LastSentAt: &at, SentAt: &at, Credits: 25 * Credit, BalanceBefore: 27 * Credit, QuietPeriod: 15 * time.Minute}
	p = Answered(p, Answer{Verdict: Accepted, Reference: "txn_1", ServerTime: at}, false, at.Add(300*time.Millisecond)).Next
	reading := Reading{Balance: 27*Credit + 1, ReadAt: at.Add(time.Second), RefreshedAt: at}
	if got := Followed(p, Books{Complete: true}, &reading, false, at.Add(5*time.Second)).Next; got.State != Confirmed {
		t.Errorf("a reading of the charge's own second: %s, want confirmed", got.State)
	}
	reading.RefreshedAt = at.Add(time.Second)
	if got := Followed(p, Books{Complete: true}, &reading, false, at.Add(5*time.Second)).Next; got.State != Credited {
		t.Errorf("a rise in the next second: %s, want credited", got.State)
	}
}

func TestTheMatchWindowHasEdges(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{
		Target:  Target{Product: "itm_1"},
		Credits: 120 * Credit, Price: Money{Minor: 20000, Currency: "EUR"}, PriceID: "pri_1", SentAt: &at, LastSentAt: &at,
	}
	row := Topup{ID: "cdt_1", Invoice: "inv_1", Credits: 120 * Credit, PriceID: "pri_1"}
	for _, tt := range []struct {
		name  string
		spoil func(*Topup)
		want  int
	}{
		{"at the permit", func(*Topup) {}, 1},
		{"two minutes before", func(r *Topup) { r.At = at.Add(-MatchBefore) }, 1},
		{"a hair earlier", func(r *Topup) { r.At = at.Add(-MatchBefore - 1) }, 0},
		{"thirty minutes after", func(r *Topup) { r.At = at.Add(MatchAfter) }, 1},
		{"a hair later", func(r *Topup) { r.At = at.Add(MatchAfter + 1) }, 0},
		{"other credits", func(r *Topup) { r.Credits++ }, 0},
		{"another price", func(r *Topup) { r.PriceID = "pri_2" }, 0},
		{"free credits", func(r *Topup) { r.Invoice = "" }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := row
			r.At = at
			tt.spoil(&r)
			if got := Matches(p, Books{Topups: []Topup{r}}, nil); len(got) != tt.want {
				t.Errorf("%d matches, want %d", len(got), tt.want)
			}
		})
	}
}

// TestNothingIsRepeatedAfterTwelveHours: P4.
func TestNothingIsRepeatedAfterTwelveHours(t *testing.T) {
	w := newWorld()
	p := w.plan()
	w.fault = fault{answer: Unknown}
	if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); err != nil {
		t.Fatal(err)
	}
	w.looksFail = true
	for range 40 {
		w.advance(20 * time.Minute)
		_, _ = w.visit(t.Context())
	}
	if got := w.ledger.rows[p.ID]; got.State != NeedsReview || got.Attempts != 1 {
		t.Errorf("%s after %d attempts, want in review after 1: no look was complete for 12 h", got.State, got.Attempts)
	}
}

func TestAtMostThreeRepeatsThenAPerson(t *testing.T) {
	w := newWorld()
	p := w.plan()
	for range 60 {
		w.fault = fault{answer: Unknown} // the provider executes nothing
		if got := w.ledger.rows[p.ID]; got.State == Planned {
			_, _ = w.purchaser().Buy(t.Context(), p, Lease{})
		}
		w.advance(3 * time.Minute)
		w.fault = fault{answer: Unknown}
		_, _ = w.visit(t.Context())
	}
	if got := w.ledger.rows[p.ID]; got.State != NeedsReview || got.Attempts != 1+MaxRepeats {
		t.Errorf("%s after %d attempts, want in review after %d", got.State, got.Attempts, 1+MaxRepeats)
	}
}

// TestAnyHistoryChargesOnce is the promise in one property: whatever crashes,
// lost answers, late executions, late listings, purchases by the customer and
// outages a history has, as long as connection life, execution and listing end
// within the quiet period, no purchase is charged twice, a credited one exactly
// once, a declined or cancelled one never.
func TestAnyHistoryChargesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.remembers = rapid.Bool().Draw(t, "the provider remembers failed keys")
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			w.fault = fault{
				execute: rapid.Bool().Draw(t, "execute"),
				answer:  rapid.SampledFrom([]Verdict{"", Accepted, Unknown, Unknown, Rejected, NotRun}).Draw(t, "answer"),
			}
			if rapid.Bool().Draw(t, "slow") {
				w.fault.late = time.Duration(rapid.IntRange(0, 6).Draw(t, "late")) * time.Minute
				w.fault.hidden = time.Duration(rapid.IntRange(0, 7).Draw(t, "hidden")) * time.Minute
			}
			if w.fault.answer == NotRun || w.fault.answer == Rejected {
				w.fault.execute = false // by definition
			}
			w.looksFail = rapid.IntRange(0, 5).Draw(t, "looks fail") == 0
			w.crashAt = rapid.SampledFrom([]string{"", "", "", "planned", "connected", "permitted", "answered", "stored"}).Draw(t, "crash")
			w.survive(func() {
				if _, open := w.ledger.open(); !open {
					_, _ = w.purchaser().Buy(context.Background(), w.plan(), Lease{})
					return
				}
				_, _ = w.visit(context.Background())
			})
			w.advance(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
		}
		w.settleAll(t)
		for _, p := range w.ledger.rows {
			n := w.chargesOf(p.Key)
			switch {
			case n > 1:
				t.Fatalf("%s was charged %d times", p, n)
			case p.State == Credited && n != 1:
				t.Fatalf("%s has %d charges", p, n)
			case (p.State == Declined || p.State == Cancelled) && n != 0:
				t.Fatalf("%s has %d charges", p, n)
			}
		}
	})
}

func TestEveryAllowedTransitionIsOnTheChart(t *testing.T) {
	for _, from := range States() {
		if _, ok := transitions[from]; !ok {
			t.Errorf("state %s is not on the chart", from)
		}
		if !from.Open() && len(transitions[from]) > 0 {
			t.Errorf("final state %s leads on to %v", from, transitions[from])
		}
	}
	if Allowed(Sent, Planned) || Allowed(Declined, Confirmed) || !Allowed(NeedsReview, Confirmed) {
		t.Error("the chart is not the one of the package comment")
	}
}

func TestResolving(t *testing.T) {
	sent := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	inReview := Purchase{State: NeedsReview, QuietPeriod: 15 * time.Minute, LastSentAt: &sent, SentAt: &sent}
	after := sent.Add(15 * time.Minute)
	for _, tt := range []struct {
		name string
		p    Purchase
		r    Resolution
		now  time.Time
		want State // "" = refused
	}{
		{"not charged, quiet period over", inReview, Resolution{Note: "n"}, after, Declined},
		{"not charged, a moment too early", inReview, Resolution{Note: "n"}, after.Add(-1), ""},
		{"charged at any time", inReview, Resolution{Note: "n", Charged: true}, sent, Confirmed},
		{"no note", inReview, Resolution{Charged: true}, after, ""},
		{"a confirmed one as charged", Purchase{State: Confirmed}, Resolution{Note: "n", Charged: true}, after, Credited},
		{"a confirmed one as not charged", Purchase{State: Confirmed}, Resolution{Note: "n"}, after, ""},
		{"a sent one", Purchase{State: Sent}, Resolution{Note: "n", Charged: true}, after, ""},
		{"a credited one", Purchase{State: Credited}, Resolution{Note: "n", Charged: true}, after, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Resolved(tt.p, tt.r, tt.now)
			if (err != nil) != (tt.want == "") || (err == nil && c.Next.State != tt.want) {
				t.Errorf("Resolved = %s, %v; want %q", c.Next.State, err, tt.want)
			}
		})
	}
}

// TestABillOfSomebodyElse: what a person calls not this purchase is imported with
// its invoice, and not as a bill of unknown origin that would block for weeks.
func TestABillOfSomebodyElse(t *testing.T) {
	sent := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{State: NeedsReview, QuietPeriod: 15 * time.Minute, LastSentAt: &sent, SentAt: &sent}
	bill := Invoice{ID: "inv_1", Amount: Money{Minor: 22000, Currency: "EUR"}, Payment: PaymentPending, At: sent}
	c, err := Resolved(p, Resolution{Note: "their own", By: "ada", External: []Invoice{bill}}, sent.Add(time.Hour))
	if err != nil || c.Next.State != Declined || len(c.External) != 1 {
		t.Fatalf("%s, %d imported, %v; want declined and 1", c.Next.State, len(c.External), err)
	}
	if f := c.External[0]; f.Invoice != "inv_1" || f.ID == f.Invoice || f.Source != SourcePerson || f.Price != bill.Amount {
		t.Errorf("imported as %+v", f)
	}
	if text := c.Evidence[0].Text; !strings.Contains(text, "inv_1 of 220.00 EUR is not this purchase") {
		t.Errorf("the history says %q", text)
	}
}

func TestTheBaselineIsEverythingRecent(t *testing.T) {
	read := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := Confirmation{
		Reading: Reading{ReadAt: read},
		Invoices: []Invoice{
			{ID: "inv_new", At: read}, {ID: "inv_edge", At: read.Add(-24 * time.Hour)}, {ID: "inv_old", At: read.Add(-24*time.Hour - 1)},
		},
		Topups: []Topup{{ID: "cdt_new", Invoice: "inv_unlisted", At: read}, {ID: "cdt_old", At: read.Add(-48 * time.Hour)}},
	}
	got := c.Seen()
	if want := []string{"inv_new", "inv_edge", "inv_old", "cdt_new", "inv_unlisted"}; !slices.Equal(got, want) {
		t.Errorf("Seen() = %v, want %v", got, want)
	}
}

// TestAnotherAmountOnTheInvoicePausesTheRule: the true amount is stored, the
// rule buys no more, and somebody is told (P10).
func TestAnotherAmountOnTheInvoicePausesTheRule(t *testing.T) {
	w := newWorld()
	p := w.plan()
	if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); err != nil {
		t.Fatal(err)
	}
	w.billed = Money{Minor: 22000, Currency: "EUR"}
	var told []Event
	r := w.reconciler()
	r.Observe = func(e Event) { told = append(told, e) }
	w.advance(time.Minute)
	if _, err := visited(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := w.ledger.rows[p.ID]
	if got.Charged == nil || *got.Charged != w.billed || got.State != Credited {
		t.Errorf("%s, charged %v; want credited with %s", got.State, got.Charged, w.billed)
	}
	if len(w.ledger.pauses) != 1 || w.ledger.pauses[0].Scope != PauseRule || w.ledger.pauses[0].Cause != StopPrice {
		t.Errorf("pauses: %v", w.ledger.pauses)
	}
	if !slices.ContainsFunc(told, func(e Event) bool { return e.Failure == FailedMismatch }) {
		t.Error("nobody was told")
	}
}

// TestAFailedPaymentIsADeclineOnce: the purchase stays confirmed, the decline
// counts once, and a payment lifts it (P7, P9).
func TestAFailedPaymentIsADeclineOnce(t *testing.T) {
	w := newWorld()
	p := w.plan()
	if _, err := w.purchaser().Buy(t.Context(), p, Lease{}); err != nil {
		t.Fatal(err)
	}
	w.payment = PaymentFailed
	for range 5 {
		w.advance(10 * time.Minute)
		if _, err := w.visit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := w.ledger.rows[p.ID]
	if got.State != Confirmed || got.Payment != PaymentFailed || w.ledger.declines != 1 {
		t.Fatalf("%s, payment %s, %d declines; want confirmed, failed, 1", got.State, got.Payment, w.ledger.declines)
	}
	w.payment = PaymentPaid
	w.settleAll(t)
	if got := w.ledger.rows[p.ID]; got.State != Credited || got.Payment != PaymentPaid || got.Reason != FailedNone {
		t.Errorf("%s, payment %s, reason %q; want credited, paid, none", got.State, got.Payment, got.Reason)
	}
}

// TestAVoidInvoiceMovesTheClaim: to a match that is not void, else the purchase
// was declined.
func TestAVoidInvoiceMovesTheClaim(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{
		State: Confirmed, Reference: "inv_1", ReferenceBy: "evidence", Target: Target{Product: "itm_1"},
		Credits: 120 * Credit, Price: Money{Minor: 20000, Currency: "EUR"}, SentAt: &at, LastSentAt: &at, ConfirmedAt: &at,
	}
	void := Invoice{ID: "inv_1", Products: []ProductID{"itm_1"}, Amount: p.Price, Payment: PaymentVoid, At: at}
	paid := Invoice{ID: "inv_2", Products: []ProductID{"itm_1"}, Amount: p.Price, Payment: PaymentPaid, At: at}
	now := at.Add(time.Hour)
	if c := Voided(p, Books{Invoices: []Invoice{void, paid}, Complete: true}, nil, now); c.Next.State != Confirmed || c.Next.Reference != "inv_2" {
		t.Errorf("with another match: %s under %s, want confirmed under inv_2", c.Next.State, c.Next.Reference)
	}
	if c := Voided(p, Books{Invoices: []Invoice{void}, Complete: true}, nil, now); c.Next.State != Declined || c.Next.Payment != PaymentVoid {
		t.Errorf("without: %s, payment %s, want declined, void", c.Next.State, c.Next.Payment)
	}
	if c := Voided(p, Books{Invoices: []Invoice{void}}, nil, now); c.Next.State != Confirmed {
		t.Errorf("an incomplete look made it %s", c.Next.State)
	}
}

// TestAClaimThatMovesForgetsTheOldOne: the row of the void invoice showed its
// credits, not those of the other, and its amount is not what is charged.
func TestAClaimThatMovesForgetsTheOldOne(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	row := at.Add(time.Second)
	p := Purchase{
		State: Confirmed, Payment: PaymentPaid, Reference: "inv_1", ReferenceBy: "evidence", Target: Target{Product: "itm_1"}, QuietPeriod: 15 * time.Minute,
		Credits: 120 * Credit, Price: Money{Minor: 20000, Currency: "EUR"}, SentAt: &at, LastSentAt: &at, ConfirmedAt: &at,
		RowAt: &row, Charged: &Money{Minor: 22000, Currency: "EUR"}, Reason: FailedMismatch, Detail: "the invoice is for 220.00 EUR, not 200.00 EUR",
	}
	void := Invoice{ID: "inv_1", Products: []ProductID{"itm_1"}, Amount: *p.Charged, Payment: PaymentVoid, At: at}
	open := Invoice{ID: "inv_2", Products: []ProductID{"itm_1"}, Amount: p.Price, Payment: PaymentPending, At: at}
	now := at.Add(time.Hour)
	for name, moved := range map[string]Purchase{
		"the invoice is void": Voided(p, Books{Invoices: []Invoice{void, open}, Complete: true}, nil, now).Next,
		"a late yes names the other": func() Purchase {
			c, _ := Replied(p, Reply{Answer: Answer{Verdict: Accepted, Reference: "inv_2"}, Books: true}, now)
			return c.Next
		}(),
	} {
		if moved.Reference != "inv_2" || moved.RowAt != nil || moved.Charged != nil || moved.Reason != FailedNone || moved.Detail != "" {
			t.Errorf("%s: under %s, row %v, charged %v, %s %q; want inv_2 and nothing of inv_1", name, moved.Reference, moved.RowAt, moved.Charged, moved.Reason, moved.Detail)
		}
		reading := Reading{Balance: 500 * Credit, ReadAt: now.Add(time.Minute), RefreshedAt: now.Add(time.Minute)}
		unseen := Books{Complete: true, Invoices: []Invoice{open}}
		if got := Followed(moved, unseen, &reading, true, now.Add(time.Minute)).Next; got.State != Confirmed {
			t.Errorf("%s: %s before the credits of inv_2 came, want confirmed", name, got.State)
		}
	}
}

// TestOnlyABillForThePriceTellsThePrice: claimed by evidence or by the answer, a
// bill with other things on it, or one that is paid with others, is no other price.
func TestOnlyABillForThePriceTellsThePrice(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{
		State: Sent, Target: Target{Product: "itm_1"}, PriceID: "pri_1", QuietPeriod: 15 * time.Minute, Policy: PolicyRetry,
		Credits: 120 * Credit, Price: Money{Minor: 20000, Currency: "EUR"}, SentAt: &at, LastSentAt: &at,
	}
	bill := Invoice{ID: "inv_1", Products: []ProductID{"itm_1"}, Lines: 1, Amount: Money{Minor: 22000, Currency: "EUR"}, Payment: PaymentPaid, At: at}
	row := Topup{ID: "cdt_1", Invoice: "inv_1", Credits: 120 * Credit, PriceID: "pri_1", At: at}
	for _, tt := range []struct {
		name   string
		change func(*Invoice)
		other  bool
	}{
		{"these credits alone", func(*Invoice) {}, true},
		{"two products", func(i *Invoice) { i.Products, i.Lines = append(i.Products, "itm_2"), 2 }, false},
		{"a line without a product", func(i *Invoice) { i.Lines = 2 }, false},
		{"paid with another bill", func(i *Invoice) { i.Payment, i.Uncounted = PaymentPending, true }, false},
		{"the price", func(i *Invoice) { i.Amount = p.Price }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := bill
			tt.change(&i)
			books := Books{Complete: true, Invoices: []Invoice{i}, Topups: []Topup{row}}
			found, _ := Looked(p, books, nil, p.QuietUntil())
			yes := Answered(p, Answer{Verdict: Accepted, Reference: "inv_1"}, true, at).Next
			for how, got := range map[string]Purchase{
				"claimed": found.Next, "followed": Followed(yes, books, nil, true, at.Add(time.Minute)).Next,
			} {
				if got.State != Confirmed || (got.Charged != nil) != tt.other || (got.Reason == FailedMismatch) != tt.other {
					t.Errorf("%s: %s, charged %v, %q; want another price: %t", how, got.State, got.Charged, got.Reason, tt.other)
				}
			}
		})
	}
}

// throttledDial is an error of a client that says why there was no connection.
type throttledDial struct{}

func (throttledDial) Error() string                { return "no budget" }
func (throttledDial) FailureReason() FailureReason { return FailedThrottled }

func TestTheReasonForNoConnectionIsTheClients(t *testing.T) {
	for err, want := range map[error]FailureReason{
		throttledDial{}: FailedThrottled, context.DeadlineExceeded: FailedTimeout, errors.New("refused"): FailedConnection,
	} {
		w := newWorld()
		p := w.plan()
		w.fault = fault{connect: err}
		if got, _ := w.purchaser().Buy(t.Context(), p, Lease{}); got.State != Cancelled || got.Reason != want {
			t.Errorf("after %v: %s, %s; want cancelled, %s", err, got.State, got.Reason, want)
		}
	}
}
