package ledger_test

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/ledger/ledgertest"
	"topupd/topup"
)

// failover is a pair of servers with two ledgers on it, whose primary will die.
type failover struct {
	*testing.T
	*ledgertest.Pair
	a, b *ledger.Store
}

// acquire takes the lease for as long as given.
func (f failover) acquire(s *ledger.Store, who string, ttl time.Duration) topup.Lease {
	f.Helper()
	var lease topup.Lease
	eventually(f.T, who+" has the lease", func() bool {
		got, ok, err := s.Acquire(f.Context(), provider, who, ttl)
		lease = got
		return ok && err == nil
	})
	return lease
}

// buys plans and permits a purchase, and waits until the store has seen where
// the log ends.
func (f failover) buys(s *ledger.Store, lease topup.Lease, customer topup.CustomerID) {
	f.Helper()
	if err := f.buy(s, lease, customer); err != nil {
		f.Fatal(err)
	}
	eventually(f.T, "the position of the log is noted", func() bool { return ledger.Testifies(s) })
}

func (f failover) buy(s *ledger.Store, lease topup.Lease, customer topup.CustomerID) error {
	r := requestUnder(f.T, s, lease, customer)
	r.Purchase.Rule += " of " + string(customer) // the first purchase of a rule goes alone
	p, err := s.Plan(f.Context(), r)
	if err == nil {
		_, err = s.Permit(f.Context(), permission(f.T, p, lease))
	}
	return err
}

// promoted kills the primary and promotes the standby.
func (f failover) promoted() {
	f.Helper()
	f.KillPrimary()
	f.Promote()
}

// tick renews the lease as the daemon does, until the new primary answers.
func (f failover) tick(s *ledger.Store, lease topup.Lease) {
	f.Helper()
	eventually(f.T, "the lease is renewed or lost", func() bool {
		_, err := s.Renew(f.Context(), lease, time.Hour)
		return err == nil
	})
}

// expire lets the lease run out at once.
func (f failover) expire(s *ledger.Store, lease topup.Lease) {
	f.Helper()
	if ok, err := s.Renew(f.Context(), lease, time.Millisecond); !ok || err != nil {
		f.Fatalf("Renew = %t, %v", ok, err)
	}
}

func quarantine(t *testing.T, s *ledger.Store) string {
	t.Helper()
	list, err := s.Providers(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("Providers = %v, %v", list, err)
	}
	return list[0].Quarantined
}

// TestAFailover: commits that may be lost quarantine their provider, and a proof
// that none is lost does not (P18).
func TestAFailover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		with ledgertest.Replication
		run  func(failover)
		want string // part of why nothing is bought; "" = it is
	}{
		{"to a synchronous standby loses nothing, however long it takes", ledgertest.Synchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.expire(f.a, lease) // and nobody can have taken it without the standby
			f.promoted()
			f.tick(f.a, lease)
		}, ""},
		{"to a standby that had everything loses nothing while the lease runs", ledgertest.Asynchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.AwaitCaughtUp()
			f.promoted()
			f.tick(f.a, lease)
		}, ""},
		{"that another process notices first is judged by the holder", ledgertest.Synchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.promoted()
			eventually(f.T, "the other process asks", func() bool {
				_, _, err := f.b.Acquire(f.Context(), provider, "b", time.Hour)
				return err == nil
			})
			if why := quarantine(f.T, f.b); !strings.Contains(why, "nobody has proved") {
				f.Errorf("after the other process asked: %q, want a quarantine", why)
			}
			f.tick(f.a, lease)
		}, ""},
		{"that many in one process notice at once is judged once", ledgertest.Synchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.promoted()
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { f.tick(f.a, lease) })
			}
			all.Wait()
		}, ""},
		{"that loses a permit quarantines", ledgertest.Asynchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.AwaitCaughtUp()
			f.StopReceiving()
			f.buys(f.a, lease, "cus_2")
			f.promoted()
			f.tick(f.a, lease)
		}, "changes were acknowledged up to about"},
		{"that loses a permit is noticed by the next permit too", ledgertest.Asynchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.AwaitCaughtUp()
			f.StopReceiving()
			f.buys(f.a, lease, "cus_1")
			f.promoted()
			for try := 0; ; try++ { // connections to the old primary break first
				err := f.buy(f.a, lease, "cus_1")
				if errors.Is(err, topup.ErrProviderStopped) {
					break
				}
				if err == nil || try > 20 {
					f.Fatalf("the lost purchase planned again: %v, want ErrProviderStopped", err)
				}
			}
		}, "changes were acknowledged up to about"},
		{"that may have lost a later lease quarantines", ledgertest.Asynchronous, func(f failover) {
			first := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, first, "cus_1")
			f.expire(f.a, first)
			f.AwaitCaughtUp()
			f.StopReceiving() // from now on, the standby and process a are on this side of the break
			f.buys(f.b, f.acquire(f.b, "b", time.Hour), "cus_2")
			f.promoted()
			f.tick(f.a, first)
		}, "nobody has proved"},
		{"whose new primary crashed since quarantines", ledgertest.Asynchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.AwaitCaughtUp()
			f.promoted()
			f.RestartStandby()
			f.tick(f.a, lease)
		}, "restarted since"},
		{"that is none, but a restart of the same server, changes nothing", ledgertest.Asynchronous, func(f failover) {
			lease := f.acquire(f.a, "a", time.Hour)
			f.buys(f.a, lease, "cus_1")
			f.RestartPrimary()
			f.tick(f.a, lease)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pair := ledgertest.NewPair(t, tt.with)
			f := failover{t, pair, open(t, pair.DSN, ledger.Options{}), open(t, pair.DSN, ledger.Options{})}
			if err := f.a.Register(t.Context(), []ledger.Provider{{ID: provider, Name: "hyperline", Type: "hyperline"}}); err != nil {
				t.Fatal(err)
			}
			tt.run(f)
			why := quarantine(t, f.a)
			if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) {
				t.Errorf("quarantined: %q, want %q", why, tt.want)
			}
			err := f.buy(f.a, f.acquire(f.a, "a", time.Hour), "cus_3")
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, topup.ErrProviderStopped) {
				t.Errorf("a purchase afterwards: %v", err)
			}
		})
	}
}

// A dump that was restored elsewhere is another database, for the process that
// goes on with it and for one that begins.
func TestARestoredDumpIsQuarantined(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	s := open(t, dsn, ledger.Options{})
	sentPurchase(t, s)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	schema := u.Query().Get("search_path")
	direct := rawSQL(t, dsn)
	if _, err := direct.ExecContext(t.Context(), `CREATE DATABASE `+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server := rawSQL(t, os.Getenv("TOPUPD_TEST_POSTGRES"))
		if _, err := server.Exec(`DROP DATABASE ` + schema + ` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	plain := *u
	plain.RawQuery = "sslmode=disable"
	restored := *u
	restored.Path = "/" + schema
	intoRestored := plain
	intoRestored.Path = restored.Path
	file := filepath.Join(t.TempDir(), "dump.sql")
	tool(t, "pg_dump", "--schema="+schema, "--file="+file, plain.String())
	tool(t, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file="+file, intoRestored.String())

	copied := open(t, restored.String(), ledger.Options{})
	if why := quarantine(t, copied); why != "" {
		t.Errorf("a dump was quarantined before anybody looked: %q", why)
	}
	lease, ok, err := copied.Acquire(t.Context(), provider, "test", time.Hour)
	if err != nil || !ok {
		t.Fatalf("Acquire = %t, %v", ok, err)
	}
	if why := quarantine(t, copied); !strings.Contains(why, "another one than before") || !strings.Contains(why, "resume --provider hyperline") {
		t.Errorf("the restored dump: quarantined %q", why)
	}
	if _, err := copied.Plan(t.Context(), requestUnder(t, copied, lease, "cus_2")); !errors.Is(err, topup.ErrProviderStopped) {
		t.Errorf("planning on the restored dump: %v, want ErrProviderStopped", err)
	}
	if why := quarantine(t, s); why != "" {
		t.Errorf("the original was quarantined too: %q", why)
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	program := filepath.Join(os.Getenv("TOPUPD_TEST_POSTGRES_BIN"), name)
	if text, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}
