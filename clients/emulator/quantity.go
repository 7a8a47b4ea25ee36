package emulator

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/govalues/decimal"
)

// quantity is a number of credits or an amount of money in millionths. Every
// quantity that enters is bounded by maxQuantity, so sums cannot overflow.
type quantity int64

const (
	one         quantity = 1_000_000
	cent                 = one / 100
	maxQuantity          = 1_000_000_000 * one // inclusive, 1e9 credits
)

// toQuantity takes a decimal with at most six decimal places, up to ±1e9.
func toQuantity(d decimal.Decimal) (quantity, error) {
	whole, frac, ok := d.Int64(6)
	limit := int64(maxQuantity / one)
	if ok && whole >= -limit && whole <= limit && d.Equal(d.Trunc(6)) {
		if q := quantity(whole)*one + quantity(frac); q >= -maxQuantity && q <= maxQuantity {
			return q, nil
		}
	}
	return 0, fmt.Errorf("%.40s is not a number between -1e9 and 1e9 with at most six decimal places", d)
}

// parseQuantity reads a decimal number as text.
func parseQuantity(s string) (quantity, error) {
	d, err := decimal.Parse(s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a decimal number: %w", s, err)
	}
	return toQuantity(d)
}

// limited is toQuantity for options: out of range becomes the nearest bound, so
// that New needs no error.
func limited(d decimal.Decimal) quantity {
	q, err := toQuantity(d.Trunc(6))
	if err == nil {
		return q
	}
	if d.IsNeg() {
		return -maxQuantity
	}
	return maxQuantity
}

func (q quantity) decimal() decimal.Decimal { return decimal.MustNew(int64(q), 6) }

// String has no trailing zeros: "412", "41.2".
func (q quantity) String() string { return q.decimal().Trim(0).String() }

// Money has at least two decimal places: "100.00", "41.2034".
func (q quantity) Money() string { return q.decimal().Trim(2).String() }

// MarshalJSON writes a JSON number.
func (q quantity) MarshalJSON() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalJSON reads a JSON number, never a string: both providers document
// numbers in request bodies.
func (q *quantity) UnmarshalJSON(text []byte) error {
	var n json.Number
	if len(text) > 0 && text[0] == '"' {
		return fmt.Errorf("expected number, received string")
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	parsed, err := parseQuantity(n.String())
	if err != nil {
		return err
	}
	*q = parsed
	return nil
}

// meter drains a balance in whole steps, so that nothing is lost to rounding
// however often it is read.
type meter struct {
	rate quantity // per second; 0 stops it
	step quantity // smallest amount it takes
	at   time.Time
}

// drain returns what was used since the last call, up to now.
func (m *meter) drain(now time.Time) quantity {
	elapsed := now.Sub(m.at)
	if elapsed <= 0 {
		return 0
	}
	if m.rate <= 0 {
		m.at = now
		return 0
	}
	used := min(mulDiv(int64(m.rate), int64(elapsed), int64(time.Second)), int64(maxQuantity))
	used -= used % int64(m.step)
	m.at = m.at.Add(time.Duration(mulDiv(used, int64(time.Second), int64(m.rate))))
	return quantity(used)
}

// mulDiv is a*b/c for non-negative numbers without overflow in the product; a
// quotient beyond int64 becomes the largest one.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, math.MaxInt64))
}
