package ledgertest

import (
	"errors"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

var permitting = map[string]func(*testing.T, Opener){
	"the first permit makes a purchase sent and says when": firstPermit,
	"one thing wrong and nothing may be sent":              permitRefuses,
	"a repeat starts the quiet period and its looks anew":  repeatStartsAnew,
	"a repeat needs everything that makes it safe":         repeatRefuses,
	"a key is young enough for exactly twelve hours":       keyLifetime,
	"three repeats and no more":                            atMostThreeRepeats,
	"a repeat that did not run does not count":             unusedRepeat,
	"a first permit is given once":                         firstPermitOnce,
}

func firstPermit(t *testing.T, open Opener) {
	d := newDesk(t, open)
	planned := d.plan(acme)
	d.clock.forward(time.Second)
	r := d.permission(planned)
	p := d.permit(r)
	at := noon.Add(time.Second)
	if p.State != topup.Sent || p.PermitToken != r.Token || p.Attempts != 1 || p.Repeats != 0 || p.Revision != planned.Revision+1 {
		t.Errorf("permitted = %s token %q, %d attempts, %d repeats, revision %d", p.State, p.PermitToken, p.Attempts, p.Repeats, p.Revision)
	}
	for name, got := range map[string]*time.Time{"permit_at": p.PermitAt, "sent_at": p.SentAt, "last_sent_at": p.LastSentAt} {
		if got == nil || !got.Equal(at) {
			t.Errorf("%s = %v, want %v", name, got, at)
		}
	}
	if p.NextLookAt == nil || !p.NextLookAt.Equal(at.Add(5*time.Second)) {
		t.Errorf("next look at %v, want 5 s after the send, for a sender that dies", p.NextLookAt)
	}
	evidence, err := d.store.Evidence(t.Context(), p.ID)
	d.must(err)
	if last := evidence[len(evidence)-1]; last.Kind != topup.EvidencePermit || last.From != topup.Planned || last.To != topup.Sent {
		t.Errorf("last evidence = %+v, want the permit", last)
	}
}

func permitRefuses(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name    string
		between func(*desk, topup.Purchase) // after the plan, before the permit
		spoil   func(*topup.PermitRequest)
		want    error
	}{
		{"a pause since the plan", func(d *desk, _ topup.Purchase) { pause(topup.Pause{Scope: topup.PauseRule, Subject: "api-credits"})(d) }, nil, topup.ErrPaused},
		{"a hold since the plan", func(d *desk, _ topup.Purchase) {
			d.doubt(acme, customer(2), customer(3), customer(4))
		}, nil, topup.ErrHeld},
		{"a stop of topupd's own since the plan", func(d *desk, _ topup.Purchase) {
			_, err := d.store.Stop(d.ctx(), topup.Pause{Scope: topup.PauseRule, Subject: "api-credits", Cause: topup.StopPrice, Reason: "billed 220"})
			d.must(err)
		}, nil, topup.ErrRuleStopped},
		{"a stop since the plan", func(d *desk, _ topup.Purchase) { stop(d) }, nil, topup.ErrProviderStopped},
		{"a quarantine since the plan", func(d *desk, _ topup.Purchase) { d.must(d.store.Quarantine(d.ctx(), hyperline, "restored")) }, nil, topup.ErrProviderStopped},
		{"a lease that ran out", func(d *desk, _ topup.Purchase) { d.clock.forward(time.Hour) }, nil, topup.ErrLeaseLost},
		{"a lease that somebody else holds now", func(d *desk, _ topup.Purchase) {
			d.clock.forward(time.Hour)
			_, ok, err := d.store.Acquire(d.ctx(), hyperline, "host-2", time.Hour)
			d.must(err)
			if !ok {
				d.t.Fatal("the lease did not run out")
			}
		}, nil, topup.ErrLeaseLost},
		{"a purchase that the reconciler cancelled", func(d *desk, p topup.Purchase) { d.advance(p, cancelled) }, nil, topup.ErrOvertaken},
		{"an old revision", nil, func(r *topup.PermitRequest) { r.Purchase.Revision-- }, topup.ErrOvertaken},
		{"another target's name on the purchase", nil, func(r *topup.PermitRequest) { r.Purchase.Target.Customer = "cus_other" }, topup.ErrOvertaken},
		{"a repeat of what was never sent", nil, func(r *topup.PermitRequest) { r.Repeat = true }, topup.ErrOvertaken},
		{"a purchase that does not exist", nil, func(r *topup.PermitRequest) { r.Purchase.ID = "00000000-0000-7000-8000-000000000000" }, topup.ErrNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, open)
			p := d.plan(acme)
			if tt.between != nil {
				tt.between(d, p)
			}
			r := d.permission(p)
			if tt.spoil != nil {
				tt.spoil(&r)
			}
			if _, err := d.store.Permit(t.Context(), r); !errors.Is(err, tt.want) {
				t.Fatalf("Permit = %v, want %v", err, tt.want)
			}
			after, err := d.store.Purchase(t.Context(), p.ID)
			d.must(err)
			if after.State == topup.Sent || after.PermitToken != "" || after.Attempts != 0 {
				t.Errorf("after the refusal: %s, token %q, %d attempts", after.State, after.PermitToken, after.Attempts)
			}
		})
	}
}

func repeatStartsAnew(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.send(acme)
	quiet := d.silent(first)
	r := d.repeat(quiet)
	p := d.permit(r)
	if p.Repeats != 1 || p.Attempts != 2 || p.PermitToken != r.Token || !p.SentAt.Equal(*first.SentAt) {
		t.Errorf("repeat: %d repeats, %d attempts, first sent %v", p.Repeats, p.Attempts, p.SentAt)
	}
	if !p.LastSentAt.Equal(d.clock.Now()) || p.EmptyLooks != 0 || p.EmptyLookAt != nil || p.LookedAt != nil || p.Found != "" {
		t.Errorf("the repeat kept looks of the first send: last sent %v, %d empty looks", p.LastSentAt, p.EmptyLooks)
	}
	if p.Key != first.Key || p.Fingerprint != first.Fingerprint {
		t.Error("the repeat goes under another key or with other bytes")
	}
}

func repeatRefuses(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name  string
		row   func(*desk, topup.Purchase) topup.Purchase
		spoil func(*topup.PermitRequest)
		want  error
	}{
		{"before the quiet period is over", func(d *desk, p topup.Purchase) topup.Purchase {
			d.clock.forward(p.QuietPeriod - time.Microsecond)
			return d.advance(p, func(c *topup.Change) { c.Next.EmptyLooks = 2 })
		}, nil, topup.ErrOvertaken},
		{"after one empty look", func(d *desk, p topup.Purchase) topup.Purchase {
			return d.advance(d.silent(p), func(c *topup.Change) { c.Next.EmptyLooks = 1 })
		}, nil, topup.ErrOvertaken},
		{"after a stored no", func(d *desk, p topup.Purchase) topup.Purchase {
			return d.advance(d.silent(p), func(c *topup.Change) { c.Next.Refused, c.Next.Reason = true, topup.FailedDeclined })
		}, nil, topup.ErrOvertaken},
		{"of a confirmed purchase", func(d *desk, p topup.Purchase) topup.Purchase {
			return d.advance(d.silent(p), confirmed("inv_1"))
		}, nil, topup.ErrOvertaken},
		{"under a key that is too old by the database", func(d *desk, p topup.Purchase) topup.Purchase {
			p = d.silent(p)
			d.clock.forward(topup.KeyLifetime)
			d.takeLease()
			return p
		}, nil, topup.ErrKeyTooOld},
		{"under a key that is too old by the provider's clock", (*desk).silent, func(r *topup.PermitRequest) {
			r.ServerTime = noon.Add(topup.KeyLifetime + time.Microsecond)
		}, topup.ErrKeyTooOld},
		{"on old facts", (*desk).silent, func(r *topup.PermitRequest) { r.Facts.At = r.Facts.At.Add(-3 * time.Minute) }, topup.ErrFactsTooOld},
		{"on overtaken facts", (*desk).silent, func(r *topup.PermitRequest) { r.Facts.Version-- }, topup.ErrFactsOvertaken},
		{"while paused", func(d *desk, p topup.Purchase) topup.Purchase {
			pause(topup.Pause{Scope: topup.PauseAll})(d)
			return d.silent(p)
		}, nil, topup.ErrPaused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, open)
			p := tt.row(d, d.send(acme))
			r := d.repeat(p)
			if tt.spoil != nil {
				tt.spoil(&r)
			}
			if _, err := d.store.Permit(t.Context(), r); !errors.Is(err, tt.want) {
				t.Fatalf("Permit = %v, want %v", err, tt.want)
			}
		})
	}
}

// takeLease takes the lease again after it ran out.
func (d *desk) takeLease() {
	d.t.Helper()
	lease, ok, err := d.store.Acquire(d.ctx(), hyperline, holder, time.Hour)
	d.must(err)
	if !ok {
		d.t.Fatal("somebody else holds the lease")
	}
	d.leases[hyperline] = lease
}

func keyLifetime(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	d.clock.forward(topup.KeyLifetime - p.QuietPeriod)
	d.takeLease()
	d.permit(d.repeat(p))
}

func atMostThreeRepeats(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	for range topup.MaxRepeats {
		p = d.permit(d.repeat(d.silent(p)))
	}
	if p.Repeats != 3 || p.Attempts != 4 {
		t.Errorf("%d repeats, %d attempts", p.Repeats, p.Attempts)
	}
	if _, err := d.store.Permit(t.Context(), d.repeat(d.silent(p))); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("a fourth repeat: %v, want ErrOvertaken", err)
	}
}

func unusedRepeat(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	for range 5 { // five times 429
		p = d.permit(d.repeat(d.silent(p)))
		p = d.answer(p, topup.Answer{Verdict: topup.NotRun, Written: 300})
	}
	if p.Repeats != 0 || p.Attempts != 6 {
		t.Errorf("%d repeats, %d attempts; want 0 and 6", p.Repeats, p.Attempts)
	}
}

func firstPermitOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	d.permit(d.permission(p))
	if _, err := d.store.Permit(t.Context(), d.permission(p)); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("a second first permit: %v, want ErrOvertaken", err)
	}
	sent, err := d.store.Purchase(t.Context(), p.ID)
	d.must(err)
	if _, err := d.store.Permit(t.Context(), d.permission(sent)); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("a first permit of what was sent: %v, want ErrOvertaken", err)
	}
	other := d.send(customer(1))
	r := d.permission(d.plan(customer(2)), func(r *topup.PermitRequest) { r.Token = other.PermitToken })
	_, err = d.store.Permit(t.Context(), r)
	if _, ok := errors.AsType[*ledger.RefusedError](err); !ok {
		t.Errorf("a token used twice: %v, want a refusal by the schema", err)
	}
}
