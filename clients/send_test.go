package clients

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"topupd/topup"
)

// lossy is a connection whose writes end in an error, after n bytes.
type lossy struct {
	net.Conn
	n      int
	closed bool
}

func (l *lossy) Write([]byte) (int, error) { return l.n, errors.New("broken pipe") }
func (l *lossy) Close() error              { l.closed = true; return nil }

// leaky is TLS over a wire: its write fails, but some of it left below.
type leaky struct {
	net.Conn
	below *wire
}

func (l *leaky) Write([]byte) (int, error) {
	l.below.written.Add(7)
	return 0, errors.New("broken pipe")
}
func (l *leaky) Close() error { return nil }

func TestCounting(t *testing.T) {
	t.Run("a write that fails whole is nothing", func(t *testing.T) {
		c := &counted{Conn: &lossy{}}
		_, _ = c.Write([]byte("POST"))
		if c.sum() != 0 {
			t.Errorf("sum = %d, want 0", c.sum())
		}
	})
	t.Run("a write that fails in part counts", func(t *testing.T) {
		c := &counted{Conn: &lossy{n: 2}}
		_, _ = c.Write([]byte("POST"))
		if c.sum() != 2 {
			t.Errorf("sum = %d, want 2", c.sum())
		}
	})
	t.Run("a write that fails above TLS but left below counts", func(t *testing.T) {
		below := &wire{}
		c := &counted{Conn: &leaky{below: below}, wire: below}
		_, _ = c.Write([]byte("POST"))
		if c.sum() == 0 {
			t.Error("sum = 0, although a record left")
		}
	})
	t.Run("nothing leaves after the count was taken", func(t *testing.T) {
		conn := &lossy{n: 4}
		c := &counted{Conn: conn}
		if c.seal() != 0 || !conn.closed {
			t.Error("not sealed")
		}
		if n, err := c.Write([]byte("POST")); n != 0 || !errors.Is(err, errSealed) || c.sum() != 0 {
			t.Errorf("Write after seal = %d, %v; sum %d", n, err, c.sum())
		}
	})
}

func TestDialWaitsForTheBudget(t *testing.T) {
	api := serve(t, status(200, "{}"), func(o *Options) { o.Limits.Writes = Rate{50, 10 * time.Second} })
	var senders []*Sender
	for range 8 { // a burst of 5, then 2 a second
		s, err := api.Dial(t.Context(), &secret{now: "token1"})
		if err != nil {
			t.Fatal(err)
		}
		senders = append(senders, s)
	}
	for _, s := range senders {
		s.Close()
	}
	if waited := api.now.Sub(noon); waited < 1500*time.Millisecond || waited > 1600*time.Millisecond {
		t.Errorf("8 connections took %v of waiting, want 1.5 s", waited)
	}
	if _, writes := api.BudgetUsed(); writes != 1 {
		t.Errorf("used = %v, want 1", writes)
	}
}

func TestDialDoesNotWaitForAnAbsurdSilence(t *testing.T) {
	api := serve(t, status(200, "{}"), nil)
	api.heed(api.writes, http.StatusTooManyRequests, http.Header{"Retry-After": {"315360000"}})
	_, err := api.Dial(t.Context(), &secret{now: "token1"})
	if ReasonOf(err) != topup.FailedThrottled || len(api.sleeps) != 0 {
		t.Errorf("Dial = %v after waiting %v, want it to give up at once", err, api.sleeps)
	}
}

func TestA401OnAChargeReadsTheTokenAgainButDoesNotRepeat(t *testing.T) {
	var requests atomic.Int64
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		status(401, `{"message":"Missing authentication token"}`)(w, r)
	}, nil)
	token := &secret{now: "old_token", next: "new_token"}
	s, err := api.Dial(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw := s.Send(t.Context(), Outgoing{Op: "purchase", Method: http.MethodPost, Path: "/x", Body: []byte("{}")})
	if raw.Status != 401 || requests.Load() != 1 || token.reloads != 1 || token.Reveal() != "new_token" {
		t.Errorf("%+v after %d requests and %d reloads", raw, requests.Load(), token.reloads)
	}
}

func TestA429OnAChargeSilencesTheConnection(t *testing.T) {
	api := serve(t, status(429, "Too many requests", "Retry-After", "60"), nil)
	s, err := api.Dial(t.Context(), &secret{now: "token1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if raw := s.Send(t.Context(), Outgoing{Op: "purchase", Method: http.MethodPost, Path: "/x", Body: []byte("{}")}); raw.Status != 429 || raw.Err != nil {
		t.Fatalf("%+v", raw)
	}
	if _, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: &secret{now: "token1"}}); ReasonOf(err) != topup.FailedThrottled {
		t.Errorf("Read = %v, want the silence", err)
	}
}

func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server http.HandlerFunc
		reason topup.FailureReason
	}{
		{"a success", status(201, `{"a":1}`), ""},
		{"a refusal", status(422, `{"message":"no"}`), topup.FailedInvalid},
		{"HTML", status(200, `<html>`), topup.FailedMalformed},
		{"a cut connection", drop, topup.FailedConnection},
		{"a server error is not repeated", status(503, ""), topup.FailedServer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int64
			api := serve(t, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); tt.server(w, r) }, nil)
			_, err := api.Write(t.Context(), Write{Op: "attach", Method: http.MethodPost, Path: "/x", Token: &secret{now: "token1"}, Body: []byte("{}")})
			if (err == nil) != (tt.reason == "") || err != nil && ReasonOf(err) != tt.reason || requests.Load() != 1 {
				t.Errorf("Write = %v after %d requests, want %q", err, requests.Load(), tt.reason)
			}
		})
	}
}

func TestSendNeedsAValidPath(t *testing.T) {
	api := serve(t, status(200, "{}"), nil)
	s, err := api.Dial(t.Context(), &secret{now: "token1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if raw := s.Send(context.Background(), Outgoing{Op: "purchase", Method: http.MethodPost, Path: "//elsewhere.example/x"}); raw.Err == nil || raw.Written != 0 {
		t.Errorf("%+v", raw)
	}
}
