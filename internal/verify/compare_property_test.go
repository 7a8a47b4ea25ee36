package verify

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"topupd/topup"
)

func TestEqualBooksHaveNoDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBooks()
		for n := range rapid.IntRange(0, 30).Draw(t, "purchases") {
			at := noon.Add(-time.Duration(rapid.IntRange(0, 60*60).Draw(t, "minutes ago")) * time.Minute)
			customer := topup.CustomerID(fmt.Sprintf("cus_%d", rapid.IntRange(0, 40).Draw(t, "customer")*100+n))
			p := b.buy(n, customer, at)
			if p.PlannedAt.Before(b.Since) {
				b.Claimed[p.Reference] = true
			}
			switch rapid.IntRange(0, 5).Draw(t, "end") {
			case 0: // never executed
				end(p, topup.Cancelled)
				b.Invoices, b.Rows, b.Answers = b.Invoices[:len(b.Invoices)-1], b.Rows[:len(b.Rows)-1], b.Answers[:len(b.Answers)-1]
			case 1: // its bill was voided
				p.State, p.Payment = topup.Declined, topup.PaymentVoid
				b.Invoices[len(b.Invoices)-1].Payment = topup.PaymentVoid
			case 2: // still followed
				p.Payment = topup.PaymentPending
			case 3: // open
				p.State, p.FinishedAt = topup.Sent, nil
			default:
			}
		}
		if r := Compare(b.Facts); len(r.Findings) != 0 {
			t.Fatalf("equal books: %+v", r.Findings)
		}
	})
}

// Whatever one mistake is made in books that are otherwise equal, there is one
// finding and it is about the right purchase.
func TestOneMistakeIsOneFinding(t *testing.T) {
	t.Parallel()
	mistakes := map[Kind]func(b *books, n int){
		MissingInvoice: func(b *books, n int) {
			b.Gone[b.Invoices[n].ID] = true
			b.Invoices, b.Rows = slices.Delete(b.Invoices, n, n+1), slices.Delete(b.Rows, n, n+1)
		},
		MissingRow:     func(b *books, n int) { b.Rows = slices.Delete(b.Rows, n, n+1) },
		AmountDiffers:  func(b *books, n int) { b.Invoices[n].Amount.Minor++ },
		CreditsDiffer:  func(b *books, n int) { b.Rows[n].Credits++ },
		PaymentDiffers: func(b *books, n int) { b.Invoices[n].Payment = topup.PaymentFailed },
		Reversed:       func(b *books, n int) { b.Invoices[n].Payment = topup.PaymentVoid },
		ChargedAfterNo: func(b *books, n int) { end(&b.Purchases[n], topup.Declined) },
		DoubleCharge: func(b *books, n int) {
			b.bill("inv_again", b.Invoices[n].Customer, b.Invoices[n].At.Add(time.Minute))
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		b := newBooks()
		size := rapid.IntRange(1, 20).Draw(t, "purchases")
		for n := range size {
			b.buy(n, topup.CustomerID(fmt.Sprintf("cus_%d", n%7)), noon.Add(-time.Duration(n+1)*time.Hour))
		}
		kind := rapid.SampledFrom(slices.Sorted(keys(mistakes))).Draw(t, "mistake")
		n := rapid.IntRange(0, size-1).Draw(t, "of")
		mistakes[kind](b, n)
		got := Compare(b.Facts).Findings
		if len(got) != 1 || got[0].Kind != kind || got[0].Purchase != fmt.Sprintf("purchase-%04d", n) {
			t.Fatalf("found %+v, want one %s of purchase %d", got, kind, n)
		}
	})
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
