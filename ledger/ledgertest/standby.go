package ledgertest

import (
	"database/sql"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Replication is when a commit on the primary is answered.
type Replication bool

const (
	// Asynchronous answers without asking the standby: a promotion may lose commits.
	Asynchronous Replication = false
	// Synchronous answers when the standby has the commit on its disk.
	Synchronous Replication = true
)

// Pair is a primary and the standby that follows it by streaming. Both end with
// the test.
type Pair struct {
	// DSN names both servers and takes whichever writes, as an operator who
	// has a standby would write it.
	DSN string
	// PrimaryDSN and StandbyDSN reach one server each, whatever its role.
	PrimaryDSN, StandbyDSN string

	t                testing.TB
	primary, standby *server
	stream           *gate
}

// NewPair starts a primary and a standby and returns when the standby streams.
func NewPair(t testing.TB, r Replication) *Pair {
	t.Helper()
	p := &Pair{t: t, primary: newServer(t), standby: newServer(t)}
	p.primary.initialize()
	p.primary.start()
	p.stream = newGate(t, p.primary.address)
	host, port, _ := net.SplitHostPort(p.stream.address)
	p.standby.run("pg_basebackup", "-D", p.standby.dir+"/data", "-R", "-X", "stream", "-c", "fast", "--no-sync",
		"-d", "host="+host+" port="+port+" user=topupd password='"+ClusterPassword+"' application_name=standby sslmode=disable")
	p.standby.start()
	p.PrimaryDSN, p.StandbyDSN = p.primary.dsn(), p.standby.dsn()
	first, firstPort, _ := net.SplitHostPort(p.primary.address)
	second, secondPort, _ := net.SplitHostPort(p.standby.address)
	p.DSN = clusterDSN(first+","+second, url.Values{"port": {firstPort + "," + secondPort}, "target_session_attrs": {"read-write"}})
	p.await("the standby streams", p.PrimaryDSN, `SELECT count(pid) = 1 FROM pg_stat_replication WHERE state = 'streaming'`)
	if r == Synchronous {
		execute(t, p.PrimaryDSN, `ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)'`)
		execute(t, p.PrimaryDSN, `SELECT pg_reload_conf()`)
		p.await("the standby is synchronous", p.PrimaryDSN, `SELECT count(pid) = 1 FROM pg_stat_replication WHERE sync_state = 'quorum'`)
	}
	return p
}

// AwaitCaughtUp returns when the standby has replayed all that the primary has
// written so far.
func (p *Pair) AwaitCaughtUp() {
	p.t.Helper()
	var written string
	query(p.t, p.PrimaryDSN, &written, `SELECT CAST(pg_current_wal_insert_lsn() AS TEXT)`)
	p.await("the standby has caught up", p.StandbyDSN, `SELECT pg_last_wal_replay_lsn() >= CAST($1 AS pg_lsn)`, written)
}

// StopReceiving keeps from the standby whatever the primary writes from now on.
// Asynchronous commits go on.
func (p *Pair) StopReceiving() { p.stream.hold() }

// KillPrimary ends the primary as a power cut would.
func (p *Pair) KillPrimary() {
	p.t.Helper()
	p.primary.kill()
}

// RestartPrimary kills the primary and starts it again on the same files.
func (p *Pair) RestartPrimary() {
	p.t.Helper()
	p.primary.kill()
	p.primary.start()
}

// RestartStandby kills the standby, promoted or not, and starts it again on the
// same files.
func (p *Pair) RestartStandby() {
	p.t.Helper()
	p.standby.kill()
	p.standby.start()
}

// Promote makes the standby a primary, with what it has received. What was kept
// from it is lost.
func (p *Pair) Promote() {
	p.t.Helper()
	p.stream.cut()
	p.standby.run("pg_ctl", "-D", p.standby.dir+"/data", "-w", "-t", "60", "promote")
}

// await waits until the query says true.
func (p *Pair) await(what, dsn, statement string, args ...any) {
	p.t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var yes bool
		query(p.t, dsn, &yes, statement, args...)
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

func query(t testing.TB, dsn string, dest any, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), statement, args...).Scan(dest); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// gate relays connections and can hold back what the server says.
type gate struct {
	address string

	mu    sync.Mutex
	free  *sync.Cond
	held  bool
	over  bool // nothing is relayed any more
	conns []net.Conn
}

func newGate(t testing.TB, server string) *gate {
	t.Helper()
	g := &gate{}
	g.free = sync.NewCond(&g.mu)
	g.address = listen(t, func(client net.Conn) { g.serve(client, server) }, g.cut)
	return g
}

func (g *gate) serve(client net.Conn, address string) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", address, 5*time.Second) //nolint:noctx // ends with the gate
	if err != nil {
		return
	}
	defer server.Close()
	if !g.add(client, server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		relay(client, server, func([]byte) bool { return true })
		_ = server.Close()
	})
	relay(server, client, func([]byte) bool { return g.pass() })
	_ = client.Close()
	_ = server.Close()
	both.Wait()
}

// add remembers connections to cut; false when the gate is cut already.
func (g *gate) add(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, conns...)
	return !g.over
}

// pass waits while the gate holds; false when it is cut.
func (g *gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held && !g.over {
		g.free.Wait()
	}
	return !g.over
}

func (g *gate) hold() { g.set(func() { g.held = true }) }

func (g *gate) cut() {
	g.set(func() {
		g.over = true
		for _, c := range g.conns {
			_ = c.Close()
		}
	})
}

func (g *gate) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	g.free.Broadcast()
}
