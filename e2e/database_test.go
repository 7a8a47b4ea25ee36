package e2e

import (
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"topupd/clients/emulator"
)

// gate is a TCP address that leads to the test server when it is open and to
// nothing when it is not.
type gate struct {
	t        *testing.T
	target   string
	address  string
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

// gated puts a gate in front of a database. It is closed at first.
func gated(t *testing.T, db string) (*gate, string) {
	t.Helper()
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	// An address of its own: no connection of this machine takes the port meanwhile.
	l, err := net.Listen("tcp", "127.0.0.77:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, target: u.Host, address: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.shut)
	u.Host = g.address
	return g, u.String()
}

func (g *gate) open() {
	g.t.Helper()
	l, err := net.Listen("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	g.listener = l
	g.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			g.join(in)
		}
	}()
}

func (g *gate) join(in net.Conn) {
	out, err := net.Dial("tcp", g.target)
	if err != nil {
		_ = in.Close()
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, in, out)
	g.mu.Unlock()
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
}

// shut cuts every connection and refuses new ones.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		_ = g.listener.Close()
	}
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.listener, g.conns = nil, nil
}

// TestADatabaseThatComesUpLateIsWaitedFor: the daemon keeps trying, says so,
// and starts when the server is there.
func TestADatabaseThatComesUpLateIsWaitedFor(t *testing.T) {
	t.Parallel()
	g, db := gated(t, postgresURL(t))
	p := newPlace(t, db, quiet(1, 100), settings{})
	d := p.start()
	began := time.Now()
	until(t, 30*time.Second, "five seconds of trying", func() bool { return d.count("database", nil) >= 3 && time.Since(began) > 5*time.Second })
	if d.ended() || d.has("started", nil) {
		t.Fatalf("it did not wait:\n%s", d.tail(10))
	}
	contains(t, "the log", d.tail(20), "retry_in_seconds", "the database cannot be reached", g.address)
	g.open()
	until(t, 60*time.Second, "the daemon to start", func() bool { return d.has("started", nil) })
	p.settles(1)
}

// TestStoppingWhileTheDatabaseIsAwaited says what was waited for.
func TestStoppingWhileTheDatabaseIsAwaited(t *testing.T) {
	t.Parallel()
	_, db := gated(t, postgresURL(t))
	p := newPlace(t, db, quiet(1, 100), settings{})
	d := p.start()
	until(t, 30*time.Second, "a try", func() bool { return d.has("database", nil) })
	code := d.stop()
	if code != 0 {
		t.Errorf("exit code %d after a signal, want 0", code)
	}
}

// TestANewerSchemaIsRefused: an old binary must not write to what it does not
// know.
func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			p := newPlace(t, db, quiet(1, 100), settings{})
			p.succeeds("migrate")
			driver, dsn := "postgres", db
			if path, ok := strings.CutPrefix(db, "sqlite:"); ok {
				driver, dsn = "sqlite", path
			}
			conn, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)"); err != nil {
				t.Fatal(err)
			}
			errs, code := p.refused()
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			contains(t, "the error", errs, "the database schema is newer than this topupd", "9999")
			if n := p.asked(); n != 0 {
				t.Errorf("%d purchases were asked for", n)
			}
		})
	}
}

// TestASecondDaemonOnOneFileIsRefused by name of the first, and reading commands
// work beside it.
func TestASecondDaemonOnOneFileIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t, sqliteURL(t), quiet(1, 1000), settings{})
	d := p.started()
	errs, code := p.refused()
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	contains(t, "the error", errs, "another process holds the database", fmt.Sprintf("is locked by process %d; stop it first", d.cmd.Process.Pid))
	d.polls(1)
	if all := p.targets(); len(all) != 1 {
		t.Errorf("targets list shows %d targets beside the daemon, want 1", len(all))
	}
}

// TestLosingEveryConnectionDuringPurchases: P19. The sessions of the daemon are
// ended again and again while it buys; nothing is bought twice and everything
// ends.
func TestLosingEveryConnectionDuringPurchases(t *testing.T) {
	t.Parallel()
	db := postgresURL(t)
	p := newPlace(t, db, busy(20), settings{})
	d := p.started()
	conn, err := sql.Open("postgres", db)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	conn.SetMaxOpenConns(1)
	ended, kills := 0, cadence{place: p, every: 200 * time.Millisecond} // time to get something done in between
	until(t, 60*time.Second, "20 purchases and 40 ended sessions", func() bool {
		if !kills.due() {
			return false
		}
		rows, err := conn.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND (state <> 'idle' OR random() < 0.2)`)
		if err != nil {
			t.Fatal(err)
		}
		n, err := rows.RowsAffected()
		if err != nil {
			t.Fatal(err)
		}
		ended += int(n)
		return ended >= 40 && p.captured() >= 20
	})
	t.Logf("%d sessions were ended", ended)
	p.emu.StopUsage()
	until(t, 90*time.Second, "nothing open", func() bool { return p.open() == 0 })
	if n := p.judge(); n < 20 {
		t.Errorf("%d payments were captured, want 20 or more", n)
	}
	until(t, 20*time.Second, "the daemon to be ready again", func() bool { status, _ := d.get("/-/ready"); return status == http.StatusOK })
	if code := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestReadyFollowsTheDatabase: 503 while it cannot be reached, 200 before and
// after; nothing is bought meanwhile and the process stays.
func TestReadyFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	g, db := gated(t, postgresURL(t))
	g.open()
	p := newPlace(t, db, quiet(1, 1000), settings{})
	d := p.started()
	is := func(want int) func() bool {
		return func() bool { status, _ := d.get("/-/ready"); return status == want }
	}
	until(t, 30*time.Second, "ready", is(http.StatusOK))
	g.shut()
	until(t, 30*time.Second, "not ready", is(http.StatusServiceUnavailable))
	_, body := d.get("/-/ready")
	contains(t, "/-/ready", body, "the database does not answer: postgres "+g.address)
	if status, _ := d.get("/-/healthy"); status != http.StatusOK {
		t.Errorf("/-/healthy is %d: a restart would not bring the database back", status)
	}
	p.setBalance(emulator.FirstCustomer, 100)
	pollsBefore := d.count("poll", map[string]any{"level": "ERROR"})
	until(t, 30*time.Second, "three polls that the ledger could not take", func() bool {
		return d.count("poll", map[string]any{"level": "ERROR"}) >= pollsBefore+3
	})
	if n := p.asked(); n != 0 {
		t.Fatalf("%d purchases were asked for without a ledger", n)
	}
	g.open()
	until(t, 30*time.Second, "ready again", is(http.StatusOK))
	p.settles(1)
}

// TestMistakesInTheConfigurationStopTheStart with exit code 2 and a message that
// names line and fix.
func TestMistakesInTheConfigurationStopTheStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, after string
		want          []string
	}{
		"plain http to another host": {
			"base_url: http://127.0.0.1:1", "base_url: http://billing.example",
			[]string{"topupd.yml:8:15: base_url: would send the token in the clear to billing.example", "write https://; plain http is for this machine only"},
		},
		"a test key for production": {
			"base_url: http://127.0.0.1:1", "base_url: https://api.hyperline.co",
			[]string{"topupd.yml:9:12: token: a test_ key does not belong to api.hyperline.co", "use a prod_ key, or base_url: https://sandbox.api.hyperline.co"},
		},
		"a production key for the sandbox": {
			"base_url: http://127.0.0.1:1\n    token: test_emulator", "base_url: https://sandbox.api.hyperline.co\n    token: prod_secret",
			[]string{"topupd.yml:9:12: token: a prod_ key does not belong to sandbox.api.hyperline.co", "use a test_ key, or base_url: https://api.hyperline.co"},
		},
		"a missing token": {
			"token: test_emulator", "token_file: missing.token",
			[]string{"topupd.yml:9:17: token_file: reading a secret: open ", "missing.token: no such file or directory", "put only the secret into the file, readable for this process"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, sqliteURL(t), quiet(1, 100), settings{})
			p.url = "http://127.0.0.1:1"
			p.write("topupd.yml", p.yaml())
			p.edit("topupd.yml", tt.before, tt.after)
			errs, code := p.refused()
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			contains(t, "the error", errs, tt.want...)
			if strings.Contains(errs, "prod_secret") || strings.Contains(errs, "test_emulator") {
				t.Errorf("a token is in the message:\n%s", errs)
			}
		})
	}
}
