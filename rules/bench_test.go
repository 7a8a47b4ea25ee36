package rules

import (
	"testing"
	"time"

	"topupd/topup"
)

// BenchmarkDecide is one decision with a confirm read, the longest way through
// the checks. BenchmarkDecideEnough is what nearly every target of a poll
// takes.
func BenchmarkDecide(b *testing.B)       { benchmarkDecide(b, 100*topup.Credit, topup.Buy) }
func BenchmarkDecideEnough(b *testing.B) { benchmarkDecide(b, 900*topup.Credit, topup.Enough) }

func benchmarkDecide(b *testing.B, balance topup.Credits, want topup.Reason) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	first, mark := now.Add(-10*time.Second), 500*topup.Credit
	reading := topup.Reading{Balance: balance, Threshold: &mark, ReadAt: now, RefreshedAt: now}
	f := Facts{
		Now: now, Reading: &reading, FirstLow: &first, Standing: topup.Standing{Now: now},
		Confirmation: &topup.Confirmation{Reading: reading},
		Rule: &Rule{
			Name: "r", Threshold: Threshold{Provider: true}, MaxReadingAge: time.Minute, ConfirmAfter: time.Second,
			Buy: Buy{Bundles: []Bundle{{PriceID: "pri", Credits: 600 * topup.Credit, Price: topup.Money{Minor: 90000, Currency: "EUR"}}}},
		},
	}
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(f); d.Reason != want {
			b.Fatalf("decided %s: %s", d.Reason, d.Text)
		}
	}
}
