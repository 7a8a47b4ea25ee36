package ledgertest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Pooling is how a pooler treats the sessions of its clients.
type Pooling string

// The poolers that people put in front of PostgreSQL.
const (
	Rejecting Pooling = "rejecting" // a setting of the session ends the connection
	Dropping  Pooling = "dropping"  // settings are ignored
	Sharing   Pooling = "sharing"   // the settings arrive, and all clients have one session, each for a transaction
)

// Pooler listens like PgBouncer in front of the server that the DSN names until
// the test ends, and returns the DSN that leads through it.
func Pooler(t testing.TB, dsn string, how Pooling) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{t: t.Context(), how: how, address: u.Host, user: u.User.Username(), database: strings.TrimPrefix(u.Path, "/")}
	u.Host = listen(t, p.serve, p.cut)
	return u.String()
}

// pooler has one session for all its clients.
type pooler struct {
	t                       context.Context
	how                     Pooling
	address, user, database string

	session  sync.Mutex // of the client whose transaction runs
	server   net.Conn
	greeting []byte

	mu    sync.Mutex
	conns []net.Conn
}

func (p *pooler) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *pooler) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *pooler) serve(client net.Conn) {
	defer client.Close()
	p.keep(client)
	size := make([]byte, 4)
	if _, err := io.ReadFull(client, size); err != nil {
		return
	}
	startup := make([]byte, binary.BigEndian.Uint32(size)-4)
	if _, err := io.ReadFull(client, startup); err != nil {
		return
	}
	if p.how == Rejecting && strings.Contains(string(startup), "statement_timeout") {
		_, _ = client.Write(message('E', "SFATAL\x00C08P01\x00Munsupported startup parameter: statement_timeout\x00\x00"))
		return
	}
	if p.greet(client, startup) != nil {
		return
	}
	for p.transaction(client) == nil {
	}
}

// message frames one message of the protocol.
func message(kind byte, body string) []byte {
	m := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)) //nolint:gosec // a short text
	return append(m, body...)
}

// greet answers a client as the server has answered the first one.
func (p *pooler) greet(client net.Conn, startup []byte) error {
	p.session.Lock()
	defer p.session.Unlock()
	if p.server == nil {
		server, err := (&net.Dialer{}).DialContext(p.t, "tcp", p.address)
		if err != nil {
			return err
		}
		p.keep(server)
		p.server = server
		if p.how == Dropping {
			startup = append(startup[:4:4], "user\x00"+p.user+"\x00database\x00"+p.database+"\x00\x00"...)
		}
		if _, err := server.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(startup)+4)), startup...)); err != nil { //nolint:gosec // a short text
			return err
		}
		if _, err := answer(server, func(m []byte) error { p.greeting = append(p.greeting, m...); return nil }); err != nil {
			return err
		}
	}
	_, err := client.Write(p.greeting)
	return err
}

// transaction passes messages on until the server is in no transaction any more.
func (p *pooler) transaction(client net.Conn) error {
	held := false
	for {
		m, err := read(client)
		if err != nil || m[0] == 'X' {
			if held {
				p.session.Unlock()
			}
			return errors.Join(err, io.EOF)
		}
		if !held {
			p.session.Lock()
			held = true
		}
		idle := false
		if _, err = p.server.Write(m); err == nil && (m[0] == 'Q' || m[0] == 'S') {
			idle, err = answer(p.server, func(m []byte) error { _, err := client.Write(m); return err })
		}
		if err != nil || idle {
			p.session.Unlock()
			return err
		}
	}
}

// answer reads what the server says until it is ready, and whether it is in no
// transaction then.
func answer(server net.Conn, see func([]byte) error) (idle bool, err error) {
	for {
		m, err := read(server)
		if err == nil {
			err = see(m)
		}
		if err != nil || m[0] == 'Z' {
			return err == nil && m[5] == 'I', err
		}
	}
}

// read reads one message.
func read(c net.Conn) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	m := append(head, make([]byte, binary.BigEndian.Uint32(head[1:])-4)...)
	_, err := io.ReadFull(c, m[5:])
	return m, err
}
