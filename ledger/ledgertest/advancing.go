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

var advancing = map[string]func(*testing.T, Opener){
	"every field that moves is stored":                               everyFieldMoves,
	"what was ordered cannot be changed":                             orderIsFrozen,
	"an older revision is overtaken":                                 olderRevision,
	"only steps on the chart are taken":                              onlyTheChart,
	"nothing needs review before the quiet period is over":           reviewAfterQuiet,
	"nothing is confirmed without a reference or a person":           confirmedNeedsReference,
	"a purchase that ends is seen in its target":                     endsAreSeen,
	"a decline is asked about less and less, then not at all":        declinesAddUp,
	"a refused request backs off beside the declines, and is none":   refusalsAddUp,
	"a payment lifts back-off and suspension":                        paymentLifts,
	"a changed payment method lifts a suspension":                    newCardLifts,
	"one reference explains one purchase":                            oneReference,
	"a claim can move to another reference":                          claimMoves,
	"a payment is followed after the purchase credited":              paymentAfterCredited,
	"what no column takes is refused, not tried for ever":            untakeableIsRefused,
	"a refusal keeps the row sent, and looks later make it declined": refusedThenDeclined,
}

func everyFieldMoves(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	d.clock.forward(p.QuietPeriod)
	at := func(n int) *time.Time { m := noon.Add(time.Duration(n) * time.Minute); return &m }
	want := p
	want.State, want.Payment, want.Reason, want.Detail = topup.NeedsReview, topup.PaymentFailed, topup.FailedTimeout, "no answer in 75 s"
	want.LastSentAt, want.Attempts, want.Repeats, want.Refused, want.NeverRepeat = at(0), 3, 2, true, true
	want.Reference, want.ReferenceBy, want.RowAt = "inv_9", "evidence", at(3)
	want.Charged, want.ConfirmedAt = &topup.Money{Minor: 901_00, Currency: "USD"}, at(4)
	want.EmptyLooks, want.EmptyLookAt, want.LookedAt = 2, at(5), at(6)
	want.LookStep, want.NextLookAt, want.Found, want.FoundAt = 7, at(20), "found inv_9", at(8)
	before := topup.Level{Balance: -5, ReadAt: *at(0), AsOf: at(0).Add(-time.Microsecond)}
	after := topup.Level{Balance: 99, ReadAt: *at(1)}
	want.Trail = topup.Trail{Begun: true, Levels: []topup.Level{before, after}, Jumps: []topup.Jump{{Before: before, After: after, Held: true}}}
	want.ResolvedBy, want.Note = "ana", "asked them"
	got, err := d.store.Advance(t.Context(), topup.Change{Next: want})
	d.must(err)
	want.Revision++
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Advance (-want +got):\n%s", diff)
	}
}

func orderIsFrozen(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	got := d.advance(p, func(c *topup.Change) {
		c.Next.Price, c.Next.Credits, c.Next.Key = eur(1), 1, "another-key-another-key"
		c.Next.PermitToken, c.Next.Request.Body = "mine", []byte("{}")
		c.Next.SentAt, c.Next.PermitAt = nil, nil
	})
	p.Revision++
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("Advance changed what is fixed (-before +after):\n%s", diff)
	}
}

func olderRevision(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	d.advance(p, func(c *topup.Change) { c.Next.LookStep = 2 })
	_, err := d.store.Advance(t.Context(), step(p, confirmed("inv_1")))
	if !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("Advance = %v, want ErrOvertaken", err)
	}
	missing := p
	missing.ID = "00000000-0000-7000-8000-000000000000"
	if _, err := d.store.Advance(t.Context(), step(missing, credited)); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("a purchase that does not exist: %v, want ErrNotFound", err)
	}
}

func onlyTheChart(t *testing.T, open Opener) {
	d := newDesk(t, open)
	n := 0
	for _, tt := range []struct {
		from topup.State
		make func(topup.Target) topup.Purchase
	}{
		{topup.Planned, func(target topup.Target) topup.Purchase { return d.plan(target) }},
		{topup.Sent, func(target topup.Target) topup.Purchase { return d.send(target) }},
		{topup.Confirmed, func(target topup.Target) topup.Purchase {
			return d.advance(d.send(target), confirmed("inv_"+string(target.Customer)))
		}},
		{topup.Cancelled, func(target topup.Target) topup.Purchase { return d.advance(d.plan(target), cancelled) }},
	} {
		for _, to := range topup.States() {
			if topup.Allowed(tt.from, to) {
				continue
			}
			n++
			p := tt.make(customer(n))
			if _, err := d.store.Advance(t.Context(), step(p, func(c *topup.Change) { c.Next.State = to })); !errors.Is(err, topup.ErrRefused) {
				t.Errorf("%s to %s: %v, want ErrRefused", tt.from, to, err)
			}
		}
	}
}

func reviewAfterQuiet(t *testing.T, open Opener) {
	d := newDesk(t, open)
	review := func(c *topup.Change) { c.Next.State, c.Next.Reason = topup.NeedsReview, topup.FailedOther }
	p := d.send(acme)
	d.clock.forward(p.QuietPeriod - time.Microsecond)
	_, err := d.store.Advance(t.Context(), step(p, review))
	if refusal, ok := errors.AsType[*ledger.RefusedError](err); !ok || refusal.Rule != "purchase_reviewed_after_quiet_period" {
		t.Errorf("a microsecond early: %v, want a refusal by purchase_reviewed_after_quiet_period", err)
	}
	d.clock.forward(time.Microsecond)
	if got := d.advance(p, review); got.State != topup.NeedsReview {
		t.Errorf("on time: %s", got.State)
	}
}

func confirmedNeedsReference(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	_, err := d.store.Advance(t.Context(), step(p, confirmed("")))
	if refusal, ok := errors.AsType[*ledger.RefusedError](err); !ok || refusal.Rule != "purchase_confirmed_by_reference_or_person" {
		t.Errorf("Advance = %v, want a refusal by purchase_confirmed_by_reference_or_person", err)
	}
	p = d.advance(p, func(c *topup.Change) {
		confirmed("")(c)
		c.Next.ResolvedBy, c.Next.Note = "ana", "seen in the portal"
	})
	actions, err := d.store.Actions(t.Context(), 0)
	d.must(err)
	if len(actions) != 1 || actions[0].Kind != ledger.ActionResolve || actions[0].Subject != p.ID || actions[0].By != "ana" {
		t.Errorf("actions = %+v, want ana's decision", actions)
	}
}

func endsAreSeen(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name string
		end  func(*desk) topup.Purchase
		want topup.State
	}{
		{"credited", func(d *desk) topup.Purchase {
			p := d.advance(d.send(acme), confirmed("inv_1"))
			d.clock.forward(time.Minute)
			return d.advance(p, func(c *topup.Change) { row := noon.Add(time.Second); c.Next.RowAt = &row; credited(c) })
		}, topup.Credited},
		{"declined", func(d *desk) topup.Purchase {
			p := d.send(acme)
			d.clock.forward(time.Minute)
			return d.advance(p, refused)
		}, topup.Declined},
		{"cancelled", func(d *desk) topup.Purchase {
			p := d.plan(acme)
			d.clock.forward(time.Minute)
			return d.advance(p, cancelled)
		}, topup.Cancelled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, open)
			p := tt.end(d)
			at := noon.Add(time.Minute)
			if p.FinishedAt == nil || !p.FinishedAt.Equal(at) {
				t.Errorf("finished at %v, want %v", p.FinishedAt, at)
			}
			s := d.standing(acme)
			if s.Open != nil || s.EndedState != tt.want || s.EndedAt == nil || !s.EndedAt.Equal(at) || s.Version != 2 {
				t.Errorf("standing: open %v, ended %q at %v, version %d", s.Open, s.EndedState, s.EndedAt, s.Version)
			}
			if (s.CreditedAt != nil) != (tt.want == topup.Credited) || (s.NewestRowAt != nil) != (tt.want == topup.Credited) {
				t.Errorf("credited at %v, newest row at %v", s.CreditedAt, s.NewestRowAt)
			}
		})
	}
}

func declinesAddUp(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for n, wait := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour} {
		d.advance(d.send(acme), refused)
		s := d.standing(acme)
		if s.Declines != n+1 || s.BackoffUntil == nil || !s.BackoffUntil.Equal(noon.Add(wait)) {
			t.Errorf("after decline %d: %d declines, back-off until %v, want %s", n+1, s.Declines, s.BackoffUntil, wait)
		}
		if suspended := s.SuspendedAt != nil; suspended != (n == 3) {
			t.Errorf("after decline %d: suspended %t", n+1, suspended)
		}
	}
}

// refusedRequest is a listed no at a provider without books that is about the
// request, not about the card.
func refusedRequest(c *topup.Change) {
	c.Next.State, c.Next.NextLookAt, c.Next.Reason = topup.Declined, nil, topup.FailedRefused
	c.Decline = true
	c.Refusal = topup.Refusal{Words: `422 "The selected payment method is invalid."`, Sign: "422 The selected payment method is invalid."}
}

// refusalsAddUp: P7. They back off and suspend as declines do, beside them, and
// are not called declines.
func refusalsAddUp(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.send(acme), refused)
	for n, wait := range []time.Duration{2 * time.Hour, 4 * time.Hour, 8 * time.Hour} {
		d.advance(d.send(acme), refusedRequest)
		s := d.standing(acme)
		if s.Declines != 1 || s.Refusals != n+1 || s.BackoffUntil == nil || !s.BackoffUntil.Equal(noon.Add(wait)) {
			t.Errorf("after refusal %d: %d declines, %d refusals, back-off until %v, want %s", n+1, s.Declines, s.Refusals, s.BackoffUntil, wait)
		}
		if s.Refusal != `422 "The selected payment method is invalid."` || s.RefusalRule != "api-credits" || s.RefusalVersion != "v1" {
			t.Errorf("refusal %q of rule %q %q", s.Refusal, s.RefusalRule, s.RefusalVersion)
		}
		if suspended := s.SuspendedAt != nil; suspended != (n == 2) {
			t.Errorf("after refusal %d: suspended %t", n+1, suspended)
		}
	}
	d.advance(d.send(acme, func(r *topup.PlanRequest) { r.Purchase.RuleVersion = "v2" }), refusedRequest)
	if s := d.standing(acme); s.Refusals != 1 || s.Declines != 1 || s.SuspendedAt != nil || !s.BackoffUntil.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("refused under a new version: %d refusals, %d declines, suspended %v, back-off until %v", s.Refusals, s.Declines, s.SuspendedAt, s.BackoffUntil)
	}
	d.advance(d.send(acme), refused)
	if s := d.standing(acme); s.Refusal != "" || s.Declines != 2 || s.Refusals != 1 {
		t.Errorf("a decline after a refusal: %q, %d declines, %d refusals", s.Refusal, s.Declines, s.Refusals)
	}
}

func paymentLifts(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for range 4 {
		d.advance(d.send(acme), refused)
	}
	p := d.advance(d.send(acme), confirmed("inv_1"))
	d.advance(p, func(c *topup.Change) { c.Next.Payment, c.Lift = topup.PaymentPaid, true })
	if s := d.standing(acme); s.Declines != 0 || s.BackoffUntil != nil || s.SuspendedAt != nil {
		t.Errorf("after a payment: %d declines, back-off %v, suspended %v", s.Declines, s.BackoffUntil, s.SuspendedAt)
	}
}

func newCardLifts(t *testing.T, open Opener) {
	d := newDesk(t, open)
	note := func(fingerprint string, want bool) {
		t.Helper()
		lifted, err := d.store.NotePaymentMethods(t.Context(), acme, fingerprint)
		d.must(err)
		if lifted != want {
			t.Errorf("noting %q lifted %t, want %t", fingerprint, lifted, want)
		}
	}
	note("visa", false) // not suspended: nothing to lift
	for range 4 {
		d.advance(d.send(acme), refused)
	}
	note("visa", false) // the first seen since the suspension
	note("visa", false)
	if s := d.standing(acme); s.SuspendedAt == nil {
		t.Error("the same card lifted the suspension")
	}
	note("mastercard", true)
	if s := d.standing(acme); s.SuspendedAt != nil || s.Declines != 0 || s.BackoffUntil != nil {
		t.Errorf("after a new card: %+v", s)
	}
}

func oneReference(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.send(acme), confirmed("inv_1"))
	p := d.send(customer(1))
	if _, err := d.store.Advance(t.Context(), step(p, confirmed("inv_1"))); !errors.Is(err, ledger.ErrReferenceClaimed) || !errors.Is(err, topup.ErrRefused) {
		t.Errorf("the same invoice for two purchases: %v, want ErrReferenceClaimed", err)
	}
	claimed, err := d.store.Claimed(t.Context(), hyperline, []string{"inv_1", "inv_2"}, p.ID)
	d.must(err)
	if !claimed["inv_1"] || claimed["inv_2"] {
		t.Errorf("Claimed = %v", claimed)
	}
	d.advance(d.send(topup.Target{Provider: voice, Customer: "env-1", Product: "credits"}), confirmed("inv_1")) // another provider's id
}

func claimMoves(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.advance(d.send(acme), func(c *topup.Change) { confirmed("inv_theirs")(c); c.Next.ReferenceBy = "evidence" })
	version := d.standing(acme).Version
	d.advance(p, func(c *topup.Change) {
		c.Next.Reference, c.Next.ReferenceBy = "inv_ours", "answer"
		c.External = []topup.Topup{{ID: "row_theirs", Invoice: "inv_theirs", Credits: p.Credits, Price: p.Price, At: noon}}
	})
	s := d.standing(acme)
	if s.ExternalAt == nil || !s.ExternalAt.Equal(noon) || s.Version != version+1 {
		t.Errorf("the match that was not ours: external at %v, version %d, want %d", s.ExternalAt, s.Version, version+1)
	}
}

func paymentAfterCredited(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.advance(d.advance(d.send(acme), confirmed("inv_1")), credited)
	version := d.standing(acme).Version
	p = d.advance(p, func(c *topup.Change) {
		c.Next.Payment, c.Next.Reason, c.Decline = topup.PaymentFailed, topup.FailedDeclined, true
	})
	if p.State != topup.Credited || p.Payment != topup.PaymentFailed || p.FinishedAt == nil {
		t.Errorf("after a failed payment: %s, %s", p.State, p.Payment)
	}
	if s := d.standing(acme); s.Declines != 1 || s.Version != version {
		t.Errorf("%d declines, version %d; want 1 and %d", s.Declines, s.Version, version)
	}
}

func refusedThenDeclined(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	p = d.advance(p, func(c *topup.Change) {
		c.Decline = true
		c.Next.Refused, c.Next.Reason = true, topup.FailedDeclined
	})
	if s := d.standing(acme); s.Open == nil || s.Declines != 1 {
		t.Errorf("after the refusal: open %v, %d declines", s.Open, s.Declines)
	}
	p = d.silent(p)
	d.advance(p, func(c *topup.Change) { c.Next.State, c.Next.NextLookAt = topup.Declined, nil })
}

func untakeableIsRefused(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	for name, reference := range map[string]string{
		"a reference longer than any":    strings.Repeat("x", 301),
		"a reference with a broken rune": strings.Repeat("x", 300) + "\xff",
	} {
		if _, err := d.store.Advance(t.Context(), step(p, confirmed(reference))); !errors.Is(err, topup.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", name, err)
		}
	}
}
