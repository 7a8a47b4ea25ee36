package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// SetPatience shortens the wait for an answer to COMMIT.
func SetPatience(s *Store, d time.Duration) { s.commits = d }

// Load puts the content of a database file into a store in memory.
func Load(t testing.TB, s *Store, file []byte) {
	t.Helper()
	file = slices.Clone(file)
	file[18], file[19] = 1, 1 // no write-ahead log in memory: https://www.sqlite.org/c3ref/deserialize.html
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(c any) error {
		return c.(interface{ Deserialize(content []byte) error }).Deserialize(file)
	})
	if err = errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// Setting reads a setting of one of the store's own sessions.
func Setting(t testing.TB, s *Store, name string) string {
	t.Helper()
	var value string
	if err := s.db.GetContext(t.Context(), &value, "SELECT current_setting('"+name+"')"); err != nil {
		t.Fatal(err)
	}
	return value
}

// MakeReadOnly lets every connection of the store fail its writes as on a disk
// that became read-only.
func MakeReadOnly(t testing.TB, s *Store) {
	t.Helper()
	s.db.SetMaxOpenConns(1)
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
}

// LimitPages fills the disk but for a little.
func LimitPages(t testing.TB, s *Store) {
	t.Helper()
	s.db.SetMaxOpenConns(1)
	var pages int64
	if err := s.db.GetContext(t.Context(), &pages, "PRAGMA page_count"); err != nil {
		t.Fatal(err)
	}
	if err := s.db.GetContext(t.Context(), &pages, fmt.Sprintf("PRAGMA max_page_count = %d", pages+60)); err != nil {
		t.Fatal(err)
	}
}

// FailureReason is what Observe is told.
func FailureReason(err error) string { return failureReason(err) }

// Testifies tells whether the store has seen the log after its last
// acknowledged write.
func Testifies(s *Store) bool {
	s.witness.mu.Lock()
	defer s.witness.mu.Unlock()
	acks := s.witness.acks
	return len(acks) > 0 && acks[len(acks)-1].flushed > 0
}

// WriteToAReaderFails writes in a transaction that its server takes no writes in.
func WriteToAReaderFails(t testing.TB, s *Store) error {
	t.Helper()
	s.db.SetMaxOpenConns(1)
	return s.write(t.Context(), "append", func(ctx context.Context, t tx) error {
		if _, err := t.exec(ctx, `SET TRANSACTION READ ONLY`); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM pause`)
		return err
	})
}

// Backend is the server's process behind the store's one connection.
func Backend(t testing.TB, s *Store) (pid int) {
	t.Helper()
	s.db.SetMaxOpenConns(1)
	if err := s.db.GetContext(t.Context(), &pid, "SELECT pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	return pid
}

// Stumble lets a read of the store meet what SQLite says of a file that is none.
func Stumble(t testing.TB, s *Store) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	garbage, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	err = s.read(t.Context(), "stumble", func(ctx context.Context, _ view) error {
		_, err := garbage.ExecContext(ctx, `CREATE TABLE x (y)`)
		return err
	})
	if !damaging(err) {
		t.Fatalf("stumbling: %v, want a file that is no database", err)
	}
}
