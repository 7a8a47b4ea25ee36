package rules

import (
	"fmt"

	"topupd/topup"
)

const (
	// absurdMinor is more than any pack costs, in minor units, inclusive: a
	// hundred million of EUR, four hundred thousand dollars' worth of VND.
	absurdMinor = 10_000_000_000
	// dearMinor is worth a second look: a million of EUR.
	dearMinor = 100_000_000
)

// readBuy reads what one purchase is: bundles, an amount or a charge.
func readBuy(a ruleAt, y *ruleYAML, r *Rule) {
	at := a.at("buy")
	r.Buy.RefillTo = (*Refill)(y.Buy.RefillTo)
	if y.Buy.PaymentMethodID != nil {
		r.Buy.PaymentMethodID = string(*y.Buy.PaymentMethodID)
	}
	given := 0
	for _, key := range []string{"bundles", "amount", "charge"} {
		if a.Has(at + "." + key) {
			given++
		}
	}
	switch {
	case given == 0 && a.Has(at):
		a.Report(at, "buys nothing", "add bundles or amount (Hyperline), or charge (Talkover)")
	case given > 1:
		a.Report(at, "says more than one thing", "keep one of bundles, amount and charge")
	case a.Has(at+".bundles") && refuses(r, "buy.bundles"), a.Has(at+".amount") && refuses(r, "buy.amount"), a.Has(at+".charge") && refuses(r, "buy.charge"):
	case a.Has(at + ".bundles"):
		readBundles(a, at+".bundles", y.Buy.Bundles, r)
	case a.Has(at + ".amount"):
		readAmount(a, at+".amount", y.Buy.Amount, r)
	case a.Has(at + ".charge"):
		readCharge(a, at+".charge", y.Buy.Charge, r)
	}
	if !refuses(r, "buy.refill_to") {
		checkRefill(a, at+".refill_to", r)
	}
}

func readBundles(a ruleAt, at string, list []bundleYAML, r *Rule) {
	seen, complete := map[idText]bool{}, true
	for i, y := range list {
		path := fmt.Sprintf("%s[%d]", at, i)
		b := Bundle{PriceID: string(y.PriceID), Credits: topup.Credits(y.Credits), Price: topup.Money(y.Price)}
		if y.PriceID != "" && seen[y.PriceID] {
			a.Report(path+".price_id", fmt.Sprintf("%q stands here a second time", y.PriceID), "remove one of the two")
		}
		seen[y.PriceID] = true
		if !checkPack(a, path, b) {
			complete = false
			continue
		}
		if len(r.Buy.Bundles) > 0 && r.Buy.Bundles[0].Price.Currency != b.Price.Currency {
			a.Report(path+".price_excluding_tax", fmt.Sprintf("is in %s, the first bundle is in %s", b.Price.Currency, r.Buy.Bundles[0].Price.Currency),
				"write a rule for each currency, with match: {currency: "+string(b.Price.Currency)+"}")
			complete = false
			continue
		}
		r.Buy.Bundles = append(r.Buy.Bundles, b)
	}
	if !complete || (a.Has(a.at("buy.refill_to")) && r.Buy.RefillTo == nil) {
		r.Buy.Bundles = nil // what else would be found follows from the mistake
		return
	}
	want, have := r.Match.Currency, topup.Currency("")
	if len(r.Buy.Bundles) > 0 {
		have = r.Buy.Bundles[0].Price.Currency
	}
	if want != "" && have != "" && want != have {
		a.Report(a.at("match.currency"), fmt.Sprintf("%s customers would be charged in %s", want, have), "write the same currency in both")
	}
}

func readAmount(a ruleAt, at string, y *amountYAML, r *Rule) {
	if y == nil {
		return
	}
	b := Bundle{Credits: topup.Credits(y.Credits), Price: topup.Money(y.Price)}
	if checkPack(a, at, b) {
		r.Buy.Bundles = []Bundle{b}
	}
}

// readCharge makes a bundle of money: at Talkover the balance is in the currency
// of the account, so one unit buys one credit (Talkover docs,
// get-credits-balance, read 2026-11-20).
func readCharge(a ruleAt, at string, y *moneyText, r *Rule) {
	if y == nil {
		return
	}
	price := topup.Money(*y)
	if !checkPrice(a, at, price) {
		return
	}
	credits, err := topup.ParseCredits(price.Amount())
	if err != nil {
		a.Report(at, err.Error(), "write a smaller amount")
		return
	}
	r.Buy.Bundles = []Bundle{{Credits: credits, Price: price}}
}

// checkPack checks the credits and the price; a missing one was reported already.
func checkPack(a ruleAt, at string, b Bundle) bool {
	if a.Valid(at+".credits") && b.Credits == 0 {
		a.Report(at+".credits", "a pack of 0 credits buys nothing", "write how many credits the pack has")
	}
	return checkPrice(a, at+".price_excluding_tax", b.Price) && b.Credits > 0
}

func checkPrice(a ruleAt, at string, price topup.Money) bool {
	switch {
	case price.Currency == "": // missing or not an amount, reported already
		return false
	case price.Minor <= 0:
		a.Report(at, price.String()+" is not a price", "write an amount above zero")
		return false
	case price.Minor > absurdMinor:
		a.Report(at, price.Grouped()+" looks absurd", "write the price of one pack in "+string(price.Currency)+", not in its smallest unit")
		return false
	case price.Minor > dearMinor:
		a.Warn(at, price.Grouped()+" for one pack is a lot", "check that it is not the price in the smallest unit")
	}
	return true
}

// checkRefill checks that the balance to reach is above the threshold.
func checkRefill(a ruleAt, at string, r *Rule) {
	to, mark := r.Buy.RefillTo, r.Threshold.Fixed
	if mark == nil {
		mark = r.Threshold.Default
	}
	if to == nil || mark == nil || to.TimesThreshold != 0 || to.Credits > *mark {
		return
	}
	a.Report(at, fmt.Sprintf("%s credits are not above the threshold of %s", to.Credits, *mark), "write more credits, or 3x threshold")
}
