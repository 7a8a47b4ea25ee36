// Package verifytest makes a month of purchases, in an emulated provider's records
// and in a ledger, for the tests of whoever compares the two.
package verifytest

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/config"
	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/topup"
)

// Month is a month of purchases, in the emulated provider's books and in a
// ledger, and a connection between the two without a rate limit.
type Month struct {
	Now       time.Time // of every clock
	World     *emulator.Emulator
	URL       string // of its server
	Customers []string
	Store     *ledger.Store
	Provider  config.Provider

	t     testing.TB
	lease topup.Lease
	n     int
}

// MonthEnd is when every month ends: noon.
var MonthEnd = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// MonthDays is how long a month is.
const MonthDays = 30

// NewMonth makes one of a ledger in memory.
func NewMonth(t testing.TB, customers int) *Month {
	t.Helper()
	return NewMonthIn(t, "sqlite::memory:", customers)
}

// NewMonthIn has its ledger in a database.
func NewMonthIn(t testing.TB, database string, customers int) *Month {
	t.Helper()
	m := &Month{t: t, Now: MonthEnd.AddDate(0, 0, -MonthDays)}
	clock := func() time.Time { return m.Now }
	same := emulator.Range{Min: decimal.MustNew(500, 0), Max: decimal.MustNew(500, 0)}
	m.World = emulator.New(emulator.Options{
		Seed: 11, Now: clock,
		Hyperline: emulator.HyperlineOptions{Customers: customers, NoUsage: true, StartBalance: same, Reads: -1, Writes: -1},
	})
	server := httptest.NewServer(m.World.Handler())
	t.Cleanup(server.Close)
	for _, c := range m.World.Customers() {
		m.Customers = append(m.Customers, c.ID)
	}
	base, err := url.Parse(server.URL)
	m.Must(err)
	m.Provider = config.Provider{
		Name: "hyperline", Type: topup.Hyperline, BaseURL: base, Token: config.NewSecret(emulator.DefaultToken),
		RateLimit:       config.RateLimit{Reads: config.Rate{Count: 999_999, Window: time.Second}, Writes: config.Rate{Count: 999_999, Window: time.Second}, SharePercent: 100},
		PurchaseTimeout: 75 * time.Second, UnknownOutcome: config.UnknownOutcome{Policy: config.Retry, QuietPeriod: 15 * time.Minute},
	}
	m.URL = server.URL
	m.Store, err = ledger.Open(t.Context(), database, ledger.Options{Now: clock})
	m.Must(err)
	t.Cleanup(func() { _ = m.Store.Close() })
	_, err = m.Store.Migrate(t.Context())
	m.Must(err)
	m.Must(m.Store.Register(t.Context(), []ledger.Provider{{ID: m.Provider.Identity(), Name: "hyperline", Type: "hyperline"}}))
	return m
}

// Must ends the test at an error.
func (m *Month) Must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// Ctx ends with the test.
func (m *Month) Ctx() context.Context { return m.t.Context() }

// Fill makes n purchases spread over the month, ten minutes or more before its
// end each, and moves the clocks to the end.
func (m *Month) Fill(n int) (made []topup.Purchase) {
	m.t.Helper()
	step := (MonthDays*24*time.Hour - 2*time.Hour) / time.Duration(n)
	for i := range n {
		m.Now = MonthEnd.AddDate(0, 0, -MonthDays).Add(time.Duration(i) * step)
		made = append(made, m.Buy(i))
	}
	m.Now = MonthEnd
	return made
}

// Buy settles one purchase of the small pack on both sides.
func (m *Month) Buy(i int) topup.Purchase {
	m.t.Helper()
	expires := MonthEnd.AddDate(0, 6, 0)
	customer := m.Customers[i%len(m.Customers)]
	p := m.Send(customer, &expires)
	ids, err := m.World.AddPast(emulator.PastPurchase{Customer: customer, At: m.Now, Expires: &expires, Key: p.Key})
	m.Must(err)
	return m.Settle(p, ids[0])
}

// Send plans and permits a purchase of the small pack.
func (m *Month) Send(customer string, expires *time.Time) topup.Purchase {
	m.t.Helper()
	var ok bool
	var err error
	m.lease, ok, err = m.Store.Acquire(m.Ctx(), m.Provider.Identity(), "month", time.Hour)
	if m.Must(err); !ok {
		m.t.Fatal("the lease is somebody else's")
	}
	m.n++
	id, key := fmt.Sprintf("0198c0de-0000-7000-8000-%012d", m.n), fmt.Sprintf("0198c0de-0000-4000-8000-%012d", m.n)
	target := topup.Target{Provider: m.Provider.Identity(), Customer: topup.CustomerID(customer), Product: emulator.Product}
	standing, err := m.Store.Standing(m.Ctx(), target)
	m.Must(err)
	request := topup.Request{Method: "POST", Path: "/v1/customers/" + customer + "/credits/" + emulator.Product + "/purchase", Body: []byte(`{"credit_count":120}`)}
	p, err := m.Store.Plan(m.Ctx(), topup.PlanRequest{
		Purchase: topup.Purchase{
			ID: id, Key: key, Target: target, ProviderName: "hyperline", Rule: "api-credits", RuleVersion: "v1", Terms: []byte(`{}`),
			Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}, PriceID: emulator.SmallPack, ExpiresAt: expires,
			Request: request, Fingerprint: request.Fingerprint(), Policy: topup.PolicyRetry,
			QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second, MaxReadingAge: 2 * time.Minute,
			Declines:      topup.DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
			BalanceBefore: 40 * topup.Credit, Threshold: 100 * topup.Credit, ReadAt: m.Now, RefreshedAt: m.Now,
		},
		Lease: m.lease, TokenFingerprint: "token", Facts: topup.Facts{Version: standing.Version, At: m.Now, MaxAge: time.Minute},
	})
	m.Must(err)
	p, err = m.Store.Permit(m.Ctx(), topup.PermitRequest{Purchase: p, Token: "token-" + id, Replica: "month", Lease: m.lease, TokenFingerprint: "token"})
	m.Must(err)
	return p
}

// Advance stores a change.
func (m *Month) Advance(c topup.Change) topup.Purchase {
	m.t.Helper()
	p, err := m.Store.Advance(m.Ctx(), c)
	m.Must(err)
	return p
}

// Settle answers yes with the invoice, and lets books and balance show it.
func (m *Month) Settle(p topup.Purchase, invoice string) topup.Purchase {
	m.t.Helper()
	p = m.Advance(topup.Answered(p, topup.Answer{Verdict: topup.Accepted, Reference: invoice, Status: 201, Written: 400}, true, m.Now))
	reading := topup.Reading{Target: p.Target, Balance: 160 * topup.Credit, ReadAt: m.Now, RefreshedAt: m.Now}
	return m.Advance(topup.Followed(p, topup.Books{
		Complete: true,
		Topups:   []topup.Topup{{ID: "row", Invoice: invoice, Credits: p.Credits, At: m.Now}},
		Invoices: []topup.Invoice{{ID: invoice, Amount: p.Price, Status: "paid", Payment: topup.PaymentPaid, Credit: true}},
	}, &reading, true, m.Now))
}

// Refuse lets the provider say no, which two complete looks bear out.
func (m *Month) Refuse(p topup.Purchase) topup.Purchase {
	m.t.Helper()
	p = m.Advance(topup.Answered(p, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined, Detail: "card declined", Status: 402, Written: 400}, true, m.Now))
	for range 2 {
		m.Now = m.Now.Add(10 * time.Minute)
		c, _ := topup.Looked(p, topup.Books{Complete: true}, nil, m.Now)
		p = m.Advance(c)
	}
	return p
}

// Planted is what stands in a finding of the month; texts are left out.
type Planted struct {
	Kind              verify.Kind
	Customer          string
	Purchase, Invoice string
}

// Plant makes ten kinds of differences, one each, and returns what must be found.
func (m *Month) Plant(made []topup.Purchase) (want []Planted) {
	m.t.Helper()
	spoiled := func(n int, mistake emulator.Mistake, kind verify.Kind) {
		p := made[n]
		m.Must(m.World.Spoil(p.Reference, mistake))
		want = append(want, Planted{kind, string(p.Target.Customer), p.ID, p.Reference})
	}
	// A second charge within minutes of the first.
	twice := made[len(made)/2]
	ids, err := m.World.AddPast(emulator.PastPurchase{Customer: string(twice.Target.Customer), At: twice.SentAt.Add(3 * time.Minute), Expires: twice.ExpiresAt})
	m.Must(err)
	want = append(want, Planted{verify.DoubleCharge, string(twice.Target.Customer), twice.ID, ids[0]})
	// Refused here, charged there after all.
	m.Now = MonthEnd.Add(-time.Hour)
	no := m.Send(m.Customers[0], nil)
	ids, err = m.World.AddPast(emulator.PastPurchase{Customer: m.Customers[0], At: m.Now.Add(20 * time.Second)})
	m.Must(err)
	m.Refuse(no)
	want = append(want, Planted{verify.ChargedAfterNo, m.Customers[0], no.ID, ids[0]})
	m.Now = MonthEnd
	spoiled(10, emulator.MistakeNoInvoice, verify.MissingInvoice)
	spoiled(20, emulator.MistakeNoRow, verify.MissingRow)
	spoiled(30, emulator.MistakeTwoRows, verify.CreditedTwice)
	spoiled(40, emulator.MistakeAmount, verify.AmountDiffers)
	spoiled(50, emulator.MistakeExpiry, verify.ExpiryDiffers)
	spoiled(60, emulator.MistakeUnpaid, verify.PaymentDiffers)
	spoiled(70, emulator.MistakeRefunded, verify.Reversed)
	// Somebody else's, far from every purchase of the customer.
	ids, err = m.World.AddPast(emulator.PastPurchase{
		Customer: string(made[80].Target.Customer), Price: emulator.LargePack, At: made[80].SentAt.Add(2 * time.Hour),
	})
	m.Must(err)
	return append(want, Planted{verify.UnknownInvoice, string(made[80].Target.Customer), "", ids[0]})
}

// Innocent adds what must not be found: imported purchases of the customer, a
// bill that was refunded, top-ups of the customer's and of the provider's own,
// purchases that are open or young.
func (m *Month) Innocent(made []topup.Purchase) {
	m.t.Helper()
	p := made[90]
	at := p.SentAt.Add(5 * time.Minute)
	ids, err := m.World.AddPast(emulator.PastPurchase{Customer: string(p.Target.Customer), At: at, Source: emulator.SourcePortal})
	m.Must(err)
	_, err = m.Store.Import(m.Ctx(), p.Target, []topup.Topup{{ID: "cdt_portal", Invoice: ids[0], Credits: p.Credits, Price: p.Price, Source: "portal", At: at}})
	m.Must(err)
	ids, err = m.World.AddPast(emulator.PastPurchase{Customer: string(p.Target.Customer), At: p.SentAt.Add(6 * time.Minute)})
	m.Must(err)
	m.Must(m.World.Spoil(ids[0], emulator.MistakeRefunded))
	for _, source := range []string{emulator.SourceNative, emulator.SourcePortal} { // topupd had no reason to import them
		_, err = m.World.AddPast(emulator.PastPurchase{Customer: m.Customers[3], Price: emulator.LargePack, At: MonthEnd.Add(-10 * time.Hour), Source: source})
		m.Must(err)
	}
	m.Now = MonthEnd.Add(-5 * time.Minute)
	m.Send(m.Customers[1], nil)
	_, err = m.World.AddPast(emulator.PastPurchase{Customer: m.Customers[1], At: m.Now})
	m.Must(err)
	m.Buy(2)
	m.Now = MonthEnd
}

// Acknowledge is topupd verify ack for a difference of the month.
func (m *Month) Acknowledge(f verify.Finding, by string) {
	m.t.Helper()
	_, err := m.Store.Acknowledge(m.Ctx(), ledger.Action{Provider: m.Provider.Identity(), Subject: f.ID, By: by, Reason: "we live with it", Effect: f.Key()})
	m.Must(err)
}
