package main

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"topupd/config"
	"topupd/ledger"
	"topupd/metrics"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

const (
	// housekeepingEvery keeps the gauges read from the ledger current; halved it
	// costs twice the queries, doubled a scrape sees older figures.
	housekeepingEvery = 5 * time.Second
	// sweepAuto is the interval of "sweep: auto"; the read budget slows it down.
	sweepAuto = 5 * time.Second
	// sweepLate is how many sweep intervals may pass without a page of a sweep
	// before the watchdog lets systemd restart the process; never less than two
	// minutes, nor than a pass over the account takes.
	sweepLate = 10
)

// daemonOptions is what run, run --once and demo do differently.
type daemonOptions struct {
	log        *slog.Logger
	logDropped func() float64 // lines of the log that nobody took; may be nil

	watch func(provider string, e topup.Event)                      // may be nil
	plan  func(provider string, p topup.Purchase, d rules.Decision) // may be nil
	every time.Duration                                             // replaces every sweep interval; 0 keeps them
}

// daemon is every part of topupd, built and not yet running.
type daemon struct {
	options   daemonOptions
	loaded    *loaded
	getenv    func(string) string
	now       func() time.Time
	rulebook  atomic.Pointer[scheduler.Rulebook]
	store     *ledger.Store
	registry  *prometheus.Registry
	metrics   *metrics.Metrics
	server    *metrics.Server
	scheduler *scheduler.Scheduler
	lines     []*line
	started   time.Time
	reload    func() (*loaded, error)
	broken    atomic.Pointer[string] // why the last reload failed
	reachable atomic.Bool            // the database answered the last housekeeping
	unfit     atomic.Pointer[string] // what the log last said of the ledger's file; nil = nothing is wrong with it
	stopping  atomic.Bool
}

// line is one provider connection with everything that works on it.
type line struct {
	*connection
	watch    *scheduler.Watch
	found    *findings
	stopSeen time.Time // since when this process has seen purchases stopped for the token; of housekeeping alone
}

// newDaemon builds the daemon from the outside in. It waits for the database
// and brings its schema up to date; nothing is read from a provider yet.
func newDaemon(a *app, l *loaded, o daemonOptions) (*daemon, error) {
	d := &daemon{options: o, loaded: l, getenv: a.getenv, now: a.now, started: a.now(), reload: a.load}
	d.rulebook.Store(l.book)
	d.registry = prometheus.NewRegistry()
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.metrics = metrics.New(d.registry, metrics.Options{
		PerTarget: string(l.cfg.Metrics.PerTarget), MaxSeries: l.cfg.Metrics.MaxSeries,
		Version: programVersion(), GoVersion: runtime.Version(), Logger: o.log, LogDropped: o.logDropped,
	})
	d.metrics.Reloaded(true, d.started)
	if err := d.openLedger(a.ctx); err != nil {
		return nil, err
	}
	if err := d.assemble(a); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) close() {
	if d.server != nil {
		_ = d.server.Close() // a second close after run
	}
	if d.store != nil {
		_ = d.store.Close() // nothing is in flight any more
	}
}

// assemble makes clients, watches, the scheduler and the server.
func (d *daemon) assemble(a *app) error {
	connections, err := a.connect(d.loaded, d.options.log, d.metrics.Requested)
	if err != nil {
		return err
	}
	if err := d.register(a.ctx, connections); err != nil {
		return err
	}
	d.scheduler = &scheduler.Scheduler{Log: d.options.log, Housekeeping: d.housekeeping, HousekeepingEvery: housekeepingEvery}
	holder := holderName()
	for _, c := range connections {
		l := d.line(c, holder)
		d.lines = append(d.lines, l)
		d.scheduler.Watches = append(d.scheduler.Watches, l.watch)
		d.compareDaily(l)
	}
	d.forgetDaily()
	if err := d.obey(a.ctx); err != nil {
		return err
	}
	d.createSeries()
	d.server, err = metrics.NewServer(d.loaded.cfg.HTTP.Listen, metrics.Handler{Gatherer: d.registry, Health: d, Logger: d.options.log})
	return err
}

// createSeries makes every series that can be known now, at zero.
func (d *daemon) createSeries() {
	for _, l := range d.lines {
		dry := map[string]bool{}
		d.metrics.Watch(l.Name, d.ruleNames(l.Name))
		for _, r := range d.rulebook.Load().Rules.Rules {
			if slices.Contains(r.Providers, l.Name) {
				dry[r.Name] = r.DryRun
			}
		}
		d.metrics.DryRun(l.Name, dry)
	}
}

// ruleNames are the rules that buy at the named provider.
func (d *daemon) ruleNames(provider string) []string {
	var names []string
	for _, r := range d.rulebook.Load().Rules.Rules {
		if slices.Contains(r.Providers, provider) {
			names = append(names, r.Name)
		}
	}
	return names
}

// line builds what works on one provider connection.
func (d *daemon) line(c *connection, holder string) *line {
	observe := func(e topup.Event) { d.event(c.Name, e) }
	found := &findings{}
	purchaser := &topup.Purchaser{
		Ledger: d.store, Provider: c.client, Books: c.books, Replica: holder,
		TokenFingerprint: c.client.TokenFingerprint,
		Clock:            d.now, Observe: observe, Step: faultPoint,
	}
	reconciler := &topup.Reconciler{
		ID: c.id, Queue: d.store, Ledger: d.store, Provider: c.client, Purchaser: purchaser, Books: c.books,
		Observe: observe, Found: found.get,
	}
	every := sweepAuto
	if !c.Sweep.Auto {
		every = c.Sweep.Every
	}
	if d.options.every > 0 {
		every = d.options.every
	}
	w := scheduler.NewWatch(scheduler.Options{
		ID: c.id, Name: c.Name, SweepEvery: every,
		AllowNative: c.NativeAutoTopup == config.NativeAllow, FirstHold: c.FirstPurchaseAfter,
		DryRun: d.loaded.cfg.Mode == config.DryRun,
		Policy: topup.Policy(c.Unclear.Policy), QuietPeriod: c.Unclear.QuietPeriod, PurchaseTimeout: c.PurchaseTimeout,
		Found: found.get, Holder: holder, Rulebook: d.rulebook.Load,
		Reader: c.client, TokenFingerprint: c.client.TokenFingerprint,
		Leases: d.store, Standings: d.store, Planner: d.store, Archive: d.store, Holds: d.store, Doubts: d.store, Decisions: d.store,
		Purchaser: purchaser, Visitor: reconciler, Observer: observer{d.metrics},
		LeaseChanged: func(held bool) { d.metrics.LeaseHeld(c.Name, held) },
		Planned: func(p topup.Purchase, decision rules.Decision) {
			if d.options.plan != nil {
				d.options.plan(c.Name, p, decision)
			}
		},
		Now: d.now, Log: d.options.log,
	})
	reconciler.Latest, reconciler.Decide = w.Latest, w.Again
	return &line{connection: c, watch: w, found: found}
}

// observer gives the scheduler's picture to the metrics.
type observer struct{ *metrics.Metrics }

func (o observer) Targets(provider string, now time.Time, states []scheduler.TargetState) {
	out := make([]metrics.TargetState, 0, len(states))
	for _, s := range states {
		out = append(out, metrics.TargetState(s))
	}
	o.Metrics.Targets(provider, now, out)
}

// run works until ctx ends or a part fails. Parts end together; the server
// answers until the last purchase in flight is stored.
func (d *daemon) run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return d.server.Run(serving) })
	parts.Go(func() error { d.reloadOnSignal(ctx); return nil })
	parts.Go(func() error { d.watchdog(ctx); return nil })
	parts.Go(func() error { d.examine(ctx); return nil })
	parts.Go(func() error {
		defer stopServing()
		return d.scheduler.Run(ctx)
	})
	d.notify(sd.SdNotifyReady)
	d.options.log.LogAttrs(ctx, slog.LevelInfo, "started", slog.String("version", programVersion()),
		slog.String("listen", d.server.Addr().String()), slog.String("database", d.loaded.cfg.DatabaseName()),
		slog.String("mode", string(d.loaded.cfg.Mode)), slog.Int("providers", len(d.lines)), slog.Int("rules", len(d.rulebook.Load().Rules.Rules)))
	parts.Go(func() error {
		<-ctx.Done()
		d.stopping.Store(true)
		d.notify(sd.SdNotifyStopping)
		d.options.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopping", slog.String("waiting_for", "purchases in flight"))
		return nil
	})
	err := parts.Wait()
	d.housekeeping(context.WithoutCancel(ctx))
	d.options.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopped", slog.Any("err", err))
	return err
}

// notify tells systemd, when there is one.
func (d *daemon) notify(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		d.options.log.LogAttrs(context.Background(), slog.LevelWarn, "systemd", slog.Any("err", err))
	}
}

// watchdog tells systemd that the sweeps go on. When they stop although this
// process holds the lease, it falls silent and systemd starts a new one.
func (d *daemon) watchdog(ctx context.Context) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if late := d.late(); len(late) > 0 {
			d.options.log.LogAttrs(ctx, slog.LevelError, "watchdog", slog.String("no_sweep", strings.Join(late, " ")))
			continue
		}
		d.notify(sd.SdNotifyWatchdog)
	}
}

// late names the connections whose sweeps have stopped. A provider that cannot
// be reached is not late: a restart would not help.
func (d *daemon) late() []string {
	return d.scheduler.Stale(d.now(), func(w *scheduler.Watch) time.Duration {
		return max(sweepLate*w.SweepEvery, 2*time.Minute, w.PassTook())
	}, d.started)
}

// Ready tells whether the daemon can do its work. A standby is ready, and so
// is a daemon whose last reload was broken; the body says so.
func (d *daemon) Ready() (bool, string) {
	var lacks []string
	if d.stopping.Load() {
		lacks = append(lacks, "stopping")
	}
	if !d.reachable.Load() {
		lacks = append(lacks, "the database does not answer: "+d.loaded.cfg.DatabaseName())
	}
	if err := d.store.Fit(); err != nil {
		lacks = append(lacks, err.Error())
	}
	if !d.swept() {
		lacks = append(lacks, "no sweep has finished yet")
	}
	body := "ready\n"
	if len(lacks) > 0 {
		body = "not ready: " + strings.Join(lacks, "; ") + "\n"
	}
	if broken := d.broken.Load(); broken != nil {
		body += "warning: the last reload failed, the old rules are in use: " + *broken + "\n"
	}
	return len(lacks) == 0, body
}

// swept: one sweep has finished, or another process holds every lease.
func (d *daemon) swept() bool {
	standby := true
	for _, l := range d.lines {
		if !l.watch.LastSweep().IsZero() {
			return true
		}
		standby = standby && l.watch.StandsBy()
	}
	return standby
}
