package ledgertest

import (
	"errors"
	"slices"
	"testing"

	"topupd/ledger"
	"topupd/topup"
)

var refunding = map[string]func(*testing.T, Opener){
	"a refund holds its customer until a person says go on": refundHolds,
	"the last purchase is the newest that stands":           lastStood,
}

// refundHolds: P12. And once released, the same refund holds nobody again.
func refundHolds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.advance(d.send(acme), confirmed("inv_1")), credited)
	planned := d.plan(acme)
	d.must(d.store.HoldRefunded(t.Context(), acme, "inv_1", "inv_1 was refunded"))
	d.must(d.store.HoldRefunded(t.Context(), acme, "inv_1", "seen again"))
	if _, err := d.store.Permit(t.Context(), d.permission(planned)); !errors.Is(err, topup.ErrRefunded) {
		t.Errorf("Permit = %v, want ErrRefunded", err)
	}
	d.advance(planned, cancelled)
	if _, err := d.store.Plan(t.Context(), d.request(acme)); !errors.Is(err, topup.ErrRefunded) {
		t.Errorf("Plan = %v, want ErrRefunded", err)
	}
	d.plan(customer(1))
	known, base, err := d.store.Standings(t.Context(), hyperline)
	d.must(err)
	if s := d.standing(acme); s.Refunded != "inv_1 was refunded" || known[acme].Refunded != s.Refunded || base.Refunded != "" {
		t.Errorf("standing %q, among all %q, base %q", s.Refunded, known[acme].Refunded, base.Refunded)
	}
	r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Provider: hyperline, Subject: string(acme.Customer), By: "ana", Reason: "they want it"})
	d.must(err)
	if r.Refunds != 1 || r.String() != (ledger.Resumed{Refunds: 1}).String() {
		t.Errorf("Resume = %+v", r)
	}
	d.must(d.store.HoldRefunded(t.Context(), acme, "inv_1", "seen once more"))
	if s := d.standing(acme); s.Refunded != "" || !slices.Equal(s.Released, []string{"inv_1"}) {
		t.Errorf("after resume: held by %q, released %v", s.Refunded, s.Released)
	}
	d.plan(acme)
}

func lastStood(t *testing.T, open Opener) {
	d := newDesk(t, open)
	want := func(reference string) {
		t.Helper()
		if got := d.standing(acme).LastStood; got != reference {
			t.Errorf("LastStood = %q, want %q", got, reference)
		}
	}
	want("")
	first := d.send(acme)
	want("")
	first = d.advance(first, confirmed("inv_1"))
	want("inv_1")
	d.advance(first, credited)
	d.advance(d.send(acme), refused)
	want("inv_1")
	second := d.advance(d.advance(d.send(acme), confirmed("inv_2")), credited)
	want("inv_2")
	d.advance(second, func(c *topup.Change) { c.Next.Payment = topup.PaymentVoid })
	want("inv_1")
}
