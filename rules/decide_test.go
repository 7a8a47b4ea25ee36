package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// ago and hence are pointers to times around noon.
func ago(d time.Duration) *time.Time   { at := noon.Add(-d); return &at }
func hence(d time.Duration) *time.Time { return ago(-d) }

func apiCredits() *Rule {
	return &Rule{
		Name: "api-credits", Providers: []string{"hyperline"}, Product: "itm_1",
		Threshold: Threshold{Provider: true, Default: credits(50)},
		Buy: Buy{
			Bundles:  []Bundle{{PriceID: "pri_small", Credits: 120 * topup.Credit, Price: euros(200)}, {PriceID: "pri_large", Credits: 600 * topup.Credit, Price: euros(900)}},
			RefillTo: &Refill{TimesThreshold: 2 * topup.Credit},
		},
		Expires:  Expiry{After: 24 * time.Hour},
		Cooldown: 5 * time.Minute, ConfirmAfter: 5 * time.Second, MaxReadingAge: 2 * time.Minute,
		Unpaid: Unpaid{Card: 0, Other: 2},
	}
}

func euros(whole int64) topup.Money { return topup.Money{Minor: whole * 100, Currency: "EUR"} }

// low is a target that deserves a purchase: at 99 of 100 credits, twice.
func low() Facts {
	target := topup.Target{Provider: "hyperline://api.hyperline.co/", Customer: "cus_1", Product: "itm_1"}
	first := topup.Reading{
		Target: target, Balance: 99 * topup.Credit, Threshold: credits(100),
		ReadAt: noon.Add(-6 * time.Second), RefreshedAt: noon.Add(-7 * time.Second),
		Account: topup.Account{Currency: "EUR", PaymentMethod: topup.PaymentCard},
	}
	second := first
	second.ReadAt, second.RefreshedAt = noon.Add(-time.Second), noon.Add(-time.Second)
	return Facts{
		Now: noon, Rule: apiCredits(), Reading: &first, FirstLow: ago(6 * time.Second),
		Standing:     topup.Standing{Version: 7, Now: noon, FirstSeenAt: ago(time.Hour)},
		Confirmation: &topup.Confirmation{Reading: second, ServerTime: noon},
		FirstHold:    150 * time.Second,
	}
}

// both sets the balance of both readings.
func both(f *Facts, balance topup.Credits) {
	f.Reading.Balance, f.Confirmation.Reading.Balance = balance, balance
}

func invoices(f *Facts, payments ...topup.Payment) {
	for _, p := range payments {
		f.Confirmation.Invoices = append(f.Confirmation.Invoices, topup.Invoice{
			ID: "inv_1", Credit: true, Amount: euros(200), Status: "as the provider calls it", Payment: p, Detail: "insufficient_funds",
		})
	}
}

func open(f *Facts, state topup.State) *topup.Purchase {
	f.Standing.Open = &topup.Purchase{
		ID: "0193-purchase-1", State: state, Target: f.Reading.Target, Payment: topup.PaymentNone,
		QuietPeriod: 15 * time.Minute, SentAt: ago(20 * time.Minute), LastSentAt: ago(20 * time.Minute),
		Credits: 600 * topup.Credit, Price: euros(900), PriceID: "pri_large",
	}
	return f.Standing.Open
}

// raised is a change that made the target low.
func raised(left int) *topup.Raised {
	return &topup.Raised{Rule: "api-credits", Old: 20 * topup.Credit, New: 100 * topup.Credit, At: noon.Add(-time.Hour), Left: left}
}

// stopped is a stop of topupd's own.
func stopped(rule string) topup.Pause {
	return topup.Pause{Scope: topup.PauseRule, Subject: rule, Cause: topup.StopPrice, By: "topupd", Reason: "billed 220", At: noon.Add(-time.Hour)}
}

func pause(scope topup.PauseScope, id string, until *time.Time) topup.Pause {
	return topup.Pause{Scope: scope, Subject: id, Until: until, By: "ops", Reason: "maintenance", At: noon.Add(-time.Hour)}
}

// row spoils one thing of a target that deserves a purchase.
type row struct {
	name  string
	spoil func(*Facts)
	want  topup.Reason
	text  string // what the words must hold
}

var rowsOfKnowing = []row{
	{"a low balance, read twice, buys", func(*Facts) {}, topup.Buy, "120 credits for 200.00 EUR"},
	{"no rule is no purchase", func(f *Facts) { f.Rule = nil }, topup.NoRule, ""},
	{"an excluded customer is said to be excluded", func(f *Facts) { f.Rule, f.Excluded = nil, true }, topup.Excluded, "exclude_ids"},
	{"a rule that matches wins over another rule's exclusion", func(f *Facts) { f.Excluded = true }, topup.Buy, ""},
	{"a provider that cannot be read", func(f *Facts) { f.Unreadable = "HTTP 503" }, topup.ProviderUnavailable, "HTTP 503"},
	{"a target that is not shown any more", func(f *Facts) { f.Reading = nil }, topup.NotSeen, ""},
	{"nothing is known of the target when the provider is away", func(f *Facts) { f.Reading, f.Unreadable = nil, "timeout" }, topup.ProviderUnavailable, ""},
	{"a bad first reading", func(f *Facts) { f.Reading.Bad = "null" }, topup.BadReading, "null"},
	{"a bad second reading", func(f *Facts) { f.Confirmation.Reading.Bad = "NaN" }, topup.BadReading, "NaN"},
	{"a held target", func(f *Facts) { f.Standing.Implausible = "9 balances became zero" }, topup.Implausible, "9 balances"},
	{"a hold stands also when the balance is enough", func(f *Facts) { f.Standing.Implausible = "x"; both(f, 500*topup.Credit) }, topup.Implausible, ""},
	{"no threshold anywhere", func(f *Facts) {
		f.Reading.Threshold, f.Confirmation.Reading.Threshold, f.Rule.Threshold.Default = nil, nil, nil
	}, topup.NoThreshold, "default_threshold"},
	{"the default threshold is for who has none: above it", func(f *Facts) { f.Reading.Threshold, f.Confirmation.Reading.Threshold = nil, nil }, topup.Enough, "50"},
	{"the default threshold is for who has none: below it", func(f *Facts) {
		f.Reading.Threshold, f.Confirmation.Reading.Threshold = nil, nil
		both(f, 49*topup.Credit)
	}, topup.Buy, ""},
	{"a fixed threshold overrules the provider's", func(f *Facts) { f.Rule.Threshold = Threshold{Fixed: credits(99)} }, topup.Enough, "not below 99"},
	{"a threshold that was lowered meanwhile counts", func(f *Facts) { f.Confirmation.Reading.Threshold = credits(99) }, topup.Enough, ""},
}

var rowsOfReadings = []row{
	{"exactly at the threshold is enough", func(f *Facts) { both(f, 100*topup.Credit) }, topup.Enough, "balance 100 is not below 100"},
	{"a millionth below is not", func(f *Facts) { both(f, 100*topup.Credit-1) }, topup.Buy, ""},
	{"a millionth above is", func(f *Facts) { both(f, 100*topup.Credit+1) }, topup.Enough, ""},
	{"zero buys", func(f *Facts) { both(f, 0) }, topup.Buy, ""},
	{"a debt buys the pack that reaches the refill", func(f *Facts) { both(f, -200*topup.Credit) }, topup.Buy, "600 credits"},
	{"the second reading decides alone: at the threshold", func(f *Facts) { f.Confirmation.Reading.Balance = 100 * topup.Credit }, topup.Enough, "read again"},
	{"the second reading decides alone: a millionth below", func(f *Facts) { f.Confirmation.Reading.Balance = 100*topup.Credit - 1 }, topup.Buy, ""},
	{"a reading as old as allowed", func(f *Facts) { f.Reading.ReadAt = noon.Add(-2 * time.Minute) }, topup.Buy, ""},
	{"a nanosecond older", func(f *Facts) { f.Reading.ReadAt = noon.Add(-2*time.Minute - 1) }, topup.StaleReading, "max_reading_age"},
	{"a confirm read as old as allowed", func(f *Facts) {
		f.Confirmation.Reading.ReadAt, f.FirstLow = noon.Add(-2*time.Minute), ago(3*time.Minute)
	}, topup.Buy, ""},
	{"a confirm read a nanosecond older", func(f *Facts) {
		f.Confirmation.Reading.ReadAt, f.FirstLow = noon.Add(-2*time.Minute-1), ago(3*time.Minute)
	}, topup.StaleReading, ""},
	{"a first reading refreshed with the newest row", func(f *Facts) { f.Standing.NewestRowAt = ago(7 * time.Second) }, topup.Buy, ""},
	{"a first reading from before the newest row", func(f *Facts) { f.Standing.NewestRowAt = ago(7*time.Second - 1) }, topup.StaleReading, "newest known credit addition"},
	{"a second reading from before the newest row", func(f *Facts) {
		f.Standing.NewestRowAt, f.Confirmation.Reading.RefreshedAt = ago(7*time.Second), noon.Add(-7*time.Second-1)
	}, topup.StaleReading, ""},
	{"a reading without the provider's stamp, when rows are known", func(f *Facts) {
		f.Reading.RefreshedAt, f.Standing.NewestRowAt = time.Time{}, ago(time.Hour)
	}, topup.StaleReading, ""},
	{"enough is enough also before the newest row shows", func(f *Facts) { f.Standing.NewestRowAt = ago(0); both(f, 100*topup.Credit) }, topup.Enough, ""},
	{"before the second reading", func(f *Facts) { f.Confirmation = nil }, topup.Rechecking, "5s after"},
	{"two readings exactly confirm_after apart", func(f *Facts) { f.FirstLow = ago(6 * time.Second) }, topup.Buy, ""},
	{"two readings a nanosecond too close", func(f *Facts) { f.FirstLow = ago(6*time.Second - 1) }, topup.Rechecking, "sooner"},
	{"a second reading without a first", func(f *Facts) { f.FirstLow = nil }, topup.Rechecking, ""},
}

var rowsOfChoices = []row{
	{"everything is paused", func(f *Facts) { f.Standing.Pauses = []topup.Pause{pause(topup.PauseAll, "", nil)} }, topup.Paused, "by ops: maintenance"},
	{"the pause ends now", func(f *Facts) { f.Standing.Pauses = []topup.Pause{pause(topup.PauseAll, "", ago(0))} }, topup.Buy, ""},
	{"the pause ends in a nanosecond", func(f *Facts) { f.Standing.Pauses = []topup.Pause{pause(topup.PauseAll, "", hence(1))} }, topup.Paused, ""},
	{"the customer is paused", func(f *Facts) { f.Standing.Pauses = []topup.Pause{pause(topup.PauseCustomer, "cus_1", nil)} }, topup.Paused, "customer cus_1"},
	{"the rule is paused", func(f *Facts) {
		f.Standing.Pauses = []topup.Pause{pause(topup.PauseRule, "other", nil), pause(topup.PauseRule, "api-credits", nil)}
	}, topup.Paused, "rule api-credits"},
	{"another rule is paused", func(f *Facts) { f.Standing.Pauses = []topup.Pause{pause(topup.PauseRule, "other", nil)} }, topup.Buy, ""},
	{"topupd has stopped the rule", func(f *Facts) { f.Standing.Pauses = []topup.Pause{stopped("api-credits")} }, topup.RuleStopped, "because of price: billed 220"},
	{"topupd has stopped another rule", func(f *Facts) { f.Standing.Pauses = []topup.Pause{stopped("other")} }, topup.Buy, ""},
	{"a person's pause of what topupd has stopped is said first", func(f *Facts) {
		f.Standing.Pauses = []topup.Pause{stopped("api-credits"), pause(topup.PauseCustomer, "cus_1", nil)}
	}, topup.Paused, ""},
	{"a stop is left when the pause is over", func(f *Facts) {
		f.Standing.Pauses = []topup.Pause{pause(topup.PauseAll, "", ago(0)), stopped("api-credits")}
	}, topup.RuleStopped, ""},
	{"a change of the terms made it low, and too many others", func(f *Facts) { f.Standing.Raised = raised(0) }, topup.ChangeHeld, "rose from 20 to 100"},
	{"a change made it low, and some may be bought for", func(f *Facts) { f.Standing.Raised = raised(1) }, topup.Buy, ""},
	{"more were bought for than may be now", func(f *Facts) { f.Standing.Raised = raised(-3) }, topup.ChangeHeld, ""},
	{"a rule where there was none made it low", func(f *Facts) {
		f.Standing.Raised = raised(0)
		f.Standing.Raised.Old = topup.NoTerms
	}, topup.ChangeHeld, "no rule was for it until"},
	{"it has fallen below the old threshold too", func(f *Facts) {
		f.Standing.Raised = raised(0)
		both(f, 20*topup.Credit-1)
	}, topup.Buy, ""},
	{"it is exactly at the old threshold", func(f *Facts) {
		f.Standing.Raised = raised(0)
		both(f, 20*topup.Credit)
	}, topup.ChangeHeld, ""},
	{"it fell below the old threshold while it was read", func(f *Facts) {
		f.Standing.Raised = raised(0)
		f.Confirmation.Reading.Balance = 20*topup.Credit - 1
	}, topup.Buy, ""},
	{"what is held is said before a confirm read", func(f *Facts) { f.Standing.Raised, f.Confirmation = raised(0), nil }, topup.ChangeHeld, ""},
	{"enough is said before paused", func(f *Facts) {
		f.Standing.Pauses = []topup.Pause{pause(topup.PauseAll, "", nil)}
		both(f, 100*topup.Credit)
	}, topup.Enough, ""},
	{"paused is said before native and open", func(f *Facts) {
		f.Standing.Pauses, f.Reading.Native = []topup.Pause{pause(topup.PauseAll, "", nil)}, "auto top-up"
		open(f, topup.Sent)
	}, topup.Paused, ""},
	{"the provider tops up itself", func(f *Facts) { f.Reading.Native = "auto top-up at 50" }, topup.NativeAutoTopup, "auto top-up at 50"},
	{"the provider was told to top up meanwhile", func(f *Facts) { f.Confirmation.Reading.Native = "auto top-up at 50" }, topup.NativeAutoTopup, ""},
	{"beside the provider, when allowed", func(f *Facts) {
		f.Reading.Native, f.Confirmation.Reading.Native, f.AllowNative = "on", "on", true
	}, topup.Buy, ""},
	{"native is said before open", func(f *Facts) { f.Reading.Native = "on"; open(f, topup.Confirmed) }, topup.NativeAutoTopup, ""},
	{"the rule is in dry run", func(f *Facts) { f.Rule.DryRun = true }, topup.DryRun, "would buy 120 credits for 200.00 EUR"},
	{"a cap is said also in dry run", func(f *Facts) {
		f.Rule.DryRun = true
		f.OverCap = &topup.CapError{Cap: topup.Cap{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 10}}
	}, topup.OverCap, ""},
	{"a cap is reached", func(f *Facts) {
		f.OverCap = &topup.CapError{Cap: topup.Cap{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 10}}
	}, topup.OverCap, "customer.day.purchases 10, until 2"},
}

var rowsOfPurchases = []row{
	{"planned is open", func(f *Facts) { open(f, topup.Planned) }, topup.StillOpen, "is planned"},
	{"sent is open", func(f *Facts) { open(f, topup.Sent) }, topup.StillOpen, "is sent"},
	{"confirmed is open until its effect is seen", func(f *Facts) { open(f, topup.Confirmed) }, topup.StillOpen, "is confirmed"},
	{"one that needs review is open", func(f *Facts) { open(f, topup.NeedsReview) }, topup.StillOpen, "needs_review"},
	{"15 minutes without a look after the quiet period", func(f *Facts) { open(f, topup.Sent).LastSentAt = ago(30 * time.Minute) }, topup.StillOpen, ""},
	{"and a nanosecond more", func(f *Facts) { open(f, topup.Sent).LastSentAt = ago(30*time.Minute + 1) }, topup.ProviderUnavailable, "books"},
	{"an open purchase that was not paid", func(f *Facts) {
		p := open(f, topup.Confirmed)
		p.Payment, p.Reference, p.Detail = topup.PaymentFailed, "inv_9", "insufficient_funds"
	}, topup.InvoiceUnpaid, "inv_9 insufficient_funds"},
	{"open is said before quarantined", func(f *Facts) { open(f, topup.Sent); f.Standing.Quarantined = "restored" }, topup.StillOpen, ""},
	{"a provider in quarantine", func(f *Facts) { f.Standing.Quarantined = "the database was restored" }, topup.Quarantined, "restored"},
	{"books that were not read", func(f *Facts) { f.Behind = "HTTP 503" }, topup.ProviderUnavailable, "before it is known what was: HTTP 503"},
	{"a refused token", func(f *Facts) { f.Standing.Stopped = "HTTP 401" }, topup.ProviderUnavailable, "HTTP 401"},
	{"the first hold to its last nanosecond", func(f *Facts) { f.Standing.FirstSeenAt = ago(150*time.Second - 1) }, topup.FirstHold, "first_purchase_after"},
	{"the first hold is over", func(f *Facts) { f.Standing.FirstSeenAt = ago(150 * time.Second) }, topup.Buy, ""},
	{"no first hold is set", func(f *Facts) { f.Standing.FirstSeenAt, f.FirstHold = ago(0), 0 }, topup.Buy, ""},
	{"the cooldown to its last nanosecond", func(f *Facts) { f.Standing.CreditedAt = ago(5*time.Minute - 1) }, topup.CoolingDown, "cooldown 5m0s, until 2"},
	{"the cooldown is over", func(f *Facts) { f.Standing.CreditedAt = ago(5 * time.Minute) }, topup.Buy, ""},
	{"a decline rests as long", func(f *Facts) { f.Standing.EndedAt, f.Standing.EndedState = ago(5*time.Minute-1), topup.Declined }, topup.CoolingDown, "declined at "},
	{"a decline has rested", func(f *Facts) { f.Standing.EndedAt, f.Standing.EndedState = ago(5*time.Minute), topup.Declined }, topup.Buy, ""},
	{"what did not run rests 30 s", func(f *Facts) { f.Standing.EndedAt, f.Standing.EndedState = ago(30*time.Second-1), topup.Cancelled }, topup.CoolingDown, "; the next not before 2"},
	{"and no longer", func(f *Facts) { f.Standing.EndedAt, f.Standing.EndedState = ago(30*time.Second), topup.Cancelled }, topup.Buy, ""},
	{"a shorter cooldown holds for what did not run too", func(f *Facts) {
		f.Rule.Cooldown = 10 * time.Second
		f.Standing.EndedAt, f.Standing.EndedState = ago(10*time.Second), topup.Cancelled
	}, topup.Buy, ""},
	{"backing off to the last nanosecond", func(f *Facts) { f.Standing.Declines, f.Standing.BackoffUntil = 2, hence(1) }, topup.BackingOff, "in a row: 2"},
	{"the back-off ends now", func(f *Facts) { f.Standing.BackoffUntil = ago(0) }, topup.Buy, ""},
	{"turned away, to the last nanosecond", func(f *Facts) { f.Standing.Unused, f.Standing.UnusedUntil = 3, hence(1) }, topup.ProviderUnavailable, "last 3 purchase requests"},
	{"turned away, and rested", func(f *Facts) { f.Standing.Unused, f.Standing.UnusedUntil = 3, ago(0) }, topup.Buy, ""},
	{"turned away too often today", func(f *Facts) { f.Standing.UnusedToday = topup.MostUnused }, topup.ProviderUnavailable, "60 purchase requests away today"},
	{"turned away once less than too often", func(f *Facts) { f.Standing.UnusedToday = topup.MostUnused - 1 }, topup.Buy, ""},
	{"the next one after it was turned away", func(f *Facts) { open(f, topup.Sent); f.Standing.Unused = 2 }, topup.ProviderUnavailable, "is sent, and"},
	{"suspended, however long ago", func(f *Facts) { f.Standing.SuspendedAt, f.Standing.Declines = ago(1000*time.Hour), 4 }, topup.Suspended, "4 declines"},
	{"suspended is said before backing off", func(f *Facts) {
		f.Standing.SuspendedAt, f.Standing.BackoffUntil = ago(time.Hour), hence(time.Hour)
	}, topup.Suspended, ""},
	{"a refusal backs off, and is no decline", func(f *Facts) {
		f.Standing.Refusals, f.Standing.BackoffUntil = 2, hence(1)
		f.Standing.Refusal, f.Standing.RefusalRule, f.Standing.RefusalVersion = `422 "The selected payment method is invalid."`, f.Rule.Name, f.Rule.Version
	}, topup.BackingOff, `no declined payment: 422 "The selected payment method is invalid."; refusals since the last success: 2`},
	{"refusals suspend, and are no declines", func(f *Facts) {
		f.Standing.Refusals, f.Standing.SuspendedAt = 4, ago(time.Hour)
		f.Standing.Refusal, f.Standing.RefusalRule, f.Standing.RefusalVersion = `400 "The price is archived"`, f.Rule.Name, f.Rule.Version
	}, topup.Suspended, `refused 4 requests since the last success, the last with: 400 "The price is archived"`},
	{"what another version was refused is tried anew", func(f *Facts) {
		f.Standing.Refusals, f.Standing.SuspendedAt, f.Standing.BackoffUntil = 4, ago(time.Hour), hence(time.Hour)
		f.Standing.Refusal, f.Standing.RefusalRule, f.Standing.RefusalVersion = "400", f.Rule.Name, "before"
	}, topup.Buy, ""},
	{"what another rule was refused is tried anew", func(f *Facts) {
		f.Standing.Refusals, f.Standing.BackoffUntil = 1, hence(time.Hour)
		f.Standing.Refusal, f.Standing.RefusalRule, f.Standing.RefusalVersion = "400", "another", f.Rule.Version
	}, topup.Buy, ""},
	{"a new version does not forgive a decline", func(f *Facts) {
		f.Standing.Declines, f.Standing.Refusals, f.Standing.BackoffUntil = 1, 1, hence(time.Hour)
	}, topup.BackingOff, "declines in a row: 1"},
	{"another goes first at this price", func(f *Facts) { canary(f, nil, "0193-first", hence(1), ago(time.Minute)) }, topup.ProvingPrice, "93-first goes first at 200.00 EUR for 120 credits"},
	{"for too long", func(f *Facts) { canary(f, nil, "0193-first", hence(1), ago(5*time.Minute+1)) }, topup.PriceUnproven, "not been shown since"},
	{"for five minutes", func(f *Facts) { canary(f, nil, "0193-first", hence(1), ago(5*time.Minute)) }, topup.ProvingPrice, ""},
	{"it shows nothing, and the next one's time has come", func(f *Facts) { canary(f, nil, "0193-first", ago(0), ago(time.Minute)) }, topup.Buy, ""},
	{"the first one was not bought", func(f *Facts) { canary(f, nil, "", nil, ago(time.Minute)) }, topup.Buy, ""},
	{"a bill has shown the price", func(f *Facts) { canary(f, ago(24*time.Hour-1), "", nil, nil) }, topup.Buy, ""},
	{"another goes first at another price", func(f *Facts) {
		canary(f, nil, "0193-first", hence(1), ago(time.Minute))
		f.Standing.Canaries[0].Price.Minor++
	}, topup.Buy, ""},
	{"somebody helped a moment ago", func(f *Facts) { f.Standing.ExternalAt = ago(5*time.Minute - 1) }, topup.ExternalTopup, "somebody else"},
	{"somebody helped a cooldown ago", func(f *Facts) { f.Standing.ExternalAt = ago(5 * time.Minute) }, topup.Buy, ""},
	{"the provider is topping up right now", func(f *Facts) { f.Confirmation.NativeProblem = "a top-up is processing" }, topup.ExternalTopup, "processing"},
}

var rowsOfPaying = []row{
	{"an archived customer", func(f *Facts) { f.Reading.Account.Inactive = "archived" }, topup.CustomerInactive, "archived"},
	{"a customer archived meanwhile", func(f *Facts) { f.Confirmation.Reading.Account.Inactive = "archived" }, topup.CustomerInactive, ""},
	{"no payment method", func(f *Facts) { f.Reading.Account.PaymentMethod = topup.PaymentMissing }, topup.NoPaymentMethod, "no payment method"},
	{"a broken payment method", func(f *Facts) { f.Reading.Account.PaymentMethod = topup.PaymentErrored }, topup.NoPaymentMethod, "in error"},
	{"an unknown payment method is tried", func(f *Facts) { f.Reading.Account.PaymentMethod = topup.PaymentUnknown }, topup.Buy, ""},
	{"another currency", func(f *Facts) { f.Reading.Account.Currency = "USD" }, topup.CurrencyMismatch, "billed in USD, the rule buys in EUR"},
	{"an unknown currency is the confirm read's business", func(f *Facts) { f.Reading.Account.Currency = "" }, topup.Buy, ""},
	{"and it has something against it", func(f *Facts) { f.Confirmation.CurrencyProblem = "the price is in USD" }, topup.CurrencyMismatch, ""},
	{"another price", func(f *Facts) { f.Confirmation.PriceProblem = "pri_small costs 210.00 EUR" }, topup.PriceMismatch, "210.00"},
	{"another environment", func(f *Facts) { f.Confirmation.EnvironmentProblem = "the token speaks for env-2" }, topup.EnvironmentChanged, "env-2"},
	{"the last purchase was refunded", func(f *Facts) { refund(f) }, topup.Refunded, "invoice inv_1"},
	{"a refund that holds", func(f *Facts) { f.Standing.Refunded = "inv_1 was refunded" }, topup.Refunded, "inv_1 was refunded"},
	{"an earlier purchase was refunded", func(f *Facts) { refund(f); f.Standing.LastStood = "inv_2" }, topup.Buy, ""},
	{"somebody else's was refunded", func(f *Facts) { refund(f); f.Standing.LastStood = "" }, topup.Buy, ""},
	{"a refund that a person has released", func(f *Facts) { refund(f); f.Standing.Released = []string{"inv_0", "inv_1"} }, topup.Buy, ""},
	{"a later bill stands", func(f *Facts) {
		refund(f)
		f.Confirmation.Invoices = append(f.Confirmation.Invoices, topup.Invoice{ID: "inv_2", Products: []topup.ProductID{"itm_1"}, Payment: topup.PaymentPaid, At: *ago(time.Hour)})
	}, topup.Buy, ""},
	{"a later bill was refunded too", func(f *Facts) {
		refund(f)
		f.Confirmation.Invoices = append(f.Confirmation.Invoices, topup.Invoice{ID: "inv_2", Products: []topup.ProductID{"itm_1"}, Payment: topup.PaymentPaid, At: *ago(time.Hour), RefundedAt: *ago(0)})
	}, topup.Refunded, ""},
	{"a later bill is for something else", func(f *Facts) {
		refund(f)
		f.Confirmation.Invoices = append(f.Confirmation.Invoices, topup.Invoice{ID: "inv_2", Products: []topup.ProductID{"itm_2"}, Payment: topup.PaymentPaid, At: *ago(time.Hour)})
	}, topup.Refunded, ""},
	{"a failed invoice", func(f *Facts) { invoices(f, topup.PaymentFailed) }, topup.InvoiceUnpaid, "insufficient_funds"},
	{"an invoice that cannot be read", func(f *Facts) {
		invoices(f, topup.PaymentPaid)
		f.Confirmation.Invoices[0].Unreadable = "invoice inv_0: the currency is none"
		f.Rule.Unpaid.Card = 5
	}, topup.InvoiceUnpaid, "cannot be read, so nobody knows that it is paid for: invoice inv_0: the currency is none"},
	{"a failed invoice among paid ones", func(f *Facts) { invoices(f, topup.PaymentPaid, topup.PaymentVoid, topup.PaymentFailed) }, topup.InvoiceUnpaid, ""},
	{"paid and void invoices", func(f *Facts) { invoices(f, topup.PaymentPaid, topup.PaymentVoid, topup.PaymentNone) }, topup.Buy, ""},
	{"one pending invoice by card", func(f *Facts) { invoices(f, topup.PaymentPending) }, topup.InvoiceUnpaid, "1 credit invoices are pending, 0 may be"},
	{"two pending invoices by transfer", func(f *Facts) {
		f.Confirmation.Reading.Account.PaymentMethod = topup.PaymentOther
		invoices(f, topup.PaymentPending, topup.PaymentPending)
	}, topup.Buy, ""},
	{"three pending invoices by transfer", func(f *Facts) {
		f.Confirmation.Reading.Account.PaymentMethod = topup.PaymentOther
		invoices(f, topup.PaymentPending, topup.PaymentPending, topup.PaymentPending)
	}, topup.InvoiceUnpaid, ""},
	{"pending by agreement is not counted", func(f *Facts) { invoices(f, topup.PaymentPending); f.Confirmation.Invoices[0].Uncounted = true }, topup.Buy, ""},
	{"a failed invoice for something else than credits", func(f *Facts) { invoices(f, topup.PaymentFailed); f.Confirmation.Invoices[0].Credit = false }, topup.Buy, ""},
}

func TestDecide(t *testing.T) {
	t.Parallel()
	covered := map[topup.Reason]bool{}
	for _, rows := range [][]row{rowsOfKnowing, rowsOfReadings, rowsOfChoices, rowsOfPurchases, rowsOfPaying} {
		for _, tt := range rows {
			covered[tt.want] = true
			t.Run(tt.name, func(t *testing.T) {
				f := low()
				tt.spoil(&f)
				got := Decide(f)
				if got.Reason != tt.want || !strings.Contains(got.Text, tt.text) {
					t.Errorf("Decide() = %q (%s), want %q with %q", got.Reason, got.Text, tt.want, tt.text)
				}
				if got.Text == "" {
					t.Error("a decision without words explains nothing")
				}
			})
		}
	}
	for _, r := range topup.Reasons() {
		if !covered[r] {
			t.Errorf("no row ends in %q", r)
		}
	}
}

func TestTheOrderIsTheRulesOrder(t *testing.T) {
	t.Parallel()
	f := low()
	f.Rule.Buy.PaymentMethodID = "pm_1"
	tomorrow := noon.Add(24 * time.Hour)
	want := topup.Order{
		Target: f.Reading.Target, Credits: 600 * topup.Credit, Price: euros(900), PriceID: "pri_large",
		PaymentMethodID: "pm_1", ExpiresAt: &tomorrow, Native: true,
	}
	f.AllowNative = true
	f.Confirmation.Reading.Balance = 79 * topup.Credit // 121 credits are missing: the small pack has 120
	if diff := cmp.Diff(want, Decide(f).Order); diff != "" {
		t.Errorf("the confirm read's balance chooses the pack (-want +got):\n%s", diff)
	}
	f.Confirmation = nil
	if got := Decide(f).Order; got.PriceID != "pri_small" {
		t.Errorf("without one the first reading's: %+v", got) // 101 are missing
	}
}

// repeating is low, asked again about a purchase that was sent and left no trace.
func repeating() Facts {
	f := low()
	p := open(&f, topup.Sent)
	p.ReadAt = noon.Add(-20 * time.Minute)
	f.Repeating, f.FirstLow = p, &p.ReadAt
	f.Reading = &f.Confirmation.Reading
	return f
}

func TestDecideAboutARepeat(t *testing.T) {
	t.Parallel()
	for _, tt := range []row{
		{"still low buys what was sent, not what the rule says now", func(f *Facts) { f.Rule.Buy.Bundles = f.Rule.Buy.Bundles[:1] }, topup.Buy, "600 credits for 900.00 EUR"},
		{"somebody else filled the balance", func(f *Facts) { f.Reading.Balance = 100 * topup.Credit }, topup.Enough, ""},
		{"another purchase is open", func(f *Facts) { other := *f.Repeating; other.ID = "other"; f.Standing.Open = &other }, topup.StillOpen, ""},
		{"long without a look is no reason: it was just looked", func(f *Facts) { f.Repeating.LastSentAt = ago(3 * time.Hour) }, topup.Buy, ""},
		{"paused meanwhile", func(f *Facts) { f.Standing.Pauses = []topup.Pause{pause(topup.PauseAll, "", nil)} }, topup.Paused, ""},
		{"the token is refused", func(f *Facts) { f.Standing.Stopped = "HTTP 403" }, topup.ProviderUnavailable, ""},
		{"native top-up was switched on", func(f *Facts) { f.Reading.Native = "on" }, topup.NativeAutoTopup, ""},
		{"an earlier invoice failed", func(f *Facts) { invoices(f, topup.PaymentFailed) }, topup.InvoiceUnpaid, ""},
		{"an earlier decline was counted meanwhile", func(f *Facts) { f.Standing.Declines, f.Standing.BackoffUntil = 1, hence(time.Hour) }, topup.BackingOff, ""},
		{"suspended meanwhile", func(f *Facts) { f.Standing.SuspendedAt = ago(time.Minute) }, topup.Suspended, ""},
		{"somebody just helped", func(f *Facts) { f.Standing.ExternalAt = ago(time.Minute) }, topup.ExternalTopup, ""},
		{"the price has changed", func(f *Facts) { f.Confirmation.PriceProblem = "pri_large is gone" }, topup.PriceMismatch, ""},
		{"another goes first at this price, which a repeat is not", func(f *Facts) { canary(f, nil, "0193-first", hence(time.Minute), ago(0)) }, topup.Buy, ""},
		{"the frozen rule was in no dry run, whatever it says", func(f *Facts) { f.Rule.DryRun = true }, topup.Buy, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := repeating()
			tt.spoil(&f)
			if got := Decide(f); got.Reason != tt.want || !strings.Contains(got.Text, tt.text) {
				t.Errorf("Decide() = %q (%s), want %q with %q", got.Reason, got.Text, tt.want, tt.text)
			}
		})
	}
}

// canary is what the ledger knows about the price of the facts' rule.
func canary(f *Facts, passed *time.Time, purchase string, next, since *time.Time) {
	o := f.Rule.Choose(f.Reading.Balance, 100*topup.Credit)
	f.Standing.Canaries = []topup.Canary{{
		Rule: f.Rule.Name, PriceID: o.PriceID, Price: o.Price, Credits: o.Credits,
		PassedAt: passed, Purchase: purchase, NextAt: next, Since: since,
	}}
}

// refund lets the last purchase of the facts have been paid back.
func refund(f *Facts) {
	f.Standing.LastStood = "inv_1"
	f.Confirmation.Invoices = []topup.Invoice{{
		ID: "inv_1", Products: []topup.ProductID{"itm_1"}, Payment: topup.PaymentPaid, At: *ago(72 * time.Hour), RefundedAt: *ago(2 * time.Hour),
	}}
}
