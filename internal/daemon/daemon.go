// Package daemon composes a running topupd: it reads the files, connects to the
// providers, opens the ledger, builds every part, reloads the rules, compares the
// records every night, keeps the gauges, and ends in order.
package daemon

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
	// pollAuto is the interval of "poll: auto"; the read budget slows it down.
	pollAuto = 5 * time.Second
	// pollLate is how many poll intervals may pass without a page of a poll
	// before the watchdog lets systemd restart the process; never less than two
	// minutes, nor than a pass over the account takes.
	pollLate = 10
)

// Options are how a daemon runs, beside its configuration.
type Options struct {
	Version    string
	Now        func() time.Time
	Reload     func() (*Setup, error) // reads the files again; an error says what is wrong with them
	Log        *slog.Logger
	LogDropped func() float64 // lines of the log that nobody took; may be nil

	Watch func(provider string, e topup.Event)                      // is told what happens to purchases; may be nil
	Plan  func(provider string, p topup.Purchase, d rules.Decision) // is told each plan; may be nil
}

// Daemon is every part of topupd, built by New and not yet running.
type Daemon struct {
	options   Options
	setup     *Setup
	now       func() time.Time
	rulebook  atomic.Pointer[scheduler.Rulebook]
	store     *ledger.Store
	registry  *prometheus.Registry
	metrics   *metrics.Metrics
	server    *metrics.Server
	scheduler *scheduler.Scheduler
	lines     []*line
	started   time.Time
	broken    atomic.Pointer[string] // why the last reload failed
	reachable atomic.Bool            // the database answered the last housekeeping
	unfit     atomic.Pointer[string] // what the log last said of the ledger's file; nil = nothing is wrong with it
	stopping  atomic.Bool
}

// line is one provider connection with everything that works on it.
type line struct {
	*Connection
	watch    *scheduler.Watch
	found    *findings
	stopSeen time.Time // since when this process has seen purchases stopped for the token; of housekeeping alone
}

// New builds the daemon from the outside in. It waits for the database and brings
// its schema up to date; nothing is read from a provider yet. An OrphansError is a
// configuration that lacks a provider.
func New(ctx context.Context, s *Setup, o Options) (*Daemon, error) {
	d := &Daemon{options: o, setup: s, now: o.Now, started: o.Now()}
	d.rulebook.Store(s.Rulebook)
	d.registry = prometheus.NewRegistry()
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.metrics = metrics.New(d.registry, metrics.Options{
		PerTarget: string(s.Config.Metrics.PerTarget), MaxSeries: s.Config.Metrics.MaxSeries,
		Version: o.Version, GoVersion: runtime.Version(), Logger: o.Log, LogDropped: o.LogDropped,
	})
	d.metrics.Reloaded(true, d.started)
	if err := d.openLedger(ctx); err != nil {
		return nil, err
	}
	if err := d.assemble(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Addr is where the metrics are served.
func (d *Daemon) Addr() string { return d.server.Addr().String() }

// Close gives back the port and the ledger. It is for after Run and Once.
func (d *Daemon) Close() {
	if d.server != nil {
		_ = d.server.Close() // a second close after Run
	}
	if d.store != nil {
		_ = d.store.Close() // nothing is in flight any more
	}
}

// assemble makes clients, watches, the scheduler and the server.
func (d *Daemon) assemble(ctx context.Context) error {
	connections, err := ConnectAll(d.setup.Config, d.options.Log, d.metrics.Requested)
	if err != nil {
		return err
	}
	if err := d.register(ctx, connections); err != nil {
		return err
	}
	d.scheduler = &scheduler.Scheduler{Log: d.options.Log, Housekeeping: d.housekeeping, HousekeepingEvery: housekeepingEvery}
	holder := holderName(d.started)
	for _, c := range connections {
		l := d.line(c, holder)
		d.lines = append(d.lines, l)
		d.scheduler.Watches = append(d.scheduler.Watches, l.watch)
		d.compareDaily(l)
	}
	d.forgetDaily()
	if err := d.obey(ctx); err != nil {
		return err
	}
	d.createSeries()
	d.server, err = metrics.NewServer(d.setup.Config.HTTP.Listen, metrics.Handler{Gatherer: d.registry, Health: d, Logger: d.options.Log})
	return err
}

// createSeries makes every series that can be known now, at zero.
func (d *Daemon) createSeries() {
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
func (d *Daemon) ruleNames(provider string) []string {
	var names []string
	for _, r := range d.rulebook.Load().Rules.Rules {
		if slices.Contains(r.Providers, provider) {
			names = append(names, r.Name)
		}
	}
	return names
}

// line builds what works on one provider connection.
func (d *Daemon) line(c *Connection, holder string) *line {
	observe := func(e topup.Event) { d.event(c.Name, e) }
	found := &findings{}
	purchaser := &topup.Purchaser{
		Ledger: d.store, Provider: c.Client, Books: c.Traits.HasRecords, Replica: holder,
		TokenFingerprint: c.Client.TokenFingerprint,
		Clock:            d.now, Observe: observe, Step: faultPoint,
	}
	reconciler := &topup.Reconciler{
		ID: c.ID, Queue: d.store, Ledger: d.store, Provider: c.Client, Purchaser: purchaser, Books: c.Traits.HasRecords,
		Observe: observe, Found: found.get,
	}
	every := pollAuto
	if !c.Poll.Auto {
		every = c.Poll.Every
	}
	w := scheduler.NewWatch(scheduler.Options{
		ID: c.ID, Name: c.Name, PollEvery: every,
		AllowNative: c.NativeAutoTopup == config.NativeAllow, FirstHold: c.FirstPurchaseAfter,
		DryRun: d.setup.Config.Mode == config.DryRun,
		Policy: topup.Policy(c.UnknownOutcome.Policy), QuietPeriod: c.UnknownOutcome.QuietPeriod, PurchaseTimeout: c.PurchaseTimeout,
		Found: found.get, Holder: holder, Rulebook: d.rulebook.Load,
		Reader: c.Client, TokenFingerprint: c.Client.TokenFingerprint,
		Leases: d.store, Standings: d.store, Planner: d.store, Archive: d.store, Holds: d.store, Doubts: d.store, Decisions: d.store,
		Purchaser: purchaser, Visitor: reconciler, Observer: observer{d.metrics},
		LeaseChanged: func(held bool) { d.metrics.LeaseHeld(c.Name, held) },
		Planned: func(p topup.Purchase, decision rules.Decision) {
			if d.options.Plan != nil {
				d.options.Plan(c.Name, p, decision)
			}
		},
		Now: d.now, Log: d.options.Log,
	})
	reconciler.Latest, reconciler.Decide = w.Latest, w.Again
	return &line{Connection: c, watch: w, found: found}
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

// Once reconciles, polls once, buys what is due and says how many purchases wait
// for a person. scheduler.ErrLeaseElsewhere: another process works on a provider.
func (d *Daemon) Once(ctx context.Context) (inReview int, err error) {
	d.examine(ctx)
	err = d.scheduler.Once(ctx)
	d.housekeeping(ctx)
	if err == nil {
		err = d.store.Fit()
	}
	if err != nil {
		return 0, err
	}
	counts, err := d.store.OpenCounts(ctx)
	for _, count := range counts {
		if count.State == topup.NeedsReview {
			inReview += count.Count
		}
	}
	return inReview, err
}

// Run works until ctx ends or a part fails. Parts end together; the server
// answers until the last purchase in flight is stored.
func (d *Daemon) Run(ctx context.Context) error {
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
	d.options.Log.LogAttrs(ctx, slog.LevelInfo, "started", slog.String("version", d.options.Version),
		slog.String("listen", d.server.Addr().String()), slog.String("database", d.setup.Config.DatabaseName()),
		slog.String("mode", string(d.setup.Config.Mode)), slog.Int("providers", len(d.lines)), slog.Int("rules", len(d.rulebook.Load().Rules.Rules)))
	parts.Go(func() error {
		<-ctx.Done()
		d.stopping.Store(true)
		d.notify(sd.SdNotifyStopping)
		d.options.Log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopping", slog.String("waiting_for", "purchases in flight"))
		return nil
	})
	err := parts.Wait()
	d.housekeeping(context.WithoutCancel(ctx))
	d.options.Log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopped", slog.Any("err", err))
	return err
}

// notify tells systemd, when there is one.
func (d *Daemon) notify(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		d.options.Log.LogAttrs(context.Background(), slog.LevelWarn, "systemd", slog.Any("err", err))
	}
}

// watchdog tells systemd that the polls go on. When they stop although this
// process holds the lease, it falls silent and systemd starts a new one.
func (d *Daemon) watchdog(ctx context.Context) {
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
			d.options.Log.LogAttrs(ctx, slog.LevelError, "watchdog", slog.String("no_poll", strings.Join(late, " ")))
			continue
		}
		d.notify(sd.SdNotifyWatchdog)
	}
}

// late names the connections whose polls have stopped. A provider that cannot
// be reached is not late: a restart would not help.
func (d *Daemon) late() []string {
	return d.scheduler.Stale(d.now(), func(w *scheduler.Watch) time.Duration {
		return max(pollLate*w.PollEvery, 2*time.Minute, w.PassTook())
	}, d.started)
}

// Ready tells whether the daemon can do its work. A standby is ready, and so
// is a daemon whose last reload was broken; the body says so.
func (d *Daemon) Ready() (bool, string) {
	var lacks []string
	if d.stopping.Load() {
		lacks = append(lacks, "stopping")
	}
	if !d.reachable.Load() {
		lacks = append(lacks, "the database does not answer: "+d.setup.Config.DatabaseName())
	}
	if err := d.store.Fit(); err != nil {
		lacks = append(lacks, err.Error())
	}
	if !d.polled() {
		lacks = append(lacks, "no poll has finished yet")
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

// polled: one poll has finished, or another process holds every lease.
func (d *Daemon) polled() bool {
	standby := true
	for _, l := range d.lines {
		if !l.watch.LastPoll().IsZero() {
			return true
		}
		standby = standby && l.watch.StandsBy()
	}
	return standby
}
