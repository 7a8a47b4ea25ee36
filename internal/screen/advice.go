package screen

import (
	"encoding/json"

	"topupd/topup"
)

// Words say a reason to a person.
type Words struct {
	Means string // continues "Not buying: ", or stands alone for buy and enough
	Do    string // what you can do about it; a sentence
}

// reasonWords has an entry for every reason.
var reasonWords = map[topup.Reason]Words{
	topup.Buy: {
		"it was bought for",
		"nothing; topupd purchases show tells what became of it.",
	},
	topup.Enough: {
		"the balance is not below the threshold",
		"nothing; raise the threshold, in the rule or (Hyperline) as low_count_threshold, to buy earlier.",
	},
	topup.StillOpen: {
		"an earlier purchase has not ended yet",
		"wait; topupd purchases show tells what it waits for. One that needs review waits for you: topupd purchases resolve.",
	},
	topup.CoolingDown: {
		"the last purchase ended a moment ago",
		"wait; the rule's cooldown gives the balance time to show what was bought.",
	},
	topup.Rechecking: {
		"it is low and will be read a second time before anything is bought",
		"wait a few seconds.",
	},
	topup.FirstHold: {
		"this ledger has just met the provider, and an earlier installation may have a purchase in flight",
		"wait for first_purchase_after, or topupd resume --provider NAME --reason \"…\" if you know that there is none.",
	},
	topup.ProvingPrice: {
		"another customer's purchase goes first at this price, until its bill shows that it is what the provider charges",
		"wait a few seconds; topupd purchases show tells what became of the first one.",
	},
	topup.Paused: {
		"somebody paused it",
		"topupd resume --reason \"…\", with --provider, --rule or --customer as in the pause, takes it back.",
	},
	topup.DryRun: {
		"the mode is dry_run",
		"write mode: active in the configuration and in the rule when you trust what topupd plan says.",
	},
	topup.Excluded: {
		"the rules exclude this customer",
		"take the id out of exclude_ids.",
	},
	topup.NoRule: {
		"no rule matches",
		"add a rule that matches this customer; topupd check finds rules that match nobody.",
	},
	topup.NativeAutoTopup: {
		"the provider tops this customer up itself",
		"switch the provider's own top-up off, or write native_auto_topup: allow if both shall buy.",
	},
	topup.StaleReading: {
		"the balance is too old to decide on",
		"look whether the provider refreshes balances, and whether topupd has enough of the rate limit (rate_limit.share).",
	},
	topup.BadReading: {
		"the balance cannot be read",
		"look at the customer's credits at the provider; topupd goes on when they are a number again.",
	},
	topup.NotSeen: {
		"the provider does not show these credits any more",
		"look whether the credit product was taken off the customer; topupd targets add attaches it.",
	},
	topup.NoThreshold: {
		"there is no threshold",
		"set low_count_threshold on the customer or low_credits_threshold on the product, or default_threshold in the rule.",
	},
	topup.PriceMismatch: {
		"the provider's price or pack is not the configured one",
		"correct price_id, credits or price_excluding_tax in the rule, then reload.",
	},
	topup.RuleStopped: {
		"topupd has stopped the rule because of what it saw",
		"mend what the text above says, then topupd resume --rule NAME --reason \"…\".",
	},
	topup.PriceUnproven: {
		"no bill has shown yet that this price is what the provider charges, and purchases go one at a time until one does",
		"look at the invoices of the purchases made at this price (topupd purchases list): one whose bill is missing, or has other things on it, cannot show its price. If the provider is slow, wait; the next one goes every two minutes.",
	},
	topup.ChangeHeld: {
		"only a change of the terms made it low, as it did too many others",
		"look at who is low with topupd targets; if the change is meant so, topupd resume --rule NAME --reason \"…\"; if not, take it back and reload.",
	},
	topup.CurrencyMismatch: {
		"the customer is billed in another currency than the rule buys in",
		"add a rule with match: {currency: …} and a bundle in that currency.",
	},
	topup.CustomerInactive: {
		"the customer is not active at the provider",
		"reactivate the customer there, or add the id to exclude_ids.",
	},
	topup.NoPaymentMethod: {
		"the customer has no working payment method",
		"ask the customer for one; the next poll sees it.",
	},
	topup.InvoiceUnpaid: {
		"an earlier invoice is not paid",
		"the customer can give another card, or you void the invoice at the provider; either is noticed by itself. A pause of the customer silences this.",
	},
	topup.Refunded: {
		"the last purchase was refunded, and somebody may not want it made again",
		"ask who refunded it and why; topupd resume --customer ID --reason \"…\" buys for the customer again, and this refund never holds it again. To leave it so, exclude the customer or pause it.",
	},
	topup.ExternalTopup: {
		"somebody else has just added credits",
		"wait for the cooldown; find out who buys besides topupd if it goes on.",
	},
	topup.EnvironmentChanged: {
		"the token no longer speaks for this environment",
		"make environment_id the current environment of the token's owner at Talkover, or use a token of another user.",
	},
	topup.OverCap: {
		"a cap would be passed",
		"wait for the next hour, day or month (UTC), or raise the cap after looking at what was bought.",
	},
	topup.BackingOff: {
		"the last payment was declined",
		"ask for another card, then topupd resume --customer ID --reason \"…\" to try at once.",
	},
	topup.Suspended: {
		"too many payments in a row were declined",
		"ask for another card: topupd notices a change within minutes; or topupd resume --customer ID --reason \"…\".",
	},
	topup.Quarantined: {
		"the database may have lost purchases, and the provider's books have not been compared yet; or its file is damaged or not where it was",
		"at Hyperline it ends by itself after the quiet period, once the books are compared, unless the text above says that it waits for a person; else compare the provider's invoices with topupd purchases list, then topupd resume --provider NAME --reason \"…\".",
	},
	topup.Implausible: {
		"too many balances became zero or unreadable at once to be believed, or the customer may have paid twice",
		"look at the balances at the provider; if they are right, topupd resume --provider NAME --reason \"…\"; if not, the hold ends by itself when they are back in two complete polls, unless the text above names a purchase.",
	},
	topup.ProviderUnavailable: {
		"the provider cannot be asked",
		"look at the provider's status, the token and the network; topupd tries again by itself.",
	},
}

// refusedWords stand for reasonWords where the last failure was a refusal of the
// request: no card of the customer's helps.
var refusedWords = map[topup.Reason]Words{
	topup.BackingOff: {
		"the provider refused the last request, which is not a declined payment",
		"read the provider's words above: correct the rule (payment_method_id, price_id, credits, expires) or the customer at the provider, then reload; a new version of the rule is tried at once, and so is everything after topupd resume --rule RULE --reason \"…\".",
	},
	topup.Suspended: {
		"the provider refused too many requests in a row, which are not declined payments",
		"read the provider's words above: correct the rule (payment_method_id, price_id, credits, expires) or the customer at the provider, then reload; or topupd resume --customer ID, or --rule RULE, --reason \"…\".",
	},
}

// WordsOf say the reason of a decision to a person.
func WordsOf(e topup.Evaluation) Words {
	var f struct {
		Refusal string `json:"refusal"`
	}
	_ = json.Unmarshal(e.Detail, &f) // without details the reason's own words stand
	if said, ok := refusedWords[e.Reason]; ok && f.Refusal != "" {
		return said
	}
	return reasonWords[e.Reason]
}
