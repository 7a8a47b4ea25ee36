package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

// runner is what reads share, inside a transaction and outside.
type runner interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	Rebind(query string) string
}

// view reads. Queries are written with "?"; Rebind suits them to the engine.
type view struct {
	q     runner
	store *Store
}

func (v view) get(ctx context.Context, dest any, query string, args ...any) error {
	return v.q.GetContext(ctx, dest, v.q.Rebind(query), args...)
}

func (v view) list(ctx context.Context, dest any, query string, args ...any) error {
	return v.q.SelectContext(ctx, dest, v.q.Rebind(query), args...)
}

// find is get for a row that may be absent.
func (v view) find(ctx context.Context, dest any, query string, args ...any) (bool, error) {
	err := v.get(ctx, dest, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// now is the clock that everything shared is compared with. It is read after
// the locks: a transaction that waited must not judge by an older time.
func (v view) now(ctx context.Context) (time.Time, error) {
	if v.store.now != nil {
		return v.store.now().UTC().Truncate(time.Microsecond), nil
	}
	var us int64
	if err := v.get(ctx, &us, `SELECT `+v.store.sql.clock); err != nil {
		return time.Time{}, fmt.Errorf("reading the database clock: %w", err)
	}
	return instant(us), nil
}

// tx writes. It exists only inside write.
type tx struct {
	view
	t *sqlx.Tx
}

// exec runs one statement and returns how many rows it touched.
func (t tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.t.ExecContext(ctx, t.t.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// one runs a statement that must touch exactly one row.
func (t tx) one(ctx context.Context, what, query string, args ...any) error {
	n, err := t.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("%s: %d rows changed instead of one", what, n)
	}
	return nil
}

// read runs a reading operation under its name.
func (s *Store) read(ctx context.Context, query string, fn func(context.Context, view) error) error {
	done := s.stopwatch(query)
	err := fn(ctx, view{s.db, s})
	s.noticeDamage(err)
	err = s.failed(query, err)
	done(err)
	return err
}

// write runs fn in one transaction: all of it is stored or nothing. Errors:
// ErrReadOnly, topup.ErrInDoubt, and what fn returns.
func (s *Store) write(ctx context.Context, query string, fn func(context.Context, tx) error) error {
	done := s.stopwatch(query)
	err := s.inTx(ctx, s.logs(query), fn)
	s.noticeDamage(err)
	err = s.failed(query, err)
	done(err)
	return err
}

// logs tells whether a lost commit of the operation could make somebody buy
// twice: after those the position of the log is noted.
func (s *Store) logs(query string) bool {
	switch query {
	case "plan", "permit", "advance", "answer", "import", "pause", "stop", "hold_implausible", "quarantine", "inspect", "end_quarantine", "note_known":
		return s.sql.logged
	default: // leases say by their term that they are missing
		return false
	}
}

func (s *Store) inTx(ctx context.Context, logged bool, fn func(context.Context, tx) error) error {
	if s.readOnly {
		return ErrReadOnly
	}
	if s.writing != nil {
		select {
		case s.writing <- struct{}{}:
			defer func() { <-s.writing }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	open, err := s.begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	mark, t := "", tx{view{open.tx, s}, open.tx}
	err = fn(ctx, t)
	if err == nil && logged {
		mark, err = t.mark(ctx)
	}
	if err == nil {
		err = ctx.Err() // nothing is committed for somebody who has left
	}
	if err != nil {
		open.abandon(sqlState(err) == readOnlyServer)
		if sqlState(err) == readOnlyServer {
			s.leaveServer()
		}
		return err
	}
	if !logged {
		return open.commit(s.commits, nil, nil)
	}
	return s.commitLogged(ctx, open, mark)
}

// commitLogged commits what left a mark and then, while the caller goes on,
// notes the position of the log on the same connection.
func (s *Store) commitLogged(ctx context.Context, open *transaction, mark string) error {
	inspections := s.witness.committing()
	n, overtaken := int64(0), false
	err := open.commit(s.commits, func() {
		var ok bool
		n, ok = s.witness.acknowledged(inspections, mark)
		overtaken = !ok
	}, func(conn *sqlx.Conn) {
		if overtaken {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
		defer cancel()
		if here, err := (view{conn, s}).place(ctx); err == nil { // else its mark says that it is there
			s.witness.saw(n, here)
		}
	})
	if err == nil && overtaken {
		return fmt.Errorf("the database moved while the change was committed: %w", topup.ErrInDoubt)
	}
	return err
}

// The SQLSTATE of a write where none is taken: a pooler, or a name that moved, can
// lead an old connection to a standby.
const (
	readOnlyServer = "25006"
	standbyServer  = "0A000" // the same, said to BEGIN READ WRITE
)

// leaveServer closes every idle connection, so that the next one goes where the
// writes are.
func (s *Store) leaveServer() {
	s.db.SetMaxIdleConns(-1)
	s.db.SetMaxIdleConns(maxConns)
}

// transaction is one open transaction on a connection of its own. Its context
// outlives the caller's: a deadline that strikes during COMMIT would leave in
// doubt what was about to be certain.
type transaction struct {
	conn *sqlx.Conn
	tx   *sqlx.Tx
	stop context.CancelFunc
}

// begin takes a connection within the caller's time. A stale one from before a
// restart of the server fails at BEGIN, when nothing has happened yet: the next
// one is tried, once for every connection that the pool can hold.
func (s *Store) begin(ctx context.Context) (*transaction, error) {
	for try := 0; ; try++ {
		conn, err := s.db.Connx(ctx)
		if err != nil {
			return nil, err
		}
		txCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		t, err := conn.BeginTxx(txCtx, nil)
		if err == nil {
			return &transaction{conn, t, stop}, nil
		}
		stop()
		(&transaction{conn: conn}).discard()
		_ = conn.Close() // the error of BEGIN says more
		if !disconnected(err) && sqlState(err) != standbyServer || try >= maxConns {
			return nil, err
		}
	}
}

// abandon rolls back; whatever goes wrong now, nothing is stored. With the
// server, the connection is given up too.
func (t *transaction) abandon(server bool) {
	_ = t.tx.Rollback()
	t.stop()
	if server {
		t.discard()
	}
	_ = t.conn.Close()
}

// discard keeps the connection from being used again.
func (t *transaction) discard() {
	_ = t.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// commit is watched from outside: when no answer comes, the statement is
// cancelled so that the connection is not lost, and the outcome is in doubt
// whatever the server says then. After a yes, acknowledged is called before the
// caller hears of it, and after has the connection while the caller goes on; both
// are nil for a commit that leaves no mark.
func (t *transaction) commit(patience time.Duration, acknowledged func(), after func(*sqlx.Conn)) error {
	answer := make(chan error, 2)
	go func() {
		err := t.tx.Commit()
		if err != nil {
			t.discard()
		}
		t.stop()
		if err == nil && after != nil {
			acknowledged()
			answer <- nil
			after(t.conn)
		}
		_ = t.conn.Close()
		answer <- err
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-answer:
		if err != nil {
			return fmt.Errorf("the commit answered %q: %w", explained(err).Error(), topup.ErrInDoubt)
		}
		return nil
	case <-timer.C:
		t.stop()
		return fmt.Errorf("no answer to the commit in %s: %w", patience, topup.ErrInDoubt)
	}
}
