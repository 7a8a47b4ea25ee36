package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/ledger/ledgertest"
	"topupd/topup"
)

func count(t *testing.T, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for a condition of the server, not for a time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		case <-again.C:
		}
	}
}

// This is why every write has a transaction around it. Should it fail one day,
// lib/pq has stopped doing it and nothing is lost.
func TestLibPQRunsAnAutocommitStatementAgain(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	direct := rawSQL(t, dsn)
	if _, err := direct.ExecContext(t.Context(), `CREATE TABLE doubled (n BIGINT)`); err != nil {
		t.Fatal(err)
	}
	proxy := ledgertest.NewProxy(t, dsn)
	through := rawSQL(t, proxy.DSN)
	if err := through.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.LoseAnswerTo("INSERT INTO doubled")
	_, err := through.ExecContext(t.Context(), `INSERT INTO doubled VALUES (1)`)
	if n := count(t, direct, `SELECT count(n) FROM doubled`); n != 2 || err != nil || proxy.Lost() != 1 {
		t.Errorf("%d rows, %v, %d answers lost; expected 2 rows and no error", n, err, proxy.Lost())
	}
}

func TestALostAnswerNeverDoublesAWrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		lose    string
		inDoubt bool
		stored  int
	}{
		{"to a statement: nothing is stored", "INSERT INTO evidence", false, 0},
		{"to the commit: in doubt, stored once", "COMMIT", true, 1},
		{"to the beginning: begun again, stored once", "BEGIN", false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn := ledgertest.Postgres(t)
			direct := rawSQL(t, dsn)
			proxy := ledgertest.NewProxy(t, dsn)
			s := open(t, proxy.DSN, ledger.Options{})
			p := sentPurchase(t, s)
			proxy.LoseAnswerTo(tt.lose)
			err := s.Append(t.Context(), p.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: "once"})
			if errors.Is(err, topup.ErrInDoubt) != tt.inDoubt || (err == nil) != (tt.lose == "BEGIN") {
				t.Errorf("Append = %v, in doubt expected %t", err, tt.inDoubt)
			}
			if n := count(t, direct, `SELECT count(n) FROM evidence WHERE text = 'once'`); n != tt.stored || proxy.Lost() != 1 {
				t.Errorf("stored %d times, want %d; %d answers lost", n, tt.stored, proxy.Lost())
			}
			if _, err := s.Now(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestAPermitWhoseCommitIsLostIsInDoubt(t *testing.T) {
	t.Parallel()
	proxy := ledgertest.NewProxy(t, ledgertest.Postgres(t))
	s := open(t, proxy.DSN, ledger.Options{})
	r := permission(t, plannedPurchase(t, s), takeLease(t, s))
	proxy.LoseAnswerTo("COMMIT")
	if p, err := s.Permit(t.Context(), r); !errors.Is(err, topup.ErrInDoubt) || p.ID != "" {
		t.Fatalf("Permit = %v, %v; want ErrInDoubt and no purchase", p, err)
	}
	p, err := s.Purchase(t.Context(), r.Purchase.ID)
	if err != nil || p.State != topup.Sent || p.PermitToken != r.Token {
		t.Errorf("what the server had stored: %s, %v", p.State, err)
	}
}

func TestACommitWithoutAnAnswerIsInDoubtInTime(t *testing.T) {
	t.Parallel()
	proxy := ledgertest.NewProxy(t, ledgertest.Postgres(t))
	s := open(t, proxy.DSN, ledger.Options{})
	r := permission(t, plannedPurchase(t, s), takeLease(t, s))
	ledger.SetPatience(s, 200*time.Millisecond)
	proxy.FreezeAnswerTo("COMMIT")
	if _, err := s.Permit(t.Context(), r); !errors.Is(err, topup.ErrInDoubt) {
		t.Fatalf("Permit = %v, want ErrInDoubt", err)
	}
	if _, err := s.Now(t.Context()); err != nil {
		t.Errorf("the other connections: %v", err)
	}
}

func TestACallerWhoLeftStoresNothing(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		s := open(t, engine.fresh(t), ledger.Options{})
		r := planRequest(t, s, "cus_1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Plan(ctx, r); !errors.Is(err, context.Canceled) || errors.Is(err, topup.ErrInDoubt) {
			t.Errorf("%s: Plan = %v, want context.Canceled and no doubt", engine.name, err)
		}
		if _, err := s.Purchase(t.Context(), r.Purchase.ID); !errors.Is(err, topup.ErrNotFound) {
			t.Errorf("%s: the purchase: %v, want not found", engine.name, err)
		}
	}
}

func TestConnectionsFromBeforeARestartAreReplaced(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	direct := rawSQL(t, dsn)
	var schema string
	if err := direct.QueryRowContext(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	s := open(t, dsn+"&application_name="+schema, ledger.Options{}) // a name that no other test has
	p := sentPurchase(t, s)
	killed := count(t, direct, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1`, schema)
	if killed == 0 {
		t.Fatal("no connection to kill")
	}
	for range 3 {
		if err := s.Append(t.Context(), p.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: "after the restart"}); err != nil {
			t.Fatalf("Append after the restart: %v", err)
		}
	}
}

// A server can stop to take writes behind a connection that goes on: a pooler
// leads it to a standby. The first write that is refused gives it up.
func TestAConnectionToAServerWithoutWritesIsGivenUp(t *testing.T) {
	t.Parallel()
	s := open(t, ledgertest.Postgres(t), ledger.Options{})
	before := ledger.Backend(t, s)
	err := ledger.WriteToAReaderFails(t, s)
	if err == nil || !strings.Contains(err.Error(), "takes no writes") || ledger.FailureReason(err) != ledger.FailedConnection {
		t.Errorf("a write to a server that takes none: %v", err)
	}
	if after := ledger.Backend(t, s); after == before {
		t.Errorf("the next one went to the same connection, %d", after)
	}
}

// Several servers, as libpq writes them and as lib/pq does; the first is gone.
func TestTheFirstServerThatAnswersIsTaken(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(ledgertest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := closed.Addr().String()
	_ = closed.Close()
	_, gonePort, _ := net.SplitHostPort(gone)
	host, port, _ := net.SplitHostPort(server.Host)
	inHosts, inParameter := *server, *server
	inHosts.Host = gone + "," + server.Host
	inParameter.Host = "127.0.0.1," + host
	inParameter.RawQuery += "&port=" + gonePort + "," + port
	for name, u := range map[string]url.URL{"host:port,host:port": inHosts, "the parameter port": inParameter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open(t, u.String(), ledger.Options{})
		})
	}
	t.Run("none answers", func(t *testing.T) {
		t.Parallel()
		_, err := ledger.Open(t.Context(), "postgres://topupd@"+gone+","+gone+"/db?sslmode=disable", ledger.Options{})
		if !errors.Is(err, ledger.ErrUnreachable) || !strings.Contains(err.Error(), gone+", "+gone) {
			t.Errorf("Open = %v, want ErrUnreachable with both addresses", err)
		}
	})
}

func TestTheSessionIsSetUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, add, setting, want string
	}{
		{"a commit waits for the disk", "", "synchronous_commit", "on"},
		{"whatever the URL says", "synchronous_commit=off", "synchronous_commit", "on"},
		{"unless it asks for more", "synchronous_commit=remote_apply", "synchronous_commit", "remote_apply"},
		{"statements end", "", "statement_timeout", "15s"},
		{"as the URL says", "statement_timeout=3000", "statement_timeout", "3s"},
		{"lock waits end", "", "lock_timeout", "5s"},
		{"forgotten transactions end", "", "idle_in_transaction_session_timeout", "30s"},
		{"the session has a name", "", "application_name", "topupd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, ledgertest.Postgres(t)+"&"+tt.add, ledger.Options{})
			if got := ledger.Setting(t, s, tt.setting); got != tt.want {
				t.Errorf("%s = %q, want %q", tt.setting, got, tt.want)
			}
		})
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	t.Parallel()
	address := ledgertest.Cluster(t)
	right := url.UserPassword("topupd", ledgertest.ClusterPassword).String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()
	for _, tt := range []struct {
		name, url string
		want      []string
		is        error
	}{
		{"a wrong password", "postgres://topupd:wr0ng-pass@" + address + "/postgres?sslmode=disable", []string{address, `user "topupd"`, "check the user, the password"}, nil},
		{"a database that is missing", "postgres://" + right + "@" + address + "/nosuch?sslmode=disable", []string{`no database "nosuch"`, "createdb"}, nil},
		{"no TLS", "postgres://" + right + "@" + address + "/postgres", []string{"no TLS", "sslmode=disable"}, nil},
		{"nobody listens", "postgres://topupd:wr0ng-pass@" + nobody + "/postgres?sslmode=disable", []string{nobody, "check that it runs"}, ledger.ErrUnreachable},
		{"a URL that is none", "postgres://topupd:wr0ng-pass@host:port with space/db", []string{"not a valid URL", "%40"}, nil},
		{"a password with a slash", "postgres://topupd:wr0ng-pass/x@host/db", []string{"not a valid URL"}, nil},
		{"an option that is none", "postgres://topupd:wr0ng-pass@host/db?sslmode=perhaps", []string{"reading database_url", "sslmode"}, nil},
		{"another scheme", "mysql://topupd:wr0ng-pass@host/db", []string{"must begin with sqlite:, postgres://"}, nil},
		{"no scheme", "wr0ng-pass", []string{"must begin with sqlite:"}, nil},
		{"SQLite without a file", "sqlite:", []string{"names no file"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := ledger.Open(t.Context(), tt.url, ledger.Options{})
			if err == nil {
				t.Fatalf("Open succeeded, %v", s.Close())
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Open = %q, want it to say %q", err, want)
				}
			}
			for _, secret := range []string{"wr0ng-pass", ledgertest.ClusterPassword, url.QueryEscape(ledgertest.ClusterPassword), "s3cret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("Open = %q, which tells the password", err)
				}
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Open = %v, want %v", err, tt.is)
			}
		})
	}
	t.Run("and the right password opens", func(t *testing.T) {
		t.Parallel()
		open(t, "postgres://"+right+"@"+address+"/postgres?sslmode=disable", ledger.Options{})
	})
}

// A synchronous standby that is gone: the server keeps a commit waiting, and a
// cancelled wait is told apart from a safe commit by a warning alone.
func TestACommitThatNoStandbyHasIsInDoubt(t *testing.T) {
	t.Parallel()
	dsn := "postgres://" + url.UserPassword("topupd", ledgertest.ClusterPassword).String() + "@" + ledgertest.Cluster(t) + "/postgres?sslmode=disable"
	s := open(t, dsn, ledger.Options{})
	lease := takeLease(t, s)
	first := permission(t, plannedPurchase(t, s), lease)
	request := planRequest(t, s, "cus_2")
	request.Purchase.Rule = "other" // the first purchase of a rule goes alone
	other, err := s.Plan(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	direct := rawSQL(t, dsn)
	setStandby(t, direct, "nosuch")

	waiting := `SELECT count(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
	answer := make(chan error, 1)
	go func() {
		_, err := s.Permit(t.Context(), first)
		answer <- err
	}()
	eventually(t, "the commit waits for the standby", func() bool { return count(t, direct, waiting) == 1 })
	count(t, direct, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	if err := <-answer; !errors.Is(err, topup.ErrInDoubt) || !strings.Contains(err.Error(), "warning") {
		t.Errorf("a cancelled wait: %v, want ErrInDoubt with the warning", err)
	}

	ledger.SetPatience(s, 300*time.Millisecond)
	if _, err := s.Permit(t.Context(), permission(t, other, lease)); !errors.Is(err, topup.ErrInDoubt) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("a wait without end: %v, want ErrInDoubt", err)
	}
	eventually(t, "the waiting commit is cancelled and its connection freed", func() bool { return count(t, direct, waiting) == 0 })

	setStandby(t, direct, "")
	if err := s.Append(t.Context(), other.ID, topup.Evidence{Kind: topup.EvidenceLook, Text: "again"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func setStandby(t *testing.T, db *sql.DB, name string) {
	t.Helper()
	for _, statement := range []string{`ALTER SYSTEM SET synchronous_standby_names = '` + name + `'`, `SELECT pg_reload_conf()`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the server has read its settings again", func() bool {
		var got string
		return db.QueryRowContext(t.Context(), `SHOW synchronous_standby_names`).Scan(&got) == nil && got == name
	})
}

// A poll that stores the first evaluation of many targets names their provider
// in every row. The lease of that provider is renewed meanwhile.
func TestALeaseIsRenewedBesideALargeFirstPoll(t *testing.T) {
	t.Parallel()
	url := ledgertest.Postgres(t)
	s := open(t, url, ledger.Options{})
	lease := takeLease(t, s)
	poll, err := rawSQL(t, url).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer poll.Rollback()
	if _, err := poll.ExecContext(t.Context(), `INSERT INTO snapshot (provider, customer, product, provider_name, customer_name, product_name,
		at, since_at, reason, text, rule, rule_version, purchase, detail, evaluations)
		VALUES ($1, 'cus_1', 'itm', '', '', '', 1, 1, 'enough', '', '', '', '', '', 1)`, string(provider)); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Renew(t.Context(), lease, time.Hour); !ok || err != nil {
		t.Errorf("Renew = %t, %v; want it to wait for nobody", ok, err)
	}
}

// A purchase that is being planned holds its provider: whoever pauses it, or
// takes its lease over, waits for the commit. Renewing the lease does not, or one
// purchase after the other would starve it.
func TestWhoWaitsForAPlan(t *testing.T) {
	t.Parallel()
	url := ledgertest.Postgres(t)
	s := open(t, url, ledger.Options{})
	lease := takeLease(t, s)
	request := requestUnder(t, s, lease, "cus_1")
	if _, err := s.Import(t.Context(), request.Purchase.Target, []topup.Topup{{ID: "row_1", At: time.Now()}}); err != nil { // makes the target
		t.Fatal(err)
	}
	request = requestUnder(t, s, lease, "cus_1")
	inTheWay, err := rawSQL(t, url).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if err := inTheWay.QueryRowContext(t.Context(), `SELECT pg_backend_pid() FROM target WHERE customer = 'cus_1' FOR UPDATE`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	planned := make(chan error, 1)
	go func() {
		_, err := s.Plan(t.Context(), request)
		planned <- err
	}()
	db := rawSQL(t, url)
	for waiting := 0; waiting == 0; {
		if err := db.QueryRowContext(t.Context(), `SELECT count(pid) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))`, pid).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.Renew(t.Context(), lease, time.Hour); !ok || err != nil {
		t.Errorf("Renew = %t, %v; want it to wait for nobody", ok, err)
	}
	for name, wait := range map[string]func(context.Context) error{
		"pausing": func(ctx context.Context) error {
			_, err := s.Pause(ctx, topup.Pause{Scope: topup.PauseAll, Reason: "r", By: "b"})
			return err
		},
		"taking the lease": func(ctx context.Context) error {
			_, _, err := s.Acquire(ctx, provider, "another", time.Hour)
			return err
		},
		"quarantining": func(ctx context.Context) error { return s.Quarantine(ctx, provider, "test") },
		"ending everything": func(ctx context.Context) error {
			_, err := s.Resume(ctx, topup.Pause{Scope: topup.PauseProvider, Provider: provider})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := wait(ctx); err == nil {
			t.Errorf("%s did not wait for a purchase that is being planned", name)
		}
		cancel()
	}
	if err := inTheWay.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-planned; err != nil {
		t.Errorf("Plan: %v", err)
	}
}
