package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"topupd/internal/verify"
)

func (m *Metrics) addVerify(f factory) {
	m.differences = f.gauge("topupd_verify_differences",
		"Differences between topupd's purchases and the provider's books that the newest complete comparison found and nobody has acknowledged, by kind.",
		"provider", "kind")
	m.differenceIDs = f.gauge("topupd_verify_difference_ids",
		"1 for each kind that has differences which nobody has acknowledged; ids names the first five of them, as topupd verify --id takes them.",
		"provider", "kind", "ids")
	m.verified = f.gauge("topupd_verify_last_success_timestamp_seconds",
		"When the newest complete comparison with the provider's books began, whether it found differences or not; 0 when there was none.",
		"provider")
}

// WatchVerify creates the series of a provider's comparisons at zero. Without
// it, where comparisons are switched off, there are none.
func (m *Metrics) WatchVerify(provider string) {
	for _, k := range verify.Kinds() {
		with(m, m.differences.GetMetricWithLabelValues, exists, provider, string(k))
	}
	with(m, m.differences.GetMetricWithLabelValues, exists, provider, other)
	with(m, m.verified.GetMetricWithLabelValues, exists, provider)
}

// shownIDs bounds the differences of a kind that a label names: an alert must stay
// short, and whoever mends five can look for more.
const shownIDs = 5

// Verified sets what the newest complete comparison found and nobody has
// acknowledged: how many of each kind, and their ids. Kinds that are absent are
// set to 0; those that are not in verify.Kinds count as other, and are not named.
func (m *Metrics) Verified(provider string, counts map[string]int, ids map[string][]string, at time.Time) {
	rest := 0 // of kinds that a newer replica knows
	for _, n := range counts {
		rest += n
	}
	for _, k := range verify.Kinds() {
		with(m, m.differences.GetMetricWithLabelValues, set(float64(counts[string(k)])), provider, string(k))
		rest -= counts[string(k)]
		m.name(provider, string(k), ids[string(k)])
	}
	with(m, m.differences.GetMetricWithLabelValues, set(float64(rest)), provider, other)
	with(m, m.verified.GetMetricWithLabelValues, set(timestamp(at)), provider)
}

// name leaves at most one series of a kind, and touches none that stays: a series
// that is gone for one scrape is an alert without its ids.
func (m *Metrics) name(provider, kind string, ids []string) {
	text := strings.Join(ids[:min(len(ids), shownIDs)], ",")
	m.namedMu.Lock()
	defer m.namedMu.Unlock()
	if key := [2]string{provider, kind}; m.named[key] != text {
		m.differenceIDs.DeletePartialMatch(prometheus.Labels{"provider": label(provider), "kind": kind})
		m.named[key] = text
		if text != "" {
			with(m, m.differenceIDs.GetMetricWithLabelValues, set(1), provider, kind, text)
		}
	}
}
