package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrationFiles embed.FS

// layers is the shared migrations and those of one engine as one folder.
type layers []fs.FS

// Open opens the file from the layer that has it.
func (l layers) Open(name string) (fs.File, error) {
	var err error
	for _, layer := range l {
		var f fs.File
		if f, err = layer.Open(name); err == nil {
			return f, nil
		}
	}
	return nil, err
}

// ReadDir lists every layer.
func (l layers) ReadDir(name string) ([]fs.DirEntry, error) {
	var all []fs.DirEntry
	for _, layer := range l {
		entries, err := fs.ReadDir(layer, name)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

func (d dialect) migrations() (fs.FS, error) {
	var l layers
	for _, folder := range []string{"shared", d.name} {
		layer, err := fs.Sub(migrationFiles, "migrations/"+folder)
		if err != nil {
			return nil, err
		}
		l = append(l, layer)
	}
	return l, nil
}

// Migrate applies the missing migrations, each in a transaction of its own, and
// returns their names. Several processes may call it at once: one migrates, the
// others wait. Errors: ErrSchemaTooNew, ErrReadOnly, ErrLocked (SQLite, while a
// daemon runs on the file).
func (s *Store) Migrate(ctx context.Context) (applied []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("migrating the ledger %s: %w", s.where, err)
		}
	}()
	if s.readOnly {
		return nil, ErrReadOnly
	}
	if err := s.CheckSchema(ctx); !errors.Is(err, ErrSchemaTooOld) {
		return nil, err
	}
	if s.guard != nil {
		release, err := s.guard(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	err = s.withMigrations(ctx, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			applied = append(applied, r.Source.Path)
		}
		return err
	})
	return applied, explained(s.granting(err))
}

// CheckSchema tells whether this program and the schema fit. It writes nothing.
// Errors: ErrSchemaTooNew, ErrSchemaTooOld, ErrNoSchema.
func (s *Store) CheckSchema(ctx context.Context) error {
	wanted, err := s.sql.newestMigration()
	if err != nil {
		return err
	}
	var version int64
	err = s.read(ctx, "check_schema", func(ctx context.Context, v view) error {
		var any bool
		if err := v.get(ctx, &any, s.sql.table, goose.DefaultTablename); err != nil || !any {
			return err
		}
		return v.get(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM `+goose.DefaultTablename)
	})
	switch {
	case err != nil:
		return err
	case version > wanted:
		return fmt.Errorf("%w: it is at version %d, this program knows %d; install the newer topupd", ErrSchemaTooNew, version, wanted)
	case version == 0:
		return fmt.Errorf("%w; topupd run makes them, or run topupd migrate", ErrNoSchema)
	case version < wanted:
		return fmt.Errorf("%w: it is at version %d, this program needs %d; run topupd migrate", ErrSchemaTooOld, version, wanted)
	default:
		return nil
	}
}

// newestMigration is the schema's version that this program was written for.
func (d dialect) newestMigration() (newest int64, err error) {
	files, err := d.migrations()
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, nil
}

func (s *Store) withMigrations(ctx context.Context, do func(*goose.Provider) error) error {
	db, done, err := s.migrator()
	if err != nil {
		return err
	}
	defer done() //nolint:errcheck // the pool is ours alone and empty
	p, err := s.provider(ctx, db)
	if err != nil {
		return err
	}
	return do(p)
}

func (s *Store) provider(ctx context.Context, db *sql.DB) (*goose.Provider, error) {
	files, err := s.sql.migrations()
	if err != nil {
		return nil, err
	}
	if s.sql.name != postgres.name {
		return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	}
	var schema string
	if err := db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema); err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID(schema)), lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithSessionLocker(locker))
}

// lockID is the advisory lock of one schema's migrations: two ledgers in one
// database do not wait for each other.
func lockID(schema string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("topupd migrate " + schema)) // a hash never fails to write
	return int64(h.Sum64() >> 1)
}
