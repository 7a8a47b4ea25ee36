package e2e

import (
	"testing"
	"time"

	"topupd/clients/emulator"
)

// TestATypoThatLosesACustomerIsTold: P16, until it is mended or said to be meant;
// also when the typo is in the product, whose credits are then not even read. What a
// person chose is shown beside it.
func TestATypoThatLosesACustomerIsTold(t *testing.T) {
	t.Parallel()
	const customers, product = "match: {all: true}", "itm_3kXODDF42QXtnL"
	p := newPlace(t, sqliteURL(t), quiet(1, 400), settings{})
	d := p.started()
	lost := func(why string, want float64) {
		t.Helper()
		until(t, 30*time.Second, why, func() bool { return d.value("topupd_customers_rule_lost", "provider", "hyperline") == want })
	}
	edited := func(from, to string) {
		t.Helper()
		p.edit("rules.yml", from, to)
		if status, body := d.reload(); status != 200 {
			t.Fatalf("POST /-/reload: %d %s", status, body)
		}
	}
	p.settles(1)
	for _, typo := range [][2]string{{customers, "match: {customer_ids: [cus_typo]}"}, {product, "itm_typo"}} {
		edited(typo[0], typo[1])
		lost(typo[1]+" loses the customer", 1)
		edited(typo[1], typo[0])
		lost("it is mended", 0)
	}
	edited(product, "itm_typo")
	lost("it is lost again", 1)
	p.succeeds("pause", "--customer", emulator.FirstCustomer, "--reason", "contract ended")
	lost("it is said to be meant", 0)
	until(t, 30*time.Second, "the pause to be shown", func() bool {
		return d.value("topupd_pause_oldest_timestamp_seconds", "scope", "customer") > 0
	})
	edited("itm_typo", product)
	edited(customers, customers+"\n    mode: dry_run")
	if d.value("topupd_dry_run", "rule", "api-credits") != 1 {
		t.Error("dry_run is not shown")
	}
}
