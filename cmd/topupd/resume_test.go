package main

import (
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

func TestLiftedLinesNameEverything(t *testing.T) {
	t.Parallel()
	got := liftedLines(ledger.Resumed{Suspensions: 2, Refunds: 1, Implausible: 3, Stop: true, Hold: true, Quarantine: true})
	if len(got) != 6 || liftedLines(ledger.Resumed{}) != nil {
		t.Errorf("liftedLines = %q", got)
	}
}

func TestOverlappingPauses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	customer := topup.Pause{Scope: topup.PauseCustomer, Provider: "p", Subject: "c"}
	for _, tt := range []struct {
		name    string
		pause   topup.Pause
		resumed topup.Pause
		want    bool
	}{
		{"everything covers a customer", topup.Pause{Scope: topup.PauseAll}, customer, true},
		{"but not when it is over", topup.Pause{Scope: topup.PauseAll, Until: &now}, customer, false},
		{"the provider covers its customer", topup.Pause{Scope: topup.PauseProvider, Provider: "p"}, customer, true},
		{"another provider does not", topup.Pause{Scope: topup.PauseProvider, Provider: "q"}, customer, false},
		{"a customer everywhere covers the customer here", topup.Pause{Scope: topup.PauseCustomer, Subject: "c"}, customer, true},
		{"another customer does not", topup.Pause{Scope: topup.PauseCustomer, Subject: "d"}, customer, false},
		{"a provider may hold a resumed rule", topup.Pause{Scope: topup.PauseProvider, Provider: "p"}, topup.Pause{Scope: topup.PauseRule, Subject: "r"}, true},
		{"a customer is part of everything", customer, topup.Pause{Scope: topup.PauseAll}, true},
		{"a customer is part of the provider", customer, topup.Pause{Scope: topup.PauseProvider, Provider: "p"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := overlaps(tt.pause, tt.resumed, now); got != tt.want {
				t.Errorf("overlaps = %v, want %v", got, tt.want)
			}
		})
	}
}
