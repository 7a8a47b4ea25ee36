package emulator

import (
	"slices"
	"time"
)

// Who started a charge.
const (
	SourceAPI       = "api"       // a purchase request
	SourcePortal    = "portal"    // the customer, in the provider's portal
	SourceNative    = "native"    // the provider's own auto top-up
	SourceScheduled = "scheduled" // Talkover's monthly recharge
	SourceTest      = "test"      // Talkover's test recharge, which is a real charge
)

// Charge is an order for credits as the provider's books truly have it, whatever
// was answered. Captured false is an order that is not paid (yet).
type Charge struct {
	Provider    string `json:"provider"`
	ID          string `json:"id"` // cdt_... at Hyperline ("" until credits were granted), txn_... at Talkover
	Customer    string `json:"customer"`
	Product     string `json:"product"`
	Invoice     string `json:"invoice"`      // "" at Talkover
	Credits     string `json:"credits"`      // decimal
	AmountMinor int64  `json:"amount_minor"` // excluding tax, hundredths
	Amount      string `json:"amount"`       // the same as a decimal, "200.00"
	Currency    string `json:"currency"`
	Key         string `json:"idempotency_key"` // "" if none came

	At         time.Time `json:"at"`             // executed
	Before     string    `json:"balance_before"` // the true balance just before, decimal
	Captured   bool      `json:"captured"`
	CapturedAt time.Time `json:"captured_at,omitzero"`
	CapturedBy string    `json:"captured_by,omitempty"` // purchase, retry, charge or card
	Status     string    `json:"status"`                // of the invoice; captured or failed at Talkover
	Source     string    `json:"source"`                // who ordered it
	VisibleAt  time.Time `json:"visible_at"`            // from then on every read shows it
	RequestSeq int       `json:"request_seq"`           // the Request that was executed, 0 if none
}

// Request is one purchase request as it arrived.
type Request struct {
	Seq        int       `json:"seq"` // from 1
	Provider   string    `json:"provider"`
	Customer   string    `json:"customer"`
	Key        string    `json:"key"`
	BodySHA256 string    `json:"body_sha256"` // hexadecimal
	ReceivedAt time.Time `json:"received_at"`
	Executed   bool      `json:"executed"` // an order was placed by this request, captured or not; false for a replay
	Replayed   bool      `json:"replayed"` // answered from the memory of its key
	Fault      string    `json:"fault,omitempty"`
	Status     int       `json:"status"` // answered; 0 if no answer was sent
}

// Books is what the providers truly did.
type Books struct {
	Charges  []Charge  `json:"charges"`
	Requests []Request `json:"requests"`
}

// Captured lists the charges for which money was taken.
func (b Books) Captured() []Charge {
	return slices.DeleteFunc(slices.Clone(b.Charges), func(c Charge) bool { return !c.Captured })
}

// For lists the charges of one customer or environment.
func (b Books) For(customer string) []Charge {
	return slices.DeleteFunc(slices.Clone(b.Charges), func(c Charge) bool { return c.Customer != customer })
}

// openBooks is Books while it is written.
type openBooks struct {
	charges  []*Charge
	requests []*Request
}

func (b *openBooks) enter(c Charge) *Charge {
	kept := &c
	b.charges = append(b.charges, kept)
	return kept
}

func (b *openBooks) received(r Request) *Request {
	r.Seq = len(b.requests) + 1
	kept := &r
	b.requests = append(b.requests, kept)
	return kept
}

func (b *openBooks) copy() Books {
	out := Books{Charges: make([]Charge, 0, len(b.charges)), Requests: make([]Request, 0, len(b.requests))}
	for _, c := range b.charges {
		out.Charges = append(out.Charges, *c)
	}
	for _, r := range b.requests {
		out.Requests = append(out.Requests, *r)
	}
	return out
}
