package topup

import (
	"context"
	"errors"
	"testing"
	"time"
)

// claim by evidence with another amount: rule not paused
func TestAnotherAmountFoundByEvidencePausesTheRule(t *testing.T) {
	w := newWorld()
	p := w.plan()
	w.billed = Money{Minor: 25000, Currency: "EUR"}
	w.fault = fault{execute: true, answer: Unknown}
	_, _ = w.purchaser().Buy(context.Background(), p, Lease{})
	r := w.reconciler()
	for range 60 {
		w.advance(time.Minute)
		_, _ = visited(context.Background(), r)
	}
	got := w.ledger.rows[p.ID]
	t.Logf("state %s charged %v reason %q", got.State, got.Charged, got.Reason)
	if len(w.ledger.pauses) == 0 {
		t.Errorf("rule not paused although invoice is %v for %v", got.Charged, got.Price)
	}
}

type rotating struct {
	*world
	fp *string
}

func (r rotating) Connect(ctx context.Context) (Sender, error) {
	s, err := r.world.Connect(ctx) // secret revealed here: old token
	*r.fp = "new"                  // a concurrent read got 401 and reloaded the file
	return s, err
}

func TestThePermitNamesTheTokenThatIsSent(t *testing.T) {
	w := newWorld()
	p := w.plan()
	fp := "old"
	b := w.purchaser()
	b.Provider = rotating{w, &fp}
	b.TokenFingerprint = func() string { return fp }
	spy := &permitSpy{memory: w.ledger}
	b.Ledger = spy
	_, _ = b.Buy(context.Background(), p, Lease{})
	if spy.got != "old" {
		t.Errorf("permit says token %q, the connection carries the old one: a 401 stops %q", spy.got, spy.got)
	}
}

type permitSpy struct {
	*memory
	got string
}

func (s *permitSpy) Permit(ctx context.Context, r PermitRequest) (Purchase, error) {
	s.got = r.TokenFingerprint
	return s.memory.Permit(ctx, r)
}

// a slow repeat holds up settling others
type slow struct {
	*world
	gate     chan struct{}
	followed chan struct{}
}

func (s slow) Connect(context.Context) (Sender, error) { return s, nil }
func (s slow) Send(ctx context.Context, r Request, key string) Answer {
	<-s.gate
	return Answer{Verdict: Unknown, Written: 1}
}

func (s slow) Follow(_ context.Context, ps []Purchase, tell func(Purchase, Books, error)) {
	select {
	case s.followed <- struct{}{}:
	default:
	}
	for _, p := range ps {
		tell(p, Books{}, errors.New("x"))
	}
}

func TestASlowRepeatHoldsUpNobody(t *testing.T) {
	w := newWorld()
	a := w.plan()
	w.fault = fault{execute: false, answer: Unknown}
	_, _ = w.purchaser().Buy(context.Background(), a, Lease{})
	r := w.reconciler()
	w.advance(20 * time.Minute)
	row, early := w.ledger.rows[a.ID], w.now.Add(-10*time.Minute)
	row.EmptyLooks, row.EmptyLookAt = 1, &early
	w.ledger.rows[a.ID] = row
	bb := w.plan()
	bb.State, bb.Reference, bb.Revision = Confirmed, "inv_z", 1
	at := w.now
	bb.NextLookAt, bb.ConfirmedAt, bb.SentAt, bb.LastSentAt = &at, &at, &at, &at
	w.ledger.rows[bb.ID] = bb
	s := slow{w, make(chan struct{}), make(chan struct{}, 1)}
	r.Provider, r.Purchaser.Provider = s, s
	w.advance(5 * time.Minute)
	done := make(chan struct{})
	go func() { _, _ = visited(context.Background(), r); close(done) }()
	select {
	case <-s.followed:
	case <-time.After(2 * time.Second):
		t.Errorf("the confirmed purchase is not followed while another's repeat waits for its answer (up to purchase_timeout)")
	}
	close(s.gate)
	<-done
}

// repeat NotRun whose store is in doubt
type doubtful struct {
	*memory
	n int
}

func (d *doubtful) Answer(ctx context.Context, r AnswerRequest) (Purchase, error) {
	p, err := d.memory.Answer(ctx, r)
	if err == nil && d.n > 0 {
		d.n--
		return Purchase{}, ErrInDoubt
	}
	return p, err
}

func TestARepeatThatDidNotRunIsGivenBackOnce(t *testing.T) {
	w := newWorld()
	p := w.plan()
	w.fault = fault{execute: false, answer: Unknown}
	_, _ = w.purchaser().Buy(context.Background(), p, Lease{})
	row := w.ledger.rows[p.ID]
	row.Repeats, row.Attempts = 1, 2
	row.EmptyLooks = 2
	w.ledger.rows[p.ID] = row
	w.advance(16 * time.Minute)
	b := w.purchaser()
	b.Ledger = &doubtful{memory: w.ledger, n: 1}
	w.fault = fault{execute: false, answer: NotRun}
	_, err := b.Repeat(context.Background(), row, Lease{}, Facts{At: w.now, MaxAge: time.Minute}, w.now)
	got := w.ledger.rows[p.ID]
	if got.Repeats != 1 || got.Attempts != 2 {
		t.Errorf("after a repeat that was not run: repeats %d (want 1), attempts %d (want 2), state %s, err %v", got.Repeats, got.Attempts, got.State, err)
	}
}

func TestAnUnknownInvoiceStatusIsTold(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{State: Confirmed, Payment: PaymentPending, Reference: "inv_1", ConfirmedAt: &at, Price: Money{Minor: 20000, Currency: "EUR"}}
	c := Followed(p, Books{Complete: true, Invoices: []Invoice{{ID: "inv_1", Status: "refunded", Payment: PaymentPending, Unexpected: "invoice inv_1 has the unknown status", Amount: p.Price}}}, nil, true, at)
	if len(c.Evidence) == 0 && c.Next.Detail == "" {
		t.Error("an unknown status leaves no trace: nobody is told")
	}
}

func TestALateYesOnADeclinedPurchaseIsTold(t *testing.T) {
	w := newWorld()
	p := w.plan()
	var told []Event
	b := w.purchaser()
	b.Observe = func(e Event) { told = append(told, e) }
	// while the answer is on its way the purchase needs review, and resolved by a person
	b.Provider = meanwhile{w, func() {
		row := w.ledger.rows[p.ID]
		row.State, row.Revision = Declined, row.Revision+2
		w.ledger.rows[p.ID] = row
	}}
	_, err := b.Buy(context.Background(), p, Lease{})
	got := w.ledger.rows[p.ID]
	t.Logf("row %s, err %v, external %d, event failure %q err %v", got.State, err, len(w.ledger.external), told[len(told)-1].Failure, told[len(told)-1].Err)
	if err == nil && len(w.ledger.external) == 0 && told[len(told)-1].Failure == FailedNone {
		t.Error("a captured payment on a declined row is told as a plain info line, and nothing holds the next purchase")
	}
}

type meanwhile struct {
	*world
	do func()
}

func (m meanwhile) Connect(context.Context) (Sender, error) { return m, nil }
func (m meanwhile) Send(ctx context.Context, r Request, key string) Answer {
	a := m.world.Send(ctx, r, key)
	m.do()
	return a
}

func TestARefusalAndItsFailedInvoiceAreOneDecline(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{State: Confirmed, Refused: true, Payment: PaymentPending, Reference: "inv_1", ReferenceBy: "evidence", ConfirmedAt: &at, Price: Money{Minor: 20000, Currency: "EUR"}}
	c := Followed(p, Books{Complete: true, Invoices: []Invoice{{ID: "inv_1", Status: "error", Payment: PaymentFailed, Amount: p.Price}}}, nil, true, at)
	if c.Decline {
		t.Error("the refusal was counted as a decline already; the failed invoice of the same purchase counts again")
	}
}

func TestAnOldDraftIsInTheBaseline(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := Confirmation{Reading: Reading{ReadAt: now}, ServerTime: now, Invoices: []Invoice{{ID: "inv_draft", At: now.Add(-48 * time.Hour), Payment: PaymentPending}}}
	if len(c.Seen()) == 0 {
		t.Error("an open bill that the confirm read showed is not in the baseline: issued later, it matches")
	}
}
