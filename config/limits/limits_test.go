package limits

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"topupd/config/yamlfile"
	"topupd/topup"
)

// caps reads one scope from YAML text.
func caps(t *testing.T, text string) ([]topup.Cap, yamlfile.Problems) {
	t.Helper()
	f := yamlfile.Parse("f.yml", []byte("rule: "+text+"\n"), func(string) string { return "" })
	var y struct {
		Rule Windows `yaml:"rule"`
	}
	f.Decode(&y)
	got := y.Rule.Caps(f, "rule", topup.CapRule)
	return got, f.Problems()
}

func TestCapsComeInCountingOrder(t *testing.T) {
	t.Parallel()
	got, problems := caps(t, "{month: {spend: {JPY: 500, EUR: 0.01}}, day: {spend: {USD: 2}, purchases: 3}, hour: {purchases: 1}}")
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	want := []topup.Cap{
		{Scope: topup.CapRule, Period: topup.CapHour, Limit: 1},
		{Scope: topup.CapRule, Period: topup.CapDay, Limit: 3},
		{Scope: topup.CapRule, Period: topup.CapDay, Currency: "USD", Limit: 200},
		{Scope: topup.CapRule, Period: topup.CapMonth, Currency: "EUR", Limit: 1},
		{Scope: topup.CapRule, Period: topup.CapMonth, Currency: "JPY", Limit: 500},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Caps() (-want +got):\n%s", diff)
	}
}

func TestACapThatCannotBeCountedIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{day: {}}", "{day: {purchases: 0}}", "{day: {purchases: 1.5}}", "{day: {spend: {}}}", "{day: {spend: {EUR: 0}}}",
		"{day: {spend: {EUR: -1}}}", "{day: {spend: {EUR: 0.001}}}", "{day: {spend: {JPY: 0.5}}}", "{day: {spend: {EUX: 1}}}",
		"{day: {spend: {EUR: 1e3}}}", "{day: {spend: {EUR: 99999999999999999}}}", "{day: {spend: 5}}", "{week: {purchases: 1}}",
	} {
		if got, problems := caps(t, text); problems.Err() == nil {
			t.Errorf("Caps(%s) = %v without a problem", text, got)
		}
	}
}
