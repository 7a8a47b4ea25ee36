package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"topupd/config"
	"topupd/ledger"
	"topupd/topup"
)

// long ago enough that every clock agrees it is over.
var longAgo = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)

// seedCmd is "seed KIND [ID [CUSTOMER]]". Kinds: credited, sent, confirmed, found, refused,
// planned, cancelled, old (cancelled, of a rule that is gone), unpaid, needs_review, recent (one that needs review, sent 22 minutes ago) and lately (credited then;
// all at Hyperline), denied (one that needed review, called not charged, and then on the books),
// review-voice, watched (review-voice with readings), fresh (sent just now),
// many (101 cancelled ones), twins (two customers of one name), evaluations, gone (a customer seen a minute ago and never again), ledger (an
// empty one).
func seedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: seed KIND [ID [CUSTOMER]]")
	}
	now := longAgo
	switch args[0] {
	case "fresh", "gone":
		now = time.Now().UTC()
	case "recent", "lately":
		now = time.Now().UTC().Add(-22 * time.Minute)
	}
	g := &gardener{ts: ts, at: now, id: "0198c0de-0000-7000-8000-00000000beef"}
	if len(args) > 1 {
		g.id = args[1]
	}
	if len(args) > 2 {
		g.customer = args[2]
	}
	a := scriptApp(ts, func() time.Time { return g.at })
	g.store, g.l = scriptLedger(ts, a)
	g.register(a)
	switch kind := args[0]; kind {
	case "ledger":
	case "twins":
		g.twins()
	case "many":
		for i := range 101 {
			g.id = fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i)
			g.hyperline("cancelled")
		}
	case "gone":
		g.gone()
	case "evaluations":
		g.evaluations()
	case "review-voice", "watched", "fresh":
		g.voice(kind)
	default:
		g.hyperline(kind)
	}
}

// gardener grows purchases by the same functions as the daemon.
type gardener struct {
	ts       *testscript.TestScript
	store    *ledger.Store
	l        *loaded
	at       time.Time
	id       string
	customer string // "" for one that follows from the id
	p        topup.Purchase
	lease    topup.Lease
}

func (g *gardener) register(a *app) {
	var providers []ledger.Provider
	for _, p := range g.l.Config.Providers {
		providers = append(providers, ledger.Provider{ID: p.Identity(), Name: p.Name, Type: string(p.Type)})
	}
	g.ts.Check(g.store.Register(a.ctx, providers))
}

func (g *gardener) provider(name string) config.Provider {
	p, err := g.l.provider(name)
	g.ts.Check(err)
	return p
}

// nobodyGoesFirst lets seeds of one price stand beside each other.
func (g *gardener) nobodyGoesFirst() {
	path := strings.TrimPrefix(g.l.Config.DatabaseURL.Reveal(), "sqlite:")
	db, err := sql.Open("sqlite", g.ts.MkAbs(path))
	g.ts.Check(err)
	_, err = db.ExecContext(context.Background(), `DELETE FROM canary`)
	g.ts.Check(errors.Join(err, db.Close()))
}

// plan opens a purchase as the daemon would.
func (g *gardener) plan(p topup.Purchase) {
	ctx := scriptApp(g.ts, time.Now).ctx
	lease, ok, err := g.store.Acquire(ctx, p.Target.Provider, "seed", time.Hour)
	g.ts.Check(err)
	if !ok {
		g.ts.Fatalf("the lease is somebody else's")
	}
	g.lease = lease
	standing, err := g.store.Standing(ctx, p.Target)
	g.ts.Check(err)
	g.nobodyGoesFirst()
	p.ID, p.Key = g.id, "6d1f3a52-2f6e-4d5c-9f7e-1c2b3a4d5e6f"
	if g.id != "0198c0de-0000-7000-8000-00000000beef" {
		p.Key = g.id[:14] + "4" + g.id[15:19] + "8" + g.id[20:]
	}
	p.RuleVersion, p.Fingerprint = "0123456789ab", p.Request.Fingerprint()
	p.State, p.Payment, p.MaxReadingAge = topup.Planned, topup.PaymentNone, 2*time.Minute
	p.QuietPeriod, p.PurchaseTimeout = 15*time.Minute, 75*time.Second
	p.Declines = topup.DeclineTerms{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4}
	p.ReadAt, p.RefreshedAt = g.at.Add(-2*time.Second), g.at.Add(-30*time.Second)
	g.p, err = g.store.Plan(ctx, topup.PlanRequest{
		Purchase: p, Lease: lease, TokenFingerprint: "token",
		Facts: topup.Facts{Version: standing.Version, At: g.at, MaxAge: time.Minute},
		Evidence: []topup.Evidence{{
			Kind: topup.EvidencePlanned, To: topup.Planned,
			Text: fmt.Sprintf("balance %s, read again %s, below %s; rule %s", p.BalanceBefore, p.BalanceBefore, p.Threshold, p.Rule),
		}},
	})
	g.ts.Check(err)
}

func (g *gardener) permit() {
	var err error
	g.p, err = g.store.Permit(scriptApp(g.ts, time.Now).ctx, topup.PermitRequest{
		Purchase: g.p, Token: "token-" + g.id, Replica: "host/1", Lease: g.lease, TokenFingerprint: "token",
	})
	g.ts.Check(err)
}

// advance stores a change some time later.
func (g *gardener) advance(later time.Duration, change func(topup.Purchase, time.Time) topup.Change) {
	g.at = g.at.Add(later)
	var err error
	g.p, err = g.store.Advance(scriptApp(g.ts, time.Now).ctx, change(g.p, g.at))
	g.ts.Check(err)
}

func (g *gardener) answer(later time.Duration, a topup.Answer, books bool) {
	g.advance(later, func(p topup.Purchase, now time.Time) topup.Change { return topup.Answered(p, a, books, now) })
}

func (g *gardener) look(later time.Duration, b topup.Books) {
	g.advance(later, func(p topup.Purchase, now time.Time) topup.Change {
		c, _ := topup.Looked(p, b, nil, now)
		return c
	})
}

// hyperline grows a purchase of 120 credits for the first customer, and for
// another customer under every other id.
func (g *gardener) hyperline(kind string) {
	customer, name := topup.CustomerID("cus_Typ0px2W0aiEtl"), "Ada GmbH"
	if g.id != "0198c0de-0000-7000-8000-00000000beef" {
		customer, name = topup.CustomerID("cus_"+g.id[24:]), ""
	}
	if g.customer != "" {
		customer = topup.CustomerID(g.customer)
	}
	policy := topup.PolicyRetry
	if kind == "needs_review" || kind == "recent" || kind == "denied" {
		policy = topup.PolicyReview
	}
	g.plan(topup.Purchase{
		Target:       topup.Target{Provider: g.provider("hyperline").Identity(), Customer: customer, Product: "itm_3kXODDF42QXtnL"},
		ProviderName: "hyperline", CustomerName: name, ProductName: "API credits", Rule: map[bool]string{false: "api-credits", true: "old-rule"}[kind == "old"], Terms: []byte(`{"name":"api-credits"}`),
		Credits: 120 * topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}, PriceID: "pri_0Jv8EbMDOGsHcn",
		Request:       topup.Request{Method: "POST", Path: "/v1/customers/" + string(customer) + "/credits/itm_3kXODDF42QXtnL/purchase", Body: []byte(`{"credit_count":120}`)},
		BalanceBefore: 41 * topup.Credit, Threshold: 100 * topup.Credit, Policy: policy,
	})
	switch kind {
	case "planned":
		return
	case "cancelled", "old":
		g.advance(time.Second, func(p topup.Purchase, _ time.Time) topup.Change {
			return topup.NotPermitted(p, topup.FailedConnection, "connection refused")
		})
		return
	}
	g.permit()
	unclear := topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedTimeout, Detail: "no answer within 75 s", Written: 400}
	invoice := "inv_" + g.id[32:]
	row := topup.Topup{ID: "row_1", Invoice: invoice, Credits: 120 * topup.Credit, Price: g.p.Price, PriceID: g.p.PriceID, At: g.at.Add(time.Second)}
	switch kind {
	case "sent":
		g.answer(75*time.Second, unclear, true)
	case "refused":
		g.answer(2*time.Second, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined, Detail: "card declined", Status: 402, Written: 400}, true)
	case "found":
		g.answer(75*time.Second, unclear, true)
		g.look(time.Second, topup.Books{Complete: true, Topups: []topup.Topup{row}})
	case "needs_review", "recent", "denied":
		g.answer(75*time.Second, unclear, true)
		g.look(10*time.Minute, topup.Books{Complete: true})
		g.look(10*time.Minute, topup.Books{Complete: true})
		if kind == "denied" {
			g.deny(row)
		}
	case "confirmed", "credited", "lately", "unpaid":
		g.answer(1900*time.Millisecond, topup.Answer{Verdict: topup.Accepted, Reference: invoice, Status: 201, Written: 400}, true)
		g.follow(kind, row)
	default:
		g.ts.Fatalf("no such kind: %s", kind)
	}
}

// deny has a person call a purchase not charged that the books show afterwards.
func (g *gardener) deny(row topup.Topup) {
	g.advance(time.Minute, func(p topup.Purchase, now time.Time) topup.Change {
		c, err := topup.Resolved(p, topup.Resolution{Note: "not on the statement", By: "alice"}, now)
		g.ts.Check(err)
		return c
	})
	g.at = g.at.Add(time.Minute)
	_, err := g.store.Import(scriptApp(g.ts, time.Now).ctx, g.p.Target, []topup.Topup{row})
	g.ts.Check(err)
}

// follow lets the books and a reading show what was bought.
func (g *gardener) follow(kind string, row topup.Topup) {
	if kind == "confirmed" {
		return
	}
	bill := topup.Invoice{ID: row.Invoice, Amount: g.p.Price, Status: "paid", Payment: topup.PaymentPaid, Credit: true}
	if kind == "unpaid" {
		bill.Status, bill.Payment, bill.Detail = "error", topup.PaymentFailed, "insufficient_funds"
	}
	g.advance(20*time.Second, func(p topup.Purchase, now time.Time) topup.Change {
		reading := topup.Reading{Target: p.Target, Balance: 161 * topup.Credit, ReadAt: now, RefreshedAt: now}
		return topup.Followed(p, topup.Books{Complete: true, Topups: []topup.Topup{row}, Invoices: []topup.Invoice{bill}}, &reading, true, now)
	})
}

// voice grows a Talkover purchase that nobody answered.
func (g *gardener) voice(kind string) {
	g.plan(topup.Purchase{
		Target:       topup.Target{Provider: g.provider("voice").Identity(), Customer: "env-1", Product: "credits"},
		ProviderName: "voice", CustomerName: "voice-berlin", ProductName: "credits", Rule: "voice", Terms: []byte(`{"name":"voice"}`),
		Credits: 100 * topup.Credit, Price: topup.Money{Minor: 100_00, Currency: "USD"},
		Request:       topup.Request{Method: "POST", Path: "/api/v1/credits/purchase", Body: []byte(`{"amount":100.00}`)},
		BalanceBefore: 41*topup.Credit + topup.Credit/5, Threshold: 50 * topup.Credit, Policy: topup.PolicyReview,
	})
	g.permit()
	g.answer(75*time.Second, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedTimeout, Detail: "no answer within 75 s", Written: 300}, false)
	after := 15 * time.Minute
	if kind == "fresh" {
		return
	}
	g.advance(after, func(p topup.Purchase, now time.Time) topup.Change {
		c, _ := topup.Waited(p, now)
		return c
	})
	if kind == "watched" {
		g.readings()
	}
}

// readings are what the daemon saw of the environment after the purchase.
func (g *gardener) readings() {
	var list []topup.Evaluation
	for i, balance := range []topup.Credits{40_900_000, 40_500_000, 40_100_000} {
		at := longAgo.Add(time.Duration(i+1) * 5 * time.Minute)
		list = append(list, topup.Evaluation{
			Target: g.p.Target, ProviderName: "voice", At: at, Since: at, ReadAt: at,
			Reason: topup.StillOpen, Text: "an open purchase", Balance: new(balance), Threshold: new(g.p.Threshold),
		})
	}
	g.ts.Check(g.store.RecordEvaluations(scriptApp(g.ts, time.Now).ctx, list))
}

// gone is a customer whom the daemon has just seen, and the provider forgot.
func (g *gardener) gone() {
	g.ts.Check(g.store.RecordEvaluations(scriptApp(g.ts, time.Now).ctx, []topup.Evaluation{{
		Target:       topup.Target{Provider: g.provider("hyperline").Identity(), Customer: "cus_gone", Product: "itm_3kXODDF42QXtnL"},
		ProviderName: "hyperline", CustomerName: "Gone Ltd", ProductName: "API credits", At: g.at.Add(-time.Minute), Since: g.at, ReadAt: g.at,
		Reason: topup.Enough, Text: "balance 300 is not below 100", Balance: new(300 * topup.Credit), Threshold: new(100 * topup.Credit),
	}}))
}

// twins are two customers of one name, and one whose id no table was made for.
func (g *gardener) twins() {
	for id, name := range map[topup.CustomerID]string{
		"cus_a": "Fjord Labs", "cus_b": "Fjord Labs", "eu/7 🦊": "Fox & Sons", "env-1": "ACME", "env-2": "Acme", topup.CustomerID(strings.Repeat("x", 5000)): "",
	} {
		g.ts.Check(g.store.RecordEvaluations(scriptApp(g.ts, time.Now).ctx, []topup.Evaluation{{
			Target:       topup.Target{Provider: g.provider("hyperline").Identity(), Customer: id, Product: "itm_3kXODDF42QXtnL"},
			ProviderName: "hyperline", CustomerName: name, ProductName: "API credits", At: g.at, Since: g.at, ReadAt: g.at,
			Reason: topup.Enough, Text: "balance 300 is not below 100", Balance: new(300 * topup.Credit), Threshold: new(100 * topup.Credit),
		}}))
	}
}

// evaluations are the last decisions about two customers.
func (g *gardener) evaluations() {
	id := g.provider("hyperline").Identity()
	credits := func(n topup.Credits) *topup.Credits { return new(n * topup.Credit) }
	rule := g.l.Rulebook.Rules.Rules[0]
	base := topup.Evaluation{
		Target:       topup.Target{Provider: id, Customer: "cus_Typ0px2W0aiEtl", Product: "itm_3kXODDF42QXtnL"},
		ProviderName: "hyperline", CustomerName: "Ada GmbH", ProductName: "API credits", Rule: rule.Name, RuleVersion: rule.Version,
		Threshold: credits(100),
	}
	var list []topup.Evaluation
	for i, step := range []struct {
		reason  topup.Reason
		text    string
		balance topup.Credits
		detail  map[string]any
	}{
		{topup.Enough, "balance 104 is not below 100", 104, map[string]any{"threshold_from": "customer"}},
		{topup.Buy, "buying 120 credits for 200.00 EUR excluding tax", 97, map[string]any{"threshold_from": "customer"}},
		{topup.InvoiceUnpaid, "invoice inv_beef of 200.00 EUR is error: insufficient_funds", 96, map[string]any{
			"threshold_from": "customer", "declines": 1, "trouble_since": longAgo.Add(30 * time.Second),
			"invoices": []map[string]any{{"id": "inv_beef", "amount": "200.00 EUR", "status": "error", "at": longAgo.Add(time.Minute), "detail": "insufficient_funds"}},
		}},
	} {
		e := base
		e.At = longAgo.Add(time.Duration(i) * time.Minute)
		e.Since, e.ReadAt, e.RefreshedAt = e.At, e.At.Add(-time.Second), e.At.Add(-30*time.Second)
		e.Reason, e.Text, e.Balance = step.reason, step.text, credits(step.balance)
		e.Detail, _ = json.Marshal(step.detail)
		list = append(list, e)
	}
	list[1].Purchase = "0198c0de-0000-7000-8000-00000000beef"
	bad := base
	bad.Target.Customer, bad.CustomerName = "cus_two", "Bo & Söhne"
	bad.At, bad.Since, bad.ReadAt = longAgo, longAgo, longAgo
	bad.Reason, bad.Text = topup.BadReading, "the balance cannot be used: null"
	g.ts.Check(g.store.RecordEvaluations(scriptApp(g.ts, time.Now).ctx, append(list, bad)))
}
