package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pipes is a listener without a network, so that time can be fake.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9846} }

// scrape asks for /metrics and does not read the answer.
func (p *pipes) scrape(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	p.conns <- server
	if _, err := io.WriteString(client, "GET /metrics HTTP/1.1\r\nHost: topupd\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return client
}

type ready struct{}

func (ready) Ready() (ok bool, body string) { return true, "" }

func (ready) Reload(context.Context) (string, error) { return "", nil }

func TestAScraperThatDoesNotRead(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop time.Duration // after the scrape; 0 = never within the test
		want time.Duration // until the connection is cut
	}{
		{"loses its connection", 0, writeTimeout},
		{"does not hold up the exit for long", time.Second, time.Second + drainTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewRegistry()
				m := New(reg, Options{MaxSeries: 10})
				listener := newPipes()
				s := &Server{listener: listener, handler: Handler{Gatherer: reg, Health: ready{}}}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- s.Run(ctx) }()

				conn := listener.scrape(t)
				start := time.Now()
				synctest.Wait()
				m.Targets("p", start, []TargetState{{}}) // nothing waits for the scraper
				if tt.stop > 0 {
					time.AfterFunc(tt.stop, cancel)
				}
				// Only a cut connection ends this wait; bytes are left unread.
				time.Sleep(tt.want - time.Nanosecond)
				synctest.Wait()
				if cut(conn) {
					t.Errorf("cut before %v", tt.want)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if !cut(conn) {
					t.Errorf("not cut after %v", tt.want)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// cut tells whether the other side has closed: writing to an open pipe that
// nobody reads runs into the deadline.
func cut(conn net.Conn) bool {
	_ = conn.SetWriteDeadline(time.Now().Add(-time.Second))
	_, err := conn.Write([]byte("x"))
	return errors.Is(err, io.ErrClosedPipe)
}

func TestRequestsInFlightAreAnsweredAtExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		gatherer := prometheus.NewRegistry()
		gatherer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "late", Help: "l."}, func() float64 {
			<-release
			return 1
		}))
		listener := newPipes()
		s := &Server{listener: listener, handler: Handler{Gatherer: gatherer, Health: ready{}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		conn := listener.scrape(t)
		synctest.Wait()
		cancel()
		time.AfterFunc(drainTimeout-time.Second, func() { close(release) })
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), "late 1\n") {
			t.Errorf("the answer at exit is %q, %v", answer, err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
