package clients

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"topupd/topup"
)

// Read is one GET request.
type Read struct {
	Op    string // short constant: metric label and the start of errors
	Path  string // escaped, below the base URL
	Query url.Values
	Token Token
	Class Class
	// MayLack: an account may lack the right to it, and there is another way.
	MayLack bool
}

// Response is a complete 2xx answer in JSON.
type Response struct {
	Status     int
	Body       []byte
	Header     http.Header
	ServerTime time.Time     // the provider's clock, when it answered: Date and Age; zero without a Date
	SentAt     time.Time     // our clock, when the request that was answered left: what it says is not younger
	Age        time.Duration // how long a cache on the way had kept it; SentAt is that much earlier
}

// Repetition of reads: about 0.25 s, then 1 s, each ± half.
const (
	maxTries   = 3
	firstPause = 250 * time.Millisecond
	growth     = 4
)

// Read asks until there is a usable answer, at most three times, and obeys the
// rate budget. Everything but a complete 2xx JSON answer of at most 8 MiB is an
// *Error. A 401 makes the token read its source again; if it changed, the
// request is sent once more with the new one.
func (a *API) Read(ctx context.Context, r Read) (Response, error) {
	var last error
	resp, err := backoff.Retry(ctx, func() (Response, error) {
		resp, err := a.readWithToken(ctx, r)
		if err == nil {
			return resp, nil
		}
		last = err
		if !repeatable(err) || ctx.Err() != nil {
			return resp, backoff.Permanent(err)
		}
		return resp, err
	}, backoff.WithBackOff(&pauses{rand: a.o.Rand, first: a.pause}), backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(0))
	if err != nil && last != nil {
		err = last // not the bare context error: what went wrong says more
	}
	return resp, err
}

// repeatable tells whether asking again may help.
func repeatable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Status == http.StatusTooManyRequests || e.Status >= 500:
		return true
	default:
		return e.Err != nil && (e.Reason == topup.FailedConnection || e.Reason == topup.FailedTimeout)
	}
}

// pauses is the backoff between tries.
type pauses struct {
	rand        func() float64
	first, next time.Duration
}

func (p *pauses) Reset() { p.next = p.first }

func (p *pauses) NextBackOff() time.Duration {
	d := time.Duration(float64(p.next) * (0.5 + p.rand()))
	p.next *= growth
	return d
}

func (a *API) readWithToken(ctx context.Context, r Read) (Response, error) {
	resp, err := a.readReloading(ctx, r)
	a.refused.note(r, err, a.o.Now())
	return resp, err
}

// readReloading asks once more when the token was refused and its source has
// another one.
func (a *API) readReloading(ctx context.Context, r Read) (Response, error) {
	used := r.Token.Fingerprint()
	resp, err := a.readOnce(ctx, r)
	if !Refused(err, http.StatusUnauthorized) {
		return resp, err
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.Remedy = remedyOf(r.Token)
	}
	if _, reloadErr := r.Token.Reload(); reloadErr != nil {
		return resp, errors.Join(err, fmt.Errorf("%s: reading the token again: %w", r.Op, reloadErr))
	}
	if r.Token.Fingerprint() == used { // the comparison also sees a reload by somebody else
		return resp, err
	}
	return a.readOnce(ctx, r)
}

func (a *API) readOnce(ctx context.Context, r Read) (Response, error) {
	u, err := a.address(r.Path)
	if err != nil {
		return Response{}, &Error{Op: r.Op, Reason: topup.FailedInvalid, Message: err.Error()}
	}
	if err := a.wait(ctx, r.Op, a.reads, r.Class, a.o.ReadTimeout); err != nil {
		return Response{}, err
	}
	u.RawQuery = r.Query.Encode()
	ctx, cancel := context.WithTimeout(ctx, a.o.ReadTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Response{}, &Error{Op: r.Op, Reason: topup.FailedInvalid, Message: "the request cannot be made"}
	}
	setHeaders(req.Header, r.Token.Reveal())
	req.Header.Set("Cache-Control", "no-cache") // not every cache heeds it: see Response.Age
	sent := a.o.Now()
	resp, err := a.exchange(req, r)
	a.o.Observe(r.Op, observed(resp.Status, err), a.o.Now().Sub(sent))
	resp.SentAt = sent.Add(-resp.Age)
	return resp, err
}

// exchange sends the request and reads the whole answer.
func (a *API) exchange(req *http.Request, r Read) (Response, error) {
	fail := &Error{Op: r.Op, Method: req.Method, URL: bare(req.URL)}
	answer, err := a.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text repeats the URL with the query
		}
		fail.Reason, fail.Err = CauseReason(err), transportError(err, r.Token)
		return Response{}, fail
	}
	defer answer.Body.Close()
	a.heed(a.reads, answer.StatusCode, answer.Header)
	body, err := readAll(answer.Body, maxReadBody)
	resp := Response{Status: answer.StatusCode, Header: answer.Header, Body: body, Age: ageOf(answer.Header)}
	if made, ok := serverTime(answer.Header); ok {
		resp.ServerTime = made.Add(resp.Age)
	}
	fail.Status, fail.Age = answer.StatusCode, resp.Age
	switch {
	case errors.Is(err, errTooLong):
		fail.Reason, fail.Message = topup.FailedMalformed, err.Error()
		return resp, fail
	case err != nil:
		fail.Reason, fail.Err, fail.Message = CauseReason(err), transportError(err, r.Token), "the answer broke off"
		return resp, fail
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		fail.Reason, fail.Message, fail.Body = StatusReason(answer.StatusCode), Quote(body, r.Token), beginning(body)
		return resp, fail
	case !json.Valid(body):
		fail.Reason, fail.Message, fail.Body = topup.FailedMalformed, "not JSON: "+Quote(body, r.Token), beginning(body)
		return resp, fail
	}
	return resp, nil
}

// observed is the metric label of one request.
func observed(status int, err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil {
		return code(0) // cut short: the status alone would look like an answer
	}
	return code(status)
}

// errTooLong is a body beyond its bound.
var errTooLong = errors.New("the answer is longer than any that makes sense")

// readAll reads the body to its end, or fails at the first byte beyond limit. A
// body that was compressed unasked is unpacked within the same limit.
func readAll(body io.Reader, limit int64) ([]byte, error) {
	b, err := bounded(body, limit)
	if err != nil || !bytes.HasPrefix(b, gzipMagic) {
		return b, err
	}
	unpacked, err := unpack(b, limit)
	if err != nil {
		return nil, fmt.Errorf("unpacking the compressed answer: %w", err)
	}
	return unpacked, nil
}

// gzipMagic is how every gzip file begins, and no JSON. Content-Encoding is not
// asked: gateways forget to set it, and to take it away.
var gzipMagic = []byte{0x1f, 0x8b}

// unpack fails unless the packed text is whole and its checksum right.
func unpack(packed []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return bounded(z, limit)
}

func bounded(body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return b, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w (%d bytes)", errTooLong, limit)
	}
	return b, nil
}

func beginning(body []byte) []byte { return body[:min(len(body), maxErrorBody)] }

// bare is the URL as errors may show it.
func bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

func setHeaders(h http.Header, secret string) {
	h.Set("Authorization", "Bearer "+secret)
	h.Set("Accept", "application/json")
	h.Set("Accept-Encoding", "identity") // some servers compress all the same: see readAll
	h.Set("User-Agent", "topupd")
}

// readTransport keeps a few connections of its own: a charge never waits behind
// a read, nor reuses what a read left behind.
func (a *API) readTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // see the package comment
		DialContext:            a.o.Dial,
		TLSClientConfig:        a.tlsConfig(""),
		TLSHandshakeTimeout:    dialTimeout,
		DisableCompression:     true, // readAll unpacks, within its bounds
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              onlyHTTP1(),
	}
}
