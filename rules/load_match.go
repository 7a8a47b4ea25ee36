package rules

import (
	"fmt"
	"slices"

	"topupd/topup"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// readMatch reads for whom the rule is. Conditions must be written: a rule for
// everybody says all: true.
func readMatch(a ruleAt, y *ruleYAML, r *Rule) {
	m, at := y.Match, a.at("match")
	r.Match = Match{
		All:         m.All != nil && *m.All,
		CustomerIDs: readCustomers(a, at+".customer_ids", m.CustomerIDs),
		ExcludeIDs:  readCustomers(a, at+".exclude_ids", m.ExcludeIDs),
		Properties:  m.Properties,
	}
	if m.Currency != nil {
		r.Match.Currency = topup.Currency(*m.Currency)
	}
	conditions := a.Has(at+".all") || a.Has(at+".customer_ids") || a.Has(at+".currency") || a.Has(at+".properties")
	switch {
	case a.Has(at) && !conditions:
		a.Report(at, "says for no customer that they are meant", "write all: true, or customer_ids, currency or properties")
	case m.All != nil && !*m.All:
		a.Report(at+".all", "false matches nobody", "write all: true, or customer_ids, currency or properties")
	case r.Match.All && len(r.Match.CustomerIDs) > 0:
		a.Report(at+".all", "stands beside customer_ids", "keep one of the two")
	}
	for i, id := range r.Match.ExcludeIDs {
		if slices.Contains(r.Match.CustomerIDs, id) {
			a.Report(fmt.Sprintf("%s.exclude_ids[%d]", at, i), fmt.Sprintf("%q stands in customer_ids too", id), "remove it from one of the two")
		}
	}
}

// readCustomers reads a list of ids, each of which may stand there once.
func readCustomers(a ruleAt, at string, ids []idText) []topup.CustomerID {
	var list []topup.CustomerID
	seen := map[idText]bool{}
	for i, id := range ids {
		if id == "" {
			continue // reported already
		}
		if seen[id] {
			a.Report(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%q stands here a second time", id), "remove one of the two")
			continue
		}
		seen[id] = true
		list = append(list, topup.CustomerID(id))
	}
	return list
}
