package ledger_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// TestAnAnswerWaitsForThePermit: P2. The commit of a permit is in doubt and still
// under way when its sender takes it back. Read without a lock, the row is
// planned, nothing is taken back, and then the commit lands: sent, with nothing
// sent.
func TestAnAnswerWaitsForThePermit(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			s := open(t, url, ledger.Options{})
			p := plannedPurchase(t, s)
			token, err := topup.NewToken()
			if err != nil {
				t.Fatal(err)
			}
			conn, err := rawSQL(t, url).Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			permitUnderWay(t, conn, engine.name, p, token)

			type answered struct {
				p   topup.Purchase
				err error
			}
			done := make(chan answered, 1)
			go func() {
				unsent := topup.Answer{Verdict: topup.NotRun}
				got, err := s.Answer(context.WithoutCancel(t.Context()), topup.AnswerRequest{Purchase: p, Permit: token, Answer: unsent, Change: func(row topup.Purchase, now time.Time) topup.Change {
					c, _ := topup.Replied(row, topup.Reply{Answer: unsent, Permit: token, Books: true}, now)
					return c
				}})
				done <- answered{got, err}
			}()
			select {
			case early := <-done:
				t.Fatalf("answered as %s, %v, before the permit's commit", early.p.State, early.err)
			case <-time.After(300 * time.Millisecond): // it waits; more time would only show the same
			}
			if _, err := conn.ExecContext(t.Context(), `COMMIT`); err != nil {
				t.Fatal(err)
			}
			if got := <-done; got.err != nil || got.p.State != topup.Cancelled || got.p.Attempts != 0 {
				t.Errorf("after the commit: %s, %d attempts, %v; want cancelled with none", got.p.State, got.p.Attempts, got.err)
			}
		})
	}
}

// permitUnderWay does what Permit does, up to its commit.
func permitUnderWay(t *testing.T, conn *sql.Conn, engine string, p topup.Purchase, token string) {
	t.Helper()
	begin, lock := `BEGIN`, ` FOR UPDATE`
	if engine == "sqlite" {
		begin, lock = `BEGIN IMMEDIATE`, ``
	}
	for _, statement := range []string{
		begin,
		`SELECT id FROM purchase WHERE id = '` + p.ID + `'` + lock,
		`INSERT INTO permit (purchase_id, n, token, replica, at, idempotency_key, fingerprint, token_fingerprint, term)
			SELECT id, 1, '` + token + `', 'test', planned_at, idempotency_key, fingerprint, 'fp', 1 FROM purchase WHERE id = '` + p.ID + `'`,
		`UPDATE purchase SET revision = revision + 1, state = 'sent', permit_token = '` + token + `', permit_at = planned_at,
			sent_at = planned_at, last_sent_at = planned_at, attempts = 1 WHERE id = '` + p.ID + `'`,
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
