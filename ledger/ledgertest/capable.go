package ledgertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var capabilities = map[string]func(*testing.T, Opener){
	"what was found is kept, newest first":                     findingsKept,
	"what is no finding is not stored":                         findingsChecked,
	"no repeat where a repeat was charged again":               repeatsForbidden,
	"a repeat waits three times as long as purchases are late": repeatsDelayed,
	"a withdrawn finding does not count":                       findingsWithdrawn,
	"an experiment is known before it is sent":                 experimentsKept,
}

// found stores one finding about a provider.
func (d *desk) found(provider topup.ProviderID, name topup.CapabilityName, value string) topup.Capability {
	d.t.Helper()
	c := topup.Capability{Provider: provider, Name: name, Value: value, By: "ana", Report: strings.Repeat("ab", 32)}
	d.must(d.store.StoreCapabilities(d.ctx(), []topup.Capability{c}))
	c.FoundAt = d.clock.Now()
	return c
}

func findingsKept(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.found(hyperline, topup.KeysHonoured, "yes")
	d.clock.forward(time.Minute)
	second := d.found(hyperline, topup.KeysHonoured, "no")
	again := d.found(hyperline, topup.KeysHonoured, "no") // the same moment: one row
	elsewhere := d.found("hyperline://never.registered/", topup.SkipLimit, "10000")
	got, err := d.store.Capabilities(t.Context(), hyperline)
	d.must(err)
	if diff := cmp.Diff([]topup.Capability{second, first}, got); diff != "" || second != again {
		t.Errorf("at one provider (-want +got):\n%s", diff)
	}
	all, err := d.store.Capabilities(t.Context(), "")
	d.must(err)
	if diff := cmp.Diff([]topup.Capability{second, first, elsewhere}, all); diff != "" {
		t.Errorf("at all (-want +got):\n%s", diff)
	}
}

func findingsChecked(t *testing.T, open Opener) {
	d := newDesk(t, open)
	good := topup.Capability{Provider: hyperline, Name: topup.SkipLimit, Value: "5", By: "ana", Report: strings.Repeat("ab", 32)}
	for name, spoil := range map[string]func(*topup.Capability){
		"an unknown name":      func(c *topup.Capability) { c.Name = "mood" },
		"a value out of range": func(c *topup.Capability) { c.Value = "0" },
		"nobody's word":        func(c *topup.Capability) { c.By = "" },
		"no report":            func(c *topup.Capability) { c.Report = "" },
		"no provider":          func(c *topup.Capability) { c.Provider = "" },
	} {
		bad := good
		spoil(&bad)
		if err := d.store.StoreCapabilities(t.Context(), []topup.Capability{good, bad}); err == nil {
			t.Errorf("%s was stored", name)
		}
	}
	if list, err := d.store.Capabilities(t.Context(), ""); len(list) != 0 || err != nil {
		t.Errorf("a refused list was stored in part: %v, %v", list, err)
	}
}

// repeatsForbidden: P4, also for a purchase that was planned before the finding.
func repeatsForbidden(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	d.found(voice, topup.KeysHonoured, "no") // somebody else's keys
	d.found(hyperline, topup.KeysHonoured, "yes")
	d.found(hyperline, topup.KeysHonoured, "no")
	if _, err := d.store.Permit(t.Context(), d.repeat(p)); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("Permit of a repeat = %v, want it refused", err)
	}
	d.send(customer(2)) // a first request is nobody's repeat
}

func repeatsDelayed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	sent := d.send(acme)
	d.found(hyperline, topup.VisibleAfter, "6m")
	p := d.silent(sent) // 15 minutes later; three times 6 are 18
	d.clock.forward(3*time.Minute - time.Microsecond)
	if _, err := d.store.Permit(t.Context(), d.repeat(p)); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("Permit before 18 minutes = %v, want it refused", err)
	}
	d.clock.forward(time.Microsecond)
	d.permit(d.repeat(p))
}

func findingsWithdrawn(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	d.found(hyperline, topup.KeysHonoured, "no")
	other := d.found(hyperline, topup.SkipLimit, "500")
	for _, nobody := range [][2]string{{"", "why"}, {"ana", ""}} {
		if _, err := d.store.WithdrawCapability(t.Context(), hyperline, topup.KeysHonoured, nobody[0], nobody[1]); err == nil {
			t.Errorf("withdrawn by %q because of %q", nobody[0], nobody[1])
		}
	}
	n, err := d.store.WithdrawCapability(t.Context(), hyperline, topup.KeysHonoured, "ana", "another purchase was taken for a repeat")
	d.must(err)
	if list, err := d.store.Capabilities(t.Context(), hyperline); n != 1 || len(list) != 1 || list[0] != other || err != nil {
		t.Errorf("after withdrawing %d: %v, %v", n, list, err)
	}
	d.permit(d.repeat(p))
}

func experimentsKept(t *testing.T, open Opener) {
	d := newDesk(t, open)
	e := ledger.Experiment{
		ID: "0198c0de-0000-7000-8000-000000000001", Target: acme, Name: "same key again", Price: eur(200_00),
		Key: "6d1f3a52-2f6e-4d5c-9f7e-1c2b3a4d5e6f", Request: "fingerprint", By: "ana",
	}
	d.must(d.store.BeginExperiment(t.Context(), e))
	e.At = d.clock.Now()
	list := func() []ledger.Experiment {
		got, err := d.store.Experiments(t.Context(), hyperline, 10)
		d.must(err)
		return got
	}
	if diff := cmp.Diff([]ledger.Experiment{e}, list()); diff != "" {
		t.Errorf("before the answer (-want +got):\n%s", diff)
	}
	e.Answer = "yes (201) inv_1"
	d.must(d.store.EndExperiment(t.Context(), e.ID, e.Answer))
	if diff := cmp.Diff([]ledger.Experiment{e}, list()); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
	if err := d.store.BeginExperiment(t.Context(), e); err == nil {
		t.Error("one id was begun twice")
	}
	if err := d.store.EndExperiment(t.Context(), "0198c0de-0000-7000-8000-000000000002", "yes"); err == nil {
		t.Error("an experiment ended that was never begun")
	}
}
