package e2e

import (
	"database/sql"
	"net/http"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
	"topupd/ledger/ledgertest"
)

// TestPostgresRestartsUnderLoad: P19. The server is restarted in order, then as
// after a crash, while purchases are under way.
func TestPostgresRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	server := ledgertest.NewSolo(t, ledgertest.SoloOptions{})
	k := newTrial(t, server.DSN, steady(30), brisk())
	d := k.started()
	for _, mode := range []string{"fast", "immediate"} {
		k.buys(5, "purchases before the restart")
		server.Stop(mode)
		d.ready(http.StatusServiceUnavailable)
		sent := k.asked()
		stands(t, 2*time.Second, "nothing is sent without a ledger", func() bool { return k.asked() == sent })
		server.Start()
		t.Logf("%s restart: purchases resumed after %s", mode, k.buys(5, "purchases after the restart").Round(100*time.Millisecond))
	}
	if n := d.value("topupd_ledger_errors_total", "reason", "connection"); n == 0 {
		t.Error("no error of the ledger was counted")
	}
	k.over(d)
}

// TestPostgresIsAwayWhileARequestIsOut: P2, P3, P19. The answer waits in memory
// until it can be stored, for as long as it takes; when the process dies too, the
// next one finds the purchase in the provider's books.
func TestPostgresIsAwayWhileARequestIsOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		dies bool
		by   string
	}{
		"the answer is kept":       {false, "answer"},
		"the process dies with it": {true, "evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := ledgertest.NewSolo(t, ledgertest.SoloOptions{})
			k := newTrial(t, server.DSN, oneLow(), settings{PurchaseTimeout: "10s", Quiet: "8s"})
			k.emu.SetFaults(emulator.Faults{PurchaseDelay: 3 * time.Second})
			d := k.started()
			until(t, 60*time.Second, "a request to be at the provider", func() bool { return k.asked() == 1 })
			server.Stop("immediate")
			until(t, 30*time.Second, "the charge", func() bool { return k.captured() == 1 })
			stands(t, leaseAndMore, "the daemon stays and sends nothing", func() bool { return !d.ended() && k.asked() == 1 })
			if tt.dies {
				d.kill()
			}
			server.Start()
			if tt.dies {
				d = k.started()
			}
			k.settles(1)
			k.tells("credited", tt.by, "")
			k.over(d)
			if n := k.asked(); n != 1 {
				t.Errorf("%d requests reached the provider, want 1", n)
			}
		})
	}
}

// leaseAndMore is longer than a lease lasts.
const leaseAndMore = 14 * time.Second

// TestASynchronousStandbyIsGone: P2, P18. Every commit hangs, and then an
// operator cancels the waiting ones, whereupon PostgreSQL calls them committed
// with a mere warning: nothing is sent under either. With the standby forgotten,
// purchases resume.
func TestASynchronousStandbyIsGone(t *testing.T) {
	t.Parallel()
	server := ledgertest.NewSolo(t, ledgertest.SoloOptions{})
	k := newTrial(t, server.DSN, steady(30), brisk())
	d := k.started()
	k.buys(5, "purchases while commits are answered")
	admin := k.admin(server.DSN)
	admin.exec(`ALTER SYSTEM SET synchronous_standby_names = 'nosuch'`)
	admin.exec(`SELECT pg_reload_conf()`)
	const waiting = `FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
	until(t, time.Minute, "commits to wait for the standby", func() bool { return admin.number(`SELECT count(pid) `+waiting) > 0 })
	sent, asked := k.permitted(admin)
	stands(t, 5*time.Second, "nothing new is sent while commits hang", func() bool { return k.asked() <= sent+asked })
	cancelled := 0
	until(t, time.Minute, "8 cancelled commits", func() bool {
		cancelled += admin.number(`SELECT count(pg_cancel_backend(pid)) ` + waiting)
		return cancelled >= 8
	})
	if n := k.asked(); n > sent+asked {
		t.Errorf("%d requests were sent under commits that no standby has", n-sent-asked)
	}
	until(t, time.Minute, "doubts to be counted", func() bool { return d.value("topupd_ledger_errors_total", "reason", "in_doubt") > 0 })
	admin.exec(`ALTER SYSTEM SET synchronous_standby_names = ''`)
	admin.exec(`SELECT pg_reload_conf()`)
	t.Logf("%d commits were cancelled; purchases resumed %s after the standby was given up", cancelled, k.buys(5, "purchases afterwards").Round(100*time.Millisecond))
	k.over(d)
}

// permitted counts the requests that came and those that a finished permit still
// lets go.
func (k *killing) permitted(admin *admin) (asked, underWay int) {
	asked = k.asked()
	return asked, max(0, admin.number(`SELECT count(*) FROM permit`)-asked)
}

// admin is a session of somebody with the rights to everything.
type admin struct {
	t  *testing.T
	db *sql.DB
}

func (k *killing) admin(dsn string) *admin {
	k.t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		k.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	k.t.Cleanup(func() { _ = db.Close() })
	return &admin{k.t, db}
}

func (a *admin) exec(statement string) {
	a.t.Helper()
	if _, err := a.db.ExecContext(a.t.Context(), statement); err != nil {
		a.t.Fatalf("%s: %v", statement, err)
	}
}

func (a *admin) number(query string) (n int) {
	a.t.Helper()
	if err := a.db.QueryRowContext(a.t.Context(), query).Scan(&n); err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// TestCommitsWhoseAnswersAreLost: P2. Under load the answer to a commit is lost
// or never comes, again and again: it is in doubt, and nothing is sent under it.
func TestCommitsWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	db := postgresURL(t)
	proxy := ledgertest.NewProxy(t, db)
	k := newTrial(t, proxy.DSN, steady(30), brisk())
	k.db = db // the questions of the test go past the proxy
	d := k.started()
	k.buys(3, "purchases")
	began, frozen, losses := time.Now(), 0, cadence{place: k.place, every: 150 * time.Millisecond} // some get through in between
	until(t, 90*time.Second, "20 lost answers and 10 purchases", func() bool {
		if losses.due() {
			proxy.LoseAnswerTo("COMMIT")
		}
		if frozen == 0 && time.Since(began) > 2*time.Second {
			frozen = 1
			proxy.FreezeAnswerTo("COMMIT")
		}
		return proxy.Lost() >= 20 && k.captured() >= 13
	})
	t.Logf("%d answers were lost in %s, and %d never came; %d payments meanwhile", proxy.Lost(), time.Since(began).Round(time.Second), frozen, k.captured())
	proxy.LoseAnswerTo("nothing that anybody says")
	proxy.FreezeAnswerTo("nothing that anybody says")
	until(t, time.Minute, "doubts to be counted", func() bool { return d.value("topupd_ledger_errors_total", "reason", "in_doubt") > 0 })
	k.over(d)
	if strings.Contains(d.tail(1<<20), "panic") {
		t.Error("something panicked")
	}
}
