package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"topupd/ledger"
	"topupd/ledger/ledgertest"
)

// at changes a DSN.
func at(t *testing.T, dsn string, change func(*url.URL, url.Values)) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	change(u, q)
	u.RawQuery = q.Encode()
	return u.String()
}

// administered runs statements now, and others when the test has ended.
func administered(t *testing.T, dsn string, now, then []string) {
	t.Helper()
	db := rawSQL(t, dsn)
	for _, statement := range now {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		db := rawSQL(t, dsn)
		for _, statement := range then {
			if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
				t.Error(err)
			}
		}
	})
}

// unique is a name that no other test has.
func unique(t *testing.T, dsn string) (schema, name string) {
	t.Helper()
	at(t, dsn, func(_ *url.URL, q url.Values) { schema = q.Get("search_path") })
	return schema, "x" + schema
}

// A database that cannot keep every customer's name is refused before anything
// is written into it. What it holds already can be read.
func TestADatabaseInAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			dsn := ledgertest.Postgres(t)
			_, name := unique(t, dsn)
			administered(t, dsn,
				[]string{`CREATE DATABASE ` + name + ` TEMPLATE template0 ENCODING '` + encoding + `' LC_COLLATE 'C' LC_CTYPE 'C'`},
				[]string{`DROP DATABASE ` + name + ` WITH (FORCE)`})
			there := at(t, dsn, func(u *url.URL, q url.Values) { u.Path = "/" + name; q.Del("search_path") })
			_, err := ledger.Open(t.Context(), there, ledger.Options{})
			if err == nil || !strings.Contains(err.Error(), encoding) || !strings.Contains(err.Error(), "createdb -T template0 -E UTF8 -O topupd") {
				t.Errorf("Open = %v, want the encoding and the command that makes another database", err)
			}
			s, err := ledger.Open(t.Context(), there, ledger.Options{ReadOnly: true})
			if err != nil {
				t.Fatalf("for reading: %v", err)
			}
			_ = s.Close()
		})
	}
}

func TestASchemaThatTheUserMayNotUse(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	schema, user := unique(t, dsn)
	administered(t, dsn, []string{`CREATE ROLE ` + user + ` LOGIN`}, []string{`DROP OWNED BY ` + user, `DROP ROLE ` + user})
	there := at(t, dsn, func(u *url.URL, _ url.Values) { u.User = url.User(user) })

	_, err := ledger.Open(t.Context(), there, ledger.Options{})
	if want := "CREATE SCHEMA topupd AUTHORIZATION " + user; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), schema) {
		t.Errorf("without a schema in its search path: %v, want %q", err, want)
	}
	administered(t, dsn, []string{`GRANT USAGE ON SCHEMA ` + schema + ` TO ` + user}, nil)
	s := unmigrated(t, there, ledger.Options{})
	_, err = s.Migrate(t.Context())
	if want := fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s", schema, user); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("in a schema that it may not create in: %v, want %q", err, want)
	}
	open(t, dsn, ledger.Options{}) // somebody else makes the tables
	_, err = s.Pauses(t.Context())
	if want := fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s", schema, user); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("with tables that it may not read: %v, want %q", err, want)
	}
	administered(t, dsn, []string{`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ` + schema + ` TO ` + user}, nil)
	if _, err := s.Pauses(t.Context()); err != nil {
		t.Errorf("after it was granted: %v", err)
	}
}

// A pooler between loses what the ledger relies on. (The same with PgBouncer
// 1.18, by hand: every pool_mode, with ignore_startup_parameters and without.)
func TestAPoolerIsRefusedInWords(t *testing.T) {
	t.Parallel()
	for how, want := range map[ledgertest.Pooling]string{
		ledgertest.Rejecting: "ignore_startup_parameters=statement_timeout,lock_timeout",
		ledgertest.Dropping:  "ALTER ROLE topupd SET lock_timeout = '5000'",
		ledgertest.Sharing:   "(transaction mode)",
	} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			dsn := at(t, ledgertest.Postgres(t), func(_ *url.URL, q url.Values) { q.Del("search_path") })
			s, err := ledger.Open(t.Context(), ledgertest.Pooler(t, dsn, how), ledger.Options{})
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "pool_mode=session") || errors.Is(err, ledger.ErrUnreachable) {
				t.Errorf("Open = %v, want %q and the mode that works, at once", err, want)
			}
		})
	}
}
