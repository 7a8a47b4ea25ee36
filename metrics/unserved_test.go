package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/metrics"
	"topupd/topup"
)

// Whoever nobody buys for is empty for ever: it set the age of TopupCustomerOutOfCredits,
// paged for ever and hid the next one.
func TestWhoIsNotServedCountsApart(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	archived := target("cus_gone", 0, 500, topup.CustomerInactive)
	archived.Unserved, archived.DrySince = true, noon.Add(-30*24*time.Hour)
	dryRun := target("cus_dry_run", -5, 100, topup.NoPaymentMethod)
	dryRun.Unserved, dryRun.TroubleSince, dryRun.PausedSince = true, noon.Add(-time.Hour), noon.Add(-time.Hour)
	empty := target("cus_empty", 0, 500, topup.StillOpen)
	empty.DrySince = noon.Add(-time.Minute)
	names := []string{
		"topupd_targets_out_of_credits", "topupd_targets_out_of_credits_oldest_timestamp_seconds", "topupd_targets_out_of_credits_unserved", "topupd_target_below_threshold",
		"topupd_target_out_of_credits_timestamp_seconds", "topupd_targets_paused_oldest_timestamp_seconds",
	}
	none := `topupd_targets_out_of_credits{provider="hyperline"} 0
topupd_targets_out_of_credits_oldest_timestamp_seconds{provider="hyperline"} 0
topupd_targets_out_of_credits_unserved{provider="hyperline"} 2
topupd_targets_paused_oldest_timestamp_seconds{provider="hyperline"} 0
`
	f.Targets("hyperline", noon, []metrics.TargetState{archived, dryRun})
	if diff := cmp.Diff(none, f.series(t, names...)); diff != "" {
		t.Errorf("without anybody who is served (-want +got):\n%s", diff)
	}
	f.has(t, `topupd_targets_trouble_oldest_timestamp_seconds{provider="hyperline",reason="no_payment_method"} 0`)
	f.Targets("hyperline", noon, []metrics.TargetState{archived, dryRun, empty})
	f.has(t, `topupd_targets_out_of_credits{provider="hyperline"} 1`)
	f.has(t, `topupd_targets_out_of_credits_unserved{provider="hyperline"} 2`)
	want := `topupd_target_below_threshold{customer="cus_empty",product="itm_1",provider="hyperline"} 1
topupd_target_out_of_credits_timestamp_seconds{customer="cus_empty",product="itm_1",provider="hyperline"} 1.79517594e+09
`
	if diff := cmp.Diff(want, f.series(t, "topupd_target_out_of_credits_timestamp_seconds", "topupd_target_below_threshold")); diff != "" {
		t.Errorf("who is served (-want +got):\n%s", diff)
	}
}

// Each dry customer is a page of its own: also when names are not shown, and however
// little room there is for other series.
func TestEachDryCustomerIsToldApart(t *testing.T) {
	t.Parallel()
	dry := func(n int) (states []metrics.TargetState) {
		for i := range n {
			s := target(fmt.Sprintf("cus_%04d", i), 0, 500, topup.StillOpen)
			s.DrySince = noon.Add(-time.Duration(i) * time.Second)
			states = append(states, s)
		}
		return states
	}
	for _, tt := range []struct {
		name    string
		options metrics.Options
		dry     int
		want    int
	}{
		{"both", metrics.Options{}, 2, 2},
		{"without names", metrics.Options{PerTarget: metrics.PerTargetNone}, 2, 2},
		{"without room", metrics.Options{MaxSeries: -1}, 2, 2},
		{"as many as are told apart", metrics.Options{}, 500, 500},
		{"more than are told apart", metrics.Options{}, 600, 501},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, tt.options)
			f.Targets("hyperline", noon, dry(tt.dry))
			shown := f.series(t, "topupd_target_out_of_credits_timestamp_seconds")
			if got := strings.Count(shown, "\n"); got != tt.want {
				t.Errorf("%d are shown, want %d", got, tt.want)
			}
			if named := strings.Contains(shown, "cus_"); named != (tt.options.PerTarget != metrics.PerTargetNone) {
				t.Errorf("names are shown: %t\n%s", named, shown)
			}
			f.LeaseHeld("hyperline", false)
			if shown := f.series(t, "topupd_target_out_of_credits_timestamp_seconds"); shown != "" {
				t.Errorf("a standby shows\n%s", shown)
			}
		})
	}
}

func TestPausesOfPeopleAreShownByScope(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	const here, there = topup.ProviderID("hyperline://here/"), topup.ProviderID("hyperline://there/")
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	f.Watch("hyperline", []string{"r"})
	f.Paused("hyperline", here, []string{"r"}, []topup.Pause{
		{Scope: topup.PauseProvider, Provider: there, At: at(1)},
		{Scope: topup.PauseProvider, Provider: here, At: at(20)},
		{Scope: topup.PauseProvider, Provider: here, At: at(10)},
		{Scope: topup.PauseRule, Subject: "other", At: at(2)},
		{Scope: topup.PauseRule, Subject: "r", Cause: topup.StopPrice, At: at(3)},
		{Scope: topup.PauseCustomer, Subject: "cus", At: at(30)},
		{Scope: topup.PauseCustomer, Provider: there, Subject: "cus", At: at(4)},
	})
	want := `topupd_pause_oldest_timestamp_seconds{provider="hyperline",scope="all"} 0
topupd_pause_oldest_timestamp_seconds{provider="hyperline",scope="customer"} 30
topupd_pause_oldest_timestamp_seconds{provider="hyperline",scope="provider"} 10
topupd_pause_oldest_timestamp_seconds{provider="hyperline",scope="rule"} 0
`
	if diff := cmp.Diff(want, f.series(t, "topupd_pause_oldest_timestamp_seconds")); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
}

func TestARuleThatIsGoneIsNotInDryRun(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.DryRun("voice", map[string]bool{"v": true})
	f.DryRun("hyperline", map[string]bool{"old": true, "r": true})
	f.DryRun("hyperline", map[string]bool{"r": false})
	want := "topupd_dry_run{provider=\"hyperline\",rule=\"r\"} 0\ntopupd_dry_run{provider=\"voice\",rule=\"v\"} 1\n"
	if diff := cmp.Diff(want, f.series(t, "topupd_dry_run")); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
}

func TestAStandbyHasLostNobodysRule(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.LeaseHeld("hyperline", true)
	f.RuleLost("hyperline", 3)
	f.TokenRefused("hyperline", noon)
	f.has(t, `topupd_customers_rule_lost{provider="hyperline"} 3`)
	f.has(t, `topupd_provider_token_refused_timestamp_seconds{provider="hyperline"} 1.795176e+09`)
	f.LeaseHeld("hyperline", false)
	f.TokenRefused("hyperline", time.Time{})
	f.has(t, `topupd_customers_rule_lost{provider="hyperline"} 0`)
	f.has(t, `topupd_provider_token_refused_timestamp_seconds{provider="hyperline"} 0`)
}
