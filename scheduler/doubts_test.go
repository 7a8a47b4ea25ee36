package scheduler

import (
	"context"
	"time"

	"topupd/topup"
)

// NoteFalls counts as the ledger does.
func (m *memory) NoteFalls(_ context.Context, f topup.Falls) (topup.Crowd, error) {
	m.mu.Lock()
	holding := m.holding
	m.mu.Unlock()
	if holding != nil {
		holding()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holdErr != nil || m.away != nil {
		return topup.Crowd{}, cmpErr(m.holdErr, m.away)
	}
	now := time.Now()
	for _, fall := range f.List {
		row := m.row(fall.Target)
		fall.At = now
		m.fell[fall.Target] = fall
		row.Fall = &fall
	}
	crowd := topup.Crowd{Of: f.Watched}
	for target, row := range m.standing {
		fall, recent := m.fell[target]
		recent = recent && !fall.Beside && now.Sub(fall.At) <= topup.FallWindow && (row.Fall == nil || !row.Fall.Believed)
		if recent || row.DoubtedAt != nil {
			crowd.Fell++
		}
	}
	if f.Account {
		crowd.Of = m.accounts
		crowd.Fell += m.otherFalls
	}
	if !topup.Crowded(crowd.Fell, crowd.Of, f.Account) {
		return crowd, nil
	}
	crowd.Why = "they fell together"
	for _, row := range m.standing {
		if row.Fall != nil && !row.Fall.Believed && row.Implausible == "" && now.Sub(row.Fall.At) <= topup.FallWindow {
			row.Implausible, row.DoubtedAt = crowd.Why, &now
			crowd.Held++
		}
	}
	return crowd, nil
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) LiftDoubts(_ context.Context, targets []topup.Target, why string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lifted := 0
	for _, target := range targets {
		if row := m.row(target); row.DoubtedAt != nil {
			m.believe(target)
			m.lifted = append(m.lifted, why)
			lifted++
		}
	}
	return lifted, m.away
}

// believe lifts a hold, as a person's resume does.
func (m *memory) believe(target topup.Target) {
	row := m.row(target)
	row.Implausible, row.DoubtedAt = "", nil
	if row.Fall != nil {
		fall := *row.Fall
		fall.Believed = true
		row.Fall = &fall
	}
}

func (m *memory) EndFalls(_ context.Context, targets []topup.Target) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, target := range targets {
		m.row(target).Fall = nil
	}
	return m.away
}

func (m *memory) Expiring(_ context.Context, _ topup.ProviderID, from, to time.Time) (map[topup.Target][]topup.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	batches := map[topup.Target][]topup.Batch{}
	for target, list := range m.expiring {
		for _, b := range list {
			if !b.ExpiresAt.Before(from) && !b.ExpiresAt.After(to) {
				batches[target] = append(batches[target], b)
			}
		}
	}
	return batches, m.away
}

// resume is a person who says that the provider's readings are true.
func (w *world) resume() {
	for _, customer := range w.all() {
		w.ledger.do(func(m *memory) { m.believe(target(customer)) })
	}
}
