package daemon

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"topupd/scheduler"
	"topupd/topup"
)

const (
	// retentionTick is how often the ledger is looked through for what is older
	// than retention says. Halved, a pass over a large ledger costs twice as much.
	retentionTick = time.Hour
	// retentionRest lies between two of its transactions, so that on SQLite it
	// takes a small part of the one writer's time.
	retentionRest = 100 * time.Millisecond
)

// forgetDaily lets the scheduler delete what retention lets go. The first time is
// an hour after the start: everybody who is still there was seen by then.
func (d *Daemon) forgetDaily() {
	d.scheduler.Chores = append(d.scheduler.Chores, scheduler.Chore{Every: retentionTick, Run: d.forget})
}

// forget works on a replica that holds a lease.
func (d *Daemon) forget(ctx context.Context) {
	if slices.ContainsFunc(d.lines, func(l *line) bool { return l.watch.Held() }) {
		d.forgetNow(ctx)
	}
}

// forgetNow deletes in small batches. What one pass does not reach, the next one
// does.
func (d *Daemon) forgetNow(ctx context.Context) {
	now, err := d.store.Now(ctx)
	evaluations, evidence := 0, 0
	if err == nil {
		evaluations, err = d.forgetEvaluations(ctx, now.Add(-d.setup.Config.Retention.Evaluations))
	}
	if err == nil {
		evidence, err = d.forgetEvidence(ctx, now.Add(-d.setup.Config.Retention.Evidence))
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.options.Log.LogAttrs(ctx, slog.LevelWarn, "retention", slog.Any("err", err))
	case evaluations+evidence > 0:
		d.options.Log.LogAttrs(ctx, slog.LevelInfo, "retention", slog.Int("evaluations", evaluations), slog.Int("evidence", evidence))
	}
}

func (d *Daemon) forgetEvaluations(ctx context.Context, before time.Time) (sum int, err error) {
	var after topup.Target
	for {
		next, n, done, err := d.store.ForgetEvaluations(ctx, before, after)
		sum += n
		if err != nil || done || !rest(ctx) {
			return sum, err
		}
		after = next
	}
}

func (d *Daemon) forgetEvidence(ctx context.Context, before time.Time) (sum int, err error) {
	for {
		n, done, err := d.store.ForgetEvidence(ctx, before)
		sum += n
		if err != nil || done || !rest(ctx) {
			return sum, err
		}
	}
}

// rest waits a moment; false when the daemon stops.
func rest(ctx context.Context) bool {
	timer := time.NewTimer(retentionRest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
