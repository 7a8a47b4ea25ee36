package ledger

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"topupd/topup"
)

var (
	// ErrUnreachable means that no server answered, or it is starting or stopping. Trying
	// again later may help.
	ErrUnreachable = errors.New("the database cannot be reached")
	// ErrSchemaTooNew means that a newer topupd has migrated the database.
	ErrSchemaTooNew = errors.New("the database schema is newer than this topupd")
	// ErrSchemaTooOld means that migrations are missing.
	ErrSchemaTooOld = errors.New("the database schema is older than this topupd")
	// ErrNoSchema means that no topupd has ever used the database. It is an ErrSchemaTooOld.
	ErrNoSchema = fmt.Errorf("%w: it has no tables of topupd yet", ErrSchemaTooOld)
	// ErrLocked means that another process runs on the SQLite file.
	ErrLocked = errors.New("another process holds the database")
	// ErrReadOnly answers a write on a store that was opened for reading.
	ErrReadOnly = errors.New("the ledger was opened for reading only")
	// ErrReferenceClaimed means that the reference explains another purchase already.
	// It is a topup.ErrRefused.
	ErrReferenceClaimed = fmt.Errorf("the reference belongs to another purchase: %w", topup.ErrRefused)
	// ErrAcknowledged means that somebody acknowledged the difference before. It is a
	// topup.ErrRefused.
	ErrAcknowledged = fmt.Errorf("it was acknowledged before: %w", topup.ErrRefused)
)

// RefusedError is a write that the schema refused: a mistake in the program,
// caught by the last line of defence, or a text from outside that no column
// takes. Nothing was stored, and trying again is no use: it is a
// topup.ErrRefused.
type RefusedError struct {
	Rule string // the name of the constraint or guard
	err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the schema refuses it by rule %s: %v", e.Rule, e.err)
}

// Is makes errors.Is(err, topup.ErrRefused) true.
func (e *RefusedError) Is(target error) bool { return target == topup.ErrRefused }

// Unwrap gives the driver's error.
func (e *RefusedError) Unwrap() error { return e.err }

// Reasons why an operation of the ledger failed, for metrics. The list is
// closed; refusals that are part of the contract are no failures.
const (
	FailedInDoubt    = "in_doubt"
	FailedConflict   = "conflict"
	FailedTimeout    = "timeout"
	FailedConnection = "connection"
	FailedConstraint = "constraint"
	FailedOther      = "other"
)

// FailureReasons lists every reason that Options.Observe can be told.
func FailureReasons() []string {
	return []string{FailedInDoubt, FailedConflict, FailedTimeout, FailedConnection, FailedConstraint, FailedOther}
}

// failureReason puts an error into the closed list; "" when it is an answer
// that the contract foresees.
func failureReason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, topup.ErrInDoubt):
		return FailedInDoubt
	case foreseen(err):
		return ""
	case busy(err):
		return FailedConflict
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), sqlState(err) == "57014":
		return FailedTimeout
	case disconnected(err):
		return FailedConnection
	case errors.Is(err, topup.ErrRefused):
		return FailedConstraint
	default:
		return FailedOther
	}
}

// foreseen tells whether callers act on the error by name.
func foreseen(err error) bool {
	for _, known := range []error{
		topup.ErrPurchaseOpen, topup.ErrFactsOvertaken, topup.ErrFactsTooOld, topup.ErrPaused, topup.ErrRuleStopped, topup.ErrHeld, topup.ErrOverCap,
		topup.ErrProvingPrice, topup.ErrChangeHeld, topup.ErrRefunded,
		topup.ErrFirstHold, topup.ErrProviderStopped, topup.ErrLeaseLost, topup.ErrOvertaken, topup.ErrKeyTooOld,
		topup.ErrNotFound, topup.ErrLedgerUnfit, ErrReferenceClaimed, ErrAcknowledged,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// busy tells whether another transaction was in the way; the same call may
// succeed later.
func busy(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "55P03": // serialization, deadlock, lock_timeout
		return true
	}
	code := sqliteCode(err) & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// disconnected tells whether the server was not there, or went away.
func disconnected(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrUnreachable) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	switch state := sqlState(err); {
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "57P"), state == "53300", state == readOnlyServer:
		return true
	default:
		return false
	}
}

// sqlState is the five characters of a PostgreSQL error; "" for others.
func sqlState(err error) string {
	if e := pq.As(err); e != nil {
		return string(e.Code)
	}
	return ""
}

// sqliteCode is the extended result code of a SQLite error; 0 for others.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// explained gives driver errors the names and the advice that this package
// promises. Everything else is returned as it is.
func explained(err error) error {
	if e := pq.As(err); e != nil {
		switch {
		case e.Code.Class() == "23", e.Code.Class() == "22": // a constraint; a value that its column cannot hold
			return &RefusedError{Rule: cmp.Or(e.Constraint, string(e.Code)), err: err}
		case e.Code == readOnlyServer, e.Code == standbyServer:
			return fmt.Errorf("the server takes no writes, it is a standby or became one; name every server in database_url, or the address that follows the primary: %w", err)
		case shared(err):
			return fmt.Errorf("%s: %w", pooled, err)
		case e.Code == "42P01":
			return fmt.Errorf("a table is missing, run topupd migrate: %w", err)
		}
		return err
	}
	switch code := sqliteCode(err); {
	case code == 0:
		return err
	case code&0xff == sqlite3.SQLITE_CONSTRAINT:
		return &RefusedError{Rule: sqliteRule(err), err: err}
	case code&0xff == sqlite3.SQLITE_BUSY, code&0xff == sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("another process writes to the database file for longer than %s; find it with fuser or lsof: %w", busyTimeout, err)
	case code&0xff == sqlite3.SQLITE_READONLY:
		return fmt.Errorf("the database file cannot be written; check its owner, its mode and whether the disk is mounted read-only: %w", err)
	case damaging(err):
		return fmt.Errorf("the database file is damaged; %s: %w", damageRemedy, err)
	case code&0xff == sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full; nothing is bought until there is space: %w", err)
	default:
		return err
	}
}

// sqliteRule finds the name of the refused rule, for people: decisions never
// rest on it.
func sqliteRule(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, " ("); i > 0 {
		text = text[:i] // the result code
	}
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// isRule tells whether PostgreSQL refused by the named constraint. SQLite does
// not name unique indexes; there the transaction is alone and has looked before.
func isRule(err error, name string) bool {
	e := pq.As(err)
	return e != nil && e.Constraint == name
}
