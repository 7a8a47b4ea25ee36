package ledgertest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a ledger and its PostgreSQL and can lose an answer: the
// server has done what it was told, and the client never hears of it.
type Proxy struct {
	// DSN reaches the server through the proxy.
	DSN string

	losing   atomic.Pointer[string]
	freezing atomic.Pointer[string]
	lost     atomic.Int64
	freed    chan struct{}
	mu       sync.Mutex
	conns    []net.Conn
}

// NewProxy listens in front of the server that the DSN names until the test ends.
func NewProxy(t testing.TB, dsn string) *Proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{freed: make(chan struct{})}
	server := u.Host
	u.Host = listen(t, func(client net.Conn) { p.serve(t.Context(), client, server) }, p.cut)
	p.DSN = u.String()
	return p
}

func (p *Proxy) cut() {
	close(p.freed)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// listen serves every connection to the address that it returns until the test
// ends: then cut must end what is still being served.
func listen(t testing.TB, serve func(net.Conn), cut func()) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cut()
		serving.Wait()
	})
	return listener.Addr().String()
}

// LoseAnswerTo makes the proxy cut the connection, once, when the server has
// answered a message that contains the text.
func (p *Proxy) LoseAnswerTo(text string) { p.losing.Store(&text) }

// Lost is how many answers were lost so far.
func (p *Proxy) Lost() int { return int(p.lost.Load()) }

// FreezeAnswerTo makes the proxy keep a connection open, once, and deliver
// nothing more on it, when a message contains the text.
func (p *Proxy) FreezeAnswerTo(text string) { p.freezing.Store(&text) }

// struck tells, once, whether the message is the awaited one.
func struck(awaited *atomic.Pointer[string], message []byte) bool {
	text := awaited.Load()
	return text != nil && bytes.Contains(message, []byte(*text)) && awaited.CompareAndSwap(text, nil)
}

func (p *Proxy) serve(ctx context.Context, client net.Conn, address string) {
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var lose, freeze atomic.Bool
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		relay(client, server, func(message []byte) bool {
			if struck(&p.losing, message) {
				lose.Store(true)
			}
			if struck(&p.freezing, message) {
				freeze.Store(true)
			}
			return true
		})
	})
	relay(server, client, func([]byte) bool {
		if freeze.Load() {
			<-p.freed
			return false
		}
		if lose.Load() { // answered: it is done
			p.lost.Add(1)
			return false
		}
		return true
	})
	_ = client.Close() // an EOF, as when a server process ends
	_ = server.Close()
	both.Wait()
}

// relay passes bytes on while the guard lets it.
func relay(from, to net.Conn, pass func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !pass(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
