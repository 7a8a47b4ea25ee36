package topup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFindingsOnlyEverMakeMoreCareful: P4. Whatever was found, the quiet period
// never shrinks and a purchase that is parked by configuration is never repeated.
func TestFindingsOnlyEverMakeMoreCareful(t *testing.T) {
	const quiet = 15 * time.Minute
	for _, tt := range []struct {
		name       string
		list       []Capability
		found      Found
		wantPolicy Policy
		wantQuiet  time.Duration
	}{
		{"nothing was found", nil, Found{}, PolicyReplay, quiet},
		{
			"keys are honoured, purchases show at once",
			[]Capability{{Name: KeysHonoured, Value: "yes"}, {Name: VisibleAfter, Value: "2ms"}},
			Found{Visible: 2 * time.Millisecond},
			PolicyReplay, quiet,
		},
		{"keys are ignored", []Capability{{Name: KeysHonoured, Value: "no"}}, Found{KeysIgnored: true}, PolicyPark, quiet},
		{
			"keys were ignored once, honoured later",
			[]Capability{{Name: KeysHonoured, Value: "yes"}, {Name: KeysHonoured, Value: "no"}},
			Found{KeysIgnored: true},
			PolicyPark, quiet,
		},
		{"a value of a newer program is the careful one", []Capability{{Name: KeysHonoured, Value: "sometimes"}}, Found{KeysIgnored: true}, PolicyPark, quiet},
		{"a third of the quiet period is not too slow", []Capability{{Name: VisibleAfter, Value: "5m"}}, Found{Visible: 5 * time.Minute}, PolicyReplay, quiet},
		{"beyond it the period is raised", []Capability{{Name: VisibleAfter, Value: "5m1s"}}, Found{Visible: 301 * time.Second}, PolicyReplay, 903 * time.Second},
		{
			"the longest delay counts",
			[]Capability{{Name: VisibleAfter, Value: "1s"}, {Name: VisibleAfter, Value: "10m"}, {Name: VisibleAfter, Value: "3s"}},
			Found{Visible: 10 * time.Minute},
			PolicyReplay, 30 * time.Minute,
		},
		{"a delay that cannot be read is the longest", []Capability{{Name: VisibleAfter, Value: "soon"}}, Found{Visible: 24 * time.Hour}, PolicyReplay, 24 * time.Hour},
		{
			"the smallest limit counts",
			[]Capability{{Name: SkipLimit, Value: "10000"}, {Name: SkipLimit, Value: "500"}, {Name: SkipLimit, Value: "many"}},
			Found{SkipLimit: 500},
			PolicyReplay, quiet,
		},
		{
			"what is only shown changes nothing",
			[]Capability{{Name: ExpirySeconds, Value: "cut"}, {Name: RefreshEvery, Value: "10s"}, {Name: "mood", Value: "good"}},
			Found{},
			PolicyReplay, quiet,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := FoundIn(tt.list)
			if diff := cmp.Diff(tt.found, got); diff != "" {
				t.Fatalf("found (-want +got):\n%s", diff)
			}
			p := got.Careful(Purchase{Policy: PolicyReplay, QuietPeriod: quiet})
			if p.Policy != tt.wantPolicy || p.QuietPeriod != tt.wantQuiet {
				t.Errorf("%s, %s; want %s, %s", p.Policy, p.QuietPeriod, tt.wantPolicy, tt.wantQuiet)
			}
			if parked := got.Policy(PolicyPark); parked != PolicyPark {
				t.Errorf("configured to park, it would %s", parked)
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
