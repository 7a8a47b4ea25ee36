package topup

import (
	"context"
	"testing"
	"time"
)

// sent is a purchase whose request left at noon and was not answered.
func sent(w *world) Purchase {
	p, at := w.plan(), w.now
	p.State, p.SentAt, p.LastSentAt, p.Attempts = Sent, &at, &at, 1
	return p
}

// TestOnlyWhatAReadingShowsIsCredited: P5. The ledger row alone is not enough.
func TestOnlyWhatAReadingShowsIsCredited(t *testing.T) {
	w := newWorld()
	row := w.now.Add(time.Minute)
	p := sent(w)
	p.confirm("inv_1", "answer", w.now)
	p.RowAt, p.BalanceBefore = &row, 10*Credit
	later := w.now.Add(5 * time.Minute)
	for _, tt := range []struct {
		name   string
		latest *Reading
		want   State
	}{
		{"no reading at all", nil, Confirmed},
		{"a balance refreshed before the row, as low as before", &Reading{Balance: 9 * Credit, ReadAt: later, RefreshedAt: row.Add(-time.Second)}, Confirmed},
		{"a balance refreshed before the row, just below the half of a rise", &Reading{Balance: 70*Credit - 1, ReadAt: later, RefreshedAt: row.Add(-time.Second)}, Confirmed},
		{"a balance that rose by half of what was bought", &Reading{Balance: 70 * Credit, ReadAt: later, RefreshedAt: row.Add(-time.Second)}, Credited},
		{"a balance refreshed with the row, however low", &Reading{Balance: 1 * Credit, ReadAt: later, RefreshedAt: row}, Credited},
		{"a reading that cannot be used", &Reading{Bad: "null", ReadAt: later, RefreshedAt: row}, Confirmed},
		{"a reading from before the purchase", &Reading{Balance: 200 * Credit, ReadAt: w.now.Add(-time.Hour), RefreshedAt: row}, Confirmed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Followed(p, Books{}, tt.latest, true, later).Next.State; got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestARefusedTokenStopsTheProvider: P7. It says nothing about the customer.
func TestARefusedTokenStopsTheProvider(t *testing.T) {
	w := newWorld()
	c := Answered(sent(w), Answer{Verdict: Rejected, Stop: true, Reason: FailedAuth, Detail: "401 no such token"}, true, w.now)
	if c.Stop != "401 no such token" || c.Decline {
		t.Errorf("stop %q, decline %t: want the provider stopped and no decline counted", c.Stop, c.Decline)
	}
}

// TestANoToARepeatProvesNothing: P3, P4. The first request may still have run.
func TestANoToARepeatProvesNothing(t *testing.T) {
	for _, books := range []bool{true, false} {
		w := newWorld()
		p := sent(w)
		p.Attempts, p.Repeats = 2, 1
		c := Answered(p, Answer{Verdict: Rejected, Reason: FailedDeclined}, books, w.now)
		if c.Next.State != Sent || c.Next.Refused || c.Decline {
			t.Errorf("books %t: %s, refused %t, decline %t: want an unclear purchase", books, c.Next.State, c.Next.Refused, c.Decline)
		}
	}
}

// TestNothingIsRepeatedThatWouldNotBeBought: P4. The purchase stays sent and is
// asked about again.
func TestNothingIsRepeatedThatWouldNotBeBought(t *testing.T) {
	w := newWorld()
	p := w.plan()
	w.fault = fault{answer: Unknown}
	_, _ = w.purchaser().Buy(t.Context(), p, Lease{})
	r := w.reconciler()
	asked := 0
	r.Decide = func(context.Context, Purchase) (Again, error) {
		asked++
		return Again{Reason: Enough, Text: "somebody else filled the balance", Facts: Facts{At: w.now, MaxAge: time.Minute}, ServerTime: w.now}, nil
	}
	for range 60 {
		w.advance(time.Minute)
		if _, err := visited(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.ledger.rows[p.ID]; asked < 2 || got.State != Sent || got.Attempts != 1 || len(w.charges) != 0 {
		t.Errorf("asked %d times, %s after %d requests and %d charges: want no repeat and to be asked again", asked, got.State, got.Attempts, len(w.charges))
	}
}

// TestADeclinedPurchaseKeepsItsInvoice: P3. A void invoice explains it still,
// and can explain no other.
func TestADeclinedPurchaseKeepsItsInvoice(t *testing.T) {
	w := newWorld()
	p := sent(w)
	p.confirm("inv_1", "evidence", w.now)
	invoice := Invoice{ID: "inv_1", At: w.now, Amount: p.Price, Payment: PaymentVoid, Status: "voided", Products: []ProductID{p.Target.Product}}
	next := Voided(p, Books{Invoices: []Invoice{invoice}, Complete: true}, nil, w.now.Add(time.Hour)).Next
	if next.State != Declined || next.Payment != PaymentVoid || next.Reference != "inv_1" {
		t.Errorf("%s, payment %s, reference %q: want it declined and inv_1 kept", next.State, next.Payment, next.Reference)
	}
}
