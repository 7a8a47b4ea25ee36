package ledger_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// rawSQL reaches the database past the ledger, as a mistake in a later version
// or a person with psql would.
func rawSQL(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, name := "postgres", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// sentPurchase plans and permits one purchase on the database clock.
func sentPurchase(t *testing.T, s *ledger.Store) topup.Purchase {
	t.Helper()
	p, err := s.Permit(t.Context(), permission(t, plannedPurchase(t, s), takeLease(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const provider = topup.ProviderID("hyperline://api.hyperline.co/")

func takeLease(t *testing.T, s *ledger.Store) topup.Lease {
	t.Helper()
	if err := s.Register(t.Context(), []ledger.Provider{{ID: provider, Name: "hyperline", Type: "hyperline"}}); err != nil {
		t.Fatal(err)
	}
	lease, ok, err := s.Acquire(t.Context(), provider, "test", time.Hour)
	if err != nil || !ok {
		t.Fatalf("Acquire = %t, %v", ok, err)
	}
	return lease
}

func planRequest(t *testing.T, s *ledger.Store, customer topup.CustomerID) topup.PlanRequest {
	t.Helper()
	return requestUnder(t, s, takeLease(t, s), customer)
}

// requestUnder asks to plan under a lease that the caller has.
func requestUnder(t *testing.T, s *ledger.Store, lease topup.Lease, customer topup.CustomerID) topup.PlanRequest {
	t.Helper()
	target := topup.Target{Provider: provider, Customer: customer, Product: "itm_credits"}
	standing, err := s.Standing(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	id, idErr := topup.NewID()
	key, keyErr := topup.NewKey()
	if idErr != nil || keyErr != nil {
		t.Fatal(idErr, keyErr)
	}
	request := topup.Request{Method: "POST", Path: "/v1/purchase", Body: []byte(`{"credit_count":120}`)}
	return topup.PlanRequest{
		Purchase: topup.Purchase{
			ID: id, Target: target, Rule: "api-credits", Credits: 120 * topup.Credit,
			Price: topup.Money{Minor: 200_00, Currency: "EUR"}, Key: key, Request: request, Fingerprint: request.Fingerprint(),
			Policy: topup.PolicyRetry, QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second,
			Declines: topup.DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
		},
		Lease: lease,
		Facts: topup.Facts{Version: standing.Version, At: standing.Now, MaxAge: 2 * time.Minute},
	}
}

func plannedPurchase(t *testing.T, s *ledger.Store) topup.Purchase {
	t.Helper()
	p, err := s.Plan(t.Context(), planRequest(t, s, "cus_1"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func permission(t *testing.T, p topup.Purchase, lease topup.Lease) topup.PermitRequest {
	t.Helper()
	token, err := topup.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	return topup.PermitRequest{Purchase: p, Token: token, Replica: "test", Lease: lease}
}

func TestTheSchemaRefuses(t *testing.T) {
	t.Parallel()
	const change = `UPDATE purchase SET revision = revision + 1, `
	refusals := []struct {
		name, statement, rule string
	}{
		{"a second open purchase of a target", secondOpen, "purchase_one_open"},
		{"a purchase that begins as sent", strings.Replace(secondOpen, "'planned'", "'sent'", 1), "purchase_begins_unsent"},
		{"another price", change + `price_minor = 1`, "purchase_order_is_frozen"},
		{"other bytes", change + `request_body = ''`, "purchase_order_is_frozen"},
		{"another key", change + `idempotency_key = 'another-key-another-key'`, "purchase_order_is_frozen"},
		{"another customer", change + `customer = 'cus_2'`, "purchase_order_is_frozen"},
		{"a change without a revision", `UPDATE purchase SET payment = 'paid'`, "purchase_revision_grows"},
		{"a revision that goes back", `UPDATE purchase SET revision = 1`, "purchase_revision_grows"},
		{"a step that is not on the chart", change + `state = 'planned'`, "purchase_transition_allowed"},
		{"a permit token without a permit", change + `permit_token = 'invented-invented-invented'`, "purchase_sent_under_a_permit"},
		{"a first send that moves", change + `sent_at = sent_at + 1`, "purchase_first_send_is_frozen"},
		{"a fourth repeat", change + `repeats = 4`, "purchase_at_most_three_repeats"},
		{"a confirmation by nobody", change + `state = 'confirmed'`, "purchase_confirmed_by_reference_or_person"},
		{"a resolution without a note", change + `resolved_by = 'ana'`, "purchase_resolved_with_a_note"},
		{"asking for review before the quiet period is over", change + `state = 'needs_review'`, "purchase_reviewed_after_quiet_period"},
		{"a decline without a reason", change + `state = 'declined', refused = 1, finished_at = 1`, "purchase_declined_has_a_reason"},
		{"a decline that nobody answered and no look supports", change + `state = 'declined', reason = 'not_found', finished_at = 1`, "purchase_declined_by_answer_or_looks"},
		{"an end without its time", change + `state = 'cancelled'`, "purchase_finished_when_final"},
		{"a time without an end", change + `finished_at = 1`, "purchase_finished_when_final"},
		{"a state that nobody knows", change + `state = 'lost'`, "purchase_"},
		{"a deleted purchase", `DELETE FROM purchase`, "purchase_is_kept"},
		{"changed evidence", `UPDATE evidence SET text = ''`, "evidence_is_kept"},
		{"deleted evidence", `DELETE FROM evidence`, "evidence_is_kept"},
		{"a deleted permit", `DELETE FROM permit`, "permit_is_kept"},
		{"a changed permit", `UPDATE permit SET token = 'another-token-another'`, "permit_is_kept"},
		{"a permit that is used again", `UPDATE permit SET used = 0; UPDATE permit SET used = 1`, "permit_is_kept"},
		{"a changed chart", `DELETE FROM purchase_transition`, "purchase_transition_is_kept"},
		{"a term that goes back", `UPDATE provider SET term = 0`, "provider_term_grows"},
		{"a new holder in an old term", `UPDATE provider SET holder = 'thief'`, "provider_term_grows"},
		{"a provider that was seen earlier", `UPDATE provider SET first_seen_at = 0`, "provider_identity_is_frozen"},
		{"a version that goes back", `UPDATE target SET version = 0`, "target_version_grows"},
		{"a cap below zero", `UPDATE cap_window SET total = -1`, "cap_window_total_in_range"},
		{"a deleted cap", `DELETE FROM cap_window`, "cap_window_is_kept"},
		{"an entry of a correction on an open purchase", change + `corrected_at = changed_at`, "purchase_ends_once_or_is_corrected"},
		{"a second acknowledgement", acknowledgement + acknowledgement, "action_acknowledged_once"},
		{"a changed action", acknowledgement + `UPDATE action SET reason = ''`, "action_is_kept"},
		{"a deleted action", acknowledgement + `DELETE FROM action`, "action_is_kept"},
		{"an empty reference", change + `reference = ''`, "purchase_reference_bounded"},
	}
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			sentPurchase(t, open(t, url, ledger.Options{}))
			db := rawSQL(t, url)
			for _, tt := range refusals {
				if err := attempt(t, db, tt.statement); err == nil || !strings.Contains(err.Error(), tt.rule) &&
					!((tt.rule == "purchase_one_open" || tt.rule == "action_acknowledged_once") && strings.Contains(err.Error(), "UNIQUE")) { // SQLite names columns instead
					t.Errorf("%s: %v, want a refusal by %s", tt.name, err, tt.rule)
				}
			}
		})
	}
}

// attempt runs statements and takes them back.
func attempt(t *testing.T, db *sql.DB, statements string) error {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), statements)
	return err
}

// secondOpen copies the one purchase under another id and key.
var secondOpen = func() string {
	columns := []string{
		"provider", "customer", "product", "provider_name", "customer_name", "product_name", "rule", "rule_version", "terms",
		"credits_micro", "price_minor", "price_currency", "price_id", "payment_method_id", "request_method", "request_path",
		"request_body", "fingerprint", "policy", "quiet_period_us", "purchase_timeout_us", "backoff_us", "max_backoff_us",
		"suspend_after", "max_reading_age_us", "balance_micro", "threshold_micro", "baseline", "planned_at", "payment", "changed_at",
	}
	list := strings.Join(columns, ", ")
	return fmt.Sprintf(`INSERT INTO purchase (id, idempotency_key, revision, state, %s)
		SELECT 'another-id', 'another-key-another-key', 1, 'planned', %s FROM purchase`, list, list)
}()

func TestTheChartIsTheOneOfTheProgram(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		url := engine.fresh(t)
		open(t, url, ledger.Options{})
		rows, err := rawSQL(t, url).QueryContext(t.Context(), `SELECT from_state, to_state FROM purchase_transition`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		stored := map[[2]topup.State]bool{}
		for rows.Next() {
			var pair [2]topup.State
			if err := rows.Scan(&pair[0], &pair[1]); err != nil {
				t.Fatal(err)
			}
			stored[pair] = true
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, from := range topup.States() {
			for _, to := range topup.States() {
				known := topup.Allowed(from, to) || topup.Correctable(from, to)
				if from != to && stored[[2]topup.State{from, to}] != known {
					t.Errorf("%s: %s to %s is stored as %t, known %t", engine.name, from, to, stored[[2]topup.State{from, to}], known)
				}
			}
		}
	}
}

func TestSQLiteKeepsNumbersWhole(t *testing.T) {
	t.Parallel()
	url := engines[1].fresh(t)
	sentPurchase(t, open(t, url, ledger.Options{}))
	db := rawSQL(t, url)
	for _, statement := range []string{
		`UPDATE cap_window SET total = 10.5`,
		`UPDATE cap_window SET total = '12abc'`,
		`UPDATE purchase SET revision = revision + 1, attempts = 1.5`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "whole") {
			t.Errorf("%s: %v, want a refusal", statement, err)
		}
	}
}

// acknowledgement stores one, past the ledger.
const acknowledgement = `INSERT INTO action (id, at, kind, scope, provider, subject, by_whom, reason, effect)
	SELECT CAST(count(*) AS TEXT), 1, 'acknowledge', '', '', 'd-0123456789ab', 'ana', 'why', '' FROM action;`
