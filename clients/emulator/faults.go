package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Faults is how often things go wrong. Every rate is a probability per request,
// 0 to 1 inclusive; the rates of one group (purchase, read, row) must not add up
// to more than 1, because one request suffers at most one fault of a group.
//
// In JSON the durations are texts like "2s".
type Faults struct {
	// Provider limits every fault to "hyperline" or "talkover"; "" is both.
	Provider string `json:"provider"`

	// Purchases. charge_then: it is executed, then the answer is spoilt.
	ChargeThen500      float64 `json:"charge_then_500"`
	ChargeThenHang     float64 `json:"charge_then_hang"`     // no answer until the client gives up
	ChargeThenDrop     float64 `json:"charge_then_drop"`     // connection cut before the first byte of the answer
	ChargeThenTruncate float64 `json:"charge_then_truncate"` // good headers, half a body
	ChargeThenHTML     float64 `json:"charge_then_html"`     // 200 with a page of HTML
	Fail500            float64 `json:"fail_without_charging_500"`
	DropUncharged      float64 `json:"drop_without_charging"`
	HangUncharged      float64 `json:"hang_without_charging"`
	Decline            float64 `json:"decline"`            // Hyperline: as its profile says; Talkover: 402 PAYMENT_FAILED
	DeclineUnpaid      float64 `json:"decline_201_unpaid"` // Hyperline: 201 and an unpaid invoice; Talkover: 200 with success false
	DeclineNoCredits   float64 `json:"decline_no_credits"` // Talkover: 402 INSUFFICIENT_CREDITS; Hyperline: as decline
	Refuse             float64 `json:"refuse"`             // Hyperline: 400, Talkover: 422; not about the payment
	Throttle           float64 `json:"throttle"`           // 429, not executed
	Slow               float64 `json:"slow"`               // executed after a delay up to SlowFor
	Redirect           float64 `json:"redirect_307"`       // not executed unless the client follows
	WrongAmount        float64 `json:"wrong_amount"`       // executed at a price a tenth higher
	ExecuteLate        float64 `json:"execute_late"`       // connection cut, executed later (2 s, or the provider's ExecuteLate)

	// Reads: the whole answer.
	Read500      float64 `json:"read_500"`
	ReadHang     float64 `json:"read_hang"`
	ReadHTML     float64 `json:"read_html"`
	ReadTruncate float64 `json:"read_truncate"`
	ReadThrottle float64 `json:"read_throttle"`

	// Reads of balances: what the rows say.
	Stale      float64 `json:"stale_balance"`  // an older balance with its older time
	Glitch     float64 `json:"glitch_balance"` // one balance is GlitchValue, else null, "abc", 1e30 or 0
	MissingRow float64 `json:"missing_rows"`   // a page starts one row too late
	RepeatRow  float64 `json:"repeat_rows"`    // a page starts one row too early
	AllZero    float64 `json:"all_zero"`       // every balance is 0
	AllNull    float64 `json:"all_null"`       // every balance is null

	// Outage hits every request, half with 503 and half with a cut connection.
	Outage float64 `json:"outage"`

	// A gateway on the way.
	Gzip     float64       `json:"gzip"`      // it compresses the answer, whatever Accept-Encoding says
	CacheFor time.Duration `json:"cache_for"` // it replays the good answers of reads for so long, with their Age

	GlitchValue   string        `json:"glitch_value"`   // JSON text to show instead of a balance
	SlowFor       time.Duration `json:"slow_for"`       // longest delay of slow; 0 means 2 s
	HangFor       time.Duration `json:"hang_for"`       // a hang ends in a cut connection after it; 0 means when the client gives up
	PurchaseDelay time.Duration `json:"purchase_delay"` // every purchase takes this long
	LatePosting   time.Duration `json:"late_posting"`   // raises both providers' longest posting delay to it

	// Next is a queue of fault names, each forced onto the next request that can
	// suffer it; "none" forces a request to go well (purchases only).
	Next []string `json:"next"`
}

// rate ties a fault's name to its probability.
type rate struct {
	name string
	of   func(*Faults) *float64
}

// The groups, in the order in which they are drawn.
var (
	purchaseRates = []rate{
		{"charge_then_500", func(f *Faults) *float64 { return &f.ChargeThen500 }},
		{"charge_then_hang", func(f *Faults) *float64 { return &f.ChargeThenHang }},
		{"charge_then_drop", func(f *Faults) *float64 { return &f.ChargeThenDrop }},
		{"charge_then_truncate", func(f *Faults) *float64 { return &f.ChargeThenTruncate }},
		{"charge_then_html", func(f *Faults) *float64 { return &f.ChargeThenHTML }},
		{"fail_without_charging_500", func(f *Faults) *float64 { return &f.Fail500 }},
		{"drop_without_charging", func(f *Faults) *float64 { return &f.DropUncharged }},
		{"hang_without_charging", func(f *Faults) *float64 { return &f.HangUncharged }},
		{"decline", func(f *Faults) *float64 { return &f.Decline }},
		{"decline_201_unpaid", func(f *Faults) *float64 { return &f.DeclineUnpaid }},
		{"decline_no_credits", func(f *Faults) *float64 { return &f.DeclineNoCredits }},
		{"refuse", func(f *Faults) *float64 { return &f.Refuse }},
		{"throttle", func(f *Faults) *float64 { return &f.Throttle }},
		{"slow", func(f *Faults) *float64 { return &f.Slow }},
		{"redirect_307", func(f *Faults) *float64 { return &f.Redirect }},
		{"wrong_amount", func(f *Faults) *float64 { return &f.WrongAmount }},
		{"execute_late", func(f *Faults) *float64 { return &f.ExecuteLate }},
	}
	readRates = []rate{
		{"read_500", func(f *Faults) *float64 { return &f.Read500 }},
		{"read_hang", func(f *Faults) *float64 { return &f.ReadHang }},
		{"read_html", func(f *Faults) *float64 { return &f.ReadHTML }},
		{"read_truncate", func(f *Faults) *float64 { return &f.ReadTruncate }},
		{"read_throttle", func(f *Faults) *float64 { return &f.ReadThrottle }},
	}
	rowRates = []rate{
		{"stale_balance", func(f *Faults) *float64 { return &f.Stale }},
		{"glitch_balance", func(f *Faults) *float64 { return &f.Glitch }},
		{"missing_rows", func(f *Faults) *float64 { return &f.MissingRow }},
		{"repeat_rows", func(f *Faults) *float64 { return &f.RepeatRow }},
		{"all_zero", func(f *Faults) *float64 { return &f.AllZero }},
		{"all_null", func(f *Faults) *float64 { return &f.AllNull }},
	}
	outageRates = []rate{{"outage", func(f *Faults) *float64 { return &f.Outage }}}
	noFault     = "none"
)

// groups are all of them.
func groups() [][]rate {
	return [][]rate{purchaseRates, readRates, rowRates, outageRates, gatewayRates}
}

// FaultNames lists every fault that can be drawn or forced, in a fixed order.
func FaultNames() []string {
	var names []string
	for _, group := range groups() {
		for _, r := range group {
			names = append(names, r.name)
		}
	}
	return names
}

// Set changes one rate by its name.
func (f *Faults) Set(name string, probability float64) error {
	for _, group := range groups() {
		for _, r := range group {
			if r.name == name {
				*r.of(f) = probability
				return f.Validate()
			}
		}
	}
	return fmt.Errorf("fault %.60q is unknown: use one of %v", name, FaultNames())
}

// Active lists the rates above zero, by name.
func (f Faults) Active() map[string]float64 {
	active := map[string]float64{}
	for _, group := range groups() {
		for _, r := range group {
			if p := *r.of(&f); p > 0 {
				active[r.name] = p
			}
		}
	}
	return active
}

// Validate checks that every rate is a probability, that no group adds up to
// more than 1, and that forced faults exist.
func (f Faults) Validate() error {
	if !slices.Contains([]string{"", HyperlineName, TalkoverName}, f.Provider) {
		return fmt.Errorf("faults: provider %.60q is neither hyperline nor talkover: use one of them, or leave it empty for both", f.Provider)
	}
	for _, group := range groups() {
		sum := 0.0
		for _, r := range group {
			p := *r.of(&f)
			if !(p >= 0 && p <= 1) {
				return fmt.Errorf("faults: %s is %v: use a probability from 0 to 1", r.name, p)
			}
			sum += p
		}
		if sum > 1+1e-9 {
			return fmt.Errorf("faults: %s and the others of its group add up to %v: lower them to 1 in total", group[0].name, sum)
		}
	}
	if f.GlitchValue != "" && !json.Valid([]byte(f.GlitchValue)) {
		return fmt.Errorf("faults: glitch_value %.60q is not JSON: quote a text inside it", f.GlitchValue)
	}
	known := append(FaultNames(), noFault)
	for _, name := range f.Next {
		if !slices.Contains(known, name) {
			return fmt.Errorf("faults: next: %.60q is unknown: use one of %v", name, known)
		}
	}
	return nil
}

// draw takes the forced fault if the queue's first name is of this group, else
// draws one; "" is none.
func (f *Faults) draw(rng *rand.Rand, provider string, group []rate) string {
	if f.Provider != "" && f.Provider != provider {
		return ""
	}
	if name, ok := f.forced(group); ok {
		return name
	}
	at := rng.Float64()
	for _, r := range group {
		if at -= *r.of(f); at < 0 {
			return r.name
		}
	}
	return ""
}

// forced looks only at the group's first name in the queue, so that a forced
// read does not hold up a forced purchase behind it.
func (f *Faults) forced(group []rate) (string, bool) {
	for i, name := range f.Next {
		plain := name == noFault && group[0].name == purchaseRates[0].name
		if plain || slices.ContainsFunc(group, func(r rate) bool { return r.name == name }) {
			f.Next = slices.Delete(slices.Clone(f.Next), i, i+1)
			if plain {
				return "", true
			}
			return name, true
		}
	}
	return "", false
}

func (f Faults) clone() Faults {
	f.Next = slices.Clone(f.Next)
	return f
}

// rates is Faults without its methods, to be wrapped for JSON.
type rates Faults

// faultsWire shows the durations as texts; its fields hide those of rates.
type faultsWire struct {
	*rates
	SlowFor       string `json:"slow_for"`
	HangFor       string `json:"hang_for"`
	PurchaseDelay string `json:"purchase_delay"`
	LatePosting   string `json:"late_posting"`
	CacheFor      string `json:"cache_for"`
}

// MarshalJSON writes durations as texts.
func (f Faults) MarshalJSON() ([]byte, error) {
	r := rates(f)
	if r.Next == nil {
		r.Next = []string{}
	}
	return json.Marshal(faultsWire{
		rates: &r, SlowFor: f.SlowFor.String(), HangFor: f.HangFor.String(),
		PurchaseDelay: f.PurchaseDelay.String(), LatePosting: f.LatePosting.String(), CacheFor: f.CacheFor.String(),
	})
}

// UnmarshalJSON refuses unknown names: a misspelt fault that is silently never
// injected makes a rehearsal worthless.
func (f *Faults) UnmarshalJSON(text []byte) error {
	var r rates
	wire := faultsWire{rates: &r}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&wire); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
	}{
		{"slow_for", wire.SlowFor, &r.SlowFor},
		{"hang_for", wire.HangFor, &r.HangFor},
		{"purchase_delay", wire.PurchaseDelay, &r.PurchaseDelay},
		{"late_posting", wire.LatePosting, &r.LatePosting},
		{"cache_for", wire.CacheFor, &r.CacheFor},
	} {
		if d.text == "" {
			continue
		}
		parsed, err := time.ParseDuration(d.text)
		if err != nil || parsed < 0 {
			return fmt.Errorf("faults: %s: %.40q is not a duration: write it like 2s", d.name, d.text)
		}
		*d.into = parsed
	}
	*f = Faults(r)
	return f.Validate()
}
