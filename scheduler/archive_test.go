package scheduler

import (
	"context"
	"time"

	"topupd/topup"
)

// archive is the part of memory that knows how far the provider's books are
// explained, and whether the provider is quarantined.
type archive struct {
	quarantined string
	quarantine  time.Time
	person      bool   // only a person ends it
	stays       string // why the end of a quarantine is refused
	known       time.Time
	ends        []topup.QuarantineEnd
	ours        map[string]bool // references that purchases explain
}

func (a *archive) into(s *topup.Standing) {
	s.KnownAt = a.known
	if a.quarantined != "" {
		at := a.quarantine
		s.Quarantined, s.QuarantinedAt, s.QuarantineHeld = a.quarantined, &at, a.person
	}
}

// begin quarantines the provider now.
func (m *memory) begin(why string) {
	m.do(func(m *memory) { m.quarantined, m.quarantine, m.person = why, time.Now(), false })
}

func (m *memory) Claimed(_ context.Context, _ topup.ProviderID, references []string, _ string) (map[string]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ours, m.away
}

func (m *memory) NoteKnown(_ context.Context, _ topup.Lease, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.quarantined == "" && m.away == nil {
		m.known = at
	}
	return m.away
}

func (m *memory) EndQuarantine(_ context.Context, e topup.QuarantineEnd) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.away != nil:
		return "", m.away
	case m.quarantined == "" || m.person || !m.quarantine.Equal(e.Since):
		return "", topup.ErrOvertaken
	}
	m.ends = append(m.ends, e)
	if m.stays != "" {
		m.quarantined, m.person = m.stays, true
		return m.stays, nil
	}
	m.quarantined, m.known = "", e.ReadAt
	return "", nil
}

// noted is up to when all is known, and ended how often a quarantine ended.
func (m *memory) noted() (known time.Time, ends []topup.QuarantineEnd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known, m.ends
}

// bookish is a provider that lists what was bought in the account.
type bookish struct {
	*provider
	bills  map[topup.Target][]topup.Topup
	broken []string
	err    error
	sinces []time.Time // of every look
	looks  []time.Time
}

func (b *bookish) Billed(_ context.Context, since time.Time) (topup.Billed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sinces, b.looks = append(b.sinces, since), append(b.looks, time.Now())
	if b.err != nil {
		return topup.Billed{}, b.err
	}
	return topup.Billed{Topups: b.bills, Unreadable: b.broken}, nil
}

// change changes the books from now on.
func (b *bookish) change(do func(*bookish)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do(b)
}

// looked is when the books were read, counted from the start.
func (b *bookish) looked(start time.Time) []time.Duration { return b.since(start, &b.looks) }

// books makes the world's provider a bookish one for every process.
func (w *world) books() (*bookish, func(*Options)) {
	b := &bookish{provider: w.provider}
	return b, func(o *Options) { o.Reader = b }
}

// bill is one bill that bought credits for the customer.
func bill(id string, customer topup.CustomerID, at time.Time) map[topup.Target][]topup.Topup {
	return map[topup.Target][]topup.Topup{target(customer): {{ID: id, Invoice: id, At: at}}}
}
