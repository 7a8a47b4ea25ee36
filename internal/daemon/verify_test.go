package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"topupd/clients/emulator"
	"topupd/config"
	"topupd/internal/verify"
	"topupd/internal/verify/verifytest"
	"topupd/ledger"
	"topupd/metrics"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// night is a daemon's comparison at work in a month, begun at its end: noon.
type night struct {
	*verifytest.Month
	t *testing.T
	*comparing
	log      *bytes.Buffer
	registry *prometheus.Registry
	lease    atomic.Bool
	down     atomic.Bool // the provider
}

func newNight(t *testing.T) *night {
	t.Helper()
	n := &night{t: t, Month: verifytest.NewMonth(t, 5), log: &bytes.Buffer{}, registry: prometheus.NewRegistry()}
	n.Fill(20)
	n.lease.Store(true)
	world := n.World.Handler()
	gate := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if n.down.Load() {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		world.ServeHTTP(rw, r)
	}))
	t.Cleanup(gate.Close)
	base, err := url.Parse(gate.URL)
	n.Must(err)
	from := n.Provider
	from.BaseURL = base
	client, err := Connect(from, slog.New(slog.DiscardHandler), nil)
	n.Must(err)
	client.ID = n.Provider.Identity()
	d := &Daemon{
		options: Options{Log: slog.New(slog.NewTextHandler(n.log, nil))},
		setup:   &Setup{Config: &config.Config{Verify: config.Verify{Schedule: "17 3 * * *", Since: 48 * time.Hour}}},
		now:     func() time.Time { return n.Now }, started: n.Now, store: n.Store,
		metrics: metrics.New(n.registry, metrics.Options{}),
		lines:   []*line{{Connection: client}},
	}
	d.rulebook.Store(&scheduler.Rulebook{Rules: rules.Set{Rules: []rules.Rule{{Name: "api-credits", Providers: []string{"hyperline"}, Product: emulator.Product}}}})
	d.metrics.WatchVerify("hyperline")
	n.comparing = &comparing{d: d, from: client, held: n.lease.Load}
	return n
}

// at moves the clocks to a time of day on a later date and lets the tick come.
func (n *night) at(day int, clock string) {
	n.t.Helper()
	at, err := time.Parse("2006-01-02 15:04", verifytest.MonthEnd.AddDate(0, 0, day).Format(time.DateOnly)+" "+clock)
	n.Must(err)
	n.Now = at
	n.tick(n.Ctx())
	n.Must(n.d.verifyGauges(n.Ctx()))
}

// runs counts the comparisons that the log tells of, and forgets them.
func (n *night) runs() (runs, differences int) {
	runs, differences = strings.Count(n.log.String(), "msg=verify"), strings.Count(n.log.String(), "msg=difference")
	n.log.Reset()
	return runs, differences
}

func (n *night) wantRuns(runs, differences int, why string) {
	n.t.Helper()
	text := n.log.String()
	if r, d := n.runs(); r != runs || d != differences {
		n.t.Errorf("%s: %d runs, %d differences logged; want %d, %d\n%s", why, r, d, runs, differences, text)
	}
}

// gauge is the value of a series of the comparison's metrics.
func (n *night) gauge(name, kind string) float64 {
	n.t.Helper()
	families, err := n.registry.Gather()
	n.Must(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			wanted := kind == ""
			for _, l := range m.GetLabel() {
				wanted = wanted || l.GetName() == "kind" && l.GetValue() == kind
			}
			if f.GetName() == name && wanted {
				return m.GetGauge().GetValue()
			}
		}
	}
	n.t.Fatalf("no series %s %s", name, kind)
	return 0
}

func TestTheDaemonComparesOnceADay(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.at(0, "12:01")
	n.wantRuns(0, 0, "before the first time of the schedule")
	n.at(1, "03:16")
	n.wantRuns(0, 0, "a minute before")
	n.at(1, "03:17")
	n.wantRuns(1, 0, "on time")
	n.at(1, "03:18")
	n.at(1, "23:00")
	n.wantRuns(0, 0, "once a day")
	n.lease.Store(false)
	n.at(2, "03:17")
	n.wantRuns(0, 0, "without the lease")
	n.lease.Store(true)
	n.at(2, "09:00")
	n.wantRuns(1, 0, "a missed one is made up for")
	again := &comparing{d: n.d, from: n.from, held: n.held}
	again.tick(n.Ctx())
	n.wantRuns(0, 0, "a restarted daemon does not repeat it")
}

func TestEachDifferenceIsLoggedOnceAndCountedUntilItIsGone(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.Now = verifytest.MonthEnd
	late := n.Buy(0)
	n.Must(n.World.Spoil(late.Reference, emulator.MistakeNoRow))
	n.at(1, "03:17")
	n.wantRuns(1, 1, "the first time")
	if got := n.gauge("topupd_verify_differences", "missing_row"); got != 1 {
		t.Errorf("missing_row = %v, want 1", got)
	}
	n.at(2, "03:17")
	n.wantRuns(1, 0, "still there")
	if got := n.gauge("topupd_verify_differences", "missing_row"); got != 1 {
		t.Errorf("missing_row = %v the day after, want 1", got)
	}
	n.at(4, "03:17") // out of the window
	n.wantRuns(1, 0, "gone")
	if got := n.gauge("topupd_verify_differences", "missing_row"); got != 0 {
		t.Errorf("missing_row = %v when it is gone, want 0", got)
	}
}

// Acknowledging one difference silences that one: at once, every night after, and
// neither the next of its kind nor itself once it is another one.
func TestTheDaemonTellsOfNoneThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.Now = verifytest.MonthEnd
	first := n.Buy(0)
	again := func(after time.Duration) string {
		ids, err := n.World.AddPast(emulator.PastPurchase{Customer: string(first.Target.Customer), At: first.SentAt.Add(after), Expires: first.ExpiresAt})
		n.Must(err)
		return ids[0]
	}
	again(time.Minute)
	n.at(1, "03:17")
	n.wantRuns(1, 1, "a double charge")
	report, err := NewVerifier(n.from, n.d.rulebook.Load(), n.Store, n.d.now).Run(n.Ctx(), first.SentAt.AddDate(0, 0, -1))
	n.Must(err)
	found := report.Findings
	if got := n.gauge("topupd_verify_differences", "double_charge"); got != 1 || len(found) != 1 || !n.named(found[0].ID) {
		t.Fatalf("double_charge = %v with findings %+v, want 1 that is named", got, found)
	}
	n.Acknowledge(found[0], "ana")
	n.Must(n.d.verifyGauges(n.Ctx()))
	if got := n.gauge("topupd_verify_differences", "double_charge"); got != 0 || n.named(found[0].ID) {
		t.Errorf("double_charge = %v once it is acknowledged, want 0 and no id", got)
	}
	n.at(2, "03:17")
	n.wantRuns(1, 0, "acknowledged")
	bill := again(2 * time.Minute)
	n.at(3, "03:17")
	n.wantRuns(1, 1, "the next double charge")
	if got := n.gauge("topupd_verify_differences", "double_charge"); got != 1 || n.named(found[0].ID) {
		t.Errorf("double_charge = %v after the next one, want 1, without the acknowledged id", got)
	}
	n.Must(n.World.Spoil(bill, emulator.MistakeRefunded))
	n.at(4, "03:17")
	if got := n.gauge("topupd_verify_differences", "double_charge"); got != 0 {
		t.Errorf("double_charge = %v when the next one is refunded, want 0", got)
	}
}

// named tells whether a metric names the difference.
func (n *night) named(id string) bool {
	n.t.Helper()
	families, err := n.registry.Gather()
	n.Must(err)
	for _, f := range families {
		if f.GetName() == "topupd_verify_difference_ids" && strings.Contains(f.String(), id) {
			return true
		}
	}
	return false
}

func TestAcknowledgedDifferencesAreTakenOffTheCounts(t *testing.T) {
	t.Parallel()
	key := func(kind verify.Kind, id string) string { return verify.Finding{Kind: kind, ID: id}.Key() }
	known := map[string]ledger.Action{"d-known": {Subject: "d-known"}, "d-gone": {Subject: "d-gone"}}
	last := ledger.Verification{Counts: map[string]int{"reversed": 1}, Keys: []string{key(verify.Reversed, "d-last")}}
	part := verify.Report{Incomplete: []string{"the rest"}, Findings: []verify.Finding{{Kind: verify.Reversed, ID: "d-known"}}}
	counts, ids := stillOpen(outcome(&Connection{}, part, last, known), known)
	if counts["reversed"] != 1 || !slices.Equal(ids["reversed"], []string{"d-last"}) {
		t.Errorf("%d open, %q: the acknowledged one hides the other, which nobody looked for", counts["reversed"], ids)
	}
	var many []verify.Finding
	for i := range 1500 {
		many = append(many, verify.Finding{Kind: verify.Reversed, ID: fmt.Sprintf("d-%04d", i)})
	}
	many = append(many, verify.Finding{Kind: verify.Reversed, ID: "d-known"})
	all := outcome(&Connection{}, verify.Report{Findings: many}, last, known)
	all.Keys = all.Keys[:1000]
	counts, _ = stillOpen(all, known)
	if counts["reversed"] != 1500 {
		t.Errorf("%d open of 1500 and one acknowledged", counts["reversed"])
	}
	old := ledger.Verification{Counts: map[string]int{"reversed": 1}, Keys: []string{"reversed purchase inv row"}}
	if counts, ids := stillOpen(old, known); counts["reversed"] != 1 || len(ids) != 0 {
		t.Errorf("stored before differences had ids: %v, %v", counts, ids)
	}
}

func TestAComparisonThatIsNotWholeIsNoSuccess(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.Now = verifytest.MonthEnd
	late := n.Buy(0)
	n.Must(n.World.Spoil(late.Reference, emulator.MistakeNoRow))
	n.at(1, "03:17")
	n.runs()
	success := n.gauge("topupd_verify_last_success_timestamp_seconds", "")
	if want := n.Now.Unix(); success != float64(want) {
		t.Errorf("last success %v, want %v", success, want)
	}
	n.down.Store(true)
	n.at(2, "03:17")
	text := n.log.String()
	n.runs()
	if !strings.Contains(text, "complete=false") || !strings.Contains(text, "level=ERROR") {
		t.Errorf("a provider that is down: %s", text)
	}
	n.at(2, "03:30")
	n.wantRuns(0, 0, "again before its rest is over")
	if got := n.gauge("topupd_verify_last_success_timestamp_seconds", ""); got != success {
		t.Errorf("last success moved to %v", got)
	}
	if got := n.gauge("topupd_verify_differences", "missing_row"); got != 1 {
		t.Errorf("missing_row = %v though nobody looked, want 1", got)
	}
	n.down.Store(false)
	n.at(2, "04:20")
	n.wantRuns(1, 0, "again after its rest")
	if got := n.gauge("topupd_verify_last_success_timestamp_seconds", ""); got != float64(n.Now.Unix()) {
		t.Errorf("last success %v, want now", got)
	}
}

func TestWhatAPartialRunDidNotFindMayStillBeThere(t *testing.T) {
	t.Parallel()
	last := ledger.Verification{At: verifytest.MonthEnd, Since: verifytest.MonthEnd.Add(-time.Hour), Counts: map[string]int{"missing_row": 2, "reversed": 1}, Keys: []string{"a"}}
	part := verify.Report{At: verifytest.MonthEnd.Add(time.Hour), Incomplete: []string{"the rest"}, Findings: []verify.Finding{{Kind: verify.Reversed, Invoice: "inv_1"}, {Kind: verify.Reversed, Invoice: "inv_2"}}}
	got := outcome(&Connection{}, part, last, nil)
	if !got.At.Equal(last.At) || got.Counts["missing_row"] != 2 || got.Counts["reversed"] != 2 || len(got.Keys) != 3 {
		t.Errorf("after a partial run %+v", got)
	}
	part.Incomplete = nil
	got = outcome(&Connection{}, part, last, nil)
	if !got.At.Equal(part.At) || got.Counts["missing_row"] != 0 || got.Counts["reversed"] != 2 || len(got.Keys) != 2 {
		t.Errorf("after a whole run %+v", got)
	}
}

// leftOut is a ledger whose oldest unjudged purchase is known.
type leftOut struct{ oldest time.Time }

func (l leftOut) Unjudged(context.Context, topup.ProviderID, time.Time, []string) (time.Time, error) {
	return l.oldest, nil
}

func TestAComparisonReachesBackToWhatTheLastOneLeftOut(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return verifytest.MonthEnd.Add(-d) }
	const quiet, day = 15 * time.Minute, 24 * time.Hour
	slack := quiet + topup.MatchBefore
	for _, tt := range []struct {
		name   string
		last   time.Time
		oldest time.Time // purchase that was not judged, or was charged wrongly
		want   time.Time
	}{
		{"never before", time.Time{}, time.Time{}, ago(day)},
		{"an hour ago", ago(time.Hour), time.Time{}, ago(day)},
		{"five days ago", ago(5 * day), time.Time{}, ago(5*day + slack)},
		{"an hour ago, and a purchase was open for a weekend", ago(time.Hour), ago(3 * day), ago(3*day + slack)},
		{"a purchase was open for an hour", ago(time.Hour), ago(2 * time.Hour), ago(day)},
		{"a purchase that was open then is younger than that run", ago(5 * day), ago(4 * day), ago(5*day + slack)},
		{"a year ago", ago(365 * day), time.Time{}, ago(comparedMost)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := SinceLast(t.Context(), leftOut{tt.oldest}, ledger.Verification{At: tt.last}, quiet, verifytest.MonthEnd, day)
			if err != nil || !got.Equal(tt.want) {
				t.Errorf("SinceLast = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}
