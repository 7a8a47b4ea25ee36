package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// Copied describes a copy of a ledger.
type Copied struct {
	Path      string
	Bytes     int64
	Purchases int64
	Newest    *time.Time // when its newest purchase was planned; nil = it has none
}

// ErrNoFile means that the ledger is no SQLite file: PostgreSQL has its own tools.
var ErrNoFile = errors.New("the ledger is not a SQLite file")

// besideSuffixes are the endings of what lies beside a SQLite ledger.
var besideSuffixes = []string{"", "-wal", "-shm", "-journal", ".lock", incomingSuffix, restoringSuffix}

// Backup copies the ledger into one file, as it is at one moment, while a daemon
// goes on working on it. The copy is examined before it gets its name, so that
// a file called to is whole. One that is there already is replaced only when
// replace says so.
func (s *Store) Backup(ctx context.Context, to string, replace bool) (Copied, error) {
	if s.ground == nil {
		return Copied{}, ErrNoFile
	}
	to, err := resolved(to)
	if err != nil {
		return Copied{}, err
	}
	if err := s.mayCopyTo(to, replace); err != nil {
		return Copied{}, err
	}
	partial := to + ".partial"
	copied, err := s.backup(ctx, partial)
	if err == nil {
		err = os.Rename(partial, to)
	}
	if err != nil {
		return Copied{}, errors.Join(err, removeFiles(partial))
	}
	copied.Path = to
	return copied, syncFolder(to)
}

func (s *Store) backup(ctx context.Context, partial string) (Copied, error) {
	if err := errors.Join(removeFiles(partial), makeFile(partial)); err != nil {
		return Copied{}, err
	}
	if err := copyFile(ctx, s.db.DB, partial); err != nil {
		return Copied{}, err
	}
	copied, err := alone(ctx, partial)
	if err != nil {
		return Copied{}, fmt.Errorf("no copy was made of the ledger %s: %w", s.where, err)
	}
	return copied, syncFile(partial)
}

// mayCopyTo keeps a copy from being put in the place of a ledger.
func (s *Store) mayCopyTo(to string, replace bool) error {
	for _, suffix := range besideSuffixes {
		if to == s.ground.path+suffix {
			return fmt.Errorf("%s belongs to the ledger itself; name another file", to)
		}
	}
	info, err := os.Stat(to)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder; name a file in it, such as %s", to, filepath.Join(to, "topupd.db"))
	case os.SameFile(info, s.ground.info):
		return fmt.Errorf("%s is the ledger itself; name another file", to)
	case !replace:
		return fmt.Errorf("%s is there already; name another file, or say --replace", to)
	}
	for _, suffix := range []string{"-wal", ".lock"} {
		if _, err := os.Lstat(to + suffix); err == nil {
			return fmt.Errorf("%s is a ledger that is or was in use (%s%s is there), and is not replaced", to, to, suffix)
		}
	}
	return nil
}

// stepPages is how many pages are copied before the context is looked at.
const stepPages = 1000

// copyFile copies a database into an empty file by SQLite's online backup. A read
// transaction keeps it at one moment: without it, each write of another process
// would make it begin again.
func copyFile(ctx context.Context, from *sql.DB, to string) (err error) {
	conn, err := from.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to its pool
	if _, err := conn.ExecContext(ctx, `BEGIN`); err != nil {
		return explained(err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`) //nolint:errcheck // it has only read
	var tables int
	if err := conn.QueryRowContext(ctx, `SELECT count(name) FROM sqlite_master`).Scan(&tables); err != nil {
		return explained(err)
	}
	return conn.Raw(func(driverConn any) error {
		source, ok := driverConn.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("the SQLite driver has changed: it makes no backups")
		}
		b, err := source.NewBackup(fileName(to, url.Values{}))
		if err != nil {
			return fmt.Errorf("writing %s: %w", to, explained(err))
		}
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				more, err = b.Step(stepPages)
			}
		}
		if err = errors.Join(err, b.Finish()); err != nil {
			return fmt.Errorf("writing %s: %w", to, explained(err))
		}
		return nil
	})
}

// alone makes a copy one file, without a log beside it, and examines it.
func alone(ctx context.Context, path string) (c Copied, err error) {
	db := rawFile(path, url.Values{})
	defer func() { err = errors.Join(err, db.Close()) }()
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode = DELETE`).Scan(&mode); err != nil && !damaging(err) {
		return c, fmt.Errorf("finishing %s: %w", path, explained(err))
	}
	if err := examine(ctx, db, path); err != nil {
		return c, err
	}
	return describe(ctx, db, path)
}

// rawFile opens a SQLite file that is no ledger yet, or none any more.
func rawFile(path string, settings url.Values) *sql.DB {
	settings.Set("_error_rc", "1")
	db := sql.OpenDB(sqliteFile{name: fileName(path, settings)})
	db.SetMaxOpenConns(1)
	return db
}

// describe says what is in a copy, and refuses what is no ledger.
func describe(ctx context.Context, db *sql.DB, path string) (Copied, error) {
	names, err := texts(ctx, db, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	if err != nil {
		return Copied{}, explained(err)
	}
	for _, table := range []string{"purchase", "permit", goose.DefaultTablename} {
		if !slices.Contains(names, table) {
			return Copied{}, fmt.Errorf("%s is no ledger of topupd: it has no table %s", path, table)
		}
	}
	c := Copied{Path: path}
	var newest *int64
	if err := db.QueryRowContext(ctx, `SELECT count(id), max(planned_at) FROM purchase`).Scan(&c.Purchases, &newest); err != nil {
		return Copied{}, explained(err)
	}
	c.Newest = pointer(newest)
	info, err := os.Stat(path)
	if err != nil {
		return Copied{}, err
	}
	c.Bytes = info.Size()
	return c, nil
}

// sqlitePath is the file that a URL names; ErrNoFile for others.
func sqlitePath(raw string) (string, error) {
	path, ok := strings.CutPrefix(raw, "sqlite:")
	if !ok || path == "" || path == ":memory:" {
		return "", ErrNoFile
	}
	return path, nil
}
