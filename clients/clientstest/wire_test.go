package clientstest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"topupd/clients"
	"topupd/clients/clientstest"
	"topupd/topup"
)

// key is a secret that never changes.
type key string

func (k key) Reveal() string        { return string(k) }
func (k key) Reload() (bool, error) { return false, nil }
func (k key) Fingerprint() string   { return "fp" }

func api(t *testing.T, base string, roots *x509.CertPool) *clients.API {
	t.Helper()
	u, err := url.Parse(base)
	must(t, err)
	a := clients.New(clients.Options{BaseURL: u, RootCAs: roots, PurchaseTimeout: 500 * time.Millisecond})
	t.Cleanup(a.CloseIdle)
	return a
}

// send is one charge.
func send(t *testing.T, a *clients.API) clients.Raw {
	t.Helper()
	s, err := a.Dial(t.Context(), key("token1"))
	must(t, err)
	defer s.Close()
	return s.Send(t.Context(), charge())
}

func charge() clients.Outgoing {
	return clients.Outgoing{
		Op: "purchase", Method: http.MethodPost, Path: "/purchase",
		Header: http.Header{"Idempotency-Key": {clientstest.Key}}, Body: []byte(`{"credit_count":120}`),
	}
}

const created = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"

// plain sends the charge the way any program would.
func plain(t *testing.T, c *http.Client, base string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/purchase", bytes.NewReader([]byte(`{}`)))
	must(t, err)
	req.Header.Set("Idempotency-Key", clientstest.Key)
	resp, err := c.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

// warmThenDie answers GETs, and closes the connection on every charge it has read.
func warmThenDie(charges *atomic.Int64) clientstest.Behaviour {
	return func(w *clientstest.Wire, conn net.Conn, _ int) bool {
		if r, _ := w.Last(); r.Method == http.MethodGet {
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			return err == nil
		}
		charges.Add(1)
		return false
	}
}

// The reason for all of this: net/http repeats a charge on a reused connection.
// If this test ever fails, Go has changed and the package comment of clients is
// out of date; nothing is less safe for it.
func TestAPlainClientRepeatsACharge(t *testing.T) {
	var charges atomic.Int64
	w := clientstest.Serve(t, warmThenDie(&charges))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &http.Client{Transport: transport}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/warm", nil)
	must(t, err)
	resp, err := c.Do(req)
	must(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	_, _ = plain(t, c, w.URL)
	if charges.Load() < 2 {
		t.Errorf("a plain client executed the charge %d times; it used to be 2 or more", charges.Load())
	}
}

func TestASenderDoesNot(t *testing.T) {
	var charges atomic.Int64
	w := clientstest.Serve(t, warmThenDie(&charges))
	a := api(t, w.URL, nil)
	for range 3 { // reads leave connections behind that a charge must not use
		_, err := a.Read(t.Context(), clients.Read{Op: "warm", Path: "/warm", Token: key("token1")})
		must(t, err)
	}
	before := w.Conns()
	raw := send(t, a)
	if raw.Err == nil || raw.Written == 0 || charges.Load() != 1 || w.Conns() != before+1 {
		t.Errorf("%d charges on %d new connections, %+v", charges.Load(), w.Conns()-before, raw)
	}
}

// framed is an HTTP/2 server that reads each request and then refuses it.
func framed(t *testing.T, roots *clientstest.Authority, refuse func(f *http2.Framer, stream uint32) error) (base string, requests *atomic.Int64, protocols func() []string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", roots.Serve(t, "127.0.0.1", time.Now().Add(time.Hour), "h2", "http/1.1"))
	must(t, err)
	t.Cleanup(func() { l.Close() })
	requests = new(atomic.Int64)
	spoken := make(chan string, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go speak(conn.(*tls.Conn), requests, spoken, refuse)
		}
	}()
	return "https://" + l.Addr().String(), requests, func() []string {
		var list []string
		for len(spoken) > 0 {
			list = append(list, <-spoken)
		}
		return list
	}
}

func speak(conn *tls.Conn, requests *atomic.Int64, spoken chan<- string, refuse func(*http2.Framer, uint32) error) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if conn.Handshake() != nil {
		return
	}
	protocol := conn.ConnectionState().NegotiatedProtocol
	spoken <- protocol
	if protocol != "h2" {
		buf := make([]byte, 4096)
		if n, _ := conn.Read(buf); n > 0 {
			requests.Add(1)
		}
		return // read and closed, as the frames below do
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		ends := false
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			ends = frame.StreamEnded()
		case *http2.DataFrame:
			ends = frame.StreamEnded()
		}
		if ends {
			requests.Add(1)
			if refuse(f, frame.Header().StreamID) != nil {
				return
			}
		}
	}
}

func TestHTTP2IsNotSpoken(t *testing.T) {
	errClose := errors.New("close")
	for _, tt := range []struct {
		name    string
		refuse  func(f *http2.Framer, stream uint32) error
		repeats bool // what a plain client does
	}{
		{"GOAWAY", func(f *http2.Framer, _ uint32) error { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil); return errClose }, true},
		{"REFUSED_STREAM", func(f *http2.Framer, s uint32) error { return f.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, true},
		{"PROTOCOL_ERROR", func(f *http2.Framer, s uint32) error { return f.WriteRSTStream(s, http2.ErrCodeProtocol) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			roots := clientstest.NewAuthority(t)
			base, requests, spoken := framed(t, roots, tt.refuse)
			raw := send(t, api(t, base, roots.Roots()))
			if got := spoken(); len(got) != 1 || got[0] != "http/1.1" {
				t.Errorf("spoken: %v, want http/1.1 once", got)
			}
			if requests.Load() != 1 || raw.Err == nil || raw.Written == 0 {
				t.Errorf("%d requests, %+v", requests.Load(), raw)
			}
		})
	}
}

// The control for the test above: with HTTP/2 the same server sees the charge
// again and again.
func TestAPlainClientRepeatsAChargeOverHTTP2(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	roots, streams := clientstest.NewAuthority(t), 0
	base, requests, _ := framed(t, roots, func(f *http2.Framer, s uint32) error {
		if streams++; streams >= 2 {
			cancel() // enough is proven
		}
		return f.WriteRSTStream(s, http2.ErrCodeRefusedStream)
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots.Roots()}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/purchase", bytes.NewReader([]byte(`{}`)))
	must(t, err)
	if resp, err := (&http.Client{Transport: transport}).Do(req); err == nil {
		resp.Body.Close()
	}
	if requests.Load() < 2 {
		t.Errorf("a plain client sent the charge %d times; it used to be 2 or more", requests.Load())
	}
}

func TestTLS(t *testing.T) {
	roots, stranger := clientstest.NewAuthority(t), clientstest.NewAuthority(t)
	hour := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name   string
		server *tls.Config
		want   string // "" = one request with an answer
	}{
		{"a trusted server", roots.Serve(t, "127.0.0.1", hour), ""},
		{"an unknown authority", stranger.Serve(t, "127.0.0.1", hour), "unknown authority"},
		{"an expired certificate", roots.Serve(t, "127.0.0.1", time.Now().Add(-time.Hour)), "expired"},
		{"a certificate for somebody else", roots.Serve(t, "127.0.0.2", hour), "127.0.0.2"},
		{"a version that is too old", &tls.Config{Certificates: roots.Serve(t, "127.0.0.1", hour).Certificates, MaxVersion: tls.VersionTLS11}, "version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := clientstest.ServeTLS(t, tt.server, clientstest.Say(created))
			a := api(t, w.URL, roots.Roots())
			if tt.want == "" {
				if raw := send(t, a); raw.Err != nil || raw.Status != 201 || w.Requests() != 1 || raw.Written == 0 {
					t.Errorf("%d requests, %+v", w.Requests(), raw)
				}
				return
			}
			s, err := a.Dial(t.Context(), key("token1"))
			if err == nil {
				s.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.want) || w.Requests() != 0 {
				t.Errorf("%d requests, %v; want %q", w.Requests(), err, tt.want)
			}
		})
	}
}

func TestAHandshakeThatHangsSendsNothing(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts, says nothing
	must(t, err)
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := api(t, "https://"+l.Addr().String(), nil).Dial(ctx, key("token1"))
	if err == nil {
		s.Close()
		t.Fatal("connected")
	}
	if clients.ReasonOf(err) != topup.FailedTimeout {
		t.Errorf("Dial = %v (%s), want a timeout", err, clients.ReasonOf(err))
	}
}

func TestBytesAreCountedAboveTLS(t *testing.T) {
	roots := clientstest.NewAuthority(t)
	w := clientstest.ServeTLS(t, roots.Serve(t, "127.0.0.1", time.Now().Add(time.Hour)), clientstest.Hang)
	a := api(t, w.URL, roots.Roots())
	s, err := a.Dial(t.Context(), key("token1"))
	must(t, err)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if raw := s.Send(ctx, charge()); raw.Written != 0 || raw.Err == nil {
		t.Errorf("after the handshake alone: %+v, want nothing written", raw)
	}
	if raw := send(t, a); raw.Written == 0 || clients.CauseReason(raw.Err) != topup.FailedTimeout {
		t.Errorf("after a hang: %+v (%v)", raw, raw.Err)
	}
}

func TestOneDeadlineCoversHeadersAndBody(t *testing.T) {
	head := "HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n"
	w := clientstest.Serve(t, clientstest.Drip(head, ""))
	began := time.Now()
	raw := send(t, api(t, w.URL, nil))
	if took := time.Since(began); took > 3*time.Second || clients.CauseReason(raw.Err) != topup.FailedTimeout || raw.Status != 201 {
		t.Errorf("%+v (%v) after %v, want a timeout after half a second", raw, raw.Err, took)
	}
}

func TestAProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	proxy := clientstest.Serve(t, clientstest.Say(created))
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	const base = "http://topupd.invalid" // loopback addresses are never proxied
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base, nil)
	must(t, err)
	if u, err := http.ProxyFromEnvironment(req); err != nil || u == nil {
		t.Fatalf("the environment names no proxy: %v, %v", u, err)
	}
	a := api(t, base, nil)
	if s, err := a.Dial(t.Context(), key("token1")); err == nil {
		s.Close()
		t.Error("connected")
	}
	if _, err := a.Read(t.Context(), clients.Read{Op: "credits", Path: "/x", Token: key("token1")}); err == nil {
		t.Error("read something")
	}
	if proxy.Conns() != 0 {
		t.Errorf("%d connections to the proxy", proxy.Conns())
	}
}

func TestAFinishedChargeLeavesNothingRunning(t *testing.T) {
	for i, b := range []clientstest.Behaviour{clientstest.Say(created), clientstest.Say(""), clientstest.Reset, clientstest.Drip("HTTP/1.1 201 Created\r\n", "")} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := clientstest.Serve(t, b)
			a := api(t, w.URL, nil)
			known := goleak.IgnoreCurrent()
			send(t, a)
			// The server's own goroutine for the connection ends with it.
			goleak.VerifyNone(t, known, goleak.IgnoreAnyFunction("topupd/clients/clientstest.(*Wire).handle"),
				goleak.IgnoreAnyFunction("topupd/clients/clientstest.(*Wire).handle.func2"))
		})
	}
}

func TestWriteIsSentOnce(t *testing.T) {
	w := clientstest.Serve(t, clientstest.Say(""))
	_, err := api(t, w.URL, nil).Write(t.Context(), clients.Write{Op: "attach", Method: http.MethodPost, Path: "/x", Token: key("token1"), Body: []byte("{}")})
	if err == nil || w.Requests() != 1 {
		t.Errorf("%d requests, %v", w.Requests(), err)
	}
}
