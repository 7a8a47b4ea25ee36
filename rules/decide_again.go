package rules

import (
	"slices"
	"time"

	"topupd/topup"
)

// confirmed: a second low reading was taken confirm_after the first (P5).
func confirmed(f *Facts, d *Decision) bool {
	c := f.Confirmation
	switch {
	case c == nil:
		return d.say(topup.Rechecking, "low; reading again %s after the first time", f.Rule.ConfirmAfter)
	case f.FirstLow == nil || c.Reading.ReadAt.Sub(*f.FirstLow) < f.Rule.ConfirmAfter:
		return d.say(topup.Rechecking, "the second low reading came sooner than %s after the first", f.Rule.ConfirmAfter)
	default:
		return false
	}
}

// stillTrue: the confirm read agrees with everything above, and with the
// configuration (P5, P8, P10).
func stillTrue(f *Facts, d *Decision) bool {
	c := f.Confirmation
	switch {
	case !c.ServerTime.IsZero() && c.ServerTime.Sub(f.Standing.Now).Abs() > MaxSkew:
		return d.say(topup.ProviderUnavailable, "the clocks of the provider (%s) and the database (%s) differ by more than %s, so a purchase could not be found again: set the database's clock",
			clock(c.ServerTime), clock(f.Standing.Now), MaxSkew)
	case c.EnvironmentProblem != "":
		return d.say(topup.EnvironmentChanged, "%s", c.EnvironmentProblem)
	case c.Reading.Bad != "":
		return d.say(topup.BadReading, "the balance cannot be used: %s", c.Reading.Bad)
	case c.Reading.Native != "" && !f.AllowNative:
		return d.say(topup.NativeAutoTopup, "the provider tops this customer up itself: %s", c.Reading.Native)
	case c.NativeProblem != "":
		return d.say(topup.ExternalTopup, "%s", c.NativeProblem)
	case c.CurrencyProblem != "":
		return d.say(topup.CurrencyMismatch, "%s", c.CurrencyProblem)
	case c.PriceProblem != "":
		return d.say(topup.PriceMismatch, "%s", c.PriceProblem)
	case c.Reading.Balance >= *d.Threshold:
		return d.say(topup.Enough, "read again: balance %s is not below %s", c.Reading.Balance, *d.Threshold)
	default:
		return stale(f, &c.Reading, d)
	}
}

// billsPaid: the customer owes nothing for credits of any kind beyond what the
// rule tolerates, whoever ordered them (P9).
func billsPaid(f *Facts, d *Decision) bool {
	pending, allowed := 0, f.Rule.Unpaid.Allowed(f.paymentMethod())
	for _, i := range f.Confirmation.Invoices {
		switch {
		case !i.Credit:
		case i.Unreadable != "":
			return d.say(topup.InvoiceUnpaid, "invoice %s is %q at the provider and cannot be read, so nobody knows that it is paid for: %s", i.ID, i.Status, i.Unreadable)
		case i.Payment == topup.PaymentFailed:
			return d.say(topup.InvoiceUnpaid, "invoice %s of %s is %s: %s", i.ID, i.Amount, i.Status, i.Detail)
		case i.Payment == topup.PaymentPending && !i.Uncounted:
			pending++
		}
	}
	if pending > allowed {
		return d.say(topup.InvoiceUnpaid, "%d credit invoices are pending, %d may be", pending, allowed)
	}
	return false
}

// notRefunded: the newest purchase that stands was not paid back as a whole. Its
// credits are gone, or the customer would not be low, and whoever refunded it may
// not want it bought again. A later bill that stands says that they do.
func notRefunded(f *Facts, d *Decision) bool {
	for _, i := range f.Confirmation.Invoices {
		if i.RefundedAt.IsZero() || i.ID != f.Standing.LastStood || slices.Contains(f.Standing.Released, i.ID) {
			continue
		}
		later := func(other topup.Invoice) bool {
			return other.ID != i.ID && other.At.After(i.At) && other.Stands() && other.Concerns(d.Order.Target.Product)
		}
		if slices.ContainsFunc(f.Confirmation.Invoices, later) {
			return false
		}
		d.Refund = i.ID
		return d.say(topup.Refunded, "invoice %s of %s, the last purchase, was refunded at %s, and the customer is low again: topupd resume --customer says that it may be bought again", i.ID, i.Amount, clock(i.RefundedAt))
	}
	return false
}

// creditsCame: whatever the books billed and no purchase explains has been
// credited. It may be a purchase of ours that a lost database made (P18); our own
// would block until its credits are seen, so this one does.
func creditsCame(f *Facts, d *Decision) bool {
	for _, i := range f.Confirmation.Invoices {
		if i.Stands() && slices.Contains(f.Standing.ExternalBills, i.ID) && !f.Confirmation.Credited(i) {
			return d.say(topup.ExternalTopup, "invoice %s of %s (%s) is of no purchase that the ledger knows, and its credits have not come: it may be one that a lost database made; have it paid, or void it at the provider",
				i.ID, i.Amount, i.Status)
		}
	}
	return false
}

// withinCaps: planning would not be refused, and the mode is active (P6).
func withinCaps(f *Facts, d *Decision) bool {
	switch {
	case f.OverCap != nil:
		return d.say(topup.OverCap, "%s, %s", f.OverCap, f.OverCap.Until(f.Standing.Now))
	case f.Rule.DryRun && f.Repeating == nil:
		return d.say(topup.DryRun, "dry run: would buy %s credits for %s excluding tax", d.Order.Credits, d.Order.Price)
	default:
		return false
	}
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
