package clientstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"topupd/topup"
)

// Subject is a provider client under test.
type Subject struct {
	// New makes the client for a server. Its purchase timeout must be short (half
	// a second) and its rate limits ample.
	New func(t *testing.T, baseURL string) topup.Provider
	// Order is something it can buy.
	Order topup.Order
	// Status and Yes are the provider's documented answer to that order.
	Status int
	Yes    string
	// Throttled is the body of the provider's documented 429.
	Throttled string
	// Header checks what the request carries beside the usual.
	Header func(http.Header) error
}

// Key is the idempotency key of every purchase in these tests.
const Key = "6d1f0b2e-6c0b-4d0c-9f0e-3a7f5e0c9b11"

// Exercise checks what every client must do: one purchase is at most one request
// on the wire, and only the provider's own words are a yes, a no or not run.
func Exercise(t *testing.T, s Subject) {
	t.Helper()
	t.Run("the documented answer is a yes", s.yes)
	t.Run("the frozen request is stable", s.stable)
	t.Run("the documented 429 was not run", s.throttled)
	for _, f := range Faults(s.Status, s.Yes) {
		t.Run(f.Name, func(t *testing.T) { s.fault(t, f) })
	}
	t.Run("a connection carries one request", s.once)
	t.Run("a connection may be given up unused", s.unused)
	t.Run("a connection that died before the request sends at most one", s.died)
	t.Run("an ended context sends nothing", s.ended)
	t.Run("a context that ends later does not lose the answer", s.detached)
	t.Run("nobody there", s.nobody)
}

// purchase connects and sends once.
func (s Subject) purchase(t *testing.T, url string) topup.Answer {
	t.Helper()
	p := s.New(t, url)
	request, err := p.Prepare(s.Order)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	return sender.Send(t.Context(), request, Key)
}

func (s Subject) answer() string {
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s", s.Status, len(s.Yes), s.Yes)
}

func (s Subject) yes(t *testing.T) {
	w := Serve(t, Say(s.answer()))
	a := s.purchase(t, w.URL)
	if a.Verdict != topup.Accepted || a.Reference == "" || a.Status != s.Status || a.Written == 0 || w.Requests() != 1 {
		t.Errorf("%d requests, answer %+v", w.Requests(), a)
	}
	if want := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC); !a.ServerTime.Equal(want) {
		t.Errorf("server time %v, want %v", a.ServerTime, want)
	}
	r, body := w.Last()
	if r.Method != http.MethodPost || len(body) == 0 || r.ContentLength != int64(len(body)) {
		t.Errorf("%s with a body of %d bytes, declared %d", r.Method, len(body), r.ContentLength)
	}
	if s.Header != nil {
		if err := s.Header(r.Header); err != nil {
			t.Error(err)
		}
	}
}

func (s Subject) throttled(t *testing.T) {
	w := Serve(t, Say(fmt.Sprintf("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%s", len(s.Throttled), s.Throttled)))
	a := s.purchase(t, w.URL)
	if a.Verdict != topup.NotRun || a.Reason != topup.FailedThrottled || w.Requests() != 1 {
		t.Errorf("%d requests, answer %+v", w.Requests(), a)
	}
}

func (s Subject) stable(t *testing.T) {
	p := s.New(t, "http://127.0.0.1:1")
	first, err := p.Prepare(s.Order)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := p.Prepare(s.Order)
		if err != nil || again.Fingerprint() != first.Fingerprint() || !bytes.Equal(again.Body, first.Body) {
			t.Fatalf("the same order became %s and %s (%v)", first.Body, again.Body, err)
		}
	}
}

func (s Subject) fault(t *testing.T, f Fault) {
	t.Parallel()
	w := Serve(t, f.Serve)
	a := s.purchase(t, w.URL)
	if a.Verdict != f.Want {
		t.Errorf("the answer is %s, want %s: %+v", a.Verdict, f.Want, a)
	}
	if w.Requests() != 1 || w.Conns() != 1 {
		t.Errorf("%d requests on %d connections, want one", w.Requests(), w.Conns())
	}
	said := a.Reason != topup.FailedNone && a.Detail != ""
	if said == (f.Want == topup.Accepted) || a.Written == 0 || len(a.Detail) > 1000 {
		t.Errorf("the answer does not say enough, or too much: %+v", a)
	}
	if a.Stop {
		t.Error("a stranger's words stop the provider")
	}
}

func (s Subject) once(t *testing.T) {
	keep := func(_ *Wire, conn net.Conn, _ int) bool {
		_, err := io.WriteString(conn, s.answer())
		return err == nil
	}
	w := Serve(t, keep)
	p := s.New(t, w.URL)
	request, err := p.Prepare(s.Order)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	first, second := sender.Send(t.Context(), request, Key), sender.Send(t.Context(), request, Key)
	if first.Verdict != topup.Accepted || second.Verdict == topup.Accepted || w.Requests() != 1 {
		t.Errorf("%d requests, answers %+v and %+v", w.Requests(), first, second)
	}
}

func (s Subject) unused(t *testing.T) {
	w := Serve(t, Hang)
	sender, err := s.New(t, w.URL).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Close(); err != nil {
		t.Error(err)
	}
	if w.Requests() != 0 {
		t.Errorf("%d requests, want none", w.Requests())
	}
}

// died is the keep-alive race: the server gives the connection up while the
// permit is stored.
func (s Subject) died(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	p := s.New(t, "http://"+l.Addr().String())
	request, err := p.Prepare(s.Order)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.Connect(t.Context())
	if err != nil {
		return // the reset was seen while connecting: nothing was sent
	}
	defer func() { _ = sender.Close() }()
	<-closed
	a := sender.Send(t.Context(), request, Key)
	if want := topup.NotRun; a.Written > 0 {
		if a.Verdict != topup.Unknown {
			t.Errorf("%d bytes were written and the answer is %+v", a.Written, a)
		}
	} else if a.Verdict != want {
		t.Errorf("nothing was written and the answer is %+v", a)
	}
}

func (s Subject) ended(t *testing.T) {
	w := Serve(t, Say(s.answer()))
	p := s.New(t, w.URL)
	request, err := p.Prepare(s.Order)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := sender.Send(ctx, request, Key); a.Verdict != topup.NotRun || a.Written != 0 || w.Requests() != 0 {
		t.Errorf("%d requests, answer %+v", w.Requests(), a)
	}
}

func (s Subject) detached(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := Serve(t, func(w *Wire, conn net.Conn, _ int) bool {
		cancel() // the process is asked to stop while the charge runs
		w.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(conn, s.answer())
		return false
	})
	p := s.New(t, w.URL)
	request, err := p.Prepare(s.Order)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	if a := sender.Send(ctx, request, Key); a.Verdict != topup.Accepted || w.Requests() != 1 {
		t.Errorf("%d requests, answer %+v", w.Requests(), a)
	}
}

func (s Subject) nobody(t *testing.T) {
	for name, url := range map[string]string{
		"a closed port":         "http://127.0.0.1:1",
		"a name without a host": "http://topupd.invalid",
	} {
		if sender, err := s.New(t, url).Connect(t.Context()); err == nil {
			_ = sender.Close()
			t.Errorf("%s: connected", name)
		}
	}
}
