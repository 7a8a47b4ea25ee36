package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a transaction waits for another process that writes.
// A purchase must not wait longer: its connection to the provider is open.
const busyTimeout = 5 * time.Second

// sqliteConns is how many connections one process opens: one writes, the
// others read beside it.
const sqliteConns = 4

var sqliteDialect = dialect{
	name:  "sqlite",
	clock: `CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) * 1000`,
	table: `SELECT count(name) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?`,

	lineage: sqliteLineage,
}

func (s *Store) openSQLite(ctx context.Context, raw string, o Options) error {
	s.sql = sqliteDialect
	s.writing = make(chan struct{}, 1)
	path := strings.TrimPrefix(raw, "sqlite:")
	if path == "" {
		return errors.New("database_url sqlite: names no file; write sqlite:/var/lib/topupd/topupd.db")
	}
	s.where = "in " + path
	name, conns := ":memory:?"+pragmas(o).Encode(), 1 // a second connection would see another, empty database
	if path != ":memory:" {
		if err := s.prepareFile(ctx, path, o); err != nil {
			return err
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("resolving %s: %w", path, err)
		}
		name, conns = (&url.URL{Scheme: "file", Path: absolute, RawQuery: pragmas(o).Encode()}).String(), sqliteConns
	}
	db := sql.OpenDB(statements{driver: &sqlite.Driver{}, name: name})
	s.closers = append(s.closers, db.Close)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxLifetime(0)
	s.db = sqlx.NewDb(db, "sqlite")
	s.migrator = func() (*sql.DB, func() error, error) { return db, func() error { return nil }, nil }
	var version int64
	if err := db.QueryRowContext(ctx, `PRAGMA schema_version`).Scan(&version); err != nil { // reads the file's header
		return opening(path, err)
	}
	return nil
}

// pragmas make SQLite as careful as PostgreSQL: FULL syncs every commit, WAL
// lets others read meanwhile, and a transaction takes the write lock when it
// begins instead of failing in its middle.
func pragmas(o Options) url.Values {
	q := url.Values{"_txlock": {"immediate"}, "_error_rc": {"1"}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "foreign_keys(1)")
	if o.ReadOnly {
		q.Set("mode", "ro")
		q.Set("_query_only", "1")
		return q
	}
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	return q
}

// prepareFile checks where the file lies, creates it for the owner alone, and
// takes the lock. It never opens an existing file: closing it again would take
// SQLite's own locks away from every connection of this process.
func (s *Store) prepareFile(ctx context.Context, path string, o Options) error {
	dir := filepath.Dir(path)
	if !o.ReadOnly {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("creating the folder of %s: %w", path, err)
		}
	}
	if fs := remoteFilesystem(dir); fs != "" {
		return fmt.Errorf("%s lies on %s, whose locks do not hold between machines: two daemons could charge twice; use a local disk, or PostgreSQL", path, fs)
	}
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("there is no ledger to read: %w; topupd run creates it", err)
		}
		return nil
	}
	s.guard = func(ctx context.Context) (func(), error) {
		if o.Lock { // ours already
			return func() {}, nil
		}
		l, err := waitForLock(ctx, path)
		if err != nil {
			return nil, err
		}
		return l.release, nil
	}
	if o.Lock {
		l, err := takeLock(path)
		if err != nil {
			return err
		}
		s.closers = append(s.closers, func() error { l.release(); return nil })
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("creating the ledger: %w; choose a folder that topupd may write, see database_url", err)
	}
	return f.Close()
}

// opening says what to do about a file that SQLite does not open.
func opening(path string, err error) error {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s is not a SQLite database; move it away, or restore it from a backup: %w", path, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%s cannot be opened; check the owner and mode of the file and its folder: %w", path, err)
	default:
		return fmt.Errorf("opening %s: %w", path, explained(err))
	}
}

// fileLock is FILE.lock, held.
type fileLock struct{ file *os.File }

// takeLock takes PATH.lock or says who holds it. The kernel gives the lock back
// however the process ends; the file itself stays.
func takeLock(path string) (*fileLock, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the ledger: %w", err)
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		return nil, fmt.Errorf("%w: %s is locked by process %s; stop it first, or give this one another database_url", ErrLocked, name, holder(f))
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := f.Truncate(0); err == nil { // the pid is for people; the lock holds without it
		_, _ = f.WriteAt([]byte(pid), 0)
	}
	return &fileLock{f}, nil
}

// holder reads the process id that the lock's owner wrote.
func holder(f *os.File) string {
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0)
	if pid := strings.TrimSpace(string(text[:n])); pid != "" {
		return pid
	}
	return "(unknown)"
}

// waitForLock waits for another migration to end, for as long as a small one takes.
func waitForLock(ctx context.Context, path string) (*fileLock, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		l, err := takeLock(path)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-again.C:
		}
	}
}

func (l *fileLock) release() { _ = l.file.Close() }
