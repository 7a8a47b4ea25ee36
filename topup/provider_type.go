package topup

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// ProviderType names a kind of billing provider: the word after "type:" in the
// YAML, and the first part of a ProviderID.
type ProviderType string

// The provider types. What differs between them stands in the table below, and
// nowhere else but in what reads their keys, makes their clients and examines them
// (docs/architecture.md, "a provider type").
const (
	Hyperline ProviderType = "hyperline"
	Talkover  ProviderType = "talkover"
)

// Traits are what the parts of topupd need to know about a type of provider.
type Traits struct {
	Title   string // for a person
	BaseURL string // of its production
	Sandbox string // host on which test keys buy nothing real; "" = there is none

	// Keys are the keys of a connection that only this type has, by their path.
	Keys []string
	// Requests is the documented limit of all requests; where it is zero, Reads and
	// Writes have one each.
	Reads, Writes, Requests Rate
	// ReplaysKeys: two requests under one idempotency key run once, as documented.
	ReplaysKeys bool
	// HasRecords: invoices and credit transactions can be searched for a purchase.
	HasRecords bool
	// OneCustomer: a connection is one customer.
	OneCustomer bool

	// Product is the only kind of credits; "" where rules name one.
	Product ProductID
	// OwnThreshold: the provider keeps a low_count_threshold that rules may follow.
	OwnThreshold bool
	// RefusedInRules are the keys of a rule that the provider has no use for.
	RefusedInRules []RefusedKey

	Reference string // how the id of a charge looks
	Look      string // where a person finds a charge; continues "Look at"
}

// Rate is a number of requests in a window; zero is none.
type Rate struct {
	Count  int
	Window time.Duration
}

// RefusedKey is a key of a rule, by its path, with what is wrong with it there and
// what to do.
type RefusedKey struct{ Key, Message, Fix string }

// traits is the table of all types.
var traits = map[ProviderType]Traits{
	Hyperline: {
		Title:   "Hyperline",
		BaseURL: "https://api.hyperline.co",
		// Hyperline docs, /developers/authentication, read 2026-11-20.
		Sandbox: "sandbox.api.hyperline.co",
		Keys:    []string{"token", "token_file", "rate_limit.reads", "rate_limit.writes"},
		// Hyperline docs on rate limits, read 2026-11-20.
		Reads: Rate{200, 10 * time.Second}, Writes: Rate{50, 10 * time.Second},
		ReplaysKeys: true, HasRecords: true, OwnThreshold: true,
		RefusedInRules: []RefusedKey{
			{"buy.charge", "belongs to Talkover", "write bundles, or amount: {credits: 100, price_excluding_tax: 24.00 EUR}"},
			{"buy.payment_method_id", "belongs to Talkover: Hyperline's purchase takes no payment method", "remove it"},
		},
		Reference: "inv_…", Look: "the customer's invoices at Hyperline",
	},
	Talkover: {
		Title:   "Talkover",
		BaseURL: "https://app.talkover.ai",
		Keys:    []string{"user_token", "user_token_file", "environment_token", "environment_token_file", "environment_id", "rate_limit.requests"},
		// Talkover docs on rate limits, read 2026-11-20.
		Requests:    Rate{100, time.Minute},
		OneCustomer: true, Product: "credits",
		RefusedInRules: []RefusedKey{
			{"match.properties", "Talkover's customers have no properties", "remove it"},
			{"buy.bundles", "Talkover sells no bundles", "write charge: 100.00 USD"},
			{"buy.amount", "Talkover sells credits for their value", "write charge: 100.00 USD"},
			{"buy.refill_to", "Talkover sells no bundles to choose from", "remove it"},
			{"expires", "Talkover's credits have no expiry that can be chosen", "remove it"},
		},
		Reference: "txn_…", Look: "the Talkover dashboard or the card statement",
	},
}

// ProviderTypes are all types, sorted.
func ProviderTypes() []ProviderType { return slices.Sorted(maps.Keys(traits)) }

// Options are the words of the YAML.
func (ProviderType) Options() []string {
	var words []string
	for _, t := range ProviderTypes() {
		words = append(words, string(t))
	}
	return words
}

// Traits are those of the type; of an unknown one its name is all there is.
func (t ProviderType) Traits() Traits {
	if known, ok := traits[t]; ok {
		return known
	}
	return Traits{Title: string(t)}
}

// Title is the type's name for a person.
func (t ProviderType) Title() string { return t.Traits().Title }

// Type is the type of provider that the identity begins with.
func (id ProviderID) Type() ProviderType {
	kind, _, _ := strings.Cut(string(id), "://")
	return ProviderType(kind)
}
