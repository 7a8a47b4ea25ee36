package ledgertest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"topupd/topup"
)

var standings = map[string]func(*testing.T, Opener){
	"a target that was never heard of has the base standing":  neverHeardOf,
	"many standings are each one's own":                       manyAreEach,
	"a pause of a customer is seen before anything is stored": pauseSeenEarly,
	"the widest pause is shown":                               widestPause,
}

func neverHeardOf(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseRule, Subject: "another"})(d)
	known, base, err := d.store.Standings(t.Context(), hyperline)
	d.must(err)
	if len(known) != 0 {
		t.Errorf("known = %v", known)
	}
	if diff := cmp.Diff(base, d.standing(acme)); diff != "" {
		t.Errorf("base and Standing differ (-base +standing):\n%s", diff)
	}
	if base.Version != 0 || !base.Now.Equal(noon) || base.FirstSeenAt == nil || len(base.Pauses) != 1 {
		t.Errorf("base = %+v", base)
	}
}

func manyAreEach(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(customer(1))
	d.send(customer(2))
	d.advance(d.advance(d.send(customer(3)), confirmed("inv_3")), credited)
	d.advance(d.send(customer(4)), refused)
	d.doubt(customer(5), customer(6), customer(7), customer(8))
	d.plan(topup.Target{Provider: voice, Customer: "env-1", Product: "credits"})
	pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_4"})(d)
	known, _, err := d.store.Standings(t.Context(), hyperline)
	d.must(err)
	want := map[topup.Target]topup.Standing{}
	for n := 1; n <= 8; n++ {
		want[customer(n)] = d.standing(customer(n))
	}
	ofConfirmReads := cmpopts.IgnoreFields(topup.Standing{}, "LastStood", "Released") // left out, as Standings says
	if diff := cmp.Diff(want, known, ofConfirmReads); diff != "" {
		t.Errorf("Standings (-one by one +together):\n%s", diff)
	}
	if len(want[customer(4)].Pauses) != 1 || len(want[customer(1)].Pauses) != 0 || want[customer(1)].Open == nil || want[customer(5)].Implausible == "" || want[customer(5)].Fall == nil || want[customer(5)].DoubtedAt == nil {
		t.Errorf("standings = %+v", want)
	}
}

func pauseSeenEarly(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.must(d.store.RecordEvaluations(t.Context(), []topup.Evaluation{evaluation(acme, topup.Enough)}))
	pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme"})(d)
	known, base, err := d.store.Standings(t.Context(), hyperline)
	d.must(err)
	if len(known[acme].Pauses) != 1 || len(base.Pauses) != 0 {
		t.Errorf("known = %+v, base pauses %v", known, base.Pauses)
	}
}

func widestPause(t *testing.T, open Opener) {
	d := newDesk(t, open)
	pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme"})(d)
	pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_other"})(d)
	pause(topup.Pause{Scope: topup.PauseProvider, Provider: voice})(d)
	pause(topup.Pause{Scope: topup.PauseRule, Subject: "another"})(d)
	pause(topup.Pause{Scope: topup.PauseProvider, Provider: hyperline})(d)
	pause(topup.Pause{Scope: topup.PauseAll})(d)
	var scopes []topup.PauseScope
	for _, p := range d.standing(acme).Pauses {
		scopes = append(scopes, p.Scope)
	}
	want := []topup.PauseScope{topup.PauseAll, topup.PauseProvider, topup.PauseRule, topup.PauseCustomer}
	if diff := cmp.Diff(want, scopes); diff != "" {
		t.Errorf("pauses of the target (-want +got):\n%s", diff)
	}
}
