package scheduler

import (
	"context"
	"log/slog"

	"topupd/rules"
	"topupd/topup"
)

// conclude keeps what the check found: in memory until the next poll, in the
// decision log, and as the canonical line. A check that failed on our own side
// is trouble too: the customer is low and nothing is bought.
func (w *Watch) conclude(ctx context.Context, c *confirm, d rules.Decision, err error) {
	if err != nil {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "check", slog.String("provider", w.Name),
			slog.String("customer", string(c.target.Customer)), slog.Any("err", err))
		if d.Reason != topup.Suspended && d.Reason != topup.Implausible { // these stay, and are asked about again in suspendedEvery
			d.Reason, d.Text = topup.ProviderUnavailable, "the check failed: "+err.Error()
		}
	}
	e, record := w.learn(c, d)
	if !record {
		return
	}
	w.Observer.Decided(w.Name, e.Rule, d.Reason)
	store, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	if err := w.Decisions.RecordEvaluations(store, []topup.Evaluation{e}); err != nil {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "recording decisions", slog.String("provider", w.Name), slog.Any("err", err))
	}
	level := slog.LevelDebug
	if d.Reason == topup.Buy {
		level = slog.LevelInfo
	}
	w.Log.LogAttrs(ctx, level, "check", checkAttrs(w.Name, e)...)
}

// learn puts a check's outcome into memory and writes it down as an evaluation.
// record is false while it is only waited for the next reading.
func (w *Watch) learn(c *confirm, d rules.Decision) (e topup.Evaluation, record bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, known := w.tracked[c.target]
	if !known {
		t = &c.t // forgotten since: only the record is left to write
	}
	now := w.Now()
	if c.fresh != nil {
		t.reading, t.spell.low = *c.fresh, c.fresh.ReadAt
		return e, false
	}
	t.spell = t.spell.after(d.Reason, d.Text, c.began, now)
	t.recalled, t.order = "", d.Order
	if d.Reason == topup.Rechecking {
		return e, false
	}
	if d.Reason == topup.Buy {
		t.decided = d.Reason // the next poll says whether it is low again
		t.unproven = t.unproven || d.Unproven
	}
	t.saw = factsDetail(c.facts)
	e = evaluation(w.Name, &c.t.reading, d, c.facts, now)
	e.Detail = t.detail(c.facts)
	if c.purchase != nil {
		e.Purchase = c.purchase.ID
	}
	if t.last.Reason == e.Reason {
		e.Since = t.last.Since
	}
	if read := c.facts.Confirmation; read != nil && read.Reading.Bad == "" {
		balance := read.Reading.Balance
		e.Balance, e.ReadAt, e.RefreshedAt = &balance, read.Reading.ReadAt, read.Reading.RefreshedAt
	}
	t.last, t.recordedAt = e, now
	return e, true
}
