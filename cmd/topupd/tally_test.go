package main

import (
	"context"
	"testing"
	"time"

	"topupd/topup"
)

// spentSoFar is a ledger that has counted the same in every window.
type spentSoFar struct {
	purchases int64
	spend     topup.Money
	reads     int
}

func (s *spentSoFar) Spent(context.Context, topup.CapScope, topup.ProviderID, string, topup.CapPeriod) (int64, []topup.Money, error) {
	s.reads++
	return s.purchases, []topup.Money{s.spend}, nil
}

func TestTallyCountsThePlanOnTopOfTheLedger(t *testing.T) {
	t.Parallel()
	eur := func(minor int64) topup.Money { return topup.Money{Minor: minor, Currency: "EUR"} }
	ada := topup.Target{Provider: "p", Customer: "ada", Product: "credits"}
	bo := topup.Target{Provider: "p", Customer: "bo", Product: "credits"}
	for _, tt := range []struct {
		name  string
		cap   topup.Cap
		price topup.Money
		want  bool // refused
	}{
		{"a cap may be reached", topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 500_00}, eur(200_00), false},
		{"but not passed by a cent", topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 499_99}, eur(200_00), true},
		{"another currency does not count", topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "USD", Limit: 1}, eur(200_00), false},
		{"purchases are counted too", topup.Cap{Scope: topup.CapProvider, Period: topup.CapHour, Limit: 2}, eur(1), true},
		{"three are allowed", topup.Cap{Scope: topup.CapProvider, Period: topup.CapHour, Limit: 3}, eur(1), false},
		{"the rule's windows hold what it bought for others", topup.Cap{Scope: topup.CapRule, Period: topup.CapMonth, Limit: 2}, eur(1), true},
		{"a customer's do not", topup.Cap{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 2}, eur(1), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ledger := &spentSoFar{purchases: 1, spend: eur(100_00)}
			tally := newTally(ledger)
			tally.add(bo, "rule", eur(200_00))
			for range 2 { // the ledger is asked once
				over, err := tally.over(t.Context(), ada, "rule", tt.price, []topup.Cap{tt.cap}, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if (over != nil) != tt.want {
					t.Errorf("over = %v, want refused = %v", over, tt.want)
				}
			}
			if ledger.reads > 1 {
				t.Errorf("the ledger was asked %d times for one window", ledger.reads)
			}
		})
	}
}
