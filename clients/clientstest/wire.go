package clientstest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Wire is a server that reads whole HTTP/1.1 requests off its connections and
// then does to them what it was told, at the level of bytes.
type Wire struct {
	URL string

	requests atomic.Int64
	conns    atomic.Int64
	done     chan struct{}
	mu       sync.Mutex
	last     *http.Request
	body     []byte
}

// Behaviour answers the nth request on any connection (counted from 1). The
// connection is closed when it returns false.
type Behaviour func(w *Wire, conn net.Conn, n int) (keep bool)

// Serve starts a server without TLS.
func Serve(t testing.TB, b Behaviour) *Wire {
	t.Helper()
	w := listen(t, nil, b)
	w.URL = "http://" + w.URL
	return w
}

// ServeTLS starts a server with TLS.
func ServeTLS(t testing.TB, config *tls.Config, b Behaviour) *Wire {
	t.Helper()
	w := listen(t, config, b)
	w.URL = "https://" + w.URL
	return w
}

// Requests is how many whole requests arrived.
func (w *Wire) Requests() int { return int(w.requests.Load()) }

// Conns is how many connections were made.
func (w *Wire) Conns() int { return int(w.conns.Load()) }

// Last is the last request and its body; nil before the first.
func (w *Wire) Last() (*http.Request, []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.body
}

// Hold waits until the test is over.
func (w *Wire) Hold() { <-w.done }

// Sleep waits, or returns false because the test is over.
func (w *Wire) Sleep(d time.Duration) bool {
	select {
	case <-w.done:
		return false
	case <-time.After(d):
		return true
	}
}

func listen(t testing.TB, config *tls.Config, b Behaviour) *Wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{URL: l.Addr().String(), done: make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.conns.Add(1)
			all.Go(func() { w.handle(conn, config, b) })
		}
	})
	t.Cleanup(func() {
		close(w.done)
		l.Close()
		all.Wait()
	})
	return w
}

func (w *Wire) handle(conn net.Conn, config *tls.Config, b Behaviour) {
	defer conn.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // nobody waits for a client that stays
		select {
		case <-w.done:
			conn.Close()
		case <-stop:
		}
	}()
	if config != nil {
		conn = tls.Server(conn, config)
	}
	for r := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.last, w.body = req, body
		w.mu.Unlock()
		if n := w.requests.Add(1); !b(w, conn, int(n)) {
			return
		}
	}
}

// Say writes text and closes the connection.
func Say(text string) Behaviour {
	return func(_ *Wire, conn net.Conn, _ int) bool {
		_, _ = io.WriteString(conn, text)
		return false
	}
}

// Reset closes the connection with a RST instead of a FIN.
func Reset(_ *Wire, conn net.Conn, _ int) bool {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return false
}

// Hang never answers.
func Hang(w *Wire, _ net.Conn, _ int) bool { w.Hold(); return false }

// Drip writes one byte every few milliseconds, for ever if the text ends.
func Drip(head, text string) Behaviour {
	return func(w *Wire, conn net.Conn, _ int) bool {
		_, _ = io.WriteString(conn, head)
		for i := 0; ; i++ {
			next := byte(' ')
			if i < len(text) {
				next = text[i]
			}
			if _, err := conn.Write([]byte{next}); err != nil || !w.Sleep(5*time.Millisecond) {
				return false
			}
		}
	}
}
