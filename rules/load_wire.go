package rules

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"topupd/config/limits"
	"topupd/config/yamlfile"
	"topupd/topup"
)

// The types below are the file as it is written: what the loader reads and
// what the JSON Schema is made of.

type fileYAML struct {
	Rules []ruleYAML `yaml:"rules" jsonschema:"required,minItems=1" jsonschema_description:"The first rule that matches a customer wins."`
}

type ruleYAML struct {
	Name             string            `yaml:"name" jsonschema:"required" jsonschema_description:"Name in metrics, logs and history; unique over all files."`
	Provider         namesText         `yaml:"provider" jsonschema:"required" jsonschema_description:"Name of a provider, or a list of names of one type."`
	Product          *idText           `yaml:"product" jsonschema_description:"Id of the credit product. May be left out at Talkover, where it is credits."`
	Match            matchYAML         `yaml:"match" jsonschema:"required" jsonschema_description:"For which customers; all conditions must hold."`
	Threshold        thresholdText     `yaml:"threshold" jsonschema_description:"provider (Hyperline's low_count_threshold), or a number of credits. Buying starts below it."`
	DefaultThreshold *creditsText      `yaml:"default_threshold" jsonschema_description:"Threshold of customers for whom the provider has none."`
	Buy              buyYAML           `yaml:"buy" jsonschema:"required" jsonschema_description:"What one purchase buys."`
	Expires          expiresYAML       `yaml:"expires" jsonschema_description:"When bought credits expire. Default: never."`
	Cooldown         yamlfile.Duration `yaml:"cooldown" range:"0s..30d" jsonschema_description:"Rest after a purchase was credited or ended."`
	ConfirmAfter     yamlfile.Duration `yaml:"confirm_after" range:"0s..10m" jsonschema_description:"Time between the two low readings before a purchase. Less than max_reading_age."`
	MaxReadingAge    yamlfile.Duration `yaml:"max_reading_age" range:"1s..1h" jsonschema_description:"An older reading is no reason to buy."`
	Unpaid           unpaidYAML        `yaml:"unpaid" jsonschema_description:"Pending invoices that may be outstanding. A failed one always blocks."`
	Declines         declinesYAML      `yaml:"declines" jsonschema_description:"How often a customer is asked whose payments are declined."`
	Limits           limitsYAML        `yaml:"limits" jsonschema_description:"Caps of this rule and of each of its customers."`
	Mode             mode              `yaml:"mode" jsonschema_description:"The stricter of this and the daemon's mode holds."`
}

// Defaults are those of docs/configuration.md.
func (r *ruleYAML) Defaults() {
	r.Threshold = thresholdText{Provider: true}
	r.Cooldown = yamlfile.Duration(5 * time.Minute)
	r.ConfirmAfter = yamlfile.Duration(5 * time.Second)
	r.MaxReadingAge = yamlfile.Duration(2 * time.Minute)
	r.Unpaid = unpaidYAML{Card: 0, Other: 2}
	r.Declines = declinesYAML{
		Backoff: yamlfile.Duration(time.Hour), MaxBackoff: yamlfile.Duration(24 * time.Hour), SuspendAfter: 4,
	}
	r.Mode = active
}

type matchYAML struct {
	All         *bool             `yaml:"all" jsonschema_description:"true: every customer of the product."`
	CustomerIDs []idText          `yaml:"customer_ids" jsonschema:"minItems=1" jsonschema_description:"Only these customers."`
	ExcludeIDs  []idText          `yaml:"exclude_ids" jsonschema:"minItems=1" jsonschema_description:"Not these customers."`
	Currency    *currencyText     `yaml:"currency" jsonschema_description:"Only customers with this currency."`
	Properties  map[string]string `yaml:"properties" jsonschema_description:"Only customers with these properties: custom_properties, else properties."`
}

type buyYAML struct {
	Bundles         []bundleYAML `yaml:"bundles" jsonschema:"minItems=1" jsonschema_description:"Whole packs of Hyperline, one per purchase."`
	Amount          *amountYAML  `yaml:"amount" jsonschema_description:"A custom number of credits at a custom price (Hyperline)."`
	Charge          *moneyText   `yaml:"charge" jsonschema_description:"The money that one purchase charges (Talkover)."`
	RefillTo        *refillText  `yaml:"refill_to" jsonschema_description:"The cheapest bundle that reaches it is bought, else the largest. Default: always the first bundle."`
	PaymentMethodID *idText      `yaml:"payment_method_id" jsonschema_description:"Talkover: the card to charge. Default: the default card."`
}

type bundleYAML struct {
	PriceID idText      `yaml:"price_id" jsonschema:"required" jsonschema_description:"Hyperline's id of the pack."`
	Credits creditsText `yaml:"credits" jsonschema:"required" jsonschema_description:"Credits in the pack."`
	Price   moneyText   `yaml:"price_excluding_tax" jsonschema:"required" jsonschema_description:"Price of the pack without tax."`
}

type amountYAML struct {
	Credits creditsText `yaml:"credits" jsonschema:"required" jsonschema_description:"Credits to buy."`
	Price   moneyText   `yaml:"price_excluding_tax" jsonschema:"required" jsonschema_description:"What they cost without tax."`
}

type expiresYAML struct {
	After    *yamlfile.Duration `yaml:"after" range:"1h..3650d" jsonschema_description:"This long after the purchase."`
	EndOf    *endOf             `yaml:"end_of" jsonschema_description:"With the last second of the month."`
	Timezone *string            `yaml:"timezone" jsonschema_description:"Time zone of end_of. Default: UTC."`
	AtLeast  *yamlfile.Duration `yaml:"at_least" range:"0s..366d" jsonschema_description:"Shortest life of bought credits. With end_of they last a month longer when the month is over sooner. Default with end_of: 7d."`
	At       *timeText          `yaml:"at" jsonschema_description:"At this moment."`
}

// ReadText takes the word never.
func (e *expiresYAML) ReadText(text string) error {
	if text != "never" {
		return &yamlfile.Fault{Is: "is not an expiry", Fix: "write {after: 90d}, {end_of: month}, {at: 2027-01-01T00:00:00Z} or never"}
	}
	*e = expiresYAML{}
	return nil
}

type unpaidYAML struct {
	Card  int `yaml:"card" jsonschema:"minimum=0,maximum=1000,default=0" jsonschema_description:"For customers who pay by card."`
	Other int `yaml:"other" jsonschema:"minimum=0,maximum=1000,default=2" jsonschema_description:"For customers who pay otherwise: transfers take days."`
}

type declinesYAML struct {
	Backoff      yamlfile.Duration `yaml:"backoff" range:"1s..30d" jsonschema_description:"Rest after the first declined payment; it doubles with each further one."`
	MaxBackoff   yamlfile.Duration `yaml:"max_backoff" range:"1s..90d" jsonschema_description:"Longest rest."`
	SuspendAfter int               `yaml:"suspend_after" jsonschema:"minimum=1,maximum=1000,default=4" jsonschema_description:"Declined payments in a row after which the customer is suspended."`
}

type limitsYAML struct {
	Customer *limits.Windows `yaml:"customer" jsonschema_description:"Caps for each customer. customer.day.purchases is 10 when not written."`
	Rule     *limits.Windows `yaml:"rule" jsonschema_description:"Caps for the whole rule."`
}

type mode string

const (
	active mode = "active"
	dryRun mode = "dry_run"
)

// Options are the words of the YAML.
func (mode) Options() []string { return []string{string(active), string(dryRun)} }

type endOf string

// Options are the words of the YAML.
func (endOf) Options() []string { return []string{"month"} }

// namesText is a name or a list of names.
type namesText []string

// ReadText reads a single name.
func (n *namesText) ReadText(text string) error {
	if text == "" {
		return &yamlfile.Fault{Is: "is empty", Fix: "write the name of a provider"}
	}
	*n = namesText{text}
	return nil
}

// idText is an id as the provider writes it.
type idText string

var idForm = regexp.MustCompile(`^[!-~]{1,200}$`)

// ReadText reads printable ASCII without spaces, at most 200 characters.
func (i *idText) ReadText(text string) error {
	if !idForm.MatchString(text) {
		return &yamlfile.Fault{Is: "is not an id", Fix: "copy the id from the provider: at most 200 characters without spaces"}
	}
	*i = idText(text)
	return nil
}

// Form describes the text. Ids may look like numbers.
func (idText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^[!-~]{1,200}$`, Number: true, Examples: []string{"itm_3kXODDF42QXtnL"}}
}

// currencyText is an ISO 4217 code.
type currencyText topup.Currency

// ReadText reads a code, in capitals or small letters.
func (c *currencyText) ReadText(text string) error {
	currency, err := topup.ParseCurrency(text)
	if err != nil {
		return &yamlfile.Fault{Is: "is not a currency", Fix: "write a code of ISO 4217 such as EUR"}
	}
	*c = currencyText(currency)
	return nil
}

// Form describes the text.
func (currencyText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^[A-Za-z]{3}$`, Examples: []string{"EUR", "USD"}}
}

// timeText is a moment with its offset from UTC.
type timeText time.Time

// ReadText reads RFC 3339 in whole seconds.
func (t *timeText) ReadText(text string) error {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Nanosecond() != 0 {
		return &yamlfile.Fault{Is: "is not a moment", Fix: "write date, time and offset: 2027-01-01T00:00:00Z"}
	}
	*t = timeText(at)
	return nil
}

// Form describes the text.
func (timeText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^[0-9]{4}-[0-9]{2}-[0-9]{2}T`, Examples: []string{"2027-01-01T00:00:00Z"}}
}

// creditsText is a number of credits, zero or more.
type creditsText topup.Credits

// ReadText reads a plain decimal with at most six decimal places.
func (c *creditsText) ReadText(text string) error {
	var n yamlfile.Number
	if err := n.ReadText(text); err != nil {
		return err
	}
	_, decimals, _ := strings.Cut(text, ".")
	credits, err := topup.ParseCredits(text)
	switch {
	case err != nil:
		return &yamlfile.Fault{Is: "is too large", Fix: fmt.Sprintf("write at most %s credits", topup.MaxCredits)}
	case len(decimals) > 6:
		return &yamlfile.Fault{Is: "has more than 6 decimal places", Fix: "credits are counted in millionths"}
	case credits < 0:
		return &yamlfile.Fault{Is: "is negative", Fix: "write zero or more credits"}
	}
	*c = creditsText(credits)
	return nil
}

// Form describes the text.
func (creditsText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^[0-9]+(\.[0-9]{1,6})?$`, Number: true, Examples: []string{"120"}}
}
