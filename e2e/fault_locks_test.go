package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// holding keeps rows locked in a transaction of its own until it is let go.
func (k *killing) holding(query string) (letGo func()) {
	k.t.Helper()
	db, err := sql.Open("postgres", k.db)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(context.WithoutCancel(k.t.Context()), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	if _, err := tx.ExecContext(k.t.Context(), query+" FOR UPDATE"); err != nil {
		k.t.Fatalf("%s: %v", query, err)
	}
	return func() { _ = tx.Rollback() }
}

// askedFor counts the purchase requests of one customer that reached a provider.
func (p *place) askedFor(customer string) (n int) {
	for _, r := range p.emu.Books().Requests {
		if r.Customer == customer {
			n++
		}
	}
	return n
}

// TestALockThatSomebodyElseHolds: P1, P2, P19. A session of a person, or of a
// dump, locks the row of one customer: the others are bought for. It locks the
// row that every purchase asks, so that all connections of the daemon wait:
// nothing is sent, nothing hangs, and all goes on afterwards.
func TestALockThatSomebodyElseHolds(t *testing.T) {
	t.Parallel()
	k := newTrial(t, postgresURL(t), steady(30), brisk())
	d := k.started()
	k.setBalance(emulator.FirstCustomer, 450) // whoever was never bought for has no row to lock
	until(t, time.Minute, "the customer to be bought for", func() bool {
		return k.counted(fmt.Sprintf(`SELECT count(*) FROM purchase WHERE customer = '%s' AND state = 'credited'`, emulator.FirstCustomer)) > 0
	})

	letGo := k.holding(fmt.Sprintf(`SELECT version FROM target WHERE customer = '%s'`, emulator.FirstCustomer))
	before := k.askedFor(emulator.FirstCustomer)
	k.setBalance(emulator.FirstCustomer, 300)
	others := k.buys(10, "purchases for the others")
	if n := k.askedFor(emulator.FirstCustomer); n > before+1 { // one may have had its permit already
		t.Errorf("%d requests were sent for the customer whose row was locked", n-before)
	}
	letGo()
	until(t, time.Minute, "the customer to be bought for", func() bool { return k.askedFor(emulator.FirstCustomer) > before })

	letGo = k.holding(`SELECT id FROM provider`)
	until(t, time.Minute, "lock waits to be given up", func() bool { return d.value("topupd_ledger_errors_total", "reason", "conflict") > 0 })
	sent := k.asked()
	stands(t, leaseAndMore, "nothing is sent, and the daemon answers", func() bool {
		status, _ := d.get("/-/healthy")
		return k.asked() == sent && status == http.StatusOK
	})
	letGo()
	t.Logf("one row locked: the others' 10 purchases took %s; after the lock on all, purchases resumed in %s",
		others.Round(100*time.Millisecond), k.buys(5, "purchases after the locks").Round(100*time.Millisecond))
	k.over(d)
}

// TestFewConnectionsAreLeft: P2, P19. The server gives the daemon two
// connections instead of the eight that it would like, then none at all.
func TestFewConnectionsAreLeft(t *testing.T) {
	t.Parallel()
	db := postgresURL(t)
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	role := "few_" + u.Path[1:]
	k := newTrial(t, db, steady(30), brisk())
	admin := k.admin(db)
	admin.exec(`CREATE ROLE ` + role + ` LOGIN`)
	t.Cleanup(func() { k.dropRole(role) })
	admin.exec(`ALTER DATABASE ` + u.Path[1:] + ` OWNER TO ` + role)
	u.User = url.User(role)
	k.edit("topupd.yml", db, u.String())
	k.succeeds("migrate")

	admin.exec(`ALTER ROLE ` + role + ` CONNECTION LIMIT 2`)
	d := k.started()
	took := k.buys(10, "purchases over two connections")
	const sessions = ` FROM pg_stat_activity WHERE usename = '`
	if n := admin.number(`SELECT count(pid)` + sessions + role + `'`); n > 2 {
		t.Errorf("%d connections, the limit is 2", n)
	}
	admin.exec(`ALTER ROLE ` + role + ` CONNECTION LIMIT 0`)
	admin.exec(`SELECT pg_terminate_backend(pid)` + sessions + role + `'`)
	d.ready(http.StatusServiceUnavailable)
	sent := k.asked()
	stands(t, 5*time.Second, "nothing is sent without a connection", func() bool { return k.asked() == sent })
	admin.exec(`ALTER ROLE ` + role + ` CONNECTION LIMIT -1`)
	t.Logf("10 purchases over two connections took %s; purchases resumed after %s with enough of them",
		took.Round(100*time.Millisecond), k.buys(5, "purchases with connections").Round(100*time.Millisecond))
	k.over(d)
}

// dropRole removes a role that the test made, when its database is gone.
func (k *killing) dropRole(role string) {
	db, err := sql.Open("postgres", k.db)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range []string{`REASSIGN OWNED BY ` + role + ` TO CURRENT_USER`, `DROP OWNED BY ` + role, `DROP ROLE ` + role} {
		if _, err := db.ExecContext(context.WithoutCancel(k.t.Context()), statement); err != nil {
			k.t.Errorf("%s: %v", statement, err)
		}
	}
}
