package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
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
		name, conns = fileName(s.ground.path, pragmas(o)), sqliteConns
	}
	db := sql.OpenDB(sqliteFile{name: name, stands: s.ground.stands})
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

// fileName is the file as SQLite takes it. It makes none where there is none.
func fileName(path string, settings url.Values) string {
	if !settings.Has("mode") {
		settings.Set("mode", "rw")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
}

// prepareFile checks where the file lies, creates it for the owner alone, and
// takes the locks: PATH.lock, and the file itself, which may have other names.
// Whoever only reads goes on where a daemon would be refused.
func (s *Store) prepareFile(ctx context.Context, path string, o Options) error {
	dir := filepath.Dir(path)
	if o.ReadOnly {
		return s.prepareToRead(path)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the folder of %s: %w", path, err)
	}
	if err := s.onLocalDisk(path, dir, o); err != nil {
		return err
	}
	path, err := resolved(path)
	if err != nil {
		return err
	}
	if err := credited(path); err != nil {
		return err
	}
	if _, err := ledgerFile(path, o); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
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
	if !o.Lock {
		if err := createFile(path); err != nil {
			return err
		}
		info, err := ledgerFile(path, o)
		if err != nil {
			return err
		}
		s.stand(&ground{path: path, info: info})
		return nil
	}
	l, err := takeLock(path)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { l.release(); return nil })
	if err := errors.Join(credited(path), createFile(path)); err != nil { // a restore may have ended meanwhile
		return err
	}
	info, err := oneName(path)
	if err != nil {
		return err
	}
	g, err := hold(path, info)
	if err != nil {
		return err
	}
	s.stand(g)
	s.health.wanted = true
	l.made(path)
	return nil
}

// stand lets the store use the file until it is closed.
func (s *Store) stand(g *ground) {
	s.ground = g
	files.enter(g)
	s.closers = append(s.closers, func() error { files.leave(g); return nil })
}

func (s *Store) prepareToRead(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no ledger to read: %w; topupd run creates it", err)
	}
	path, err := filepath.EvalSymlinks(path) // as SQLite does
	if err != nil {
		return fmt.Errorf("resolving %s: %w", path, err)
	}
	if path, err = resolved(path); err != nil {
		return err
	}
	if err := credited(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("there is no ledger to read: %w", err)
	}
	s.stand(&ground{path: path, info: info})
	return nil
}

// createFile makes the file of a new ledger, for its owner alone. It never opens
// one that exists: closing it again would take SQLite's own locks away from every
// connection of this process. Where a ledger was before, it refuses: an empty
// one has forgotten every purchase.
func createFile(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	traces := "what SQLite keeps beside it is still there (" + filepath.Base(path) + "-wal)"
	if _, err := os.Lstat(path + "-wal"); err != nil {
		if !wasMade(path) {
			return makeFile(path)
		}
		traces = path + ".lock tells of it"
	}
	return fmt.Errorf("%s is gone: there was a ledger, %s; an empty one in its place would know nothing of what was bought: put the file back with its -wal, "+
		"or restore a backup with topupd restore; to begin anew all the same, delete %s.lock and %s-wal", path, traces, path, path)
}

func makeFile(path string) error {
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
		return fmt.Errorf("%s is not a SQLite database, or is damaged; restore a backup with topupd restore, which keeps this file: %w", path, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%s cannot be opened; check the owner and mode of the file and its folder: %w", path, err)
	default:
		return fmt.Errorf("opening %s: %w", path, explained(err))
	}
}

// sqliteFile connects to the file that the others are connected to: one that was
// put in its place is another database.
type sqliteFile struct {
	name   string
	stands func() error // whether the name still leads to the file that was meant; may be nil
}

// Connect opens one connection, between two looks at the name.
func (f sqliteFile) Connect(context.Context) (driver.Conn, error) {
	if err := f.meant(); err != nil {
		return nil, err
	}
	conn, err := f.Driver().Open(f.name)
	if err != nil {
		return nil, err
	}
	if err := f.meant(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (f sqliteFile) meant() error {
	if f.stands == nil {
		return nil
	}
	return f.stands()
}

// Driver is SQLite's.
func (sqliteFile) Driver() driver.Driver { return &sqlite.Driver{} }
