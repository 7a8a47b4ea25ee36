package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"topupd/topup"
)

// crowd is what a pass has shown of balances that became empty.
type crowd struct {
	pass    int64
	seen    int
	doubted map[topup.Target]bool // empty, and held for that already: they belong to it
}

// suspect looks at a page before it is put into memory. Whose balance became
// null, zero or unreadable waits for the end of the pass, when it is known
// whether they are too many at once to be believed (P14). One that was empty
// before waits beside them when credits were added since: it should have risen.
// The caller holds mu.
func (w *Watch) suspect(page topup.Page, standings map[topup.Target]topup.Standing) {
	if w.crowd.pass != w.pass {
		w.crowd = crowd{pass: w.pass, doubted: map[topup.Target]bool{}}
	}
	empty := func(r topup.Reading) bool { return r.Bad != "" || r.Balance == 0 }
	for _, r := range page.Readings {
		t, known := w.tracked[r.Target]
		if !known || t.pass != w.pass {
			w.crowd.seen++
		}
		switch {
		case !known:
		case !empty(r):
			delete(w.suspects, r.Target)
			delete(w.crowd.doubted, r.Target)
			delete(w.beside, r.Target)
		case w.suspects[r.Target]:
		case !empty(t.reading):
			w.suspects[r.Target] = true
		case t.last.Reason == topup.Implausible:
			w.crowd.doubted[r.Target] = true
		case filled(t, standings[r.Target]):
			w.suspects[r.Target], w.beside[r.Target] = true, true // no sign of a crowd: a balance may be late
		}
	}
}

// implausible lists the targets that the pass which now ends has made
// implausible. The caller holds mu.
func (w *Watch) implausible() []topup.Target {
	if len(w.suspects)-len(w.beside)+len(w.crowd.doubted) > max(implausibleAtLeast, w.crowd.seen/implausibleShare) {
		return slices.Collect(maps.Keys(w.suspects))
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
