package topup

import (
	"slices"
	"time"
)

// ProviderID is the identity of a provider connection: its type, API host and
// environment, as "hyperline://api.hyperline.co/" or
// "talkover://app.talkover.ai/env-uuid-1". The name in the YAML is only a
// label: renaming a provider changes nothing here.
type ProviderID string

// CustomerID is the provider's id of a customer (at Talkover: the environment).
type CustomerID string

// ProductID is the provider's id of a credit product (at Talkover: "credits").
type ProductID string

// Target is what is watched, locked and capped: one kind of credits of one
// customer at one provider.
type Target struct {
	Provider ProviderID
	Customer CustomerID
	Product  ProductID
}

// Reading is one look at a balance. It is evidence with an age, never our truth.
type Reading struct {
	Target       Target
	CustomerName string
	ProductName  string

	Balance Credits // meaningless when Bad is set
	Bad     string  // why the balance cannot be used; "" when it can

	Threshold     *Credits // the provider's own mark; nil when it has none
	ThresholdFrom string   // "customer" or "product", for a person

	ReadAt      time.Time // our clock, when the request left: the age is never understated
	RefreshedAt time.Time // the provider's stamp on the balance; zero when it gave none

	Native  string // how the provider tops up by itself, for a person; "" when it does not
	Account Account
}

// Account is what a reading tells about the customer beside the balance.
type Account struct {
	Inactive      string // why the customer cannot buy (archived, unknown to the provider); "" when active
	Currency      Currency
	PaymentMethod PaymentMethod
	Properties    map[string]string
}

// PaymentMethod is how a customer pays, as far as it matters to buying.
type PaymentMethod string

// The payment methods. Card payments are known at once; the others take days.
const (
	PaymentUnknown PaymentMethod = "" // not asked, or the provider does not say
	PaymentCard    PaymentMethod = "card"
	PaymentOther   PaymentMethod = "other"
	PaymentMissing PaymentMethod = "missing"
	PaymentErrored PaymentMethod = "errored"
)

// Page is a part of a pass over the balances: what one or a few requests showed.
// Without readings it only says that the pass goes on.
type Page struct {
	Readings []Reading
}

// Poll is how a pass over every balance of a provider connection ended.
type Poll struct {
	Complete bool   // false: rows moved or pages failed, so an absent target proves nothing
	Missing  string // what of an incomplete pass was not shown, in words
	Reads    int    // requests it took
}

// Order is what would be bought: the terms of one purchase.
type Order struct {
	Target          Target
	Credits         Credits
	Price           Money      // excluding tax
	PriceID         string     // provider's id of the bundle price; "" for a custom amount
	PaymentMethodID string     // "" for the customer's default
	ExpiresAt       *time.Time // whole seconds, UTC; nil never expires
	Native          bool       // buying beside the provider's own top-up was allowed by configuration
	Patient         bool       // an earlier read found why it cannot be bought: others go first
}

// Confirmation is the confirm read: everything that must hold right before
// buying, read from the provider in one go.
type Confirmation struct {
	Reading    Reading
	Invoices   []Invoice // of the last 24 h, the open ones, and paid ones without credits of the last BillsFor
	Skipped    int       // invoices and rows that cannot be read and are too old, or for something else, to matter
	Topups     []Topup   // newest credit additions, whoever made them
	ServerTime time.Time // the provider's Date header; zero when absent

	PriceProblem       string // why the configured price is not the provider's; "" when it is
	CurrencyProblem    string // why the customer cannot be charged in the price's currency
	EnvironmentProblem string // why the token no longer speaks for the customer
	NativeProblem      string // a top-up by the provider itself is under way or just done
}

// seenFor is how far back the baseline of a purchase reaches: far beyond the
// match window, and any clock that is merely wrong by hours.
const seenFor = 24 * time.Hour

// Seen lists the ids of everything recent that the confirm read showed: the
// baseline that later evidence must not be part of.
func (c Confirmation) Seen() []string {
	since := c.ServerTime
	if since.IsZero() || since.After(c.Reading.ReadAt) {
		since = c.Reading.ReadAt
	}
	since = since.Add(-seenFor)
	var ids []string
	for _, i := range c.Invoices { // a draft of any age may be issued tomorrow
		ids = append(ids, i.ID)
	}
	for _, t := range c.Topups {
		if !t.At.Before(since) {
			ids = append(ids, t.ID)
			if t.Invoice != "" {
				ids = append(ids, t.Invoice)
			}
		}
	}
	return ids
}

// Credited tells whether credits were added for the invoice. An addition without
// an invoice of its own, not older than this one, may be for it.
func (c Confirmation) Credited(i Invoice) bool {
	return slices.ContainsFunc(c.Topups, func(t Topup) bool {
		return t.Invoice == i.ID || t.Invoice == "" && !t.At.Before(i.At)
	})
}

// Topup is one addition of credits in the provider's ledger.
type Topup struct {
	ID      string
	Invoice string // "" for credits that nobody paid for
	Credits Credits
	Price   Money  // excluding tax; zero when the provider does not say
	PriceID string // "" for a custom amount
	Source  string // the provider's word for who did it; a hint only
	At      time.Time

	ExpiresOn string // date of the provider, "2026-12-20", or Never; "" when it does not say
}

// SourceDoctor is the Source of what topupd doctor bought to try the provider.
const SourceDoctor = "topupd doctor"

// SourcePerson is the Source of a bill that a person called somebody else's.
const SourcePerson = "a person"

// Never is the ExpiresOn of credits that do not expire.
const Never = "never"

// Invoice is the provider's bill for one or more purchases.
type Invoice struct {
	ID         string
	Customer   CustomerID
	Products   []ProductID // of its lines
	Lines      int         // how many there are, with those that name no product
	Credit     bool        // at least one line is for credits
	Amount     Money       // excluding tax
	Paid       Money       // paid so far, with tax
	Status     string      // the provider's word
	Payment    Payment     // what that word means to us
	Uncounted  bool        // pending by agreement (billed with a parent or in a batch): not an unpaid one
	Unexpected string      // why a person should look at it; "" when all is usual
	At         time.Time   // issued
	RefundedAt time.Time   // zero when it was not
	Detail     string      // why it is not paid, in the provider's words
	Unreadable string      // why its amount, lines or time cannot be used; "" when they can. What is unknown is zero, but Credit is true
}

// Stands tells whether what it bills was paid and not refunded, or may yet be paid.
func (i Invoice) Stands() bool {
	return i.Payment == PaymentPending || i.Payment == PaymentPaid && i.RefundedAt.IsZero()
}

// Alone tells whether the invoice bills one thing and is paid by itself, so that
// its amount is the price of that thing.
func (i Invoice) Alone() bool { return len(i.Products) <= 1 && i.Lines <= 1 && !i.Uncounted }

// Debt counts a customer's bills for credits that are not paid.
type Debt struct {
	Pending int
	Failed  int
}

// Shows tells whether the bill is over the price and nothing else, whatever became
// of it: that is what is charged then (P10).
func (i Invoice) Shows(price Money) bool { return i.Alone() && i.Amount == price }

// Concerns tells whether the invoice has a line for the product.
func (i Invoice) Concerns(product ProductID) bool {
	return slices.Contains(i.Products, product)
}

// Books is what the provider's own records say about one target.
type Books struct {
	Topups     []Topup
	Invoices   []Invoice
	Complete   bool      // false: an absent row proves nothing
	ServerTime time.Time // the provider's Date header; zero when absent
}
