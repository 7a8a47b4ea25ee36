package ledgertest

import (
	"errors"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

var people = map[string]func(*testing.T, Opener){
	"a pause holds until resumed, or until its end":      pauseHolds,
	"a pause again replaces its reason and end":          pauseReplaced,
	"a pause that topupd threw itself is given no end":   pauseOfItsOwn,
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
	pause(topup.Pause{Scope: topup.PauseCustomer, ID: "cus_acme", Until: &until})(d)
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
	if r.Pauses != 1 {
		t.Errorf("Resume = %+v", r)
	}
	d.planned(nil)
	if r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "again"}); r != (ledger.Resumed{}) || err != nil {
		t.Errorf("a second resume = %+v, %v; want nothing", r, err)
	}
}

func pauseReplaced(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseRule, ID: "api-credits"})(d)
	until := noon.Add(time.Minute)
	d.must(d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseRule, ID: "api-credits", Until: &until, By: "ben", Reason: "shorter"}))
	list, err := d.store.Pauses(t.Context())
	d.must(err)
	if len(list) != 1 || list[0].By != "ben" || list[0].Until == nil || !list[0].Until.Equal(until) || !list[0].At.Equal(noon) {
		t.Errorf("pauses = %+v", list)
	}
	past := noon
	if err := d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseAll, Until: &past}); err == nil {
		t.Error("a pause that is over already was accepted")
	}
}

func pauseOfItsOwn(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.must(d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseRule, ID: "api-credits", By: ledger.Itself, Reason: "billed 220 instead of 200"}))
	until := noon.Add(time.Minute)
	d.must(d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseRule, ID: "api-credits", Until: &until, By: "ben", Reason: "lunch"}))
	list, err := d.store.Pauses(t.Context())
	d.must(err)
	if len(list) != 1 || list[0].By != ledger.Itself || list[0].Until != nil {
		t.Errorf("pauses = %+v", list)
	}
	d.must(d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseRule, ID: "api-credits", By: "ben", Reason: "for good"}))
	list, err = d.store.Pauses(t.Context())
	d.must(err)
	if len(list) != 1 || list[0].By != "ben" || list[0].Until != nil {
		t.Errorf("pauses = %+v", list)
	}
}

func pauseNeedsSubject(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for _, p := range []topup.Pause{{}, {Scope: "everything"}, {Scope: topup.PauseProvider}, {Scope: topup.PauseRule}, {Scope: topup.PauseCustomer}} {
		if err := d.store.Pause(t.Context(), p); err == nil {
			t.Errorf("Pause(%+v): no error", p)
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
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, ID: "cus_acme", By: "ana", Reason: "new card by phone"})
	d.must(err)
	if r != (ledger.Resumed{Suspensions: 1}) {
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
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseRule, ID: "api-credits", By: "ana", Reason: "the method exists now"})
	d.must(err)
	if r != (ledger.Resumed{Suspensions: 1}) {
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
	_, err = d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, ID: "cus_2", By: "ana", Reason: "try"})
	d.must(err)
	if s := d.standing(customer(2)); s.SuspendedAt != nil || s.Refusal != "" || s.Refusals != 0 {
		t.Errorf("after resuming the customer: %+v", s)
	}
}

func resumeProvider(t *testing.T, open Opener) {
	d := newDesk(t, open)
	stop(d)
	d.must(d.store.Quarantine(t.Context(), hyperline, "restored")) // P18
	d.must(d.store.HoldImplausible(t.Context(), []topup.Target{customer(2), acme}, "all at zero"))
	pause(topup.Pause{Scope: topup.PauseProvider, Provider: hyperline})(d)
	s := d.standing(acme)
	if s.Stopped == "" || s.Quarantined != "restored" || s.Implausible != "all at zero" || s.Pause == nil {
		t.Fatalf("standing before = %+v", s)
	}
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseProvider, Provider: hyperline, By: "ana", Reason: "checked"})
	d.must(err)
	if r != (ledger.Resumed{Pauses: 1, Implausible: 2, Stop: true, Quarantine: true}) {
		t.Errorf("Resume = %+v", r)
	}
	d.planned(nil)
}

func resumeOwnScope(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseRule, ID: "api-credits"})(d)
	for _, p := range []topup.Pause{
		{Scope: topup.PauseAll},
		{Scope: topup.PauseProvider, Provider: hyperline},
		{Scope: topup.PauseCustomer, ID: "api-credits"},
		{Scope: topup.PauseRule, ID: "another"},
	} {
		r, err := d.store.Resume(t.Context(), p)
		d.must(err)
		if r.Pauses != 0 {
			t.Errorf("resuming %s lifted the rule's pause", p.Scope)
		}
	}
	d.planned(topup.ErrPaused)
}

func pauseAtOneProvider(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseCustomer, Provider: voice, ID: "cus_acme"})(d)
	d.planned(nil)
	pause(topup.Pause{Scope: topup.PauseCustomer, ID: "cus_acme"})(d)
	d.planned(topup.ErrPaused)
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, ID: "cus_acme"})
	d.must(err)
	if r.Pauses != 2 {
		t.Errorf("Resume lifted %d pauses, want both", r.Pauses)
	}
}

func actionsKept(t *testing.T, open Opener) {
	d := newDesk(t, open)
	until := noon.Add(time.Hour)
	d.must(d.store.Pause(t.Context(), topup.Pause{Scope: topup.PauseCustomer, ID: "cus_acme", Until: &until, By: "ana", Reason: "asked us to"}))
	d.clock.forward(time.Second)
	_, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, ID: "cus_acme", By: "ben", Reason: "changed their mind"})
	d.must(err)
	got, err := d.store.Actions(t.Context(), 10)
	d.must(err)
	if len(got) != 2 || got[0].Kind != ledger.ActionResume || got[0].By != "ben" || got[0].Effect != "lifted: 1 pauses" ||
		got[1].Kind != ledger.ActionPause || got[1].Until == nil || got[1].Reason != "asked us to" || got[1].Subject != "cus_acme" {
		t.Errorf("actions = %+v", got)
	}
	if got, err = d.store.Actions(t.Context(), 1); len(got) != 1 || err != nil {
		t.Errorf("the newest alone: %+v, %v", got, err)
	}
}
