package topup

import (
	"strings"
	"testing"
	"time"
)

// TestWhatCouldBeThePurchaseIsNamedOrRefused: P3. Beside an unpaid invoice of
// another amount nobody says not-charged without naming it: both would be
// collected.
func TestWhatCouldBeThePurchaseIsNamedOrRefused(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	bill := func(id string) Invoice {
		return Invoice{ID: id, Amount: Money{Minor: 22000, Currency: "EUR"}, Status: "to_pay", Payment: PaymentPending, At: at}
	}
	for _, tt := range []struct {
		name     string
		seen     Candidates
		named    []string
		external int
		refused  string // "" = allowed
	}{
		{"nothing", Candidates{}, nil, 0, ""},
		{"an undecided invoice", Candidates{Undecided: []Invoice{bill("inv_1")}}, nil, 0, "inv_1 of 220.00 EUR, to_pay"},
		{"the same, named", Candidates{Undecided: []Invoice{bill("inv_1")}}, []string{"inv_1"}, 1, ""},
		{"one of two named", Candidates{Undecided: []Invoice{bill("inv_1"), bill("inv_2")}}, []string{"inv_1"}, 0, "inv_2"},
		{"both named", Candidates{Undecided: []Invoice{bill("inv_1"), bill("inv_2")}}, []string{"inv_2", "inv_1"}, 2, ""},
		{"a match cannot be named away", Candidates{Matches: []Match{{ID: "inv_1", At: at}}}, []string{"inv_1"}, 0, "claims it by itself"},
		{"a name that is none of them", Candidates{Undecided: []Invoice{bill("inv_1")}}, []string{"inv_1", "inv_9"}, 0, "--external inv_9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.seen.External(tt.named)
			switch {
			case tt.refused == "" && (err != nil || len(got) != tt.external):
				t.Errorf("%d external, %v; want %d", len(got), err, tt.external)
			case tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)):
				t.Errorf("%v, want a refusal with %q", err, tt.refused)
			}
		})
	}
}

// TestANamedReferenceIsLookedUp: it must be in this customer's books, fit, and
// explain no other purchase; else the error says what it is, and what could be it.
func TestANamedReferenceIsLookedUp(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	bill := func(id string, minor int64, payment Payment) Invoice {
		return Invoice{ID: id, Amount: Money{Minor: minor, Currency: "EUR"}, Status: string(payment), Payment: payment, At: at}
	}
	right, void, dearer, theirs := bill("inv_1", 20000, PaymentPaid), bill("inv_void", 20000, PaymentVoid), bill("inv_dear", 22000, PaymentPending), bill("inv_theirs", 5000, PaymentPaid)
	c := Candidates{
		Purchase: Purchase{SentAt: &at, Price: Money{Minor: 20000, Currency: "EUR"}, Credits: 120 * Credit, Baseline: []string{"inv_old"}},
		Books: Books{
			Invoices: []Invoice{right, void, dearer, theirs},
			Topups:   []Topup{{ID: "cdt_gift", Credits: 5 * Credit, At: at}},
		},
		Claimed:   map[string]bool{"inv_claimed": true},
		Matches:   []Match{{ID: "inv_1", Invoice: &right, Row: &Topup{ID: "cdt_1"}, At: at}, {ID: "inv_void", Invoice: &void, At: at}},
		Undecided: []Invoice{dearer},
	}
	for _, tt := range []struct{ reference, id, says string }{
		{"inv_1", "inv_1", ""},
		{"cdt_1", "inv_1", ""}, // by its ledger row
		{"inv_dear", "inv_dear", ""},
		{"inv_void", "", "inv_void is void"},
		{"inv_claimed", "", "inv_claimed explains another purchase; what could be it: inv_1 of 200.00 EUR, paid (2026-11-20T12:00:00Z)"},
		{"inv_old", "", "was there before this purchase was sent"},
		{"inv_theirs", "", "inv_theirs does not fit: it is of 50.00 EUR, paid (2026-11-20T12:00:00Z), and this purchase was 200.00 EUR"},
		{"cdt_gift", "", "cdt_gift does not fit: it is 5 credits"},
		{"inv_nope", "", "the provider's books have no inv_nope of this customer since 2026-11-20T11:58:00Z"},
		{strings.Repeat("x", 5000), "", "have no " + strings.Repeat("x", 79)},
	} {
		m, err := c.Named(tt.reference)
		switch {
		case tt.says == "" && (err != nil || m.ID != tt.id):
			t.Errorf("%.20s: %v, %v; want %s", tt.reference, m, err, tt.id)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 500):
			t.Errorf("%.20s: %v, want a refusal with %q", tt.reference, err, tt.says)
		}
	}
	if err := c.Unnamed(); err == nil || !strings.Contains(err.Error(), "name it with --reference") {
		t.Errorf("without a reference: %v", err)
	}
}
