package emulator

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// invoiceSeen is what reads show of an invoice.
type invoiceSeen struct {
	ID       string
	Status   string
	Paid     int64 `json:"amount_paid"`
	Payments []struct {
		Status    string
		ErrorType string `json:"error_type"`
	} `json:"transactions"`
}

func (b *bench) invoices() []invoiceSeen {
	b.t.Helper()
	var list struct{ Data []invoiceSeen }
	b.get("/v2/invoices?status=all&order=asc&customer_id="+FirstCustomer).want(b.t, http.StatusOK).into(b.t, &list)
	return list.Data
}

func TestADeclinedPurchaseLeavesWhatTheProfileSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		profile  HyperlineProfile
		card     Card
		status   int
		invoices int
	}{
		{"refused without a trace", HyperlineProfile{}, CardDeclined, 402, 0},
		{"the same without any card", HyperlineProfile{}, CardMissing, 402, 0},
		{"refused with another status", HyperlineProfile{DeclineStatus: 422}, CardDeclined, 422, 0},
		{"refused, with an unpaid invoice", HyperlineProfile{Decline: DeclineRefusedUnpaid}, CardDeclined, 402, 1},
		{"created, with an unpaid invoice", HyperlineProfile{Decline: DeclineCreatedUnpaid}, CardDeclined, 201, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: tt.profile}})
			must(t, b.SetBalance(FirstCustomer, dec("50")))
			must(t, b.SetCard(FirstCustomer, tt.card))
			b.buy(keyOne).want(t, tt.status)
			b.wantCaptured(0)
			invoices := b.invoices()
			if len(invoices) != tt.invoices || len(b.Books().Charges) != tt.invoices {
				t.Fatalf("invoices %+v, charges %+v, want %d of each", invoices, b.Books().Charges, tt.invoices)
			}
			if tt.invoices == 1 && (invoices[0].Status != "to_pay" || invoices[0].Payments[0].Status != "failed") {
				t.Errorf("invoice %+v, want to_pay with a failed payment", invoices[0])
			}
			if got, _ := b.balance(); got != "50" {
				t.Errorf("balance %s: nothing was paid for", got)
			}
		})
	}
}

func TestTheProviderRetriesAnUnpaidInvoice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		repair func(*bench)
		pass   []time.Duration
		status string
		tries  int
		by     string
	}{
		{"not before two hours", func(b *bench) { must(b.t, b.SetCard(FirstCustomer, CardGood)) }, []time.Duration{2*time.Hour - time.Second}, "to_pay", 1, ""},
		{"collected after two hours if the card is good", func(b *bench) { must(b.t, b.SetCard(FirstCustomer, CardGood)) }, []time.Duration{2 * time.Hour}, "paid", 2, "retry"},
		{"again after twelve more, and then 24, then given up", func(*bench) {}, []time.Duration{2 * time.Hour, 12 * time.Hour, 24 * time.Hour}, "error", 4, ""},
		{"all in one late tick too", func(*bench) {}, []time.Duration{100 * time.Hour}, "error", 4, ""},
		{"never once voided", func(b *bench) {
			must(b.t, b.SetCard(FirstCustomer, CardGood))
			b.ask("POST", "/v1/invoices/"+b.invoices()[0].ID+"/void", "", nil).want(b.t, http.StatusOK)
		}, []time.Duration{100 * time.Hour}, "voided", 1, ""},
		{"at once when charged by hand", func(b *bench) {
			must(b.t, b.SetCard(FirstCustomer, CardGood))
			b.ask("POST", "/v1/invoices/"+b.invoices()[0].ID+"/charge", "", nil).want(b.t, http.StatusOK)
		}, nil, "paid", 2, "charge"},
		{"at once when an invoice in error meets a good card", func(b *bench) {
			b.pass(100 * time.Hour)
			must(b.t, b.SetCard(FirstCustomer, CardGood))
		}, nil, "paid", 5, "card"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: HyperlineProfile{Decline: DeclineCreatedUnpaid}}})
			must(t, b.SetBalance(FirstCustomer, dec("50")))
			must(t, b.SetCard(FirstCustomer, CardDeclined))
			b.buy(keyOne).want(t, http.StatusCreated)
			tt.repair(b)
			for _, d := range tt.pass {
				b.pass(d)
			}
			inv, charge := b.invoices()[0], b.Books().Charges[0]
			if inv.Status != tt.status || len(inv.Payments) != tt.tries || charge.Status != tt.status || charge.CapturedBy != tt.by {
				t.Errorf("invoice %+v, charge %+v; want %s after %d tries", inv, charge, tt.status, tt.tries)
			}
			want := map[bool]string{true: "170", false: "50"}[tt.status == "paid"]
			if got, _ := b.balance(); string(got) != want || charge.Captured != (tt.status == "paid") {
				t.Errorf("balance %s, captured %t; want %s", got, charge.Captured, want)
			}
		})
	}
}

func TestADirectDebitIsPendingForDays(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("0")))
	must(t, b.SetCard(FirstCustomer, CardDirectDebit))
	b.buy(keyOne).want(t, http.StatusCreated)
	b.wantCaptured(0)
	if inv := b.invoices()[0]; inv.Status != "to_pay" || inv.Payments[0].Status != "pending" {
		t.Errorf("invoice %+v, want to_pay with a pending payment", inv)
	}
	if got, _ := b.balance(); got != "120" {
		t.Errorf("balance %s, want the credits at once", got)
	}
	b.pass(72 * time.Hour)
	b.wantCaptured(1)
	if inv := b.invoices()[0]; inv.Status != "paid" || inv.Paid != 24_000 {
		t.Errorf("invoice %+v, want 240.00 paid, tax included", inv)
	}
}

func TestNativeAutoTopupBuysByItself(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		profile HyperlineProfile
		balance string
		card    Card
		want    int
	}{
		{"below the threshold", HyperlineProfile{}, "99", CardGood, 1},
		{"not at it", HyperlineProfile{}, "100", CardGood, 0},
		{"unless the profile says so", HyperlineProfile{NativeAtThreshold: true}, "100", CardGood, 1},
		{"not with a declined card", HyperlineProfile{}, "99", CardDeclined, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Threshold: dec("100"), Profile: tt.profile}})
			must(t, b.SetAutoTopup(FirstCustomer, true))
			must(t, b.SetCard(FirstCustomer, tt.card))
			must(t, b.SetBalance(FirstCustomer, dec(tt.balance)))
			for range 5 {
				b.pass(time.Second)
			}
			b.wantCaptured(tt.want)
			if charges := b.Books().Charges; len(charges) > 1 || tt.want == 1 && charges[0].Source != SourceNative {
				t.Errorf("charges %+v", charges)
			}
			b.ask("PUT", creditPath, `{"auto_topup":null}`, nil).want(t, http.StatusOK)
			must(t, b.SetBalance(FirstCustomer, dec("1")))
			b.pass(2 * time.Hour)
			if got := len(b.Books().Charges); got > 1 {
				t.Errorf("%d charges although switched off", got)
			}
		})
	}
}

func TestALateChargeShowsInItsOwnTime(t *testing.T) {
	t.Parallel()
	const late = 10 * time.Minute
	for _, moving := range []bool{false, true} {
		t.Run(fmt.Sprintf("last_refreshed_at moves on: %t", moving), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{LatePosting: late, Profile: HyperlineProfile{RefreshWhileUnposted: moving}}})
			must(t, b.SetBalance(FirstCustomer, dec("50")))
			b.pass(time.Minute)
			b.buy(keyOne).want(t, http.StatusCreated)
			charge := b.Books().Charges[0]
			if balance, _ := b.balance(); balance != "50" || len(b.invoices()) != 0 || len(b.topups()) != 0 {
				t.Errorf("at once: balance %s, invoices %v, rows %v; want nothing yet", balance, b.invoices(), b.topups())
			}
			if charge.VisibleAt.Before(charge.At) || charge.VisibleAt.After(charge.At.Add(late)) {
				t.Errorf("visible at %s, charged at %s", charge.VisibleAt, charge.At)
			}
			for !b.clock.now().After(charge.At.Add(late)) {
				balance, refreshed := b.balance()
				shown := balance == "170"
				if includes := refreshed >= stamp(charge.At); includes && !shown && !moving {
					t.Fatalf("a reading of %s lacks the charge of %s", refreshed, stamp(charge.At))
				}
				if all := shown && len(b.invoices()) == 1 && len(b.topups()) == 1; !all && !b.clock.now().Before(charge.VisibleAt) {
					t.Fatalf("at %s not everything is visible, want it from %s on", b.clock.now(), charge.VisibleAt)
				}
				b.pass(15 * time.Second)
			}
			if rows := b.topups(); rows[0] != charge.ID {
				t.Errorf("rows %v, want the booked %s", rows, charge.ID)
			}
		})
	}
}

// topups lists the ids of the first customer's topup rows, newest first.
func (b *bench) topups() []string {
	b.t.Helper()
	var list struct{ Data []struct{ ID string } }
	b.get(creditPath+"/transactions?type=topup").want(b.t, http.StatusOK).into(b.t, &list)
	var ids []string
	for _, row := range list.Data {
		ids = append(ids, row.ID)
	}
	return ids
}

func TestCreditsExpireFirstToExpireFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("10")))
	b.ask("POST", creditPath+"/topup", `{"credit_count":100,"expires_at":"2026-11-21T12:00:00Z"}`, nil).want(t, http.StatusCreated)
	b.ask("POST", creditPath+"/usage", `{"usage_retained":40}`, nil).want(t, http.StatusCreated)
	b.pass(24*time.Hour - time.Second)
	if got, _ := b.balance(); got != "70" {
		t.Errorf("balance %s a second before the expiry, want 70", got)
	}
	b.pass(time.Second)
	if got, _ := b.balance(); got != "10" {
		t.Errorf("balance %s after it, want the 10 that never expire", got)
	}
	row := b.get(creditPath+"/transactions?type=expiration").want(t, http.StatusOK)
	wantShape(t, `{"meta":{"total":1,"taken":1,"skipped":0},"data":[`+exampleRow+`]}`, row.body)
}

func TestAMovedExpiryHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("0")))
	b.buyAs(keyOne, `{"credit_count":120,"price_id":"`+SmallPack+`","expires_at":"2026-11-21T12:00:00Z"}`).want(t, http.StatusCreated)
	path := creditPath + "/transactions/" + b.topups()[0]
	b.ask("PATCH", path, `{"expires_at":"2026-11-22T12:00:00Z"}`, nil).want(t, http.StatusOK)
	b.pass(24 * time.Hour)
	if got, _ := b.balance(); got != "120" {
		t.Errorf("balance %s at the old expiry, want 120", got)
	}
	b.pass(24 * time.Hour)
	if got, _ := b.balance(); got != "0" {
		t.Errorf("balance %s at the new one, want 0", got)
	}
	b.ask("PATCH", path, `{"expires_at":null}`, nil).want(t, http.StatusBadRequest)
}

func TestUsageDrainsExactly(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 1}})
	must(t, b.SetBalance(FirstCustomer, dec("1000")))
	must(t, b.SetUsage(FirstCustomer, dec("0.3")))
	for range 100 {
		b.pass(time.Second)
	}
	if got, _ := b.balance(); got != "970" {
		t.Errorf("balance %s after 100 s at 0.3 a second, want 970", got)
	}
	b.StopUsage()
	b.pass(time.Hour)
	if got, _ := b.balance(); got != "970" {
		t.Errorf("balance %s after a stop", got)
	}
	b.StartUsage()
	b.pass(24 * time.Hour)
	if got, _ := b.balance(); got != "0" {
		t.Errorf("balance %s, want an empty one, not a debt", got)
	}
	b.pass(10 * time.Second)
	if dry := b.Customers()[0].DrySeconds; dry < 10 {
		t.Errorf("dry for %v s, want at least 10", dry)
	}
}

func TestTheCustomerBuysInThePortal(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.buyAs(keyOne, `{"credit_count":600,"price_id":"`+LargePack+`"}`).want(t, http.StatusCreated)
	must(t, b.PortalPurchase(FirstCustomer))
	must(t, b.PortalPurchase(FirstCustomer, SmallPack))
	must(t, b.PortalPurchase("env-1"))
	type line struct{ Source, Credits, Amount, Key string }
	var got []line
	for _, c := range b.Books().Captured() {
		got = append(got, line{c.Source, c.Credits, c.Amount, c.Key})
	}
	want := []line{
		{SourceAPI, "600", "900.00", keyOne},
		{SourcePortal, "600", "900.00", ""},
		{SourcePortal, "120", "200.00", ""},
		{SourcePortal, "100", "100.00", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("charges (-want +got):\n%s", diff)
	}
}

func TestAnotherCardHasAnotherID(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: HyperlineProfile{ErroredAfterDecline: true}}})
	type method struct{ ID, Status string }
	methods := func(path string) []method {
		var list struct{ Data []method }
		b.get(path).want(t, http.StatusOK).into(t, &list)
		return list.Data
	}
	seen := map[string]bool{}
	for _, step := range []struct {
		card Card
		want int
	}{{CardDeclined, 1}, {CardMissing, 0}, {CardGood, 1}} {
		must(t, b.SetCard(FirstCustomer, step.card))
		must(t, b.SetCard("env-1", step.card))
		hyper, talk := methods("/v1/customers/"+FirstCustomer+"/payment-methods"), methods(native+"payment-methods")
		if len(hyper) != step.want || len(talk) != 2*step.want {
			t.Fatalf("%s: methods %v and %v, want %d and twice as many", step.card, hyper, talk, step.want)
		}
		for _, m := range append(hyper, talk...) {
			if seen[m.ID] {
				t.Errorf("%s: id %s was another card's", step.card, m.ID)
			}
			seen[m.ID] = true
		}
	}
	must(t, b.SetCard(FirstCustomer, CardDeclined))
	b.buy(keyOne).want(t, http.StatusPaymentRequired)
	if got := b.walk("/v2/customers?payment_method_type=errored"); len(got) != 1 {
		t.Errorf("errored customers %v, want the declined one", got)
	}
	if got := methods("/v1/customers/" + FirstCustomer + "/payment-methods"); got[0].Status != "errored" {
		t.Errorf("payment methods %v, want an errored one", got)
	}
}
