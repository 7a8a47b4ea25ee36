package ledgertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var history = map[string]func(*testing.T, Opener){
	"a purchase is found by a part of its id":              foundByPart,
	"a list is filtered and newest first":                  listIsFiltered,
	"due are those whose next look has come":               dueInOrder,
	"a planned purchase is due when its sender is late":    plannedIsDue,
	"evidence is appended in order, whatever the state":    evidenceAppended,
	"texts beyond all bounds are cut, not refused":         textsAreCut,
	"a finished purchase is handed out once":               handedOutOnce,
	"open and unpaid purchases are counted":                countsAreRight,
	"references claimed are found among thousands":         claimedAmongThousands,
	"the clock is the one that was given, or the database": clockIsGiven,
	"what else may have raised a balance is listed":        othersAreListed,
	"what other accounts showed last is listed":            elsewhereIsListed,
}

func foundByPart(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	for _, part := range []string{p.ID, p.Short(), p.ID[:13], strings.ToUpper(p.ID), " " + p.Short() + " "} {
		if got, err := d.store.Purchase(t.Context(), part); err != nil || got.ID != p.ID {
			t.Errorf("Purchase(%q) = %s, %v", part, got.ID, err)
		}
	}
	if _, err := d.store.Purchase(t.Context(), "ffff0000"); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("no such part: %v, want ErrNotFound", err)
	}
	for _, part := range []string{"", "abc", strings.Repeat("a", 65)} {
		if _, err := d.store.Purchase(t.Context(), part); err == nil {
			t.Errorf("Purchase(%q): no error", part)
		}
	}
	first := d.plan(customer(1), func(r *topup.PlanRequest) { r.Purchase.ID = "11111111-0000-7000-8000-00000000aaaa" })
	second := d.plan(customer(2), func(r *topup.PlanRequest) { r.Purchase.ID = "22222222-0000-7000-8000-00000000aaaa" })
	_, err := d.store.Purchase(t.Context(), "aaaa")
	if err == nil || !strings.Contains(err.Error(), first.ID) || !strings.Contains(err.Error(), second.ID) {
		t.Errorf("an ambiguous part: %v, want both ids", err)
	}
}

func listIsFiltered(t *testing.T, open Opener) {
	d := newDesk(t, open)
	var ids []string
	for n := range 4 {
		p := d.plan(customer(n), func(r *topup.PlanRequest) { r.Purchase.Rule = fmt.Sprintf("rule-%d", n%2) })
		ids = append(ids, p.ID)
		d.clock.forward(time.Second)
	}
	cancelledOne, err := d.store.Purchase(t.Context(), ids[0])
	d.must(err)
	d.advance(cancelledOne, cancelled)
	for _, tt := range []struct {
		name   string
		filter ledger.Filter
		want   []int // places in ids
	}{
		{"everything", ledger.Filter{}, []int{3, 2, 1, 0}},
		{"by rule", ledger.Filter{Rule: "rule-1"}, []int{3, 1}},
		{"by customer", ledger.Filter{Customer: "cus_2"}, []int{2}},
		{"by product", ledger.Filter{Product: acme.Product}, []int{3, 2, 1, 0}},
		{"by label", ledger.Filter{ProviderName: "another"}, nil},
		{"by states", ledger.Filter{States: []topup.State{topup.Cancelled, topup.Credited}}, []int{0}},
		{"by payments", ledger.Filter{Payments: []topup.Payment{topup.PaymentFailed, topup.PaymentPending}}, nil},
		{"by payments and states", ledger.Filter{Payments: []topup.Payment{topup.PaymentNone}, States: []topup.State{topup.Planned}, Limit: 2}, []int{3, 2}},
		{"since, inclusive", ledger.Filter{Since: noon.Add(2 * time.Second)}, []int{3, 2}},
		{"the newest two of a provider", ledger.Filter{Limit: 2, Provider: hyperline}, []int{3, 2}},
	} {
		list, err := d.store.Purchases(t.Context(), tt.filter)
		d.must(err)
		var got, want []string
		for _, p := range list {
			got = append(got, p.ID)
		}
		for _, n := range tt.want {
			want = append(want, ids[n])
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
}

// othersAreListed: purchases at the same host, of every account and the target's
// own, that may have run; and what was imported for the target.
func othersAreListed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	wallet := topup.Target{Provider: voice, Customer: "env-1", Product: "credits"}
	early := d.advance(d.send(wallet), func(c *topup.Change) {
		c.Next.State, c.Next.Reason = topup.Declined, topup.FailedDeclined
	})
	d.advance(d.send(wallet), cancelled)
	d.send(acme) // at another host
	d.clock.forward(time.Minute)
	last := d.advance(d.send(wallet), func(c *topup.Change) {
		c.Next.State, c.Next.Reason = topup.Declined, topup.FailedDeclined
	})
	row := func(id string, at time.Duration) topup.Topup {
		return topup.Topup{ID: id, Invoice: "txn_" + id, Credits: 100 * topup.Credit, Source: "threshold", At: noon.Add(at)}
	}
	_, err := d.store.Import(d.ctx(), wallet, []topup.Topup{row("topup-1", 0), row("topup-2", time.Minute)})
	d.must(err)
	p := d.send(wallet)
	for _, tt := range []struct {
		since     time.Duration // inclusive
		purchases string
		external  string
	}{
		{0, fmt.Sprint([]string{early.ID, last.ID}), "[topup-1 topup-2]"},
		{time.Microsecond, fmt.Sprint([]string{last.ID}), "[topup-2]"},
		{2 * time.Minute, "[]", "[]"},
	} {
		o, err := d.store.Others(d.ctx(), p, noon.Add(tt.since))
		d.must(err)
		purchases, external := []string{}, []string{}
		for _, q := range o.Purchases {
			purchases = append(purchases, q.ID)
		}
		for _, r := range o.External {
			external = append(external, r.ID)
		}
		if fmt.Sprint(purchases) != tt.purchases || fmt.Sprint(external) != tt.external {
			t.Errorf("since %s: purchases %v, imported %v; want %s and %s", tt.since, purchases, external, tt.purchases, tt.external)
		}
	}
}

// elsewhereIsListed: the last balances of other accounts at the same host, of
// those that have sent a purchase.
func elsewhereIsListed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	account := func(env string) topup.Target {
		return topup.Target{Provider: topup.ProviderID("talkover://app.talkover.ai/" + env), Customer: topup.CustomerID(env), Product: "credits"}
	}
	ours, theirs, idle, silent := topup.Target{Provider: voice, Customer: "env-1", Product: "credits"}, account("env-2"), account("env-3"), account("env-4")
	var register []ledger.Provider
	for _, a := range []topup.Target{theirs, idle, silent} {
		register = append(register, ledger.Provider{ID: a.Provider, Name: string(a.Customer), Type: "talkover"})
	}
	d.must(d.store.Register(d.ctx(), register))
	for _, a := range register {
		lease, _, err := d.store.Acquire(d.ctx(), a.ID, holder, time.Hour)
		d.must(err)
		d.leases[a.ID] = lease
	}
	p := d.send(ours)
	d.send(theirs)
	d.send(silent)
	d.send(acme) // at another host
	blind := evaluation(silent, topup.BadReading)
	blind.Balance = nil
	d.must(d.store.RecordEvaluations(d.ctx(), []topup.Evaluation{
		evaluation(ours, topup.Enough), evaluation(theirs, topup.Enough), evaluation(idle, topup.Enough), blind, evaluation(acme, topup.Enough),
	}))
	shown := topup.Shown{Account: theirs.Provider, Level: topup.Level{Balance: 41 * topup.Credit, ReadAt: noon.Add(-time.Second), AsOf: noon.Add(-time.Minute)}}
	for _, tt := range []struct {
		since time.Duration // inclusive
		want  []topup.Shown
	}{{0, []topup.Shown{shown}}, {time.Microsecond, nil}} {
		got, err := d.store.Elsewhere(d.ctx(), p, noon.Add(tt.since))
		d.must(err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("since %s: (-want +got)\n%s", tt.since, diff)
		}
	}
}

func (d *desk) due(limit int, want ...string) {
	d.t.Helper()
	now, list, err := d.store.Due(d.ctx(), hyperline, limit)
	d.must(err)
	var got []string
	for _, p := range list {
		got = append(got, p.ID)
	}
	if !now.Equal(d.clock.Now()) || fmt.Sprint(got) != fmt.Sprint(want) {
		d.t.Errorf("due at %v: %v, want %v", now, got, want)
	}
}

func dueInOrder(t *testing.T, open Opener) {
	d := newDesk(t, open)
	at := func(p topup.Purchase, when time.Duration) topup.Purchase {
		return d.advance(p, func(c *topup.Change) { next := noon.Add(when); c.Next.NextLookAt = &next })
	}
	late := at(d.send(customer(1)), 3*time.Second)
	early := at(d.send(customer(2)), 2*time.Second)
	at(d.send(customer(3)), time.Minute)
	unpaid := d.advance(d.advance(d.send(customer(4)), confirmed("inv_4")), func(c *topup.Change) {
		credited(c)
		next := noon.Add(4 * time.Second)
		c.Next.NextLookAt = &next
	})
	paid := d.advance(d.send(customer(5)), confirmed("inv_5"))
	d.advance(paid, func(c *topup.Change) { c.Next.State, c.Next.Payment = topup.Credited, topup.PaymentPaid })
	d.advance(d.send(customer(6)), func(c *topup.Change) { c.Next.State, c.Next.Reason = topup.Cancelled, topup.FailedThrottled })

	d.clock.forward(3*time.Second - time.Microsecond)
	d.due(10, early.ID)
	d.clock.forward(time.Microsecond)
	d.due(10, early.ID, late.ID)
	d.clock.forward(2 * time.Second)
	d.due(10, early.ID, late.ID, unpaid.ID)
	d.due(1, early.ID)
}

// plannedIsDue: after 30 s, however short a rehearsal's quiet period is: waiting
// for the request budget takes as long there.
func plannedIsDue(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	quick := d.plan(customer(1), func(r *topup.PlanRequest) { r.Purchase.QuietPeriod = 90 * time.Second })
	d.clock.forward(30*time.Second - time.Microsecond)
	d.due(10)
	d.clock.forward(time.Microsecond)
	d.due(10, p.ID, quick.ID)
}

func evidenceAppended(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.advance(d.send(acme), cancelled)
	d.clock.forward(time.Second)
	late := topup.Evidence{Kind: topup.EvidenceAnswer, From: topup.Sent, To: topup.Sent, Text: "yes (HTTP 201), too late", Detail: []byte(`{"status":201}`)}
	d.must(d.store.Append(t.Context(), p.ID, late, late))
	got, err := d.store.Evidence(t.Context(), p.ID)
	d.must(err)
	if len(got) != 4 || got[0].Kind != topup.EvidencePlanned || got[1].Kind != topup.EvidencePermit {
		t.Fatalf("evidence = %+v", got)
	}
	if last := got[3]; last.Text != late.Text || string(last.Detail) != string(late.Detail) || !last.At.Equal(noon.Add(time.Second)) {
		t.Errorf("last line = %+v", last)
	}
	if err := d.store.Append(t.Context(), "no-such-purchase", late); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("Append to nothing: %v, want ErrNotFound", err)
	}
}

func textsAreCut(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme, func(r *topup.PlanRequest) { r.Purchase.CustomerName = strings.Repeat("é", 5000) })
	p = d.advance(p, func(c *topup.Change) {
		c.Next.Detail = strings.Repeat("x", 100_000)
		c.Next.Found = "a\x00b\xff"
		c.Evidence = []topup.Evidence{{Kind: topup.EvidenceAnswer, Text: strings.Repeat("y", 100_000), Detail: []byte(strings.Repeat(" ", 300_000))}}
	})
	if len(p.Detail) != 4000 || !strings.HasSuffix(p.Detail, "…") || p.Found != "ab\uFFFD" || len(p.CustomerName) > 1000 {
		t.Errorf("detail of %d bytes, found %q, name of %d bytes", len(p.Detail), p.Found, len(p.CustomerName))
	}
	evidence, err := d.store.Evidence(t.Context(), p.ID)
	d.must(err)
	if last := evidence[len(evidence)-1]; string(last.Detail) != `{"dropped_bytes":300000}` {
		t.Errorf("detail = %.40q", last.Detail)
	}
}

func handedOutOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(customer(1))
	var want []string
	for n := 2; n < 5; n++ {
		want = append(want, d.advance(d.plan(customer(n)), cancelled).ID)
		d.clock.forward(time.Second)
	}
	var got []string
	for range 4 {
		list, err := d.store.TakeFinished(t.Context(), hyperline, 2)
		d.must(err)
		for _, p := range list {
			got = append(got, p.ID)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("handed out %v, want %v", got, want)
	}
}

func countsAreRight(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(customer(1))
	d.clock.forward(time.Second)
	d.plan(customer(2))
	d.advance(d.send(customer(3)), confirmed("inv_3"))
	failed := d.advance(d.send(customer(4)), confirmed("inv_4"))
	d.advance(failed, func(c *topup.Change) { c.Next.Payment = topup.PaymentFailed })
	d.advance(d.plan(customer(5)), cancelled)
	counts, err := d.store.OpenCounts(t.Context())
	d.must(err)
	if len(counts) != 2 || counts[0].State != topup.Confirmed || counts[0].Count != 2 ||
		counts[1].State != topup.Planned || counts[1].Count != 2 || !counts[1].Oldest.Equal(noon) {
		t.Errorf("open = %+v", counts)
	}
	unpaid, err := d.store.UnpaidCounts(t.Context())
	d.must(err)
	want := []ledger.UnpaidCount{{Provider: hyperline, Payment: topup.PaymentFailed, Count: 1}, {Provider: hyperline, Payment: topup.PaymentPending, Count: 1}}
	if fmt.Sprint(unpaid) != fmt.Sprint(want) {
		t.Errorf("unpaid = %+v, want %+v", unpaid, want)
	}
}

func claimedAmongThousands(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.advance(d.send(acme), confirmed("inv_1234"))
	references := make([]string, 2000)
	for i := range references {
		references[i] = fmt.Sprintf("inv_%d", i)
	}
	claimed, err := d.store.Claimed(t.Context(), hyperline, references, "")
	d.must(err)
	if len(claimed) != 1 || !claimed["inv_1234"] {
		t.Errorf("claimed = %v", claimed)
	}
	if claimed, err = d.store.Claimed(t.Context(), hyperline, references, p.ID); len(claimed) != 0 || err != nil {
		t.Errorf("its own claim: %v, %v", claimed, err)
	}
}

func clockIsGiven(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.clock.forward(time.Hour + 1) // a nanosecond is more than the ledger keeps
	if now, err := d.store.Now(t.Context()); err != nil || !now.Equal(noon.Add(time.Hour)) {
		t.Errorf("Now = %v, %v", now, err)
	}
	database := open(t, ledger.Options{})
	before := time.Now().Add(-2 * time.Second)
	now, err := database.Now(t.Context())
	if err != nil || now.Before(before) || now.After(time.Now().Add(2*time.Second)) {
		t.Errorf("the database clock says %v, %v; ours %v", now, err, time.Now())
	}
}
