package rules

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

var update = flag.Bool("update", false, "write the .want files and the JSON Schema")

// installation is what the rules of these tests are read against.
func installation() Context {
	return Context{
		Providers: []Provider{{"hyperline", "hyperline"}, {"sandbox", "hyperline"}, {"voice", "talkover"}},
		GlobalCaps: []topup.Cap{
			{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 2_000_000},
			{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "USD", Limit: 500_000},
			{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "JPY", Limit: 1_000_000},
		},
		ProviderCaps: []topup.Cap{{Scope: topup.CapProvider, Period: topup.CapHour, Limit: 500}},
		Now:          time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC),
		Dir:          "testdata",
		Getenv:       func(name string) string { return map[string]string{"PRICE_ID": "pri_from_env"}[name] },
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestInvalidFilesSayWhatWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/invalid-*.yml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v: the test would prove nothing", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			_, problems := Load([]string{file}, installation())
			got := problems.Error() + "\n"
			want := strings.TrimSuffix(file, ".yml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, want), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func credits(n int64) *topup.Credits {
	c := topup.Credits(n) * topup.Credit
	return &c
}

func load(t *testing.T, file string) []Rule {
	t.Helper()
	set, problems := Load([]string{file}, installation())
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	return set.Rules
}

func TestEveryKeyArrives(t *testing.T) {
	t.Parallel()
	got := load(t, "testdata/valid-every-key.yml")
	want := []Rule{{
		Name: "api-credits", Version: got[0].Version, File: "valid-every-key.yml", Line: 2,
		Providers: []string{"hyperline"}, ProviderType: "hyperline", Product: "itm_3kXODDF42QXtnL",
		Match: Match{
			All: true, ExcludeIDs: []topup.CustomerID{"cus_test"}, Currency: "EUR",
			Properties: map[string]string{"plan": "pro"},
		},
		Threshold: Threshold{Provider: true, Default: credits(100)},
		Buy: Buy{
			Bundles: []Bundle{
				{"pri_0Jv8EbMDOGsHcn", *credits(120), topup.Money{Minor: 20_000, Currency: "EUR"}},
				{"pri_9large", *credits(600), topup.Money{Minor: 90_000, Currency: "EUR"}},
			},
			RefillTo: &Refill{TimesThreshold: 3 * topup.Credit},
		},
		Expires:  Expiry{After: 90 * 24 * time.Hour},
		Cooldown: 5 * time.Minute, ConfirmAfter: 5 * time.Second, MaxReadingAge: 2 * time.Minute,
		Unpaid:   Unpaid{Card: 0, Other: 2},
		Declines: Declines{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
		Caps: []topup.Cap{
			{Scope: topup.CapRule, Period: topup.CapDay, Currency: "EUR", Limit: 500_000},
			{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 10},
			{Scope: topup.CapCustomer, Period: topup.CapDay, Currency: "EUR", Limit: 60_000},
			{Scope: topup.CapCustomer, Period: topup.CapMonth, Currency: "EUR", Limit: 300_000},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load() (-want +got):\n%s", diff)
	}
	if len(got[0].Version) != 12 {
		t.Errorf("Version = %q, want 12 digits", got[0].Version)
	}
}

func TestDefaultsAreThoseOfTheManual(t *testing.T) {
	t.Parallel()
	got := load(t, "testdata/valid-talkover.yml")
	want := []Rule{{
		Name: "voice", Version: got[0].Version, File: "valid-talkover.yml", Line: 2,
		Providers: []string{"voice"}, ProviderType: "talkover", Product: "credits",
		Match:     Match{All: true},
		Threshold: Threshold{Fixed: credits(50)},
		Buy: Buy{
			Bundles:         []Bundle{{"", *credits(100), topup.Money{Minor: 10_000, Currency: "USD"}}},
			PaymentMethodID: "pm_1",
		},
		Cooldown: 5 * time.Minute, ConfirmAfter: 5 * time.Second, MaxReadingAge: 2 * time.Minute,
		Unpaid:   Unpaid{Card: 0, Other: 2},
		Declines: Declines{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
		Caps:     []topup.Cap{{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 10}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load() (-want +got):\n%s", diff)
	}
}

func TestValuesKeepTheirText(t *testing.T) {
	t.Parallel()
	got := load(t, "testdata/valid-forms.yml")
	if got[0].Product != "0123" || got[0].Match.CustomerIDs[0] != "0042" {
		t.Errorf("ids changed: %+v", got[0])
	}
	if diff := cmp.Diff(map[string]string{"seats": "5", "beta": "true"}, got[0].Match.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if got[0].Threshold.Fixed.String() != "1000.5" || !got[0].DryRun {
		t.Errorf("rule = %+v", got[0])
	}
	if diff := cmp.Diff(Expiry{EndOfMonth: true, Timezone: "Europe/Paris", AtLeast: 7 * 24 * time.Hour}, got[0].Expires); diff != "" {
		t.Errorf("expiry (-want +got):\n%s", diff)
	}
	wantCaps := []topup.Cap{
		{Scope: topup.CapCustomer, Period: topup.CapHour, Limit: 1},
		{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 10},
	}
	if diff := cmp.Diff(wantCaps, got[0].Caps); diff != "" {
		t.Errorf("caps (-want +got):\n%s", diff)
	}
	if got[1].Buy.Bundles[0].PriceID != "pri_from_env" || got[1].Buy.Bundles[1].PriceID != "${x}" {
		t.Errorf("variables: %+v", got[1].Buy.Bundles)
	}
	if at := got[1].Expires.At; at == nil || !at.Equal(time.Date(2026, time.December, 31, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("expires at %v", at)
	}
	if got[2].Expires != (Expiry{}) {
		t.Errorf("never is %+v", got[2].Expires)
	}
}

func TestTheVersionFollowsTheRuleAndNotItsPlace(t *testing.T) {
	t.Parallel()
	base := read(t, "testdata/valid-every-key.yml")
	first := loadText(t, base)[0]
	if moved := loadText(t, "# a comment\n\n"+base)[0]; moved.Version != first.Version || moved.Line == first.Line {
		t.Errorf("moved: version %s line %d, was %s line %d", moved.Version, moved.Line, first.Version, first.Line)
	}
	for _, change := range [][2]string{{"200.00", "200.01"}, {"90d", "91d"}, {"plan: pro", "plan: max"}, {"cooldown: 5m", "cooldown: 6m"}} {
		if changed := loadText(t, strings.Replace(base, change[0], change[1], 1))[0]; changed.Version == first.Version {
			t.Errorf("%v did not change the version", change)
		}
	}
}

func TestARuleSurvivesBeingFrozen(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/valid-every-key.yml", "testdata/valid-talkover.yml", "testdata/valid-forms.yml"} {
		for _, rule := range load(t, file) {
			text, err := json.Marshal(rule)
			if err != nil {
				t.Fatal(err)
			}
			var got Rule
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rule, got); diff != "" {
				t.Errorf("thawed from %s (-want +got):\n%s", text, diff)
			}
		}
	}
}

func loadText(t *testing.T, text string) []Rule {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t, file)
}

func TestTheStricterModeWins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		daemonDryRun bool
		mode         string
		want         bool
	}{
		{"both active", false, "active", false},
		{"the rule holds back", false, "dry_run", true},
		{"the daemon holds back", true, "active", true},
		{"both hold back", true, "dry_run", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := installation()
			in.DryRun = tt.daemonDryRun
			file := filepath.Join(t.TempDir(), "rules.yml")
			text := strings.Replace(read(t, "testdata/valid-every-key.yml"), "mode: active", "mode: "+tt.mode, 1)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			set, problems := Load([]string{file}, in)
			if len(problems) != 0 || set.Rules[0].DryRun != tt.want {
				t.Errorf("DryRun = %v, %v; want %v", set.Rules[0].DryRun, problems, tt.want)
			}
		})
	}
}

func TestProblemsOfSeveralFilesComeTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	base := read(t, "testdata/valid-every-key.yml")
	paths := []string{
		write("api-credits.yml", strings.Replace(base, ", exclude_ids: [cus_test], currency: EUR, properties: {plan: pro}", "", 1)),
		write("vip.yml", "# important customers\n"+strings.Replace(base, "name: api-credits", "name: vip", 1)),
		write("wrong.yml", strings.Replace(base, "cooldown: 5m", "cooldown: 5", 1)),
	}
	in := installation()
	in.Dir = dir
	_, problems := Load(paths, in)
	want := `vip.yml:3: warning: rule "vip" never matches: "api-credits" (api-credits.yml:2) matches all its customers first · move it up or exclude them there
wrong.yml:2: warning: rule "api-credits" never matches: "api-credits" (api-credits.yml:2) matches all its customers first · move it up or exclude them there
wrong.yml:2:11: name: "api-credits" is also the rule at api-credits.yml:2
    2 |   - name: api-credits
      |           ^ give it another name
wrong.yml:14:15: cooldown: "5" is a duration without a unit
   14 |     cooldown: 5
      |               ^ write the unit: 5s, 5m, 5h or 5d
2 errors, 2 warnings in 3 files`
	if diff := cmp.Diff(want, problems.Text(3)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// The ledger takes terms of 100,000 characters: a rule for 5,001 customers is
// frozen without them, and one that is too long without them is refused.
func TestTermsFitTheLedger(t *testing.T) {
	t.Parallel()
	rule := load(t, "testdata/valid-every-key.yml")[0]
	for i := range 20_000 {
		rule.Match.CustomerIDs = append(rule.Match.CustomerIDs, topup.CustomerID(fmt.Sprintf("cus_%020d", i)))
		rule.Match.ExcludeIDs = append(rule.Match.ExcludeIDs, topup.CustomerID(fmt.Sprintf("out_%020d", i)))
	}
	terms, err := rule.Terms("cus_1")
	if err != nil || len(terms) > MaxTerms {
		t.Fatalf("%d characters, %v", len(terms), err)
	}
	var frozen Rule
	if err := json.Unmarshal(terms, &frozen); err != nil {
		t.Fatal(err)
	}
	want := rule
	want.Match.CustomerIDs, want.Match.ExcludeIDs = []topup.CustomerID{"cus_1"}, nil
	if diff := cmp.Diff(want, frozen); diff != "" {
		t.Errorf("frozen (-want +got):\n%s", diff)
	}
	if len(rule.Match.CustomerIDs) != 20_000 {
		t.Errorf("freezing changed the rule: %d ids", len(rule.Match.CustomerIDs))
	}
}

func TestARuleThatNoPurchaseCouldKeepIsRefused(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("rules:\n  - name: wide\n    provider: hyperline\n    product: itm_1\n    match:\n      properties:\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "        property_%d: %s\n", i, strings.Repeat("v", 60))
	}
	text.WriteString("    buy: {amount: {credits: 100, price_excluding_tax: 24.00 EUR}}\n")
	file := filepath.Join(t.TempDir(), "wide.yml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, problems := Load([]string{file}, installation())
	if got := problems.Error(); !strings.Contains(got, `rule "wide" is too long to be kept with its purchases`) || !strings.Contains(got, ":2:") {
		t.Errorf("problems:\n%s", got)
	}
}
