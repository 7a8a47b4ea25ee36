package talkover

import (
	"slices"
	"strconv"
	"strings"

	"topupd/clients"
)

// Codes that Talkover puts beside a status. An empty wallet and a declined card
// share the status 402 and differ only here (Talkover docs, purchase-credits and
// make-call, read 2026-11-20).
const (
	codePaymentFailed = "PAYMENT_FAILED"
	codeNotConfigured = "AUTO_TOPUP_NOT_CONFIGURED"
)

// failure is what Talkover's error body says, in whichever of its shapes.
type failure struct {
	Code          string // "" when the shape has none
	Message       string
	DeclineReason string // opaque; "" when not given
	Fields        string // what is wrong with which field; "" when not given
}

// String is the failure in a line, for a person.
func (f failure) String() string {
	parts := []string{f.Code, f.DeclineReason, f.Message, f.Fields}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// parseFailure reads an error body in any shape that the documentation shows,
// and reports false for everything else, such as a proxy's page. The shapes, each
// by a page that has it (Talkover docs, read 2026-11-20):
//
//	A  {"success":false,"message","code","details"}             purchase-credits
//	B  {"success":false,"error":{"code","message","details"}}   introduction
//	C  {"error":{"code","message","details"}}                   make-call
//	D  {"error":"CODE","message","status_code"}                 authentication
//	E  {"message"}                                              agent webhooks
//	F  {"success":false,"message"}                              list-agents
//	G  {"message","errors":{"field":["..."]}}                   validation, 422
//	H  {"success":false,"message"}                              500
//
// A body that contradicts itself is no failure either: one that claims success,
// names another status, or carries data.
func parseFailure(status int, body []byte) (failure, bool) {
	o, err := clients.ParseObject(body)
	if err != nil || contradicts(o, status) {
		return failure{}, false
	}
	f, in, nested := failure{}, o, false
	if o.Present("error") {
		if in, nested = o.Object("error"); !nested { // D, where the message stands beside it
			in = o
			if f.Code = o.Text("error"); f.Code == "" {
				return failure{}, false
			}
		}
	}
	f.Message = in.Text("message")
	if in.Has("code") {
		f.Code = in.Text("code")
	}
	if details, ok := in.Object("details"); ok {
		f.DeclineReason = details.Text("decline_reason")
	}
	f.Fields = clients.FieldErrors(o.Raw("errors")) // G: the message alone names no field
	return f, f.Message != "" || nested && f.Code != ""
}

// contradicts reports whether an error body says what no refusal says.
func contradicts(o clients.Object, status int) bool {
	if o.Present("success") {
		if success, ok := o.Bool("success"); !ok || success {
			return true
		}
	}
	if o.Present("status_code") && string(o.Raw("status_code")) != strconv.Itoa(status) {
		return true
	}
	if !o.Present("data") {
		return false
	}
	return o.Twice("data") || !slices.Contains([]string{"", "{}", "[]"}, string(o.Raw("data")))
}
