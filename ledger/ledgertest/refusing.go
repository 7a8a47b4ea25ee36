package ledgertest

import (
	"errors"
	"testing"
	"time"

	"topupd/topup"
)

var refusing = map[string]func(*testing.T, Opener){
	"three customers refused alike stop their rule":     threeAlikeStop,
	"what is not alike, or does not count, stops none":  notAlike,
	"a stopped rule tries one customer, less and less":  probes,
	"a yes lifts the stop":                              yesLifts,
	"another version of the rule lifts the stop":        versionLifts,
	"resuming the rule lifts the stop and the back-off": resumeLifts,
}

// refuse sends a purchase that is refused, and lets the refusal count.
func (d *desk) refuse(n int, sign string, change ...func(*topup.PlanRequest)) (stopped bool) {
	d.t.Helper()
	p := d.advance(d.send(customer(n), change...), func(c *topup.Change) {
		refusedRequest(c)
		c.Refusal.Sign = sign
	})
	return d.counts(p)
}

func (d *desk) counts(p topup.Purchase) bool {
	d.t.Helper()
	waiting, err := d.store.Refusals(d.ctx(), p.Target.Provider)
	d.must(err)
	if waiting[p.ID] != p.Target {
		d.t.Errorf("Refusals = %v, want %s of %s", waiting, p.ID, p.Target.Customer)
	}
	stopped, err := d.store.CountRefusal(d.ctx(), p.ID, true)
	d.must(err)
	if again, err := d.store.CountRefusal(d.ctx(), p.ID, true); err != nil || again {
		d.t.Errorf("counting it once more stopped %t, %v", again, err)
	}
	if waiting, err = d.store.Refusals(d.ctx(), p.Target.Provider); err != nil || len(waiting) != 0 {
		d.t.Errorf("Refusals = %v, %v after it was counted", waiting, err)
	}
	return stopped
}

// stoppedRule is a ledger whose rule three refusals have stopped.
func stoppedRule(t *testing.T, open Opener) *desk {
	t.Helper()
	d := newDesk(t, open)
	for n := 1; n <= topup.RefusalsAlike; n++ {
		if stopped := d.refuse(n, "422 no"); stopped != (n == topup.RefusalsAlike) {
			t.Fatalf("refusal %d stopped the rule: %t", n, stopped)
		}
	}
	return d
}

func (d *desk) planFails(what string, n int, want error, change ...func(*topup.PlanRequest)) {
	d.t.Helper()
	if _, err := d.store.Plan(d.ctx(), d.request(customer(n), change...)); !errors.Is(err, want) {
		d.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// threeAlikeStop: P7, P12.
func threeAlikeStop(t *testing.T, open Opener) {
	d := stoppedRule(t, open)
	pauses, err := d.store.Pauses(t.Context())
	d.must(err)
	if len(pauses) != 1 || pauses[0].Cause != topup.StopRefused || pauses[0].Subject != "api-credits" || pauses[0].By != "topupd" {
		t.Errorf("pauses = %+v", pauses)
	}
	d.planFails("another customer of the rule", 9, topup.ErrRuleStopped)
	d.plan(customer(10), func(r *topup.PlanRequest) { r.Purchase.Rule = "another" })
	if s := d.standing(customer(9)); len(s.RefusedRules) != 1 || !s.RefusedRules[0].ProbeAt.Equal(noon.Add(topup.ProbeFirst)) {
		t.Errorf("standing: %+v", s.RefusedRules)
	}
}

func notAlike(t *testing.T, open Opener) {
	for name, third := range map[string]func(*testing.T, *desk) bool{
		"other words": func(_ *testing.T, d *desk) bool { return d.refuse(3, "400 no") },
		"a customer who is counted already": func(_ *testing.T, d *desk) bool {
			d.clock.forward(30 * time.Minute)
			return d.refuse(2, "422 no")
		},
		"another rule": func(_ *testing.T, d *desk) bool {
			return d.refuse(3, "422 no", func(r *topup.PlanRequest) { r.Purchase.Rule = "another" })
		},
		"another version of the rule": func(_ *testing.T, d *desk) bool {
			return d.refuse(3, "422 no", func(r *topup.PlanRequest) { r.Purchase.RuleVersion = "v2" })
		},
		"more than an hour later": func(_ *testing.T, d *desk) bool {
			for range 2 {
				d.clock.forward(topup.RefusalsWithin / 2)
				d.must(d.renewed(hyperline))
			}
			return d.refuse(3, "422 no")
		},
		"after a success": func(_ *testing.T, d *desk) bool {
			d.advance(d.send(customer(8)), confirmed("inv_8"))
			return d.refuse(3, "422 no")
		},
		"a customer who is gone": func(_ *testing.T, d *desk) bool {
			p := d.advance(d.send(customer(3)), refusedRequest)
			stopped, err := d.store.CountRefusal(d.ctx(), p.ID, false)
			d.must(err)
			if again, err := d.store.CountRefusal(d.ctx(), p.ID, true); err != nil || again {
				d.t.Errorf("it counted all the same: %t, %v", again, err)
			}
			return stopped
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, open)
			d.refuse(1, "422 no")
			d.refuse(2, "422 no")
			if third(t, d) {
				t.Error("stopped the rule")
			}
			d.plan(customer(9))
		})
	}
}

func probes(t *testing.T, open Opener) {
	d := stoppedRule(t, open)
	for n, wait := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 4 * time.Hour} {
		for left := wait - time.Microsecond; left > 0; left -= min(left, 30*time.Minute) {
			d.clock.forward(min(left, 30*time.Minute))
			d.must(d.renewed(hyperline))
		}
		d.planFails("before "+wait.String(), 10+n, topup.ErrRuleStopped)
		d.clock.forward(time.Microsecond)
		d.planFails("a customer who was refused already", 1, topup.ErrRuleStopped)
		probe := d.plan(customer(10 + n))
		d.planFails("a second one", 20+n, topup.ErrRuleStopped)
		d.advance(d.permit(d.permission(probe)), refusedRequest)
		d.planFails("after it was refused", 20+n, topup.ErrRuleStopped)
	}
}

func yesLifts(t *testing.T, open Opener) {
	d := stoppedRule(t, open)
	d.clock.forward(topup.ProbeFirst)
	d.advance(d.send(customer(4)), confirmed("inv_4"))
	if pauses, err := d.store.Pauses(t.Context()); err != nil || len(pauses) != 0 {
		t.Errorf("pauses = %+v, %v", pauses, err)
	}
	d.plan(customer(5))
	d.plan(customer(6))
	if d.refuse(7, "422 no") {
		t.Error("the refusals from before the yes still count")
	}
}

func versionLifts(t *testing.T, open Opener) {
	d := stoppedRule(t, open)
	second := func(r *topup.PlanRequest) { r.Purchase.RuleVersion = "v2" }
	d.permit(d.permission(d.plan(customer(1), second)))
	d.plan(customer(5), second)
	if pauses, err := d.store.Pauses(t.Context()); err != nil || len(pauses) != 0 {
		t.Errorf("pauses = %+v, %v", pauses, err)
	}
}

func resumeLifts(t *testing.T, open Opener) {
	d := stoppedRule(t, open)
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", By: "ana", Reason: "the method exists now"})
	d.must(err)
	if len(r.Pauses) != 1 || r.Suspensions != topup.RefusalsAlike {
		t.Errorf("Resume = %+v", r)
	}
	if s := d.standing(customer(1)); s.BackoffUntil != nil || s.Refusal != "" || len(s.RefusedRules) != 0 {
		t.Errorf("standing: %+v", s)
	}
	d.plan(customer(1))
	d.plan(customer(5))
	if d.refuse(6, "422 no") {
		t.Error("the refusals from before still count")
	}
}
