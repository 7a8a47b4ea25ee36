package topup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFindingsOnlyEverMakeMoreCareful: P4. Whatever was found, the quiet period
// never shrinks and a purchase that needs review by configuration is never repeated.
func TestFindingsOnlyEverMakeMoreCareful(t *testing.T) {
	const quiet = 15 * time.Minute
	for _, tt := range []struct {
		name       string
		list       []Capability
		found      Found
		wantPolicy Policy
		wantQuiet  time.Duration
	}{
		{"nothing was found", nil, Found{}, PolicyRetry, quiet},
		{
			"keys are honoured, purchases show at once",
			[]Capability{{Name: KeysHonoured, Value: "yes"}, {Name: VisibleAfter, Value: "2ms"}},
			Found{Visible: 2 * time.Millisecond},
			PolicyRetry, quiet,
		},
		{"keys are ignored", []Capability{{Name: KeysHonoured, Value: "no"}}, Found{KeysIgnored: true}, PolicyReview, quiet},
		{
			"keys were ignored once, honoured later",
			[]Capability{{Name: KeysHonoured, Value: "yes"}, {Name: KeysHonoured, Value: "no"}},
			Found{KeysIgnored: true},
			PolicyReview, quiet,
		},
		{"a value of a newer program is the careful one", []Capability{{Name: KeysHonoured, Value: "sometimes"}}, Found{KeysIgnored: true}, PolicyReview, quiet},
		{"a third of the quiet period is not too slow", []Capability{{Name: VisibleAfter, Value: "5m"}}, Found{Visible: 5 * time.Minute}, PolicyRetry, quiet},
		{"beyond it the period is raised", []Capability{{Name: VisibleAfter, Value: "5m1s"}}, Found{Visible: 301 * time.Second}, PolicyRetry, 903 * time.Second},
		{
			"the longest delay counts",
			[]Capability{{Name: VisibleAfter, Value: "1s"}, {Name: VisibleAfter, Value: "10m"}, {Name: VisibleAfter, Value: "3s"}},
			Found{Visible: 10 * time.Minute},
			PolicyRetry, 30 * time.Minute,
		},
		{"a delay that cannot be read is the longest", []Capability{{Name: VisibleAfter, Value: "soon"}}, Found{Visible: 24 * time.Hour}, PolicyRetry, 24 * time.Hour},
		{
			"the smallest limit counts",
			[]Capability{{Name: SkipLimit, Value: "10000"}, {Name: SkipLimit, Value: "500"}, {Name: SkipLimit, Value: "many"}},
			Found{SkipLimit: 500},
			PolicyRetry, quiet,
		},
		{
			"what is only shown changes nothing",
			[]Capability{{Name: ExpirySeconds, Value: "cut"}, {Name: RefreshEvery, Value: "10s"}, {Name: "mood", Value: "good"}},
			Found{},
			PolicyRetry, quiet,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := FoundIn(tt.list)
			if diff := cmp.Diff(tt.found, got); diff != "" {
				t.Fatalf("found (-want +got):\n%s", diff)
			}
			p := got.Careful(Purchase{Policy: PolicyRetry, QuietPeriod: quiet})
			if p.Policy != tt.wantPolicy || p.QuietPeriod != tt.wantQuiet {
				t.Errorf("%s, %s; want %s, %s", p.Policy, p.QuietPeriod, tt.wantPolicy, tt.wantQuiet)
			}
			if inReview := got.Policy(PolicyReview); inReview != PolicyReview {
				t.Errorf("configured to ask for review, it would %s", inReview)
			}
		})
	}
}

func TestCapabilitiesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name  CapabilityName
		value string
		good  bool
	}{
		{KeysHonoured, "yes", true},
		{KeysHonoured, "no", true},
		{KeysHonoured, "maybe", false},
		{ExpirySeconds, "kept", true},
		{ExpirySeconds, "cut", true},
		{ExpirySeconds, "", false},
		{SkipLimit, "1", true},
		{SkipLimit, "1000000000", true},
		{SkipLimit, "0", false},
		{SkipLimit, "1000000001", false},
		{SkipLimit, "1e3", false},
		{VisibleAfter, "0s", true},
		{VisibleAfter, "24h", true},
		{VisibleAfter, "24h0m0.000000001s", false},
		{RefreshEvery, "-1s", false},
		{RefreshEvery, "soon", false},
		{"mood", "good", false},
	} {
		if err := CheckCapability(Capability{Name: tt.name, Value: tt.value}); (err == nil) != tt.good {
			t.Errorf("%s %q: %v, want good %t", tt.name, tt.value, err, tt.good)
		}
	}
}
