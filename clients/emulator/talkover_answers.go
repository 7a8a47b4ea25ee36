package emulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// object is a JSON object of an answer; keys are written in order of the
// alphabet, which no client may mind.
type object = map[string]any

// unauthorisedShapes are the ways in which the documentation's pages write a
// 401: A "purchase-credits" family, B "introduction", C "make-call", D
// "authentication", E webhook pages, F agents and campaigns (read 2026-11-20).
var unauthorisedShapes = []object{
	{"success": false, "message": "Invalid token", "code": "INVALID_TOKEN"},
	{"success": false, "error": object{"code": "INVALID_API_KEY", "message": "Invalid API key", "details": object{}}},
	{"error": object{"code": "INVALID_TOKEN", "message": "Invalid token"}},
	{"error": "UNAUTHORIZED", "message": "Unauthorized", "status_code": http.StatusUnauthorized},
	{"message": "Missing Bearer Token"},
	{"success": false, "message": "Unauthenticated."},
}

// tooManyShapes are the three ways in which they write a 429.
var tooManyShapes = []func(seconds int) object{
	func(seconds int) object {
		return object{"error": object{
			"code": "RATE_LIMIT_EXCEEDED", "message": "Rate limit exceeded", "details": object{"retry_after": seconds},
		}}
	},
	func(int) object {
		return object{"success": false, "message": "Too many requests. Please try again later."}
	},
	func(int) object { return object{"success": false, "message": "Rate limit exceeded"} },
}

// serverErrorShapes: H of most pages, and B with the code that is listed.
var serverErrorShapes = []object{
	{"success": false, "message": "Internal server error."},
	{"success": false, "error": object{"code": "SERVER_ERROR", "message": "Internal server error.", "details": object{}}},
}

// next rotates through the n ways of writing one kind of thing, from a start
// that the seed draws.
func (t *talkover) next(kind string, n int) int {
	at, known := t.turns[kind]
	if !known {
		at = t.rng.IntN(n)
	}
	t.turns[kind] = (at + 1) % n
	return at
}

func (t *talkover) unauthorised() answer {
	return jsonAnswer(http.StatusUnauthorized, unauthorisedShapes[t.next("401", len(unauthorisedShapes))])
}

func (t *talkover) serverError() answer {
	return jsonAnswer(http.StatusInternalServerError, serverErrorShapes[t.next("500", len(serverErrorShapes))])
}

// tooMany has a Retry-After header every other time; it is documented nowhere.
func (t *talkover) tooMany(seconds int) answer {
	turn := t.next("429", 2*len(tooManyShapes))
	a := jsonAnswer(http.StatusTooManyRequests, tooManyShapes[turn/2](seconds))
	if turn%2 == 0 {
		a.header.Set("Retry-After", strconv.Itoa(seconds))
	}
	return a
}

// refusal is shape A, that of the billing pages.
func refusal(status int, code, text string) answer {
	return jsonAnswer(status, object{"success": false, "message": text, "code": code})
}

// invalid is shape G, with success or without.
func (t *talkover) invalid(field, problem string) answer {
	body := object{"message": "The given data was invalid.", "errors": object{field: []string{problem}}}
	if t.next("422", 2) == 0 {
		body["success"] = false
	}
	return jsonAnswer(http.StatusUnprocessableEntity, body)
}

// paymentFailed comes with details, as on the page of the test recharge, or
// without, as on that of the purchase.
func paymentFailed(details bool) answer {
	body := object{"success": false, "message": "Payment method declined", "code": "PAYMENT_FAILED"}
	if details {
		body["details"] = object{"decline_reason": "insufficient_funds"}
	}
	return jsonAnswer(http.StatusPaymentRequired, body)
}

func insufficientCredits() answer {
	return refusal(http.StatusPaymentRequired, "INSUFFICIENT_CREDITS", "Insufficient credits")
}

// money writes an amount with two to four decimals as the profile says.
func (t *talkover) money(q quantity) json.RawMessage {
	text := q.decimal().Trunc(4).Trim(2).String()
	style := t.opts.Profile.Money
	if style == MoneyString || style == MoneyMixed && t.next("money", 2) == 0 {
		text = `"` + text + `"`
	}
	return json.RawMessage(text)
}

// second is Talkover's time format on the billing pages: whole seconds, UTC.
func second(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

// success is the general envelope.
func success(body any) answer {
	return jsonAnswer(http.StatusOK, object{"success": true, "data": body})
}
