package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

// Options say how a ledger is opened. The zero value writes, with the database
// clock, unlocked and unobserved.
type Options struct {
	// Logger hears about what nobody can be told by an error. nil = silence.
	Logger *slog.Logger
	// Now replaces the database clock in tests and simulations. nil = the
	// database clock: the only one that several processes share.
	Now func() time.Time
	// Observe is told about every operation by its name: how long it took and,
	// with one of FailureReasons, why it failed ("" when it did not). nil = none.
	Observe func(query string, d time.Duration, errReason string)
	// Lock takes FILE.lock of a SQLite file for as long as the ledger is open,
	// so that no second daemon works on the file. Nothing on PostgreSQL.
	Lock bool
	// ReadOnly opens beside a running daemon. Every write is ErrReadOnly.
	ReadOnly bool
	// AnyFilesystem opens a SQLite file for writing also where locks are not known
	// to hold. Two daemons on it may charge twice.
	AnyFilesystem bool
}

// Store is one open ledger. Safe for concurrent use.
type Store struct {
	db      *sqlx.DB
	sql     dialect
	log     *slog.Logger
	now     func() time.Time
	observe func(query string, d time.Duration, errReason string)

	readOnly bool
	ground   *ground // the SQLite file; nil on PostgreSQL and in memory
	health   health
	writing  chan struct{} // SQLite has one writer: ours queue here, in order, not in its busy loop
	where    string        // the database in words for errors; no password
	server   server        // PostgreSQL only
	commits  time.Duration // how long a commit may stay unanswered
	witness  witness       // what this process can prove after a promotion
	// inspections are made one after the other.
	inspections sync.Mutex

	migrator func() (db *sql.DB, done func() error, err error) // a pool that waits as long as a migration takes
	guard    func(context.Context) (release func(), err error) // keeps two migrations of one file apart
	closers  []func() error
}

var _ topup.Ledger = (*Store)(nil)

// dialect is what differs between the engines.
type dialect struct {
	name  string
	clock string // the database clock in microseconds
	table string // whether a table of the name ? exists
	// Locks on a row, until the transaction ends. A new row that names another by
	// its key shares that one.
	share  string // waits for alone
	update string // waits for update and alone; every plain change of the row is one
	alone  string // waits for everybody

	lineage string // which database this is, in one row
	logged  bool   // it has a log whose positions can be compared
}

// commitTimeout bounds the wait for an answer to COMMIT. A synchronous standby
// that is gone lets a commit hang, and statement_timeout does not bound that
// wait. Halved, a slow standby looks like a lost one; doubled, polls stall
// behind it for longer than the lease lives.
const commitTimeout = 10 * time.Second

// openTimeout bounds Open when its context has no deadline.
const openTimeout = 15 * time.Second

// Open opens the ledger that the URL names: "postgres://…", "postgresql://…",
// "sqlite:PATH", or "sqlite::memory:" for tests. It does not migrate. Errors
// say what to do and never hold the password; ErrUnreachable may pass by
// itself, ErrLocked names the process that holds the file.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, openTimeout)
		defer cancel()
	}
	s := &Store{log: o.Logger, now: o.Now, observe: o.Observe, readOnly: o.ReadOnly, commits: commitTimeout}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	open := s.openUnknown
	switch scheme, _, _ := strings.Cut(url, ":"); scheme {
	case "postgres", "postgresql":
		open = s.openPostgres
	case "sqlite":
		open = s.openSQLite
	}
	if err := open(ctx, url, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openUnknown does not repeat the URL: it may hold a password.
func (s *Store) openUnknown(context.Context, string, Options) error {
	return errors.New("database_url must begin with sqlite:, postgres:// or postgresql://, and does not")
}

// Close gives everything back. Whoever still uses the store gets errors.
func (s *Store) Close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Ping asks the database for one answer.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Now(ctx)
	return err
}

// Now is the database clock, or Options.Now.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := s.read(ctx, "now", func(ctx context.Context, v view) error {
		var one int
		if err := v.get(ctx, &one, `SELECT 1`); err != nil { // an injected clock must not hide a dead database
			return err
		}
		var err error
		now, err = v.now(ctx)
		return err
	})
	return now, err
}

// stopwatch measures one operation for Observe.
func (s *Store) stopwatch(query string) func(error) {
	if s.observe == nil {
		return func(error) {}
	}
	start := time.Now() //nolint:forbidigo // measures a duration; nothing is decided by it
	return func(err error) {
		s.observe(query, time.Since(start), failureReason(err)) //nolint:forbidigo // as above
	}
}

// failed names the operation and the database in an error that nobody foresees.
func (s *Store) failed(query string, err error) error {
	if err == nil || foreseen(err) || errors.Is(err, topup.ErrInDoubt) {
		return err
	}
	return fmt.Errorf("ledger %s, %s: %w", s.where, query, explained(s.granting(err)))
}
