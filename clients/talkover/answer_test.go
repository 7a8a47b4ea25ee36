package talkover_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"topupd/topup"
)

// usd is a charge in dollars.
func usd(minor int64) *topup.Money { return &topup.Money{Minor: minor, Currency: "USD"} }

// answers is the list of what Talkover can say to a purchase of 100.00 USD and
// what it means. Every row not marked yes, no or not run must be unclear.
var answers = []struct {
	name   string
	status int
	body   string // a name of testdata, or a body
	want   topup.Answer
	detail string // part of Detail
}{
	{"the documented success", 200, "purchase", topup.Answer{Verdict: topup.Accepted, Reference: "txn_uuid_1", Charged: usd(100_00), Balance: new(250 * topup.Credit)}, ""},
	{"201 is as good", 201, "purchase", topup.Answer{Verdict: topup.Accepted, Reference: "txn_uuid_1", Charged: usd(100_00), Balance: new(250 * topup.Credit)}, ""},
	{"amounts as strings", 200, `{"success":true,"data":{"amount_charged":"100.00","currency":"USD","new_balance":"141.2055","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Accepted, Reference: "txn_1", Charged: usd(100_00), Balance: new(141*topup.Credit + 205_500)}, ""},
	{"no new balance", 200, `{"success":true,"data":{"amount_charged":100,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Accepted, Reference: "txn_1", Charged: usd(100_00)}, ""},
	{"a success with a message", 200, `{"success":true,"message":"Test recharge completed successfully","data":{"amount_charged":100.00,"currency":"USD","new_balance":250.00,"transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Accepted, Reference: "txn_1", Charged: usd(100_00), Balance: new(250 * topup.Credit)}, ""},

	{"another amount", 200, `{"success":true,"data":{"amount_charged":110.00,"currency":"USD","new_balance":250.00,"transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMismatch, Reference: "txn_1", Charged: usd(110_00), Balance: new(250 * topup.Credit)}, "charged 110.00 USD, not 100.00 USD"},
	{"another currency", 200, `{"success":true,"data":{"amount_charged":100.00,"currency":"BRL","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMismatch, Reference: "txn_1", Charged: &topup.Money{Minor: 100_00, Currency: "BRL"}}, "BRL"},
	{"a fraction of a cent more", 200, `{"success":true,"data":{"amount_charged":100.001,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "amount_charged"},
	{"no amount", 200, `{"success":true,"data":{"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "amount_charged is missing"},
	{"two amounts", 200, `{"success":true,"data":{"amount_charged":100,"amount_charged":100,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "twice"},
	{"no currency", 200, `{"success":true,"data":{"amount_charged":100,"transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "currency is missing"},
	{"no transaction", 200, `{"success":true,"data":{"amount_charged":100,"currency":"USD"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "transaction_id is missing"},
	{"an empty transaction", 200, `{"success":true,"data":{"amount_charged":100,"currency":"USD","transaction_id":""}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "transaction_id"},
	{"a transaction that is a number", 200, `{"success":true,"data":{"amount_charged":100,"currency":"USD","transaction_id":7}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "transaction_id"},
	{"a transaction that is too long", 200, `{"success":true,"data":{"amount_charged":100,"currency":"USD","transaction_id":"` + strings.Repeat("x", 129) + `"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "transaction_id"},
	{"success without data", 200, `{"success":true}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "transaction_id"},
	{"success is false", 200, "purchase_declined", topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedOther}, "success is false"},
	{"success is a text", 200, `{"success":"true","data":{"amount_charged":100,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "success"},
	{"success is missing", 200, `{"data":{"amount_charged":100,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "success is missing"},
	{"success twice", 200, `{"success":true,"success":true,"data":{"amount_charged":100,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed, Reference: "txn_1"}, "twice"},
	{"in other letters", 200, `{"Success":true,"Data":{"amount_charged":100,"currency":"USD","transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "success is missing"},
	{"an empty body", 200, ``, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "empty body"},
	{"no content", 204, ``, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, ""},
	{"half a body", 200, `{"success":true,"data":{"amount_charged":100.00,"curr`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, ""},
	{"a page of HTML", 200, `<html>ok</html>`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "html"},
	{"two answers", 200, `{"success":true}{"success":true}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, ""},

	{"the documented decline", 402, "purchase_declined", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined}, "PAYMENT_FAILED"},
	{"a decline with details", 402, "test_declined", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined}, "insufficient_funds"},
	{"a decline in another shape", 402, `{"error":{"code":"PAYMENT_FAILED","message":"declined","details":{"decline_reason":"lost_card"}}}`, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined}, "lost_card"},
	{"402 for an empty wallet", 402, `{"success":false,"message":"Insufficient credits","code":"INSUFFICIENT_CREDITS"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedOther}, "INSUFFICIENT_CREDITS"},
	{"402 without a code", 402, `{"success":false,"message":"Payment required"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedOther}, ""},
	{"402 of a proxy", 402, `<html>pay</html>`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, ""},
	{"a decline that claims success", 402, `{"success":true,"message":"?","code":"PAYMENT_FAILED"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, ""},
	{"a decline with a transaction", 402, `{"success":false,"message":"?","code":"PAYMENT_FAILED","data":{"transaction_id":"txn_1"}}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMalformed}, "txn_1"},
	{"a decline with no data", 402, `{"success":false,"message":"?","code":"PAYMENT_FAILED","data":null}`, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined}, ""},

	{"401, shape B", 401, "error_b", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true}, "INVALID_API_KEY"},
	{"401, shape C", 401, `{"error":{"code":"INVALID_TOKEN","message":"no"}}`, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true}, "INVALID_TOKEN"},
	{"401, shape D", 401, "error_d", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true}, "UNAUTHORIZED"},
	{"401, shape E", 401, "error_e", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true}, "Missing Bearer Token"},
	{"401, shape F", 401, "error_f", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true}, "Unauthenticated"},
	{"401 whose body says 500", 401, `{"error":"SERVER_ERROR","message":"?","status_code":500}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedAuth}, ""},
	{"401 of a proxy", 401, `<html>log in</html>`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedAuth}, ""},
	{"403", 403, `{"success":false,"message":"You are not authorized to perform this action."}`, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true}, "not authorized"},
	{"403 of a firewall", 403, `<html>blocked</html>`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedAuth}, ""},
	{"404", 404, `{"success":false,"message":"Not found."}`, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedRefused}, ""},
	{"404 of a server that is not Talkover", 404, `404 page not found`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedInvalid}, ""},
	{"422", 422, "error_g", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedRefused}, "invalid"},
	{"422 with a code", 422, "test_not_configured", topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedRefused}, "AUTO_TOPUP_NOT_CONFIGURED"},
	{"422 without a word", 422, `{}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedInvalid}, ""},
	{"422 whose error is a number", 422, `{"error":7,"message":"?"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedInvalid}, ""},

	{"429, shape C", 429, "error_c", topup.Answer{Verdict: topup.NotRun, Reason: topup.FailedThrottled}, ""},
	{"429, shape F", 429, `{"success":false,"message":"Too many requests. Please try again later."}`, topup.Answer{Verdict: topup.NotRun, Reason: topup.FailedThrottled}, ""},
	{"429, shape F, in other words", 429, `{"success":false,"message":"Rate limit exceeded"}`, topup.Answer{Verdict: topup.NotRun, Reason: topup.FailedThrottled}, ""},
	{"429 of a proxy", 429, `<html>slow down</html>`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedThrottled}, ""},
	{"429 that claims success", 429, `{"success":true,"message":"?"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedThrottled}, ""},

	{"400 is on no list", 400, "error_g", topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedInvalid}, ""},
	{"409", 409, `{"success":false,"message":"Conflict"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedInvalid}, ""},
	{"408", 408, `{"message":"timeout"}`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedTimeout}, ""},
	{"500, shape H", 500, "error_h", topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedServer}, "Internal server error"},
	{"500 that calls itself a decline", 500, "purchase_declined", topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedServer}, ""},
	{"502", 502, `<html>bad gateway</html>`, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedServer}, ""},
	{"503", 503, ``, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedServer}, ""},
	{"a status nobody has", 599, ``, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedServer}, ""},
	{"302", 302, ``, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedOther}, "redirects"},
	{"307", 307, ``, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedOther}, "redirects"},
	{"308", 308, "purchase", topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedOther}, "redirects"},
}

// P3: whatever is not on the list is unclear.
func TestEveryAnswerHasItsVerdict(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		t.Run(fmt.Sprintf("%d, %s", tt.status, tt.name), func(t *testing.T) {
			t.Parallel()
			a := healthy(t)
			body := tt.body
			if body != "" && !strings.ContainsAny(body, "{< ") {
				body = golden(t, body)
			}
			p := page{status: tt.status, body: body, header: map[string]string{}}
			if tt.status/100 == 3 {
				p.header["Location"] = a.URL + "/reseller" + purchasePath
			}
			if tt.status == http.StatusNoContent {
				p.body = ""
			}
			a.set(purchasePath, p)
			got := buy(t, a, order())
			tt.want.Status = tt.status
			tt.want.ServerTime = noon
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(topup.Answer{}, "Detail", "Written", "Duration")); diff != "" {
				t.Errorf("answer (-want +got):\n%s\ndetail: %s", diff, got.Detail)
			}
			if !strings.Contains(got.Detail, tt.detail) || (got.Verdict != topup.Accepted) != (got.Detail != "") || len(got.Detail) > 700 {
				t.Errorf("detail = %q, want it to say %q", got.Detail, tt.detail)
			}
			if got.Written == 0 {
				t.Error("nothing was written")
			}
			if n := len(a.requests()); n != 1 {
				t.Errorf("%d requests were sent, want 1", n)
			}
		})
	}
}

// buy sends the order and returns the answer.
func buy(t *testing.T, a *account, o topup.Order) topup.Answer {
	t.Helper()
	c := a.client(t)
	request, err := c.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Send(t.Context(), request, "key-1")
}

// P17: the provider's words may hold a token, ours may not.
func TestADetailNeverHoldsAToken(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	for _, p := range []page{
		{status: 500, body: "debug: Authorization: Bearer " + userToken},
		{status: 401, body: `{"message":"no such token: ` + envToken + `"}`},
		{status: 200, body: `{"success":false,"message":"` + userToken + `"}`},
	} {
		a.set(purchasePath, p)
		got := buy(t, a, order())
		if strings.Contains(got.Detail, "secret") || !strings.Contains(got.Detail, "redacted") {
			t.Errorf("detail = %q", got.Detail)
		}
	}
}
