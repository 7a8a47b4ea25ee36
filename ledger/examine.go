package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"

	"topupd/topup"
)

// health is what is known of the bytes under the ledger.
type health struct {
	mu      sync.Mutex
	wanted  bool  // nothing is bought before the file was examined
	done    bool  // it was
	damaged error // what is wrong; stays
}

// damageRemedy is what to do about a damaged file.
const damageRemedy = "stop topupd, and restore a backup with topupd restore, which keeps the damaged file (docs/operations.md, restoring the ledger)"

// ErrExamining means that the file is still being examined: it passes by itself.
// It is a topup.ErrLedgerUnfit.
var ErrExamining = fmt.Errorf("%w: it is still being examined for damage", topup.ErrLedgerUnfit)

// Fit tells whether purchases may rest on the ledger: a SQLite file that a
// daemon works on must be whole, and still be where it was opened. Errors:
// topup.ErrLedgerUnfit, ErrExamining.
func (s *Store) Fit() error {
	s.health.mu.Lock()
	wanted, done, damaged := s.health.wanted, s.health.done, s.health.damaged
	s.health.mu.Unlock()
	switch {
	case damaged != nil:
		return damaged
	case wanted && !done:
		return ErrExamining
	default:
		return s.ground.stands()
	}
}

// quickly are the tables that decide about no money and grow the most: their
// indexes are not compared with their rows.
var quickly = []string{"evaluation", "snapshot"}

// Examine reads the whole file of a SQLite ledger for damage: each row and each
// entry of each index, since what keeps a target from a second open purchase is
// an index. It takes seconds for each gigabyte; reads and writes go on beside it.
// Until it has returned, a store that was opened with Options.Lock buys nothing.
// Errors: topup.ErrLedgerUnfit for a damaged file; others say that it could not
// be read to its end.
func (s *Store) Examine(ctx context.Context) error {
	if s.sql.name != sqliteDialect.name || s.ground == nil {
		return nil
	}
	err := s.read(ctx, "examine", func(ctx context.Context, _ view) error { return examine(ctx, s.db.DB, s.ground.path) })
	if err != nil && !errors.Is(err, topup.ErrLedgerUnfit) {
		return err
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.done = true; err != nil {
		s.health.damaged = err
	}
	return s.health.damaged
}

// noticeDamage remembers what SQLite stumbled over later.
func (s *Store) noticeDamage(err error) {
	if !damaging(err) {
		return
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.damaged == nil {
		s.health.damaged = unfit(s.where, err.Error())
	}
}

func unfit(where, what string) error {
	return fmt.Errorf("%w: the file %s is damaged (%s); nothing is bought: %s", topup.ErrLedgerUnfit, strings.TrimPrefix(where, "in "), what, damageRemedy)
}

// damaging tells whether SQLite says that the file is broken.
func damaging(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	default:
		return false
	}
}

// maxFindings is how many of what is wrong are told.
const maxFindings = 3

// examine looks for damage in every table; topup.ErrLedgerUnfit says what.
func examine(ctx context.Context, db *sql.DB, path string) error {
	findings, err := damageIn(ctx, db)
	if damaging(err) {
		findings, err = append(findings, err.Error()), nil
	}
	if err != nil {
		return fmt.Errorf("examining %s: %w", path, err)
	}
	if len(findings) == 0 {
		return nil
	}
	if more := len(findings) - maxFindings; more > 0 {
		findings = append(findings[:maxFindings], fmt.Sprintf("and %d more", more))
	}
	return unfit(path, strings.Join(findings, "; "))
}

func damageIn(ctx context.Context, db *sql.DB) (findings []string, err error) {
	tables, err := texts(ctx, db, `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		check := "integrity_check"
		if slices.Contains(quickly, table) {
			check = "quick_check"
		}
		found, err := texts(ctx, db, `SELECT `+check+` FROM pragma_`+check+`(?)`, table)
		if err != nil {
			return append(findings, found...), fmt.Errorf("table %s: %w", table, err)
		}
		for _, text := range found {
			if text != "ok" {
				findings = append(findings, strings.ReplaceAll(text, "\n", " "))
			}
		}
		found, err = texts(ctx, db, `SELECT "table" || ' names a row of ' || parent || ' that is missing' FROM pragma_foreign_key_check(?) LIMIT 10`, table)
		if err != nil {
			return append(findings, found...), fmt.Errorf("references of table %s: %w", table, err)
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

func texts(ctx context.Context, db *sql.DB, query string, args ...any) (list []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return list, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}
