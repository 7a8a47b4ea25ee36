package hyperline

import (
	"testing"

	"topupd/clients"
)

func TestRVUncounted(t *testing.T) {
	for _, s := range []string{"consolidated", "charged_on_parent"} {
		row, err := clients.ParseObject([]byte(`{"id":"inv_1","status":"` + s + `","issued_at":"2026-11-20T10:00:00Z","customer":{"id":"cus_1"},"currency":"EUR","amount_excluding_tax":20000,"amount_paid":0,"line_items":[{"product_id":"itm_1","product_type":"credit"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		i, ok, err := readInvoice(row)
		if err != nil || !ok {
			t.Fatal(err)
		}
		if !i.Uncounted {
			t.Errorf("%s: payment %s, counted as unpaid", s, i.Payment)
		}
	}
}
