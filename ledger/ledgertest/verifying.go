package ledgertest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var verifying = map[string]func(*testing.T, Opener){
	"purchases planned since then are listed whole, oldest first": plannedSince,
	"what answers named is listed by purchase":                    namedByAnswers,
	"imports since then are listed by either of their times":      importsSince,
	"the permits of a purchase are listed":                        permitsOf,
	"the newest comparison of each provider is kept":              newestVerification,
	"what a comparison could not judge is known by its oldest":    unjudgedOldest,
	"a difference is acknowledged once, for ever":                 acknowledgedOnce,
	"of many who acknowledge at once, one is first":               acknowledgedAtOnce,
}

func plannedSince(t *testing.T, open Opener) {
	d := newDesk(t, open)
	var want []string
	for n := range 3 {
		p := d.advance(d.plan(customer(n)), cancelled)
		if n > 0 {
			want = append(want, p.ID)
		}
		d.clock.forward(time.Minute)
		d.must(d.renewed(hyperline))
	}
	at := noon.Add(time.Minute)
	same := d.plan(customer(1)) // of the same provider, later
	want = append(want, same.ID)
	d.plan(topup.Target{Provider: voice, Customer: "env-1", Product: "credits"})
	list, err := d.store.Planned(t.Context(), hyperline, at)
	d.must(err)
	var got []string
	for _, p := range list {
		got = append(got, p.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("planned since %s (-want +got):\n%s", at, diff)
	}
}

// unjudgedOldest: a purchase that has ended, its quiet period over, was judged by
// every comparison since; one that was open or young then was not.
func unjudgedOldest(t *testing.T, open Opener) {
	d := newDesk(t, open)
	unjudged := func(at time.Time, want time.Time, ids ...string) {
		t.Helper()
		got, err := d.store.Unjudged(t.Context(), hyperline, at, ids)
		d.must(err)
		if !got.Equal(want) {
			t.Errorf("the oldest that was not judged at %s is of %s, want %s", at, got, want)
		}
	}
	unjudged(noon, time.Time{})
	over := d.advance(d.advance(d.send(customer(1)), confirmed("inv_1")), credited)
	d.clock.forward(50 * time.Minute)
	d.must(d.renewed(hyperline))
	unjudged(d.clock.Now(), time.Time{})
	unjudged(d.clock.Now(), noon, over.ID)                         // it was charged wrongly
	unjudged(noon, noon)                                           // it was just sent
	unjudged(over.QuietUntil(), noon)                              // inclusive
	unjudged(over.QuietUntil().Add(time.Microsecond), time.Time{}) // over
	blocked := d.advance(d.send(customer(2)), confirmed("inv_2"))
	d.clock.forward(3 * 24 * time.Hour)
	unjudged(d.clock.Now(), blocked.PlannedAt) // still open
	d.advance(blocked, credited)
	unjudged(d.clock.Now().Add(-time.Hour), blocked.PlannedAt) // it was open then
	unjudged(d.clock.Now().Add(time.Hour), time.Time{})
	got, err := d.store.Unjudged(t.Context(), voice, noon, nil)
	d.must(err)
	if !got.IsZero() {
		t.Errorf("another provider's: %s", got)
	}
}

func namedByAnswers(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	yes := topup.Answered(p, topup.Answer{Verdict: topup.Accepted, Reference: "inv_1", Status: 201}, true, d.clock.Now())
	p, err := d.store.Advance(t.Context(), yes)
	d.must(err)
	unclear := topup.Answered(p, topup.Answer{Verdict: topup.Unknown, Detail: "no answer"}, true, d.clock.Now())
	late := topup.Answered(p, topup.Answer{Verdict: topup.Unknown, Reference: "inv_2"}, true, d.clock.Now())
	d.must(d.store.Append(t.Context(), p.ID, append(unclear.Evidence, late.Evidence...)...))
	got, err := d.store.Named(t.Context(), hyperline, noon)
	d.must(err)
	if diff := cmp.Diff([]ledger.Named{{Purchase: p.ID, Reference: "inv_1"}, {Purchase: p.ID, Reference: "inv_2"}}, got); diff != "" {
		t.Errorf("named (-want +got):\n%s", diff)
	}
	if got, err = d.store.Named(t.Context(), hyperline, noon.Add(time.Second)); len(got) != 0 || err != nil {
		t.Errorf("of later purchases: %v, %v; want none", got, err)
	}
}

func importsSince(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.imports(1, addition("old", noon.Add(-10*time.Hour)))
	d.clock.forward(2 * time.Hour)
	d.imports(2, addition("late", noon.Add(-9*time.Hour)), addition("new", noon.Add(time.Hour)))
	list, err := d.store.Imports(t.Context(), hyperline, noon.Add(time.Minute))
	d.must(err)
	var got []string
	for _, r := range list {
		got = append(got, r.ID+" "+r.Invoice+" "+r.Source)
	}
	if diff := cmp.Diff([]string{"late inv_late portal", "new inv_new portal"}, got); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

func permitsOf(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	d.permit(d.repeat(p))
	got, err := d.store.Permits(t.Context(), p.ID)
	d.must(err)
	want := []ledger.Permit{
		{N: 1, At: noon, Replica: holder, Key: p.Key, Fingerprint: p.Fingerprint, TokenFingerprint: token, Term: d.leases[hyperline].Term, Used: true},
		{N: 2, At: d.clock.Now(), Replica: holder, Key: p.Key, Fingerprint: p.Fingerprint, TokenFingerprint: token, Term: d.leases[hyperline].Term, Used: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permits (-want +got):\n%s", diff)
	}
}

func newestVerification(t *testing.T, open Opener) {
	d := newDesk(t, open)
	if list, err := d.store.Verifications(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("a fresh ledger has %v, %v", list, err)
	}
	keys := slices.Repeat([]string{"double_charge purchase inv row"}, 1001)
	newer := ledger.Verification{Provider: hyperline, At: noon, Since: noon.Add(-48 * time.Hour), Counts: map[string]int{"double_charge": 1001}, Keys: keys}
	older := ledger.Verification{Provider: hyperline, At: noon.Add(-time.Hour), Since: noon.Add(-49 * time.Hour), Counts: map[string]int{}}
	other := ledger.Verification{Provider: voice, At: noon, Since: noon.Add(-time.Hour), Counts: map[string]int{"unknown_row": 0}, Keys: []string{}}
	d.must(d.store.SaveVerification(t.Context(), older))
	d.must(d.store.SaveVerification(t.Context(), newer))
	d.must(d.store.SaveVerification(t.Context(), older)) // it took longer
	d.must(d.store.SaveVerification(t.Context(), other))
	got, err := d.store.Verifications(t.Context())
	d.must(err)
	newer.Keys = keys[:1000]
	if diff := cmp.Diff([]ledger.Verification{newer, other}, got); diff != "" {
		t.Errorf("verifications (-want +got):\n%s", diff)
	}
}

func acknowledgement(id, by string) ledger.Action {
	return ledger.Action{Provider: hyperline, Subject: id, By: by, Reason: "kept, the customer agreed", Effect: "double_charge of cus_acme"}
}

func acknowledgedOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	if list, err := d.store.Acknowledgements(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("a fresh ledger has %v, %v", list, err)
	}
	first, err := d.store.Acknowledge(t.Context(), acknowledgement("d-1", "ana"))
	d.must(err)
	want := acknowledgement("d-1", "ana")
	want.Kind, want.At = ledger.ActionAcknowledge, noon
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	d.clock.forward(time.Minute)
	again, err := d.store.Acknowledge(t.Context(), acknowledgement("d-1", "ben"))
	if !errors.Is(err, ledger.ErrAcknowledged) || again.By != "ana" || !again.At.Equal(noon) {
		t.Errorf("again: %+v, %v; want ErrAcknowledged, and by whom and when", again, err)
	}
	other, err := d.store.Acknowledge(t.Context(), acknowledgement("d-2", "ben"))
	d.must(err)
	unknown := acknowledgement("d-3", "ben")
	unknown.Provider = "nobody"
	if _, err := d.store.Acknowledge(t.Context(), unknown); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("at a provider that nobody registered: %v, want ErrNotFound", err)
	}
	d.paused(topup.Pause{Scope: topup.PauseAll, By: "ana", Reason: "another action"})
	got, err := d.store.Acknowledgements(t.Context())
	d.must(err)
	if diff := cmp.Diff([]ledger.Action{first, other}, got); diff != "" {
		t.Errorf("acknowledged (-want +got):\n%s", diff)
	}
	if log, err := d.store.Actions(t.Context(), 0); len(log) != 3 || err != nil {
		t.Errorf("the log of actions has %d entries, %v; want both and the pause", len(log), err)
	}
}

func acknowledgedAtOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	const people = 8
	results := make(chan error, people)
	for range people {
		go func() {
			_, err := d.store.Acknowledge(t.Context(), acknowledgement("d-1", "ana"))
			results <- err
		}()
	}
	stored := 0
	for range people {
		switch err := <-results; {
		case err == nil:
			stored++
		case !errors.Is(err, ledger.ErrAcknowledged):
			t.Error(err)
		}
	}
	if list, err := d.store.Acknowledgements(t.Context()); stored != 1 || len(list) != 1 || err != nil {
		t.Errorf("%d stored, %d listed, %v; want one", stored, len(list), err)
	}
}
