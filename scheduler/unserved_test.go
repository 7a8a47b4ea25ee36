package scheduler

import (
	"testing"

	"topupd/rules"
	"topupd/topup"
)

func TestWhoIsNotServed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(*rules.Facts, *rules.Decision, *topup.Reading)
		want  bool
	}{
		{"whoever is bought for is served", func(*rules.Facts, *rules.Decision, *topup.Reading) {}, false},
		{"without a rule", func(f *rules.Facts, _ *rules.Decision, _ *topup.Reading) { f.Rule = nil }, true},
		{"excluded", func(f *rules.Facts, _ *rules.Decision, _ *topup.Reading) { f.Rule, f.Excluded = nil, true }, true},
		{"in dry run", func(f *rules.Facts, _ *rules.Decision, _ *topup.Reading) { f.Rule = &rules.Rule{DryRun: true} }, true},
		{"archived", func(_ *rules.Facts, _ *rules.Decision, r *topup.Reading) { r.Account.Inactive = "archived" }, true},
		{"a threshold of 0", func(_ *rules.Facts, d *rules.Decision, _ *topup.Reading) { d.Threshold = new(topup.Credits) }, true},
		{"the smallest threshold", func(_ *rules.Facts, d *rules.Decision, _ *topup.Reading) { d.Threshold = new(topup.Credits(1)) }, false},
		{"no threshold is trouble, and no choice", func(_ *rules.Facts, d *rules.Decision, _ *topup.Reading) { d.Threshold = nil }, false},
		{"paused", func(f *rules.Facts, _ *rules.Decision, _ *topup.Reading) {
			f.Standing.Pauses = []topup.Pause{{Scope: topup.PauseAll}}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, d, r := rules.Facts{Rule: &rules.Rule{}}, rules.Decision{Threshold: new(100 * topup.Credit)}, topup.Reading{}
			tt.spoil(&f, &d, &r)
			if got := unserved(f, d, &r); got != tt.want {
				t.Errorf("unserved = %t, want %t", got, tt.want)
			}
		})
	}
}
