package hyperline_test

import (
	"strings"
	"testing"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// TestCurrenciesInSmallLetters: a customer, a price and a bill in eur are in EUR.
func TestCurrenciesInSmallLetters(t *testing.T) {
	w := newWorld(t, emulator.Options{Hyperline: emulator.HyperlineOptions{
		Customers: 2, Profile: emulator.HyperlineProfile{SmallCurrency: true},
	}})
	c := w.client(t)
	poll, err := clients.Gather(t.Context(), c, []topup.ProductID{product})
	must(t, err)
	for _, r := range poll.Readings {
		if r.Account.Currency != "EUR" || r.Account.Inactive != "" {
			t.Errorf("%s: %+v, want an active customer in EUR", r.Target.Customer, r.Account)
		}
	}
	if a := buy(t, c, pack(aCard), aKey); a.Verdict != topup.Accepted {
		t.Fatalf("answer %+v", a)
	}
	conf, err := c.Confirm(t.Context(), pack(aCard))
	must(t, err)
	if conf.PriceProblem != "" || conf.CurrencyProblem != "" || len(conf.Invoices) != 1 || conf.Invoices[0].Amount != pack(aCard).Price ||
		len(conf.Topups) != 1 || conf.Topups[0].Price != pack(aCard).Price {
		t.Errorf("confirm read %+v, want no problem, and the bill and its credits in EUR", conf)
	}
	if problem, err := c.Offer(t.Context(), pack(aCard)); err != nil || problem != "" {
		t.Errorf("the offer: %q, %v", problem, err)
	}
	billed, err := billedBy(t, c, noon)
	must(t, err)
	if got := billed.Topups[pack(aCard).Target]; len(got) != 1 || got[0].Price != pack(aCard).Price || len(billed.Unreadable) != 0 {
		t.Errorf("billed %+v", billed)
	}
}

// TestCountriesInSmallLetters: where a price is sold is no matter of letters either.
func TestCountriesInSmallLetters(t *testing.T) {
	f := documented(t)
	const path = "/v1/products/itm_3kXODDF42QXtnL"
	f[path] = strings.Replace(f[path], `"countries":null`, `"countries":["fr"]`, 1)
	conf, err := serve(t, f).Confirm(t.Context(), pack(documentedCustomer))
	must(t, err)
	if conf.CurrencyProblem != "" {
		t.Errorf("a customer in FR: %s", conf.CurrencyProblem)
	}
}
