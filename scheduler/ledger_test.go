package scheduler

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"topupd/topup"
)

// memory is a ledger without a database: one lease, versions, open purchases
// and the decision log.
type memory struct {
	mu                   sync.Mutex
	holder               string
	term                 int64
	until                time.Time
	away                 error // every call fails
	standing             map[topup.Target]*topup.Standing
	change               func(*topup.Standing) // of every standing that is read
	refuse               error                 // of every plan
	holdErr              error
	expiring             map[topup.Target][]topup.Batch
	fell                 map[topup.Target]topup.Fall // the newest of each, over or not
	lifted               []string                    // why, of every hold
	accounts, otherFalls int                         // at the host
	holding              func()                      // runs before a hold is stored
	overCap              *topup.CapError
	external             map[string]bool
	cards                map[topup.Target]string
	news                 map[topup.Target]topup.Evaluation
	recorded             []topup.Evaluation
	plans                []topup.PlanRequest
	renewals             int
	archive                            // what the provider's books have to do with it
	hang                 chan struct{} // lease requests hang until it is closed or given up
	doubted              []string      // prices
}

func newMemory() *memory {
	return &memory{
		standing: map[topup.Target]*topup.Standing{}, external: map[string]bool{},
		cards: map[topup.Target]string{}, fell: map[topup.Target]topup.Fall{}, news: map[topup.Target]topup.Evaluation{},
	}
}

// do changes the ledger from now on.
func (m *memory) do(change func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// of changes what is stored about a customer.
func (m *memory) of(customer topup.CustomerID, change func(*topup.Standing)) {
	m.do(func(m *memory) { change(m.row(target(customer))) })
}

func (m *memory) row(t topup.Target) *topup.Standing {
	s, ok := m.standing[t]
	if !ok {
		s = &topup.Standing{}
		m.standing[t] = s
	}
	return s
}

func (m *memory) read(t topup.Target) topup.Standing {
	var s topup.Standing
	if row, ok := m.standing[t]; ok {
		s = *row
	}
	s.Now = time.Now()
	m.into(&s)
	if m.change != nil {
		m.change(&s)
	}
	return s
}

func (m *memory) waitWhileHanging(ctx context.Context) error {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang == nil {
		return nil
	}
	select {
	case <-hang:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memory) Acquire(ctx context.Context, id topup.ProviderID, holder string, ttl time.Duration) (topup.Lease, bool, error) {
	if err := m.waitWhileHanging(ctx); err != nil {
		return topup.Lease{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held := time.Now().Before(m.until)
	if m.away != nil || held && m.holder != holder {
		return topup.Lease{}, false, m.away
	}
	if !held {
		m.term++
	}
	m.holder, m.until = holder, time.Now().Add(ttl)
	return topup.Lease{Provider: id, Holder: holder, Term: m.term}, true, nil
}

func (m *memory) Renew(ctx context.Context, l topup.Lease, ttl time.Duration) (bool, error) {
	if err := m.waitWhileHanging(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renewals++
	if m.away != nil || !m.holds(l) {
		return false, m.away
	}
	m.until = time.Now().Add(ttl)
	return true, nil
}

func (m *memory) holds(l topup.Lease) bool {
	return m.holder == l.Holder && m.term == l.Term && time.Now().Before(m.until)
}

func (m *memory) Release(_ context.Context, l topup.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holder == l.Holder && m.term == l.Term {
		m.holder, m.until = "", time.Time{}
	}
	return m.away
}

func (m *memory) Standing(_ context.Context, t topup.Target) (topup.Standing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read(t), m.away
}

func (m *memory) Standings(context.Context, topup.ProviderID) (map[topup.Target]topup.Standing, topup.Standing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[topup.Target]topup.Standing{}
	for t := range m.standing {
		all[t] = m.read(t)
	}
	return all, m.read(topup.Target{}), m.away
}

func (m *memory) OverCap(context.Context, topup.Target, string, topup.Money, []topup.Cap) (*topup.CapError, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.overCap, m.away
}

func (m *memory) Plan(_ context.Context, r topup.PlanRequest) (topup.Purchase, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plans = append(m.plans, r)
	row := m.row(r.Purchase.Target)
	switch {
	case m.away != nil:
		return topup.Purchase{}, m.away
	case m.refuse != nil:
		return topup.Purchase{}, m.refuse
	case !m.holds(r.Lease):
		return topup.Purchase{}, topup.ErrLeaseLost
	case row.Open != nil:
		return topup.Purchase{}, topup.ErrPurchaseOpen
	case row.Version != r.Facts.Version:
		return topup.Purchase{}, topup.ErrFactsOvertaken
	}
	p := r.Purchase
	p.Revision, p.PlannedAt = 1, time.Now()
	row.Version++
	row.Open = &p
	return p, nil
}

func (m *memory) HoldRefunded(_ context.Context, t topup.Target, invoice, why string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.row(t).Refunded = invoice + ": " + why
	return nil
}

func (m *memory) Refusals(context.Context, topup.ProviderID) (map[string]topup.Target, error) {
	return nil, nil
}

func (m *memory) CountRefusal(context.Context, string, bool) (bool, error) { return false, nil }

func (m *memory) DoubtPrice(_ context.Context, _ topup.ProviderID, rule, priceID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubted = append(m.doubted, rule+" "+priceID)
	return nil
}

func (m *memory) Import(_ context.Context, t topup.Target, rows []topup.Topup) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range rows {
		if m.external[r.ID] {
			continue
		}
		m.external[r.ID] = true
		row := m.row(t)
		row.Version++
		row.ExternalAt, row.NewestRowAt = &r.At, &r.At
		if r.ID == r.Invoice {
			row.ExternalBills = append(row.ExternalBills, r.ID)
		}
		n++
	}
	return n, m.away
}

func (m *memory) NotePaymentMethods(_ context.Context, t topup.Target, fingerprint string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.row(t)
	if m.cards[t] == fingerprint || row.SuspendedAt == nil {
		return false, m.away
	}
	row.SuspendedAt, row.Declines, m.cards[t] = nil, 0, fingerprint
	return true, m.away
}

func (m *memory) RecordEvaluations(_ context.Context, evaluations []topup.Evaluation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil {
		return m.away
	}
	for _, e := range evaluations {
		m.news[e.Target] = e
		m.recorded = append(m.recorded, e)
	}
	return nil
}

func (m *memory) Snapshot(context.Context, topup.ProviderID) ([]topup.Evaluation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.news)), m.away
}

// decisions lists what was recorded about a customer, in order.
func (m *memory) decisions(customer topup.CustomerID) []topup.Reason {
	m.mu.Lock()
	defer m.mu.Unlock()
	var reasons []topup.Reason
	for _, e := range m.recorded {
		if e.Target.Customer == customer {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// records lists everything that was recorded, and planned everything that was
// to be planned.
func (m *memory) records() []topup.Evaluation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.recorded)
}

func (m *memory) planned() []topup.PlanRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.plans)
}

// lease is who holds it, in which term, for how long from now on.
func (m *memory) lease() (holder string, term int64, left time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.holder, m.term, time.Until(m.until)
}

// held tells whether the customer is held as implausible.
func (m *memory) held(customer topup.CustomerID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.row(target(customer)).Implausible != ""
}

// last is the newest evaluation of a customer.
func (m *memory) last(customer topup.CustomerID) topup.Evaluation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.news[target(customer)]
}

// switched is a process's own way to the leases, which can be cut.
type switched struct {
	*memory
	cutMu sync.Mutex
	cut   bool
}

func (s *switched) off(cut bool) {
	s.cutMu.Lock()
	defer s.cutMu.Unlock()
	s.cut = cut
}

func (s *switched) err() error {
	s.cutMu.Lock()
	defer s.cutMu.Unlock()
	if s.cut {
		return errAway
	}
	return nil
}

func (s *switched) Acquire(ctx context.Context, id topup.ProviderID, holder string, ttl time.Duration) (topup.Lease, bool, error) {
	if err := s.err(); err != nil {
		return topup.Lease{}, false, err
	}
	return s.memory.Acquire(ctx, id, holder, ttl)
}

func (s *switched) Renew(ctx context.Context, l topup.Lease, ttl time.Duration) (bool, error) {
	if err := s.err(); err != nil {
		return false, err
	}
	return s.memory.Renew(ctx, l, ttl)
}

func (s *switched) Release(ctx context.Context, l topup.Lease) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.memory.Release(ctx, l)
}
