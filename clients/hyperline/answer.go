package hyperline

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"topupd/clients"
	"topupd/topup"
)

// answer says what the outcome of a purchase request means. The list of yes, no
// and not run is closed; whatever is not on it is Unclear, because a charge may
// have been made.
//
//	yes      201 with invoice_id and new_credit_balance, the only success that is
//	         declared (Hyperline API reference, "Purchase credits")
//	no       400 401 402 403 404 422 with a JSON message; see refusal
//	not run  429 (/developers/rate-limiting), and no byte written
//	unclear  409: an earlier request with the key still runs
//	         417: the key stands for another request (/developers/idempotent-requests)
//	         and everything else
//
// (Hyperline docs, read 2026-11-20.) Whether a no says
// anything about earlier requests under the key is the caller's to know.
func answer(raw clients.Raw, token clients.Token) topup.Answer {
	a := topup.Answer{
		Verdict: topup.Unknown, Status: raw.Status, Written: raw.Written,
		ServerTime: raw.ServerTime, Duration: raw.Duration,
	}
	if raw.Err != nil {
		a.Reason, a.Detail = clients.CauseReason(raw.Err), clients.Quote([]byte(raw.Err.Error()), token)
		if raw.Written == 0 {
			a.Verdict = topup.NotRun
		}
		return a
	}
	a.Reason, a.Detail = clients.StatusReason(raw.Status), fmt.Sprintf("%d %s", raw.Status, clients.Quote(raw.Body, token))
	switch raw.Status {
	case http.StatusCreated:
		return created(a, raw.Body)
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusPaymentRequired,
		http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity:
		return refused(a, raw.Body, token)
	case http.StatusTooManyRequests:
		a.Verdict = topup.NotRun
	case http.StatusConflict:
		a.WaitAndRepeat, a.Reason = true, topup.FailedOther
	case http.StatusExpectationFailed:
		a.NeverRepeat, a.Reason = true, topup.FailedMismatch
	default:
		if raw.Status < 300 {
			a.Reason = topup.FailedMalformed
			a.Reference = referenceIn(raw.Body)
		}
	}
	return a
}

// created reads the answer to a purchase that was made. Without both fields it is
// not that answer; an invoice in it is kept, for the evidence.
func created(a topup.Answer, body []byte) topup.Answer {
	a.Reason, a.Reference = topup.FailedMalformed, referenceIn(body)
	o, err := clients.ParseObject(body)
	if err != nil || a.Reference == "" {
		return a
	}
	text, err := o.Number("new_credit_balance")
	if err != nil {
		a.Detail = "invoice " + a.Reference + ", but " + err.Error()
		return a
	}
	balance, err := topup.ParseCredits(text)
	if err != nil {
		a.Detail = "invoice " + a.Reference + ", but new_credit_balance: " + err.Error()
		return a
	}
	a.Verdict, a.Reason, a.Detail, a.Balance = topup.Accepted, topup.FailedNone, "", &balance
	return a
}

func referenceIn(body []byte) string {
	o, err := clients.ParseObject(body)
	if err != nil {
		return ""
	}
	return o.ID("invoice_id")
}

// refused reads a listed refusal. Only Hyperline's own shape counts, a JSON
// object with a message (/developers/error-handling, read 2026-11-20): the page
// of a proxy in between says nothing about the request.
func refused(a topup.Answer, body []byte, token clients.Token) topup.Answer {
	o, err := clients.ParseObject(body)
	if err != nil || o.Text("message") == "" {
		a.Reason = topup.FailedMalformed
		return a
	}
	a.Verdict, a.Detail = topup.Rejected, fmt.Sprintf("%d %s", a.Status, clients.Quote([]byte(o.Text("message")), token))
	if fields := clients.FieldErrors(o.Raw("errors")); fields != "" {
		a.Detail += " " + clients.Quote([]byte(fields), token)
	}
	a.Reason = refusal(a.Status, o)
	a.Stop = a.Reason == topup.FailedAuth
	return a
}

// refusal tells a declined payment from a request that Hyperline does not carry
// out. What a purchase returns for a decline is not documented, so beside 402 the
// words decide, unless the answer says itself that the request was invalid:
//
//	{"statusCode":400,"type":"ValidationError","message":"Invalid query params","errors":{...}}
//
// (seen by others in the sandbox, docs/providers/hyperline.md, part 7).
func refusal(status int, o clients.Object) topup.FailureReason {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return topup.FailedAuth
	case status == http.StatusPaymentRequired:
		return topup.FailedDeclined
	case strings.EqualFold(o.Text("type"), "ValidationError") || o.Present("errors"):
		return topup.FailedRefused
	case speaksOfPayment(o.Text("message")):
		return topup.FailedDeclined
	default:
		return topup.FailedRefused
	}
}

// declineWords are what Hyperline's own words for a failed payment are made of:
// error_type of transactions and of payment methods (Hyperline API reference,
// "Transactions" and "List payment methods", read 2026-11-20), and their kinds.
// A word here too many costs a hint that the customer's card is to blame; one too
// few lets three declines look like a request that is wrong for everybody.
var declineWords = []string{
	" declined ", " insufficient ", " card ", " cards ", " bank ", " authentication ", " mandate ", " expired ", " fraud ",
	" payment method ", " payment failed ", " direct debit ", " funds ",
}

// speaksOfPayment tells whether one of the words is in a text, as a word:
// expires_at and a discarded draft are nobody's card.
func speaksOfPayment(text string) bool {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
	plain := " " + strings.Join(words, " ") + " "
	return slices.ContainsFunc(declineWords, func(w string) bool { return strings.Contains(plain, w) })
}
