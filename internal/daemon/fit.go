package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// examineAgain is how long a daemon waits before it examines a ledger again that
// could not be read to its end.
const examineAgain = 10 * time.Second

// examine looks for damage in the ledger's file until it knows whether there is
// any. Nothing is bought before; everything else goes on meanwhile.
func (d *Daemon) examine(ctx context.Context) {
	for {
		began := d.now()
		err := d.store.Examine(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			d.options.Log.LogAttrs(ctx, slog.LevelInfo, "ledger examined", slog.Float64("seconds", d.now().Sub(began).Seconds()))
			d.fitness(ctx)
			return
		case errors.Is(err, topup.ErrLedgerUnfit):
			d.fitness(ctx)
			return
		}
		d.options.Log.LogAttrs(ctx, slog.LevelError, "examining the ledger", slog.Any("err", err), slog.Float64("retry_in_seconds", examineAgain.Seconds()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(examineAgain):
		}
	}
}

// fitness says when purchases can no longer rest on the ledger, and when they can
// again.
func (d *Daemon) fitness(ctx context.Context) {
	err := d.store.Fit()
	if errors.Is(err, ledger.ErrExamining) {
		return
	}
	d.metrics.LedgerFit(err == nil)
	if err == nil {
		if d.unfit.Swap(nil) != nil {
			d.options.Log.LogAttrs(ctx, slog.LevelWarn, "ledger", slog.String("fit", "the file is back: purchases go on"))
		}
		return
	}
	text := err.Error()
	if said := d.unfit.Swap(&text); said == nil || *said != text {
		d.options.Log.LogAttrs(ctx, slog.LevelError, "ledger", slog.Any("err", err))
	}
}
