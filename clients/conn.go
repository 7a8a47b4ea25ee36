package clients

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// counted counts the application bytes that may have left through it: those
// above TLS, since a handshake is no request. Zero proves that nothing was sent.
//
// httptrace is no such proof: its WroteRequest fired with nothing on the socket
// (measured with Go 1.26 and small bodies, which are flushed after the hook).
type counted struct {
	net.Conn
	wire *wire // below TLS; nil without TLS

	mu      sync.Mutex // held while a write is under way
	written int64
	sealed  bool
}

// errSealed is a write after the count was taken.
var errSealed = errors.New("the connection was given up")

// Write counts what was written. A failed write that reports nothing counts as
// one byte if anything at all moved below TLS.
func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		return 0, errSealed
	}
	before := c.wire.count()
	n, err := c.Conn.Write(p)
	if n == 0 && len(p) > 0 && c.wire.count() != before {
		c.written++
	}
	c.written += int64(n)
	return n, err
}

// sum is the count so far.
func (c *counted) sum() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

// seal closes the connection and returns the final count: whatever goroutine
// net/http still has on it, no byte leaves afterwards.
func (c *counted) seal() int64 {
	_ = c.Conn.Close() // ends a write that hangs, so that the lock comes free
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
	return c.written
}

// wire counts the bytes that left through a TCP connection.
type wire struct {
	net.Conn
	written atomic.Int64
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.written.Add(int64(n))
	return n, err
}

func (w *wire) count() int64 {
	if w == nil {
		return 0
	}
	return w.written.Load()
}

// dialPlain opens a connection without TLS.
func (a *API) dialPlain(ctx context.Context, network, address string) (*counted, error) {
	conn, err := a.o.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &counted{Conn: conn}, nil
}

// dialTLS opens a connection and completes the TLS handshake on it.
func (a *API) dialTLS(ctx context.Context, network, address string) (*counted, error) {
	conn, err := a.o.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	below := &wire{Conn: conn}
	secure := tls.Client(below, a.tlsConfig(a.o.BaseURL.Hostname()))
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return &counted{Conn: secure, wire: below}, nil
}

// tlsConfig offers HTTP/1.1 only: over HTTP/2 one connection carries several
// requests and net/http has its own ideas about repeating them.
func (a *API) tlsConfig(server string) *tls.Config {
	return &tls.Config{
		RootCAs:    a.o.RootCAs,
		ServerName: server,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
	}
}

func onlyHTTP1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}
