package rules

import (
	"fmt"
	"time"

	"topupd/topup"
)

// Facts is everything a decision is made on. Nothing else is looked at, so the
// same facts always give the same decision: in the daemon, in plan, in explain
// and in a replay.
type Facts struct {
	Now      time.Time // our clock; readings age by it
	Rule     *Rule     // nil when no rule matched
	Excluded bool      // a rule would have matched but for exclude_ids

	Reading  *topup.Reading // nil when the provider did not show the target
	Standing topup.Standing // the ledger's facts; its Now ages everything stored

	FirstLow     *time.Time          // when the first low reading was read; nil = none before this one
	ZeroSince    *time.Time          // since when every reading shows zero; nil = not known
	Confirmation *topup.Confirmation // the confirm read; nil = not done yet

	AllowNative bool            // native_auto_topup: allow
	FirstHold   time.Duration   // first_purchase_after of the provider
	OverCap     *topup.CapError // what planning would refuse now; nil = nothing
	Unreadable  string          // why the provider cannot be read; "" = it can
	Behind      string          // why purchases at the provider may be unknown to the ledger; "" = none is
	Repeating   *topup.Purchase // deciding again for this sent purchase
}

// Decision is the answer for one target now.
type Decision struct {
	Reason    topup.Reason
	Text      string // in words, for a person
	Threshold *topup.Credits
	Order     topup.Order // what would be bought; meaningful from Confirming on
	Refund    string      // the refunded invoice that was found just now; "" = none
	Unproven  bool        // bought for on a zero of an account that only one stamp shows
}

// CancelledCooldown is the rest after a purchase that certainly did not run.
// The full cooldown is for credits on their way; here none are, and the
// customer still needs them.
const CancelledCooldown = 30 * time.Second

// MaxSkew bounds how far the clocks of the provider and the database may be
// apart, inclusive. Purchases are recognised by time, up to topup.MatchBefore
// before they were sent: half of it leaves room for the reads in between.
const MaxSkew = topup.MatchBefore / 2

// Decide says what to do about one target, with one reason of the closed list.
// It is pure. It buys only when every check passes; each check is one line of
// the tables below, in the order in which a person would want to hear of it.
func Decide(f Facts) Decision {
	d := Decision{}
	for _, check := range []func(*Facts, *Decision) bool{
		known, readable, belowThreshold,
		switchedOn, notOpen, notHeld, notChanged, payable, rested, priceShown,
		proven, confirmed, stillTrue, billsPaid, notRefunded, creditsCame, withinCaps,
	} {
		if check(&f, &d) {
			return d
		}
	}
	d.Reason, d.Text = topup.Buy, fmt.Sprintf("buying %s credits for %s excluding tax", d.Order.Credits, d.Order.Price)
	return d
}

// say ends the decision.
func (d *Decision) say(reason topup.Reason, format string, args ...any) bool {
	d.Reason, d.Text = reason, fmt.Sprintf(format, args...)
	return true
}

// known: a rule matches and the provider shows the target.
func known(f *Facts, d *Decision) bool {
	switch {
	case f.Rule == nil && f.Excluded:
		return d.say(topup.Excluded, "excluded by the rules (exclude_ids)")
	case f.Rule == nil:
		return d.say(topup.NoRule, "no rule matches")
	case f.Unreadable != "":
		return d.say(topup.ProviderUnavailable, "the provider cannot be read: %s", f.Unreadable)
	case f.Reading == nil:
		return d.say(topup.NotSeen, "the provider does not show this customer's credits any more")
	default:
		return false
	}
}

// readable: the balance is a number, fresh, newer than everything known, and
// there is a threshold to hold it against (P5, P13).
func readable(f *Facts, d *Decision) bool {
	r := f.Reading
	d.Threshold = threshold(f)
	switch {
	case r.Bad != "":
		return d.say(topup.BadReading, "the balance cannot be used: %s", r.Bad)
	case f.Standing.Implausible != "":
		return d.say(topup.Implausible, "held for a person: %s; it shows %s now", f.Standing.Implausible, r.Balance)
	case d.Threshold == nil:
		return d.say(topup.NoThreshold, "neither the customer nor the product has a threshold, and the rule has no default_threshold")
	default:
		return stale(f, r, d)
	}
}

func stale(f *Facts, r *topup.Reading, d *Decision) bool {
	if age := f.Now.Sub(r.ReadAt); age > f.Rule.MaxReadingAge {
		return d.say(topup.StaleReading, "the balance was read %s ago, longer than max_reading_age %s", age.Round(time.Second), f.Rule.MaxReadingAge)
	}
	newest := f.Standing.NewestRowAt
	if newest != nil && r.Balance < *d.Threshold && r.RefreshedAt.Before(*newest) {
		return d.say(topup.StaleReading, "the provider refreshed the balance at %s, before the newest known credit addition at %s",
			clock(r.RefreshedAt), clock(*newest))
	}
	return false
}

// newest is the confirm read's reading once there is one.
func (f *Facts) newest() *topup.Reading {
	if f.Confirmation != nil {
		return &f.Confirmation.Reading
	}
	return f.Reading
}

func threshold(f *Facts) *topup.Credits { return f.Rule.ThresholdOf(f.newest()) }

// belowThreshold: strictly below; exactly at the threshold is enough.
func belowThreshold(f *Facts, d *Decision) bool {
	if f.Reading.Balance >= *d.Threshold {
		return d.say(topup.Enough, "balance %s is not below %s", f.Reading.Balance, *d.Threshold)
	}
	return false
}

// switchedOn: nobody chose that nothing be bought, and topupd has not stopped the
// rule itself (P12).
func switchedOn(f *Facts, d *Decision) bool {
	pauses := f.Standing.Pauses
	for _, r := range f.Standing.RefusedRules {
		if f.Repeating == nil && r.LetsThrough(f.Rule.Name, f.Rule.Version, f.Standing.RefusalRule, f.Standing.Now) {
			pauses = topup.Without(pauses, f.Rule.Name, topup.StopRefused)
		}
	}
	switch p := topup.Covering(pauses, f.Reading.Target, f.Rule.Name, f.Standing.Now); {
	case p == nil:
	case p.Own():
		return d.say(topup.RuleStopped, "%s", p)
	default:
		return d.say(topup.Paused, "%s", p)
	}
	if f.Reading.Native != "" && !f.AllowNative {
		return d.say(topup.NativeAutoTopup, "the provider tops this customer up itself: %s", f.Reading.Native)
	}
	return false
}

// notOpen: no purchase of the target is open (P1).
func notOpen(f *Facts, d *Decision) bool {
	open := f.Standing.Open
	if open == nil || (f.Repeating != nil && f.Repeating.ID == open.ID) {
		return false
	}
	switch {
	case open.Unavailable(f.Standing.Now):
		return d.say(topup.ProviderUnavailable, "purchase %s is sent, and the provider's books could not be read since its quiet period ended", open.Short())
	case open.Refused && open.State == topup.Sent && f.suspended():
		return d.suspended(f.Standing) // the quiet period of a refusal must not hide it
	case open.Refused && open.State == topup.Sent && f.backingOff():
		return d.backingOff(f.Standing)
	case open.State == topup.Sent && f.Standing.Unused > 0: // one more of them, most likely: that one is out must not hide it
		return d.say(topup.ProviderUnavailable, "purchase %s is sent, and the provider turned the last %d requests away before they ran", open.Short(), f.Standing.Unused)
	case open.State == topup.Confirmed && open.Payment == topup.PaymentFailed:
		return d.say(topup.InvoiceUnpaid, "purchase %s was not paid: invoice %s %s", open.Short(), open.Reference, open.Detail)
	default:
		return d.say(topup.StillOpen, "purchase %s is %s", open.Short(), open.State)
	}
}

// notHeld: the provider is open for purchases.
func notHeld(f *Facts, d *Decision) bool {
	s := f.Standing
	switch {
	case s.Quarantined != "":
		return d.say(topup.Quarantined, "%s", s.Quarantined)
	case s.Refunded != "":
		return d.say(topup.Refunded, "%s", s.Refunded)
	case s.Stopped != "":
		return d.say(topup.ProviderUnavailable, "the provider refused the token: %s", s.Stopped)
	case f.Behind != "":
		return d.say(topup.ProviderUnavailable, "nothing is bought before it is known what was: %s", f.Behind)
	case f.FirstHold > 0 && s.FirstSeenAt != nil && s.Now.Before(s.FirstSeenAt.Add(f.FirstHold)):
		return d.say(topup.FirstHold, "first purchase at this provider not before %s (first_purchase_after)", clock(s.FirstSeenAt.Add(f.FirstHold)))
	default:
		return false
	}
}

// notChanged: the target is low by usage, or too few are low only because their
// terms have changed for a person to be asked first (P14). A repeat was counted
// when it was planned.
func notChanged(f *Facts, d *Decision) bool {
	if c := f.Standing.Raised; f.Repeating == nil && c.Holds(f.newest().Balance) {
		return d.say(topup.ChangeHeld, "%s, and as many as a change may make low were bought for: topupd resume --rule %s if it is meant so", c, f.Rule.Name)
	}
	return false
}

// payable: the customer can be charged at all, by both readings.
func payable(f *Facts, d *Decision) bool {
	d.Order = f.order(*d.Threshold)
	if at := d.Order.ExpiresAt; at != nil && !at.After(f.Now) {
		return d.say(topup.PriceMismatch, "credits bought now would have expired at %s: change expires in the rule", clock(*at))
	}
	if f.unpayable(f.Reading.Account, d) {
		return true
	}
	return f.Confirmation != nil && f.unpayable(f.Confirmation.Reading.Account, d)
}

func (f *Facts) unpayable(a topup.Account, d *Decision) bool {
	switch {
	case a.Inactive != "":
		return d.say(topup.CustomerInactive, "%s", a.Inactive)
	case a.PaymentMethod == topup.PaymentMissing:
		return d.say(topup.NoPaymentMethod, "the customer has no payment method")
	case a.PaymentMethod == topup.PaymentErrored:
		return d.say(topup.NoPaymentMethod, "the customer's payment method is in error")
	case a.Currency != "" && a.Currency != d.Order.Price.Currency:
		return d.say(topup.CurrencyMismatch, "the customer is billed in %s, the rule buys in %s", a.Currency, d.Order.Price.Currency)
	default:
		return false
	}
}

// paymentMethod is the newest that is known.
func (f *Facts) paymentMethod() topup.PaymentMethod {
	if m := f.newest().Account.PaymentMethod; m != topup.PaymentUnknown {
		return m
	}
	return f.Reading.Account.PaymentMethod
}

// order is what the rule would buy now; a repeat buys what it bought.
func (f *Facts) order(threshold topup.Credits) topup.Order {
	if p := f.Repeating; p != nil {
		return topup.Order{
			Target: p.Target, Credits: p.Credits, Price: p.Price, PriceID: p.PriceID,
			PaymentMethodID: p.PaymentMethodID, ExpiresAt: p.ExpiresAt, Native: f.AllowNative,
		}
	}
	bundle := f.Rule.Choose(f.newest().Balance, threshold)
	return topup.Order{
		Target: f.Reading.Target, Credits: bundle.Credits, Price: bundle.Price, PriceID: bundle.PriceID,
		PaymentMethodID: f.Rule.Buy.PaymentMethodID, ExpiresAt: f.Rule.Expires.When(f.Now), Native: f.AllowNative,
	}
}

// rested: declines and earlier purchases have had their time (P7). A repeat is
// asked too: its own decline and cooldown cannot be stored yet, but the payment
// of an earlier purchase may have failed since, or somebody may have helped.
func rested(f *Facts, d *Decision) bool {
	s := f.Standing
	switch {
	case f.suspended():
		return d.suspended(s)
	case f.backingOff():
		return d.backingOff(s)
	case s.UnusedToday >= topup.MostUnused:
		return d.say(topup.ProviderUnavailable, "the provider turned %d purchase requests away today before they ran: no more before midnight UTC, or until a person resumes the customer", s.UnusedToday)
	case s.UnusedUntil != nil && s.Now.Before(*s.UnusedUntil):
		return d.say(topup.ProviderUnavailable, "the provider turned the last %d purchase requests away before they ran; next one at %s", s.Unused, clock(*s.UnusedUntil))
	case s.ExternalAt != nil && s.Now.Before(s.ExternalAt.Add(f.Rule.Cooldown)):
		return d.say(topup.ExternalTopup, "somebody else added credits at %s; waiting %s for the balance to show them", clock(*s.ExternalAt), f.Rule.Cooldown)
	case s.CreditedAt != nil && s.Now.Before(s.CreditedAt.Add(f.Rule.Cooldown)):
		return d.say(topup.CoolingDown, "the last purchase was credited at %s; cooldown %s, until %s", clock(*s.CreditedAt), f.Rule.Cooldown, clock(s.CreditedAt.Add(f.Rule.Cooldown)))
	case s.EndedAt != nil && s.Now.Before(s.EndedAt.Add(restAfter(s.EndedState, f.Rule.Cooldown))):
		return d.say(topup.CoolingDown, "the last purchase was %s at %s; the next not before %s", s.EndedState, clock(*s.EndedAt), clock(s.EndedAt.Add(restAfter(s.EndedState, f.Rule.Cooldown))))
	default:
		return false
	}
}

func (f *Facts) suspended() bool { return f.Standing.SuspendedAt != nil && !f.otherTerms() }

func (f *Facts) backingOff() bool {
	until := f.Standing.BackoffUntil
	return until != nil && f.Standing.Now.Before(*until) && !f.otherTerms()
}

// otherTerms: the last failure was a refusal of what another rule, or another
// version of this one, had asked for. What is asked for now may be right.
func (f *Facts) otherTerms() bool {
	s := f.Standing
	return s.Refusal != "" && (f.Rule.Name != s.RefusalRule || f.Rule.Version != s.RefusalVersion)
}

func (d *Decision) backingOff(s topup.Standing) bool {
	if s.Refusal != "" {
		return d.say(topup.BackingOff, "the provider refused the request, which is no declined payment: %s; refusals since the last success: %d; next try at %s",
			s.Refusal, s.Refusals, clock(*s.BackoffUntil))
	}
	return d.say(topup.BackingOff, "declines in a row: %d; next try at %s", s.Declines, clock(*s.BackoffUntil))
}

func (d *Decision) suspended(s topup.Standing) bool {
	if s.Refusal != "" {
		return d.say(topup.Suspended, "suspended after the provider refused %d requests since the last success, the last with: %s; until the rule changes, the payment method changes, an invoice is paid or a person resumes",
			s.Refusals, s.Refusal)
	}
	return d.say(topup.Suspended, "suspended after %d declines in a row, until the payment method changes, an invoice is paid or a person resumes", s.Declines)
}

func restAfter(state topup.State, cooldown time.Duration) time.Duration {
	if state == topup.Cancelled {
		return min(cooldown, CancelledCooldown)
	}
	return cooldown
}

// priceShown: the price is known to be what is billed, or nobody is finding that out
// right now (P10). A repeat is no new purchase.
func priceShown(f *Facts, d *Decision) bool {
	if f.Repeating != nil {
		return false
	}
	for _, c := range f.Standing.Canaries {
		if !c.Of(f.Rule.Name, d.Order) || !c.Waits(f.Standing.Now) {
			continue
		}
		if c.Trouble(f.Standing.Now) {
			return d.say(topup.PriceUnproven, "%s", c)
		}
		return d.say(topup.ProvingPrice, "%s", c)
	}
	return false
}
