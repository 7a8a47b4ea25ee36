package topup

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/bojanz/currency"
	"github.com/govalues/decimal"
)

// Credits is an exact number of prepaid credits, counted in millionths of one
// credit. Negative credits are a debt.
type Credits int64

const (
	// Credit is one whole credit.
	Credit Credits = 1_000_000
	// MaxCredits bounds every amount of credits, inclusive, on both sides of
	// zero. Ten times more would not fit beside a second amount in an int64.
	MaxCredits = 1_000_000_000_000 * Credit
)

// ParseCredits reads a decimal number such as "412", "-8" or "1e3", rounded
// half to even to a millionth. Text, NaN, infinities and numbers beyond
// ±MaxCredits are errors, never zero.
func ParseCredits(text string) (Credits, error) {
	d, err := parseDecimal(text)
	if err != nil {
		return 0, err
	}
	limit := decimal.MustNew(int64(MaxCredits/Credit), 0)
	if d.CmpAbs(limit) > 0 {
		return 0, fmt.Errorf("%s is beyond ±%s credits", cut(text), limit)
	}
	whole, frac, ok := d.Round(creditScale).Int64(creditScale)
	if !ok {
		return 0, fmt.Errorf("%s does not fit into millionths of a credit", cut(text))
	}
	return Credits(whole)*Credit + Credits(frac), nil
}

// creditScale is the number of decimal places in Credits.
const creditScale = 6

// String writes the shortest exact decimal: "412", "41.2", "-0.000001".
func (c Credits) String() string {
	d, err := decimal.New(int64(c), creditScale)
	if err != nil { // cannot happen: every int64 has at most 19 digits
		return strconv.FormatInt(int64(c), 10) + "e-6"
	}
	return d.Trim(0).String()
}

// Grouped writes the credits for a person's eyes, with thousands separated:
// "1,012", "-41.2".
func (c Credits) Grouped() string { return group(c.String()) }

// Currency is an ISO 4217 code in capitals, such as "EUR".
type Currency string

// ParseCurrency accepts the codes of ISO 4217 that are in use, in capitals or
// small letters: some systems write eur.
func ParseCurrency(code string) (Currency, error) {
	upper := strings.ToUpper(code)
	if len(code) != 3 || !currency.IsValid(upper) { // the library takes "" for a currency
		return "", fmt.Errorf("%q is not an ISO 4217 currency code such as EUR", cut(code))
	}
	return Currency(upper), nil
}

// Digits is the number of decimal places of the currency's minor unit: 2 for
// EUR, 0 for JPY, 3 for KWD.
func (c Currency) Digits() int {
	digits, _ := currency.GetDigits(string(c))
	return int(digits)
}

// Money is an exact amount in the minor unit of its currency (cents for EUR).
type Money struct {
	Minor    int64    `json:"minor"`
	Currency Currency `json:"currency"`
}

// MaxMinor bounds every amount of money, inclusive, on both sides of zero.
const MaxMinor int64 = 1_000_000_000_000_000

// ParseMoney reads an amount with its currency, as people write it in the
// rules: "200.00 EUR". More decimal places than the currency has are an error:
// money is never rounded on the way in.
func ParseMoney(text string) (Money, error) {
	amount, code, ok := strings.Cut(text, " ")
	if !ok || strings.ContainsAny(code, " \t") {
		return Money{}, fmt.Errorf("%q is not an amount with its currency such as 200.00 EUR", cut(text))
	}
	cur, err := ParseCurrency(code)
	if err != nil {
		return Money{}, err
	}
	return ParseAmount(amount, cur)
}

// ParseAmount reads a decimal amount of a known currency: "200.00".
func ParseAmount(text string, cur Currency) (Money, error) {
	d, err := parseDecimal(text)
	if err != nil {
		return Money{}, err
	}
	digits := cur.Digits()
	whole, frac, ok := d.Int64(digits)
	if !ok || !exactly(text, d) || !decimalEqual(d, whole, frac, digits) {
		return Money{}, fmt.Errorf("%s has more than the %d decimal places of %s", cut(text), digits, cur)
	}
	most := MaxMinor / pow10(digits)
	if whole > most || whole < -most || whole == most && frac > 0 || whole == -most && frac < 0 {
		return Money{}, fmt.Errorf("%s %s is beyond what topupd counts", cut(text), cur)
	}
	return Money{Minor: whole*pow10(digits) + frac, Currency: cur}, nil
}

// ParseMinor reads a whole number of minor units, as billing APIs send money.
// Fractions are an error.
func ParseMinor(text string, cur Currency) (Money, error) {
	d, err := parseDecimal(text)
	if err != nil {
		return Money{}, err
	}
	whole, frac, ok := d.Int64(0)
	if !ok || frac != 0 || !exactly(text, d) || !decimalEqual(d, whole, 0, 0) {
		return Money{}, fmt.Errorf("%s is not a whole number of minor units", cut(text))
	}
	if whole > MaxMinor || whole < -MaxMinor {
		return Money{}, fmt.Errorf("%s minor units of %s are beyond what topupd counts", cut(text), cur)
	}
	return Money{Minor: whole, Currency: cur}, nil
}

// Amount writes the decimal amount without its currency: "900.00".
func (m Money) Amount() string {
	d, err := decimal.New(m.Minor, m.Currency.Digits())
	if err != nil { // cannot happen: every int64 has at most 19 digits
		return strconv.FormatInt(m.Minor, 10)
	}
	return d.String()
}

// String writes the amount with its currency: "900.00 EUR".
func (m Money) String() string { return m.Amount() + " " + string(m.Currency) }

// Grouped writes the money for a person's eyes: "20,000.00 EUR".
func (m Money) Grouped() string { return group(m.Amount()) + " " + string(m.Currency) }

// IsZero tells whether no money is meant at all.
func (m Money) IsZero() bool { return m == Money{} }

// parseDecimal bounds what it reads: at most 40 characters, 19 digits, no NaN,
// no infinity, no exponent that the digits cannot hold.
func parseDecimal(text string) (decimal.Decimal, error) {
	if len(text) == 0 || len(text) > 40 {
		return decimal.Decimal{}, fmt.Errorf("%q is not a decimal number", cut(text))
	}
	d, err := decimal.Parse(text)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("%q is not a decimal number that topupd can hold exactly", cut(text))
	}
	return d, nil
}

// exactly tells whether d is the number that the text says. Digits beyond the
// 19th are rounded without a word (govalues/decimal v0.1.36, Parse), and an
// exponent beyond what 40 characters need is no amount.
func exactly(text string, d decimal.Decimal) bool {
	const most = 40
	if _, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n < -most || n > most {
			return false
		}
	}
	said, ok := new(big.Rat).SetString(text)
	read, okRead := new(big.Rat).SetString(d.String())
	return ok && okRead && said.Cmp(read) == 0
}

// decimalEqual tells whether nothing was lost when d was split into whole and
// frac at the given scale.
func decimalEqual(d decimal.Decimal, whole, frac int64, scale int) bool {
	w, err := decimal.New(whole, 0)
	if err != nil {
		return false
	}
	f, err := decimal.New(frac, scale)
	if err != nil {
		return false
	}
	sum, err := w.Add(f)
	return err == nil && sum.Cmp(d) == 0
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// group separates the thousands of a plain decimal with commas.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, frac, hasFrac := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if hasFrac {
		whole += "." + frac
	}
	return sign + whole
}

// cut keeps outside text in errors short.
func cut(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
