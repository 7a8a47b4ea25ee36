package rules

import (
	"encoding/json"
	"fmt"
	"time"

	"topupd/topup"
)

// Set is every rule in the order of files and lines: the first that matches a
// target is its rule.
type Set struct{ Rules []Rule }

// Rule is one rule as it was written, with its defaults filled in. It is frozen
// onto each purchase that it decides (Terms).
type Rule struct {
	Name string `json:"name"`
	// Version is the first 12 hexadecimal digits of a SHA-256 over the rule: it
	// changes with every value, but not when the rule moves in its file.
	Version string `json:"version"`
	File    string `json:"file"`
	Line    int    `json:"line"`

	Providers    []string           `json:"providers"` // names in the YAML, all of one type
	ProviderType topup.ProviderType `json:"provider_type"`
	Product      topup.ProductID    `json:"product"`
	Match        Match              `json:"match"`
	Threshold    Threshold          `json:"threshold"`
	Buy          Buy                `json:"buy"`
	Expires      Expiry             `json:"expires"`

	Cooldown      time.Duration `json:"cooldown_ns"`        // after the last purchase credited or ended
	ConfirmAfter  time.Duration `json:"confirm_after_ns"`   // between the two low readings; less than MaxReadingAge
	MaxReadingAge time.Duration `json:"max_reading_age_ns"` // by our own clock

	Unpaid   Unpaid      `json:"unpaid"`
	Declines Declines    `json:"declines"`
	Caps     []topup.Cap `json:"caps"`    // of the scopes rule and customer, in counting order
	DryRun   bool        `json:"dry_run"` // the rule's mode or the daemon's: the stricter
}

// MaxTerms bounds the frozen rule of a purchase, inclusive, in bytes: the ledger
// takes no more.
const MaxTerms = 100_000

// Terms freezes the rule onto a purchase for the customer, as JSON. The lists of
// customers stay behind, since they may be of any length: of customer_ids the
// one that was bought for is kept, of exclude_ids none.
func (r Rule) Terms(customer topup.CustomerID) ([]byte, error) {
	if len(r.Match.CustomerIDs) > 0 {
		r.Match.CustomerIDs = []topup.CustomerID{customer}
	}
	r.Match.ExcludeIDs = nil
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("freezing rule %s: %w", r.Name, err)
	}
	return text, nil
}

// Match says which customers a rule is for: those that meet every condition
// that is set.
type Match struct {
	All         bool               `json:"all"` // written out when there is no other condition
	CustomerIDs []topup.CustomerID `json:"customer_ids,omitempty"`
	ExcludeIDs  []topup.CustomerID `json:"exclude_ids,omitempty"`
	Currency    topup.Currency     `json:"currency,omitempty"`
	Properties  map[string]string  `json:"properties,omitempty"`
}

// Threshold says below what a balance is low: the provider's own mark and a
// default where it has none, or a fixed number.
type Threshold struct {
	Provider bool           `json:"provider"`
	Fixed    *topup.Credits `json:"fixed_micro,omitempty"`
	Default  *topup.Credits `json:"default_micro,omitempty"`
}

// ThresholdOf is the customer's or product's mark, the rule's number, or the
// rule's default, in that order of preference as the rule says; nil when there is
// none.
func (r *Rule) ThresholdOf(reading *topup.Reading) *topup.Credits {
	switch t := r.Threshold; {
	case t.Fixed != nil:
		return t.Fixed
	case reading.Threshold != nil:
		return reading.Threshold
	default:
		return t.Default
	}
}

// Buy is what one purchase may be. All bundles are in one currency.
type Buy struct {
	Bundles         []Bundle `json:"bundles"` // at least one
	RefillTo        *Refill  `json:"refill_to,omitempty"`
	PaymentMethodID string   `json:"payment_method_id,omitempty"` // Talkover; "" is the default card
}

// Bundle is what is bought at once. A custom amount and a Talkover charge have
// no PriceID; a charge's credits are its money, one to one.
type Bundle struct {
	PriceID string        `json:"price_id,omitempty"`
	Credits topup.Credits `json:"credits_micro"`
	Price   topup.Money   `json:"price_excluding_tax"`
}

// Unpaid is how many pending invoices a customer may have when a purchase is
// made, by the kind of payment.
type Unpaid struct {
	Card  int `json:"card"`
	Other int `json:"other"`
}

// Allowed is how many pending invoices a customer may have who pays so.
func (u Unpaid) Allowed(method topup.PaymentMethod) int {
	if method == topup.PaymentOther {
		return u.Other
	}
	return u.Card
}

// Tolerates tells whether a customer who owes that much and pays so is bought for
// all the same. A failed payment never is tolerated (P9).
func (u Unpaid) Tolerates(owed topup.Debt, method topup.PaymentMethod) bool {
	return owed.Failed == 0 && owed.Pending <= u.Allowed(method)
}

// Declines is how a customer whose payments are declined is asked less and
// less often. Backoff is not above MaxBackoff.
type Declines struct {
	Backoff      time.Duration `json:"backoff_ns"`
	MaxBackoff   time.Duration `json:"max_backoff_ns"`
	SuspendAfter int           `json:"suspend_after"` // at least 1
}
