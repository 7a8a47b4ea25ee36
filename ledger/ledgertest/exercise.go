package ledgertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// Opener opens a fresh, migrated ledger that is closed when the test ends.
type Opener func(t testing.TB, o ledger.Options) *ledger.Store

// Exercise is the store's contract: every ledger passes every test.
func Exercise(t *testing.T, open Opener) {
	for _, part := range []struct {
		name  string
		tests map[string]func(*testing.T, Opener)
	}{
		{"plan", planning},
		{"permit", permitting},
		{"advance", advancing},
		{"answer", answering},
		{"rewind", rewinding},
		{"import", importing},
		{"proving prices", proving},
		{"refusing", refusing},
		{"refunding", refunding},
		{"caps", capping},
		{"leases", leasing},
		{"people", people},
		{"changes", changing},
		{"standing", standings},
		{"falls", falling},
		{"corrections", correcting},
		{"history", history},
		{"evaluations", evaluating},
		{"verifying", verifying},
		{"capabilities", capabilities},
		{"races", races},
		{"retaining", retaining},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range slices.Sorted(keys(part.tests)) {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					part.tests[name](t, open)
				})
			}
		})
	}
}

func keys(m map[string]func(*testing.T, Opener)) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// noon is when every test with a clock of its own begins.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// clock is a database clock that stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const (
	hyperline = topup.ProviderID("hyperline://api.hyperline.co/")
	voice     = topup.ProviderID("talkover://app.talkover.ai/env-1")
	holder    = "host-1:4711"
	token     = "fingerprint-of-token-1"
)

var acme = topup.Target{Provider: hyperline, Customer: "cus_acme", Product: "itm_credits"}

// desk is a ledger with two registered providers, the lease of both, and a
// clock: what a test works at.
type desk struct {
	t      testing.TB
	store  *ledger.Store
	clock  *clock
	leases map[topup.ProviderID]topup.Lease
}

func newDesk(t testing.TB, open Opener) *desk {
	t.Helper()
	return newDeskOf(t, open, noon)
}

// newDeskOf is a desk of another day.
func newDeskOf(t testing.TB, open Opener, day time.Time) *desk {
	t.Helper()
	c := &clock{now: day}
	d := &desk{t: t, store: open(t, ledger.Options{Now: c.Now}), clock: c, leases: map[topup.ProviderID]topup.Lease{}}
	d.must(d.store.Register(t.Context(), []ledger.Provider{
		{ID: hyperline, Name: "hyperline", Type: "hyperline"},
		{ID: voice, Name: "voice", Type: "talkover"},
	}))
	d.acquireAll()
	return d
}

// acquireAll takes the leases of both providers for an hour.
func (d *desk) acquireAll() {
	d.t.Helper()
	for _, provider := range []topup.ProviderID{hyperline, voice} {
		lease, ok, err := d.store.Acquire(d.ctx(), provider, holder, time.Hour)
		d.must(err)
		if !ok {
			d.t.Fatalf("the lease of %s is taken", provider)
		}
		d.leases[provider] = lease
	}
}

func (d *desk) ctx() context.Context { return d.t.Context() }

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// request asks to plan for the target, on facts read now; each change spoils or
// varies one thing.
func (d *desk) request(target topup.Target, change ...func(*topup.PlanRequest)) topup.PlanRequest {
	d.t.Helper()
	standing, err := d.store.Standing(d.ctx(), target)
	d.must(err)
	id, err := topup.NewID()
	d.must(err)
	key, err := topup.NewKey()
	d.must(err)
	expires := noon.AddDate(0, 3, 0)
	request := topup.Request{Method: "POST", Path: "/v1/customers/" + string(target.Customer) + "/credits/purchase", Body: []byte(`{"credit_count":600}`)}
	r := topup.PlanRequest{
		Purchase: topup.Purchase{
			ID: id, Target: target, ProviderName: "hyperline", CustomerName: "Acme", ProductName: "API credits",
			Rule: "api-credits", RuleVersion: "v1", Terms: []byte(`{"name":"api-credits"}`),
			Credits: 600 * topup.Credit, Price: eur(900_00), PriceID: "pri_9large", ExpiresAt: &expires,
			Key: key, Request: request, Fingerprint: request.Fingerprint(), Policy: topup.PolicyRetry,
			QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second,
			Declines:      topup.DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
			MaxReadingAge: 2 * time.Minute, BalanceBefore: 41_200_000, Threshold: 100 * topup.Credit,
			ReadAt: standing.Now.Add(-time.Second), RefreshedAt: standing.Now.Add(-time.Minute), Baseline: []string{"inv_0", "row_0"},
		},
		Lease:            d.leases[target.Provider],
		Facts:            topup.Facts{Version: standing.Version, At: standing.Now, MaxAge: 2 * time.Minute},
		TokenFingerprint: token,
		Evidence:         []topup.Evidence{{Kind: topup.EvidencePlanned, To: topup.Planned, Text: "balance 41.2 below 100"}},
	}
	if target != acme { // prices of their own: nobody waits for another's bill
		r.Purchase.PriceID = "pri_of_" + string(target.Customer)
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func (d *desk) plan(target topup.Target, change ...func(*topup.PlanRequest)) topup.Purchase {
	d.t.Helper()
	p, err := d.store.Plan(d.ctx(), d.request(target, change...))
	d.must(err)
	return p
}

// permission asks for the first permit of a purchase.
func (d *desk) permission(p topup.Purchase, change ...func(*topup.PermitRequest)) topup.PermitRequest {
	d.t.Helper()
	secret, err := topup.NewToken()
	d.must(err)
	r := topup.PermitRequest{
		Purchase: p, Token: secret, Replica: holder, Lease: d.leases[p.Target.Provider], TokenFingerprint: token,
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// repeat asks for one more permit, on facts read now.
func (d *desk) repeat(p topup.Purchase, change ...func(*topup.PermitRequest)) topup.PermitRequest {
	d.t.Helper()
	standing, err := d.store.Standing(d.ctx(), p.Target)
	d.must(err)
	return d.permission(p, append([]func(*topup.PermitRequest){func(r *topup.PermitRequest) {
		r.Repeat = true
		r.Facts = topup.Facts{Version: standing.Version, At: standing.Now, MaxAge: 2 * time.Minute}
		r.ServerTime = standing.Now
	}}, change...)...)
}

func (d *desk) permit(r topup.PermitRequest) topup.Purchase {
	d.t.Helper()
	p, err := d.store.Permit(d.ctx(), r)
	d.must(err)
	return p
}

// send plans and permits.
func (d *desk) send(target topup.Target, change ...func(*topup.PlanRequest)) topup.Purchase {
	d.t.Helper()
	return d.permit(d.permission(d.plan(target, change...)))
}

// step is a change of a purchase.
func step(p topup.Purchase, change func(*topup.Change)) topup.Change {
	c := topup.Change{Next: p}
	change(&c)
	return c
}

func (d *desk) advance(p topup.Purchase, change func(*topup.Change)) topup.Purchase {
	d.t.Helper()
	next, err := d.store.Advance(d.ctx(), step(p, change))
	d.must(err)
	return next
}

// reply is an answer to the newest permit of a purchase, as its sender stores it
// where the provider keeps books.
func reply(p topup.Purchase, a topup.Answer) topup.AnswerRequest {
	return topup.AnswerRequest{Purchase: p, Permit: p.PermitToken, Answer: a, Change: func(row topup.Purchase, now time.Time) topup.Change {
		c, _ := topup.Replied(row, topup.Reply{Answer: a, Permit: p.PermitToken, Books: true}, now)
		return c
	}}
}

func (d *desk) answer(p topup.Purchase, a topup.Answer) topup.Purchase {
	d.t.Helper()
	next, err := d.store.Answer(d.ctx(), reply(p, a))
	d.must(err)
	return next
}

// to are changes that take a purchase to a state as its life does.
func confirmed(reference string) func(*topup.Change) {
	return func(c *topup.Change) {
		c.Next.State, c.Next.Reference, c.Next.ReferenceBy = topup.Confirmed, reference, "answer"
		c.Next.Payment, c.Priced = topup.PaymentPending, true
	}
}

func credited(c *topup.Change) { c.Next.State, c.Next.NextLookAt = topup.Credited, nil }

func cancelled(c *topup.Change) {
	c.Next.State, c.Next.NextLookAt, c.Next.Reason = topup.Cancelled, nil, topup.FailedThrottled
}

// refused is a listed no at a provider without books.
func refused(c *topup.Change) {
	c.Next.State, c.Next.NextLookAt, c.Next.Reason = topup.Declined, nil, topup.FailedDeclined
	c.Decline = true
}

// silent waits out the quiet period and stores two complete empty looks.
func (d *desk) silent(p topup.Purchase) topup.Purchase {
	d.t.Helper()
	d.clock.forward(p.QuietPeriod)
	d.must(d.renewed(p.Target.Provider))
	return d.advance(p, func(c *topup.Change) {
		at := d.clock.Now()
		c.Next.EmptyLooks, c.Next.EmptyLookAt, c.Next.LookedAt = 2, &at, &at
	})
}

func (d *desk) renewed(provider topup.ProviderID) error {
	ok, err := d.store.Renew(d.ctx(), d.leases[provider], time.Hour)
	if err == nil && !ok {
		err = fmt.Errorf("the lease of %s ran out", provider)
	}
	return err
}

func (d *desk) standing(target topup.Target) topup.Standing {
	d.t.Helper()
	s, err := d.store.Standing(d.ctx(), target)
	d.must(err)
	return s
}

func eur(minor int64) topup.Money { return topup.Money{Minor: minor, Currency: "EUR"} }

// customer makes a target of its own.
func customer(n int) topup.Target {
	return topup.Target{Provider: hyperline, Customer: topup.CustomerID(fmt.Sprintf("cus_%d", n)), Product: acme.Product}
}
