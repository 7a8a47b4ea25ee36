package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// uncorrected takes migration 0015 back, by engine. SQLite builds the table of
// actions anew and needs no more.
var uncorrected = map[string][]string{
	"postgres": {
		`DROP TRIGGER purchase_corrected ON purchase`, `DROP FUNCTION purchase_corrected`, `DROP INDEX purchase_decided`,
		`ALTER TABLE purchase DROP COLUMN corrected_at`, `ALTER TABLE purchase DROP COLUMN corrected_from`,
		`DROP TRIGGER purchase_transition_kept ON purchase_transition`, uncorrectedChart,
		`ALTER TABLE action DROP CONSTRAINT action_kind_bounded`,
		`ALTER TABLE action ADD CONSTRAINT action_kind_known CHECK (kind IN ('pause', 'resume', 'resolve'))`,
	},
	"sqlite": {
		`DROP TRIGGER purchase_corrected`, `DROP INDEX purchase_decided`,
		`ALTER TABLE purchase DROP COLUMN corrected_at`, `ALTER TABLE purchase DROP COLUMN corrected_from`,
		`DROP TRIGGER purchase_transition_kept`, uncorrectedChart,
	},
}

const uncorrectedChart = `DELETE FROM purchase_transition WHERE (from_state, to_state) IN
	(('settled', 'declined'), ('declined', 'settled'), ('cancelled', 'settled'))`

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
			for _, step := range append(uncorrected[engine.name], // back to version 2, with the purchase
				`ALTER TABLE purchase DROP COLUMN trail`, `DROP TABLE lineage`, `DROP TABLE mark`, `DROP TABLE verification`, `DROP TABLE capability`, `DROP TABLE experiment`,
				`ALTER TABLE permit DROP COLUMN answered_at`, `ALTER TABLE purchase DROP COLUMN never_repeat`,
				`DROP INDEX foreign_topup_invoice`, `DROP INDEX foreign_topup_of_target`, `DROP INDEX foreign_topup_at`, `DROP INDEX foreign_topup_imported`,
				`DROP INDEX purchase_of_provider`, `DROP INDEX purchase_of_customer`, `DROP INDEX purchase_of_rule`, `DROP INDEX purchase_in_state`,
				`DROP INDEX purchase_begins`, `DROP INDEX purchase_ends`, `DROP INDEX purchase_finished`, `DROP INDEX purchase_quiet`,
				`DROP INDEX purchase_untrimmed`, `ALTER TABLE purchase DROP COLUMN trimmed`, `DROP INDEX snapshot_of_rule`, `DROP INDEX target_of_customer`, `DROP INDEX target_implausible`, `DROP INDEX target_refused`,
				`DROP TABLE pause`, `CREATE TABLE pause (scope TEXT NOT NULL, provider TEXT NOT NULL, id TEXT NOT NULL, until_at BIGINT,
					reason TEXT NOT NULL, by_whom TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (scope, provider, id))`,
				`ALTER TABLE target DROP COLUMN unused`, `ALTER TABLE target DROP COLUMN unused_until`,
				`ALTER TABLE target DROP COLUMN unused_day`, `ALTER TABLE target DROP COLUMN unused_today`,
				`DROP TABLE fall`, `DROP INDEX purchase_expiring`, `ALTER TABLE target DROP COLUMN doubted_at`,
				`ALTER TABLE provider DROP COLUMN quarantined_at`, `ALTER TABLE provider DROP COLUMN quarantine_held`,
				`ALTER TABLE provider DROP COLUMN quarantine_witness`, `ALTER TABLE provider DROP COLUMN known_at`,
				`ALTER TABLE snapshot DROP COLUMN judged_micro`, `ALTER TABLE snapshot DROP COLUMN judged_at`,
				`DROP TABLE watched`, `DROP TABLE raised`, `DROP TABLE raised_bought`, `DROP TABLE change_count`,
				`DROP TABLE canary`, `DROP TABLE refund`, `DROP TABLE refusal`, `DROP TABLE refused_rule`, `ALTER TABLE target DROP COLUMN refusals`, `ALTER TABLE target DROP COLUMN refusal`,
				`ALTER TABLE target DROP COLUMN refusal_rule`, `ALTER TABLE target DROP COLUMN refusal_version`,
				`DROP INDEX action_acknowledged_once`, `DROP INDEX cap_window_now`,
				`DELETE FROM goose_db_version WHERE version_id > 2`,
			) {
				if _, err := rawSQL(t, url).ExecContext(t.Context(), step); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.CheckSchema(t.Context()); !errors.Is(err, ledger.ErrSchemaTooOld) {
				t.Fatalf("CheckSchema = %v, want ErrSchemaTooOld", err)
			}
			applied, err := s.Migrate(t.Context())
			if err != nil || len(applied) != len(migrations(t, engine.name))-2 {
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
