package e2e

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// line is a network line between the daemon and somebody: a TCP address that
// leads to another, with faults. Bytes pass unchanged; a fault decides when, how
// many of them, and how it ends.
type line struct {
	address string
	target  string
	fault   atomic.Pointer[lineFault]
	struck  atomic.Int64 // connections that suffered the fault
	refuse  atomic.Bool  // new connections are reset at once
	hang    atomic.Bool  // new connections are taken, and nothing passes
	over    chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// lineFault is what a line does to the connections that it is for. The zero
// value does nothing.
type lineFault struct {
	onlyIf  []byte        // connections whose first bytes begin so; nil = all of them
	latency time.Duration // before every piece, each way
	deaf    bool          // nothing of what the daemon says arrives
	mute    bool          // nothing of what is answered arrives
	limit   int           // bytes of the answers, after which the connection is cut; 0 = no limit
	reset   bool          // it is cut by a RST instead of a FIN
	cut     bool          // a deaf or mute connection is cut at its first piece, else it hangs
	slowEnd time.Duration // how much later than the other side the daemon hears the end
}

// lineTo opens a line to an address.
func lineTo(t *testing.T, target string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &line{address: l.Addr().String(), target: target, over: make(chan struct{}), conns: map[net.Conn]bool{}}
	n.set(lineFault{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { n.join(in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(n.over)
		n.cutAll(false)
		all.Wait()
	})
	return n
}

// set is the fault of pieces from now on, on old connections too.
func (n *line) set(f lineFault) { n.fault.Store(&f) }

// cutAll ends every connection.
func (n *line) cutAll(reset bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		end(c, reset)
	}
}

func end(c net.Conn, reset bool) {
	if tcp, ok := c.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (n *line) keep(c net.Conn) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, c)
	}
}

// wait passes time, or returns early because the test is over.
func (n *line) wait(d time.Duration) {
	select {
	case <-n.over:
	case <-time.After(d):
	}
}

// joined is one connection over the line.
type joined struct {
	*line
	in, out net.Conn
	first   []byte // what the daemon said first
	heard   int    // bytes of answers that arrived
	hit     atomic.Bool
}

func (n *line) join(in net.Conn) {
	switch {
	case n.refuse.Load():
		end(in, true)
		return
	case n.hang.Load():
		<-n.over
		end(in, true)
		return
	}
	out, err := net.Dial("tcp", n.target)
	if err != nil {
		end(in, true)
		return
	}
	defer n.keep(in)()
	defer n.keep(out)()
	first := make([]byte, 64<<10)
	size, err := in.Read(first) // the daemon speaks first, to a provider and to PostgreSQL
	if err != nil {
		end(in, false)
		end(out, false)
		return
	}
	j := &joined{line: n, in: in, out: out, first: first[:size]}
	var both sync.WaitGroup
	both.Go(func() {
		if j.there(j.first) {
			pass(in, j.there)
		}
		end(out, false)
	})
	pass(out, j.back)
	n.wait(j.now().slowEnd)
	end(in, j.now().reset)
	end(out, false)
	both.Wait()
}

// now is the present fault, if it is for this connection.
func (j *joined) now() lineFault {
	f := j.fault.Load()
	if f.none() || !bytes.HasPrefix(j.first, f.onlyIf) {
		return lineFault{}
	}
	if j.hit.CompareAndSwap(false, true) {
		j.struck.Add(1)
	}
	return *f
}

func (f *lineFault) none() bool {
	return !f.deaf && !f.mute && f.latency == 0 && f.limit == 0 && f.slowEnd == 0
}

// there passes a piece on to the other side; false ends the connection.
func (j *joined) there(piece []byte) bool {
	f := j.now()
	j.wait(f.latency)
	if f.deaf {
		return j.gone(f)
	}
	_, err := j.out.Write(piece)
	return err == nil
}

// back passes a piece of an answer on to the daemon.
func (j *joined) back(piece []byte) bool {
	f := j.now()
	j.wait(f.latency)
	if f.mute {
		return j.gone(f)
	}
	if f.limit > 0 {
		piece = piece[:min(len(piece), f.limit-min(f.limit, j.heard))]
	}
	j.heard += len(piece)
	_, err := j.in.Write(piece)
	return err == nil && (f.limit == 0 || j.heard < f.limit)
}

// gone is the end of a connection that carries nothing any more: cut, or silent
// until the fault is over.
func (j *joined) gone(f lineFault) bool {
	if f.cut {
		end(j.in, f.reset)
	} else {
		<-j.over
	}
	return false
}

// pass reads pieces until one is not wanted or the connection ends.
func pass(from net.Conn, piece func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		size, err := from.Read(buffer)
		if size > 0 && !piece(buffer[:size]) || err != nil {
			return
		}
	}
}
