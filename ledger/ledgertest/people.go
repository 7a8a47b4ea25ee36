package ledgertest

import (
	order "cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var people = map[string]func(*testing.T, Opener){
	"a pause holds until resumed, or until its end": pauseHolds,
	"pauses stack": pausesStack,
	"a resume lifts the pauses that it names":            resumeNames,
	"several pauses are not lifted unnamed":              resumeAsks,
	"a stop of topupd's own is there once for a cause":   stopsOfItsOwn,
	"a cause that is gone lifts its own stop only":       liftByCause,
	"everybody who was heard of is known":                customersKnown,
	"what covers nothing is no pause":                    pauseNeedsSubject,
	"resuming a customer lifts its suspension":           resumeCustomer,
	"resuming a rule lifts what its refusals suspended":  resumeRule,
	"resuming a provider lifts what holds it":            resumeProvider,
	"a resume lifts its own scope only":                  resumeOwnScope,
	"what people did is kept":                            actionsKept,
	"a customer is paused at one provider or everywhere": pauseAtOneProvider,
}

func (d *desk) planned(want error) {
	d.t.Helper()
	p, err := d.store.Plan(d.ctx(), d.request(acme))
	if !errors.Is(err, want) {
		d.t.Errorf("Plan = %v, want %v", err, want)
	}
	if err == nil {
		d.advance(p, cancelled)
	}
}

func pauseHolds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	until := noon.Add(time.Minute)
	pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme", Until: &until})(d)
	d.planned(topup.ErrPaused)
	d.clock.forward(time.Minute - time.Microsecond)
	d.planned(topup.ErrPaused)
	d.clock.forward(time.Microsecond)
	d.planned(nil)
	if list, err := d.store.Pauses(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("pauses after the end: %v, %v", list, err)
	}

	pause(topup.Pause{Scope: topup.PauseAll})(d)
	d.planned(topup.ErrPaused)
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "done"})
	d.must(err)
	if len(r.Pauses) != 1 {
		t.Errorf("Resume = %+v", r)
	}
	d.planned(nil)
	if r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "again"}); !cmp.Equal(r, ledger.Resumed{}) || err != nil {
		t.Errorf("a second resume = %+v, %v; want nothing", r, err)
	}
}

// paused throws a person's switch and returns it as stored.
func (d *desk) paused(p topup.Pause) topup.Pause {
	d.t.Helper()
	p, err := d.store.Pause(d.ctx(), p)
	d.must(err)
	return p
}

// pauses are those that hold now.
func (d *desk) pauses() []topup.Pause {
	d.t.Helper()
	list, err := d.store.Pauses(d.ctx())
	d.must(err)
	return list
}

// pausesStack: a short pause beside a lasting one ended the lasting one, and 12
// seconds later something was bought.
func pausesStack(t *testing.T, open Opener) {
	d := newDesk(t, open)
	rule := topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "wrong pack, do not resume"}
	lasting := d.paused(rule)
	until := noon.Add(3 * time.Second)
	rule.Until, rule.By, rule.Reason = &until, "ben", "a moment"
	short := d.paused(rule)
	if lasting.ID == "" || short.ID == lasting.ID || !lasting.At.Equal(noon) {
		t.Errorf("pauses = %+v and %+v, want an id for each", lasting, short)
	}
	if diff := cmp.Diff(d.pauses(), byID(lasting, short)); diff != "" {
		t.Errorf("pauses (-got +want):\n%s", diff)
	}
	d.clock.forward(time.Minute)
	if diff := cmp.Diff(d.pauses(), []topup.Pause{lasting}); diff != "" {
		t.Errorf("pauses after the short one (-got +want):\n%s", diff)
	}
	d.planned(topup.ErrPaused)
	past := noon
	if _, err := d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, Until: &past, By: "ana"}); err == nil {
		t.Error("a pause that is over already was accepted")
	}
	if _, err := d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll}); err == nil {
		t.Error("a pause by nobody was accepted")
	}
	if _, err := d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Cause: topup.StopPrice}); err == nil {
		t.Error("a person's pause with a cause was accepted")
	}
}

// byID sorts pauses of one switch that were thrown at the same time.
func byID(pauses ...topup.Pause) []topup.Pause {
	return slices.SortedFunc(slices.Values(pauses), func(a, b topup.Pause) int { return order.Compare(a.ID, b.ID) })
}

func resumeNames(t *testing.T, open Opener) {
	d := newDesk(t, open)
	rule := topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "wrong pack"}
	first, second := d.paused(rule), d.paused(rule)
	all := d.paused(topup.Pause{Scope: topup.PauseAll, By: "ben", Reason: "maintenance"})
	if _, err := d.store.ResumePauses(t.Context(), []string{first.ID, "nope"}, "ben", "done"); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("an id that is none: %v, want ErrNotFound", err)
	}
	if _, err := d.store.Resume(t.Context(), rule, all.ID); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("an id of another scope: %v, want ErrNotFound", err)
	}
	if n := len(d.pauses()); n != 3 {
		t.Fatalf("%d pauses after a refused resume, want all 3", n)
	}
	r, err := d.store.ResumePauses(t.Context(), []string{all.ID, second.ID, all.ID}, "ben", "done")
	d.must(err)
	if diff := cmp.Diff([]topup.Pause{all, second}, r.Pauses); diff != "" {
		t.Errorf("lifted (-want +got):\n%s", diff)
	}
	d.planned(topup.ErrPaused)
	r, err = d.store.Resume(t.Context(), rule, first.ID)
	d.must(err)
	if len(r.Pauses) != 1 || len(d.pauses()) != 0 {
		t.Errorf("lifted %v, left %v", r.Pauses, d.pauses())
	}
	d.planned(nil)
}

func resumeAsks(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for range 4 {
		d.advance(d.send(acme), refused)
	}
	customer := topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme", By: "ana", Reason: "asked us to"}
	everywhere := d.paused(customer)
	customer.Provider, customer.By = hyperline, "ben"
	here := d.paused(customer)
	customer.Provider, customer.By = "", "eve"
	_, err := d.store.Resume(t.Context(), customer)
	several, ok := errors.AsType[*ledger.SeveralPausesError](err)
	if !ok || len(several.Pauses) != 2 {
		t.Fatalf("Resume = %v, want both pauses in an error", err)
	}
	if s := d.standing(acme); s.SuspendedAt == nil || len(s.Pauses) != 2 {
		t.Errorf("a resume that was refused lifted something: %+v", s)
	}
	customer.Provider = hyperline
	r, err := d.store.Resume(t.Context(), customer)
	d.must(err)
	if len(r.Pauses) != 1 || r.Pauses[0].ID != here.ID || r.Suspensions != 1 || d.pauses()[0].ID != everywhere.ID {
		t.Errorf("Resume at one provider = %+v, left %v", r, d.pauses())
	}
}

func stopsOfItsOwn(t *testing.T, open Opener) {
	d := newDesk(t, open)
	rule := topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", Cause: topup.StopPrice, Reason: "billed 220 instead of 200"}
	began, err := d.store.Stop(t.Context(), rule)
	d.must(err)
	d.planned(topup.ErrRuleStopped)
	rule.Reason = "billed 230 instead of 200"
	again, err := d.store.Stop(t.Context(), rule)
	d.must(err)
	list := d.pauses()
	if !began || again || len(list) != 1 || list[0].Cause != topup.StopPrice || list[0].By != ledger.Itself || list[0].Reason != "billed 220 instead of 200" {
		t.Errorf("began %t, again %t, pauses = %+v", began, again, list)
	}
	until := noon.Add(time.Minute)
	d.paused(topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", Until: &until, By: "ben", Reason: "lunch"})
	d.planned(topup.ErrPaused) // what a person wants comes first
	d.clock.forward(time.Minute)
	d.planned(topup.ErrRuleStopped)
	rule.Until = &until
	if _, err := d.store.Stop(t.Context(), rule); err == nil {
		t.Error("a stop with an end was accepted")
	}
	if _, err := d.store.Stop(t.Context(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits"}); err == nil {
		t.Error("a stop without a cause was accepted")
	}
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "price is right now"})
	d.must(err)
	if len(r.Pauses) != 1 {
		t.Errorf("Resume = %+v", r)
	}
	d.planned(nil)
}

func liftByCause(t *testing.T, open Opener) {
	d := newDesk(t, open)
	price := topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", Cause: topup.StopPrice, Reason: "billed 220 instead of 200"}
	other := price
	other.Cause = "another"
	for _, p := range []topup.Pause{price, other} {
		_, err := d.store.Stop(t.Context(), p)
		d.must(err)
	}
	kept := d.paused(topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ben", Reason: "lunch"})
	for _, want := range []bool{true, false} {
		if lifted, err := d.store.LiftStop(t.Context(), other, "a yes"); lifted != want || err != nil {
			t.Errorf("LiftStop = %t, %v; want %t", lifted, err, want)
		}
	}
	left := d.pauses()
	if len(left) != 2 || !slices.ContainsFunc(left, func(p topup.Pause) bool { return p.ID == kept.ID }) ||
		!slices.ContainsFunc(left, func(p topup.Pause) bool { return p.Cause == topup.StopPrice }) {
		t.Errorf("left = %+v", left)
	}
	if _, err := d.store.LiftStop(t.Context(), kept, "no cause"); err == nil {
		t.Error("a person's pause was lifted as if it had a cause")
	}
}

func customersKnown(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(acme)
	read := evaluation(customer(2), topup.NoRule)
	d.must(d.store.RecordEvaluations(t.Context(), []topup.Evaluation{read}))
	d.plan(topup.Target{Provider: voice, Customer: "env-1", Product: "credits"})
	d.paused(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_nobody", By: "ana", Reason: "ordered by mail"})
	for provider, want := range map[topup.ProviderID]map[topup.CustomerID]string{
		hyperline: {"cus_acme": "", customer(2).Customer: read.CustomerName, "cus_nobody": ""},
		"":        {"cus_acme": "", customer(2).Customer: read.CustomerName, "cus_nobody": "", "env-1": ""},
	} {
		list, err := d.store.Customers(t.Context(), provider)
		d.must(err)
		for _, id := range []topup.CustomerID{"cus_acme", customer(2).Customer, "cus_nobody", "env-1", "cus_nope"} {
			_, listed := want[id]
			if known, err := d.store.Known(t.Context(), provider, id); known != listed || err != nil {
				t.Errorf("Known(%q, %s) = %t, %v; want %t", provider, id, known, err, listed)
			}
		}
		got := map[topup.CustomerID]string{}
		for _, c := range list {
			got[c.ID] = order.Or(got[c.ID], c.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Customers(%q) (-want +got):\n%s", provider, diff)
		}
	}
}

func pauseNeedsSubject(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for _, p := range []topup.Pause{{}, {Scope: "everything"}, {Scope: topup.PauseProvider}, {Scope: topup.PauseRule}, {Scope: topup.PauseCustomer}} {
		p.By = "ana"
		if _, err := d.store.Pause(t.Context(), p); err == nil {
			t.Errorf("Pause(%+v): no error", p)
		}
		stop := p
		stop.Cause = topup.StopPrice
		if _, err := d.store.Stop(t.Context(), stop); err == nil {
			t.Errorf("Stop(%+v): no error", stop)
		}
		if _, err := d.store.Resume(t.Context(), p); err == nil {
			t.Errorf("Resume(%+v): no error", p)
		}
	}
}

func resumeCustomer(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for range 4 {
		d.advance(d.send(acme), refused)
	}
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme", By: "ana", Reason: "new card by phone"})
	d.must(err)
	if !cmp.Equal(r, ledger.Resumed{Suspensions: 1}) {
		t.Errorf("Resume = %+v", r)
	}
	if s := d.standing(acme); s.SuspendedAt != nil || s.Declines != 0 || s.BackoffUntil != nil {
		t.Errorf("after resume: %+v", s)
	}
}

// resumeRule: P7. Whoever resumes a rule says that it is put right: what was
// refused under it is tried again, what was declined is not.
func resumeRule(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for range 4 {
		d.advance(d.send(acme), refusedRequest)
		d.advance(d.send(customer(1)), refused)
		d.advance(d.send(customer(2), func(r *topup.PlanRequest) { r.Purchase.Rule = "another" }), refusedRequest)
	}
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "the method exists now"})
	d.must(err)
	if !cmp.Equal(r, ledger.Resumed{Suspensions: 1}) {
		t.Errorf("Resume = %+v", r)
	}
	if s := d.standing(acme); s.SuspendedAt != nil || s.Refusals != 0 || s.Refusal != "" || s.BackoffUntil != nil {
		t.Errorf("after resuming the rule: %+v", s)
	}
	for _, other := range []topup.Target{customer(1), customer(2)} {
		if s := d.standing(other); s.SuspendedAt == nil || s.BackoffUntil == nil {
			t.Errorf("%s, who was declined, or refused under another rule, is not suspended any more: %+v", other.Customer, s)
		}
	}
	_, err = d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_2", By: "ana", Reason: "try"})
	d.must(err)
	if s := d.standing(customer(2)); s.SuspendedAt != nil || s.Refusal != "" || s.Refusals != 0 {
		t.Errorf("after resuming the customer: %+v", s)
	}
}

func resumeProvider(t *testing.T, open Opener) {
	d := newDesk(t, open)
	stop(d)
	d.must(d.store.Quarantine(t.Context(), hyperline, "restored")) // P18
	d.doubt(customer(2), acme, customer(3), customer(4))
	pause(topup.Pause{Scope: topup.PauseProvider, Provider: hyperline})(d)
	s := d.standing(acme)
	if s.Stopped == "" || s.Quarantined != "restored" || s.Implausible == "" || len(s.Pauses) != 1 {
		t.Fatalf("standing before = %+v", s)
	}
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseProvider, Provider: hyperline, By: "ana", Reason: "checked"})
	d.must(err)
	if len(r.Pauses) != 1 || !cmp.Equal(r, ledger.Resumed{Pauses: r.Pauses, Implausible: 4, Stop: true, Quarantine: true}) {
		t.Errorf("Resume = %+v", r)
	}
	d.planned(nil)
}

func resumeOwnScope(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseRule, Subject: "api-credits"})(d)
	for _, p := range []topup.Pause{
		{Scope: topup.PauseAll},
		{Scope: topup.PauseProvider, Provider: hyperline},
		{Scope: topup.PauseCustomer, Subject: "api-credits"},
		{Scope: topup.PauseRule, Subject: "another"},
	} {
		r, err := d.store.Resume(t.Context(), p)
		d.must(err)
		if len(r.Pauses) != 0 {
			t.Errorf("resuming %s lifted the rule's pause", p.Scope)
		}
	}
	d.planned(topup.ErrPaused)
}

func pauseAtOneProvider(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseCustomer, Provider: voice, Subject: "cus_acme"})(d)
	d.planned(nil)
	pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme"})(d)
	d.planned(topup.ErrPaused)
	_, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme"})
	if several, ok := errors.AsType[*ledger.SeveralPausesError](err); !ok || len(several.Pauses) != 2 {
		t.Errorf("Resume = %v, want both pauses", err)
	}
}

func actionsKept(t *testing.T, open Opener) {
	d := newDesk(t, open)
	until := noon.Add(time.Hour)
	p := d.paused(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme", Until: &until, By: "ana", Reason: "asked us to"})
	d.clock.forward(time.Second)
	_, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme", By: "ben", Reason: "changed their mind"})
	d.must(err)
	got, err := d.store.Actions(t.Context(), 10)
	d.must(err)
	if len(got) != 2 || got[0].Kind != ledger.ActionResume || got[0].By != "ben" || got[0].Effect != "lifted: pause "+p.ID+" by ana" ||
		got[1].Effect != "pause "+p.ID ||
		got[1].Kind != ledger.ActionPause || got[1].Until == nil || got[1].Reason != "asked us to" || got[1].Subject != "cus_acme" {
		t.Errorf("actions = %+v", got)
	}
	if got, err = d.store.Actions(t.Context(), 1); len(got) != 1 || err != nil {
		t.Errorf("the newest alone: %+v, %v", got, err)
	}
}
