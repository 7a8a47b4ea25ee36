package ledger_test

import (
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"topupd/ledger"
	"topupd/topup"
)

func TestNothingIsBoughtBeforeTheFileWasExamined(t *testing.T) {
	t.Parallel()
	path := closed(t)
	s := unmigrated(t, "sqlite:"+path, ledger.Options{Lock: true})
	r := planRequest(t, s, "cus_1")
	if _, err := s.Plan(t.Context(), r); !errors.Is(err, ledger.ErrExamining) || !errors.Is(err, topup.ErrLedgerUnfit) {
		t.Errorf("Plan before Examine = %v, want ErrExamining", err)
	}
	if err := s.Fit(); !errors.Is(err, ledger.ErrExamining) {
		t.Errorf("Fit before Examine = %v, want ErrExamining", err)
	}
	must(t, s.Examine(t.Context()))
	must(t, s.Fit())
	if _, err := s.Plan(t.Context(), r); err != nil {
		t.Errorf("Plan after Examine: %v", err)
	}
}

// What a torn restore leaves: quick_check sees none of the damaged indexes, and
// one of them keeps a target from a second open purchase (P1).
func TestADamagedLedgerBuysNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, path string)
		want   string
	}{
		{"an entry is missing in the index of open purchases", func(t *testing.T, path string) {
			// The index is made to look like a partial one of nothing while the row is stored.
			withRawFile(t, path, func(db *sql.DB) {
				run(t, db, `PRAGMA writable_schema = ON`,
					`UPDATE sqlite_master SET sql = replace(sql, 'state NOT IN', 'state IN') WHERE name = 'purchase_one_open'`)
			})
			withRawFile(t, path, func(db *sql.DB) {
				run(t, db, `REINDEX purchase_one_open`, `PRAGMA writable_schema = ON`,
					`UPDATE sqlite_master SET sql = replace(sql, 'state IN', 'state NOT IN') WHERE name = 'purchase_one_open'`)
			})
		}, "row 1 missing from index purchase_one_open"},
		{"a purchase of a target that is not there", func(t *testing.T, path string) {
			withRawFile(t, path, func(db *sql.DB) {
				run(t, db, `PRAGMA foreign_keys = OFF`, `DROP TRIGGER target_kept`, `DELETE FROM target`)
			})
		}, "purchase names a row of target that is missing"},
		{"a page of another file", func(t *testing.T, path string) {
			var root int64
			withRawFile(t, path, func(db *sql.DB) {
				if err := db.QueryRow(`SELECT rootpage FROM sqlite_master WHERE name = 'purchase_key'`).Scan(&root); err != nil {
					t.Fatal(err)
				}
			})
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte(strings.Repeat("x", 4096)), (root-1)*4096)
			must(t, errors.Join(err, f.Close()))
		}, "is damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := closed(t)
			whole := open(t, "sqlite:"+path, ledger.Options{Lock: true})
			sentPurchase(t, whole)
			must(t, whole.Close())
			tt.damage(t, path)

			s := unmigrated(t, "sqlite:"+path, ledger.Options{Lock: true})
			for what, err := range map[string]error{"Examine": s.Examine(t.Context()), "Fit": s.Fit()} {
				if !errors.Is(err, topup.ErrLedgerUnfit) || errors.Is(err, ledger.ErrExamining) ||
					!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "topupd restore") {
					t.Errorf("%s = %v, want ErrLedgerUnfit: %s, and the remedy", what, err, tt.want)
				}
			}
			if tt.want != "is damaged" { // there the request cannot even be made
				if _, err := s.Plan(t.Context(), planRequest(t, s, "cus_2")); !errors.Is(err, topup.ErrLedgerUnfit) {
					t.Errorf("Plan = %v, want ErrLedgerUnfit", err)
				}
			}
		})
	}
}

// Damage that appears later is noticed when SQLite stumbles over it.
func TestDamageThatComesLaterIsNoticed(t *testing.T) {
	t.Parallel()
	path := closed(t)
	s := open(t, "sqlite:"+path, ledger.Options{Lock: true})
	p := plannedPurchase(t, s)
	permit := permission(t, p, takeLease(t, s))
	ledger.Stumble(t, s)
	if _, err := s.Permit(t.Context(), permit); !errors.Is(err, topup.ErrLedgerUnfit) || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("Permit = %v, want ErrLedgerUnfit in SQLite's words", err)
	}
}

// withRawFile opens the file as anybody could, and closes it again.
func withRawFile(t *testing.T, path string, use func(*sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	use(db)
	must(t, db.Close())
}

func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
