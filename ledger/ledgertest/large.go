package ledgertest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Large is a ledger that has run for years, written by a handful of statements
// instead of one transaction per purchase. Customer i is LargeCustomer(i), its
// purchase LargePurchase(i), which invoice "inv_i" explains; "bill_i" is the
// invoice of what it bought elsewhere, "row_i" that addition's own id.
type Large struct {
	Provider  string // has every row but those of the small ones
	Elsewhere string // one of many small connections at one other host
	Rows      int
	Open      int       // purchases in state sent, the newest ones
	Now       time.Time // when the newest of them was planned
}

// The products, ids and times of a large ledger.
const (
	LargeProduct = "itm_credits"
	largeOpen    = 40
	// largeConnections is how many connections there are at the other host.
	largeConnections = 300
)

// LargeCustomer is the id of customer i, from 1.
func LargeCustomer(i int) string { return fmt.Sprintf("cus_%d", i) }

// LargePurchase is the id of purchase i, from 1.
func LargePurchase(i int) string { return fmt.Sprintf("purchase-%d", i) }

// numbers counts from 1 to the parameter, in both engines.
const numbers = `WITH RECURSIVE num(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM num WHERE i < %d) `

// Fill writes a large ledger into an empty, migrated database: rows purchases,
// one per customer and minute, the last of them planned now, all but the newest
// credited, with their evidence and permits, as many additions by somebody else,
// and the evaluations of as many targets. The database's statistics are current
// where it keeps any.
func Fill(t testing.TB, url string, rows int, now time.Time) Large {
	t.Helper()
	l := Large{Provider: "hyperline://large.example/", Elsewhere: "talkover://large.example/1", Rows: rows, Open: largeOpen, Now: now}
	f := filler{t: t, now: now.UTC().UnixMicro(), minute: time.Minute.Microseconds()}
	var after []string
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		f.open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(0)&_pragma=synchronous(OFF)")
		after = f.unguarded()
	} else {
		f.open("postgres", url)
		f.do(`SET session_replication_role = replica`) // no guards, no look at other tables for each row
		after = []string{`ANALYZE`}
	}
	f.fill(l)
	for _, statement := range after {
		f.do(statement)
	}
	return l
}

// filler runs the statements on one connection.
type filler struct {
	t           testing.TB
	conn        *sql.Conn
	now, minute int64
}

func (f *filler) open(driver, name string) {
	f.t.Helper()
	db, err := sql.Open(driver, name)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = db.Close() })
	if f.conn, err = db.Conn(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = f.conn.Close() })
}

func (f *filler) do(statement string) {
	f.t.Helper()
	if _, err := f.conn.ExecContext(context.WithoutCancel(f.t.Context()), statement); err != nil {
		f.t.Fatalf("%.200s: %v", statement, err)
	}
}

// unguarded takes the guards off a SQLite file and returns what puts them back.
func (f *filler) unguarded() (after []string) {
	f.t.Helper()
	rows, err := f.conn.QueryContext(f.t.Context(), `SELECT name, sql FROM sqlite_master WHERE type = 'trigger'`)
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			f.t.Fatal(err)
		}
		names, after = append(names, name), append(after, text)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	for _, name := range names {
		f.do(`DROP TRIGGER ` + name)
	}
	return after
}

func (f *filler) fill(l Large) {
	f.t.Helper()
	count := fmt.Sprintf(numbers, l.Rows)
	planned := fmt.Sprintf(`(%d - (%d - i) * CAST(%d AS BIGINT))`, f.now, l.Rows, f.minute)
	target := fmt.Sprintf(`'%s', 'cus_' || i, '%s'`, l.Provider, LargeProduct)
	old := fmt.Sprintf(`i <= %d`, l.Rows-l.Open)
	when := func(credited, sent string) string {
		return `CASE WHEN ` + old + ` THEN ` + credited + ` ELSE ` + sent + ` END`
	}

	f.do(fmt.Sprintf(`INSERT INTO provider (id, name, type, first_seen_at, known_at) VALUES ('%s', 'large', 'hyperline', 1, 1)`, l.Provider))
	f.do(`INSERT INTO target (provider, customer, product, version) ` + count + `SELECT ` + target + `, 3 FROM num`)
	f.do(`INSERT INTO fall (provider, customer, product, at, before_micro, read_at, bad, twice, beside, state) ` + count + `SELECT ` + target + `, i, 1, 1, 0, 0, 0, 'over' FROM num`)
	f.do(`INSERT INTO purchase (id, revision, provider, customer, product, provider_name, customer_name, product_name, rule, rule_version, terms,
			credits_micro, price_minor, price_currency, price_id, payment_method_id, idempotency_key, request_method, request_path,
			request_body, fingerprint, policy, quiet_period_us, purchase_timeout_us, backoff_us, max_backoff_us, suspend_after,
			max_reading_age_us, balance_micro, threshold_micro, baseline, planned_at,
			state, payment, permit_token, permit_at, sent_at, last_sent_at, attempts, reference, reference_by, row_at, confirmed_at,
			finished_at, changed_at, next_look_at, counted) ` + count + `
		SELECT 'purchase-' || i, 4, ` + target + `, 'large', 'Customer', 'Credits', 'rule-' || (i % 1000), 'v1', '{}',
			600000000, 90000, 'EUR', '', '', 'key-key-key-key-' || i, 'POST', '/v1/purchase',
			'{}', 'f', 'retry', 900000000, 75000000, 3600000000, 86400000000, 4,
			120000000, 41000000, 100000000, '[]', ` + planned + `,
			` + when(`'credited'`, `'sent'`) + `, ` + when(`'paid'`, `'none'`) + `, 'permit-permit-permit-' || i, ` + planned + `, ` + planned + `, ` + planned + `, 1,
			` + when(`'inv_' || i`, `NULL`) + `, ` + when(`'answer'`, `''`) + `, ` + when(planned, `NULL`) + `, ` + when(planned, `NULL`) + `,
			` + when(planned+` + 30000000`, `NULL`) + `, ` + planned + `, ` + when(`NULL`, planned) + `, ` + when(`1`, `0`) + ` FROM num`)
	f.do(`INSERT INTO permit (purchase_id, n, token, replica, at, idempotency_key, fingerprint, token_fingerprint, term) ` + count + `
		SELECT 'purchase-' || i, 1, 'permit-permit-permit-' || i, 'large', ` + planned + `, 'key-key-key-key-' || i, 'f', 'f', 1 FROM num`)
	for n, kind := range []string{"permit", "answer"} {
		f.do(`INSERT INTO evidence (purchase_id, n, at, kind, from_state, to_state, text, detail) ` + count + `
			SELECT 'purchase-' || i, ` + fmt.Sprintf(`%d, %s, '%s'`, n+1, planned, kind) + `, '', '', 'text', '' FROM num`)
	}
	f.do(`INSERT INTO external_topup (provider, id, customer, product, invoice, credits_micro, price_minor, price_currency, price_id, source, at, imported_at) ` + count + `
		SELECT '` + l.Provider + `', 'row_' || i, 'cus_' || i, '` + LargeProduct + `', 'bill_' || i, 600000000, 90000, 'EUR', '', 'portal', ` + planned + `, ` + planned + ` FROM num`)
	f.evaluations(l)
	f.connections(l)
}

// latest is the columns of an evaluation that a number and a time leave open.
const latest = `provider_name, customer_name, product_name, at, since_at, reason, text, rule, rule_version,
	balance_micro, threshold_micro, read_at, refreshed_at, purchase, detail`

func (f *filler) evaluations(l Large) {
	f.t.Helper()
	count := fmt.Sprintf(numbers, l.Rows)
	values := fmt.Sprintf(`'large', 'Customer', 'Credits', %[1]d, %[1]d, 'enough', '', 'rule-' || (i %% 1000), 'v1', 500000000, 100000000, %[1]d, %[1]d, '', '{}'`, f.now)
	target := fmt.Sprintf(`'%s', 'cus_' || i, '%s'`, l.Provider, LargeProduct)
	f.do(`INSERT INTO snapshot (provider, customer, product, ` + latest + `, evaluations) ` + count + `SELECT ` + target + `, ` + values + `, 2 FROM num`)
	for n := 1; n <= 2; n++ {
		f.do(`INSERT INTO evaluation (provider, customer, product, slot, n, ` + latest + `) ` + count + `SELECT ` + target + fmt.Sprintf(`, %[1]d, %[1]d, `, n) + values + ` FROM num`)
	}
}

// connections are small accounts at one host, each with one target and one
// purchase of its own.
func (f *filler) connections(l Large) {
	f.t.Helper()
	count := fmt.Sprintf(numbers, largeConnections)
	f.do(`INSERT INTO provider (id, name, type, first_seen_at, known_at) ` + count + `SELECT 'talkover://large.example/' || i, 'small', 'talkover', 1, 1 FROM num`)
	target := `'talkover://large.example/' || i, 'account', 'balance'`
	values := fmt.Sprintf(`'small', 'Account', 'Balance', %[1]d, %[1]d, 'enough', '', 'small', 'v1', 500000000, 100000000, %[1]d, %[1]d, '', '{}'`, f.now)
	f.do(`INSERT INTO target (provider, customer, product, version) ` + count + `SELECT ` + target + `, 3 FROM num`)
	f.do(`INSERT INTO snapshot (provider, customer, product, ` + latest + `, evaluations) ` + count + `SELECT ` + target + `, ` + values + `, 2 FROM num`)
}
