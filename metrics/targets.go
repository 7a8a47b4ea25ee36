package metrics

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"topupd/topup"
)

// TargetState is how one target stands after a poll.
type TargetState struct {
	Target       topup.Target
	Balance      *topup.Credits // nil when it could not be read
	Threshold    *topup.Credits // nil when there is none
	Reason       topup.Reason
	TroubleSince time.Time // below the threshold for a trouble reason since; zero = it is not
	DrySince     time.Time // at or below zero since; zero = it is not
	Unserved     bool      // nobody buys for it: no rule, dry run, not active at the provider, a threshold that is never passed, or never asked for and long idle
	PausedSince  time.Time // low and kept back by a pause of a person since; zero = it is not
	HeldSince    time.Time // held because it shows nothing since; zero = it is not
	Unproven     bool      // bought for on a zero that only one stamp of an account shows
}

func (s TargetState) below() bool {
	return s.Balance != nil && s.Threshold != nil && *s.Balance < *s.Threshold
}

// dry tells what the newest balance says; without one, a target that was dry
// stays so.
func (s TargetState) dry() bool {
	if s.Balance != nil {
		return *s.Balance <= 0
	}
	return !s.DrySince.IsZero()
}

// low tells whether it waits for credits.
func (s TargetState) low() bool { return s.below() && !s.Unserved }

// fullness orders targets by how near they are to needing help: balance over
// threshold, the lowest first. Without a threshold above zero only the sign of
// the balance tells; what cannot be told comes last.
func (s TargetState) fullness() float64 {
	switch {
	case s.Balance == nil:
		return math.Inf(1)
	case s.Threshold != nil && *s.Threshold > 0:
		return creditsFloat(*s.Balance) / creditsFloat(*s.Threshold)
	case *s.Balance <= 0:
		return 0
	default:
		return math.Inf(1)
	}
}

// Targets replaces the picture of a provider's targets by a new one (its oldest
// times are what the alerts of P16 watch); a target
// that is not in it disappears. Times after now, from a clock that went back,
// are shown as now.
func (m *Metrics) Targets(provider string, now time.Time, states []TargetState) {
	m.targets.replace(provider, now, states)
}

// picture collects the metrics of targets from the newest picture of each
// provider. A scrape sees one whole picture, never half of the next.
type picture struct {
	perTarget string
	maxSeries int
	log       *slog.Logger

	mu        sync.Mutex // serialises replace and watch; Collect does not take it
	warned    bool
	providers map[string]*snapshot
	current   atomic.Pointer[[]prometheus.Metric]

	balance, threshold, low, dryOne, targets, below, dry, unserved, held, unproven *prometheus.Desc
	oldestTrouble, oldestDry, oldestHeld, oldestPaused                             *prometheus.Desc
}

// maxDry bounds the dry targets of a provider that are shown one by one. They do
// not count against Options.MaxSeries: a page hangs on each.
const maxDry = 500

// snapshot is what one provider's targets come to.
type snapshot struct {
	targets, dry          int
	unserved              int // dry, and nobody buys for them
	held, unproven        int
	below                 map[string]int       // by reason
	oldestTrouble         map[string]time.Time // by reason
	oldestDry, oldestHeld time.Time
	oldestPaused          time.Time
	rows                  []row
	dryRows               map[[2]string]time.Time // since when, by customer and product
}

// row is one target that may be shown by itself.
type row struct {
	provider, customer, product string
	balance, threshold          *topup.Credits
	low                         bool // and bought for
	fullness                    float64
}

func newPicture(o Options, log *slog.Logger) *picture {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	p := &picture{
		perTarget: cmp.Or(o.PerTarget, PerTargetAll), maxSeries: o.MaxSeries, log: log,
		providers: map[string]*snapshot{},

		balance: desc("topupd_balance_credits", "The newest balance read for the target.",
			"provider", "customer", "product"),
		threshold: desc("topupd_threshold_credits", "The threshold below which credits are bought for the target.",
			"provider", "customer", "product"),
		low: desc("topupd_target_below_threshold", "1 while the target is below its threshold and is bought for; absent otherwise, and where its balance is.",
			"provider", "customer", "product"),
		dryOne: desc("topupd_target_out_of_credits_timestamp_seconds",
			"Since when the target, which is bought for, has had a balance of zero or less; absent when it has more. With per_target none the customer is a digest of its id.",
			"provider", "customer", "product"),
		targets: desc("topupd_targets", "Targets seen in the newest poll.", "provider"),
		below: desc("topupd_targets_below_threshold",
			"Targets below their threshold, by the reason their newest evaluation ended in.", "provider", "reason"),
		dry: desc("topupd_targets_out_of_credits", "Targets whose balance is zero or less, of those that are bought for.", "provider"),
		unserved: desc("topupd_targets_out_of_credits_unserved",
			"Targets whose balance is zero or less and that nobody buys for: no rule, dry run, not active at the provider, a threshold that is never passed, or no purchase ever attempted and a balance that has stood still for 30 days.",
			"provider"),
		oldestTrouble: desc("topupd_targets_trouble_oldest_timestamp_seconds",
			"Since when the longest-suffering target has been low without being bought for, by reason; 0 when there is none.",
			"provider", "reason"),
		held: desc("topupd_targets_held", "Targets held because their balances became zero or unreadable, too many at once.", "provider"),
		unproven: desc("topupd_targets_unproven",
			"Accounts that were bought for on a zero whose stamp has not moved.", "provider"),
		oldestHeld: desc("topupd_targets_held_oldest_timestamp_seconds",
			"Since when the target that has been held the longest has been so; 0 when there is none.", "provider"),
		oldestPaused: desc("topupd_targets_paused_oldest_timestamp_seconds",
			"When a person threw the oldest of the pauses that keep low targets from being bought for; 0 when there is none.", "provider"),
		oldestDry: desc("topupd_targets_out_of_credits_oldest_timestamp_seconds",
			"Since when the target that has been dry the longest has been so; 0 when there is none.", "provider"),
	}
	p.current.Store(&[]prometheus.Metric{})
	return p
}

// Describe sends what the picture may hold.
func (p *picture) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		p.balance, p.threshold, p.low, p.dryOne, p.targets, p.below, p.dry, p.unserved, p.held, p.unproven,
		p.oldestTrouble, p.oldestDry, p.oldestHeld, p.oldestPaused,
	} {
		ch <- d
	}
}

// Collect sends the newest picture, without a lock.
func (p *picture) Collect(ch chan<- prometheus.Metric) {
	for _, m := range *p.current.Load() {
		ch <- m
	}
}

func (p *picture) watch(provider string) {
	provider = label(provider)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.providers[provider] == nil {
		p.providers[provider] = &snapshot{}
		p.draw()
	}
}

func (p *picture) forget(provider string) {
	provider = label(provider)
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.providers[provider]; s != nil && s.targets > 0 {
		p.providers[provider] = &snapshot{}
		p.draw()
	}
}

func (p *picture) replace(provider string, now time.Time, states []TargetState) {
	provider = label(provider)
	s := p.summarise(provider, now, states)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.providers[provider] = s
	p.draw()
}

func (p *picture) summarise(provider string, now time.Time, states []TargetState) *snapshot {
	s := &snapshot{targets: len(states), below: map[string]int{}, oldestTrouble: map[string]time.Time{}}
	var dry []TargetState
	for _, st := range states {
		reason := reasonLabel(st.Reason)
		if st.below() {
			s.below[reason]++
		}
		if !st.HeldSince.IsZero() {
			s.held++
			s.oldestHeld = older(s.oldestHeld, notAfter(now, st.HeldSince))
		}
		if st.Unproven {
			s.unproven++
		}
		switch {
		case !st.dry():
		case st.Unserved: // it would set the age for ever, and hide the next one
			s.unserved++
		default:
			s.dry++
			s.oldestDry = older(s.oldestDry, notAfter(now, st.DrySince))
			dry = append(dry, st)
		}
		if !st.Unserved {
			s.oldestPaused = older(s.oldestPaused, notAfter(now, st.PausedSince))
		}
		if !st.TroubleSince.IsZero() && !st.Unserved {
			s.oldestTrouble[reason] = older(s.oldestTrouble[reason], notAfter(now, st.TroubleSince))
		}
		if p.perTarget == PerTargetAll || p.perTarget == PerTargetLow && (st.below() || st.dry()) {
			s.rows = append(s.rows, row{
				provider: provider, customer: label(string(st.Target.Customer)), product: label(string(st.Target.Product)),
				balance: st.Balance, threshold: st.Threshold, low: st.low(), fullness: st.fullness(),
			})
		}
	}
	s.dryRows = p.oneByOne(now, dry)
	return s
}

// oneByOne is since when each of the targets has been dry, so that each is a page of
// its own. Beyond maxDry the newest share one row, as old as the oldest of them.
func (p *picture) oneByOne(now time.Time, dry []TargetState) map[[2]string]time.Time {
	slices.SortFunc(dry, func(a, b TargetState) int {
		return cmp.Or(a.DrySince.Compare(b.DrySince), cmp.Compare(a.Target.Customer, b.Target.Customer), cmp.Compare(a.Target.Product, b.Target.Product))
	})
	rows := make(map[[2]string]time.Time, min(len(dry), maxDry+1))
	for _, st := range dry {
		if st.DrySince.IsZero() {
			continue
		}
		key := [2]string{label(string(st.Target.Customer)), label(string(st.Target.Product))}
		if p.perTarget == PerTargetNone {
			digest := sha256.Sum256([]byte(st.Target.Customer))
			key[0] = "sha256:" + hex.EncodeToString(digest[:4])
		}
		if _, known := rows[key]; !known && len(rows) >= maxDry {
			key = [2]string{other, other}
		}
		rows[key] = older(rows[key], notAfter(now, st.DrySince))
	}
	return rows
}

// draw makes the metrics of all providers anew. It holds the lock.
func (p *picture) draw() {
	var drawn []prometheus.Metric
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
		if err != nil { // the labels were made valid
			p.log.Warn("metric not shown", slog.Any("err", err))
			return
		}
		drawn = append(drawn, m)
	}
	for name, s := range p.providers {
		gauge(p.targets, float64(s.targets), name)
		gauge(p.dry, float64(s.dry), name)
		gauge(p.unserved, float64(s.unserved), name)
		gauge(p.oldestDry, timestamp(s.oldestDry), name)
		gauge(p.oldestPaused, timestamp(s.oldestPaused), name)
		for of, since := range s.dryRows {
			gauge(p.dryOne, timestamp(since), name, of[0], of[1])
		}
		gauge(p.held, float64(s.held), name)
		gauge(p.oldestHeld, timestamp(s.oldestHeld), name)
		gauge(p.unproven, float64(s.unproven), name)
		for _, reason := range s.reasons() {
			gauge(p.below, float64(s.below[reason]), name, reason)
			gauge(p.oldestTrouble, timestamp(s.oldestTrouble[reason]), name, reason)
		}
	}
	for _, r := range p.shown() {
		if r.balance != nil {
			gauge(p.balance, creditsFloat(*r.balance), r.provider, r.customer, r.product)
		}
		if r.threshold != nil {
			gauge(p.threshold, creditsFloat(*r.threshold), r.provider, r.customer, r.product)
		}
		if r.low {
			gauge(p.low, 1, r.provider, r.customer, r.product)
		}
	}
	p.current.Store(&drawn)
}

// reasons are those of the closed list, and other when a target has one that
// is not in it.
func (s *snapshot) reasons() []string {
	var names []string
	for _, r := range topup.Reasons() {
		names = append(names, string(r))
	}
	if s.below[other] > 0 || !s.oldestTrouble[other].IsZero() {
		names = append(names, other)
	}
	return names
}

// shown picks the rows that fit into maxSeries, the emptiest first, and says
// once when some do not. Of rows with the same labels the emptiest stays: two
// series of one name would spoil the scrape.
func (p *picture) shown() []row {
	var all []row
	for _, s := range p.providers {
		all = append(all, s.rows...)
	}
	slices.SortFunc(all, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.fullness, b.fullness), cmp.Compare(a.provider, b.provider),
			cmp.Compare(a.customer, b.customer), cmp.Compare(a.product, b.product))
	})
	seen := make(map[[3]string]bool, len(all))
	kept, series := all[:0], 0
	for _, r := range all {
		key := [3]string{r.provider, r.customer, r.product}
		if seen[key] {
			continue
		}
		if series += r.series(); series > p.maxSeries {
			p.warnFull(len(all))
			break
		}
		seen[key] = true
		kept = append(kept, r)
	}
	return kept
}

func (r row) series() int {
	n := 0
	if r.balance != nil {
		n++
	}
	if r.threshold != nil {
		n++
	}
	return n
}

func (p *picture) warnFull(targets int) {
	if p.warned {
		return
	}
	p.warned = true
	p.log.Warn("more targets than metrics.max_series has room for: the emptiest are shown one by one, the others not",
		slog.Int("targets", targets), slog.Int("max_series", p.maxSeries))
}

// notAfter bounds a time by now; zero stays zero.
func notAfter(now, t time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}
