package emulator

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one admitted request while the lock is held.
type call struct {
	r     *http.Request
	query url.Values
	body  []byte
	now   time.Time
	rows  string // fault of the balances shown, "" for none
}

type handle func(*call) answer

func (h *hyperline) routes(mux *http.ServeMux) {
	const credit = "/v1/customers/{id}/credits/{product}"
	for pattern, fn := range map[string]handle{
		"GET /v1/customers/credits":                 h.listCredits,
		"GET /v1/customers/{id}/credits":            h.listCustomerCredits,
		"GET " + credit:                             h.getCredit,
		"GET " + credit + "/transactions":           h.listRows,
		"GET /v2/customers":                         h.listCustomers,
		"GET /v2/customers/{id}":                    h.getCustomer,
		"GET /v1/customers/{id}/payment-methods":    h.listPaymentMethods,
		"GET /v1/products":                          h.listProducts,
		"GET /v1/products/{id}":                     h.getProduct,
		"GET /v2/invoices":                          h.listInvoices,
		"GET /v2/invoices/{id}":                     h.getInvoice,
		"POST /v1/customers/{id}/credits":           h.createCredit,
		"PUT " + credit:                             h.updateCredit,
		"POST " + credit + "/topup":                 h.topup,
		"POST " + credit + "/usage":                 h.postUsage,
		"PATCH " + credit + "/transactions/{entry}": h.moveExpiry,
		"PUT /v1/customers/{id}/archive":            h.archiveCustomer,
		"POST /v1/invoices/{id}/void":               h.voidInvoice,
		"POST /v1/invoices/{id}/charge":             h.chargeInvoice,
	} {
		mux.HandleFunc(pattern, h.serve(fn))
	}
	mux.HandleFunc("POST "+credit+"/purchase", h.servePurchase)
	mux.HandleFunc("/", h.serve(func(*call) answer { return message(http.StatusNotFound, "Route not found") }))
}

// serve runs everything but purchases: one lock, one answer.
func (h *hyperline) serve(fn handle) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		if err != nil {
			return // the client left in the middle of its request
		}
		var a answer
		var date time.Time
		var hangFor time.Duration
		h.locked(func(now time.Time) {
			hangFor = h.faults.HangFor
			a, date = h.through(HyperlineName, r, now, func() answer {
				return h.admit(r, now, func(q quota) answer { return h.once(&call{r: r, query: r.URL.Query(), body: body, now: now}, fn, q) })
			})
		})
		h.send(rw, r, a, date, hangFor)
	}
}

// once does what the request asks, changes once per idempotency key.
func (h *hyperline) once(c *call, fn handle, q quota) answer {
	if c.r.Method == http.MethodGet {
		return h.read(c, fn, q)
	}
	m, early := h.begin(c.r, c.body, c.now)
	if early != nil {
		return *early
	}
	done := fn(c)
	h.finish(c.r, m, done, c.now)
	return done
}

// read answers a GET, or spoils it.
func (h *hyperline) read(c *call, fn handle, q quota) answer {
	fault := h.faults.draw(h.rng, HyperlineName, readRates)
	if fault == "read_throttle" {
		return tooMany(q.retryAfter(c.now))
	}
	return fn(c).spoil(fault, internalError)
}

// admit checks what comes before any work: outage, token, rate. It adds the
// rate limit headers to what then answers.
func (h *hyperline) admit(r *http.Request, now time.Time, then func(quota) answer) answer {
	if a, out := h.outage(HyperlineName); out {
		return a
	}
	if !h.authorised(r) {
		return message(http.StatusUnauthorized, "Missing authentication token")
	}
	limit := h.writes
	if r.Method == http.MethodGet {
		limit = h.reads
	}
	q := limit.take("", now)
	var a answer
	if q.refused {
		a = tooMany(q.retryAfter(now))
	} else {
		a = then(q)
	}
	if !q.limited {
		return a
	}
	a.header = a.header.Clone() // a remembered answer keeps its own
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("X-RateLimit-Limit", strconv.Itoa(q.limit))
	a.header.Set("X-RateLimit-Remaining", strconv.Itoa(q.remaining))
	a.header.Set("X-RateLimit-Reset", stamp(q.reset)) // a date-time, not seconds (Hyperline docs, /developers/rate-limiting, read 2026-11-20)
	return a
}

// outage draws whether the provider is down for this request.
func (w *world) outage(provider string) (answer, bool) {
	if w.faults.draw(w.rng, provider, outageRates) == "" {
		return answer{}, false
	}
	if w.rng.IntN(2) == 0 {
		return answer{mishap: dropped}, true
	}
	return plainAnswer(http.StatusServiceUnavailable, htmlType, proxyPage), true
}

// authorised takes Bearer, or Basic with the key as the user and no password
// (Hyperline docs, /developers/authentication, read 2026-11-20).
func (h *hyperline) authorised(r *http.Request) bool {
	token, bearer := bearerToken(r)
	if !bearer {
		user, password, basic := r.BasicAuth()
		if !basic || password != "" {
			return false
		}
		token = user
	}
	return subtle.ConstantTimeCompare([]byte(token), []byte(h.opts.Token)) == 1
}

func bearerToken(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}

// message is Hyperline's general error shape.
func message(status int, text string) answer {
	return jsonAnswer(status, map[string]string{"message": text})
}

func internalError() answer { return message(http.StatusInternalServerError, "Internal server error") }

// tooMany is plain text, not JSON (Hyperline docs, /developers/rate-limiting,
// read 2026-11-20).
func tooMany(seconds int) answer {
	a := plainAnswer(http.StatusTooManyRequests, textType, "Too many requests")
	a.header.Set("Retry-After", strconv.Itoa(max(seconds, 1)))
	return a
}

// invalid is the shape of a validation error, seen live on query parameters.
func invalid(where, field, problem string) answer {
	return jsonAnswer(http.StatusBadRequest, struct {
		StatusCode int                 `json:"statusCode"`
		Type       string              `json:"type"`
		Message    string              `json:"message"`
		Errors     map[string][]string `json:"errors"`
	}{http.StatusBadRequest, "ValidationError", "Invalid " + where, map[string][]string{field: {problem}}})
}

// decode reads a JSON body into v; unknown fields are ignored, as the API does
// with unknown query parameters.
func decode(c *call, v any) (answer, bool) {
	err := json.Unmarshal(c.body, v)
	if err == nil {
		return answer{}, true
	}
	field := "body"
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		field = wrong.Field
	}
	return invalid("body", field, fmt.Sprintf("Invalid input: %v", err)), false
}

// stamp is Hyperline's time format: ISO 8601, UTC, milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func stampOrNull(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := stamp(*t)
	return &text
}
