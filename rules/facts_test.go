package rules

import (
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

func TestTheConfirmReadsPaymentMethodCounts(t *testing.T) {
	f := low()
	f.Reading.Account.PaymentMethod = topup.PaymentUnknown
	f.Confirmation.Reading.Account.PaymentMethod = topup.PaymentMissing
	if d := Decide(f); d.Reason != topup.NoPaymentMethod {
		t.Errorf("%s: %s", d.Reason, d.Text)
	}
	f.Confirmation.Reading.Account.PaymentMethod = topup.PaymentErrored
	if d := Decide(f); d.Reason != topup.NoPaymentMethod {
		t.Errorf("errored: %s: %s", d.Reason, d.Text)
	}
	f.Confirmation.Reading.Account.PaymentMethod = topup.PaymentOther
	invoices(&f, topup.PaymentPending)
	if d := Decide(f); d.Reason != topup.Buy {
		t.Errorf("transfer customer, one pending of two: %s: %s", d.Reason, d.Text)
	}
}

func TestARefusalsQuietPeriodDoesNotHideASuspension(t *testing.T) {
	f := low()
	at := noon.Add(-5 * time.Minute)
	f.Standing.SuspendedAt, f.Standing.Declines = &at, 4
	f.Standing.Open = &topup.Purchase{ID: "01930000-x", State: topup.Sent, Refused: true, SentAt: &at, LastSentAt: &at, QuietPeriod: 15 * time.Minute}
	d := Decide(f)
	if d.Reason != topup.Suspended {
		t.Errorf("the customer is suspended and the reason is %s", d.Reason)
	}
}

func TestCreditsThatWouldHaveExpiredAreNotBought(t *testing.T) {
	f := low()
	past := noon.Add(-time.Hour)
	f.Rule.Expires = Expiry{At: &past}
	d := Decide(f)
	if d.Reason == topup.Buy {
		t.Errorf("buys credits that expired an hour ago: %v", d.Order.ExpiresAt)
	}
}

// A bill that no purchase explains may be one that a lost database made.
func TestABillOfNobodysHoldsUpUntilItsCreditsCome(t *testing.T) {
	bill := topup.Invoice{ID: "inv_lost", Credit: true, Amount: euros(900), Status: "to_pay", Payment: topup.PaymentPending, At: noon.Add(-72 * time.Hour)}
	for _, tt := range []struct {
		name  string
		spoil func(f *Facts, i *topup.Invoice)
		want  topup.Reason
	}{
		{"to be paid, no credits", func(*Facts, *topup.Invoice) {}, topup.ExternalTopup},
		{"paid, and the credits are on their way", func(_ *Facts, i *topup.Invoice) { i.Payment = topup.PaymentPaid }, topup.ExternalTopup},
		{"credited before it is paid", func(f *Facts, i *topup.Invoice) {
			f.Confirmation.Topups = []topup.Topup{{ID: "cdt_1", Invoice: i.ID, At: i.At.Add(-time.Minute)}}
		}, topup.Buy},
		{"credited by a row that names no invoice", func(f *Facts, i *topup.Invoice) {
			f.Confirmation.Topups = []topup.Topup{{ID: "cdt_1", At: i.At}}
		}, topup.Buy},
		{"what came before it is not for it", func(f *Facts, i *topup.Invoice) {
			f.Confirmation.Topups = []topup.Topup{{ID: "cdt_1", At: i.At.Add(-1)}, {ID: "cdt_2", Invoice: "inv_other", At: noon}}
		}, topup.ExternalTopup},
		{"voided", func(_ *Facts, i *topup.Invoice) { i.Payment = topup.PaymentVoid }, topup.Buy},
		{"refunded", func(_ *Facts, i *topup.Invoice) { i.Payment, i.RefundedAt = topup.PaymentPaid, noon }, topup.Buy},
		{"failed is to pay", func(_ *Facts, i *topup.Invoice) { i.Payment = topup.PaymentFailed }, topup.InvoiceUnpaid},
		{"known with its credits, or ours", func(f *Facts, _ *topup.Invoice) { f.Standing.ExternalBills = []string{"inv_other"} }, topup.Buy},
		{"paid with a parent's bill", func(_ *Facts, i *topup.Invoice) { i.Uncounted = true }, topup.ExternalTopup},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, i := low(), bill
			f.Confirmation.Reading.Account.PaymentMethod = topup.PaymentOther // two may be pending
			f.Standing.ExternalBills = []string{"inv_older", "inv_lost"}
			tt.spoil(&f, &i)
			f.Confirmation.Invoices = []topup.Invoice{i}
			if d := Decide(f); d.Reason != tt.want || tt.want == topup.ExternalTopup && !strings.Contains(d.Text, "inv_lost of 900.00 EUR (to_pay)") {
				t.Errorf("%s (%s), want %s", d.Reason, d.Text, tt.want)
			}
		})
	}
}

func TestAPurchaseThatCouldNotBeFoundAgainIsNotMade(t *testing.T) {
	for skew, want := range map[time.Duration]topup.Reason{
		MaxSkew: topup.Buy, MaxSkew + 1: topup.ProviderUnavailable, -MaxSkew: topup.Buy, -MaxSkew - 1: topup.ProviderUnavailable,
	} {
		f := low()
		f.Confirmation.ServerTime = f.Standing.Now.Add(skew)
		if d := Decide(f); d.Reason != want {
			t.Errorf("with clocks %s apart: %s (%s), want %s", skew, d.Reason, d.Text, want)
		}
	}
}
