package topup

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseCredits(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string // want starting with "error:" is an error that contains the rest
	}{
		{"a whole number", "412", "412"},
		{"a debt", "-8", "-8"},
		{"decimals", "41.20", "41.2"},
		{"an exponent as JSON writes it", "1e3", "1000"},
		{"half to even rounds down to an even millionth", "0.0000005", "0"},
		{"half to even rounds up to an even millionth", "0.0000015", "0.000002"},
		{"the upper bound is allowed", "1000000000000", "1000000000000"},
		{"a hair above the bound is not", "1000000000000.000001", "error:beyond"},
		{"the lower bound is allowed", "-1000000000000", "-1000000000000"},
		{"far beyond", "1e30", "error:"},
		{"not a number", "NaN", "error:"},
		{"infinity", "Infinity", "error:"},
		{"text", "abc", "error:"},
		{"nothing", "", "error:"},
		{"a number too long to be honest", strings.Repeat("9", 41), "error:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCredits(tt.in)
			if want, isErr := strings.CutPrefix(tt.want, "error:"); isErr {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("ParseCredits(%q) = %v, %v; want an error with %q", tt.in, got, err, want)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("ParseCredits(%q) = %v, %v; want %s", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseMoney(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"euros", "200.00 EUR", "200.00 EUR"},
		{"cents may be left out", "200 EUR", "200.00 EUR"},
		{"yen have no minor unit", "5000 JPY", "5000 JPY"},
		{"three decimals where the currency has them", "1.234 KWD", "1.234 KWD"},
		{"a fraction of a cent is not rounded away", "0.001 EUR", "error:decimal places"},
		{"yen with decimals", "50.5 JPY", "error:decimal places"},
		{"a decimal comma", "200,00 EUR", "error:not a decimal number"},
		{"no currency", "200.00", "error:with its currency"},
		{"an unknown currency", "200.00 EUX", "error:ISO 4217"},
		{"a space where the currency should be", "200.00 ", "error:ISO 4217"},
		{"small letters", "200.00 eur", "200.00 EUR"},
		{"the Caribbean guilder, since 2025", "200.00 xcg", "200.00 XCG"},
		{"letters that only look so", "200.00 eu\u017f", "error:ISO 4217"},
		{"absurd", "99999999999999999 EUR", "error:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMoney(tt.in)
			if want, isErr := strings.CutPrefix(tt.want, "error:"); isErr {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("ParseMoney(%q) = %v, %v; want an error with %q", tt.in, got, err, want)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("ParseMoney(%q) = %v, %v; want %s", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseMinorRefusesFractions(t *testing.T) {
	if got, err := ParseMinor("20000", "EUR"); err != nil || got.String() != "200.00 EUR" {
		t.Errorf("ParseMinor(20000) = %v, %v", got, err)
	}
	if got, err := ParseMinor("200.5", "EUR"); err == nil {
		t.Errorf("ParseMinor(200.5) = %v, want an error", got)
	}
}

func TestWritingAndReadingCreditsIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Credits(rapid.Int64Range(-int64(MaxCredits), int64(MaxCredits)).Draw(t, "credits"))
		got, err := ParseCredits(c.String())
		if err != nil || got != c {
			t.Fatalf("%d was written as %s and read as %d, %v", c, c, got, err)
		}
	})
}

func TestWritingAndReadingMoneyIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Money{
			Minor:    rapid.Int64Range(-MaxMinor, MaxMinor).Draw(t, "minor"),
			Currency: rapid.SampledFrom([]Currency{"EUR", "JPY", "KWD", "USD", "CLF"}).Draw(t, "currency"),
		}
		got, err := ParseMoney(m.String())
		if err != nil || got != m {
			t.Fatalf("%v was written as %s and read as %v, %v", m, m, got, err)
		}
	})
}

func TestGrouped(t *testing.T) {
	if got, want := (Money{Minor: 2_000_000, Currency: "EUR"}).Grouped(), "20,000.00 EUR"; got != want {
		t.Errorf("Grouped() = %q, want %q", got, want)
	}
	if got, want := (-1012*Credit - 500_000).Grouped(), "-1,012.5"; got != want {
		t.Errorf("Grouped() = %q, want %q", got, want)
	}
}
