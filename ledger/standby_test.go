package ledger_test

import (
	"testing"

	"topupd/ledger/ledgertest"
)

func TestAPairLosesWhatItsStandbyDidNotReceive(t *testing.T) {
	t.Parallel()
	pair := ledgertest.NewPair(t, ledgertest.Asynchronous)
	db := rawSQL(t, pair.DSN)
	for _, statement := range []string{`CREATE TABLE seen (n INT)`, `INSERT INTO seen VALUES (1)`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	pair.AwaitCaughtUp()
	pair.StopReceiving()
	if _, err := db.ExecContext(t.Context(), `INSERT INTO seen VALUES (2)`); err != nil {
		t.Fatal(err)
	}
	pair.KillPrimary()
	pair.Promote()
	if n := count(t, rawSQL(t, pair.DSN), `SELECT max(n) FROM seen`); n != 1 {
		t.Errorf("the newest row after the promotion is %d, want 1", n)
	}
}
