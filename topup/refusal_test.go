package topup

import "testing"

func TestWhoIsRefusedAlike(t *testing.T) {
	sign := func(customer string, status int, words string) string {
		p := Purchase{Target: Target{Customer: CustomerID(customer), Product: "itm_1"}, PriceID: "pri_small", PaymentMethodID: "pm_1"}
		return refusal(p, Answer{Status: status, Detail: words}).Sign
	}
	base := sign("cus_Typ0px2W0aiEtl", 400, `"Credits of cus_Typ0px2W0aiEtl cannot be purchased"`)
	for _, tt := range []struct {
		name, customer string
		status         int
		words          string
		alike          bool
	}{
		{"the customer's id", "cus_other", 400, `"Credits of cus_other cannot be purchased"`, true},
		{"an id without a form", "acme", 400, `"Credits of acme cannot be purchased"`, true},
		{"an id of something else", "cus_a", 400, `"Credits of cre_4kQ9xW cannot be purchased"`, true},
		{"a UUID", "cus_a", 400, `"Credits of 6d1f0b2e-6c0b-4d0c-9f0e-3a7f5e0c9b11 cannot be purchased"`, true},
		{"a number", "cus_a", 400, `"Credits of 4711 cannot be purchased"`, true},
		{"another status", "cus_a", 422, `"Credits of cus_a cannot be purchased"`, false},
		{"other words", "cus_a", 400, `"Credits of cus_a may not be purchased"`, false},
		{"a short id is no syllable", "o", 400, `"Credits of 1 cannot be purchased"`, true},
	} {
		if got := sign(tt.customer, tt.status, tt.words); (got == base) != tt.alike {
			t.Errorf("%s: %q beside %q, want alike %t", tt.name, got, base, tt.alike)
		}
	}
	if got := sign("cus_a", 422, "payment_method_id: The selected payment method is invalid."); got != "422 payment_method_id: The selected payment method is invalid." {
		t.Errorf("words were taken for ids: %q", got)
	}
}
