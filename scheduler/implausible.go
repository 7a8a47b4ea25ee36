package scheduler

import (
	"context"
	"fmt"
	"log/slog"

	"topupd/topup"
)

// implausible finds the targets whose balance became null, zero or unreadable
// in this sweep, when they are too many at once to be believed (P14). One that
// was empty before is held beside them when credits were added since: it should
// have risen. The caller holds mu.
func (w *Watch) implausible(sweep topup.Sweep, standings map[topup.Target]topup.Standing) []topup.Target {
	empty := func(r topup.Reading) bool { return r.Bad != "" || r.Balance == 0 }
	var suspects, beside []topup.Target
	doubted := 0 // empty, and held for that already: they belong to the same crowd
	for _, r := range sweep.Readings {
		t, known := w.tracked[r.Target]
		switch {
		case !known || !empty(r):
		case !empty(t.reading):
			suspects = append(suspects, r.Target)
		case t.last.Reason == topup.Implausible:
			doubted++
		case filled(t, standings[r.Target]):
			beside = append(beside, r.Target) // no sign of a crowd: a balance may be late
		}
	}
	if len(suspects)+doubted > max(implausibleAtLeast, len(sweep.Readings)/implausibleShare) {
		return append(suspects, beside...)
	}
	return nil
}

// filled tells whether credits were added after the target had run dry.
func filled(t *tracked, s topup.Standing) bool {
	return s.NewestRowAt != nil && !t.dry.IsZero() && s.NewestRowAt.After(t.dry)
}

// More than three targets and more than a tenth of a provider's: a handful may
// well run out in the same minute.
const (
	implausibleAtLeast = 3
	implausibleShare   = 10
)

// hold marks the suspects in the ledger and in this sweep's facts. While the
// ledger does not take it they stay unheld: nothing is bought for them, and the
// next sweep tries again.
func (w *Watch) hold(ctx context.Context, suspects []topup.Target, standings map[topup.Target]topup.Standing, base topup.Standing) {
	if len(suspects) == 0 {
		return
	}
	why := fmt.Sprintf("%d balances became zero or unreadable in one sweep; look at the provider, then topupd resume --provider %s", len(suspects), w.Name)
	for _, target := range suspects {
		standing, ok := standings[target]
		if !ok {
			standing = base
		}
		standing.Implausible = why
		standings[target] = standing
	}
	attrs := []slog.Attr{slog.String("provider", w.Name), slog.Int("targets", len(suspects)), slog.String("reason", why)}
	err := w.Holds.HoldImplausible(ctx, suspects, why)
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	} else {
		w.mu.Lock()
		w.unheld = nil
		w.mu.Unlock()
	}
	w.Log.LogAttrs(ctx, slog.LevelError, "implausible", attrs...) // a person must act
}
