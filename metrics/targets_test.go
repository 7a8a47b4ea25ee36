package metrics_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/metrics"
	"topupd/topup"
)

// customers lists whose balances a scrape shows.
func customers(t testing.TB, f fixture) []string {
	t.Helper()
	var ids []string
	for line := range strings.Lines(f.series(t, "topupd_balance_credits")) {
		_, rest, _ := strings.Cut(line, `customer="`)
		id, _, _ := strings.Cut(rest, `"`)
		ids = append(ids, id)
	}
	return ids
}

func TestWhichTargetsAreShownOneByOne(t *testing.T) {
	t.Parallel()
	noThreshold := target("dry-without-threshold", 0, 0, topup.NoThreshold)
	noThreshold.Threshold = nil
	unread := target("unread", 0, 10, topup.BadReading)
	unread.Balance = nil
	states := []metrics.TargetState{
		target("full", 1000, 10, topup.Enough),
		target("at", 10, 10, topup.Enough),
		target("below", 9, 10, topup.Buy),
		target("half", 5, 10, topup.Buy),
		target("debt", -1, 10, topup.Suspended),
		noThreshold, unread,
	}
	for _, tt := range []struct {
		name      string
		perTarget string
		maxSeries int
		want      []string
	}{
		{"all", metrics.PerTargetAll, 2000, []string{"at", "below", "debt", "dry-without-threshold", "full", "half"}},
		{"nothing said means all", "", 2000, []string{"at", "below", "debt", "dry-without-threshold", "full", "half"}},
		{"only the low and the dry", metrics.PerTargetLow, 2000, []string{"below", "debt", "dry-without-threshold", "half"}},
		{"none", metrics.PerTargetNone, 2000, nil},
		{"the emptiest when there is no room for all", metrics.PerTargetAll, 6, []string{"debt", "dry-without-threshold", "half"}},
		{"the bound is inclusive", metrics.PerTargetAll, 5, []string{"debt", "dry-without-threshold", "half"}},
		{"one less than a target needs", metrics.PerTargetAll, 4, []string{"debt", "dry-without-threshold"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, metrics.Options{PerTarget: tt.perTarget, MaxSeries: tt.maxSeries})
			f.Targets("hyperline", noon, states)
			if diff := cmp.Diff(tt.want, customers(t, f)); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			shown := strings.Count(f.series(t, "topupd_balance_credits", "topupd_threshold_credits"), "\n")
			if shown > tt.maxSeries {
				t.Errorf("%d series, want at most %d", shown, tt.maxSeries)
			}
			// The sums know every target, shown or not.
			f.has(t, `topupd_targets{provider="hyperline"} 7`)
			f.has(t, `topupd_targets_out_of_credits{provider="hyperline"} 2`)
			f.has(t, `topupd_targets_below_threshold{provider="hyperline",reason="buy"} 2`)
			f.has(t, `topupd_targets_below_threshold{provider="hyperline",reason="enough"} 0`)
		})
	}
}

func TestTheBoundCoversAllProvidersAndWarnsOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{MaxSeries: 4})
	for range 3 {
		f.Targets("hyperline", noon, []metrics.TargetState{target("a", 5, 10, topup.Buy), target("b", 7, 10, topup.Buy)})
		f.Targets("voice", noon, []metrics.TargetState{target("c", 6, 10, topup.Buy)})
	}
	if diff := cmp.Diff([]string{"a", "c"}, customers(t, f)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if n := strings.Count(f.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, f.log)
	}
}

func TestATargetThatIsGoneDisappears(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.Targets("voice", noon, []metrics.TargetState{target("other", 1, 2, topup.Buy)})
	f.Targets("hyperline", noon, []metrics.TargetState{target("a", 1, 2, topup.Buy), target("b", 1, 2, topup.OverCap)})
	f.Targets("hyperline", noon, []metrics.TargetState{target("b", 3, 2, topup.Enough)})
	if diff := cmp.Diff([]string{"b", "other"}, customers(t, f)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	f.has(t, `topupd_targets{provider="hyperline"} 1`)
	f.has(t, `topupd_targets_below_threshold{provider="hyperline",reason="over_cap"} 0`)
	f.has(t, `topupd_targets{provider="voice"} 1`)
}

func TestAReplicaWithoutTheLeaseShowsNoTargets(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	dry := target("a", 0, 2, topup.OverCap)
	dry.TroubleSince, dry.DrySince = noon, noon
	f.LeaseHeld("p", true)
	f.Targets("p", noon, []metrics.TargetState{dry})
	f.Targets("other", noon, []metrics.TargetState{target("b", 1, 2, topup.Buy)})
	f.LeaseHeld("p", false)
	f.has(t, `topupd_targets{provider="p"} 0`)
	f.has(t, `topupd_targets_out_of_credits_oldest_timestamp_seconds{provider="p"} 0`)
	f.has(t, `topupd_targets_trouble_oldest_timestamp_seconds{provider="p",reason="over_cap"} 0`)
	if diff := cmp.Diff([]string{"b"}, customers(t, f)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestTheOldestTimes(t *testing.T) {
	t.Parallel()
	with := func(customer string, trouble, dry time.Time) metrics.TargetState {
		s := target(customer, 0, 10, topup.OverCap)
		s.TroubleSince, s.DrySince = trouble, dry
		return s
	}
	hourAgo, later := noon.Add(-time.Hour), noon.Add(time.Hour)
	refilled := with("refilled", time.Time{}, hourAgo)
	refilled.Balance = credits(100)
	unread := with("unread", time.Time{}, hourAgo)
	unread.Balance = nil
	for _, tt := range []struct {
		name         string
		states       []metrics.TargetState
		trouble, dry string
	}{
		{"nobody suffers", []metrics.TargetState{with("a", time.Time{}, time.Time{})}, "0", "0"},
		{"the oldest counts", []metrics.TargetState{with("a", noon, noon), with("b", hourAgo, hourAgo), with("c", time.Time{}, time.Time{})}, "1.7951724e+09", "1.7951724e+09"},
		{"a time after now is now", []metrics.TargetState{with("a", later, later)}, "1.795176e+09", "1.795176e+09"},
		{"a positive balance is not dry, whatever is said", []metrics.TargetState{refilled}, "0", "0"},
		{"an unread one that was dry stays dry", []metrics.TargetState{unread}, "0", "1.7951724e+09"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, metrics.Options{})
			f.Targets("p", noon, tt.states)
			f.has(t, `topupd_targets_trouble_oldest_timestamp_seconds{provider="p",reason="over_cap"} `+tt.trouble)
			f.has(t, `topupd_targets_out_of_credits_oldest_timestamp_seconds{provider="p"} `+tt.dry)
		})
	}
}

// TestWhoIsHeldIsShown: P14, P16.
func TestWhoIsHeldIsShown(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	states := []metrics.TargetState{
		target("a", 5, 10, topup.Implausible), target("b", 0, 10, topup.BadReading), target("c", 0, 10, topup.Buy), target("d", 9, 5, topup.Enough),
	}
	states[0].HeldSince, states[1].HeldSince, states[2].Unproven = noon, noon.Add(-time.Hour), true
	f.Targets("p", noon, states)
	f.has(t, `topupd_targets_held{provider="p"} 2`)
	f.has(t, `topupd_targets_held_oldest_timestamp_seconds{provider="p"} 1.7951724e+09`)
	f.has(t, `topupd_targets_unproven{provider="p"} 1`)
	f.Targets("p", noon, states[3:])
	f.has(t, `topupd_targets_held{provider="p"} 0`)
	f.has(t, `topupd_targets_held_oldest_timestamp_seconds{provider="p"} 0`)
	f.has(t, `topupd_targets_unproven{provider="p"} 0`)
}

func TestAScrapeSeesOneWholePicture(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	pictures := make([][]metrics.TargetState, 2)
	for i := range 40 {
		pictures[i%2] = append(pictures[i%2], target(fmt.Sprintf("%s-%02d", []string{"even", "odd"}[i%2], i), 1, 2, topup.Buy))
	}
	f.Targets("p", noon, pictures[0])
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			f.Targets("p", noon, pictures[i%2])
		}
	})
	for range 50 {
		ids := strings.Join(customers(t, f), " ")
		if strings.Contains(ids, "odd") == strings.Contains(ids, "even") {
			t.Errorf("a scrape shows a mixture: %s", ids)
		}
	}
	wg.Wait()
}

func BenchmarkTargets(b *testing.B) {
	f := setup(b, metrics.Options{})
	states := make([]metrics.TargetState, 100_000)
	for i := range states {
		states[i] = target(fmt.Sprintf("cus_%06d", i), topup.Credits(i%1000), 500, topup.Enough)
	}
	for b.Loop() {
		f.Targets("hyperline", noon, states)
	}
}
