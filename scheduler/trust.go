package scheduler

import (
	"context"
	"log/slog"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// suspect looks at a page before it is put into memory. Whose balance became
// null, zero or unreadable, and nothing explains it, waits for the end of the
// pass, when it is known whether they are too many at once to be believed (P14).
// The caller holds mu.
func (w *Watch) suspect(page topup.Page, standings map[topup.Target]topup.Standing) {
	for _, r := range page.Readings {
		t, known := w.tracked[r.Target]
		// Whoever had nothing can lose nothing: a provider that has lost everybody shows
		// it of the others alone.
		if had := !rules.Empty(r) || known && t.trust.Balance != 0; had && (!known || t.pass != w.pass) {
			w.seen++
		}
		if !known {
			continue // put there by the caller, without a past to compare with
		}
		if rules.Empty(r) {
			w.fell(t, r, standings[r.Target])
		} else {
			w.stands(t, r, standings[r.Target])
		}
	}
}

// stands takes over a reading that shows something. What led to it is learnt from
// unless it was doubted on the way.
func (w *Watch) stands(t *tracked, r topup.Reading, s topup.Standing) {
	_, suspected := w.suspects[r.Target]
	delete(w.suspects, r.Target)
	t.trust = t.trust.Next(r, suspected || s.Fall != nil || s.Implausible != "")
	t.zeroSince, t.unproven = nil, false
}

// fell judges a reading that shows nothing.
func (w *Watch) fell(t *tracked, r topup.Reading, s topup.Standing) {
	t.zero(r, w.closely())
	suspected, waits := w.suspects[r.Target]
	switch {
	case waits && suspected.Bad == (r.Bad != ""):
	case s.Implausible != "": // the ledger counts it
	case s.Fall != nil && s.Fall.Twice && (!s.Fall.Bad || r.Bad != ""): // counted, and to be seen again
	case s.Fall != nil && filled(t, s): // believed or not: that was before the credits
		w.suspects[r.Target] = beside(w.fall(t, r))
	case s.Fall != nil && (!s.Fall.Bad || r.Bad != ""): // counted, and no crowd
		t.believe(r)
	default:
		w.judge(t, r, s)
	}
}

func (w *Watch) judge(t *tracked, r topup.Reading, s topup.Standing) {
	verdict := rules.Judge(t.trust, r, 0, w.closely())
	if verdict != rules.Suspect && filled(t, s) {
		verdict = rules.Beside // with these credits it is neither plausible nor steady
	}
	switch verdict {
	case rules.Suspect:
		w.suspects[r.Target] = w.fall(t, r)
	case rules.Beside:
		w.suspects[r.Target] = beside(w.fall(t, r))
	case rules.Plausible:
		w.gone++
		t.trust = t.trust.Next(r, false)
	case rules.Steady:
		t.believe(r)
	}
}

// believe takes over a zero without learning from it; what cannot be read is none.
func (t *tracked) believe(r topup.Reading) {
	if r.Bad == "" {
		t.trust = t.trust.Next(r, true)
	}
}

func (w *Watch) fall(t *tracked, r topup.Reading) topup.Fall {
	return topup.Fall{
		Target: r.Target, Before: t.trust.Balance, ReadAt: r.ReadAt, AsOf: r.RefreshedAt,
		Bad: r.Bad != "", Twice: w.account(),
	}
}

func beside(f topup.Fall) topup.Fall {
	f.Beside, f.Twice = true, false
	return f
}

// zero keeps since when every reading shows zero, without a break.
func (t *tracked) zero(r topup.Reading, closely time.Duration) {
	switch {
	case r.Bad != "":
		t.zeroSince = nil
	case t.zeroSince == nil, r.ReadAt.Sub(t.reading.ReadAt) > closely:
		at := r.ReadAt
		t.zeroSince = &at
	}
}

// filled tells whether credits were added after the target had run dry or was
// believed last, or are due: a balance that shows nothing may be late, or one of
// those that a provider has lost.
func filled(t *tracked, s topup.Standing) bool {
	if s.Open != nil && s.Open.State == topup.Confirmed {
		return true
	}
	return s.NewestRowAt != nil && (s.NewestRowAt.After(t.trust.ReadAt) || !t.dry.IsZero() && s.NewestRowAt.After(t.dry))
}

// account tells whether the connection is one account, which can be no crowd by
// itself: a provider whose only witness is the balance.
func (w *Watch) account() bool {
	_, only := w.Reader.(topup.Sampler)
	return only
}

// closely is how far apart two readings of a target are while nothing is in the
// way, and a little more.
func (w *Watch) closely() time.Duration { return 2 * max(w.PollEvery, w.passTook) }

// lists tells whether the provider lists what has ended.
func (w *Watch) lists() bool {
	_, yes := w.Reader.(topup.Expirer)
	return yes
}

// tryExplain asks the provider's own list whether credits that ended explain the
// zero that a target is held for: at a month's end everybody's may.
func (c *confirm) tryExplain(ctx context.Context) error {
	w := c.w
	expirer, lists := w.Reader.(topup.Expirer)
	if !lists || c.facts.Standing.DoubtedAt == nil || !rules.Empty(c.t.reading) {
		return nil
	}
	ended, err := expirer.Expired(ctx, c.target, c.t.trust.ReadAt.Add(-rules.ExpiryAround))
	if err != nil {
		return err
	}
	expired := c.t.explained(rules.Ended(ended), w.closely())
	if expired <= 0 {
		return nil
	}
	lifted, err := w.Doubts.LiftDoubts(ctx, []topup.Target{c.target}, "the provider lists that "+expired.String()+" credits ended")
	if err == nil && lifted > 0 {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "hold lifted", slog.String("provider", w.Name), slog.String("customer", string(c.target.Customer)),
			slog.String("product", string(c.target.Product)), slog.String("reason", "the provider lists that "+expired.String()+" credits ended"))
	}
	return err
}

// explained is how many credits expired since the reading that was believed last,
// if that makes this one plausible; else 0. Use alone explains nothing here: by
// itself it would have been believed before.
func (t *tracked) explained(list []rules.Expiring, closely time.Duration) topup.Credits {
	expired := t.trust.Expired(list, t.reading.ReadAt)
	if rules.Judge(t.trust, t.reading, expired, closely) != rules.Plausible {
		return 0
	}
	return expired
}
