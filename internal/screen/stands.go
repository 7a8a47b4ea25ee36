package screen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/topup"
)

// StandsOf says in one sentence where the purchase stands.
func StandsOf(p topup.Purchase, clock func(time.Time) string) string {
	switch p.State {
	case topup.Planned:
		return "Decided and written down; nothing was sent yet."
	case topup.Held:
		return "Waits for approval; nothing was sent yet."
	case topup.Sent:
		return sentStands(p, clock)
	case topup.Confirmed:
		return confirmedStands(p)
	case topup.NeedsReview:
		return "Nobody can say whether this was charged. " + reviewWhy(p)
	case topup.Credited:
		if p.ResolvedBy != "" {
			return fmt.Sprintf("Bought, says %s. Payment: %s.", Printable(p.ResolvedBy), p.Payment)
		}
		return fmt.Sprintf("Bought, and the credits were seen. Payment: %s.", p.Payment)
	case topup.Declined:
		if p.ResolvedBy != "" {
			return strings.TrimSpace(fmt.Sprintf("Not charged, says %s. %s", Printable(p.ResolvedBy), reasonOf(p)))
		}
		return "Not bought; nothing was or will be collected. " + reasonOf(p)
	case topup.Cancelled:
		return "Certainly never executed; nothing was charged. " + reasonOf(p)
	default:
		return fmt.Sprintf("In state %q, which this topupd does not know: a newer one wrote it.", p.State)
	}
}

func sentStands(p topup.Purchase, clock func(time.Time) string) string {
	quiet := clock(p.QuietUntil())
	switch {
	case p.Found != "":
		return fmt.Sprintf("The outcome is not known yet; %s.", Printable(p.Found))
	case p.Refused:
		return fmt.Sprintf("The provider refused it. It ends as declined after %s if the books stay empty. %s", quiet, reasonOf(p))
	case !traits(p).HasRecords:
		return fmt.Sprintf("The outcome is not known yet: %s has no list of purchases, so topupd watches the balance for it until %s.", traits(p).Title, quiet)
	default:
		return fmt.Sprintf("The outcome is not known yet: topupd looks in the provider's books; their silence counts from %s.", quiet)
	}
}

func confirmedStands(p topup.Purchase) string {
	if p.Payment == topup.PaymentFailed {
		return "Bought, but the invoice was not paid. " + reasonOf(p)
	}
	return "Bought; waiting until a reading of the balance shows it."
}

func reviewWhy(p topup.Purchase) string {
	switch {
	case traits(p).HasRecords:
		return reasonOf(p)
	case p.Found != "":
		return fmt.Sprintf("%s has no list of purchases to ask; topupd %s.", traits(p).Title, Printable(p.Found))
	default:
		return traits(p).Title + " has no list of purchases to ask, and the balance did not tell."
	}
}

func reasonOf(p topup.Purchase) string {
	if p.Reason == topup.FailedNone {
		return ""
	}
	if p.Detail == "" {
		return fmt.Sprintf("Reason: %s.", p.Reason)
	}
	return fmt.Sprintf("Reason: %s (%s).", p.Reason, Printable(p.Detail))
}

// traits are those of the provider of a purchase.
func traits(p topup.Purchase) topup.Traits { return p.Target.Provider.Type().Traits() }

// effectWithin is how long a confirmed purchase may wait for its effect before
// a person should look.
const effectWithin = time.Hour

// cameLater is the newest look or answer that came when the purchase had already
// ended as not bought, which may deny that; "" when there is none.
func cameLater(p topup.Purchase, evidence []topup.Evidence) string {
	if p.State != topup.Declined && p.State != topup.Cancelled || p.FinishedAt == nil {
		return ""
	}
	for _, e := range slices.Backward(evidence) {
		if e.At.After(*p.FinishedAt) && (e.Kind == topup.EvidenceLook || e.Kind == topup.EvidenceAnswer) {
			return e.Text
		}
	}
	return ""
}

// laterStep is what to do about what cameLater found.
func laterStep(p topup.Purchase) string {
	return fmt.Sprintf("  compare it with the provider's invoices; refund or void what was charged too often, then\n"+
		"  topupd resume --provider %s --reason \"…\"\n", Printable(p.ProviderName))
}

// NextStep is what a person has to do; "" when nothing.
func NextStep(p topup.Purchase, now time.Time) string {
	switch {
	case p.State == topup.NeedsReview:
		return reviewStep(p)
	case p.State == topup.Confirmed && p.Payment == topup.PaymentFailed:
		return "  ask the customer for another card, or void the invoice at the provider; topupd sees either by itself\n"
	case p.State == topup.Confirmed && p.ConfirmedAt != nil && now.Sub(*p.ConfirmedAt) > effectWithin:
		return fmt.Sprintf("  bought %s ago, and no reading shows it: look at the provider. If the credits are there:\n"+
			"  topupd purchases resolve %s charged --note \"…\"\n", Long(now.Sub(*p.ConfirmedAt)), p.Short())
	case p.Charged != nil && !p.State.Open():
		return fmt.Sprintf("  the invoice differs from the rule's price: correct the rule, then topupd resume --rule %s --reason \"…\"\n", p.Rule)
	default:
		return ""
	}
}

func reviewStep(p topup.Purchase) string {
	of := traits(p)
	option := func(flag string, wanted bool) string {
		if !wanted || of.Reference == "" {
			return ""
		}
		return fmt.Sprintf(" [--%s %s]", flag, of.Reference)
	}
	return fmt.Sprintf("  Look at %s, then say which:\n"+
		"  topupd purchases resolve %s charged     --note \"…\"%s\n"+
		"  topupd purchases resolve %s not-charged --note \"…\"%s\n"+
		"  (%s is not topped up until then)\n",
		cmp.Or(of.Look, "the provider's dashboard"), p.Short(), option("reference", true), p.Short(), option("external", of.HasRecords),
		Printable(Either(p.CustomerName, string(p.Target.Customer))))
}
