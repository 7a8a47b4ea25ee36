package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var planning = map[string]func(*testing.T, Opener){
	"a plan is stored whole and read back the same":               planIsStoredWhole,
	"one thing wrong and nothing is stored":                       planRefuses,
	"a changed token ends a stop":                                 newTokenEndsStop,
	"a purchase that ended makes room for the next":               endedMakesRoom,
	"other targets are not blocked":                               othersAreNotBlocked,
	"a purchase cannot be planned twice under one key or one id":  keyIsUsedOnce,
	"a provider that nobody registered is not bought from":        unknownProvider,
	"facts are valid up to their last microsecond":                factsBoundary,
	"the first hold ends on time, and a person can end it sooner": firstHold,
}

func planIsStoredWhole(t *testing.T, open Opener) {
	d := newDesk(t, open)
	r := d.request(acme)
	got, err := d.store.Plan(t.Context(), r)
	d.must(err)

	want := r.Purchase
	want.State, want.Payment, want.Revision, want.PlannedAt = topup.Planned, topup.PaymentNone, 1, noon
	due := noon.Add(topup.PlannedLifetime)
	want.NextLookAt = &due
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Plan (-want +got):\n%s", diff)
	}
	read, err := d.store.Purchase(t.Context(), got.ID)
	d.must(err)
	if diff := cmp.Diff(got, read); diff != "" {
		t.Errorf("read back (-planned +read):\n%s", diff)
	}
	evidence, err := d.store.Evidence(t.Context(), got.ID)
	d.must(err)
	if len(evidence) != 1 || evidence[0].Text != r.Evidence[0].Text || !evidence[0].At.Equal(noon) {
		t.Errorf("evidence = %+v, want the planned line at noon", evidence)
	}
	if s := d.standing(acme); s.Version != 1 || s.Open == nil || s.Open.ID != got.ID {
		t.Errorf("standing = version %d, open %v; want 1 and the purchase", s.Version, s.Open)
	}
}

func planRefuses(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name    string
		prepare func(*desk)
		spoil   func(*topup.PlanRequest)
		want    error
	}{
		{"an open purchase", func(d *desk) { d.plan(acme) }, nil, topup.ErrPurchaseOpen},
		{"an older version of the target", nil, func(r *topup.PlanRequest) { r.Facts.Version-- }, topup.ErrFactsOvertaken},
		{"a version from the future", nil, func(r *topup.PlanRequest) { r.Facts.Version++ }, topup.ErrFactsOvertaken},
		{"old facts", nil, func(r *topup.PlanRequest) { r.Facts.At = noon.Add(-2*time.Minute - time.Microsecond) }, topup.ErrFactsTooOld},
		{"facts from beyond the clock", nil, func(r *topup.PlanRequest) { r.Facts.At = noon.Add(time.Hour) }, topup.ErrFactsTooOld},
		{"facts without an age limit", nil, func(r *topup.PlanRequest) { r.Facts.MaxAge, r.Facts.At = 0, noon.Add(-time.Microsecond) }, topup.ErrFactsTooOld},
		{"a pause of everything", pause(topup.Pause{Scope: topup.PauseAll}), nil, topup.ErrPaused},
		{"a pause of the provider", pause(topup.Pause{Scope: topup.PauseProvider, Provider: hyperline}), nil, topup.ErrPaused},
		{"a pause of the rule", pause(topup.Pause{Scope: topup.PauseRule, Subject: "api-credits"}), nil, topup.ErrPaused},
		{"a pause of the customer", pause(topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_acme"}), nil, topup.ErrPaused},
		{"a stop of topupd's own", func(d *desk) {
			_, err := d.store.Stop(d.ctx(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", Cause: topup.StopPrice, Reason: "billed 220"})
			d.must(err)
		}, nil, topup.ErrRuleStopped},
		{"a hold as implausible", func(d *desk) { d.doubt(acme, customer(2), customer(3), customer(4)) }, nil, topup.ErrHeld},
		{"a quarantine", func(d *desk) { d.must(d.store.Quarantine(d.ctx(), hyperline, "restored")) }, nil, topup.ErrProviderStopped},
		{"a refused token", stop, nil, topup.ErrProviderStopped},
		{"the first hold", nil, func(r *topup.PlanRequest) { r.FirstHold = time.Microsecond }, topup.ErrFirstHold},
		{"another holder of the lease", nil, func(r *topup.PlanRequest) { r.Lease.Holder = "host-2" }, topup.ErrLeaseLost},
		{"an older term of the lease", nil, func(r *topup.PlanRequest) { r.Lease.Term-- }, topup.ErrLeaseLost},
		{"the lease of another provider", nil, func(r *topup.PlanRequest) { r.Lease.Provider = voice }, topup.ErrLeaseLost},
		{"a passed cap", nil, func(r *topup.PlanRequest) {
			r.Caps = []topup.Cap{{Scope: topup.CapCustomer, Period: topup.CapDay, Currency: "EUR", Limit: 900_00 - 1}}
		}, topup.ErrOverCap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, open)
			if tt.prepare != nil {
				tt.prepare(d)
			}
			before, counted := d.standing(acme), d.counted()
			r := d.request(acme)
			if tt.spoil != nil {
				tt.spoil(&r)
			}
			_, err := d.store.Plan(t.Context(), r)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Plan = %v, want %v", err, tt.want)
			}
			if _, err := d.store.Purchase(t.Context(), r.Purchase.ID); !errors.Is(err, topup.ErrNotFound) {
				t.Errorf("the refused purchase: %v, want not found", err)
			}
			if diff := cmp.Diff(before, d.standing(acme)); diff != "" {
				t.Errorf("a refusal changed the standing (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(counted, d.counted()); diff != "" {
				t.Errorf("a refusal counted towards the caps (-before +after):\n%s", diff)
			}
		})
	}
}

// counted is what the widest caps of today know.
func (d *desk) counted() []int64 {
	d.t.Helper()
	n, spend, err := d.store.Spent(d.ctx(), topup.CapGlobal, "", "", topup.CapDay)
	d.must(err)
	return []int64{n, total(spend)}
}

func total(spend []topup.Money) int64 {
	var sum int64
	for _, m := range spend {
		sum += m.Minor
	}
	return sum
}

func pause(p topup.Pause) func(*desk) {
	return func(d *desk) {
		p.By, p.Reason = "ana", "testing"
		d.paused(p)
	}
}

// stop makes the provider refuse the token that the desk uses, by way of
// another customer's purchase.
func stop(d *desk) {
	p := d.send(customer(99))
	d.answer(p, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true, Detail: "401 unauthorized", Written: 300})
}

func newTokenEndsStop(t *testing.T, open Opener) {
	d := newDesk(t, open)
	stop(d)
	list, err := d.store.Providers(t.Context())
	d.must(err)
	if list[0].Stopped == "" || list[0].StoppedToken != token {
		t.Fatalf("provider = %+v, want a stop for the token in use", list[0])
	}
	if lifted, err := d.store.NoteToken(t.Context(), hyperline, token); lifted || err != nil {
		t.Errorf("the refused token itself lifted the stop: %v, %v", lifted, err)
	}
	d.plan(acme, func(r *topup.PlanRequest) { r.TokenFingerprint = "token-2" })
	if s := d.standing(acme); s.Stopped != "" {
		t.Errorf("still stopped after a plan with a new token: %s", s.Stopped)
	}
	if lifted, err := d.store.NoteToken(t.Context(), hyperline, "token-2"); lifted || err != nil {
		t.Errorf("a stop was lifted that is gone: %v, %v", lifted, err)
	}
}

func endedMakesRoom(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	p = d.advance(p, confirmed("inv_1"))
	if _, err := d.store.Plan(t.Context(), d.request(acme)); !errors.Is(err, topup.ErrPurchaseOpen) {
		t.Errorf("Plan beside a confirmed purchase = %v, want ErrPurchaseOpen", err)
	}
	d.advance(p, credited)
	d.plan(acme)
}

func othersAreNotBlocked(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(acme)
	for _, other := range []topup.Target{
		{Provider: hyperline, Customer: "cus_other", Product: acme.Product},
		{Provider: hyperline, Customer: acme.Customer, Product: "itm_minutes"},
		{Provider: voice, Customer: acme.Customer, Product: acme.Product},
	} {
		d.plan(other)
	}
}

func keyIsUsedOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.plan(acme)
	for name, again := range map[string]func(*topup.PlanRequest){
		"key": func(r *topup.PlanRequest) { r.Purchase.Key = first.Key },
		"id":  func(r *topup.PlanRequest) { r.Purchase.ID = first.ID },
	} {
		_, err := d.store.Plan(t.Context(), d.request(customer(1), again))
		if _, ok := errors.AsType[*ledger.RefusedError](err); !ok {
			t.Errorf("the same %s again: %v, want a refusal by the schema", name, err)
		}
	}
}

func unknownProvider(t *testing.T, open Opener) {
	d := newDesk(t, open)
	stranger := acme
	stranger.Provider = "hyperline://elsewhere/"
	_, err := d.store.Plan(t.Context(), d.request(stranger))
	if !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("Plan = %v, want ErrNotFound", err)
	}
}

func factsBoundary(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(acme, func(r *topup.PlanRequest) { r.Facts.At = noon.Add(-2 * time.Minute) })
}

func firstHold(t *testing.T, open Opener) {
	d := newDesk(t, open)
	hold := func(r *topup.PlanRequest) { r.FirstHold = 150 * time.Second }
	d.clock.forward(150*time.Second - time.Microsecond)
	if _, err := d.store.Plan(t.Context(), d.request(acme, hold)); !errors.Is(err, topup.ErrFirstHold) {
		t.Errorf("a microsecond early: %v, want ErrFirstHold", err)
	}
	d.clock.forward(time.Microsecond)
	d.plan(acme, hold)

	d = newDesk(t, open)
	lifted, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseProvider, Provider: hyperline, By: "ana", Reason: "new ledger, old company"})
	d.must(err)
	if !lifted.Hold {
		t.Errorf("Resume = %+v, want the hold lifted", lifted)
	}
	d.plan(acme, hold)
}
