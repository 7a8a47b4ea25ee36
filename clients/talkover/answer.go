package talkover

import (
	"fmt"
	"net/http"

	"topupd/clients"
	"topupd/topup"
)

// judge says what one purchase request came to. Whatever is not listed here is
// unclear (P3):
//
//	yes      2xx with success true, a transaction_id, and the price that was asked
//	no       402 PAYMENT_FAILED, a decline; 404 and 422, which refuse the request;
//	         401 and 403, which refuse the token
//	not run  429; nothing was written
//
// The first two are documented (Talkover docs, purchase-credits, read
// 2026-11-20). The other refusals are not documented for this endpoint; their
// bodies are, elsewhere, and count only in one of those shapes: a proxy's page
// may stand in front of a charge that was made. Outside text goes through quote.
func judge(raw clients.Raw, price topup.Money, quote func(string) string) topup.Answer {
	a := topup.Answer{
		Verdict: topup.Unknown, Status: raw.Status, Written: raw.Written,
		ServerTime: raw.ServerTime, Duration: raw.Duration,
	}
	switch {
	case raw.Err != nil:
		a.Reason, a.Detail = clients.CauseReason(raw.Err), raw.Err.Error()
		if raw.Written == 0 {
			a.Verdict = topup.NotRun
		}
	case raw.Status >= 200 && raw.Status <= 299:
		judgeSuccess(&a, raw.Body, price, quote)
	case raw.Status >= 300 && raw.Status <= 399:
		a.Reason, a.Detail = topup.FailedOther, "it redirects, which was not followed: check base_url"
	default:
		judgeRefusal(&a, raw.Body, quote)
	}
	return a
}

// judgeSuccess reads what a 2xx claims. The exact code is not documented. What
// can be read of a contradictory answer is kept, for a person.
func judgeSuccess(a *topup.Answer, body []byte, price topup.Money, quote func(string) string) {
	a.Reason = topup.FailedMalformed
	o, err := clients.ParseObject(body)
	if err != nil {
		a.Detail = err.Error() + ": " + quote(string(body))
		return
	}
	data, _ := o.Object("data")
	a.Reference = data.ID("transaction_id")
	success, err := needFlag(o, "success")
	switch {
	case err != nil:
		a.Detail = err.Error()
		return
	case !success:
		f, _ := parseFailure(a.Status, body)
		a.Reason, a.Detail = topup.FailedOther, "success is false: "+quote(f.String())
		return
	}
	charged, err := readCharge(data)
	if err != nil {
		a.Detail = err.Error()
		return
	}
	a.Charged = &charged
	if balance, err := needCredits(data, "new_balance"); err == nil {
		a.Balance = &balance
	}
	if charged != price {
		a.Reason, a.Detail = topup.FailedMismatch, fmt.Sprintf("it charged %s, not %s", charged, price)
		return
	}
	a.Verdict, a.Reason = topup.Accepted, topup.FailedNone
}

func readCharge(data clients.Object) (topup.Money, error) {
	if _, err := needID(data, "transaction_id"); err != nil {
		return topup.Money{}, err
	}
	cur, err := needCurrency(data)
	if err != nil {
		return topup.Money{}, err
	}
	return needMoney(data, "amount_charged", cur)
}

// judgeRefusal goes by the status first and by the code second, never by the
// message. Only PAYMENT_FAILED says that a card was declined (Talkover docs,
// purchase-credits, read 2026-11-20); a 422 is about a field of the request, such
// as a payment_method_id that is none, and another card does not help.
func judgeRefusal(a *topup.Answer, body []byte, quote func(string) string) {
	a.Reason, a.Detail = clients.StatusReason(a.Status), quote(string(body))
	f, own := parseFailure(a.Status, body)
	if !own {
		if a.Reason == topup.FailedDeclined {
			a.Reason = topup.FailedMalformed // a 402 that nobody signed declines nothing
		}
		return
	}
	a.Detail = quote(f.String())
	switch a.Status {
	case http.StatusPaymentRequired:
		if f.Code != codePaymentFailed { // such as INSUFFICIENT_CREDITS: an empty wallet, not a card
			a.Reason = topup.FailedOther
			return
		}
		a.Verdict = topup.Rejected
	case http.StatusUnauthorized, http.StatusForbidden:
		a.Verdict, a.Stop = topup.Rejected, true
	case http.StatusNotFound, http.StatusUnprocessableEntity:
		a.Verdict, a.Reason = topup.Rejected, topup.FailedRefused
	case http.StatusTooManyRequests:
		a.Verdict = topup.NotRun
	}
}
