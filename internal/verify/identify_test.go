package verify

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"topupd/topup"
)

// twice is a purchase that was charged twice, beside one of another customer.
func twice() *books {
	b := newBooks()
	at := noon.Add(-24 * time.Hour)
	b.buy(1, "cus_1", at)
	b.bill("inv_again", "cus_1", at.Add(3*time.Minute))
	b.row("cdt_again", "inv_again", "cus_1", at.Add(3*time.Minute))
	b.buy(2, "cus_2", at)
	return b
}

// onlyID is the id of the one finding.
func onlyID(t *testing.T, f Facts) string {
	t.Helper()
	findings := Compare(f).Findings
	if len(findings) != 1 {
		t.Fatalf("%d findings, want one: %+v", len(findings), findings)
	}
	return findings[0].ID
}

func TestTheSameDifferenceKeepsItsID(t *testing.T) {
	t.Parallel()
	id := onlyID(t, twice().Facts)
	if !regexp.MustCompile(`^d-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("id %q is not short, or cannot be found in a text", id)
	}
	for _, tt := range []struct {
		name  string
		later func(b *books)
	}{
		{"in a later run over a longer time", func(b *books) { b.Now, b.Since = b.Now.AddDate(0, 0, 3), b.Since.AddDate(0, 0, -30) }},
		{"in another order", func(b *books) { slices.Reverse(b.Invoices); slices.Reverse(b.Rows); slices.Reverse(b.Purchases) }},
		{"when the row of the bill was not read", func(b *books) { b.Rows = slices.Delete(b.Rows, 1, 2) }},
		{"when topupd has imported it since", func(b *books) { b.Imports = []topup.Topup{{ID: "cdt_again", Invoice: "inv_again"}} }},
		{"when the provider has another word for its status", func(b *books) { b.Invoices[1].Status = "closed" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := twice()
			tt.later(b)
			if got := onlyID(t, b.Facts); got != id {
				t.Errorf("id %s, want %s", got, id)
			}
		})
	}
}

func TestADifferenceThatChangesIsAnotherOne(t *testing.T) {
	t.Parallel()
	yesterday := noon.Add(-24 * time.Hour)
	bought := func(spoil func(b *books)) func() *books {
		return func() *books {
			b := newBooks()
			b.buy(1, "cus_1", yesterday)
			spoil(b)
			return b
		}
	}
	for _, tt := range []struct {
		name   string
		made   func() *books
		change func(b *books)
	}{
		{"another invoice", twice, func(b *books) { b.Invoices[1].ID, b.Rows[1].Invoice = "inv_third", "inv_third" }},
		{"at another provider", twice, func(b *books) {
			b.Provider += "other"
			for i := range b.Purchases {
				b.Purchases[i].Target.Provider = b.Provider
			}
			for i := range b.Rows {
				b.Rows[i].Target.Provider = b.Provider
			}
		}},
		{"it was collected since", bought(func(b *books) {
			b.bill("inv_again", "cus_1", yesterday.Add(time.Minute)).Payment = topup.PaymentPending
		}), func(b *books) { b.Invoices[1].Payment = topup.PaymentPaid }},
		{"another amount", bought(func(b *books) { b.Invoices[0].Amount = eur(250_00) }), func(b *books) { b.Invoices[0].Amount = eur(251_00) }},
		{"another currency", bought(func(b *books) { b.Invoices[0].Amount = eur(250_00) }), func(b *books) { b.Invoices[0].Amount.Currency = "USD" }},
		{"another number of credits", bought(func(b *books) { b.Rows[0].Credits = 1 }), func(b *books) { b.Rows[0].Credits = 2 }},
		{"another expiry", bought(func(b *books) { b.Rows[0].ExpiresOn = "2026-12-01" }), func(b *books) { b.Rows[0].ExpiresOn = "2026-12-02" }},
		{
			"a third booking", bought(func(b *books) { b.row("cdt_2", "inv_1", "cus_1", yesterday.Add(time.Minute)) }),
			func(b *books) { b.row("cdt_3", "inv_1", "cus_1", yesterday.Add(2*time.Minute)) },
		},
		{"more credits that nobody was billed for", bought(func(b *books) { b.row("cdt_x", "", "cus_1", yesterday) }), func(b *books) { b.Rows[1].Credits++ }},
		{"an unknown bill of another amount", bought(func(b *books) { b.bill("inv_x", "cus_9", yesterday) }), func(b *books) { b.Invoices[1].Amount.Minor++ }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := tt.made()
			before := onlyID(t, b.Facts)
			tt.change(b)
			if after := onlyID(t, b.Facts); after == before {
				t.Errorf("it is still %s", after)
			}
		})
	}
}

func TestAKeySaysKindAndID(t *testing.T) {
	t.Parallel()
	f := Compare(twice().Facts).Findings[0]
	if kind, id := Keyed(f.Key()); kind != DoubleCharge || id != f.ID {
		t.Errorf("Keyed(%q) = %s, %s", f.Key(), kind, id)
	}
	if kind, id := Keyed("double_charge purchase-0001 inv_again cdt_again"); kind != DoubleCharge || id != "" {
		t.Errorf("a key from before ids: %s, %q", kind, id)
	}
	if got := Wronged([]string{f.Key()}); !slices.Equal(got, []string{"purchase-0001"}) {
		t.Errorf("Wronged = %q", got)
	}
}
