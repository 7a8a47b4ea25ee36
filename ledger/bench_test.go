package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// BenchmarkPurchase is the four transactions of a purchase that goes well:
// plan, permit, yes, credited. BenchmarkFourCommits is the price of four commits
// on the same database, below which nothing durable can go.
func BenchmarkPurchase(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			s := open(b, engine.fresh(b), ledger.Options{})
			const provider = topup.ProviderID("hyperline://bench/")
			ctx := b.Context()
			if err := s.Register(ctx, []ledger.Provider{{ID: provider, Name: "h", Type: "hyperline"}}); err != nil {
				b.Fatal(err)
			}
			lease, ok, err := s.Acquire(ctx, provider, "bench", time.Hour)
			if err != nil || !ok {
				b.Fatal(ok, err)
			}
			n := 0
			for b.Loop() {
				n++
				buyOne(b, s, lease, topup.Target{Provider: provider, Customer: topup.CustomerID(fmt.Sprintf("cus_%d", n)), Product: "itm"})
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "purchases/s")
		})
	}
}

func buyOne(b *testing.B, s *ledger.Store, lease topup.Lease, target topup.Target) {
	b.Helper()
	ctx := b.Context()
	must := func(p topup.Purchase, err error) topup.Purchase {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	id, _ := topup.NewID()
	key, _ := topup.NewKey()
	token, _ := topup.NewToken()
	standing, err := s.Standing(ctx, target)
	if err != nil {
		b.Fatal(err)
	}
	request := topup.Request{Method: "POST", Path: "/p", Body: []byte(`{"credit_count":120}`)}
	p := must(s.Plan(ctx, topup.PlanRequest{
		Purchase: topup.Purchase{
			ID: id, Target: target, ProviderName: "h", Rule: "r", RuleVersion: "v", Terms: []byte("{}"),
			Credits: 120 * topup.Credit, Price: topup.Money{Minor: 20000, Currency: "EUR"}, PriceID: "pri",
			Key: key, Request: request, Fingerprint: request.Fingerprint(), Policy: topup.PolicyRetry,
			QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second, MaxReadingAge: 2 * time.Minute,
			Declines:  topup.DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
			Threshold: topup.Credit, ReadAt: standing.Now, RefreshedAt: standing.Now,
			State: topup.Planned, Payment: topup.PaymentNone,
		},
		Lease: lease, Facts: topup.Facts{Version: standing.Version, At: standing.Now, MaxAge: time.Minute},
	}))
	p = must(s.Permit(ctx, topup.PermitRequest{Purchase: p, Token: token, Replica: "bench", Lease: lease}))
	yes := topup.Answer{Verdict: topup.Accepted, Reference: "inv_" + id, Written: 1}
	p = must(s.Answer(ctx, topup.AnswerRequest{Purchase: p, Permit: token, Answer: yes, Change: func(row topup.Purchase, now time.Time) topup.Change {
		return topup.Answered(row, yes, true, now)
	}}))
	row := standing.Now
	next := p
	next.State, next.Payment, next.RowAt, next.NextLookAt = topup.Credited, topup.PaymentPaid, &row, nil
	must(s.Advance(ctx, topup.Change{Next: next, Lift: true}))
}

// BenchmarkFourCommits writes the smallest durable thing that the ledger has, a
// pause, four times.
func BenchmarkFourCommits(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			s := open(b, engine.fresh(b), ledger.Options{})
			ctx := b.Context()
			n := 0
			for b.Loop() {
				n++
				for range 4 {
					if _, err := s.Pause(ctx, topup.Pause{Scope: topup.PauseAll, Reason: "bench", By: "bench"}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
