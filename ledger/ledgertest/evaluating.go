package ledgertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

// P15: the last decisions about each target can be asked for.
var evaluating = map[string]func(*testing.T, Opener){
	"the last twenty evaluations of a target are kept":    lastTwenty,
	"an evaluation is read back as it was":                evaluationRoundTrip,
	"since follows the reason, not the evaluation":        sinceFollowsReason,
	"one target many times in one call":                   manyTimesInOneCall,
	"many targets in one call":                            manyTargets,
	"targets shows the latest of each, filtered":          targetsLatest,
	"evaluations of an unregistered provider are refused": evaluationOfStranger,
}

func evaluation(target topup.Target, reason topup.Reason) topup.Evaluation {
	balance, threshold := 41*topup.Credit, 100*topup.Credit
	return topup.Evaluation{
		Target: target, ProviderName: "hyperline", CustomerName: "Acme", ProductName: "API credits",
		At: noon, Since: noon, Reason: reason, Text: "balance 41 below 100", Rule: "api-credits", RuleVersion: "v1",
		Balance: &balance, Threshold: &threshold, ReadAt: noon.Add(-time.Second), RefreshedAt: noon.Add(-time.Minute),
		Purchase: "", Detail: []byte(`{"facts":1}`),
	}
}

func lastTwenty(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for n := range ledger.Kept + 5 {
		e := evaluation(acme, topup.Enough)
		e.At, e.Text = noon.Add(time.Duration(n)*time.Second), fmt.Sprint(n)
		d.must(d.store.RecordEvaluations(t.Context(), []topup.Evaluation{e}))
	}
	got, err := d.store.Evaluations(t.Context(), ledger.Filter{Customer: acme.Customer, Product: acme.Product})
	d.must(err)
	if len(got) != ledger.Kept || got[0].Text != "24" || got[ledger.Kept-1].Text != "5" {
		t.Errorf("%d evaluations, from %q to %q; want 20, from 24 to 5", len(got), got[0].Text, got[len(got)-1].Text)
	}
	if got, err = d.store.Evaluations(t.Context(), ledger.Filter{Customer: acme.Customer, Limit: 3}); len(got) != 3 || err != nil {
		t.Errorf("the newest three: %d, %v", len(got), err)
	}
}

func evaluationRoundTrip(t *testing.T, open Opener) {
	d := newDesk(t, open)
	full := evaluation(acme, topup.Buy)
	full.Purchase = "0192"
	empty := topup.Evaluation{Target: customer(1), At: noon, Since: noon, Reason: topup.BadReading}
	d.must(d.store.RecordEvaluations(t.Context(), []topup.Evaluation{full, empty}))
	got, err := d.store.Targets(t.Context(), ledger.Filter{})
	d.must(err)
	if diff := cmp.Diff([]topup.Evaluation{empty, full}, got); diff != "" {
		t.Errorf("Targets (-want +got):\n%s", diff)
	}
}

func sinceFollowsReason(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for n, step := range []struct {
		reason topup.Reason
		since  int // minutes after noon
	}{{topup.Enough, 0}, {topup.Enough, 0}, {topup.OverCap, 2}, {topup.OverCap, 2}, {topup.Enough, 4}} {
		e := evaluation(acme, step.reason)
		e.At = noon.Add(time.Duration(n) * time.Minute)
		e.Since = e.At
		d.must(d.store.RecordEvaluations(t.Context(), []topup.Evaluation{e}))
		want := noon.Add(time.Duration(step.since) * time.Minute)
		for _, read := range []func() ([]topup.Evaluation, error){
			func() ([]topup.Evaluation, error) { return d.store.Targets(t.Context(), ledger.Filter{}) },
			func() ([]topup.Evaluation, error) { return d.store.Evaluations(t.Context(), ledger.Filter{Limit: 1}) },
		} {
			got, err := read()
			d.must(err)
			if !got[0].Since.Equal(want) || got[0].Reason != step.reason {
				t.Errorf("evaluation %d: %s since %v, want %s since %v", n, got[0].Reason, got[0].Since, step.reason, want)
			}
		}
	}
}

func manyTimesInOneCall(t *testing.T, open Opener) {
	d := newDesk(t, open)
	var list []topup.Evaluation
	for n := range 3 {
		e := evaluation(acme, topup.Rechecking)
		e.At, e.Text = noon.Add(time.Duration(n)*time.Second), fmt.Sprint(n)
		list = append(list, e, evaluation(customer(n), topup.Enough))
	}
	d.must(d.store.RecordEvaluations(t.Context(), list))
	got, err := d.store.Evaluations(t.Context(), ledger.Filter{Customer: acme.Customer})
	d.must(err)
	if len(got) != 3 || got[0].Text != "2" || got[2].Text != "0" {
		t.Errorf("evaluations = %+v", got)
	}
}

func manyTargets(t *testing.T, open Opener) {
	d := newDesk(t, open)
	const n = 1000
	list := make([]topup.Evaluation, n)
	for i := range list {
		list[i] = evaluation(customer(i), topup.Enough)
	}
	for range 2 {
		d.must(d.store.RecordEvaluations(t.Context(), list))
	}
	if got, err := d.store.Targets(t.Context(), ledger.Filter{Provider: hyperline}); len(got) != n || err != nil {
		t.Errorf("%d targets, %v; want %d", len(got), err, n)
	}
	if got, err := d.store.Evaluations(t.Context(), ledger.Filter{}); len(got) != 2*n || err != nil {
		t.Errorf("%d evaluations, %v; want %d", len(got), err, 2*n)
	}
}

func targetsLatest(t *testing.T, open Opener) {
	d := newDesk(t, open)
	other := evaluation(customer(1), topup.Enough)
	other.Rule, other.ProviderName, other.At = "another", "billing", noon.Add(time.Hour)
	d.must(d.store.RecordEvaluations(t.Context(), []topup.Evaluation{evaluation(acme, topup.Enough), other}))
	for name, f := range map[string]ledger.Filter{
		"rule": {Rule: "another"}, "label": {ProviderName: "billing"}, "customer": {Customer: "cus_1"}, "since": {Since: noon.Add(time.Hour)},
		"limit, by customer": {Limit: 1, Customer: "cus_1", Product: acme.Product, Provider: hyperline},
	} {
		got, err := d.store.Targets(t.Context(), f)
		d.must(err)
		if len(got) != 1 || got[0].Target != customer(1) {
			t.Errorf("by %s: %+v", name, got)
		}
	}
}

func evaluationOfStranger(t *testing.T, open Opener) {
	d := newDesk(t, open)
	e := evaluation(acme, topup.Enough)
	e.Target.Provider = "hyperline://elsewhere/"
	if err := d.store.RecordEvaluations(t.Context(), []topup.Evaluation{e}); err == nil {
		t.Error("recorded")
	}
	if err := d.store.RecordEvaluations(t.Context(), nil); err != nil {
		t.Errorf("nothing to record: %v", err)
	}
}
