package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// settleFalls ends what a pass has made of falls: what expired is believed, the
// rest is counted in the ledger, together with what other processes see, and held
// when it is too much at once (P14). While the ledger does not take it they stay
// suspects: nothing is bought for them, and the next pass tries again.
func (p *pass) settleFalls(ctx context.Context) error {
	w := p.w
	if err := p.expired(ctx); err != nil {
		return err
	}
	falls := topup.Falls{Provider: w.ID, Account: w.account()}
	counts := false // whether any of them is a sign of a crowd
	w.mu.Lock()
	falls.Watched = w.seen
	for _, f := range w.suspects {
		falls.List = append(falls.List, f)
		counts = counts || !f.Beside
	}
	gone := w.gone
	w.mu.Unlock()
	if counts || len(falls.List) > 0 && p.crowdHeld() {
		crowd, err := w.Doubts.NoteFalls(ctx, falls)
		if err != nil {
			w.Log.LogAttrs(ctx, slog.LevelError, "implausible", slog.String("provider", w.Name), slog.Int("targets", len(falls.List)), slog.Any("err", err))
			return err
		}
		if crowd.Why != "" { // a person must look
			w.Log.LogAttrs(ctx, slog.LevelError, "implausible", slog.String("provider", w.Name), slog.Int("targets", crowd.Held), slog.String("reason", crowd.Why))
		}
		if err := p.consult(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	for target, f := range w.suspects {
		if t := w.tracked[target]; t != nil && p.standings[target].Implausible == "" && !f.Twice {
			t.believe(t.reading)
		}
	}
	clear(w.suspects)
	w.mu.Unlock()
	if topup.Crowded(gone, falls.Watched, false) {
		w.tellRush(ctx, slog.Int("ran_out", gone), slog.Int("targets", falls.Watched))
	}
	return nil
}

// crowdHeld tells whether readings hold anybody: what falls beside a crowd is held
// too, however much later.
func (p *pass) crowdHeld() bool {
	for _, s := range p.standings {
		if s.DoubtedAt != nil {
			return true
		}
	}
	return false
}

// expired believes the suspects whose credits we ordered to end about now.
func (p *pass) expired(ctx context.Context) error {
	w := p.w
	var from time.Time
	to := w.Now()
	w.mu.Lock()
	for target, f := range w.suspects {
		if t := w.tracked[target]; t != nil && !f.Bad && !f.Beside && (from.IsZero() || t.trust.ReadAt.Before(from)) {
			from = t.trust.ReadAt
		}
	}
	w.mu.Unlock()
	if from.IsZero() {
		return nil
	}
	batches, err := w.Doubts.Expiring(ctx, w.ID, from.Add(-rules.ExpiryAround), to.Add(rules.ExpiryAround))
	if err != nil {
		return fmt.Errorf("reading what expires: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for target := range w.suspects {
		t := w.tracked[target]
		if t == nil {
			delete(w.suspects, target)
			continue
		}
		var list []rules.Expiring
		for _, b := range batches[target] {
			list = append(list, rules.ExpiresAt(b.Credits, b.ExpiresAt))
		}
		if expired := t.explained(list, w.closely()); expired > 0 {
			w.gone++
			t.believe(t.reading)
			delete(w.suspects, target)
		}
	}
	return nil
}

// backFor is how many complete polls must show a balance again before a hold
// that readings made is over.
const backFor = 2

// settleBacks notes whose balance is back: the fall is over, and after two
// complete polls the hold too. Whoever is not back stays held.
func (p *pass) settleBacks(ctx context.Context, complete bool) error {
	w := p.w
	var back, lift []topup.Target
	w.mu.Lock()
	for target, t := range w.tracked {
		switch {
		case t.pass != w.pass:
			continue
		case rules.Empty(t.reading) || t.reading.Balance <= 0:
			t.normal = 0
		case complete:
			t.normal++
		}
		s, known := p.standings[target]
		if !known || rules.Empty(t.reading) {
			continue
		}
		doubted := s.Implausible != "" && s.DoubtedAt != nil
		if doubted && t.normal >= backFor {
			lift = append(lift, target)
		}
		if s.Fall != nil && (!doubted || t.normal >= backFor) {
			back = append(back, target)
		}
	}
	w.mu.Unlock()
	if err := p.lift(ctx, lift, fmt.Sprintf("their balances were back in %d complete polls", backFor)); err != nil {
		return err
	}
	if len(back) == 0 {
		return nil
	}
	if err := w.Doubts.EndFalls(ctx, back); err != nil {
		return fmt.Errorf("noting balances that are back: %w", err)
	}
	return p.consult(ctx)
}

// lift ends holds that readings made, and says so.
func (p *pass) lift(ctx context.Context, targets []topup.Target, why string) error {
	if len(targets) == 0 {
		return nil
	}
	lifted, err := p.w.Doubts.LiftDoubts(ctx, targets, why)
	if err != nil {
		return err
	}
	if lifted > 0 {
		p.w.mu.Lock()
		for _, target := range targets {
			p.w.tracked[target].doubted = true // decided about anew at the end of this pass
		}
		p.w.mu.Unlock()
		p.w.Log.LogAttrs(ctx, slog.LevelWarn, "hold lifted", slog.String("provider", p.w.Name), slog.Int("targets", lifted), slog.String("reason", why))
	}
	return p.consult(ctx)
}
