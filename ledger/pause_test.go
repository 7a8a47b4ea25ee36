package ledger_test

import (
	"database/sql"
	"testing"

	"topupd/ledger"
	"topupd/ledger/ledgertest"
	"topupd/topup"
)

// P12 to the letter: a transaction that has already looked for pauses is waited
// for, so that nothing is planned or permitted after Pause has returned.
func TestAPauseWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		table string // locked by the test: the transaction stops there, after its look at the pauses
		start func(*testing.T, *ledger.Store) func() error
	}{
		{"a permit", "permit", func(t *testing.T, s *ledger.Store) func() error {
			r := permission(t, plannedPurchase(t, s), takeLease(t, s))
			return func() error { _, err := s.Permit(t.Context(), r); return err }
		}},
		{"a plan", "cap_window", func(t *testing.T, s *ledger.Store) func() error {
			earlier := plannedPurchase(t, s) // a target that is new would lock its provider by itself
			earlier.State, earlier.Reason = topup.Cancelled, topup.FailedOther
			if _, err := s.Advance(t.Context(), topup.Change{Next: earlier}); err != nil {
				t.Fatal(err)
			}
			r := planRequest(t, s, earlier.Target.Customer)
			return func() error { _, err := s.Plan(t.Context(), r); return err }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn := ledgertest.Postgres(t)
			direct := rawSQL(t, dsn)
			var schema string
			if err := direct.QueryRowContext(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
				t.Fatal(err)
			}
			s := open(t, dsn+"&lock_timeout=60000&statement_timeout=60000&application_name="+schema, ledger.Options{})
			run := tt.start(t, s)
			obstacle := lockTable(t, direct, tt.table)
			waiting := func(n int) func() bool {
				return func() bool {
					return count(t, direct, `SELECT count(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`, schema) == n
				}
			}
			done, paused := make(chan error, 1), make(chan error, 1)
			go func() { done <- run() }()
			eventually(t, "the transaction stops at the obstacle", waiting(1))
			go func() {
				_, err := s.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "stop"})
				paused <- err
			}()
			eventually(t, "the pause waits for the transaction", waiting(2))
			if err := obstacle.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("the transaction under way: %v", err)
			}
			if err := <-paused; err != nil {
				t.Errorf("Pause = %v", err)
			}
		})
	}
}

func lockTable(t *testing.T, db *sql.DB, table string) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE `+table+` IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	return tx
}
