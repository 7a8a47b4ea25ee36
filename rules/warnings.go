package rules

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"topupd/topup"
)

// lift warns about packs that leave a customer at zero below the threshold:
// each purchase then leads to the next one.
func lift(a ruleAt, r *Rule) {
	mark := r.Threshold.Fixed
	if mark == nil {
		mark = r.Threshold.Default
	}
	if mark == nil || len(r.Buy.Bundles) == 0 {
		return
	}
	largest := slices.MaxFunc(reachable(r), func(x, y Bundle) int { return cmp.Compare(x.Credits, y.Credits) })
	if largest.Credits > *mark {
		return
	}
	a.Warn(packPath(a, r, largest), fmt.Sprintf("a pack of %s credits does not lift an empty balance above the threshold of %s", largest.Credits, *mark),
		"sell a larger pack, or lower the threshold: each further pack waits for the cooldown")
}

// packPath is where the credits of a bundle are written.
func packPath(a ruleAt, r *Rule, b Bundle) string {
	switch {
	case a.Has(a.at("buy.charge")):
		return a.at("buy.charge")
	case a.Has(a.at("buy.amount")):
		return a.at("buy.amount.credits")
	default:
		return bundlePath(a, slices.Index(r.Buy.Bundles, b)) + ".credits"
	}
}

func bundlePath(a ruleAt, i int) string { return a.at(fmt.Sprintf("buy.bundles[%d]", i)) }

// unreachable warns about bundles that Choose never returns.
func unreachable(a ruleAt, r *Rule) {
	for i, b := range r.Buy.Bundles {
		if i > 0 && r.Buy.RefillTo == nil {
			a.Warn(bundlePath(a, i), "is never bought: without refill_to it is always the first bundle", "add refill_to: 3x threshold, or remove the bundle")
			continue
		}
		better := slices.IndexFunc(r.Buy.Bundles, func(o Bundle) bool {
			return o.Credits >= b.Credits && o.Price.Minor <= b.Price.Minor && (o.Credits > b.Credits || o.Price.Minor < b.Price.Minor)
		})
		if better >= 0 && r.Buy.RefillTo != nil {
			o := r.Buy.Bundles[better]
			a.Warn(bundlePath(a, i), fmt.Sprintf("is never bought: %s credits for %s are the better bundle", o.Credits, o.Price), "check the prices, or remove the bundle")
		}
	}
}

// shadowed warns about rules whose every target an earlier rule takes.
func (l *loader) shadowed() {
	for i := range l.set.Rules {
		takers := l.takers(i)
		if len(takers) == 0 {
			continue
		}
		var names []string
		for _, t := range takers {
			other := l.set.Rules[t]
			names = append(names, fmt.Sprintf("%q (%s:%d)", other.Name, filepath.Base(other.File), other.Line))
		}
		verb := "matches"
		if len(names) > 1 {
			verb = "match"
		}
		l.places[i].WarnLine(l.places[i].path, fmt.Sprintf("rule %q never matches: %s %s all its customers first",
			l.set.Rules[i].Name, strings.Join(names, " and "), verb), "move it up or exclude them there")
	}
}

// takers are the earlier rules that together take every target of rule i, or
// nil when something is left for it. Each provider is asked for separately, and
// each customer when the rule lists them, so several rules may share the work.
func (l *loader) takers(i int) []int {
	r := &l.set.Rules[i]
	ids := r.Match.CustomerIDs
	if len(ids) == 0 {
		ids = []topup.CustomerID{""} // everybody
	}
	var takers []int
	for _, provider := range r.Providers {
		for _, id := range ids {
			t := slices.IndexFunc(l.set.Rules[:i], func(earlier Rule) bool { return earlier.takes(r, provider, id) })
			if t < 0 {
				return nil
			}
			if !slices.Contains(takers, t) {
				takers = append(takers, t)
			}
		}
	}
	slices.Sort(takers)
	return takers
}

// takes tells whether the rule matches every target that later matches at one
// provider: those of one customer, or of all its customers when id is "".
func (r *Rule) takes(later *Rule, provider string, id topup.CustomerID) bool {
	if r.Product != later.Product || !slices.Contains(r.Providers, provider) {
		return false
	}
	m := r.Match
	if m.Currency != "" && m.Currency != later.Match.Currency {
		return false
	}
	for key, value := range m.Properties {
		if got, ok := later.Match.Properties[key]; !ok || got != value {
			return false
		}
	}
	if id != "" {
		return (len(m.CustomerIDs) == 0 || slices.Contains(m.CustomerIDs, id)) && !slices.Contains(m.ExcludeIDs, id)
	}
	notLeft := func(excluded topup.CustomerID) bool { return !slices.Contains(later.Match.ExcludeIDs, excluded) }
	return len(m.CustomerIDs) == 0 && !slices.ContainsFunc(m.ExcludeIDs, notLeft)
}
