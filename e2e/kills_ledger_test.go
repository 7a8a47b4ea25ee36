package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"topupd/clients/emulator"
)

// ledger opens the database beside the daemon for one question. It is not kept
// open: of a SQLite file the daemon has to be the first to read what a killed
// one left.
func (p *place) ledger(ask func(context.Context, *sql.DB) error) {
	p.t.Helper()
	driver, dsn := "postgres", p.db
	if path, ok := strings.CutPrefix(p.db, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := ask(ctx, db); err != nil {
		p.t.Fatalf("asking the ledger: %v", err)
	}
}

// rows is every row of a query, its columns as texts.
func (p *place) rows(query string) (all [][]string) {
	p.t.Helper()
	p.ledger(func(ctx context.Context, db *sql.DB) error {
		found, err := db.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { _ = found.Close() }()
		columns, err := found.Columns()
		if err != nil {
			return err
		}
		for found.Next() {
			row, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			if err := found.Scan(into...); err != nil {
				return err
			}
			texts := make([]string, len(columns))
			for i := range row {
				texts[i] = row[i].String
			}
			all = append(all, texts)
		}
		return found.Err()
	})
	return all
}

// counted is a query for one number.
func (p *place) counted(query string) (n int) {
	p.t.Helper()
	rows := p.rows(query)
	if len(rows) != 1 {
		p.t.Fatalf("%d rows for %s", len(rows), query)
	}
	if _, err := fmt.Sscan(rows[0][0], &n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// free takes the lease off a dead process, or leaves it to run out.
func (k *killing) free(now bool) {
	k.t.Helper()
	if !now || k.counted(k.tableExists("provider")) == 0 {
		return
	}
	k.ledger(func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, `UPDATE provider SET lease_until = 0`)
		return err
	})
}

// tableExists asks whether a process lived long enough to migrate.
func (k *killing) tableExists(name string) string {
	if strings.HasPrefix(k.db, "sqlite:") {
		return `SELECT count(*) FROM sqlite_master WHERE name = '` + name + `'`
	}
	return `SELECT count(*) FROM information_schema.tables WHERE table_name = '` + name + `'`
}

// owe finds the purchase that the process died at, before its request left, and
// lets the next request of its customer suffer the fault.
func (k *killing) owe(d death, pid int, began time.Time) {
	k.t.Helper()
	query := fmt.Sprintf(`SELECT customer, idempotency_key FROM purchase WHERE state = 'planned' AND planned_at > %d
		ORDER BY planned_at DESC`, began.UnixMicro())
	if d.step == "permitted" {
		query = fmt.Sprintf(`SELECT p.customer, p.idempotency_key FROM permit q JOIN purchase p ON p.id = q.purchase_id
			WHERE p.state = 'sent' AND q.replica LIKE '%%/%d/%%' AND q.at > %d ORDER BY q.at DESC`, pid, began.UnixMicro())
	}
	for _, row := range k.rows(query) {
		if customer, key := row[0], row[1]; !k.till.came(key, customer) {
			k.till.owe(customer, d.pair)
			k.sum.owes(d.pair)
			return
		}
	}
}

// longUnseen is how long somebody waits for a confirmed purchase to show in the
// balance before he says that it did.
const longUnseen = 30 * time.Second

// person looks at what Talkover left unclear, as somebody with the card
// statements would, and says what happened; and lets go on what was held because
// many balances were empty at once, which they truly were.
func (k *killing) person() {
	k.t.Helper()
	if k.counted(`SELECT count(*) FROM target WHERE implausible <> '' AND provider IN (SELECT id FROM provider WHERE name = 'hyperline')`) > 0 {
		k.t.Log(k.succeeds("resume", "--provider", "hyperline", "--reason", "they are empty indeed"))
	}
	for _, row := range k.rows(fmt.Sprintf(`SELECT id FROM purchase WHERE state = 'confirmed' AND provider_name <> 'hyperline' AND confirmed_at < %d`,
		time.Now().Add(-longUnseen).UnixMicro())) { // used up before anybody saw it
		k.decides(row[0], "confirmed", "charged", "--note", "it was credited, and is used up")
	}
	for _, row := range k.rows(`SELECT id, customer, sent_at FROM purchase WHERE state = 'needs_review' AND provider_name <> 'hyperline' ORDER BY id`) {
		var sent int64
		if _, err := fmt.Sscan(row[2], &sent); err != nil {
			k.t.Fatal(err)
		}
		args := []string{"not-charged", "--note", "nothing on the card statement"}
		if c := k.unclaimed(row[1], time.UnixMicro(sent)); c != nil {
			args = []string{"charged", "--note", "on the card statement", "--reference", c.ID}
		}
		k.decides(row[0], "needs_review", args...)
	}
}

// decides resolves a purchase that was seen in a state. The daemon may have
// found out first: then the purchase is in another state, and nothing is refused
// that should not be.
func (k *killing) decides(id, seen string, args ...string) {
	k.t.Helper()
	args = append([]string{"purchases", "resolve", id, args[0], "--by", "test"}, args[1:]...)
	out, errs, code := k.place.run(args...)
	if strings.Contains(errs, "--despite-rise") { // an old balance was shown again; the card statement knows better
		out, errs, code = k.place.run(append(args, "--despite-rise")...)
	}
	if code != 0 && k.counted(fmt.Sprintf(`SELECT count(*) FROM purchase WHERE id = '%s' AND state = '%s'`, id, seen)) > 0 {
		k.t.Errorf("topupd %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
}

// unclaimed is the environment's first charge by request since a time that
// explains no purchase yet.
func (k *killing) unclaimed(environment string, since time.Time) *emulator.Charge {
	k.t.Helper()
	claimed := map[string]bool{}
	for _, row := range k.rows(`SELECT reference FROM purchase WHERE reference IS NOT NULL`) {
		claimed[row[0]] = true
	}
	for _, c := range k.emu.Books().Captured() {
		if c.Customer == environment && c.Source == emulator.SourceAPI && !claimed[c.ID] && !c.At.Before(since) {
			return &c
		}
	}
	return nil
}
