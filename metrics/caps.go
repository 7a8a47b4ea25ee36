package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"topupd/topup"
)

// CapUse is one window of the caps: what it has counted, what it may, or both.
type CapUse struct {
	Scope    topup.CapScope // global, provider or rule
	ID       string         // the name of the provider or rule; "" for global
	Period   topup.CapPeriod
	Currency topup.Currency // "" counts purchases
	Spent    int64          // purchases, or minor units
	Limit    int64          // -1 = none is configured
}

// CapsNear is how many customers of a rule are near a cap of their own.
type CapsNear struct {
	Rule      string
	Period    topup.CapPeriod
	Currency  topup.Currency
	Customers int
}

// unitPurchases is the unit of caps that count purchases; others have a currency.
const unitPurchases = "purchases"

// Caps sets what the windows of the caps hold, and leaves no others. They come from
// the ledger, so that every replica shows the same, after a restart too: take the
// maximum of them, not the sum.
func (m *Metrics) Caps(uses []CapUse, near []CapsNear) {
	m.capMu.Lock()
	defer m.capMu.Unlock()
	gone := m.caps // touches none that stays: a series that is gone for one scrape is a panel without its money
	m.caps = map[series]bool{}
	keep := func(v *prometheus.GaugeVec, value float64, labels ...string) {
		with(m, v.GetMetricWithLabelValues, set(value), labels...)
		key := series{v, strings.Join(labels, "\x00")}
		m.caps[key] = true
		delete(gone, key)
	}
	for _, u := range uses {
		labels := []string{string(u.Scope), label(u.ID), string(u.Period), unitOf(u.Currency)}
		keep(m.capSpent, amount(u.Spent, u.Currency), labels...)
		if u.Limit >= 0 {
			keep(m.capLimit, amount(u.Limit, u.Currency), labels...)
		}
	}
	for _, n := range near {
		keep(m.capNear, float64(n.Customers), label(n.Rule), string(n.Period), unitOf(n.Currency))
	}
	for key := range gone {
		key.of.DeleteLabelValues(strings.Split(key.labels, "\x00")...)
	}
}

// series is one series of a gauge.
type series struct {
	of     *prometheus.GaugeVec
	labels string
}

func unitOf(c topup.Currency) string {
	if c == "" {
		return unitPurchases
	}
	return string(c)
}

// amount is what a person reads: purchases, or major units of a currency.
func amount(n int64, c topup.Currency) float64 {
	if c == "" {
		return float64(n)
	}
	return moneyFloat(topup.Money{Minor: n, Currency: c})
}
