package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestTheControlPlaneDoesWhatTheSettersDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Talkover: TalkoverOptions{Environments: 2}})
	post := func(path, body string, status int) string {
		t.Helper()
		return b.ask("POST", "/_emulator/"+path, body, nil).want(t, status).body
	}
	mine := "customers/" + FirstCustomer + "/"
	post(mine+"balance", `{"balance":77.5}`, 204)
	post(mine+"usage", `{"per_second":"2.5"}`, 204)
	post(mine+"threshold", `{"threshold":30}`, 204)
	post(mine+"card", `{"card":"direct_debit"}`, 204)
	post(mine+"auto-topup", `{"on":true}`, 204)
	post(mine+"portal-purchase", `{"pack":"`+LargePack+`"}`, 204)
	post("prices/"+SmallPack, `{"amount":21000}`, 204)
	post(mine+"archive", ``, 204)
	post("customers/env-1/switch-environment", `{"to":"env-2"}`, 204)
	post("customers/env-2/portal-purchase", ``, 204)
	post("usage", `{"stop":true}`, 204)
	post("faults/next", `{"next":["decline"]}`, 204)

	var got []Customer
	b.ask("GET", "/_emulator/customers", "", nil).want(t, 200).into(t, &got)
	c := got[0]
	if c.Balance != "677.5" || c.PerSecond != "2.5" || c.Threshold != "30" || c.Card != CardDirectDebit || !c.AutoTopup || !c.Archived {
		t.Errorf("customer %+v", c)
	}
	if got[1].CurrentEnvironmentID != "env-2" || got[1].UserToken != "user_emulator_1" || got[1].EnvironmentToken != "talq_emulator_1" {
		t.Errorf("environment %+v", got[1])
	}
	if body := b.get("/v1/products/" + Product).body; !strings.Contains(body, `"amount":21000`) {
		t.Errorf("product %s", body)
	}
	if next := b.Faults().Next; len(next) != 1 || next[0] != "decline" {
		t.Errorf("forced faults %v", next)
	}
	var books Books
	b.ask("GET", "/_emulator/books", "", nil).want(t, 200).into(t, &books)
	if len(books.Charges) != 2 || len(books.For("env-2")) != 1 {
		t.Errorf("books %+v", books)
	}

	for _, bad := range []struct{ path, body, want string }{
		{"customers/cus_x/balance", `{"balance":1}`, "GET /_emulator/customers lists them"},
		{mine + "balance", `{"balanc":1}`, `unknown field \"balanc\"`},
		{mine + "balance", `{"balance":1e12}`, "between -1e9 and 1e9"},
		{mine + "usage", `{"per_second":-1}`, "use 0 or more"},
		{mine + "card", `{"card":"gold"}`, "use good, declined, missing or direct_debit"},
		{"customers/env-1/card", `{"card":"direct_debit"}`, "Talkover knows cards only"},
		{mine + "portal-purchase", `{"pack":"pri_x"}`, "GET /v1/products lists them"},
		{"prices/pri_x", `{"amount":5}`, "no price"},
		{"prices/" + SmallPack, `{"amount":0}`, "out of range"},
		{"faults/next", `{"next":["explode"]}`, "is unknown"},
	} {
		if got := post(bad.path, bad.body, 400); !strings.Contains(got, bad.want) {
			t.Errorf("%s %s: %s lacks %q", bad.path, bad.body, got, bad.want)
		}
	}
}

func TestFaultsAreReadAndReplacedOverHTTP(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.ask("PUT", "/_emulator/faults", `{"provider":"hyperline","decline":1,"slow_for":"1s"}`, nil).want(t, http.StatusNoContent)
	b.buy(keyOne).want(t, http.StatusPaymentRequired)
	b.ask("POST", topUpPath, topUpOrder, nil).want(t, http.StatusOK)
	var back map[string]any
	b.ask("GET", "/_emulator/faults", "", nil).want(t, 200).into(t, &back)
	if back["decline"] != 1.0 || back["slow_for"] != "1s" || back["provider"] != "hyperline" {
		t.Errorf("faults %v", back)
	}
	b.ask("PUT", "/_emulator/faults", `{"decline":2}`, nil).want(t, http.StatusBadRequest)
	b.buy(keyOne).want(t, http.StatusPaymentRequired) // the bad ones changed nothing
	b.ask("PUT", "/_emulator/faults", `{}`, nil).want(t, http.StatusNoContent)
	b.buy(keyOne).want(t, http.StatusCreated)
	if r := b.ask("GET", "/_emulator/healthy", "", nil).want(t, 200); !json.Valid([]byte(r.body)) {
		t.Errorf("healthy %q", r.body)
	}
}

func TestThePageTellsAHumanWhatHappened(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Faults: Faults{Slow: 0.125, Next: []string{"none", "charge_then_drop"}}})
	b.buy(keyOne).want(t, http.StatusCreated)
	b.buy(keyTwo)
	r := b.ask("GET", "/_emulator/", "", nil).want(t, http.StatusOK)
	for _, want := range []string{
		"slow", "0.125", "2 captured of 2 ordered", keyOne, keyTwo, "charge_then_drop", "no answer", "200.00 EUR", FirstCustomer, "voice-berlin",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, outside := range []string{"<script", "http://", "https://"} {
		if strings.Contains(r.body, outside) {
			t.Errorf("the page is not self-contained: %s", outside)
		}
	}
	b.ask("GET", "/_emulator/nothing", "", nil).want(t, http.StatusNotFound)
}
