package topup

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// impatient counts what is stored and ends a process that tries for ever.
type impatient struct {
	*memory
	calls int
	stop  context.CancelFunc
}

func (i *impatient) Answer(ctx context.Context, r AnswerRequest) (Purchase, error) {
	if i.calls++; i.calls == 10 {
		i.stop()
	}
	if i.calls > 10 {
		i.world.now = i.world.now.Add(StoreFor)
	}
	return i.memory.Answer(ctx, r)
}

// meanwhileDo buys, and has something happen to the row while the answer is on
// its way. What is returned is the row and how often the ledger was asked.
func meanwhileDo(ctx context.Context, w *world, p Purchase, do func(*Purchase)) (got Purchase, calls int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ledger := &impatient{memory: w.ledger, stop: stop}
	s := w.purchaser()
	s.Ledger = ledger
	s.Step = func(step string) {
		if step == "answered" {
			row := w.ledger.rows[p.ID]
			do(&row)
			row.Revision++
			w.ledger.rows[p.ID] = row
		}
	}
	_, err = s.Buy(ctx, p, Lease{})
	return w.ledger.rows[p.ID], ledger.calls, err
}

// TestAYesUnderAnotherPurchasesReferenceEnds: P4. Whatever happened to the row
// while the answer was on its way, storing it ends, nothing is repeated, and the
// answer is in the history.
func TestAYesUnderAnotherPurchasesReferenceEnds(t *testing.T) {
	for name, do := range map[string]func(*Purchase){
		"nothing happened":  func(*Purchase) {},
		"a look was stored": func(p *Purchase) { p.LookStep++ },
		"sent again by another process": func(p *Purchase) {
			p.PermitToken, p.Repeats, p.Attempts = "another", 1, 2
		},
		"needs_review": func(p *Purchase) { p.State = NeedsReview },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.ledger.rows["old"] = Purchase{ID: "old", State: Credited, Payment: PaymentPaid, Reference: "inv_1"}
			p := w.plan()
			got, calls, err := meanwhileDo(t.Context(), w, p, do) // the provider says inv_1 again
			if err != nil || calls != 2 {
				t.Errorf("the ledger was asked %d times, and then %v; want twice", calls, err)
			}
			if !got.NeverRepeat || got.Reference != "" || got.State == Confirmed {
				t.Errorf("%s under %q, never repeated %t; want no claim, and no repeat", got.State, got.Reference, got.NeverRepeat)
			}
			if last := w.ledger.evidence[len(w.ledger.evidence)-1]; last.Kind != EvidenceAnswer {
				t.Errorf("last evidence: %+v, want the answer", last)
			}
		})
	}
}

// TestALateYesIsTheBetterWitness: the books were faster than an answer that the
// database did not take at once.
func TestALateYesIsTheBetterWitness(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for by, want := range map[string]string{"evidence": "answer", "answer": "answer", "person": "person"} {
		row := Purchase{State: Confirmed, PermitToken: "mine", SentAt: &at, LastSentAt: &at, Reference: "inv_1", ReferenceBy: by}
		c, failure := Replied(row, Reply{Answer: Answer{Verdict: Accepted, Reference: "inv_1"}, Permit: "mine", Books: true}, at)
		if c.Next.State != Confirmed || c.Next.Reference != "inv_1" || c.Next.ReferenceBy != want || failure != FailedNone || len(c.External) > 0 {
			t.Errorf("by %s: %s under %s by %s, %q", by, c.Next.State, c.Next.Reference, c.Next.ReferenceBy, failure)
		}
	}
}

// TestNeverRepeatIsNotForgotten: P4. A key that is of no use, or one that made
// something, is not used again because a later request certainly did not run.
func TestNeverRepeatIsNotForgotten(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	row := Purchase{
		State: Sent, PermitToken: "second", Attempts: 2, Repeats: 1, SentAt: &at, LastSentAt: &at,
		QuietPeriod: 15 * time.Minute, Policy: PolicyRetry,
	}
	late, _ := Replied(row, Reply{Answer: Answer{Verdict: Unknown, NeverRepeat: true, Status: 417}, Permit: "first", Books: true}, at)
	then, _ := Replied(late.Next, Reply{Answer: Answer{Verdict: NotRun, Status: 429, Written: 9}, Permit: "second", Books: true}, at)
	look := then.Next
	for _, after := range []time.Duration{time.Minute, 16 * time.Minute} {
		c, want := Looked(look, Books{Complete: true}, nil, at.Add(after))
		if look = c.Next; want == WantRepeat {
			t.Fatalf("a repeat was asked for after %s", after)
		}
	}
	if look.State != NeedsReview {
		t.Errorf("ended %s, want in review", look.State)
	}
}

// TestAPermitThatLandsLateIsTakenBack: P2. The permit's commit was in doubt, and
// it is still on its way when its sender takes it back.
func TestAPermitThatLandsLateIsTakenBack(t *testing.T) {
	w := newWorld()
	p := w.plan()
	s := w.purchaser()
	s.Ledger = &landing{memory: w.ledger}
	if _, err := s.Buy(t.Context(), p, Lease{}); !errors.Is(err, ErrInDoubt) {
		t.Fatalf("Buy = %v, want ErrInDoubt", err)
	}
	if got := w.ledger.rows[p.ID]; got.State != Cancelled || got.Attempts != 0 || len(w.charges) != 0 {
		t.Errorf("%s with %d attempts and %d charges, want cancelled with none", got.State, got.Attempts, len(w.charges))
	}
}

// landing has its permit committed only when somebody waits for the row's lock.
type landing struct {
	*memory
	commit func()
}

func (l *landing) Permit(ctx context.Context, r PermitRequest) (Purchase, error) {
	l.commit = func() { _, _ = l.memory.Permit(ctx, r) }
	return Purchase{}, ErrInDoubt
}

func (l *landing) Answer(ctx context.Context, r AnswerRequest) (Purchase, error) {
	l.commit()
	return l.memory.Answer(ctx, r)
}

// TestEveryAnswerToEveryRowIsKept: P3, P4. Whatever the answer and whatever the
// row, the step is on the chart, the answer stands in the evidence, and a request
// that made something is not sent again.
func TestEveryAnswerToEveryRowIsKept(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		row := Purchase{
			State: rapid.SampledFrom(States()).Draw(t, "state"), PermitToken: rapid.SampledFrom([]string{"", "mine", "another"}).Draw(t, "permit"),
			Attempts: rapid.IntRange(1, 4).Draw(t, "attempts"), SentAt: &at, LastSentAt: &at, QuietPeriod: 15 * time.Minute, Policy: PolicyRetry,
			Reference:   rapid.SampledFrom([]string{"", "inv_1", "inv_2"}).Draw(t, "claimed"),
			ReferenceBy: rapid.SampledFrom([]string{"answer", "evidence", "person"}).Draw(t, "by"), NeverRepeat: rapid.Bool().Draw(t, "never"),
		}
		row.Repeats = rapid.IntRange(0, row.Attempts-1).Draw(t, "repeats")
		a := Answer{
			Verdict: rapid.SampledFrom([]Verdict{Accepted, Rejected, NotRun, Unknown, "strange"}).Draw(t, "verdict"), Reason: FailedOther,
			Written: int64(rapid.IntRange(0, 1).Draw(t, "written")), NeverRepeat: rapid.Bool().Draw(t, "417"),
		}
		if a.Verdict == Accepted || a.Verdict == Unknown {
			a.Reference = rapid.SampledFrom([]string{"", "inv_1"}).Draw(t, "reference")
		}
		books := rapid.Bool().Draw(t, "books")
		for name, a := range map[string]Answer{"as it came": a, "refused": a.impossible(ErrRefused)} {
			c, failure := Replied(row, Reply{Answer: a, Permit: "mine", Books: books}, at.Add(time.Minute))
			if !Allowed(row.State, c.Next.State) {
				t.Fatalf("%s: %s → %s is not on the chart", name, row.State, c.Next.State)
			}
			if len(c.Evidence) != 1 || c.Evidence[0].Kind != EvidenceAnswer {
				t.Fatalf("%s: evidence %+v, want the answer", name, c.Evidence)
			}
			made := a.Verdict == Unknown && (a.NeverRepeat || a.Reference != "")
			if c.Next.State == Sent && (made || row.NeverRepeat) && c.Next.repeatable() {
				t.Fatalf("%s: it may be sent again", name)
			}
			elsewhere := a.Verdict == Accepted && a.Reference != "" && a.Reference != c.Next.Reference
			if elsewhere && (failure != FailedMismatch || len(c.External) != 1) {
				t.Fatalf("%s: %s is neither claimed nor told", name, a.Reference)
			}
		}
	})
}
