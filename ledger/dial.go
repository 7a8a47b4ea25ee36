package ledger

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// dialer makes connections on which no read or write hangs for ever. lib/pq
// sets no deadline of its own: behind a dead network or a frozen server it
// would wait until the process ends.
type dialer struct{ limit time.Duration }

// Dial connects.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout connects within the timeout.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext connects until the context ends.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	plain := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         boundUnacknowledged,
	}
	c, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: c, limit: d.limit}, nil
}

// boundedConn gives every read and write a deadline, unless one was set by hand
// (lib/pq does so while it connects).
type boundedConn struct {
	net.Conn
	limit  time.Duration
	byHand atomic.Bool
}

// SetDeadline replaces ours until it is set to zero.
func (c *boundedConn) SetDeadline(t time.Time) error {
	c.byHand.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

// Read reads, for at most the limit.
func (c *boundedConn) Read(p []byte) (int, error) {
	if err := c.bound(c.SetReadDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write writes, for at most the limit.
func (c *boundedConn) Write(p []byte) (int, error) {
	if err := c.bound(c.SetWriteDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *boundedConn) bound(set func(time.Time) error) error {
	if c.byHand.Load() {
		return nil
	}
	return set(time.Now().Add(c.limit)) //nolint:forbidigo // a socket deadline; nothing is decided by it
}
