package metrics

import (
	"time"

	"topupd/verify"
)

func (m *Metrics) addVerify(f factory) {
	m.differences = f.gauge("topup_verify_differences",
		"Differences between topupd's purchases and the provider's books that the newest complete comparison found, by kind.",
		"provider", "kind")
	m.verified = f.gauge("topup_verify_last_success_timestamp_seconds",
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

// Verified sets what the newest complete comparison found. Kinds that are
// absent are set to 0; those that are not in verify.Kinds count as other.
func (m *Metrics) Verified(provider string, counts map[string]int, at time.Time) {
	rest := 0 // of kinds that a newer replica knows
	for _, n := range counts {
		rest += n
	}
	for _, k := range verify.Kinds() {
		with(m, m.differences.GetMetricWithLabelValues, set(float64(counts[string(k)])), provider, string(k))
		rest -= counts[string(k)]
	}
	with(m, m.differences.GetMetricWithLabelValues, set(float64(rest)), provider, other)
	with(m, m.verified.GetMetricWithLabelValues, set(timestamp(at)), provider)
}
