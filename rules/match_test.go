package rules

import (
	"testing"

	"topupd/topup"
)

// pro is a rule for the professional customers of one provider.
func pro() Rule {
	return Rule{
		Name: "pro", Providers: []string{"hyperline"}, Product: "itm_1",
		Match: Match{Currency: "EUR", Properties: map[string]string{"plan": "pro"}},
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	everyone := Rule{Name: "everyone", Providers: []string{"hyperline"}, Product: "itm_1", Match: Match{All: true}}
	fits := Candidate{
		ProviderName: "hyperline", Customer: "cus_a", Product: "itm_1", Currency: "EUR",
		Properties: map[string]string{"plan": "pro", "seats": "5"},
	}
	for _, tt := range []struct {
		name     string
		spoil    func(*Candidate, *Rule)
		want     string // of the set pro, everyone; "" is no rule
		excluded bool
	}{
		{"the first rule that fits wins", func(*Candidate, *Rule) {}, "pro", false},
		{"another currency", func(c *Candidate, _ *Rule) { c.Currency = "USD" }, "everyone", false},
		{"an unknown currency is not the right one", func(c *Candidate, _ *Rule) { c.Currency = "" }, "everyone", false},
		{"another value", func(c *Candidate, _ *Rule) { c.Properties = map[string]string{"plan": "free"} }, "everyone", false},
		{"no such property", func(c *Candidate, _ *Rule) { c.Properties = nil }, "everyone", false},
		{"an empty value is not a missing one", func(c *Candidate, r *Rule) {
			c.Properties = nil
			r.Match.Properties = map[string]string{"plan": ""}
		}, "everyone", false},
		{"another product", func(c *Candidate, _ *Rule) { c.Product = "itm_2" }, "", false},
		{"another provider", func(c *Candidate, _ *Rule) { c.ProviderName = "sandbox" }, "", false},
		{"listed", func(_ *Candidate, r *Rule) { r.Match.CustomerIDs = []topup.CustomerID{"cus_b", "cus_a"} }, "pro", false},
		{"not listed", func(_ *Candidate, r *Rule) { r.Match.CustomerIDs = []topup.CustomerID{"cus_b"} }, "everyone", false},
		{"excluded here, taken by the next", func(_ *Candidate, r *Rule) { r.Match.ExcludeIDs = []topup.CustomerID{"cus_a"} }, "everyone", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, first := fits, pro()
			tt.spoil(&c, &first)
			got, excluded := Set{Rules: []Rule{first, everyone}}.Match(c)
			name := ""
			if got != nil {
				name = got.Name
			}
			if name != tt.want || excluded != tt.excluded {
				t.Errorf("Match() = %q, %v; want %q, %v", name, excluded, tt.want, tt.excluded)
			}
		})
	}
}

func TestOnlyTheExcludedAreExcluded(t *testing.T) {
	t.Parallel()
	rule := pro()
	rule.Match.ExcludeIDs = []topup.CustomerID{"cus_a"}
	set := Set{Rules: []Rule{rule}}
	c := Candidate{ProviderName: "hyperline", Customer: "cus_a", Product: "itm_1", Currency: "EUR", Properties: map[string]string{"plan": "pro"}}
	if got, excluded := set.Match(c); got != nil || !excluded {
		t.Errorf("Match(excluded customer) = %v, %v; want nil, true", got, excluded)
	}
	c.Currency = "USD"
	if got, excluded := set.Match(c); got != nil || excluded {
		t.Errorf("Match(excluded customer whom the rule is not for) = %v, %v; want nil, false", got, excluded)
	}
}

func TestShadowedRules(t *testing.T) {
	t.Parallel()
	rule := func(name string, change func(*Rule)) Rule {
		r := Rule{Name: name, File: "r.yml", Providers: []string{"hyperline"}, Product: "itm_1"}
		change(&r)
		return r
	}
	ids := func(list ...topup.CustomerID) func(*Rule) { return func(r *Rule) { r.Match.CustomerIDs = list } }
	all := func(r *Rule) { r.Match.All = true }
	for _, tt := range []struct {
		name  string
		rules []Rule // the last is asked about
		want  int    // how many rules take everything from it; 0 = something is left
	}{
		{"everyone before one", []Rule{rule("a", all), rule("b", ids("c1"))}, 1},
		{"one before everyone leaves the others", []Rule{rule("a", ids("c1")), rule("b", all)}, 0},
		{"a list inside a list", []Rule{rule("a", ids("c1", "c2")), rule("b", ids("c2"))}, 1},
		{"a list that reaches further", []Rule{rule("a", ids("c1", "c2")), rule("b", ids("c2", "c3"))}, 0},
		{"two lists together", []Rule{rule("a", ids("c1")), rule("b", ids("c2")), rule("c", ids("c1", "c2"))}, 2},
		{"an exclusion leaves one", []Rule{rule("a", func(r *Rule) { r.Match.ExcludeIDs = []topup.CustomerID{"c1"} }), rule("b", all)}, 0},
		{"an exclusion that the later rule shares", []Rule{
			rule("a", func(r *Rule) { r.Match.ExcludeIDs = []topup.CustomerID{"c1"} }),
			rule("b", func(r *Rule) { r.Match.ExcludeIDs = []topup.CustomerID{"c1", "c2"} }),
		}, 1},
		{"an exclusion of somebody else", []Rule{rule("a", func(r *Rule) { r.Match.ExcludeIDs = []topup.CustomerID{"c1"} }), rule("b", ids("c2"))}, 1},
		{"a currency takes only its own", []Rule{rule("a", func(r *Rule) { r.Match.Currency = "EUR" }), rule("b", all)}, 0},
		{"the same currency", []Rule{rule("a", func(r *Rule) { r.Match.Currency = "EUR" }), rule("b", func(r *Rule) { r.Match.Currency = "EUR" })}, 1},
		{"fewer properties take more", []Rule{
			rule("a", func(r *Rule) { r.Match.Properties = map[string]string{"plan": "pro"} }),
			rule("b", func(r *Rule) { r.Match.Properties = map[string]string{"plan": "pro", "x": "y"} }),
		}, 1},
		{"more properties take less", []Rule{
			rule("a", func(r *Rule) { r.Match.Properties = map[string]string{"plan": "pro", "x": "y"} }),
			rule("b", func(r *Rule) { r.Match.Properties = map[string]string{"plan": "pro"} }),
		}, 0},
		{"another product", []Rule{rule("a", func(r *Rule) { r.Product = "itm_2" }), rule("b", all)}, 0},
		{"one of two providers", []Rule{rule("a", all), rule("b", func(r *Rule) { r.Providers = []string{"hyperline", "sandbox"} })}, 0},
		{"each provider taken by another rule", []Rule{
			rule("a", all), rule("s", func(r *Rule) { r.Providers = []string{"sandbox"} }),
			rule("b", func(r *Rule) { r.Providers = []string{"hyperline", "sandbox"} }),
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := loader{set: Set{Rules: tt.rules}}
			if got := l.takers(len(tt.rules) - 1); len(got) != tt.want {
				t.Errorf("takers() = %v, want %d rules", got, tt.want)
			}
		})
	}
}
