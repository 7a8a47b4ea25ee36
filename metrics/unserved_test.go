package metrics_test

import (
	"strings"
	"testing"
	"time"

	"topupd/metrics"
	"topupd/topup"
)

// Whoever nobody buys for is empty for ever: it set the age of TopupCustomerDry,
// paged for ever and hid the next one.
func TestWhoIsNotServedCountsApart(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	archived := target("cus_gone", 0, 500, topup.CustomerInactive)
	archived.Unserved, archived.DrySince = true, noon.Add(-30*24*time.Hour)
	none := target("cus_none", -5, 0, topup.NoRule)
	none.Unserved = true
	empty := target("cus_empty", 0, 500, topup.StillOpen)
	empty.DrySince = noon.Add(-time.Minute)
	f.Targets("hyperline", noon, []metrics.TargetState{archived, none})
	alone := f.text(t)
	f.Targets("hyperline", noon, []metrics.TargetState{archived, none, empty})
	both := f.text(t)
	for text, lines := range map[string][]string{
		alone: {`topup_targets_dry{provider="hyperline"} 0`, `topup_targets_dry_oldest_timestamp_seconds{provider="hyperline"} 0`, `topup_targets_dry_unserved{provider="hyperline"} 2`},
		both:  {`topup_targets_dry{provider="hyperline"} 1`, `topup_targets_dry_unserved{provider="hyperline"} 2`},
	} {
		for _, line := range lines {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %q", line)
			}
		}
	}
}
