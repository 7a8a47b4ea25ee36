package ledger

import (
	"context"
	"database/sql/driver"
	"errors"
)

// statements keeps each connection's statements compiled. The ledger asks the
// same few dozen questions for years, and SQLite spends more time on reading
// most of them than on answering.
type statements struct {
	driver driver.Driver
	name   string
	stands func() error // whether the name still leads to the file that was meant; may be nil
}

// Connect opens one connection, to the file that the others are open on: one
// that was put in its place is another database.
func (s statements) Connect(context.Context) (driver.Conn, error) {
	if err := s.meant(); err != nil {
		return nil, err
	}
	conn, err := s.driver.Open(s.name)
	if err != nil {
		return nil, err
	}
	if err := s.meant(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	base, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver has changed: its connections lack what the ledger uses"), conn.Close())
	}
	return &compiled{sqliteConn: base, kept: map[string]*statement{}}, nil
}

func (s statements) meant() error {
	if s.stands == nil {
		return nil
	}
	return s.stands()
}

// Driver is the driver below.
func (s statements) Driver() driver.Driver { return s.driver }

// sqliteConn is what database/sql and we use of the driver's connection.
type sqliteConn interface { //nolint:interfacebloat // database/sql's own small interfaces, all of which it looks for
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// compiled is a connection with its statements. database/sql uses it from one
// goroutine at a time.
type compiled struct {
	sqliteConn
	kept map[string]*statement
}

type statement struct {
	driver.Stmt
	busy bool // its rows are still open
}

// maxKept bounds the statements of one connection. What comes later is compiled
// each time: only lists of ids of many lengths can make so many.
const maxKept = 300

// statement is the compiled query; nil when it must be compiled anew. Queries
// without arguments are rare, and scripts among them.
func (c *compiled) statement(ctx context.Context, query string, args []driver.NamedValue) *statement {
	s := c.kept[query]
	if s == nil && len(args) > 0 && len(c.kept) < maxKept {
		if fresh, err := c.PrepareContext(ctx, query); err == nil { // the error comes again below, with its place
			s = &statement{Stmt: fresh}
			c.kept[query] = s
		}
	}
	if s == nil || s.busy {
		return nil
	}
	return s
}

// ExecContext runs the query, compiled before if it was seen before.
func (c *compiled) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if s := c.statement(ctx, query, args); s != nil {
		if run, ok := s.Stmt.(driver.StmtExecContext); ok {
			return run.ExecContext(ctx, args)
		}
	}
	return c.sqliteConn.ExecContext(ctx, query, args)
}

// QueryContext runs the query, compiled before if it was seen before.
func (c *compiled) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s := c.statement(ctx, query, args)
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	run, ok := s.Stmt.(driver.StmtQueryContext)
	if !ok {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := run.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &keptRows{Rows: rows, of: s}, nil
}

// Close gives the statements back, then the connection.
func (c *compiled) Close() error {
	var errs []error
	for _, s := range c.kept {
		errs = append(errs, s.Stmt.Close())
	}
	c.kept = nil
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// keptRows frees its statement when it is closed.
type keptRows struct {
	driver.Rows
	of *statement
}

func (r *keptRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
