package rules

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/internal/fuzztest"
	"topupd/topup"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzLoad: a rule file is refused with file and line, or its rules can be
// bought by, survive being frozen with a purchase, and load the same again.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add(content[:len(content)/2]) // while it is being written
	}
	path := filepath.Join(f.TempDir(), "rules.yml")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		set, problems := Load([]string{path}, installation())
		if len(problems.Error()) > 1<<20 {
			t.Errorf("%d bytes of problems for %d bytes of rules", len(problems.Error()), len(content))
		}
		lines := 1
		for _, r := range string(content) { // as YAML counts them, and more
			if strings.ContainsRune("\r\n\u0085\u2028\u2029", r) {
				lines++
			}
		}
		for _, p := range problems {
			if p.Message == "" || p.Line > lines || p.Line == 0 && !strings.Contains(p.Message, "empty") && !strings.Contains(p.Message, "missing") {
				t.Errorf("%q has a problem of no line: %+v", content, p)
			}
		}
		if problems.Err() != nil {
			return
		}
		for _, r := range set.Rules {
			checkRule(t, content, r)
		}
		again, _ := Load([]string{path}, installation())
		if diff := cmp.Diff(set, again); diff != "" {
			t.Errorf("loaded again it differs:\n%s", diff)
		}
	})
}

func checkRule(t *testing.T, content []byte, r Rule) {
	t.Helper()
	if r.Name == "" || r.Product == "" || len(r.Providers) == 0 || len(r.Buy.Bundles) == 0 || r.Cooldown < 0 || r.ConfirmAfter >= r.MaxReadingAge || r.Declines.SuspendAfter < 1 {
		t.Errorf("accepted %q as %+v", content, r)
	}
	for _, b := range r.Buy.Bundles {
		if b.Credits <= 0 || b.Credits > topup.MaxCredits || b.Price.Minor <= 0 || b.Price.Minor > topup.MaxMinor {
			t.Errorf("accepted %q with the bundle %+v", content, b)
		}
	}
	for _, c := range r.Caps {
		if c.Limit <= 0 {
			t.Errorf("accepted %q with the cap %s", content, c)
		}
	}
	frozen, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var thawed Rule
	if err := json.Unmarshal(frozen, &thawed); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(thawed); err != nil || string(again) != string(frozen) {
		t.Errorf("frozen it is %s, and %s (%v) when it was read again", frozen, again, err)
	}
}

// FuzzWords: amounts, thresholds, refills, moments and currencies are read
// within their bounds, or refused with what to write instead.
func FuzzWords(f *testing.F) {
	for _, text := range []string{
		"200.00 EUR", "200,00 EUR", "1,000.00 EUR", "EUR 200", "200EUR", "200", "100.5 JPY", "-1 EUR", "0 EUR", "1e3 EUR", "999999999999999 EUR",
		"provider", "50", "0.000001", "0.0000001", "1e3", "-5", "1000000000001", "3x threshold", "1x threshold", "1000.000001x threshold", "600 credits", "0 credits",
		"2027-01-01T00:00:00Z", "2027-01-01T00:00:00.5Z", "2027-01-01", "EUR", "eur", "XXX", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var money moneyText
		if money.ReadText(text) == nil {
			if again, err := topup.ParseMoney(topup.Money(money).String()); err != nil || again != topup.Money(money) || len(text) > 40 {
				t.Errorf("%q is %+v", text, money)
			}
		}
		var credits creditsText
		if credits.ReadText(text) == nil && (credits < 0 || topup.Credits(credits) > topup.MaxCredits) {
			t.Errorf("%q is %s", text, topup.Credits(credits))
		}
		var threshold thresholdText
		if threshold.ReadText(text) == nil && (threshold.Fixed < 0 || threshold.Provider != (text == "provider")) {
			t.Errorf("%q is %+v", text, threshold)
		}
		var refill refillText
		if refill.ReadText(text) == nil && (refill.TimesThreshold <= topup.Credit && refill.Credits <= 0 || refill.TimesThreshold > maxTimes) {
			t.Errorf("%q is %+v", text, refill)
		}
		var at timeText
		if at.ReadText(text) == nil && time.Time(at).Nanosecond() != 0 {
			t.Errorf("%q is %v", text, time.Time(at))
		}
		var currency currencyText
		if currency.ReadText(text) == nil && string(currency) != strings.ToUpper(text) {
			t.Errorf("%q is the currency %s", text, currency)
		}
	})
}

// FuzzTerms: whatever rule was frozen with a purchase, deciding by it neither
// panics nor answers outside the list.
func FuzzTerms(f *testing.F) {
	frozen, err := json.Marshal(low().Rule)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frozen)
	f.Add(frozen[:len(frozen)/2])
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"buy":{"bundles":[]},"expires":{"end_of_month":true,"timezone":"Mars/Olympus"},"threshold":{}}`))
	f.Add([]byte(`{"buy":{"bundles":[{"credits_micro":-1}],"refill_to":{"times_threshold_micro":9223372036854775807}},"cooldown_ns":-9223372036854775808}`))
	f.Fuzz(func(t *testing.T, terms []byte) {
		var rule Rule
		if json.Unmarshal(terms, &rule) != nil {
			return
		}
		for _, facts := range []Facts{low(), repeating()} {
			facts.Rule = &rule
			d := Decide(facts)
			if len(d.Text) > 2000+len(terms) {
				t.Errorf("%d bytes of text", len(d.Text))
			}
			known := false
			for _, r := range topup.Reasons() {
				known = known || r == d.Reason
			}
			if !known {
				t.Errorf("the reason is %q", d.Reason)
			}
		}
		rule.Expires.When(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	})
}
