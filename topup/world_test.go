package topup

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// world is a provider with books and a ledger in memory under one virtual
// clock, for tests of the life of a purchase. The provider's charges are the
// judge.
type world struct {
	mu        sync.Mutex // of what the provider does
	now       time.Time
	ledger    *memory
	charges   []*charge
	pending   []func() // executions that are still on their way
	runAt     []time.Time
	remembers bool // the provider keeps keys of charges that it answered with an error
	keys      map[string]*charge
	fault     fault
	looksFail bool
	balance   Credits
	billed    Money   // what invoices say; the price asked for when zero
	payment   Payment // what invoices say; paid when empty
	crashAt   string
	n         int
}

// charge is one captured payment.
type charge struct {
	key, invoice string
	at, visible  time.Time
	external     bool
}

// fault is what happens to the next request.
type fault struct {
	connect error
	execute bool
	late    time.Duration // executed this much later
	hidden  time.Duration // invoice and row are listed this much later
	answer  Verdict       // what comes back; "" = what happened
}

func newWorld() *world {
	w := &world{
		now:  time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		keys: map[string]*charge{}, fault: fault{execute: true},
	}
	w.ledger = &memory{world: w, rows: map[string]Purchase{}, answered: map[string]bool{}}
	return w
}

func (w *world) purchaser() *Purchaser {
	return &Purchaser{
		Ledger: w.ledger, Provider: w, Books: true, Replica: "test",
		TokenFingerprint: func() string { return "token" },
		Clock:            func() time.Time { return w.now },
		Step: func(step string) {
			if step == w.crashAt {
				runtime.Goexit() // deferred calls run, which a real death would not allow: they must not matter
			}
		},
	}
}

func (w *world) reconciler() *Reconciler {
	return &Reconciler{
		ID: "test://world/", Queue: w.ledger, Ledger: w.ledger, Provider: w, Purchaser: w.purchaser(), Books: true,
		Latest: func(Target) (Reading, bool) {
			return Reading{Balance: w.balance, ReadAt: w.now, RefreshedAt: w.now}, true
		},
		Decide: func(context.Context, Purchase) (Again, error) {
			return Again{Reason: Buy, Facts: Facts{At: w.now, MaxAge: time.Minute}, ServerTime: w.now}, nil
		},
	}
}

// visit visits once and waits for what it began.
func (w *world) visit(ctx context.Context) (int, error) { return visited(ctx, w.reconciler()) }

func visited(ctx context.Context, r *Reconciler) (int, error) {
	defer r.Wait()
	return r.Visit(ctx, Lease{})
}

// survive runs do as a process that may die at crashAt.
func (w *world) survive(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	<-done
	w.crashAt = ""
}

// plan stores a new purchase, as the scheduler does.
func (w *world) plan() Purchase {
	w.n++
	var baseline []string
	for _, c := range w.charges {
		if !c.visible.After(w.now) {
			baseline = append(baseline, c.invoice, "cdt_"+c.invoice)
		}
	}
	p := Purchase{
		ID: fmt.Sprintf("p%d", w.n), Key: fmt.Sprintf("key-%d", w.n), Revision: 1,
		Target:  Target{Provider: "test://world/", Customer: "cus_1", Product: "itm_1"},
		Credits: 120 * Credit, Price: Money{Minor: 20000, Currency: "EUR"}, PriceID: "pri_1",
		Policy: PolicyRetry, QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second,
		Declines: DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
		Baseline: baseline, PlannedAt: w.now, State: Planned, Payment: PaymentNone,
	}
	w.ledger.rows[p.ID] = p
	return p
}

// advance lets time pass; late executions run on the way, each at its time.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		next := -1
		for i, at := range w.runAt {
			if !at.After(end) && (next < 0 || at.Before(w.runAt[next])) {
				next = i
			}
		}
		if next < 0 {
			w.now = end
			return
		}
		run := w.pending[next]
		w.now = w.runAt[next]
		w.pending, w.runAt = slices.Delete(w.pending, next, next+1), slices.Delete(w.runAt, next, next+1)
		run()
	}
}

func (w *world) charge(key string, hidden time.Duration, remember bool) *charge {
	if c := w.keys[key]; c != nil && key != "" {
		return c
	}
	c := &charge{key: key, invoice: fmt.Sprintf("inv_%d", len(w.charges)+1), at: w.now, visible: w.now.Add(hidden), external: key == ""}
	w.charges = append(w.charges, c)
	w.balance += 120 * Credit
	if remember && key != "" {
		w.keys[key] = c
	}
	return c
}

func (w *world) chargesOf(key string) (n int) {
	for _, c := range w.charges {
		if c.key == key {
			n++
		}
	}
	return n
}

// Provider

func (w *world) Prepare(Order) (Request, error) { return Request{}, nil }

func (w *world) Connect(context.Context) (Sender, error) {
	if err := w.fault.connect; err != nil {
		return nil, err
	}
	return w, nil
}

func (w *world) Close() error { return nil }

func (w *world) Send(_ context.Context, _ Request, key string) Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fault
	w.fault = fault{execute: true}
	remember := w.remembers || f.answer == "" || f.answer == Accepted
	var c *charge
	switch {
	case f.execute && f.late > 0:
		w.pending = append(w.pending, func() { w.charge(key, f.hidden, remember) })
		w.runAt = append(w.runAt, w.now.Add(f.late))
	case f.execute:
		c = w.charge(key, f.hidden, remember)
	}
	a := Answer{Verdict: Unknown, Reason: FailedServer, Written: 100, ServerTime: w.now}
	switch {
	case f.answer == NotRun:
		a.Verdict, a.Written = NotRun, 0
	case f.answer == Rejected:
		a.Verdict, a.Reason = Rejected, FailedDeclined
	case c != nil && (f.answer == "" || f.answer == Accepted):
		a = Answer{Verdict: Accepted, Reference: c.invoice, Written: 100, ServerTime: w.now}
	}
	return a
}

func (w *world) Books(_ context.Context, _ Target, since time.Time) (Books, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looksFail {
		return Books{}, fmt.Errorf("the provider is away")
	}
	b := Books{Complete: true, ServerTime: w.now}
	for _, c := range w.charges {
		if c.visible.After(w.now) || c.at.Before(since) {
			continue
		}
		invoice := Invoice{
			ID: c.invoice, Credit: true, Products: []ProductID{"itm_1"}, Amount: Money{Minor: 20000, Currency: "EUR"},
			Status: "paid", Payment: PaymentPaid, At: c.at,
		}
		if !w.billed.IsZero() {
			invoice.Amount = w.billed
		}
		if w.payment != "" {
			invoice.Payment, invoice.Status = w.payment, string(w.payment)
		}
		b.Invoices = append(b.Invoices, invoice)
		b.Topups = append(b.Topups, Topup{
			ID: "cdt_" + c.invoice, Invoice: c.invoice, Credits: 120 * Credit, PriceID: "pri_1",
			Price: Money{Minor: 20000, Currency: "EUR"}, At: c.at,
		})
	}
	return b, nil
}

func (w *world) Follow(ctx context.Context, ps []Purchase, tell func(Purchase, Books, error)) {
	for _, p := range ps {
		b, err := w.Books(ctx, p.Target, time.Time{})
		tell(p, b, err)
	}
}

// memory is a ledger without a database: compare-and-set on the revision.
type memory struct {
	mu       sync.Mutex
	world    *world
	rows     map[string]Purchase
	answered map[string]bool // by the token of the permit
	evidence []Evidence
	declines int
	external []Topup
	pauses   []Pause
	rewinds  int
	doubt    bool // the next permit's commit is in doubt, and was stored
	refuse   error
}

func (m *memory) Now(context.Context) (time.Time, error) { return m.world.now, nil }

func (m *memory) Permit(_ context.Context, r PermitRequest) (Purchase, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.rows[r.Purchase.ID]
	now := m.world.now
	switch {
	case m.refuse != nil:
		return Purchase{}, m.refuse
	case p.Revision != r.Purchase.Revision:
		return Purchase{}, ErrOvertaken
	case !r.Repeat && p.State != Planned, r.Repeat && (p.State != Sent || p.Refused || p.NeverRepeat || p.Repeats >= MaxRepeats):
		return Purchase{}, ErrOvertaken
	case r.Repeat && now.Sub(*p.SentAt) > KeyLifetime:
		return Purchase{}, ErrKeyTooOld
	}
	p.State, p.PermitToken, p.PermitAt, p.LastSentAt = Sent, r.Token, &now, &now
	if p.SentAt == nil {
		p.SentAt = &now
	}
	p.Attempts++
	if r.Repeat {
		p.Repeats++
	}
	p.EmptyLooks, p.EmptyLookAt, p.Found, p.FoundAt = 0, nil, "", nil
	first := now.Add(5 * time.Second)
	p.NextLookAt, p.LookStep = &first, 0
	p.Revision++
	m.rows[p.ID] = p
	m.answered[r.Token] = false
	if m.doubt {
		m.doubt = false
		return Purchase{}, ErrInDoubt
	}
	return p, nil
}

func (m *memory) Advance(_ context.Context, c Change) (Purchase, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.advance(c)
}

func (m *memory) advance(c Change) (Purchase, error) {
	p := m.rows[c.Next.ID]
	if p.Revision != c.Next.Revision {
		return Purchase{}, ErrOvertaken
	}
	if !Allowed(p.State, c.Next.State) {
		return Purchase{}, fmt.Errorf("%s may not become %s", p.State, c.Next.State)
	}
	for id, other := range m.rows {
		if id != c.Next.ID && c.Next.Reference != "" && other.Reference == c.Next.Reference {
			return Purchase{}, ErrRefused
		}
	}
	next := c.Next
	next.Revision++
	m.rows[next.ID] = next
	m.evidence = append(m.evidence, c.Evidence...)
	m.external = append(m.external, c.External...)
	if c.Decline {
		m.declines++
	}
	return next, nil
}

func (m *memory) Answer(_ context.Context, r AnswerRequest) (Purchase, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.rows[r.Purchase.ID]
	if !ok {
		return Purchase{}, ErrNotFound
	}
	if answered, given := m.answered[r.Permit]; answered || !given {
		return row, nil
	}
	p, err := m.advance(r.Change(row, m.world.now))
	m.answered[r.Permit] = err == nil
	return p, err
}

func (m *memory) Append(_ context.Context, _ string, e ...Evidence) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.evidence = append(m.evidence, e...)
	return nil
}

func (m *memory) Stop(_ context.Context, p Pause) (bool, error) {
	m.pauses = append(m.pauses, p)
	return true, nil
}

func (m *memory) Rewind(context.Context, ProviderID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rewinds++
	for id, p := range m.rows {
		if c, wrong := Rewound(p, m.world.now); wrong {
			c.Next.Revision++
			m.rows[id] = c.Next
		}
	}
	return nil
}

func (m *memory) Due(context.Context, ProviderID, int) (time.Time, []Purchase, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []Purchase
	for _, p := range m.rows {
		old := p.State == Planned && m.world.now.Sub(p.PlannedAt) >= PlannedLifetime
		if old || (p.State != Planned && p.NextLookAt != nil && !p.NextLookAt.After(m.world.now)) {
			due = append(due, p)
		}
	}
	return m.world.now, due, nil
}

func (m *memory) Claimed(_ context.Context, _ ProviderID, references []string, except string) (map[string]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	claimed := map[string]bool{}
	for _, p := range m.rows {
		if p.ID != except && p.Reference != "" && slices.Contains(references, p.Reference) {
			claimed[p.Reference] = true
		}
	}
	return claimed, nil
}

func (m *memory) Others(_ context.Context, p Purchase, _ time.Time) (Others, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := Others{External: m.external}
	for _, q := range m.rows {
		if q.ID != p.ID && q.SentAt != nil && q.State != Cancelled {
			o.Purchases = append(o.Purchases, q)
		}
	}
	return o, nil
}

func (*memory) Elsewhere(context.Context, Purchase, time.Time) ([]Shown, error) { return nil, nil }

func (m *memory) open() (Purchase, bool) {
	for _, p := range m.rows {
		if p.State.Open() {
			return p, true
		}
	}
	return Purchase{}, false
}
