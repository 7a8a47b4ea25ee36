package ledger_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"topupd/ledger"
	"topupd/topup"
)

// unmigrated opens an empty database.
func unmigrated(t testing.TB, url string, o ledger.Options) *ledger.Store {
	t.Helper()
	s, err := ledger.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// migrations lists the migrations of an engine in their order.
func migrations(t testing.TB, engine string) (names []string) {
	t.Helper()
	for _, folder := range []string{"shared", engine} {
		files, err := os.ReadDir(filepath.Join("migrations", folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			names = append(names, f.Name())
		}
	}
	slices.Sort(names)
	return names
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			s := unmigrated(t, engine.fresh(t), ledger.Options{})
			err := s.CheckSchema(t.Context())
			if !errors.Is(err, ledger.ErrSchemaTooOld) || !strings.Contains(err.Error(), "run topupd migrate") {
				t.Errorf("an empty database: %v, want ErrSchemaTooOld and what to run", err)
			}
			applied, err := s.Migrate(t.Context())
			if diff := cmp.Diff(migrations(t, engine.name), applied); diff != "" || err != nil {
				t.Errorf("Migrate: %v, (-want +got):\n%s", err, diff)
			}
			if applied, err = s.Migrate(t.Context()); len(applied) != 0 || err != nil {
				t.Errorf("Migrate again = %v, %v; want nothing to do", applied, err)
			}
			if err := s.CheckSchema(t.Context()); err != nil {
				t.Errorf("CheckSchema = %v", err)
			}
		})
	}
}

func TestTwoProcessesMigrateOnce(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			var mu sync.Mutex
			var all []string
			var both sync.WaitGroup
			for range 3 {
				s := unmigrated(t, url, ledger.Options{})
				both.Go(func() {
					applied, err := s.Migrate(t.Context())
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, applied...)
				})
			}
			both.Wait()
			if len(all) != len(migrations(t, engine.name)) {
				t.Errorf("applied %v, want each migration once", all)
			}
		})
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			s := open(t, url, ledger.Options{})
			if _, err := rawSQL(t, url).ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9001, TRUE)`); err != nil {
				t.Fatal(err)
			}
			err := s.CheckSchema(t.Context())
			if !errors.Is(err, ledger.ErrSchemaTooNew) || !strings.Contains(err.Error(), "9001") {
				t.Errorf("CheckSchema = %v, want ErrSchemaTooNew with both versions", err)
			}
			if _, err := s.Migrate(t.Context()); !errors.Is(err, ledger.ErrSchemaTooNew) {
				t.Errorf("Migrate = %v, want ErrSchemaTooNew", err)
			}
		})
	}
}

// guards lists, by engine, how to take migration 0002 back: a statement a row.
var guards = map[string]string{
	"postgres": `SELECT 'DROP TRIGGER ' || tgname || ' ON ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT 'DROP FUNCTION ' || oid::regprocedure FROM pg_proc WHERE pronamespace = current_schema()::regnamespace`,
	"sqlite": `SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'`,
}

// An installation of the schema before the newest migration goes on with what
// it has stored.
func TestAnUpgradeKeepsWhatIsStored(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			s := open(t, url, ledger.Options{})
			planned := plannedPurchase(t, s)
			db := rawSQL(t, url)
			steps := list(t, db, guards[engine.name])
			if len(steps) < 20 {
				t.Fatalf("%d guards: too few to be all", len(steps))
			}
			for _, step := range append(steps, `DELETE FROM goose_db_version WHERE version_id > 1`) {
				if _, err := db.ExecContext(t.Context(), step); err != nil {
					t.Fatalf("%s: %v", step, err)
				}
			}
			if err := s.CheckSchema(t.Context()); !errors.Is(err, ledger.ErrSchemaTooOld) {
				t.Fatalf("CheckSchema = %v, want ErrSchemaTooOld", err)
			}
			applied, err := s.Migrate(t.Context())
			if err != nil || len(applied) != len(migrations(t, engine.name))-1 {
				t.Fatalf("Migrate = %v, %v", applied, err)
			}
			got, err := s.Purchase(t.Context(), planned.ID)
			if diff := cmp.Diff(planned, got); diff != "" || err != nil {
				t.Errorf("after the upgrade: %v (-before +after):\n%s", err, diff)
			}
			if _, err := s.Advance(t.Context(), topup.Change{Next: got}); err != nil {
				t.Errorf("going on after the upgrade: %v", err)
			}
		})
	}
}

// list reads the one column of a query.
func list(t testing.TB, db *sql.DB, query string) (values []string) {
	t.Helper()
	if err := sqlx.NewDb(db, "").SelectContext(t.Context(), &values, query); err != nil {
		t.Fatal(err)
	}
	return values
}
