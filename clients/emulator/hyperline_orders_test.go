package emulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWhatCanBeOrdered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		profile HyperlineProfile
		prepare func(*bench)
		body    string
		status  int
		amount  string // captured, excluding tax
	}{
		{"a small pack", HyperlineProfile{}, nil, smallOrder, 201, "200.00"},
		{"a large pack", HyperlineProfile{}, nil, `{"credit_count":600,"price_id":"` + LargePack + `"}`, 201, "900.00"},
		{"a custom amount, which is the total", HyperlineProfile{}, nil, `{"credit_count":100,"amount_excluding_tax":2400}`, 201, "24.00"},
		{"a custom amount of nothing", HyperlineProfile{}, nil, `{"credit_count":100,"amount_excluding_tax":0}`, 400, ""},
		{"a fraction of a cent", HyperlineProfile{}, nil, `{"credit_count":100,"amount_excluding_tax":0.5}`, 400, ""},
		{"two packs where the profile allows it", HyperlineProfile{SeveralPacks: true}, nil, `{"credit_count":240,"price_id":"` + SmallPack + `"}`, 201, "400.00"},
		{"one and a half packs never", HyperlineProfile{SeveralPacks: true}, nil, `{"credit_count":180,"price_id":"` + SmallPack + `"}`, 400, ""},
		{"at the price of today", HyperlineProfile{}, func(b *bench) { must(b.t, b.SetPrice(SmallPack, 21_000)) }, smallOrder, 201, "210.00"},
		{"not for an archived customer", HyperlineProfile{}, func(b *bench) { must(b.t, b.Archive(FirstCustomer)) }, smallOrder, 400, ""},
		{"not an archived price", HyperlineProfile{}, func(b *bench) { must(b.t, b.Archive(SmallPack)) }, smallOrder, 400, ""},
		{"not an archived product", HyperlineProfile{}, func(b *bench) { must(b.t, b.Archive(Product)) }, smallOrder, 400, ""},
		{"not by a customer archived over the API", HyperlineProfile{}, func(b *bench) {
			b.ask("PUT", "/v1/customers/"+FirstCustomer+"/archive", "", nil).want(b.t, http.StatusOK)
		}, smallOrder, 400, ""},
		{"not fewer than nothing", HyperlineProfile{}, nil, `{"credit_count":-120,"price_id":"` + SmallPack + `"}`, 400, ""},
		{"not more than can be counted", HyperlineProfile{SeveralPacks: true}, nil, `{"credit_count":1e30,"price_id":"` + SmallPack + `"}`, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: tt.profile}})
			if tt.prepare != nil {
				tt.prepare(b)
			}
			b.buyAs(keyOne, tt.body).want(t, tt.status)
			charges := b.Books().Captured()
			if tt.amount == "" && len(charges) != 0 || tt.amount != "" && (len(charges) != 1 || charges[0].Amount != tt.amount) {
				t.Errorf("charges %+v, want %q", charges, tt.amount)
			}
		})
	}
}

func TestWhatIsArchivedIsShownAsArchived(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.Archive(LargePack))
	if body := b.get("/v1/products/" + Product).body; !strings.Contains(body, `"status":"archived","currency":"EUR"`) || !strings.Contains(body, `"archived_at":"2026-11-20"`) {
		t.Errorf("price configuration: %s", body)
	}
	must(t, b.Archive(Product))
	for query, want := range map[string]string{"": `"total":0`, "?status=all": `"total":1`} {
		if body := b.get("/v1/products" + query).body; !strings.Contains(body, want) {
			t.Errorf("%q: %s lacks %s", query, body, want)
		}
	}
	must(t, b.Archive(FirstCustomer))
	if body := b.get("/v2/customers/" + FirstCustomer).body; !strings.Contains(body, `"status":"archived"`) {
		t.Errorf("customer: %s", body)
	}
	if err := b.Archive("itm_x"); err == nil {
		t.Error("archived something unknown")
	}
}

func TestCreditsMayBeGrantedBeforeTheyArePaid(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: HyperlineProfile{Decline: DeclineCreatedUnpaid, GrantUnpaid: true}}})
	must(t, b.SetBalance(FirstCustomer, dec("5")))
	must(t, b.SetCard(FirstCustomer, CardDeclined))
	b.buy(keyOne).want(t, http.StatusCreated)
	must(t, b.SetCard(FirstCustomer, CardGood))
	for _, after := range []time.Duration{0, 2 * time.Hour} {
		b.pass(after)
		if got, _ := b.balance(); got != "125" {
			t.Errorf("balance %s %s later, want 125: granted once, before it was paid", got, after)
		}
	}
	b.wantCaptured(1)
}

func TestOnlySomeInvoicesCanBeVoidedOrCharged(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Profile: HyperlineProfile{Decline: DeclineCreatedUnpaid}}})
	b.buy(keyOne).want(t, http.StatusCreated)
	must(t, b.SetCard(FirstCustomer, CardDirectDebit))
	b.buy(keyTwo).want(t, http.StatusCreated)
	paid, pending := b.invoices()[0].ID, b.invoices()[1].ID
	b.ask("POST", "/v1/invoices/"+paid+"/void", "", nil).want(t, http.StatusBadRequest)
	b.ask("POST", "/v1/invoices/"+paid+"/charge", "", nil).want(t, http.StatusBadRequest)
	b.ask("POST", "/v1/invoices/"+pending+"/charge", "", nil).want(t, http.StatusBadRequest)
	b.ask("POST", "/v1/invoices/inv_x/void", "", nil).want(t, http.StatusNotFound)
	b.ask("POST", "/v1/invoices/inv_x/charge", "", nil).want(t, http.StatusNotFound)
	b.ask("POST", "/v1/invoices/"+pending+"/void", "", nil).want(t, http.StatusOK)
	b.pass(100 * time.Hour)
	b.wantCaptured(1)
	if inv := b.invoices()[1]; inv.Status != "voided" || inv.Payments[0].Status != "cancelled" {
		t.Errorf("invoice %+v, want it voided and its debit cancelled", inv)
	}
}

func TestUsageRowsAreListedAndBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("100000")))
	must(t, b.SetUsage(FirstCustomer, dec("1")))
	b.buy(keyOne).want(t, http.StatusCreated)
	for range usageRowsKept + 20 {
		b.pass(time.Minute)
	}
	var list struct {
		Meta struct{ Total int }
		Data []struct {
			Credits int `json:"credit_count"`
		}
	}
	b.get(creditPath+"/transactions?type=usage").want(t, http.StatusOK).into(t, &list)
	if list.Meta.Total != usageRowsKept || list.Data[0].Credits != 60 {
		t.Errorf("%d usage rows, the newest of %d credits; want %d of 60", list.Meta.Total, list.Data[0].Credits, usageRowsKept)
	}
	if got := b.topups(); len(got) != 1 {
		t.Errorf("%d topup rows: none may be dropped", len(got))
	}
}

func TestBatchesThatExpireSoonerAreUsedFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	must(t, b.SetBalance(FirstCustomer, dec("0")))
	for _, day := range []int{25, 22, 28} {
		body := fmt.Sprintf(`{"credit_count":10,"expires_at":"2026-11-%dT12:00:00Z"}`, day)
		b.ask("POST", creditPath+"/topup", body, nil).want(t, http.StatusCreated)
	}
	b.ask("POST", creditPath+"/usage", `{"usage_retained":15}`, nil).want(t, http.StatusCreated)
	for _, want := range []struct {
		day     int
		balance string
	}{{22, "15"}, {25, "10"}, {28, "0"}} {
		b.pass(time.Date(2026, 11, want.day, 12, 0, 0, 0, time.UTC).Sub(b.clock.now()))
		if got, _ := b.balance(); string(got) != want.balance {
			t.Errorf("balance %s on the %d., want %s", got, want.day, want.balance)
		}
	}
	b.ask("POST", creditPath+"/usage", `{"usage_retained":3}`, nil).want(t, http.StatusCreated)
	if got, _ := b.balance(); got != "-3" {
		t.Errorf("balance %s after usage without credits, want a debt", got)
	}
}

func TestInvalidFaultsAreNeverActive(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{Decline: 7}})
	b.buy(keyOne).want(t, http.StatusCreated)
	b.SetFaults(Faults{Decline: -1})
	b.buy(keyTwo).want(t, http.StatusCreated)
}
