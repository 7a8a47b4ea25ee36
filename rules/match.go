package rules

import (
	"slices"

	"topupd/topup"
)

// Candidate is what is known about a target when its rule is looked for.
type Candidate struct {
	ProviderName string
	Customer     topup.CustomerID
	Product      topup.ProductID
	Currency     topup.Currency    // "" when the provider does not say: no rule with a currency matches
	Properties   map[string]string // the customer's
}

// Match returns the first rule that matches, or nil. excluded tells that no
// rule matched and that one would have, but for its exclude_ids.
func (s Set) Match(c Candidate) (rule *Rule, excluded bool) {
	for i := range s.Rules {
		r := &s.Rules[i]
		if !r.covers(c) {
			continue
		}
		if !slices.Contains(r.Match.ExcludeIDs, c.Customer) {
			return r, false
		}
		excluded = true
	}
	return nil, excluded
}

// covers tells whether every condition but exclude_ids is met.
func (r *Rule) covers(c Candidate) bool {
	if r.Product != c.Product || !slices.Contains(r.Providers, c.ProviderName) {
		return false
	}
	m := r.Match
	if len(m.CustomerIDs) > 0 && !slices.Contains(m.CustomerIDs, c.Customer) {
		return false
	}
	if m.Currency != "" && m.Currency != c.Currency {
		return false
	}
	for key, want := range m.Properties {
		if got, ok := c.Properties[key]; !ok || got != want {
			return false
		}
	}
	return true
}
