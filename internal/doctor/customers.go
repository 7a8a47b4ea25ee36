package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"topupd/clients"
	"topupd/rules"
	"topupd/topup"
)

// timeUnit is what ages are rounded to.
const timeUnit = time.Second

// customers reads every balance as the daemon would, and counts what the rules
// make of them.
func (e *examination) customers(ctx context.Context) []topup.Reading {
	began := e.Now()
	poll, err := clients.Gather(ctx, e.Client, e.products())
	if err != nil {
		e.say("balances", Fail, "nothing is bought while balances cannot be read", "%v", err)
		return nil
	}
	text := fmt.Sprintf("%s in %s with %s", many(len(poll.Readings), "balance"), e.Now().Sub(began).Round(time.Millisecond), many(poll.Reads, "read"))
	if !poll.Complete {
		e.say("balances", Warn, "run the doctor again; if it stays so, customers may be missed", "%s, but the list is not complete: rows moved while it was read", text)
	} else {
		e.say("balances", OK, "", "%s", text)
	}
	e.pace(e.Now().Sub(began))
	matched := e.match(poll.Readings)
	e.thresholds(matched)
	e.native(matched)
	e.payable(matched)
	return poll.Readings
}

// pace holds the time of a pass against how old a reading may be.
func (e *examination) pace(took time.Duration) {
	shortest := time.Duration(0)
	for _, r := range e.mine() {
		if shortest == 0 || r.MaxReadingAge < shortest {
			shortest = r.MaxReadingAge
		}
	}
	switch {
	case shortest == 0:
	case took > shortest:
		e.say("pace", Warn, "raise rate_limit.share, or the limits if the provider allows you more, or max_reading_age of the rules",
			"reading all balances takes %s, longer than the %s that a reading may be old: customers are seen low late", took.Round(timeUnit), shortest)
	default:
		e.say("pace", OK, "", "a reading may be %s old", shortest)
	}
}

// target is a balance with the rule that watches it.
type target struct {
	rule    *rules.Rule
	reading topup.Reading
}

// match counts the customers of each rule.
func (e *examination) match(readings []topup.Reading) []target {
	var matched []target
	per, none, bad := map[string]int{}, 0, 0
	for _, r := range readings {
		rule, excluded := e.Rules.Match(rules.Candidate{
			ProviderName: e.Provider.Name, Customer: r.Target.Customer, Product: r.Target.Product,
			Currency: r.Account.Currency, Properties: r.Account.Properties,
		})
		if r.Bad != "" {
			bad++
		}
		switch {
		case rule != nil:
			per[rule.Name]++
			matched = append(matched, target{rule, r})
		case !excluded:
			none++
		}
	}
	for _, r := range e.mine() {
		if per[r.Name] == 0 {
			e.say("rule "+r.Name, Warn, "correct its match, or remove it", "matches nobody")
			continue
		}
		e.say("rule "+r.Name, OK, "", "watches %s", many(per[r.Name], "customer"))
	}
	if none > 0 {
		e.say("unwatched", Unknown, "", "%s with the product that no rule matches and none excludes", many(none, "customer"))
	}
	if bad > 0 {
		e.say("bad balances", Warn, "look at them with topupd plan", "%s cannot be used as they are", many(bad, "balance"))
	}
	return matched
}

// thresholds counts who has no mark at all: they would run dry.
func (e *examination) thresholds(matched []target) {
	without := count(matched, func(t target) bool {
		return t.rule.Threshold.Fixed == nil && t.rule.Threshold.Default == nil && t.reading.Threshold == nil
	})
	switch {
	case len(matched) == 0:
	case without > 0:
		e.say("thresholds", Warn, "set low_count_threshold for them, or default_threshold in the rule", "%d of %d customers have none: nothing is ever bought for them", without, len(matched))
	default:
		e.say("thresholds", OK, "", "all of %d", len(matched))
	}
}

// native counts whom the provider tops up itself (P8).
func (e *examination) native(matched []target) {
	on := count(matched, func(t target) bool { return t.reading.Native != "" })
	switch {
	case len(matched) == 0:
	case on > 0:
		e.say("native top-up", Warn, "switch it off at the provider for those whom topupd should serve; nothing is bought for them otherwise (native_auto_topup)", "on at %d of %d customers", on, len(matched))
	default:
		e.say("native top-up", OK, "", "off at all of %d", len(matched))
	}
}

// payable counts how the customers can pay, as the lists say.
func (e *examination) payable(matched []target) {
	if len(matched) == 0 {
		return
	}
	methods, inactive, currency := map[topup.PaymentMethod]int{}, 0, 0
	for _, t := range matched {
		methods[t.reading.Account.PaymentMethod]++
		if t.reading.Account.Inactive != "" {
			inactive++
		}
		if len(t.rule.Buy.Bundles) > 0 && t.reading.Account.Currency != t.rule.Buy.Bundles[0].Price.Currency {
			currency++
		}
	}
	if !e.Provider.Type.Traits().OneCustomer { // its cards are a list of their own
		e.methods(methods, len(matched))
	}
	if inactive > 0 {
		e.say("inactive customers", Warn, "exclude them, or make them active again", "%d of %d", inactive, len(matched))
	}
	if currency > 0 {
		e.say("currencies", Warn, "match by currency, and write a rule for each", "%d of %d customers are billed in another currency than their rule buys in", currency, len(matched))
	}
}

func (e *examination) methods(methods map[topup.PaymentMethod]int, all int) {
	words := []struct {
		method topup.PaymentMethod
		text   string
	}{
		{topup.PaymentCard, "by card"},
		{topup.PaymentOther, "by direct debit or transfer"},
		{topup.PaymentErrored, "with a method that failed"},
		{topup.PaymentMissing, "without any"},
		{topup.PaymentUnknown, "unknown"},
	}
	var parts []string
	for _, w := range words {
		if n := methods[w.method]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, w.text))
		}
	}
	text := strings.Join(parts, ", ")
	switch {
	case methods[topup.PaymentMissing]+methods[topup.PaymentErrored] > 0:
		e.say("payment methods", Warn, "ask these customers for a card: they are not charged", "%s", text)
	case methods[topup.PaymentUnknown] == all:
		e.say("payment methods", Unknown, "", "the filter payment_method_type__in is not honoured: they are read one by one before a purchase")
	default:
		e.say("payment methods", OK, "", "%s", text)
	}
}
