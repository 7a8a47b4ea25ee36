package verify

import "slices"

// Kind is what sort of difference a finding is. The list is closed: it is a
// metric label, a JSON value and what a person looks up.
type Kind string

// The kinds. The first group is about money that was, or may be, taken wrongly;
// the second about purchases of ours that the books do not bear out; the third
// about what somebody else did and nobody accounts for. A top-up that the provider
// says its customer, its portal or itself made needs nobody, and is no difference:
// it is counted in Report.Native.
const (
	DoubleCharge   Kind = "double_charge"    // a second bill for one purchase
	ChargedAfterNo Kind = "charged_after_no" // declined or cancelled here, billed there
	ClaimedTwice   Kind = "claimed_twice"    // one charge explains two purchases

	MissingInvoice Kind = "missing_invoice" // bought here, no bill there
	MissingRow     Kind = "missing_row"     // billed, and no credits were booked
	CreditedTwice  Kind = "credited_twice"  // one bill, credits booked more than once
	AmountDiffers  Kind = "amount_differs"  // price or currency
	CreditsDiffer  Kind = "credits_differ"
	ExpiryDiffers  Kind = "expiry_differs"
	PaymentDiffers Kind = "payment_differs" // paid here, open or failed there
	Reversed       Kind = "reversed"        // refunded or voided after it was paid

	UnknownInvoice    Kind = "unknown_invoice"     // billed there, nothing here explains it
	UnknownRow        Kind = "unknown_row"         // credits booked there, nothing here explains them
	RowWithoutInvoice Kind = "row_without_invoice" // credits that nobody was billed for
)

// Kinds lists every kind, for metrics that start at zero.
func Kinds() []Kind {
	return []Kind{
		DoubleCharge, ChargedAfterNo, ClaimedTwice,
		MissingInvoice, MissingRow, CreditedTwice, AmountDiffers, CreditsDiffer, ExpiryDiffers, PaymentDiffers, Reversed,
		UnknownInvoice, UnknownRow, RowWithoutInvoice,
	}
}

// Unexplained tells whether the kind is about what somebody else did: nothing
// of ours is wrong, but nobody has said whose it is.
func (k Kind) Unexplained() bool {
	return slices.Contains([]Kind{UnknownInvoice, UnknownRow, RowWithoutInvoice}, k)
}

// Words say what the kind means, for a person.
func (k Kind) Words() string {
	switch k {
	case DoubleCharge:
		return "billed twice for one purchase"
	case ChargedAfterNo:
		return "ended without a charge here, billed there"
	case ClaimedTwice:
		return "one charge explains two purchases"
	case MissingInvoice:
		return "bought here, no bill there"
	case MissingRow:
		return "billed, no credits booked"
	case CreditedTwice:
		return "one bill, credits booked more than once"
	case AmountDiffers:
		return "another amount or currency"
	case CreditsDiffer:
		return "another number of credits"
	case ExpiryDiffers:
		return "another expiry"
	case PaymentDiffers:
		return "paid here, not there"
	case Reversed:
		return "refunded or voided after it was paid"
	case UnknownInvoice:
		return "billed there, unknown here"
	case UnknownRow:
		return "credits booked there, unknown here"
	case RowWithoutInvoice:
		return "credits that nobody was billed for"
	default:
		return string(k)
	}
}

// Next is the next step of a person. Nothing here is done by the program.
//
// A charge is undone with a credit note, POST /v1/invoices/{id}/credit-notes
// with trigger_refund; an unpaid bill is voided, POST /v1/invoices/{id}/void
// (Hyperline API reference, "Create credit note", "Void invoice", read
// 2026-11-20).
func (k Kind) Next() string {
	switch k {
	case DoubleCharge:
		return "look at both bills; then undo one of them: at Hyperline void the one that is not paid (POST /v1/invoices/ID/void), or refund the second one by a credit note with trigger_refund (POST /v1/invoices/ID/credit-notes); at Talkover ask its support"
	case ChargedAfterNo:
		return "see topupd purchases show ID; then keep the charge and tell the customer, or refund it with a credit note (POST /v1/invoices/ID/credit-notes, trigger_refund)"
	case ClaimedTwice:
		return "see both with topupd purchases show ID --evidence: one of them was answered with the other's charge; ask the provider which was executed"
	case MissingInvoice:
		return "look for the bill at the provider under another id; if there is none, nothing was charged although the purchase is credited: ask the provider"
	case MissingRow:
		return "the customer paid and got nothing: ask the provider to book the credits, or refund the bill"
	case CreditedTwice:
		return "ask the provider which row stands; the customer has more credits than were paid for"
	case AmountDiffers, CreditsDiffer, ExpiryDiffers:
		return "compare the bill with the rule that the purchase froze (topupd purchases show ID --evidence); settle the difference with the customer or the provider"
	case PaymentDiffers:
		return "look at the bill's payments at the provider; collect it again or void it there"
	case Reversed:
		return "somebody refunded or voided it: make sure that it was meant, and that the credits were taken back if they should be; a customer whose last purchase was refunded as a whole is held when it is low again, until topupd resume --customer"
	case UnknownInvoice, UnknownRow:
		return "find out who bought: the customer in the portal, the provider's own top-up, another program under the same token; if nobody did, ask the provider"
	case RowWithoutInvoice:
		return "find out who granted the credits; a gift needs no bill, everything else does"
	default:
		return "compare the purchase with the provider's books"
	}
}
