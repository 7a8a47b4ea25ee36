package topup

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/internal/fuzztest"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzAmounts: what is read is the number that stands there, bounded, credits to
// half a millionth and money exactly in every currency, and writing it and
// reading it again changes nothing.
func FuzzAmounts(f *testing.F) {
	for _, text := range []string{
		"412", "-8", "0", "-0", "1e3", "0.0000005", "0.0000015", "-0.0000005", "1000000000000", "1000000000000.000001", "-1e12", "1e12", "1e13",
		"9223372036854775807", "9223372036854775808", "NaN", "Inf", "-infinity", "1e400", "1e-400", "0x10", "1_000", "1,000", "200.00", "10.005", " 5", "5 ",
		"+5", ".5", "5.", "", "-", "1e", "٣", strings.Repeat("9", 41), "0." + strings.Repeat("0", 30) + "1", "200.00 EUR", "100 JPY", "1.234 KWD", "5 eur", "5 eu\u017f", "5 XXX",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkCredits(t, text)
		if m, err := ParseMoney(text); err == nil {
			amount, code, _ := strings.Cut(text, " ")
			checkMoney(t, amount, m)
			if strings.ToUpper(code) != string(m.Currency) || len(code) != 3 {
				t.Errorf("ParseMoney(%q) is in %q", text, m.Currency)
			}
		}
		for _, currency := range []Currency{"EUR", "JPY", "KWD", "CLF"} {
			if m, err := ParseAmount(text, currency); err == nil {
				checkMoney(t, text, m)
			}
			m, err := ParseMinor(text, currency)
			if err == nil && (m.Minor > MaxMinor || m.Minor < -MaxMinor || !nearby(text, m.Minor, 1) || !integral(text)) {
				t.Errorf("ParseMinor(%q, %s) = %d", text, currency, m.Minor)
			}
		}
	})
}

// nearby tells whether the text is a number and the count of its parts is it, to
// half of one part; only the first 19 digits count, hence the tenth.
func nearby(text string, count, parts int64) bool {
	if len(text) > 40 || strings.ContainsAny(text, "/_xXpPoObB") { // big.Rat reads fractions and other bases
		return false
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		return false
	}
	diff := exact.Sub(exact, big.NewRat(count, parts))
	return diff.Abs(diff).Cmp(big.NewRat(6, 10*parts)) <= 0
}

func checkCredits(t *testing.T, text string) {
	t.Helper()
	c, err := ParseCredits(text)
	if err != nil {
		if c != 0 || len(err.Error()) > 300 {
			t.Errorf("ParseCredits(%q) = %s, %v", text, c, err)
		}
		return
	}
	if c > MaxCredits || c < -MaxCredits || !nearby(text, int64(c), int64(Credit)) {
		t.Errorf("ParseCredits(%q) = %s", text, c)
	}
	if again, err := ParseCredits(c.String()); err != nil || again != c {
		t.Errorf("%s was read from %q and is read back as %s, %v", c, text, again, err)
	}
	if shown := strings.ReplaceAll(c.Grouped(), ",", ""); shown != c.String() {
		t.Errorf("%s is shown to people as %s", c, c.Grouped())
	}
}

func integral(text string) bool {
	exact, ok := new(big.Rat).SetString(text)
	return ok && exact.IsInt()
}

func checkMoney(t *testing.T, text string, m Money) {
	t.Helper()
	parts := pow10(m.Currency.Digits())
	exact, ok := new(big.Rat).SetString(text)
	if !ok || m.Minor > MaxMinor || m.Minor < -MaxMinor || exact.Cmp(big.NewRat(m.Minor, parts)) != 0 {
		t.Errorf("%d minor units of %s were read from %q", m.Minor, m.Currency, text)
	}
	if again, err := ParseMoney(m.String()); err != nil || again != m {
		t.Errorf("%s is read back as %s, %v", m, again, err)
	}
	if again, err := ParseAmount(m.Amount(), m.Currency); err != nil || again != m {
		t.Errorf("the amount of %s is read back as %s, %v", m, again, err)
	}
}

// FuzzTrail: whatever trail the ledger gives back, it can be gone on with: it
// stays bounded, survives being stored, and only a rise that fits is evidence.
func FuzzTrail(f *testing.F) {
	begun := `{"begun":true,"levels":[{"balance_micro":40000000,"read_at":"2026-11-20T12:00:00Z","as_of":"2026-11-20T12:00:00Z"}],` +
		`"jumps":[{"before":{"balance_micro":40000000,"read_at":"2026-11-20T12:00:00Z"},"after":{"balance_micro":140000000,"read_at":"2026-11-20T12:00:10Z"},"held":false}],` +
		`"apart":[{"account":"talkover://h/env-2","times":1,"last":"2026-11-20T12:00:00Z"}],"said":{"reference":"txn_1","charged":{"minor":11000,"currency":"USD"}}}`
	f.Add([]byte(begun), int64(140_000_000), int64(100_000_000), int64(15))
	f.Add([]byte(`{}`), int64(-1), int64(0), int64(0))
	f.Add([]byte(`{"newest":"9999-12-31T23:59:59Z","levels":null}`), int64(MaxCredits), int64(MaxCredits), int64(-5))
	f.Add([]byte(`{"levels":[{"balance_micro":-9223372036854775808,"read_at":"0001-01-01T00:00:00Z"}],"jumps":[{},{},{}]}`), int64(0), int64(1), int64(1))
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, stored []byte, balance, amount, seconds int64) {
		var trail Trail
		if json.Unmarshal(stored, &trail) != nil {
			return
		}
		kept := len(trail.Jumps)
		bounded := Credits(min(max(balance, -int64(MaxCredits)), int64(MaxCredits)))
		bought := Credits(min(max(amount, 0), int64(MaxCredits)))
		trail.begin(Purchase{BalanceBefore: bounded, ReadAt: start, RefreshedAt: start})
		for n := range maxLevels + 2 {
			at := start.Add(time.Duration(min(max(seconds, -3600), 3600)*int64(n)) * time.Second)
			trail.add(levelOf(bounded+Credits(n%2)*bought/2, at, at), bought)
			trail.compare([]Shown{{Account: "other", Level: levelOf(bounded, at, at)}}, bought)
		}
		if len(trail.Levels) > maxLevels || len(trail.Jumps) > max(maxJumps, kept) || len(trail.Apart) > max(maxApart, 1+strings.Count(string(stored), "account")) {
			t.Errorf("the trail has grown to %d levels, %d jumps, %d accounts", len(trail.Levels), len(trail.Jumps), len(trail.Apart))
		}
		for _, j := range trail.held() {
			if !j.Held {
				t.Errorf("%+v has not lasted", j)
			}
		}
		survives(t, trail)
	})
}

// survives stores the trail and reads it again.
func survives(t *testing.T, trail Trail) {
	t.Helper()
	text, err := json.Marshal(trail)
	if err != nil {
		t.Fatalf("%+v cannot be stored: %v", trail, err)
	}
	var again Trail
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatalf("%s cannot be read again: %v", text, err)
	}
	second, err := json.Marshal(again)
	if diff := cmp.Diff(string(text), string(second)); diff != "" || err != nil {
		t.Errorf("stored twice it differs (%v):\n%s", err, diff)
	}
}
