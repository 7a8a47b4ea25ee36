package e2e

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a network between the daemon and its database that can be slow, dead
// or torn.
type wire struct {
	delay atomic.Int64 // nanoseconds, of every packet each way
	dead  atomic.Bool  // bytes vanish, connections stay; new ones are taken too

	mu    sync.Mutex
	conns []*net.TCPConn
}

// wired puts a wire in front of a database and returns the URL through it.
func wired(t *testing.T, db string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w, target := &wire{}, u.Host
	t.Cleanup(func() {
		_ = listener.Close()
		w.tear()
	})
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, in.(*net.TCPConn), out.(*net.TCPConn))
			w.mu.Unlock()
			go w.carry(in, out)
			go w.carry(out, in)
		}
	}()
	u.Host = listener.Addr().String()
	return w, u.String()
}

func (w *wire) carry(from, to net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if delay := w.delay.Load(); delay > 0 {
			<-time.After(time.Duration(delay))
		}
		if err != nil {
			return
		}
		if w.dead.Load() {
			_, _ = io.Copy(io.Discard, from) // what was cut short stays so when others come through again
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// tear resets every connection (RST).
func (w *wire) tear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	w.conns = nil
}

// TestABadNetworkToTheDatabase: P2, P19. Under load every packet takes a twentieth
// of a second longer; connections are reset again and again; then nothing comes
// through although every connection stays open. Nobody hangs for ever, nothing is
// sent while the database is not heard, and purchases resume.
func TestABadNetworkToTheDatabase(t *testing.T) {
	t.Parallel()
	db := postgresURL(t)
	w, through := wired(t, db)
	k := newTrial(t, through, steady(30), brisk())
	k.db = db // the questions of the test go past the network
	d := k.started()
	k.buys(3, "purchases over a good network")

	w.delay.Store(int64(50 * time.Millisecond))
	slow := k.buys(2, "purchases over a slow network")
	w.delay.Store(0)

	resets, last := 0, time.Now()
	bought := k.captured()
	until(t, time.Minute, "20 resets and a purchase meanwhile", func() bool {
		if time.Since(last) > 250*time.Millisecond {
			last = time.Now()
			w.tear()
			resets++
		}
		return resets >= 20 && k.captured() > bought
	})

	w.dead.Store(true)
	d.ready(http.StatusServiceUnavailable)
	sent := k.asked()
	stands(t, 3*time.Second, "nothing is sent while the database is not heard", func() bool { return k.asked() == sent && !d.ended() })
	w.dead.Store(false)
	t.Logf("2 purchases over the slow network took %s; %d resets; purchases resumed %s after the dead network",
		slow.Round(100*time.Millisecond), resets, k.buys(5, "purchases over a good network again").Round(100*time.Millisecond))
	k.over(d)
}
