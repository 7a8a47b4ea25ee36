package rules

import (
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
