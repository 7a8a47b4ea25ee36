package sim

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// network is everything between the replicas and the providers, in one process:
// net.Pipe instead of TCP, and net/http on both ends.
type network struct {
	w      *world
	server *http.Server
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newNetwork(w *world, life time.Duration) *network {
	n := &network{w: w, accept: make(chan net.Conn), closed: make(chan struct{})}
	n.server = &http.Server{Handler: n, ReadHeaderTimeout: life, IdleTimeout: life}
	return n
}

// Accept, Close and Addr make the network a listener.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "sim", Net: "unix"} }

// dial connects a replica to the providers.
func (n *network) dial(ctx context.Context, r *replica) (net.Conn, error) {
	near, far := net.Pipe()
	if r.dead.Load() {
		return nil, net.ErrClosed
	}
	select {
	case n.accept <- far:
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	line := &line{Conn: near, r: r}
	r.keep(line)
	return line, nil
}

// line is a replica's end of a connection. The first bytes of a purchase are a
// step of their own: a process can be stopped right before it writes.
type line struct {
	net.Conn
	r *replica
}

func (l *line) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("POST ")) {
		path, _, _ := strings.Cut(string(p[5:]), " ")
		if !l.r.w.gate.passes(l.r, "step sending", customerIn(path)) {
			return 0, net.ErrClosed
		}
	}
	return l.Conn.Write(p)
}

// customerIn is the customer in the path of a Hyperline purchase.
func customerIn(path string) string {
	parts := strings.Split(path, "/")
	if at := slices.Index(parts, "customers"); at >= 0 && at+1 < len(parts) {
		return parts[at+1]
	}
	return path
}

// ServeHTTP is the way to the providers: a request arrives when the turnstile
// lets it, with the fault that the history has for it.
func (n *network) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if n.w.h.Latency > 0 {
		time.Sleep(n.w.h.Latency)
	}
	n.w.gate.pass(nil, "request", r.Method+" "+r.Host+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
	n.w.admit(r, body)
	n.w.emu.Handler().ServeHTTP(rw, r)
}
