package scheduler

import (
	"maps"
	"slices"
	"strings"

	"topupd/topup"
)

// Lowered is what other rules would do to the targets of one of them at once: the
// targets that are low under them, and were not under those of before.
type Lowered struct {
	Rule    string
	Targets int
	AtOnce  int           // of them, as many are bought for before a person is asked
	Costs   []topup.Money // of all of them, excluding tax, by currency
}

// Preview tells, rule by rule, who becomes low by another rulebook, by the readings
// of the last poll. A rule in dry run charges nobody.
func (w *Watch) Preview(book *Rulebook) []Lowered {
	type sum struct {
		lowered, targets int
		costs            map[topup.Currency]int64
	}
	sums := map[string]*sum{}
	w.mu.Lock()
	for target, t := range w.tracked {
		if t.reading.Bad != "" || t.reading.ReadAt.IsZero() {
			continue
		}
		rule, _ := book.Rules.Match(w.candidate(target, t))
		if rule == nil || rule.DryRun {
			continue
		}
		s := sums[rule.Name]
		if s == nil {
			s = &sum{costs: map[topup.Currency]int64{}}
			sums[rule.Name] = s
		}
		s.targets++
		threshold := rule.ThresholdOf(&t.reading)
		old := topup.Credits(topup.NoTerms)
		if t.threshold != nil {
			old = *t.threshold
		}
		if threshold == nil || !topup.LowByChange(t.reading.Balance, old, *threshold) {
			continue
		}
		s.lowered++
		price := rule.Choose(t.reading.Balance, *threshold).Price
		s.costs[price.Currency] += price.Minor
	}
	w.mu.Unlock()
	var list []Lowered
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		s := sums[name]
		if s.lowered == 0 {
			continue
		}
		l := Lowered{Rule: name, Targets: s.lowered, AtOnce: min(s.lowered, topup.ChangeAtOnce(s.targets))}
		for _, c := range slices.Sorted(maps.Keys(s.costs)) {
			l.Costs = append(l.Costs, topup.Money{Minor: s.costs[c], Currency: c})
		}
		list = append(list, l)
	}
	return list
}

// Cost says in words what buying once for all of them costs.
func (l Lowered) Cost() string {
	var parts []string
	for _, m := range l.Costs {
		parts = append(parts, m.String())
	}
	return strings.Join(parts, " and ")
}
