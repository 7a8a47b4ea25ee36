package metrics

import (
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"topupd/topup"
)

// Watch creates every series of a provider (by its name in the YAML) and its
// rules at zero. It is called again after a reload: what exists is left alone,
// and a rule that is gone keeps its counters, since counters do not go back.
func (m *Metrics) Watch(provider string, rules []string) {
	m.targets.watch(provider)
	for _, rule := range append([]string{noRule}, rules...) {
		for _, reason := range topup.Reasons() {
			with(m, m.decisions.GetMetricWithLabelValues, exists, provider, rule, string(reason))
		}
	}
	for _, rule := range rules {
		m.watchRule(provider, rule)
	}
	for _, s := range openStates() {
		with(m, m.open.GetMetricWithLabelValues, exists, provider, string(s))
		with(m, m.oldestOpen.GetMetricWithLabelValues, exists, provider, string(s))
	}
	for _, p := range unpaidPayments {
		with(m, m.unpaid.GetMetricWithLabelValues, exists, provider, string(p))
	}
	for _, r := range pollResults {
		with(m, m.polls.GetMetricWithLabelValues, exists, provider, r)
	}
	for _, k := range budgetKinds {
		with(m, m.budget.GetMetricWithLabelValues, exists, provider, k)
	}
	with(m, m.belowDuration.GetMetricWithLabelValues, exists, provider)
	with(m, m.pollDuration.GetMetricWithLabelValues, exists, provider)
	with(m, m.pollSuccess.GetMetricWithLabelValues, exists, provider)
	with(m, m.pollTakes.GetMetricWithLabelValues, exists, provider)
	with(m, m.pollMayTake.GetMetricWithLabelValues, exists, provider)
	with(m, m.leaseHeld.GetMetricWithLabelValues, exists, provider)
	with(m, m.tokenRefused.GetMetricWithLabelValues, exists, provider)
	with(m, m.ruleLost.GetMetricWithLabelValues, exists, provider)
	for _, s := range pauseScopes {
		with(m, m.oldestPause.GetMetricWithLabelValues, exists, provider, string(s))
	}
}

func (m *Metrics) watchRule(provider, rule string) {
	for _, r := range purchaseResults {
		with(m, m.purchases.GetMetricWithLabelValues, exists, provider, rule, r)
	}
	for _, r := range topup.FailureReasons() {
		with(m, m.failures.GetMetricWithLabelValues, exists, provider, rule, string(r))
	}
	with(m, m.credits.GetMetricWithLabelValues, exists, provider, rule)
	for _, c := range topup.StopCauses() {
		with(m, m.stopped.GetMetricWithLabelValues, exists, provider, rule, string(c))
	}
}

// exists is for series that shall only exist.
func exists[M any](M) {}

// Requested counts one request to the provider. The code is an HTTP status, or
// "error" when no answer was read.
func (m *Metrics) Requested(provider, op, code string, d time.Duration) {
	if _, ok := m.ops.admit(provider + "\x00" + op); !ok {
		op = other
	}
	with(m, m.requests.GetMetricWithLabelValues, prometheus.Counter.Inc, provider, op, codeLabel(code))
	with(m, m.requestDuration.GetMetricWithLabelValues, seconds(d), provider, op)
}

// Decided counts one evaluation of a target. The rule "" is shown as "none".
// A reason that is not in topup.Reasons is shown as "other".
func (m *Metrics) Decided(provider, rule string, reason topup.Reason) {
	with(m, m.decisions.GetMetricWithLabelValues, prometheus.Counter.Inc, provider, ruleLabel(rule), reasonLabel(reason))
}

// Polled counts one pass over all balances. The result is ok, incomplete or
// error; everything else counts as error. Only ok moves the time of the last
// success, to at.
func (m *Metrics) Polled(provider, result string, d time.Duration, at time.Time) {
	if !slices.Contains(pollResults, result) {
		result = "error"
	}
	with(m, m.polls.GetMetricWithLabelValues, prometheus.Counter.Inc, provider, result)
	with(m, m.pollDuration.GetMetricWithLabelValues, seconds(d), provider)
	if result == "ok" {
		with(m, m.pollSuccess.GetMetricWithLabelValues, set(timestamp(at)), provider)
	}
}

// Pace sets how long a pass over all balances takes, and how old a reading may be
// when it is bought on.
func (m *Metrics) Pace(provider string, takes, mayTake time.Duration) {
	with(m, m.pollTakes.GetMetricWithLabelValues, set(takes.Seconds()), provider)
	with(m, m.pollMayTake.GetMetricWithLabelValues, set(mayTake.Seconds()), provider)
}

// Recovered counts a target that is back above its threshold after the time
// below it.
func (m *Metrics) Recovered(provider string, below time.Duration) {
	with(m, m.belowDuration.GetMetricWithLabelValues, seconds(below), provider)
}

// Budget sets how much of its share of the provider's limit is used: 0 nothing,
// 1 all. The kind is reads or writes; another one is not shown, and said once.
func (m *Metrics) Budget(provider, kind string, ratio float64) {
	if !slices.Contains(budgetKinds, kind) {
		if m.first("budget " + kind) {
			m.log.Warn("rate budget of an unknown kind is not shown", slog.String("provider", provider), slog.String("kind", kind))
		}
		return
	}
	if math.IsNaN(ratio) || ratio < 0 {
		ratio = 0
	}
	with(m, m.budget.GetMetricWithLabelValues, set(ratio), provider, kind)
}

// LeaseHeld sets whether this process holds the lease of the provider. Without
// it the process no longer polls, and its picture of the targets goes: left
// behind, it would report a customer as dry long after another replica helped.
func (m *Metrics) LeaseHeld(provider string, held bool) {
	if !held {
		m.targets.forget(provider)
		m.RuleLost(provider, 0)
	}
	with(m, m.leaseHeld.GetMetricWithLabelValues, set(truth(held)), provider)
}

// RuleLost sets how many customers were bought for lately and have no rule now.
func (m *Metrics) RuleLost(provider string, customers int) {
	with(m, m.ruleLost.GetMetricWithLabelValues, set(float64(customers)), provider)
}

// TokenRefused sets since when the provider has refused the token in use; zero
// when it does not.
func (m *Metrics) TokenRefused(provider string, since time.Time) {
	with(m, m.tokenRefused.GetMetricWithLabelValues, set(timestamp(since)), provider)
}

// DryRun sets which of a provider's rules, all of which are given, buy nothing
// because of dry_run.
func (m *Metrics) DryRun(provider string, rules map[string]bool) {
	m.dryRun.DeletePartialMatch(prometheus.Labels{"provider": label(provider)})
	for rule, on := range rules {
		with(m, m.dryRun.GetMetricWithLabelValues, set(truth(on)), provider, rule)
	}
}

// Reloaded sets whether the newest configuration is in use, and since when. A
// refused one leaves the time alone.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	m.reloadOK.Set(truth(ok))
	if ok {
		m.reloadAt.Set(timestamp(at))
	}
}

// LedgerFit tells whether purchases may rest on the ledger.
func (m *Metrics) LedgerFit(ok bool) { m.ledgerFit.Set(truth(ok)) }

// LedgerQuery counts one operation of the ledger. The errReason is "" for
// success, else in_doubt, conflict, timeout, connection, constraint or other;
// everything else counts as other.
func (m *Metrics) LedgerQuery(query string, d time.Duration, errReason string) {
	known, ok := m.queries.admit(query)
	if !ok {
		query = other
	}
	if !known {
		for _, r := range ledgerReasons {
			with(m, m.ledgerErrors.GetMetricWithLabelValues, exists, query, r)
		}
	}
	with(m, m.ledgerDuration.GetMetricWithLabelValues, seconds(d), query)
	if errReason == "" {
		return
	}
	if !slices.Contains(ledgerReasons, errReason) {
		errReason = other
	}
	with(m, m.ledgerErrors.GetMetricWithLabelValues, prometheus.Counter.Inc, query, errReason)
}

func set(v float64) func(prometheus.Gauge) { return func(g prometheus.Gauge) { g.Set(v) } }

// seconds observes a duration; a clock that went back counts as no time.
func seconds(d time.Duration) func(prometheus.Observer) {
	return func(o prometheus.Observer) { o.Observe(max(0, d.Seconds())) }
}

// timestamp is the time as Prometheus has it; the zero time is 0, "none".
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// creditsFloat is the credits in whole credits, to the 15 to 17 digits that a
// float64 holds: exact up to nine billion credits.
func creditsFloat(c topup.Credits) float64 { return float64(c) / float64(topup.Credit) }

// moneyFloat is the money in major units. Both operands are exact (MaxMinor is
// below 2^53), so the result is the float64 nearest to the amount.
func moneyFloat(m topup.Money) float64 {
	return float64(m.Minor) / math.Pow10(m.Currency.Digits())
}
