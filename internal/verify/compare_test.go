package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

// told is what a finding is about, without its words.
func told(f Finding) string {
	return strings.Join([]string{string(f.Kind), f.Purchase, f.Other, f.Invoice, f.Row}, "|")
}

func TestEachKindIsFound(t *testing.T) {
	t.Parallel()
	yesterday := noon.Add(-24 * time.Hour)
	for _, tt := range []struct {
		name  string
		spoil func(b *books)
		want  []string
	}{
		{"equal books have no difference", func(*books) {}, nil},

		{"a second bill minutes later is a double charge", func(b *books) {
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
			b.row("cdt_again", "inv_again", "cus_1", yesterday.Add(3*time.Minute))
		}, []string{"double_charge|purchase-0001||inv_again|cdt_again"}},
		{"a second bill that is not collected yet is one too", func(b *books) {
			i := b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
			i.Status, i.Payment = "to_pay", topup.PaymentPending
		}, []string{"double_charge|purchase-0001||inv_again|"}},
		{"an imported bill of the API in the window is a double charge", func(b *books) {
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
			b.row("cdt_again", "inv_again", "cus_1", yesterday.Add(3*time.Minute))
			b.Imports = []topup.Topup{{ID: "cdt_again", Invoice: "inv_again"}}
		}, []string{"double_charge|purchase-0001||inv_again|cdt_again"}},
		{"what the doctor tried in the window is no charge of the daemon's", func(b *books) {
			b.bill("inv_tried", "cus_1", yesterday.Add(3*time.Minute))
			b.row("cdt_tried", "inv_tried", "cus_1", yesterday.Add(3*time.Minute))
			b.Imports = []topup.Topup{{ID: "inv_tried", Invoice: "inv_tried", Source: topup.SourceDoctor}}
		}, nil},
		{"an imported bill of the portal in the window is the customer's", func(b *books) {
			b.bill("inv_portal", "cus_1", yesterday.Add(3*time.Minute))
			b.row("cdt_portal", "inv_portal", "cus_1", yesterday.Add(3*time.Minute)).Source = "portal"
			b.Imports = []topup.Topup{{ID: "cdt_portal", Invoice: "inv_portal"}}
		}, nil},
		{"an imported bill that no row tells the source of is one too", func(b *books) {
			i := b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
			i.Status, i.Payment = "to_pay", topup.PaymentPending
			b.Imports = []topup.Topup{{ID: "inv_again", Invoice: "inv_again"}}
		}, []string{"double_charge|purchase-0001||inv_again|"}},
		{"an imported bill after a no was ours after all", func(b *books) {
			p := b.buy(2, "cus_2", yesterday)
			end(p, topup.Declined)
			b.Invoices[1].Payment, b.Rows, b.Answers = topup.PaymentPending, b.Rows[:1], b.Answers[:1]
			b.Imports = []topup.Topup{{ID: "inv_2", Invoice: "inv_2"}}
		}, []string{"charged_after_no|purchase-0002||inv_2|"}},
		{"of two bills the first was refunded: the second stands for it", func(b *books) {
			b.Invoices[0].RefundedAt = noon
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
			b.row("cdt_again", "inv_again", "cus_1", yesterday.Add(3*time.Minute))
		}, []string{"reversed|purchase-0001||inv_1|"}},
		{"of three bills the first was refunded: the third is too many", func(b *books) {
			b.Invoices[0].RefundedAt = noon
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
			b.bill("inv_third", "cus_1", yesterday.Add(4*time.Minute))
		}, []string{"double_charge|purchase-0001||inv_third|", "reversed|purchase-0001||inv_1|"}},
		{"a second bill for a product that no rule buys any more", func(b *books) {
			b.Products = map[topup.ProductID]bool{"itm_new": true}
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
		}, []string{"double_charge|purchase-0001||inv_again|"}},
		{"a second bill that was refunded is over", func(b *books) {
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute)).RefundedAt = noon
		}, nil},
		{"a bill that an answer named belongs to its purchase whatever it costs", func(b *books) {
			b.bill("inv_named", "cus_1", yesterday.Add(5*time.Hour)).Amount = eur(300_00)
			b.Answers = append(b.Answers, Answer{"purchase-0001", "inv_named"})
		}, []string{"double_charge|purchase-0001||inv_named|"}},
		{"a bill from before the purchase was known to it", func(b *books) {
			b.bill("inv_before", "cus_1", yesterday.Add(-time.Minute))
			b.Purchases[0].Baseline = []string{"inv_before"}
		}, []string{"unknown_invoice|||inv_before|"}},

		{"a refused purchase that was billed", func(b *books) {
			end(&b.Purchases[0], topup.Declined)
			b.Answers = nil
		}, []string{"charged_after_no|purchase-0001||inv_1|cdt_inv_1"}},
		{"a cancelled purchase that was billed", func(b *books) {
			end(&b.Purchases[0], topup.Cancelled)
		}, []string{"charged_after_no|purchase-0001||inv_1|cdt_inv_1"}},
		{"a declined purchase whose bill was paid after all", func(b *books) {
			b.Purchases[0].State, b.Purchases[0].Payment = topup.Declined, topup.PaymentVoid
		}, []string{"charged_after_no|purchase-0001||inv_1|"}},
		{"a declined purchase whose bill is void is as it should be", func(b *books) {
			b.Purchases[0].State, b.Purchases[0].Payment = topup.Declined, topup.PaymentVoid
			b.Invoices[0].Status, b.Invoices[0].Payment = "voided", topup.PaymentVoid
		}, nil},

		{"two purchases with one reference", func(b *books) {
			p := b.buy(2, "cus_1", yesterday.Add(time.Hour))
			p.Reference = "inv_1"
			b.Invoices, b.Rows, b.Answers = b.Invoices[:1], b.Rows[:1], b.Answers[:1]
		}, []string{"claimed_twice|purchase-0002|purchase-0001|inv_1|"}},
		{"an answer that names another purchase's charge", func(b *books) {
			b.buy(2, "cus_1", yesterday.Add(time.Hour))
			b.Answers = append(b.Answers, Answer{"purchase-0002", "inv_1"})
		}, []string{"claimed_twice|purchase-0002|purchase-0001|inv_1|"}},
		{"an answer that names an older purchase's charge", func(b *books) {
			b.Answers = append(b.Answers, Answer{"purchase-0001", "inv_old"})
			b.Claimed["inv_old"] = true
		}, []string{"claimed_twice|purchase-0001||inv_old|"}},

		{"a bill that the provider does not have", func(b *books) {
			b.Invoices, b.Rows, b.Gone["inv_1"] = nil, nil, true
		}, []string{"missing_invoice|purchase-0001||inv_1|"}},
		{"a bill that was not read is not missing", func(b *books) { b.Invoices = nil }, nil},
		{"a bill without credits", func(b *books) { b.Rows = nil }, []string{"missing_row|purchase-0001||inv_1|"}},
		{"credits that were not read are not missing", func(b *books) {
			b.Rows = nil
			delete(b.Read, target("cus_1"))
		}, nil},
		{"credits booked twice", func(b *books) {
			b.row("cdt_more", "inv_1", "cus_1", yesterday.Add(time.Minute))
		}, []string{"credited_twice|purchase-0001||inv_1|cdt_more"}},
		{"another price", func(b *books) { b.Invoices[0].Amount = eur(250_00) }, []string{"amount_differs|purchase-0001||inv_1|"}},
		{"another currency", func(b *books) { b.Invoices[0].Amount.Currency = "USD" }, []string{"amount_differs|purchase-0001||inv_1|"}},
		{"another customer", func(b *books) { b.Invoices[0].Customer = "cus_2" }, []string{"amount_differs|purchase-0001||inv_1|"}},
		{"another price that we know of is in both books", func(b *books) {
			b.Invoices[0].Amount, b.Purchases[0].Charged = eur(250_00), new(eur(250_00))
		}, nil},
		{"a bill for several things has no price of ours", func(b *books) {
			b.Invoices[0].Amount, b.Invoices[0].Products = eur(900_00), []topup.ProductID{product, "itm_seats"}
		}, nil},
		{"fewer credits", func(b *books) { b.Rows[0].Credits = 119 * topup.Credit }, []string{"credits_differ|purchase-0001||inv_1|cdt_inv_1"}},
		{"an earlier expiry", func(b *books) { b.Rows[0].ExpiresOn = "2026-12-01" }, []string{"expiry_differs|purchase-0001||inv_1|cdt_inv_1"}},
		{"an expiry that was not asked for", func(b *books) { b.Purchases[0].ExpiresAt = nil }, []string{"expiry_differs|purchase-0001||inv_1|cdt_inv_1"}},
		{"no expiry although one was asked for", func(b *books) { b.Rows[0].ExpiresOn = topup.Never }, []string{"expiry_differs|purchase-0001||inv_1|cdt_inv_1"}},
		{"the day of another time zone is the same expiry", func(b *books) {
			b.Rows[0].ExpiresOn = b.Purchases[0].ExpiresAt.AddDate(0, 0, 1).Format(time.DateOnly)
		}, nil},
		{"an expiry that the provider does not say", func(b *books) { b.Rows[0].ExpiresOn = "" }, nil},
		{"paid here, open there", func(b *books) {
			b.Invoices[0].Status, b.Invoices[0].Payment = "to_pay", topup.PaymentPending
		}, []string{"payment_differs|purchase-0001||inv_1|"}},
		{"a payment that we still follow is not judged", func(b *books) {
			b.Purchases[0].Payment = topup.PaymentPending
		}, nil},
		{"voided after it was paid", func(b *books) {
			b.Invoices[0].Status, b.Invoices[0].Payment = "voided", topup.PaymentVoid
		}, []string{"reversed|purchase-0001||inv_1|"}},
		{"refunded after it was paid", func(b *books) { b.Invoices[0].RefundedAt = noon }, []string{"reversed|purchase-0001||inv_1|"}},

		{"a bill that nothing explains", func(b *books) {
			b.bill("inv_x", "cus_9", yesterday)
		}, []string{"unknown_invoice|||inv_x|"}},
		{"a bill of another price is not our double charge", func(b *books) {
			b.bill("inv_x", "cus_1", yesterday.Add(time.Minute)).Amount = eur(900_00)
		}, []string{"unknown_invoice|||inv_x|"}},
		{"a purchase in the portal is the customer's own, of whoever was never low too", func(b *books) {
			b.bill("inv_x", "cus_9", yesterday)
			b.row("cdt_x", "inv_x", "cus_9", yesterday).Source = "portal"
		}, nil},
		{"the provider's own top-up is its own", func(b *books) {
			b.bill("inv_x", "cus_1", yesterday.Add(time.Minute))
			b.row("cdt_x", "inv_x", "cus_1", yesterday.Add(time.Minute)).Source = "system"
		}, nil},
		{"an unexplained purchase through the API may be a lost one of ours", func(b *books) {
			b.bill("inv_x", "cus_9", yesterday)
			b.row("cdt_x", "inv_x", "cus_9", yesterday)
		}, []string{"unknown_invoice|||inv_x|cdt_x"}},
		{"a top-up in the portal whose bill is of another time", func(b *books) {
			b.bill("inv_x", "cus_1", b.Since.Add(-time.Hour))
			b.row("cdt_x", "inv_x", "cus_1", yesterday.Add(4*time.Hour)).Source = "portal"
		}, nil},
		{"credits without a bill are somebody's gift, whoever made them", func(b *books) {
			b.row("cdt_x", "", "cus_1", yesterday).Source = "app"
		}, []string{"row_without_invoice||||cdt_x"}},
		{"a bill of an older purchase", func(b *books) {
			b.bill("inv_x", "cus_9", yesterday)
			b.Claimed["inv_x"] = true
		}, nil},
		{"a bill for something else", func(b *books) { b.bill("inv_x", "cus_9", yesterday).Credit = false }, nil},
		{"a bill for credits that no rule buys", func(b *books) {
			b.bill("inv_x", "cus_9", yesterday).Products = []topup.ProductID{"itm_other"}
		}, nil},
		{"a bill that is void", func(b *books) { b.bill("inv_x", "cus_9", yesterday).Payment = topup.PaymentVoid }, nil},
		{"a draft", func(b *books) {
			i := b.bill("inv_x", "cus_9", yesterday)
			i.Status, i.Payment = "draft", topup.PaymentPending
		}, nil},
		{"credits that name a bill of another time", func(b *books) {
			b.bill("inv_x", "cus_1", b.Since.Add(-time.Hour))
			b.row("cdt_x", "inv_x", "cus_1", yesterday.Add(4*time.Hour))
		}, []string{"unknown_row|||inv_x|cdt_x"}},
		{"credits without a bill", func(b *books) {
			b.row("cdt_x", "", "cus_1", yesterday)
		}, []string{"row_without_invoice||||cdt_x"}},
		{"credits that name a bill that does not exist", func(b *books) {
			b.row("cdt_x", "inv_x", "cus_1", yesterday)
			b.Gone["inv_x"] = true
		}, []string{"row_without_invoice|||inv_x|cdt_x"}},
		{"imported credits without a bill", func(b *books) {
			b.row("cdt_x", "", "cus_1", yesterday)
			b.Imports = []topup.Topup{{ID: "cdt_x"}}
		}, nil},

		{"a person's purchase without a reference takes the bill around its time", func(b *books) {
			b.Purchases[0].Reference, b.Answers = "", nil
		}, nil},
		{"but only one", func(b *books) {
			b.Purchases[0].Reference, b.Answers = "", nil
			b.bill("inv_again", "cus_1", yesterday.Add(3*time.Minute))
		}, []string{"double_charge|purchase-0001||inv_again|"}},
		{"a bill around an open purchase may be its own", func(b *books) {
			p := &b.Purchases[0]
			p.State, p.Reference, p.FinishedAt, b.Answers = topup.NeedsReview, "", nil, nil
		}, nil},
		{"a bill around a young purchase may be its own", func(b *books) {
			p := b.buy(2, "cus_2", noon.Add(-16*time.Minute))
			end(p, topup.Declined)
			p.LastSentAt = new(noon.Add(-5 * time.Minute))
		}, nil},
		{"what is young at the provider is left to the next run", func(b *books) {
			b.bill("inv_x", "cus_9", noon.Add(-quiet))
			b.row("cdt_y", "", "cus_1", noon.Add(-quiet))
		}, nil},
		{"what is from before is not judged", func(b *books) {
			b.bill("inv_x", "cus_9", b.Since.Add(-time.Microsecond))
			p := b.buy(2, "cus_2", b.Since.Add(-time.Second))
			p.Price = eur(1)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBooks()
			b.buy(1, "cus_1", yesterday)
			tt.spoil(b)
			var got []string
			for _, f := range Compare(b.Facts).Findings {
				got = append(got, told(f))
				if f.Ours == "" && f.Theirs == "" || f.Kind.Next() == "" || f.At.IsZero() {
					t.Errorf("%+v leaves a person without words", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// Without books only the provider's own recharges and the answers are compared.
func TestWithoutBooks(t *testing.T) {
	t.Parallel()
	yesterday := noon.Add(-24 * time.Hour)
	for _, tt := range []struct {
		name  string
		spoil func(b *books)
		want  []string
	}{
		{"purchases without bills are no difference", func(*books) {}, nil},
		{"an own recharge that was imported", func(b *books) {
			b.row("rec_1", "txn_1", "env-1", yesterday)
			b.Imports = []topup.Topup{{ID: "rec_1", Invoice: "txn_1"}}
		}, nil},
		{"an own recharge that nobody imported is the provider's all the same", func(b *books) {
			b.row("rec_1", "txn_1", "env-1", yesterday)
		}, nil},
		{"an own recharge that is a purchase of ours", func(b *books) {
			b.row("rec_1", "inv_1", "env-1", yesterday)
		}, nil},
		{"a late yes to a purchase that was given up", func(b *books) {
			end(&b.Purchases[0], topup.Declined)
		}, []string{"charged_after_no|purchase-0001||inv_1|"}},
		{"two transactions answered to one purchase", func(b *books) {
			b.Answers = append(b.Answers, Answer{"purchase-0001", "txn_2"})
		}, []string{"double_charge|purchase-0001||txn_2|"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBooks()
			b.buy(1, "env-1", yesterday)
			b.Books, b.Invoices, b.Rows = false, nil, nil
			tt.spoil(b)
			var got []string
			for _, f := range Compare(b.Facts).Findings {
				got = append(got, told(f))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADoubleChargeSaysWhatToRefund(t *testing.T) {
	t.Parallel()
	b := newBooks()
	at := noon.Add(-24 * time.Hour)
	b.buy(1, "cus_1", at)
	b.bill("inv_again", "cus_1", at.Add(time.Minute))
	b.bill("inv_open", "cus_1", at.Add(2*time.Minute)).Payment = topup.PaymentPending
	var got []string
	for _, f := range Compare(b.Facts).Findings {
		got = append(got, f.Invoice+": "+f.Theirs)
	}
	want := []string{
		"inv_again: 200.00 EUR, paid, beside inv_1: 240.00 EUR with tax may be to refund",
		"inv_open: 200.00 EUR, paid, beside inv_1: not collected yet, it can still be voided",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
}

// The one of two bills that nobody has paid is the one to take back.
func TestADoubleChargeBesideAnUnpaidBill(t *testing.T) {
	t.Parallel()
	b := newBooks()
	at := noon.Add(-24 * time.Hour)
	b.buy(1, "cus_1", at).Payment = topup.PaymentFailed
	b.Invoices[0].Status, b.Invoices[0].Payment = "uncollectible", topup.PaymentFailed
	b.bill("inv_again", "cus_1", at.Add(time.Minute))
	const want = "200.00 EUR, paid, beside inv_1: paid, and inv_1 is uncollectible: void that one and keep this"
	if got := Compare(b.Facts).Findings; len(got) != 1 || got[0].Theirs != want {
		t.Errorf("findings %+v, want one that says %q", got, want)
	}
}

func TestWhatWasChargedWronglyIsComparedUntilItIsUndone(t *testing.T) {
	t.Parallel()
	keys := []string{
		Finding{Kind: DoubleCharge, Purchase: "p1", Invoice: "inv_2"}.Key(), Finding{Kind: DoubleCharge, Purchase: "p1", Invoice: "inv_3"}.Key(),
		Finding{Kind: ChargedAfterNo, Purchase: "p2", Invoice: "inv_4", Row: "cdt_4"}.Key(), Finding{Kind: UnknownInvoice, Invoice: "inv_5"}.Key(),
		Finding{Kind: Reversed, Purchase: "p3", Invoice: "inv_6"}.Key(), "",
	}
	if diff := cmp.Diff([]string{"p1", "p2"}, Wronged(keys)); diff != "" {
		t.Errorf("purchases (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotJudgedIsCounted(t *testing.T) {
	t.Parallel()
	b := newBooks()
	b.buy(1, "cus_1", noon.Add(-time.Hour))
	open := b.buy(2, "cus_2", noon.Add(-time.Hour))
	open.State, open.FinishedAt = topup.Confirmed, nil
	b.buy(3, "cus_3", noon.Add(-time.Minute))
	unnamed := b.buy(4, "cus_4", noon.Add(-2*time.Hour))
	unnamed.Reference = ""
	r := Compare(b.Facts)
	got := []int{len(r.Findings), r.Purchases, r.Open, r.Young, r.Unnamed}
	if diff := cmp.Diff([]int{0, 2, 1, 1, 1}, got); diff != "" {
		t.Errorf("findings, judged, open, young, unnamed (-want +got):\n%s", diff)
	}
}

func TestFindingsComeInAFixedOrderAndOnce(t *testing.T) {
	t.Parallel()
	b := newBooks()
	for n := range 5 {
		b.buy(n, "cus_1", noon.Add(-time.Duration(20-n)*time.Hour))
		b.Invoices[n].RefundedAt = noon
	}
	b.bill("inv_x", "cus_9", noon.Add(-30*time.Hour))
	b.Answers = append(b.Answers, Answer{"purchase-0003", "inv_1"}, Answer{"purchase-0003", "inv_1"})
	first := Compare(b.Facts).Findings
	slices.Reverse(b.Purchases)
	slices.Reverse(b.Invoices)
	slices.Reverse(b.Rows)
	var got []string
	for _, f := range first {
		got = append(got, told(f))
	}
	want := []string{
		"claimed_twice|purchase-0003|purchase-0001|inv_1|",
		"reversed|purchase-0000||inv_0|", "reversed|purchase-0001||inv_1|", "reversed|purchase-0002||inv_2|",
		"reversed|purchase-0003||inv_3|", "reversed|purchase-0004||inv_4|",
		"unknown_invoice|||inv_x|",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first, Compare(b.Facts).Findings, cmp.AllowUnexported(Finding{})); diff != "" {
		t.Errorf("another order of the facts (-want +got):\n%s", diff)
	}
}

func TestEveryKindHasWords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if words := k.Words(); words == string(k) || seen[words] {
			t.Errorf("%s says %q", k, words)
		} else {
			seen[words] = true
		}
		if !strings.Contains("double_charge charged_after_no claimed_twice missing_invoice missing_row credited_twice amount_differs "+
			"credits_differ expiry_differs payment_differs reversed unknown_invoice unknown_row row_without_invoice", string(k)) {
			t.Errorf("%s is a label that boards and alerts do not know", k)
		}
	}
}
