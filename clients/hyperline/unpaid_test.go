package hyperline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/clients/emulator"
	"topupd/topup"
)

func TestUnpaidCountsTheBillsOfTheAccount(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 150}})
	w.pass(time.Hour)
	want := map[topup.CustomerID]topup.Debt{}
	for i, c := range w.Customers() {
		invoices, err := w.AddPast(emulator.PastPurchase{Customer: c.ID, At: w.now().Add(-time.Minute)})
		must(t, err)
		if i%10 != 0 {
			must(t, w.Spoil(invoices[0], emulator.MistakeUnpaid))
			want[topup.CustomerID(c.ID)] = topup.Debt{Pending: 1}
		}
	}
	before := w.reads()
	got, err := w.client(t).Unpaid(t.Context(), true)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unpaid (-want +got):\n%s", diff)
	}
	if n := w.reads() - before; n != 2 {
		t.Errorf("135 unpaid bills took %d reads, want 2", n)
	}
}

// TestUnpaidSaysNothingItDoesNotKnow: who owes is not asked about first, so a list
// that is cut short, or of everything, must be none.
func TestUnpaidSaysNothingItDoesNotKnow(t *testing.T) {
	toPay := func(n int) (list []string) {
		for i := range n {
			list = append(list, bill(fmt.Sprintf("inv_%d", i), time.Minute, `"status":"paid"`, `"status":"to_pay"`))
		}
		return list
	}
	for _, tt := range []struct {
		name  string
		bills []string
		want  string
	}{
		{"the filter is ignored", append(toPay(3), bill("inv_paid", time.Hour)), "the filter by status is ignored"},
		{"the list does not end", toPay(10_001), "more than 10000 unpaid bills"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := serve(t, account(tt.bills...)).Unpaid(t.Context(), true)
			if !contains(err, tt.want) || got != nil {
				t.Errorf("%v, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
	got, err := serve(t, account(append(toPay(2), bill("inv_other", time.Minute, `"status":"paid"`, `"status":"error"`),
		bill("inv_seat", time.Minute, `"status":"paid"`, `"status":"to_pay"`, `"product_type":"credit"`, `"product_type":"flat"`))...)).Unpaid(t.Context(), true)
	must(t, err)
	if diff := cmp.Diff(map[topup.CustomerID]topup.Debt{"cus_1": {Pending: 2, Failed: 1}}, got); diff != "" {
		t.Errorf("unpaid (-want +got):\n%s", diff)
	}
}
