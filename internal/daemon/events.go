package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"topupd/ledger"
	"topupd/metrics"
	"topupd/topup"
)

// finishedBatch bounds the purchases that one housekeeping counts.
const finishedBatch = 500

// event turns what happened to a purchase into the canonical purchase line,
// the metrics and, in the demo, a line for a person.
func (d *Daemon) event(provider string, e topup.Event) {
	p := e.Purchase
	if d.options.Watch != nil {
		d.options.Watch(provider, e)
	}
	if e.Answer != nil && e.Answer.Verdict != topup.Accepted {
		d.metrics.Failed(provider, p.Rule, e.Answer.Reason)
	} else if e.From == topup.Planned && p.State == topup.Cancelled && p.Reason != topup.FailedNone {
		d.metrics.Failed(provider, p.Rule, p.Reason)
	}
	if p.State == topup.NeedsReview && e.From != topup.NeedsReview {
		d.metrics.NeedsReview(p)
	}
	if e.Failure != topup.FailedNone {
		d.metrics.Failed(provider, p.Rule, e.Failure)
	}
	if p.State == topup.Declined && p.Reason == topup.FailedNotFound && e.From == topup.Sent {
		d.metrics.Failed(provider, p.Rule, p.Reason)
	}
	d.options.Log.LogAttrs(context.Background(), eventLevel(e), "purchase", eventAttrs(provider, e)...)
}

// eventLevel: info when money or state moved, warn when it will be tried
// again, error when a person must act.
func eventLevel(e topup.Event) slog.Level {
	switch {
	case e.Purchase.State == topup.NeedsReview && e.From != topup.NeedsReview:
		return slog.LevelError
	case e.Failure != topup.FailedNone:
		return slog.LevelError
	case e.Answer != nil && e.Err != nil: // an answer that could not be stored
		return slog.LevelError
	case e.Answer != nil && e.Answer.Stop:
		return slog.LevelError
	case e.Err != nil, e.Answer != nil && e.Answer.Verdict != topup.Accepted:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

func eventAttrs(provider string, e topup.Event) []slog.Attr {
	p := e.Purchase
	attrs := []slog.Attr{
		slog.String("provider", provider),
		slog.String("customer", string(p.Target.Customer)),
		slog.String("product", string(p.Target.Product)),
		slog.String("rule", p.Rule),
		slog.String("purchase", p.ID),
		slog.String("key", p.Key),
		slog.String("from", string(e.From)),
		slog.String("to", string(p.State)),
		slog.String("credits", p.Credits.String()),
		slog.String("price_excluding_tax", p.Price.Amount()),
		slog.String("currency", string(p.Price.Currency)),
		slog.Int("attempt", p.Attempts),
		slog.String("payment", string(p.Payment)),
	}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if e.Answer != nil {
		add("verdict", string(e.Answer.Verdict))
		attrs = append(attrs, slog.Float64("duration_seconds", e.Duration.Seconds()))
	}
	add("reference", p.Reference)
	add("reason", string(p.Reason))
	add("text", e.Text)
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	return attrs
}

// housekeeping keeps the gauges that come from the ledger current, and counts
// purchases that have ended, each once.
func (d *Daemon) housekeeping(ctx context.Context) {
	for _, l := range d.lines {
		reads, writes := l.Client.BudgetUsed()
		d.metrics.Budget(l.Name, "reads", reads)
		d.metrics.Budget(l.Name, "writes", writes)
	}
	d.fitness(ctx)
	err := errors.Join(d.ledgerGauges(ctx), d.obey(ctx))
	d.reachable.Store(err == nil || ctx.Err() != nil)
	if err != nil && ctx.Err() == nil {
		d.options.Log.LogAttrs(ctx, slog.LevelError, "database", slog.Any("err", err))
	}
}

func (d *Daemon) ledgerGauges(ctx context.Context) error {
	open, err := d.store.OpenCounts(ctx)
	if err != nil {
		return err
	}
	unpaid, err := d.store.UnpaidCounts(ctx)
	if err != nil {
		return err
	}
	pauses, err := d.store.Pauses(ctx)
	if err != nil {
		return err
	}
	providers, err := d.store.Providers(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(d.verifyGauges(ctx), d.capGauges(ctx)); err != nil {
		return err
	}
	for _, l := range d.lines {
		d.metrics.Open(l.Name, openOf(open, l.ID))
		d.metrics.Unpaid(l.Name, unpaidOf(unpaid, l.ID))
		names := d.ruleNames(l.Name)
		d.metrics.Stopped(l.Name, names, pauses)
		d.metrics.Paused(l.Name, l.ID, names, pauses)
		if err := d.tokenGauge(ctx, l, providers); err != nil {
			return err
		}
		if !l.watch.Held() {
			continue
		}
		finished, err := d.store.TakeFinished(ctx, l.ID, finishedBatch)
		if err != nil {
			return err
		}
		for _, p := range finished {
			p.ProviderName = l.Name // the label of today
			d.metrics.Finished(p)
		}
	}
	return nil
}

// tokenGauge shows whether the provider refuses the token: for reads, as the
// client saw them, or for purchases, which the ledger then stops.
func (d *Daemon) tokenGauge(ctx context.Context, l *line, providers []ledger.Provider) error {
	stopped, err := d.stoppedFor(ctx, l, providers)
	if err != nil {
		return err
	}
	if !stopped {
		l.stopSeen = time.Time{}
	} else if l.stopSeen.IsZero() {
		l.stopSeen = d.now()
	}
	since := l.Client.TokenRefused()
	if since.IsZero() || stopped && l.stopSeen.Before(since) {
		since = l.stopSeen
	}
	d.metrics.TokenRefused(l.Name, since)
	return nil
}

// stoppedFor tells whether purchases are stopped because the provider refused the
// token in use. The holder of the lease reads the token again first: somebody may
// have put a new one there.
func (d *Daemon) stoppedFor(ctx context.Context, l *line, providers []ledger.Provider) (bool, error) {
	i := slices.IndexFunc(providers, func(p ledger.Provider) bool { return p.ID == l.ID })
	if i < 0 || providers[i].Stopped == "" {
		return false, nil
	}
	if l.watch.Held() {
		if _, err := l.Client.ReloadToken(); err != nil {
			d.options.Log.LogAttrs(ctx, slog.LevelWarn, "token", slog.String("provider", l.Name), slog.Any("err", err))
		}
		if err := d.noteToken(ctx, l.Connection); err != nil {
			return false, err
		}
	}
	return l.Client.TokenFingerprint() == providers[i].StoppedToken, nil
}

func openOf(counts []ledger.OpenCount, provider topup.ProviderID) []metrics.OpenCount {
	var out []metrics.OpenCount
	for _, c := range counts {
		if c.Provider != provider {
			continue
		}
		m := metrics.OpenCount{State: c.State, Count: c.Count}
		if c.Oldest != nil {
			m.Oldest = *c.Oldest
		}
		out = append(out, m)
	}
	return out
}

func unpaidOf(counts []ledger.UnpaidCount, provider topup.ProviderID) map[topup.Payment]int {
	out := map[topup.Payment]int{}
	for _, c := range counts {
		if c.Provider == provider {
			out[c.Payment] += c.Count
		}
	}
	return out
}
