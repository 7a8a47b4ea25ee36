package metrics_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"pgregory.net/rapid"

	"topupd/metrics"
	"topupd/topup"
)

// aDay is a daemon with two providers after some work: every metric has series.
func aDay(t testing.TB) fixture {
	f := setup(t, metrics.Options{PerTarget: metrics.PerTargetAll, Version: "v1.2.3", Revision: "abc123", GoVersion: "go1.26.8"})
	f.Watch("hyperline", []string{"api-credits"})
	f.Watch("voice", []string{"voice"})
	f.Reloaded(true, noon)
	f.LeaseHeld("hyperline", true)
	f.Requested("hyperline", "credits", "200", 120*time.Millisecond)
	f.Requested("hyperline", "purchase", "error", 75*time.Second)
	f.Budget("hyperline", "reads", 0.75)
	f.Polled("hyperline", "ok", 1400*time.Millisecond, noon)
	f.Polled("voice", "error", time.Second, noon)
	f.Decided("hyperline", "api-credits", topup.Buy)
	f.Decided("hyperline", "", topup.NoRule)
	suffering := target("cus_3k", -8, 10, topup.InvoiceUnpaid)
	suffering.TroubleSince, suffering.DrySince = noon.Add(-time.Hour), noon.Add(-10*time.Minute)
	f.Targets("hyperline", noon, []metrics.TargetState{
		target("cus_Typ", 1012, 500, topup.Enough), target("cus_9a", 412, 500, topup.StillOpen), suffering,
	})
	f.Recovered("hyperline", 90*time.Second)
	f.Finished(bought(topup.Credited))
	f.NeedsReview(topup.Purchase{ProviderName: "voice", Rule: "voice"})
	f.Failed("voice", "voice", topup.FailedTimeout)
	f.Open("hyperline", []metrics.OpenCount{{State: topup.Sent, Count: 1, Oldest: noon.Add(-time.Minute)}})
	f.Unpaid("hyperline", map[topup.Payment]int{topup.PaymentFailed: 1, topup.PaymentPaid: 7})
	f.Stopped("hyperline", []string{"api-credits"}, []topup.Pause{
		{Scope: topup.PauseRule, Subject: "api-credits", Cause: topup.StopPrice}, {Scope: topup.PauseRule, Subject: "another", Cause: topup.StopPrice},
	})
	f.Stopped("voice", []string{"voice"}, []topup.Pause{{Scope: topup.PauseRule, Subject: "voice"}, {Scope: topup.PauseAll}})
	f.WatchVerify("hyperline")
	f.WatchVerify("voice")
	f.Verified("hyperline", map[string]int{"double_charge": 1, "unknown_invoice": 2}, map[string][]string{"double_charge": {"d-0123456789ab"}}, noon)
	f.Caps([]metrics.CapUse{
		{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Spent: 900_05, Limit: 2000_00},
		{Scope: topup.CapProvider, ID: "hyperline", Period: topup.CapDay, Currency: "EUR", Spent: 900_05, Limit: -1},
	}, []metrics.CapsNear{{Rule: "api-credits", Period: topup.CapDay, Currency: "EUR", Customers: 1}})
	f.LedgerQuery("permit", 3*time.Millisecond, "")
	f.LedgerQuery("plan", 40*time.Millisecond, "conflict")
	return f
}

func bought(state topup.State) topup.Purchase {
	return topup.Purchase{
		ProviderName: "hyperline", Rule: "api-credits", State: state,
		Credits: 600*topup.Credit + 500_000, Price: topup.Money{Minor: 900_05, Currency: "EUR"},
	}
}

func TestTheWholeScrape(t *testing.T) {
	t.Parallel()
	f := aDay(t)
	golden(t, "scrape.prom", f.text(t))
	if log := f.log.String(); log != "" {
		t.Errorf("an ordinary day was logged:\n%s", log)
	}
}

func TestABareDaemonStartsAtZero(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{Version: "v1.2.3"})
	f.Watch("voice", []string{"voice"})
	f.WatchVerify("voice")
	golden(t, "zero.prom", f.text(t))
}

func TestNamesAndTypesFollowTheConventions(t *testing.T) {
	t.Parallel()
	problems, err := promlint.New(strings.NewReader(aDay(t).text(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestWatchingAgainKeepsCounters(t *testing.T) {
	t.Parallel()
	f := aDay(t)
	f.Watch("hyperline", []string{"new-rule"})
	f.has(t, `topupd_purchases_total{provider="hyperline",result="credited",rule="api-credits"} 1`)
	f.has(t, `topupd_purchases_total{provider="hyperline",result="credited",rule="new-rule"} 0`)
	f.has(t, `topupd_targets{provider="hyperline"} 3`)
}

func TestCreditsMoveOnceAtCredited(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		purchase        func(*topup.Purchase)
		result, credits string
	}{
		{"a credited purchase moves them", func(*topup.Purchase) {}, "credited", "600.5"},
		{"a declined one does not", func(p *topup.Purchase) { p.State = topup.Declined }, "declined", "0"},
		{"a refused one is told from a declined one", func(p *topup.Purchase) {
			p.State, p.Reason = topup.Declined, topup.FailedRefused
		}, "refused", "0"},
		{"a cancelled one does not", func(p *topup.Purchase) { p.State = topup.Cancelled }, "cancelled", "0"},
		{"less than nothing is no sum", func(p *topup.Purchase) { p.Credits = -topup.Credit }, "credited", "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, metrics.Options{})
			f.Watch("hyperline", []string{"api-credits"})
			p := bought(topup.Credited)
			tt.purchase(&p)
			f.Finished(p)
			f.has(t, `topupd_purchases_total{provider="hyperline",result="`+tt.result+`",rule="api-credits"} 1`)
			f.has(t, `topupd_credits_bought_total{provider="hyperline",rule="api-credits"} `+tt.credits)
		})
	}
}

// TestCapsAreWhatTheLedgerSays: to the cent, and a window that is gone leaves nothing.
func TestCapsAreWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.Caps([]metrics.CapUse{
		{Scope: topup.CapGlobal, Period: topup.CapMonth, Currency: "EUR", Spent: 125_100_05, Limit: 200_000_00},
		{Scope: topup.CapProvider, ID: "voice", Period: topup.CapDay, Currency: "JPY", Spent: 5000, Limit: -1},
		{Scope: topup.CapRule, ID: "api-credits", Period: topup.CapDay, Spent: 3, Limit: 0},
	}, []metrics.CapsNear{{Rule: "api-credits", Period: topup.CapDay, Customers: 2}})
	f.has(t, `topupd_cap_spent{id="",period="month",scope="global",unit="EUR"} 125100.05`)
	f.has(t, `topupd_cap_limit{id="",period="month",scope="global",unit="EUR"} 200000`)
	f.has(t, `topupd_cap_spent{id="voice",period="day",scope="provider",unit="JPY"} 5000`)
	f.has(t, `topupd_cap_limit{id="api-credits",period="day",scope="rule",unit="purchases"} 0`)
	f.has(t, `topupd_cap_customers_near{period="day",rule="api-credits",unit="purchases"} 2`)
	if got := f.series(t, "topupd_cap_limit"); strings.Contains(got, "voice") {
		t.Errorf("a limit that nobody configured: %s", got)
	}
	f.Caps([]metrics.CapUse{{Scope: topup.CapGlobal, Period: topup.CapMonth, Currency: "EUR", Spent: 0, Limit: -1}}, nil)
	f.has(t, `topupd_cap_spent{id="",period="month",scope="global",unit="EUR"} 0`)
	for _, name := range []string{"topupd_cap_limit{", "topupd_cap_customers_near{", `id="voice"`} {
		if got := f.text(t); strings.Contains(got, name) {
			t.Errorf("what is gone is still there: %s", name)
		}
	}
}

func TestDifferencesGoBackToZeroAndUnknownKindsAreSeen(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.WatchVerify("voice")
	f.Verified("voice", map[string]int{"reversed": 3, "a_newer_kind": 2}, nil, noon)
	f.has(t, `topupd_verify_differences{kind="reversed",provider="voice"} 3`)
	f.has(t, `topupd_verify_differences{kind="other",provider="voice"} 2`)
	f.Verified("voice", map[string]int{}, nil, noon)
	f.has(t, `topupd_verify_differences{kind="reversed",provider="voice"} 0`)
	f.has(t, `topupd_verify_differences{kind="other",provider="voice"} 0`)
	if got := f.series(t, "topupd_verify_differences"); strings.Contains(got, "hyperline") {
		t.Errorf("series of a provider that is not compared: %s", got)
	}
}

// However many differences there are, a kind has one series, and it is gone with them.
func TestDifferencesAreNamedInOneSeriesAKind(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	named := func(ids []string, want ...string) {
		t.Helper()
		f.Verified("voice", map[string]int{"reversed": len(ids)}, map[string][]string{"reversed": ids, "a_newer_kind": {"d-9"}}, noon)
		var got []string
		for line := range strings.Lines(f.series(t, "topupd_verify_difference_ids")) {
			got = append(got, strings.TrimSpace(line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("series %q, want %q", got, want)
		}
	}
	named(nil)
	named([]string{"d-1", "d-2"}, `topupd_verify_difference_ids{ids="d-1,d-2",kind="reversed",provider="voice"} 1`)
	named([]string{"d-2", "d-3", "d-4", "d-5", "d-6", "d-7"}, `topupd_verify_difference_ids{ids="d-2,d-3,d-4,d-5,d-6",kind="reversed",provider="voice"} 1`)
	f.WatchVerify("voice")
	named([]string{"d-7"}, `topupd_verify_difference_ids{ids="d-7",kind="reversed",provider="voice"} 1`)
	named(nil)
}

func TestAnOpenPurchaseIsNotFinished(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.Finished(bought(topup.Confirmed))
	f.Finished(bought(topup.Confirmed))
	if got := f.series(t, "topupd_purchases_total"); got != "" {
		t.Errorf("counted: %s", got)
	}
	if n := strings.Count(f.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, f.log)
	}
}

func TestAbsentStatesAndPaymentsGoBackToZero(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.Watch("voice", nil)
	f.Open("voice", []metrics.OpenCount{
		{State: topup.NeedsReview, Count: 1, Oldest: noon},
		{State: topup.NeedsReview, Count: 2, Oldest: noon.Add(-time.Minute)},
		{State: topup.Credited, Count: 9, Oldest: noon},
	})
	f.has(t, `topupd_purchases_open{provider="voice",state="needs_review"} 3`)
	f.has(t, `topupd_purchase_oldest_open_timestamp_seconds{provider="voice",state="needs_review"} 1.79517594e+09`)
	f.Open("voice", nil)
	f.has(t, `topupd_purchases_open{provider="voice",state="needs_review"} 0`)
	f.has(t, `topupd_purchase_oldest_open_timestamp_seconds{provider="voice",state="needs_review"} 0`)
	if strings.Contains(f.text(t), `state="credited"`) {
		t.Error("a final state is shown as open")
	}
	f.Unpaid("voice", map[topup.Payment]int{topup.PaymentPending: 2})
	f.Unpaid("voice", nil)
	f.has(t, `topupd_invoices_unpaid{payment="pending",provider="voice"} 0`)
}

func TestValuesOutsideTheClosedSets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(fixture)
		want string
	}{
		{"a status out of range", func(f fixture) { f.Requested("p", "op", "999", 0) }, `topupd_provider_requests_total{code="other",op="op",provider="p"} 1`},
		{"an error's text as a code", func(f fixture) { f.Requested("p", "op", "4x4", 0) }, `topupd_provider_requests_total{code="other",op="op",provider="p"} 1`},
		{"the lowest status passes", func(f fixture) { f.Requested("p", "op", "100", 0) }, `topupd_provider_requests_total{code="100",op="op",provider="p"} 1`},
		{"the highest status passes", func(f fixture) { f.Requested("p", "op", "599", 0) }, `topupd_provider_requests_total{code="599",op="op",provider="p"} 1`},
		{"an unknown failure", func(f fixture) { f.Failed("p", "r", "gremlins") }, `topupd_purchase_failures_total{provider="p",reason="other",rule="r"} 1`},
		{"an unknown reason", func(f fixture) { f.Decided("p", "r", "gremlins") }, `topupd_decisions_total{provider="p",reason="other",rule="r"} 1`},
		{"an unknown result of a poll", func(f fixture) { f.Polled("p", "half", 0, noon) }, `topupd_polls_total{provider="p",result="error"} 1`},
		{"an unknown error of the ledger", func(f fixture) { f.LedgerQuery("plan", 0, "gremlins") }, `topupd_ledger_errors_total{query="plan",reason="other"} 1`},
		{"an unknown reason of a low target", func(f fixture) {
			s := target("c", 1, 2, "gremlins")
			s.TroubleSince = noon
			f.Targets("p", noon, []metrics.TargetState{s})
		}, `topupd_targets_below_threshold{provider="p",reason="other"} 1`},
		{"a budget that is not a number", func(f fixture) { f.Budget("p", "reads", math.NaN()) }, `topupd_rate_budget_used_ratio{kind="reads",provider="p"} 0`},
		{"an incomplete poll is no success", func(f fixture) {
			f.Polled("p", "ok", 0, noon)
			f.Polled("p", "incomplete", 0, noon.Add(time.Hour))
		}, `topupd_poll_last_success_timestamp_seconds{provider="p"} 1.795176e+09`},
		{"a refused reload keeps the time", func(f fixture) {
			f.Reloaded(true, noon)
			f.Reloaded(false, noon.Add(time.Hour))
		}, `topupd_config_last_reload_success_timestamp_seconds 1.795176e+09`},
		{"a clock that went back", func(f fixture) { f.Recovered("p", -time.Hour) }, `topupd_below_threshold_duration_seconds_sum{provider="p"} 0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, metrics.Options{})
			tt.do(f)
			f.has(t, tt.want)
		})
	}
	f := setup(t, metrics.Options{})
	f.Budget("p", "gremlins", 1)
	if got := f.series(t, "topupd_rate_budget_used_ratio"); got != "" {
		t.Errorf("an unknown budget is shown: %s", got)
	}
}

func TestOperationsAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	for i := range 1000 {
		id := strings.Repeat("x", i)
		f.Requested("hyperline", id, "200", 0)
		f.LedgerQuery(id, 0, "")
	}
	for name, most := range map[string]int{"topupd_provider_requests_total": 257, "topupd_ledger_errors_total": 6 * 129} {
		if n := strings.Count(f.series(t, name), "\n"); n > most {
			t.Errorf("%s has %d series, want at most %d", name, n, most)
		}
	}
	f.has(t, `topupd_provider_requests_total{code="200",op="other",provider="hyperline"} 744`)
}

func TestNoTextSpoilsAScrape(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bad := func(name string) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, name)) }
		f := setup(t, metrics.Options{Version: bad("version")})
		provider, rule := bad("provider"), bad("rule")
		f.Watch(provider, []string{rule})
		f.Requested(provider, bad("op"), bad("code"), 0)
		f.Decided(provider, rule, topup.Reason(bad("reason")))
		f.Polled(provider, bad("result"), 0, noon)
		f.Failed(provider, rule, topup.FailureReason(bad("failure")))
		f.LedgerQuery(bad("query"), 0, bad("error"))
		f.Targets(provider, noon, []metrics.TargetState{
			target(bad("one customer"), 1, 2, topup.Buy), target(bad("another"), 1, 2, topup.Reason(bad("reason"))),
			target("\xff", 1, 2, topup.Buy), target("\xfe", 3, 4, topup.Buy),
		})
		f.Finished(bought(topup.Credited))
		f.text(rt)
	})
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	metrics.New(reg, metrics.Options{})
	defer func() {
		if recover() == nil {
			t.Error("a second New on one registry went unnoticed")
		}
	}()
	metrics.New(reg, metrics.Options{})
}
