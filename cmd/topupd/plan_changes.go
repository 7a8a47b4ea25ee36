package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"topupd/internal/english"
	"topupd/topup"
)

// planChanges holds back whom only a change of the terms would make low, after the
// first few, as the ledger does when the daemon plans.
type planChanges struct {
	p      *planning
	judged map[topup.ProviderID]map[topup.Target]topup.Credits
	left   map[string]int // by rule
}

// hold turns a purchase into change_held where it would be too many.
func (c *planChanges) hold(x *prospect) error {
	if x.d.Reason != topup.Buy {
		return nil
	}
	ctx, target := c.p.a.ctx, x.target()
	if _, read := c.judged[target.Provider]; !read {
		known, err := c.p.ledger.Judged(ctx, target.Provider)
		if err != nil {
			return err
		}
		c.judged[target.Provider] = known
	}
	change := x.facts.Standing.Raised
	if old, known := c.judged[target.Provider][target]; change == nil && known {
		change = &topup.Raised{Rule: x.facts.Rule.Name, Old: old, New: *x.d.Threshold, At: x.facts.Standing.Now}
	}
	if change == nil || !topup.LowByChange(x.newest().Balance, change.Old, *x.d.Threshold) {
		return nil
	}
	rule := x.facts.Rule.Name
	if _, known := c.left[rule]; !known {
		bought, err := c.p.ledger.ChangeBought(ctx, rule)
		if err != nil {
			return err
		}
		targets := len(c.p.chosen(func(x *prospect) bool { return x.facts.Rule != nil && x.facts.Rule.Name == rule }))
		c.left[rule] = topup.ChangeAtOnce(targets) - bought
	}
	c.left[rule]--
	if c.left[rule] < 0 {
		x.d.Reason, x.d.Text = topup.ChangeHeld, change.String()
	}
	return nil
}

// changed sums up, rule by rule, whom a change of the terms makes low beyond those
// that are bought for at once, and what they would cost.
func (p *planning) changed() []string {
	held := map[string][]*prospect{}
	for _, x := range p.chosen(func(x *prospect) bool { return x.d.Reason == topup.ChangeHeld }) {
		held[x.facts.Rule.Name] = append(held[x.facts.Rule.Name], x)
	}
	var lines []string
	for _, rule := range slices.Sorted(maps.Keys(held)) {
		sums := map[topup.Currency]int64{}
		for _, x := range held[rule] {
			price := x.facts.Rule.Choose(x.newest().Balance, *x.d.Threshold).Price
			sums[price.Currency] += price.Minor
		}
		var costs []string
		for _, c := range slices.Sorted(maps.Keys(sums)) {
			costs = append(costs, topup.Money{Minor: sums[c], Currency: c}.Grouped())
		}
		lines = append(lines, fmt.Sprintf("Rule %s: %s low only by new terms, beyond those that are bought for at once: %s more, excluding tax, after topupd resume --rule %s.",
			rule, english.Plural(len(held[rule]), "target"), strings.Join(costs, " and "), rule))
	}
	return lines
}

func (blank) Judged(context.Context, topup.ProviderID) (map[topup.Target]topup.Credits, error) {
	return nil, nil
}

func (blank) ChangeBought(context.Context, string) (int, error) { return 0, nil }
