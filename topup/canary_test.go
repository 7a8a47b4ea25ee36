package topup

import "testing"

// P10. Only a bill over the price, and nothing else, shows what is charged.
func TestWhatABillShows(t *testing.T) {
	price := Money{Minor: 200_00, Currency: "EUR"}
	for _, tt := range []struct {
		name string
		bill Invoice
		want bool
	}{
		{"the price", Invoice{Amount: price, Products: []ProductID{"itm_1"}, Lines: 1}, true},
		{"whatever became of it", Invoice{Amount: price, Products: []ProductID{"itm_1"}, Lines: 1, Payment: PaymentFailed}, true},
		{"another amount", Invoice{Amount: Money{Minor: 220_00, Currency: "EUR"}, Products: []ProductID{"itm_1"}, Lines: 1}, false},
		{"another currency", Invoice{Amount: Money{Minor: 200_00, Currency: "USD"}, Products: []ProductID{"itm_1"}, Lines: 1}, false},
		{"two lines", Invoice{Amount: price, Products: []ProductID{"itm_1"}, Lines: 2}, false},
		{"billed with others", Invoice{Amount: price, Products: []ProductID{"itm_1"}, Lines: 1, Uncounted: true}, false},
	} {
		if got := tt.bill.Shows(price); got != tt.want {
			t.Errorf("%s: Shows = %t, want %t", tt.name, got, tt.want)
		}
	}
}
