package hyperline_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/topup"
)

// theirs is a bill of the documented customer, issued the given time before noon,
// for the product that is bought.
func theirs(id string, ago time.Duration, change ...string) string {
	text := bill(id, ago, "cus_1", string(documentedCustomer), "itm_1", string(product))
	return strings.NewReplacer(change...).Replace(text)
}

const day = 24 * time.Hour

// TestAnUnreadableBillBlocksWhileItMayMatter: P9. What is old and ended, or for
// something else than credits, is left out and counted; everything else blocks,
// by its id.
func TestAnUnreadableBillBlocksWhileItMayMatter(t *testing.T) {
	const withdrawn = `"currency":"HRK"`
	euro := `"currency":"EUR"`
	for _, tt := range []struct {
		name    string
		bill    string
		blocked bool
	}{
		{"paid years ago, for another product", theirs("inv_x", 1500*day, euro, withdrawn, string(product), "itm_seats", `"product_type":"credit"`, `"product_type":"seat"`), false},
		{"paid years ago, for credits", theirs("inv_x", 1500*day, euro, withdrawn), false},
		{"void for two days", theirs("inv_x", 2*day, euro, withdrawn, `"paid"`, `"voided"`), false},
		{"closed years ago", theirs("inv_x", 1500*day, euro, withdrawn, `"paid"`, `"closed"`), false},
		{"open, for another kind of product", theirs("inv_x", 0, euro, withdrawn, `"paid"`, `"to_pay"`, `"product_type":"credit"`, `"product_type":"seat"`), false},
		{"paid a week ago, credited", theirs("inv_1eTaiytfA0i2Va", 8*day, euro, withdrawn), false},
		{"paid two days ago, for other credits", theirs("inv_x", 2*day, euro, withdrawn, string(product), "itm_other"), false},
		{"an amount that is none, paid years ago", theirs("inv_x", 1500*day, `"amount_excluding_tax":20000`, `"amount_excluding_tax":null`), false},
		{"lines that are none, paid years ago", theirs("inv_x", 1500*day, `"line_items"`, `"x"`), false},

		{"paid two days ago, not credited", theirs("inv_x", 2*day, euro, withdrawn), true},
		{"paid an hour ago", theirs("inv_x", time.Hour, euro, withdrawn), true},
		{"void for an hour", theirs("inv_x", time.Hour, euro, withdrawn, `"paid"`, `"voided"`), true},
		{"open for years", theirs("inv_x", 1500*day, euro, withdrawn, `"paid"`, `"to_pay"`), true},
		{"failed for years", theirs("inv_x", 1500*day, euro, withdrawn, `"paid"`, `"error"`), true},
		{"failed for years, for other credits", theirs("inv_x", 1500*day, euro, withdrawn, `"paid"`, `"error"`, string(product), "itm_other"), true},
		{"in a status that nobody knows", theirs("inv_x", 1500*day, euro, withdrawn, `"paid"`, `"frozen"`), true},
		{"failed, with lines that are none", theirs("inv_x", 1500*day, `"line_items"`, `"x"`, `"paid"`, `"error"`), true},
		{"paid two days ago, with lines that are none", theirs("inv_x", 2*day, `"line_items"`, `"x"`), true},
		{"paid, without a time", theirs("inv_x", 1500*day, `"issued_at"`, `"x"`), true},
		{"without a status", theirs("inv_x", 1500*day, `"status"`, `"x"`), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := documented(t)
			f["/v2/invoices"] = `{"data":[` + theirs("inv_good", time.Hour) + "," + tt.bill + `],"next_cursor":null,"has_more":false}`
			conf, err := serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
			must(t, err)
			var unreadable []topup.Invoice
			for _, i := range conf.Invoices {
				if i.Unreadable != "" {
					unreadable = append(unreadable, i)
				}
			}
			if tt.blocked && (len(unreadable) != 1 || unreadable[0].ID != "inv_x" || !unreadable[0].Credit || conf.Skipped != 0) {
				t.Errorf("unreadable %+v, skipped %d; want inv_x to block", unreadable, conf.Skipped)
			}
			if !tt.blocked && (len(unreadable) != 0 || conf.Skipped != 1) {
				t.Errorf("unreadable %+v, skipped %d; want it left out and counted", unreadable, conf.Skipped)
			}
			if !slices.ContainsFunc(conf.Invoices, func(i topup.Invoice) bool { return i.ID == "inv_good" && i.Unreadable == "" }) {
				t.Errorf("invoices %+v, want inv_good among them", conf.Invoices)
			}
		})
	}
}

// TestALookWithAnUnreadableBillProvesNothing: P3. It may be the purchase that is
// looked for, unless it is older, or for something else than credits.
func TestALookWithAnUnreadableBillProvesNothing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		bill     string
		complete bool
	}{
		{"of this hour", theirs("inv_x", 0, `"EUR"`, `"HRK"`), false},
		{"of this hour, void", theirs("inv_x", 0, `"EUR"`, `"HRK"`, `"paid"`, `"voided"`), false},
		{"without a time", theirs("inv_x", 0, `"issued_at"`, `"x"`), false},
		{"of this hour, for something else", theirs("inv_x", 0, `"EUR"`, `"HRK"`, `"product_type":"credit"`, `"product_type":"seat"`), true},
		{"of last week", theirs("inv_x", 7*day, `"EUR"`, `"HRK"`), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := documented(t)
			f["/v2/invoices"] = `{"data":[` + theirs("inv_good", 0) + "," + tt.bill + `],"next_cursor":null,"has_more":false}`
			b, err := serve(t, f).Books(t.Context(), pack(documentedCustomer).Target, noon.Add(-time.Minute))
			must(t, err)
			if b.Complete != tt.complete || len(b.Invoices) != 1 || b.Invoices[0].ID != "inv_good" {
				t.Errorf("books %+v; want inv_good alone, complete %t", b, tt.complete)
			}
		})
	}
}

// TestAnOldUnreadableRowIsLeftOut: in the ledger of a credit.
func TestAnOldUnreadableRowIsLeftOut(t *testing.T) {
	const path = "/v1/customers/cus_Typ0px2W0aiEtl/credits/itm_3kXODDF42QXtnL/transactions"
	row := func(at time.Time) string {
		return fmt.Sprintf(`{"id":"cdt_x","type":"topup","customer_id":"cus_Typ0px2W0aiEtl","credit_count":null,"created_at":%q}`, at.Format(time.RFC3339))
	}
	for _, tt := range []struct {
		name string
		row  string
		err  string
	}{
		{"older than anything asked for", row(noon.Add(-40 * day)), ""},
		{"of this month", row(noon.Add(-10 * day)), "ledger row cdt_x: credit_count is null"},
		{"without a time", strings.Replace(row(noon), "created_at", "x", 1), "cdt_x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := documented(t)
			f[path] = strings.NewReplacer(`"total":1`, `"total":2`, `"data":[`, `"data":[`+tt.row+`,`).Replace(f[path])
			conf, err := serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
			if !contains(err, tt.err) || tt.err == "" && (len(conf.Topups) != 1 || conf.Skipped != 1) {
				t.Errorf("Confirm = %+v, %v; want one addition and one skipped, or %q", conf, err, tt.err)
			}
		})
	}
}

// TestARowWithoutATimeEndsNoList: what stands behind it is read all the same.
func TestARowWithoutATimeEndsNoList(t *testing.T) {
	const path = "/v1/customers/cus_Typ0px2W0aiEtl/credits/itm_3kXODDF42QXtnL/transactions"
	f := documented(t)
	rows := make([]string, 0, 350)
	for n := range cap(rows) {
		at := fmt.Sprintf(`"created_at":%q`, noon.Add(-time.Duration(n)*time.Minute).Format(time.RFC3339))
		if n == 150 {
			at = `"created_at":null`
		}
		kind := "usage"
		if n == 220 {
			kind = "topup"
		}
		rows = append(rows, fmt.Sprintf(`{"id":"cdt_%d","type":%q,"customer_id":"cus_Typ0px2W0aiEtl","credit_count":5,%s}`, n, kind, at))
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			f.ServeHTTP(w, r)
			return
		}
		var skip int
		_, _ = fmt.Sscan(r.URL.Query().Get("skip"), &skip)
		page := rows[min(skip, len(rows)):min(skip+100, len(rows))]
		fmt.Fprintf(w, `{"meta":{"total":%d},"data":[%s]}`, len(rows), strings.Join(page, ","))
	})
	conf, err := serve(t, h).Confirm(t.Context(), pack(documentedCustomer))
	must(t, err)
	if len(conf.Topups) != 1 || conf.Topups[0].ID != "cdt_220" {
		t.Errorf("additions %+v, want cdt_220, which stands behind a row without a time", conf.Topups)
	}
}

// TestAMarkThatCannotBeUsedIsABadReading: where the customer has one of its own,
// the product's does not matter.
func TestAMarkThatCannotBeUsedIsABadReading(t *testing.T) {
	const path, credit = "/v1/products/itm_3kXODDF42QXtnL", "/v1/customers/cus_Typ0px2W0aiEtl/credits/itm_3kXODDF42QXtnL"
	f := documented(t)
	f[path] = strings.Replace(f[path], `"low_credits_threshold":25`, `"low_credits_threshold":"25"`, 1)
	conf, err := serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
	if err != nil || conf.Reading.Bad != "" || conf.PriceProblem != "" {
		t.Errorf("with a mark of its own: bad %q, price %q, %v", conf.Reading.Bad, conf.PriceProblem, err)
	}
	f[credit] = strings.Replace(f[credit], `"low_count_threshold":10`, `"low_count_threshold":null`, 1)
	conf, err = serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
	if err != nil || !strings.Contains(conf.Reading.Bad, "the product's low_credits_threshold") || conf.Reading.Threshold != nil {
		t.Errorf("without one: %+v, %v", conf.Reading, err)
	}
}

// TestAnOldBillOfAnotherKind is the emulated report: a paid bill of 2022 in a
// currency that is none any more, in the list of a customer in EUR.
func TestAnOldBillOfAnotherKind(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{Customers: 2}})
	must(t, w.OldBill(emulator.OldBill{Customer: emulator.FirstCustomer, Currency: "HRK", Status: "paid", At: noon.AddDate(-4, 0, 0)}))
	conf, err := w.client(t).Confirm(t.Context(), pack(aCard))
	if err != nil || conf.Skipped != 1 || len(conf.Invoices) != 0 {
		t.Errorf("Confirm = %+v, %v; want one bill skipped", conf, err)
	}
	must(t, w.OldBill(emulator.OldBill{Customer: emulator.FirstCustomer, Currency: "HRK", Status: "to_pay", Credit: true, At: noon.AddDate(-4, 0, 0)}))
	conf, err = w.client(t).Confirm(t.Context(), pack(aCard))
	if err != nil || conf.Skipped != 1 || len(conf.Invoices) != 1 || conf.Invoices[0].Unreadable == "" {
		t.Errorf("Confirm = %+v, %v; want the open one to block", conf, err)
	}
}
