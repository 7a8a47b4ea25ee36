package main

import (
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

// TestWhatCouldBeThePurchaseIsNamedOrRefused: P3. Beside an unpaid invoice of
// another amount nobody says not-charged without naming it: both would be
// collected.
func TestWhatCouldBeThePurchaseIsNamedOrRefused(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	bill := func(id string) topup.Invoice {
		return topup.Invoice{ID: id, Amount: topup.Money{Minor: 22000, Currency: "EUR"}, Status: "to_pay", Payment: topup.PaymentPending, At: at}
	}
	for _, tt := range []struct {
		name     string
		seen     candidates
		named    []string
		external int
		refused  string // "" = allowed
	}{
		{"nothing", candidates{}, nil, 0, ""},
		{"an undecided invoice", candidates{undecided: []topup.Invoice{bill("inv_1")}}, nil, 0, "inv_1 of 220.00 EUR, to_pay"},
		{"the same, named", candidates{undecided: []topup.Invoice{bill("inv_1")}}, []string{"inv_1"}, 1, ""},
		{"one of two named", candidates{undecided: []topup.Invoice{bill("inv_1"), bill("inv_2")}}, []string{"inv_1"}, 0, "inv_2"},
		{"both named", candidates{undecided: []topup.Invoice{bill("inv_1"), bill("inv_2")}}, []string{"inv_2", "inv_1"}, 2, ""},
		{"a match cannot be named away", candidates{matches: []topup.Match{{ID: "inv_1", At: at}}}, []string{"inv_1"}, 0, "claims it by itself"},
		{"a name that is none of them", candidates{undecided: []topup.Invoice{bill("inv_1")}}, []string{"inv_1", "inv_9"}, 0, "--external inv_9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.seen.external(tt.named, func(time.Time) string { return "12:00" })
			switch {
			case tt.refused == "" && (err != nil || len(got) != tt.external):
				t.Errorf("%d external, %v; want %d", len(got), err, tt.external)
			case tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)):
				t.Errorf("%v, want a refusal with %q", err, tt.refused)
			}
		})
	}
}
