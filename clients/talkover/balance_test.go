package talkover_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"topupd/clients"
	"topupd/topup"
)

func TestPollReadsTheDocumentedBalance(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	a.set(balancePath, page{body: golden(t, "balance")})
	poll, err := clients.Gather(t.Context(), a.client(t), []topup.ProductID{"credits"})
	if err != nil {
		t.Fatal(err)
	}
	want := clients.Whole{Poll: topup.Poll{Complete: true, Reads: 1}, Readings: []topup.Reading{{
		Target: target, CustomerName: "voice", ProductName: "credits",
		Balance: 250 * topup.Credit, RefreshedAt: time.Date(2024, 1, 15, 19, 30, 0, 0, time.UTC),
		Native:  "Talkover's own auto top-up is on",
		Account: topup.Account{Currency: "USD"},
	}}}
	if diff := cmp.Diff(want, poll, cmpopts.IgnoreFields(topup.Reading{}, "ReadAt")); diff != "" {
		t.Errorf("poll (-want +got):\n%s", diff)
	}
	if poll.Readings[0].ReadAt.IsZero() {
		t.Error("the reading has no time of its own")
	}
	got := a.requests()
	if len(got) != 1 || got[0].method != "GET" || got[0].path != balancePath || got[0].token != userToken {
		t.Errorf("requests = %+v, want one GET of the balance with the user's token", got)
	}
}

func TestPollOfOtherProductsAsksNothing(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	poll, err := clients.Gather(t.Context(), a.client(t), []topup.ProductID{"itm_1"})
	if err != nil || len(poll.Readings) != 0 || !poll.Complete || len(a.requests()) != 0 {
		t.Errorf("Poll(itm_1) = %+v, %v after %d requests", poll, err, len(a.requests()))
	}
}

// balances are the `data` of a balance answer; bad is part of the reason why the
// reading cannot be used, "" when it can.
var balances = []struct{ name, data, bad, balance string }{
	{"a number", `{"balance":41.20,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "", "41.2"},
	{"a string with four decimals", `{"balance":"41.2055","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "", "41.2055"},
	{"a debt", `{"balance":-3.50,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "", "-3.5"},
	{"zero is a balance", `{"balance":0,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "", "0"},
	{"microseconds", `{"balance":1,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00.000001Z"}`, "", "1"},
	{"a half millionth rounds to even", `{"balance":0.0000005,"currency":"BRL","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "", "0"},
	{"null", `{"balance":null,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance is null", ""},
	{"absent", `{"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance is missing", ""},
	{"text", `{"balance":"abc","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"an empty text", `{"balance":"","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"a number with spaces", `{"balance":" 41 ","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"a decimal comma", `{"balance":"41,20","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"NaN in quotes", `{"balance":"NaN","currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"absurd", `{"balance":1e30,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"absurd below zero", `{"balance":-1e400,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"a truth value", `{"balance":true,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance is not a number", ""},
	{"an object", `{"balance":{"amount":41},"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance", ""},
	{"twice", `{"balance":500,"balance":41,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance is there twice", ""},
	{"another spelling only", `{"Balance":41,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "balance is missing", ""},
	{"no currency", `{"balance":41,"auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "currency is missing", ""},
	{"an unknown currency", `{"balance":41,"currency":"credits","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}`, "currency", ""},
	{"no stamp", `{"balance":41,"currency":"USD","auto_topup_enabled":false}`, "as_of is missing", ""},
	{"a stamp that is no time", `{"balance":41,"currency":"USD","auto_topup_enabled":false,"as_of":"yesterday"}`, "as_of", ""},
	{"a stamp at the edge of the future", `{"balance":41,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:36:00Z"}`, "", "41"},
	{"a stamp beyond it", `{"balance":41,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:36:01Z"}`, "ahead of the provider's own clock", ""},
	{"a list for data", `[]`, "data", ""},
	{"null for data", `null`, "data is null", ""},
}

// P13: what cannot be read is a bad reading, never zero.
func TestPollOfHostileBalances(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	for _, tt := range balances {
		t.Run(tt.name, func(t *testing.T) {
			a.set(balancePath, page{body: `{"success":true,"data":` + tt.data + `}`})
			poll, err := clients.Gather(t.Context(), c, nil)
			if err != nil || len(poll.Readings) != 1 {
				t.Fatalf("Poll() = %+v, %v; want one reading", poll, err)
			}
			r := poll.Readings[0]
			if tt.bad == "" {
				if r.Bad != "" || r.Balance.String() != tt.balance || r.RefreshedAt.IsZero() || r.RefreshedAt.After(noon) {
					t.Errorf("reading = %v of %v, bad %q; want %s, not later than the answer", r.Balance, r.RefreshedAt, r.Bad, tt.balance)
				}
				return
			}
			if !strings.Contains(r.Bad, tt.bad) {
				t.Errorf("bad = %q (balance %v), want it to say %q", r.Bad, r.Balance, tt.bad)
			}
		})
	}
}

func TestPollOfAnAnswerThatIsNone(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	for _, tt := range []struct {
		name string
		page page
		want topup.FailureReason
	}{
		{"success is false", page{body: `{"success":false,"message":"no"}`}, topup.FailedMalformed},
		{"success is missing", page{body: `{"data":{"balance":1,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`}, topup.FailedMalformed},
		{"success is there twice", page{body: `{"success":true,"success":true,"data":{}}`}, topup.FailedMalformed},
		{"a list", page{body: `[1]`}, topup.FailedMalformed},
		{"a page of HTML", page{body: `<html>maintenance</html>`}, topup.FailedMalformed},
		{"a refused token", page{status: 403, body: golden(t, "error_b")}, topup.FailedAuth},
		{"nothing there", page{status: 404, body: golden(t, "error_e")}, topup.FailedInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a.set(balancePath, tt.page)
			poll, err := clients.Gather(t.Context(), c, nil)
			if err == nil || clients.ReasonOf(err) != tt.want || poll.Complete || len(poll.Readings) != 0 {
				t.Errorf("Poll() = %+v, %v (%s); want an error, %s", poll, err, clients.ReasonOf(err), tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), "voice") {
				t.Errorf("the error does not name the connection: %v", err)
			}
		})
	}
}

// P8: not knowing counts as yes.
func TestNotKnowingWhetherNativeTopupIsOnCountsAsOn(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	c := a.client(t)
	for _, flag := range []string{`"yes"`, `1`, `null`} {
		a.set(balancePath, page{body: `{"success":true,"data":{"balance":41,"currency":"USD","auto_topup_enabled":` + flag + `,"as_of":"2024-01-15T19:30:00Z"}}`})
		poll, err := clients.Gather(t.Context(), c, nil)
		if err != nil || !strings.Contains(poll.Readings[0].Native, "does not say") {
			t.Errorf("auto_topup_enabled %s: %+v, %v", flag, poll, err)
		}
	}
}

func TestBothTokensAreReadAgainAfterA401(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	a.user = &token{value: "1|revoked", next: userToken}
	a.env = &token{value: "talq_revoked", next: envToken}
	if _, err := a.client(t).Confirm(t.Context(), order()); err != nil {
		t.Errorf("Confirm() with rotated tokens: %v", err)
	}
}
