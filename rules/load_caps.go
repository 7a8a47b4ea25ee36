package rules

import (
	"cmp"
	"fmt"
	"slices"

	"topupd/config/limits"
	"topupd/topup"
)

// usualPurchases is customer.day.purchases when the rule does not say: more
// than any honest day needs, and far less than a bug could do.
const usualPurchases = 10

// caps reads the rule's own caps and checks every cap against its packs.
func (l *loader) caps(a ruleAt, y *ruleYAML, r *Rule) {
	if y.Limits.Rule != nil {
		r.Caps = append(r.Caps, y.Limits.Rule.Caps(a.File, a.at("limits.rule"), topup.CapRule)...)
	}
	var customer limits.Windows
	if y.Limits.Customer != nil {
		customer = *y.Limits.Customer
	}
	given := customer.Caps(a.File, a.at("limits.customer"), topup.CapCustomer)
	if !a.Has(a.at("limits.customer.day.purchases")) {
		usual := topup.Cap{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: usualPurchases}
		at := slices.IndexFunc(given, func(c topup.Cap) bool { return c.Period != topup.CapHour })
		if at < 0 {
			at = len(given)
		}
		given = slices.Insert(given, at, usual)
	}
	r.Caps = append(r.Caps, given...)
	if len(r.Buy.Bundles) == 0 {
		return
	}
	for _, group := range spendGroups(slices.Concat(l.in.GlobalCaps, l.in.ProviderCaps, r.Caps)) {
		checkSpend(a, r, group)
	}
}

// spendGroups are the spend caps that were written together: one scope and
// period, a cap per currency.
func spendGroups(caps []topup.Cap) [][]topup.Cap {
	var groups [][]topup.Cap
	for _, c := range caps {
		if c.Currency == "" {
			continue
		}
		same := func(g []topup.Cap) bool { return g[0].Scope == c.Scope && g[0].Period == c.Period }
		if i := slices.IndexFunc(groups, same); i >= 0 {
			groups[i] = append(groups[i], c)
			continue
		}
		groups = append(groups, []topup.Cap{c})
	}
	return groups
}

// checkSpend refuses a spend cap that leaves the rule's currency uncapped, or
// that no pack fits under.
func checkSpend(a ruleAt, r *Rule, group []topup.Cap) {
	cheapest := slices.MinFunc(reachable(r), func(x, y Bundle) int { return cmp.Compare(x.Price.Minor, y.Price.Minor) }).Price
	own := group[0].Scope == topup.CapRule || group[0].Scope == topup.CapCustomer
	name := fmt.Sprintf("limits.%s.%s.spend", group[0].Scope, group[0].Period)
	at := slices.IndexFunc(group, func(c topup.Cap) bool { return c.Currency == cheapest.Currency })
	switch {
	case at < 0 && own:
		uncapped(a, r, a.at(name), fmt.Sprintf("has no %s, the currency this rule pays in", cheapest.Currency),
			fmt.Sprintf("add %s: …", cheapest.Currency))
	case at < 0:
		uncapped(a, r, a.at("buy"), fmt.Sprintf("%s of the daemon's configuration has no %s, the currency this rule pays in", name, cheapest.Currency),
			fmt.Sprintf("add %s: … there", cheapest.Currency))
	case group[at].Limit < cheapest.Minor && own:
		a.ReportLine(a.at(name+"."+string(cheapest.Currency)),
			fmt.Sprintf("%s.%s: %s is less than one pack (%s): this rule could never buy", name, cheapest.Currency, topup.Money{Minor: group[at].Limit, Currency: cheapest.Currency}.Amount(), cheapest), "")
	case group[at].Limit < cheapest.Minor:
		a.ReportLine(a.at("buy"),
			fmt.Sprintf("one pack (%s) is more than %s.%s of the daemon's configuration allows (%s): this rule could never buy",
				cheapest, name, cheapest.Currency, topup.Money{Minor: group[at].Limit, Currency: cheapest.Currency}.Amount()), "")
	}
}

// uncapped is a mistake in a rule that buys, and worth knowing in one that
// does not yet.
func uncapped(a ruleAt, r *Rule, path, message, fix string) {
	if r.DryRun {
		a.Warn(path, message, fix+": it is needed in active mode")
		return
	}
	a.Report(path, message, fix)
}

// reachable are the bundles that Choose may return: without refill_to only the
// first. There is at least one.
func reachable(r *Rule) []Bundle {
	if r.Buy.RefillTo == nil {
		return r.Buy.Bundles[:1]
	}
	return r.Buy.Bundles
}
