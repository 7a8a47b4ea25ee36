package metrics

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What Options.PerTarget may say.
const (
	PerTargetAll  = "all"             // every target has its gauges
	PerTargetLow  = "below_threshold" // only targets below their threshold, or with no credits left
	PerTargetNone = "none"            // no target has
)

// Options say what is shown and what the build information is.
type Options struct {
	PerTarget string // PerTargetAll, PerTargetLow or PerTargetNone; "" is PerTargetAll
	// MaxSeries bounds the series of the two per-target gauges of balance and
	// threshold together, over all providers, inclusive. A target takes two of them,
	// one when it has no threshold or no balance. 0 or less shows none.
	MaxSeries int

	Version, Revision, GoVersion string // labels of topupd_build_info

	Logger     *slog.Logger   // nil logs nothing
	LogDropped func() float64 // how many lines of the log were dropped so far; nil counts none
}

// Metrics holds every metric of the daemon. All methods are safe for
// concurrent use and return at once.
type Metrics struct {
	log     *slog.Logger
	targets *picture
	ops     *bounded // (provider, op)
	queries *bounded // query

	strangeMu sync.Mutex
	strange   map[string]bool // what has been warned about

	purchases     *prometheus.CounterVec
	failures      *prometheus.CounterVec
	capSpent      *prometheus.GaugeVec
	capLimit      *prometheus.GaugeVec
	capNear       *prometheus.GaugeVec
	credits       *prometheus.CounterVec
	open          *prometheus.GaugeVec
	oldestOpen    *prometheus.GaugeVec
	unpaid        *prometheus.GaugeVec
	stopped       *prometheus.GaugeVec
	belowDuration *prometheus.HistogramVec

	decisions    *prometheus.CounterVec
	polls        *prometheus.CounterVec
	pollDuration *prometheus.HistogramVec
	pollSuccess  *prometheus.GaugeVec
	pollTakes    *prometheus.GaugeVec
	pollMayTake  *prometheus.GaugeVec

	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	budget          *prometheus.GaugeVec

	leaseHeld      *prometheus.GaugeVec
	tokenRefused   *prometheus.GaugeVec
	oldestPause    *prometheus.GaugeVec
	dryRun         *prometheus.GaugeVec
	ruleLost       *prometheus.GaugeVec
	reloadOK       prometheus.Gauge
	ledgerFit      prometheus.Gauge
	reloadAt       prometheus.Gauge
	ledgerDuration *prometheus.HistogramVec
	ledgerErrors   *prometheus.CounterVec

	differences   *prometheus.GaugeVec
	differenceIDs *prometheus.GaugeVec
	verified      *prometheus.GaugeVec

	capMu sync.Mutex
	caps  map[series]bool // those of the caps that exist

	namedMu sync.Mutex
	named   map[[2]string]string // the ids that are shown, by provider and kind
}

// New registers every metric. A registerer takes them once: a second New with
// the same one is a mistake in the program, and panics there.
//
// topupd_config_last_reload_successful starts at 1, since a process that runs
// has read its configuration; call Reloaded with the time of that.
func New(reg prometheus.Registerer, o Options) *Metrics {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := factory{promauto.With(reg)}
	m := &Metrics{
		log:     log,
		targets: newPicture(o, log),
		ops:     newBounded(maxOps),
		queries: newBounded(maxQueries),
		strange: map[string]bool{},
		named:   map[[2]string]string{},
	}
	reg.MustRegister(m.targets)
	m.addPurchases(f)
	m.addPolls(f)
	m.addRequests(f)
	m.addProcess(f, o)
	m.addVerify(f)
	return m
}

func (m *Metrics) addPurchases(f factory) {
	m.purchases = f.counter("topupd_purchases_total",
		"Purchases by how they ended; those that need review wait for a person, and are counted when that begins.",
		"provider", "rule", "result")
	m.failures = f.counter("topupd_purchase_failures_total",
		"Purchases that failed or whose outcome stayed unclear, by cause.",
		"provider", "rule", "reason")
	m.capSpent = f.gauge("topupd_cap_spent",
		"What the caps have counted in their window of now, hour, day or month in UTC: purchases, or money in major units excluding tax, by unit; open and credited ones. Whether capped or not.",
		"scope", "id", "period", "unit")
	m.capLimit = f.gauge("topupd_cap_limit",
		"The configured cap of the same window.",
		"scope", "id", "period", "unit")
	m.capNear = f.gauge("topupd_cap_customers_near",
		"Customers of a rule whose own cap is used to 80 % or more in its window of now.",
		"rule", "period", "unit")
	m.credits = f.counter("topupd_credits_bought_total",
		"Credits bought in credited purchases.",
		"provider", "rule")
	m.open = f.gauge("topupd_purchases_open",
		"Purchases that have not ended and block their target, by state.",
		"provider", "state")
	m.oldestOpen = f.gauge("topupd_purchase_oldest_open_timestamp_seconds",
		"When the oldest open purchase in the state was planned; 0 when there is none.",
		"provider", "state")
	m.unpaid = f.gauge("topupd_invoices_unpaid",
		"Invoices of topupd's purchases that are not paid, by what became of the payment.",
		"provider", "payment")
	m.stopped = f.gauge("topupd_rule_stopped",
		"1 while topupd itself has stopped the rule because of what it saw, by cause, else 0.",
		"provider", "rule", "cause")
	m.belowDuration = f.histogram("topupd_below_threshold_duration_seconds",
		"How long a target was below its threshold: from the last reading still above it to the first one back above.",
		[]float64{10, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600},
		"provider")
}

func (m *Metrics) addPolls(f factory) {
	m.decisions = f.counter("topupd_decisions_total",
		"Evaluations of a target, by the reason they ended in.",
		"provider", "rule", "reason")
	m.polls = f.counter("topupd_polls_total",
		"Passes over all balances of a provider; incomplete ones missed some targets.",
		"provider", "result")
	m.pollDuration = f.histogram("topupd_poll_duration_seconds",
		"How long a pass over all balances of a provider took.",
		[]float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900},
		"provider")
	m.pollSuccess = f.gauge("topupd_poll_last_success_timestamp_seconds",
		"When this process last finished a complete pass over all balances of the provider; 0 when it never did.",
		"provider")
	m.pollTakes = f.gauge("topupd_poll_seconds",
		"How long the newest pass over all balances of the provider took, or the one under way has taken, whichever is longer; 0 before the first.",
		"provider")
	m.pollMayTake = f.gauge("topupd_poll_reading_age_limit_seconds",
		"The shortest max_reading_age of the rules that buy at the provider; a longer pass leaves readings behind that nothing is bought on.",
		"provider")
}

func (m *Metrics) addRequests(f factory) {
	m.requests = f.counter("topupd_provider_requests_total",
		"Requests to the provider, by operation and HTTP status; error means that no answer was read.",
		"provider", "op", "code")
	// The last bound is purchase_timeout's default.
	m.requestDuration = f.histogram("topupd_provider_request_duration_seconds",
		"How long requests to the provider took.",
		[]float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 75},
		"provider", "op")
	m.budget = f.gauge("topupd_rate_budget_used_ratio",
		"Used part of the share of the provider's rate limit that topupd may take.",
		"provider", "kind")
}

func (m *Metrics) addProcess(f factory, o Options) {
	m.leaseHeld = f.gauge("topupd_lease_held",
		"1 while this process holds the lease of the provider connection, else 0.",
		"provider")
	m.tokenRefused = f.gauge("topupd_provider_token_refused_timestamp_seconds",
		"Since when the provider has refused the token that is in use, for a read or for purchases; 0 when it does not.",
		"provider")
	m.oldestPause = f.gauge("topupd_pause_oldest_timestamp_seconds",
		"When the oldest pause of the scope that a person has thrown and that is in force was thrown; 0 when there is none.",
		"provider", "scope")
	m.dryRun = f.gauge("topupd_dry_run",
		"1 while the rule buys nothing because its mode or the daemon's is dry_run, else 0.",
		"provider", "rule")
	m.ruleLost = f.gauge("topupd_customers_rule_lost",
		"Customers who were bought for within 90 days and whom no rule is for now, without a pause that says so.",
		"provider")
	m.reloadOK = f.plainGauge("topupd_config_last_reload_successful",
		"1 when the newest configuration is in use, 0 when it was refused and an older one is.")
	m.reloadAt = f.plainGauge("topupd_config_last_reload_success_timestamp_seconds",
		"When the configuration in use was read.")
	m.reloadOK.Set(1)
	m.ledgerFit = f.plainGauge("topupd_ledger_fit",
		"1 while purchases may rest on the ledger, 0 when its file is damaged, or is no longer where it was opened.")
	m.ledgerFit.Set(1)
	m.ledgerDuration = f.histogram("topupd_ledger_query_duration_seconds",
		"How long operations of the ledger took.",
		[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5},
		"query")
	m.ledgerErrors = f.counter("topupd_ledger_errors_total",
		"Operations of the ledger that failed, by cause.",
		"query", "reason")
	dropped := o.LogDropped
	if dropped == nil {
		dropped = func() float64 { return 0 }
	}
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "topupd_log_lines_dropped_total",
		Help: "Lines of the log that nobody took: whoever reads it was too slow or gone.",
	}, dropped)
	build := f.gauge("topupd_build_info", "Always 1; the labels say what is running.", "version", "revision", "goversion")
	with(m, build.GetMetricWithLabelValues, func(g prometheus.Gauge) { g.Set(1) }, o.Version, o.Revision, o.GoVersion)
}

// factory registers metrics as it makes them.
type factory struct{ promauto.Factory }

func (f factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (f factory) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func (f factory) plainGauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// histogram keeps classic buckets beside native ones: text scrapes show only
// the classic ones, and a Prometheus that takes native histograms gets buckets
// that are a tenth apart, at most 160 of them.
func (f factory) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return f.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}
