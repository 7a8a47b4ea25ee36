package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"topupd/topup"
)

// Outgoing is one request that changes something at the provider.
type Outgoing struct {
	Op     string // as in Read.Op
	Method string
	Path   string // escaped, below the base URL, with its query
	Header http.Header
	Body   []byte // JSON, sent as it is
}

// Raw is what one request came to, before any meaning. Err is nil only when the
// answer was read to its declared end; a body without a declared length may
// still be cut, so its meaning must be complete too.
type Raw struct {
	Status     int // 0 = no answer
	Header     http.Header
	Body       []byte
	Err        error
	Written    int64     // application bytes that may have left; 0 proves that nothing was sent
	ServerTime time.Time // the Date header; zero when absent
	Duration   time.Duration
}

// Sender is one open connection that carries at most one request (P4).
type Sender struct {
	api    *API
	token  Token
	secret string
	conn   *http.ClientConn
	count  *counted
	used   atomic.Bool
}

// errUsed is the answer to a second Send.
var errUsed = errors.New("the connection has carried its one request")

// Dial waits for the write budget and opens a fresh connection for one request.
// After an error it is certain that nothing was sent. It takes at most 25 s.
func (a *API) Dial(ctx context.Context, token Token) (*Sender, error) {
	const op = "connect"
	waiting, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if err := a.wait(waiting, op, a.writes, Evidence, dialPatience); err != nil {
		return nil, err
	}
	if _, err := a.address("/"); err != nil {
		return nil, &Error{Op: op, Reason: topup.FailedInvalid, Message: err.Error()}
	}
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s := &Sender{api: a, token: token, secret: token.Reveal()}
	transport := s.transport()
	began := a.o.Now()
	conn, err := transport.NewClientConn(dialing, a.o.BaseURL.Scheme, net.JoinHostPort(a.o.BaseURL.Hostname(), a.o.BaseURL.Port()))
	if err != nil {
		a.o.Observe(op, code(0), a.o.Now().Sub(began))
		return nil, &Error{Op: op, Method: "CONNECT", URL: bare(a.o.BaseURL), Reason: CauseReason(err), Err: err}
	}
	s.conn = conn
	return s, nil
}

// transport is made for one connection only; it has no pool to fall back on.
func (s *Sender) transport() *http.Transport {
	keep := func(c *counted, err error) (net.Conn, error) {
		if err != nil {
			return nil, err
		}
		s.count = c
		return c, nil
	}
	return &http.Transport{
		Proxy: nil, // see the package comment
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return keep(s.api.dialPlain(ctx, network, address))
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return keep(s.api.dialTLS(ctx, network, address))
		},
		DisableCompression:     true, // what is counted and compared is what was sent
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              onlyHTTP1(),
	}
}

// Send puts the request on the wire at most once, whatever happens. PurchaseTimeout
// covers it whole, from the first byte to the end of the answer's body.
//
// A context that has ended sends nothing. One that ends later is not heeded: the
// charge would still be made, and waiting costs less than not knowing.
func (s *Sender) Send(ctx context.Context, out Outgoing) Raw {
	began := s.api.o.Now()
	raw := s.send(ctx, out)
	raw.Duration = s.api.o.Now().Sub(began)
	raw.Written = s.count.sum()
	label := code(raw.Status)
	if raw.Err != nil {
		raw.Written = s.count.seal()
		label = code(0)
	}
	s.api.o.Observe(out.Op, label, raw.Duration)
	if raw.Status == http.StatusUnauthorized {
		s.reload(out.Op)
	}
	return raw
}

func (s *Sender) send(ctx context.Context, out Outgoing) Raw {
	if err := ctx.Err(); err != nil {
		return Raw{Err: fmt.Errorf("%s: nothing was sent: %w", out.Op, err)}
	}
	if s.used.Swap(true) {
		return Raw{Err: fmt.Errorf("%s: %w", out.Op, errUsed)}
	}
	u, err := s.api.address(out.Path)
	if err != nil {
		return Raw{Err: fmt.Errorf("%s: %w", out.Op, err)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.api.o.PurchaseTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, out.Method, u.String(), bytes.NewReader(out.Body))
	if err != nil {
		return Raw{Err: fmt.Errorf("%s: the request cannot be made: %w", out.Op, err)}
	}
	req.GetBody = nil // a request without it cannot be made twice from the same parts
	setHeaders(req.Header, s.secret)
	req.Header.Set("Content-Type", "application/json")
	for name, values := range out.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	return s.exchange(req)
}

// exchange is the one place from which a charge leaves the program.
func (s *Sender) exchange(req *http.Request) Raw {
	answer, err := s.conn.RoundTrip(req)
	if err != nil {
		return Raw{Err: transportError(err, s.token)}
	}
	defer answer.Body.Close()
	s.api.heed(s.api.writes, answer.StatusCode, answer.Header)
	raw := Raw{Status: answer.StatusCode, Header: answer.Header}
	raw.ServerTime, _ = serverTime(answer.Header)
	if raw.Body, err = readAll(answer.Body, maxAnswerBody); err != nil {
		raw.Err = transportError(err, s.token)
	}
	return raw
}

// reload reads the token again after a 401, for the next request.
func (s *Sender) reload(op string) {
	changed, err := s.token.Reload()
	if err != nil {
		s.api.o.Logger.Error("reading the token again failed", slog.String("op", op), slog.Any("err", err))
		return
	}
	s.api.o.Logger.Warn("provider refused the token", slog.String("op", op), slog.Bool("token_changed", changed),
		slog.String("remedy", remedyOf(s.token)))
}

// Close gives the connection up. Safe after Send, without it, and twice.
func (s *Sender) Close() error { return s.conn.Close() }

// Write is a change that costs nothing, such as attaching a product. Like a
// charge it is sent once and never repeated; unlike one, everything but a
// complete 2xx JSON answer is an *Error, which does not say whether it was done.
type Write struct {
	Op, Method, Path string
	Token            Token
	Body             []byte
}

// Write sends the change.
func (a *API) Write(ctx context.Context, w Write) (Response, error) {
	s, err := a.Dial(ctx, w.Token)
	if err != nil {
		return Response{}, fmt.Errorf("%s: %w", w.Op, err)
	}
	defer func() { _ = s.Close() }() // it has done its work, or not
	sent := a.o.Now()
	raw := s.Send(ctx, Outgoing{Op: w.Op, Method: w.Method, Path: w.Path, Body: w.Body})
	resp := Response{Status: raw.Status, Body: raw.Body, Header: raw.Header, ServerTime: raw.ServerTime, SentAt: sent}
	fail := &Error{Op: w.Op, Method: w.Method, Status: raw.Status, Body: beginning(raw.Body)}
	if u, err := a.address(w.Path); err == nil {
		fail.URL = bare(u)
	}
	return resp, judge(raw, fail, w.Token)
}
