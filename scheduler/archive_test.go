package scheduler

import (
	"context"
	"errors"
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
	parts  int         // that the books are read in; 0 = 1
	breaks int         // the part that cannot be read, if any
	read   int         // parts
	sinces []time.Time // of every look
	looks  []time.Time
}

func (b *bookish) BilledSince(since time.Time) topup.Bills { return &bills{bookish: b, from: since} }

// bills is one reading. Whatever was bought is on its last part.
type bills struct {
	*bookish
	from time.Time
	part int // that was read last
}

func (r *bills) Next(context.Context) (topup.Billed, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sinces, r.looks = append(r.sinces, r.from), append(r.looks, time.Now())
	if r.err != nil {
		return topup.Billed{}, false, r.err
	}
	if r.part+1 == r.breaks {
		return topup.Billed{}, false, errors.New("502")
	}
	r.part++
	r.read++
	if r.part < r.parts {
		return topup.Billed{Bills: 100, Back: r.from.Add(time.Duration(r.parts-r.part) * time.Minute)}, false, nil
	}
	return topup.Billed{Topups: r.bills, Unreadable: r.broken}, true, nil
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
