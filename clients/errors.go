package clients

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"topupd/topup"
)

// Error is a request that did not bring a usable answer. It is the only error
// type of this package.
type Error struct {
	Op      string // as in Read.Op
	Method  string
	URL     string // without query and user info; "" when none was asked
	Status  int    // 0 = no answer
	Reason  topup.FailureReason
	Message string // what the provider or the network said; quoted, cut and redacted
	Body    []byte // the beginning of the provider's answer, for its own error shape; never log it
	Err     error  // the cause, if it is not the answer itself
	Remedy  string // how a token that was refused is replaced; "" = not known

	Age time.Duration // for which a cache on the way had kept the answer
}

// maxErrorBody bounds Error.Body.
const maxErrorBody = 16 << 10

// Error says what was asked, where, and what came back.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.URL != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.URL)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + cut(e.Err.Error(), maxMessage))
	}
	if hint := e.hint(); hint != "" {
		b.WriteString(" (" + hint + ")")
	}
	return b.String()
}

// hint says what to do next where a person has to.
func (e *Error) hint() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return cmp.Or(e.Remedy, "check the token file")
	case e.Status == http.StatusForbidden:
		return "check what the token may do"
	case e.Reason == topup.FailedThrottled:
		return "it will be tried again; lower the share or the poll if this lasts"
	case e.Reason == topup.FailedConnection && e.Status == 0:
		return "check base_url and the network"
	default:
		return ""
	}
}

// Unwrap returns the cause, so that context errors can be told.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, topup.ErrNotFound) true for a 404.
func (e *Error) Is(target error) bool {
	return target == topup.ErrNotFound && e.Status == http.StatusNotFound
}

// Refused tells whether the provider answered with one of these statuses.
func Refused(err error, statuses ...int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(statuses, e.Status)
}

// FailureReason is Reason, "other" when nothing better is known. It is how the
// purchaser learns why no connection was to be had.
func (e *Error) FailureReason() topup.FailureReason {
	if e.Reason == topup.FailedNone {
		return topup.FailedOther
	}
	return e.Reason
}

// ReasonOf is the failure reason of an error of this package, "other" for the rest.
func ReasonOf(err error) topup.FailureReason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.FailureReason()
	}
	return topup.FailedOther
}

// StatusReason is what a status means where the provider's list says no more.
func StatusReason(status int) topup.FailureReason {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return topup.FailedAuth
	case status == http.StatusPaymentRequired:
		return topup.FailedDeclined
	case status == http.StatusTooManyRequests:
		return topup.FailedThrottled
	case status == http.StatusRequestTimeout:
		return topup.FailedTimeout
	case status >= 500:
		return topup.FailedServer
	case status >= 400:
		return topup.FailedInvalid
	default:
		return topup.FailedOther
	}
}

// CauseReason tells a timeout from a broken connection.
func CauseReason(err error) topup.FailureReason {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return topup.FailedTimeout
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return topup.FailedTimeout
	}
	return topup.FailedConnection
}

// maxMessage bounds, in bytes, what outside text becomes part of an error.
const maxMessage = 200

// Quote makes outside text fit for a person and a log: quoted, without the
// secrets, cut to 200 bytes.
func Quote(text []byte, secrets ...Token) string {
	if len(text) == 0 {
		return "empty body"
	}
	// Whole secrets must be seen before the text is cut: half a secret is one too.
	return strconv.Quote(cut(Redact(string(text[:min(len(text), maxErrorBody)]), secrets...), maxMessage))
}

// FieldErrors says what a validation error finds wrong with which field, in the
// order of their names, from an object of texts or lists of texts, as both
// providers write it. "" when it is none. Outside text: Quote it.
func FieldErrors(raw json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var one string
		var several []string
		switch {
		case json.Unmarshal(fields[name], &one) == nil:
			several = []string{one}
		case json.Unmarshal(fields[name], &several) != nil:
			continue
		}
		parts = append(parts, name+": "+strings.Join(several, " "))
	}
	return strings.Join(parts, "; ")
}

// Redact takes the secrets out of outside text, also as %q writes them. Text that
// was cut before may end in half a secret: redact first.
func Redact(s string, secrets ...Token) string {
	for _, t := range secrets {
		if t == nil {
			continue
		}
		secret := t.Reveal()
		if len(secret) < minSecret {
			continue
		}
		quoted := strconv.Quote(secret)
		for _, form := range []string{secret, quoted[1 : len(quoted)-1]} {
			s = strings.ReplaceAll(s, form, "[redacted]")
		}
	}
	return s
}

// broken is an error of the transport whose text is fit to be shown. net/http
// quotes an answer that is no HTTP, and such an answer may repeat our token and
// be long (P17).
type broken struct {
	text string
	err  error
}

func (b *broken) Error() string { return b.text }
func (b *broken) Unwrap() error { return b.err }

// transportError makes an error of the transport fit to be shown.
func transportError(err error, secrets ...Token) error {
	return &broken{text: cut(Redact(err.Error(), secrets...), maxMessage), err: err}
}

// minSecret is the length below which a secret would redact ordinary words.
const minSecret = 6

// cut shortens s to at most n bytes, on a rune boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// judge fills fail in with what is wrong with a raw answer, or returns nil.
func judge(raw Raw, fail *Error, token Token) error {
	switch {
	case raw.Err != nil:
		fail.Reason, fail.Err = CauseReason(raw.Err), raw.Err
	case raw.Status < 200 || raw.Status > 299:
		fail.Reason, fail.Message = StatusReason(raw.Status), Quote(raw.Body, token)
	case !json.Valid(raw.Body):
		fail.Reason, fail.Message = topup.FailedMalformed, "not JSON: "+Quote(raw.Body, token)
	default:
		return nil
	}
	return fail
}
