package metrics

import (
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"topupd/topup"
)

// OpenCount is how many open purchases of one provider are in one state.
type OpenCount struct {
	State  topup.State
	Count  int
	Oldest time.Time // when the oldest of them was planned; zero when there is none
}

// Finished counts a purchase that has ended. Credits move here alone, and only
// for credited ones: call it once per purchase. Money is in no counter: what is lost
// between the ledger and a counter would be missing for ever (see Spent). A purchase
// that has not ended is not counted, and said once.
func (m *Metrics) Finished(p topup.Purchase) {
	switch p.State {
	case topup.Credited:
		m.count(p)
		m.countCredited(p)
	case topup.Declined, topup.Cancelled:
		m.count(p)
	default:
		if m.first("finished " + string(p.State)) {
			m.log.Warn("purchase that has not ended is not counted as finished",
				slog.String("purchase", p.ID), slog.String("state", string(p.State)))
		}
	}
}

// NeedsReview counts a purchase that begins to wait for a person. It is counted
// again by Finished once it has ended.
func (m *Metrics) NeedsReview(p topup.Purchase) {
	p.State = topup.NeedsReview
	m.count(p)
}

func (m *Metrics) count(p topup.Purchase) {
	with(m, m.purchases.GetMetricWithLabelValues, prometheus.Counter.Inc, p.ProviderName, ruleLabel(p.Rule), result(p))
}

// result is the state in which the purchase ended. One that was declined because
// the provider refused the request is told apart: no card is to blame.
func result(p topup.Purchase) string {
	if p.State == topup.Declined && p.Reason == topup.FailedRefused {
		return string(topup.FailedRefused)
	}
	return string(p.State)
}

func (m *Metrics) countCredited(p topup.Purchase) {
	with(m, m.credits.GetMetricWithLabelValues, func(c prometheus.Counter) { c.Add(max(0, creditsFloat(p.Credits))) },
		p.ProviderName, ruleLabel(p.Rule))
}

// Failed counts one failure of a purchase. Reasons outside the closed list
// count as other.
func (m *Metrics) Failed(provider, rule string, reason topup.FailureReason) {
	with(m, m.failures.GetMetricWithLabelValues, prometheus.Counter.Inc, provider, ruleLabel(rule), failureLabel(reason))
}

// Open sets how many purchases are open in each state. States that are absent
// are set to 0, final states are ignored.
func (m *Metrics) Open(provider string, counts []OpenCount) {
	now := map[topup.State]OpenCount{}
	for _, c := range counts {
		sum := now[c.State]
		sum.Count += c.Count
		sum.Oldest = older(sum.Oldest, c.Oldest)
		now[c.State] = sum
	}
	for _, s := range openStates() {
		with(m, m.open.GetMetricWithLabelValues, set(float64(now[s].Count)), provider, string(s))
		with(m, m.oldestOpen.GetMetricWithLabelValues, set(timestamp(now[s].Oldest)), provider, string(s))
	}
}

// Stopped sets which of a provider's rules topupd has stopped by itself, as the
// pauses say that hold now. What a person has paused is not among them.
func (m *Metrics) Stopped(provider string, rules []string, pauses []topup.Pause) {
	for _, rule := range rules {
		for _, cause := range topup.StopCauses() {
			stopped := slices.ContainsFunc(pauses, func(p topup.Pause) bool {
				return p.Cause == cause && p.Scope == topup.PauseRule && p.Subject == rule
			})
			with(m, m.stopped.GetMetricWithLabelValues, set(truth(stopped)), provider, rule, string(cause))
		}
	}
}

// Paused sets since when pauses of people are in force at a provider, by scope: of
// all pauses, those that hold for the provider whose id and rules are given.
func (m *Metrics) Paused(provider string, id topup.ProviderID, rules []string, pauses []topup.Pause) {
	oldest := map[topup.PauseScope]time.Time{}
	for _, p := range pauses {
		if p.Own() || p.Provider != "" && p.Provider != id || p.Scope == topup.PauseRule && !slices.Contains(rules, p.Subject) {
			continue
		}
		oldest[p.Scope] = older(oldest[p.Scope], p.At)
	}
	for _, s := range pauseScopes {
		with(m, m.oldestPause.GetMetricWithLabelValues, set(timestamp(oldest[s])), provider, string(s))
	}
}

// Unpaid sets how many invoices are pending and how many failed. Payments that
// are absent are set to 0; those that are not unpaid are ignored.
func (m *Metrics) Unpaid(provider string, byPayment map[topup.Payment]int) {
	for _, p := range unpaidPayments {
		with(m, m.unpaid.GetMetricWithLabelValues, set(float64(byPayment[p])), provider, string(p))
	}
}

// older is the earlier of two times, of which zero is none.
func older(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
