package ledgertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var retaining = map[string]func(*testing.T, Opener){
	"old evaluations go, the newest of each target stays": oldEvaluationsGo,
	"of a customer who left nothing stays":                leftCustomersGo,
	"evaluations are forgotten page by page":              forgottenInPages,
	"of an old closed purchase the steps between go":      oldStepsGo,
	"what has not ended, or lately, keeps its history":    youngStepsStay,
}

// days is so many days before noon.
func days(n int) time.Time { return noon.AddDate(0, 0, -n) }

func (d *desk) recorded(target topup.Target, at time.Time, text string) {
	d.t.Helper()
	e := evaluation(target, topup.Enough)
	e.At, e.Text = at, text
	d.must(d.store.RecordEvaluations(d.ctx(), []topup.Evaluation{e}))
}

// forget forgets all evaluations from before then.
func (d *desk) forget(before time.Time) (forgotten int) {
	d.t.Helper()
	var after topup.Target
	for {
		next, n, done, err := d.store.ForgetEvaluations(d.ctx(), before, after)
		d.must(err)
		if forgotten += n; done {
			return forgotten
		}
		after = next
	}
}

func (d *desk) texts(f ledger.Filter) (texts []string) {
	d.t.Helper()
	list, err := d.store.Evaluations(d.ctx(), f)
	d.must(err)
	for _, e := range list {
		texts = append(texts, e.Text)
	}
	return texts
}

func oldEvaluationsGo(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(acme)
	for n, text := range []string{"oldest", "old", "newest of acme"} {
		d.recorded(acme, days(300-n), text)
	}
	d.recorded(customer(1), days(200), "old")
	d.recorded(customer(1), days(90), "of that day")
	d.recorded(customer(1), noon, "now")
	if n := d.forget(days(90)); n != 3 {
		t.Errorf("%d were forgotten, want 3", n)
	}
	for target, want := range map[topup.Target][]string{acme: {"newest of acme"}, customer(1): {"now", "of that day"}} {
		if got := d.texts(ledger.Filter{Customer: target.Customer}); !slices.Equal(got, want) {
			t.Errorf("of %s %q is left, want %q", target.Customer, got, want)
		}
	}
	if n := d.forget(days(90)); n != 0 {
		t.Errorf("%d were forgotten again", n)
	}
	d.recorded(acme, noon, "again")
	if got := d.texts(ledger.Filter{Customer: acme.Customer}); !slices.Equal(got, []string{"again", "newest of acme"}) {
		t.Errorf("after a new one: %q", got)
	}
}

func leftCustomersGo(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.recorded(customer(1), days(101), "left")
	d.recorded(customer(1), days(100), "left long ago")
	d.recorded(customer(2), days(80), "left lately")
	if n := d.forget(days(90)); n != 2 {
		t.Errorf("%d were forgotten, want 2", n)
	}
	left, err := d.store.Targets(t.Context(), ledger.Filter{})
	d.must(err)
	if len(left) != 1 || left[0].Target != customer(2) || len(d.texts(ledger.Filter{Customer: "cus_1"})) != 0 {
		t.Errorf("left are %+v", left)
	}
	d.recorded(customer(1), noon, "came back")
	if got := d.texts(ledger.Filter{Customer: "cus_1"}); !slices.Equal(got, []string{"came back"}) {
		t.Errorf("of who came back: %q", got)
	}
}

func forgottenInPages(t *testing.T, open Opener) {
	d := newDesk(t, open)
	var list []topup.Evaluation
	for i := range 450 {
		e := evaluation(customer(i), topup.Enough)
		e.At = days(100)
		now := e
		now.At = noon
		list = append(list, e, now)
	}
	d.must(d.store.RecordEvaluations(t.Context(), list))
	next, n, done, err := d.store.ForgetEvaluations(t.Context(), days(90), topup.Target{})
	d.must(err)
	if n == 0 || n > 250 || done || next == (topup.Target{}) {
		t.Errorf("one page forgot %d, done %t", n, done)
	}
	if n += d.forget(days(90)); n != 450 {
		t.Errorf("%d were forgotten, want 450", n)
	}
}

// history is the kinds of evidence of a purchase, each once.
func (d *desk) history(id string) (kinds []string) {
	d.t.Helper()
	list, err := d.store.Evidence(d.ctx(), id)
	d.must(err)
	for _, e := range list {
		kinds = append(kinds, string(e.Kind))
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// lived is a purchase that has every kind of evidence and ended.
func (d *desk) lived(target topup.Target, payment topup.Payment) topup.Purchase {
	d.t.Helper()
	p := d.advance(d.send(target), func(c *topup.Change) {
		confirmed("inv_" + string(target.Customer))(c)
		for _, kind := range everyKind {
			c.Evidence = append(c.Evidence, topup.Evidence{Kind: topup.EvidenceKind(kind), Text: "text"})
		}
	})
	return d.advance(p, func(c *topup.Change) {
		credited(c)
		c.Next.Payment = payment
	})
}

var (
	everyKind = []string{"answer", "look", "payment", "permit", "planned", "resolved", "state"}
	forEver   = []string{"answer", "permit", "resolved"}
)

func oldStepsGo(t *testing.T, open Opener) {
	d := newDeskOf(t, open, days(800))
	var old []topup.Purchase
	for i := range 120 {
		old = append(old, d.lived(customer(i), topup.PaymentPaid))
	}
	d.clock.forward(days(0).Sub(days(800)))
	sum := 0
	for calls := 0; ; calls++ {
		n, done, err := d.store.ForgetEvidence(t.Context(), days(730))
		d.must(err)
		sum += n
		if done {
			if calls < 2 {
				t.Errorf("120 purchases in %d transactions", calls+1)
			}
			break
		}
	}
	if want := 5 * 120; sum != want { // planned twice: by the plan too
		t.Errorf("%d lines were forgotten, want %d", sum, want)
	}
	for _, p := range old {
		got, err := d.store.Purchase(t.Context(), p.ID)
		d.must(err)
		if diff := cmp.Diff(p, got); diff != "" {
			t.Fatalf("the purchase itself (-before +after):\n%s", diff)
		}
		if kinds := d.history(p.ID); !slices.Equal(kinds, forEver) {
			t.Fatalf("%q is left, want %q", kinds, forEver)
		}
	}
	if n, done, err := d.store.ForgetEvidence(t.Context(), days(730)); n != 0 || !done || err != nil {
		t.Errorf("again: %d, %t, %v", n, done, err)
	}
}

func youngStepsStay(t *testing.T, open Opener) {
	d := newDeskOf(t, open, days(800))
	unpaid := d.lived(customer(1), topup.PaymentPending)
	waiting := d.send(customer(2))
	d.clock.forward(days(0).Sub(days(100)))
	d.acquireAll()
	young := d.lived(customer(3), topup.PaymentPaid)
	for _, before := range []time.Time{days(730), days(701)} {
		if n, done, err := d.store.ForgetEvidence(t.Context(), before); n != 0 || !done || err != nil {
			t.Errorf("before %s: %d, %t, %v; want nothing", before, n, done, err)
		}
	}
	for what, p := range map[string]topup.Purchase{"unpaid": unpaid, "young": young} {
		if kinds := d.history(p.ID); !slices.Equal(kinds, everyKind) {
			t.Errorf("%s: %q is left, want all", what, kinds)
		}
	}
	if kinds := fmt.Sprint(d.history(waiting.ID)); kinds != "[permit planned]" {
		t.Errorf("open: %s is left, want all", kinds)
	}
}
