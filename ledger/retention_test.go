package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// ended plans, sends and settles a purchase at a time of long ago, with a look
// and an answer in its history.
func ended(t *testing.T, url string, customer topup.CustomerID, ago time.Duration, payment topup.Payment) topup.Purchase {
	t.Helper()
	now := time.Now().Add(-ago)
	s := open(t, url, ledger.Options{Now: func() time.Time { return now }})
	lease := takeLease(t, s)
	p, err := s.Plan(t.Context(), requestUnder(t, s, lease, customer))
	if err != nil {
		t.Fatal(err)
	}
	if p, err = s.Permit(t.Context(), permission(t, p, lease)); err != nil {
		t.Fatal(err)
	}
	for _, state := range []topup.State{topup.Confirmed, topup.Credited} {
		next := p
		next.State, next.Reference, next.ReferenceBy, next.Payment, next.NextLookAt = state, "inv_"+string(customer), "answer", payment, nil
		p, err = s.Advance(t.Context(), topup.Change{Next: next, Evidence: []topup.Evidence{{Kind: topup.EvidenceLook}, {Kind: topup.EvidenceAnswer}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// Retention may delete exactly the steps between of purchases that ended long
// ago; a mistake in it, or a person with psql, may delete nothing else.
func TestOnlyOldStepsMayBeDeleted(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			url := engine.fresh(t)
			old := ended(t, url, "cus_old", 200*day, topup.PaymentPaid)
			unpaid := ended(t, url, "cus_unpaid", 100*day, topup.PaymentFailed)
			young := ended(t, url, "cus_young", 80*day, topup.PaymentPaid)
			sent := sentPurchase(t, open(t, url, ledger.Options{}))
			db := rawSQL(t, url)
			for _, tt := range []struct {
				what    string
				of      topup.Purchase
				kind    string
				refused bool
			}{
				{"an old look", old, "look", false},
				{"an old plan", old, "planned", false},
				{"an old answer", old, "answer", true},
				{"an old permit", old, "permit", true},
				{"an old look of an unpaid one", unpaid, "look", true},
				{"a young look", young, "look", true},
				{"the plan of one that is open", sent, "permit", true},
			} {
				err := attempt(t, db, fmt.Sprintf(`DELETE FROM evidence WHERE purchase_id = '%s' AND kind = '%s'`, tt.of.ID, tt.kind))
				if tt.refused != (err != nil && strings.Contains(err.Error(), "evidence_is_kept")) {
					t.Errorf("deleting %s: %v; refused should be %t", tt.what, err, tt.refused)
				}
			}
		})
	}
}
