package hyperline

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topupd/clients"
	"topupd/topup"
)

func TestAnswer(t *testing.T) {
	purchased, err := os.ReadFile("testdata/purchased.json")
	if err != nil {
		t.Fatal(err)
	}
	balance := 2120 * topup.Credit
	const message = `{"message":"Product not found"}`
	type want struct {
		verdict           topup.Verdict
		reason            topup.FailureReason
		reference         string
		balance           *topup.Credits
		stop, wait, never bool
	}
	unclear := func(r topup.FailureReason) want { return want{verdict: topup.Unknown, reason: r} }
	no := func(r topup.FailureReason) want { return want{verdict: topup.Rejected, reason: r} }
	kept := want{verdict: topup.Unknown, reason: topup.FailedMalformed, reference: "inv_1"}
	for _, tt := range []struct {
		name string
		raw  clients.Raw
		want want
	}{
		{"the documented 201 is a yes", clients.Raw{Status: 201, Body: purchased}, want{verdict: topup.Accepted, reference: "inv_1eTaiytfA0i2Va", balance: &balance}},
		{"200 is not listed, but its invoice is kept", clients.Raw{Status: 200, Body: []byte(`{"invoice_id":"inv_1","new_credit_balance":5}`)}, kept},
		{"201 without a balance is unclear, its invoice is kept", clients.Raw{Status: 201, Body: []byte(`{"invoice_id":"inv_1"}`)}, kept},
		{"201 with a null balance", clients.Raw{Status: 201, Body: []byte(`{"invoice_id":"inv_1","new_credit_balance":null}`)}, kept},
		{"201 with a balance in words", clients.Raw{Status: 201, Body: []byte(`{"invoice_id":"inv_1","new_credit_balance":"12"}`)}, kept},
		{"201 with two balances", clients.Raw{Status: 201, Body: []byte(`{"invoice_id":"inv_1","new_credit_balance":1,"new_credit_balance":2}`)}, kept},
		{"201 with an absurd balance", clients.Raw{Status: 201, Body: []byte(`{"invoice_id":"inv_1","new_credit_balance":1e30}`)}, kept},
		{"201 without an invoice", clients.Raw{Status: 201, Body: []byte(`{"new_credit_balance":5}`)}, unclear(topup.FailedMalformed)},
		{"201 with two invoices", clients.Raw{Status: 201, Body: []byte(`{"invoice_id":"inv_1","invoice_id":"inv_2","new_credit_balance":5}`)}, unclear(topup.FailedMalformed)},
		{"201 in another spelling", clients.Raw{Status: 201, Body: []byte(`{"Invoice_ID":"inv_1","new_credit_balance":5}`)}, unclear(topup.FailedMalformed)},
		{"201 with HTML", clients.Raw{Status: 201, Body: []byte("<html>")}, unclear(topup.FailedMalformed)},
		{"201 with nothing", clients.Raw{Status: 201}, unclear(topup.FailedMalformed)},
		{"200 with HTML", clients.Raw{Status: 200, Body: []byte("<html>")}, unclear(topup.FailedMalformed)},
		{"204", clients.Raw{Status: 204}, unclear(topup.FailedMalformed)},
		{"400 with a message refuses the request", clients.Raw{Status: 400, Body: []byte(message)}, no(topup.FailedRefused)},
		{"401 with a message is a no and stops", clients.Raw{Status: 401, Body: []byte(`{"message":"Missing authentication token"}`)}, want{verdict: topup.Rejected, reason: topup.FailedAuth, stop: true}},
		{"402 with a message is a declined no", clients.Raw{Status: 402, Body: []byte(message)}, no(topup.FailedDeclined)},
		{"403 with a message is a no and stops", clients.Raw{Status: 403, Body: []byte(message)}, want{verdict: topup.Rejected, reason: topup.FailedAuth, stop: true}},
		{"404 with a message refuses the request", clients.Raw{Status: 404, Body: []byte(message)}, no(topup.FailedRefused)},
		{"422 with a message refuses the request", clients.Raw{Status: 422, Body: []byte(message)}, no(topup.FailedRefused)},
		{"400 with HTML is unclear", clients.Raw{Status: 400, Body: []byte("<html>400</html>")}, unclear(topup.FailedMalformed)},
		{"403 of a proxy is unclear and stops nothing", clients.Raw{Status: 403, Body: []byte("<html>forbidden</html>")}, unclear(topup.FailedMalformed)},
		{"402 without a message is unclear", clients.Raw{Status: 402, Body: []byte(`{"error":"declined"}`)}, unclear(topup.FailedMalformed)},
		{"404 with an empty message is unclear", clients.Raw{Status: 404, Body: []byte(`{"message":""}`)}, unclear(topup.FailedMalformed)},
		{"405 is not listed", clients.Raw{Status: 405, Body: []byte(message)}, unclear(topup.FailedInvalid)},
		{"408 is not listed", clients.Raw{Status: 408, Body: []byte(message)}, unclear(topup.FailedTimeout)},
		{"409 waits", clients.Raw{Status: 409, Body: []byte(message)}, want{verdict: topup.Unknown, reason: topup.FailedOther, wait: true}},
		{"417 is never repeated", clients.Raw{Status: 417, Body: []byte(message)}, want{verdict: topup.Unknown, reason: topup.FailedMismatch, never: true}},
		{"425 is not listed", clients.Raw{Status: 425, Body: []byte(message)}, unclear(topup.FailedInvalid)},
		{"429 was not run", clients.Raw{Status: 429, Body: []byte("Too many requests"), Written: 500}, want{verdict: topup.NotRun, reason: topup.FailedThrottled}},
		{"302 is unclear", clients.Raw{Status: 302}, unclear(topup.FailedOther)},
		{"307 is unclear", clients.Raw{Status: 307}, unclear(topup.FailedOther)},
		{"500 is unclear", clients.Raw{Status: 500, Body: []byte(message)}, unclear(topup.FailedServer)},
		{"502 is unclear", clients.Raw{Status: 502, Body: []byte("<html>")}, unclear(topup.FailedServer)},
		{"503 is unclear", clients.Raw{Status: 503}, unclear(topup.FailedServer)},
		{"nothing written was not run", clients.Raw{Err: errors.New("broken pipe")}, want{verdict: topup.NotRun, reason: topup.FailedConnection}},
		{"nothing written in time was not run", clients.Raw{Err: context.DeadlineExceeded}, want{verdict: topup.NotRun, reason: topup.FailedTimeout}},
		{"a byte written may have been run", clients.Raw{Err: io.ErrUnexpectedEOF, Written: 1}, unclear(topup.FailedConnection)},
		{"a hang may have been run", clients.Raw{Err: context.DeadlineExceeded, Written: 500}, unclear(topup.FailedTimeout)},
		{"a cut 201 is unclear", clients.Raw{Status: 201, Err: io.ErrUnexpectedEOF, Written: 500}, unclear(topup.FailedConnection)},
		{"a cut 429 is unclear", clients.Raw{Status: 429, Err: io.ErrUnexpectedEOF, Written: 500}, unclear(topup.FailedConnection)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := answer(tt.raw, nil)
			got := want{a.Verdict, a.Reason, a.Reference, a.Balance, a.Stop, a.WaitAndRepeat, a.NeverRepeat}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if a.Status != tt.raw.Status || a.Written != tt.raw.Written || a.Verdict != topup.Accepted && a.Detail == "" {
				t.Errorf("answer = %+v", a)
			}
		})
	}
}

// A refused request is not a declined card: the customer is told to give another
// card, or the rule is looked at. Only words tell where Hyperline documents no
// status (P7).
func TestARefusalIsNoDecline(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   topup.FailureReason
		detail string // part of it
	}{
		{400, `{"message":"The customer is archived"}`, topup.FailedRefused, "The customer is archived"},
		{400, `{"message":"The price is archived"}`, topup.FailedRefused, "archived"},
		{404, `{"message":"Price not found"}`, topup.FailedRefused, "Price not found"},
		{400, `{"message":"credit_count must correspond to a full credit pack for the price"}`, topup.FailedRefused, "full credit pack"},
		{400, `{"message":"Cannot assign a subscription to a customer without a currency set"}`, topup.FailedRefused, "currency"},
		{400, `{"message":"expires_at must be in the future"}`, topup.FailedRefused, "expires_at"},
		{422, `{"message":"The draft was discarded"}`, topup.FailedRefused, "discarded"},
		{400, `{"statusCode":400,"type":"ValidationError","message":"Invalid body","errors":{"card":["Required"]}}`, topup.FailedRefused, "Required"},
		{400, `{"type":"ValidationError","message":"Card is invalid"}`, topup.FailedRefused, "Card is invalid"},
		{400, `{"message":"Card expired","errors":[]}`, topup.FailedRefused, "Card expired"},
		{402, `{"message":"Product not found"}`, topup.FailedDeclined, ""},
		{402, `{"type":"ValidationError","message":"?","errors":{}}`, topup.FailedDeclined, ""},
		{400, `{"message":"Your card was declined."}`, topup.FailedDeclined, "declined"},
		{422, `{"message":"insufficient_funds"}`, topup.FailedDeclined, ""},
		{400, `{"message":"payment_method_expired"}`, topup.FailedDeclined, ""},
		{400, `{"message":"The customer has no payment method"}`, topup.FailedDeclined, ""},
		{422, `{"message":"Authentication required"}`, topup.FailedDeclined, ""},
		{422, `{"message":"mandate_invalid"}`, topup.FailedDeclined, ""},
		{400, `{"message":"The bank refused the direct debit"}`, topup.FailedDeclined, ""},
		{401, `{"message":"Your card was declined."}`, topup.FailedAuth, ""},
	} {
		got := answer(clients.Raw{Status: tt.status, Body: []byte(tt.body), Written: 1}, nil)
		if got.Verdict != topup.Rejected || got.Reason != tt.want || !strings.Contains(got.Detail, tt.detail) {
			t.Errorf("%d %s: %s, %s, %q; want no, %s, with %q", tt.status, tt.body, got.Verdict, got.Reason, got.Detail, tt.want, tt.detail)
		}
	}
}
