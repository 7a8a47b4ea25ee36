package hyperline

import (
	"fmt"
	"net/http"

	"topupd/clients"
	"topupd/topup"
)

// answer says what the outcome of a purchase request means. The list of yes, no
// and not run is closed; whatever is not on it is Unclear, because a charge may
// have been made.
//
//	yes      201 with invoice_id and new_credit_balance, the only success that is
//	         declared (Hyperline API reference, "Purchase credits")
//	no       400 401 402 403 404 422 with a JSON message
//	not run  429 (/developers/rate-limiting), and no byte written
//	unclear  409: an earlier request with the key still runs
//	         417: the key stands for another request (/developers/idempotent-requests)
//	         and everything else
//
// (Hyperline docs, read 2026-11-20.) Whether a no says
// anything about earlier requests under the key is the caller's to know.
func answer(raw clients.Raw, token clients.Token) topup.Answer {
	a := topup.Answer{
		Verdict: topup.Unclear, Status: raw.Status, Written: raw.Written,
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
	a.Verdict, a.Reason, a.Detail, a.Balance = topup.Yes, topup.FailedNone, "", &balance
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
	a.Verdict, a.Detail = topup.No, fmt.Sprintf("%d %s", a.Status, clients.Quote([]byte(o.Text("message")), token))
	a.Stop = a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden
	return a
}
