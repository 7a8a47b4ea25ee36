package ledgertest

import (
	"errors"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

var answering = map[string]func(*testing.T, Opener){
	"an answer finds the row as it stands":           answerFindsTheRow,
	"a permit is answered once":                      answeredOnce,
	"a permit that was never stored brings nothing":  answerWithoutPermit,
	"an answer to an older permit sees the newer":    answerToOlderPermit,
	"an answer that is refused may be stored anew":   refusedAnswerIsOpen,
	"a refused token stops the provider, for itself": answerStops,
	"never to be repeated outlasts everything":       neverRepeatStays,
}

var yes = topup.Answer{Verdict: topup.Accepted, Reference: "inv_1", Written: 300}

func answerFindsTheRow(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	looked := d.advance(p, func(c *topup.Change) { c.Next.LookStep = 3 }) // a look in between
	d.clock.forward(time.Second)
	var seen topup.Purchase
	r := reply(p, yes)
	change := r.Change
	r.Change = func(row topup.Purchase, now time.Time) topup.Change {
		if seen = row; !now.Equal(d.clock.Now()) {
			t.Errorf("the answer is stored at %s, by the ledger's clock it is %s", now, d.clock.Now())
		}
		return change(row, now)
	}
	got, err := d.store.Answer(t.Context(), r)
	d.must(err)
	if seen.Revision != looked.Revision || seen.LookStep != 3 || got.State != topup.Confirmed || got.Reference != "inv_1" || got.Revision != looked.Revision+1 {
		t.Errorf("seen at revision %d, stored %s under %q at revision %d", seen.Revision, got.State, got.Reference, got.Revision)
	}
	evidence, err := d.store.Evidence(t.Context(), p.ID)
	d.must(err)
	if last := evidence[len(evidence)-1]; last.Kind != topup.EvidenceAnswer || last.To != topup.Confirmed {
		t.Errorf("last evidence = %+v, want the answer", last)
	}
}

func answeredOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.send(acme)
	refused := topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedDeclined, Written: 300}
	first := d.answer(p, refused)
	for range 2 { // the first commit was in doubt
		if again := d.answer(p, refused); again.Revision != first.Revision {
			t.Errorf("stored again at revision %d", again.Revision)
		}
	}
	if s := d.standing(acme); s.Declines != 1 {
		t.Errorf("one refusal counts as %d", s.Declines)
	}
}

func answerWithoutPermit(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	p.PermitToken = "0badc0de-0000-4000-8000-000000000000"
	if got := d.answer(p, topup.Answer{Verdict: topup.NotRun}); got.State != topup.Planned || got.Revision != p.Revision {
		t.Errorf("without a permit: %s at revision %d, want planned at %d", got.State, got.Revision, p.Revision)
	}
	// A failover lost the permit, and the request was executed.
	if got := d.answer(p, yes); got.State != topup.Planned {
		t.Errorf("a yes without its permit: %s, want planned", got.State)
	}
	if s := d.standing(acme); s.ExternalAt == nil {
		t.Error("what a request made whose permit was lost is not known")
	}
	if _, err := d.store.Permit(t.Context(), d.permission(p)); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("a permit beside it: %v, want ErrOvertaken", err)
	}
	p.ID = "00000000-0000-7000-8000-000000000000"
	if _, err := d.store.Answer(t.Context(), reply(p, yes)); !errors.Is(err, topup.ErrNotFound) {
		t.Errorf("a purchase that does not exist: %v, want ErrNotFound", err)
	}
}

func answerToOlderPermit(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.send(acme)
	second := d.permit(d.repeat(d.silent(first)))
	late := d.answer(first, topup.Answer{Verdict: topup.NotRun, Written: 300}) // is not about the newest request
	if late.State != topup.Sent || late.Attempts != 2 || late.Repeats != 1 || late.PermitToken != second.PermitToken {
		t.Errorf("a late answer to the first request: %s, %d attempts, %d repeats", late.State, late.Attempts, late.Repeats)
	}
	if got := d.answer(second, yes); got.State != topup.Confirmed {
		t.Errorf("the answer to the second: %s, want confirmed", got.State)
	}
}

func refusedAnswerIsOpen(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.answer(d.send(customer(1)), yes)
	p := d.send(acme)
	if _, err := d.store.Answer(t.Context(), reply(p, yes)); !errors.Is(err, ledger.ErrReferenceClaimed) {
		t.Fatalf("another purchase's invoice: %v, want ErrReferenceClaimed", err)
	}
	got := d.answer(p, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMismatch, Reference: "inv_1", Written: 300})
	if got.State != topup.Sent || !got.NeverRepeat || got.Reference != "" {
		t.Errorf("after it: %s, never repeated %t, under %q", got.State, got.NeverRepeat, got.Reference)
	}
}

func answerStops(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.send(acme)
	second := d.permit(d.repeat(d.silent(first), func(r *topup.PermitRequest) { r.TokenFingerprint = "token-2" }))
	d.answer(first, topup.Answer{Verdict: topup.Rejected, Reason: topup.FailedAuth, Stop: true, Detail: "401", Written: 300})
	list, err := d.store.Providers(t.Context())
	d.must(err)
	if list[0].Stopped != "401" || list[0].StoppedToken != token {
		t.Errorf("stopped %q for %q, want for the token of the first request", list[0].Stopped, list[0].StoppedToken)
	}
	if got := d.answer(second, yes); got.State != topup.Confirmed {
		t.Errorf("the answer to the request under the new token: %s", got.State)
	}
}

func neverRepeatStays(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.send(acme)
	second := d.permit(d.repeat(d.silent(first)))
	d.answer(first, topup.Answer{Verdict: topup.Unknown, Reason: topup.FailedMismatch, Reference: "inv_9", Written: 300})
	p := d.answer(second, topup.Answer{Verdict: topup.NotRun, Written: 300})
	if !p.NeverRepeat || p.State != topup.Sent {
		t.Errorf("%s, never repeated %t, after a repeat that did not run", p.State, p.NeverRepeat)
	}
	if _, err := d.store.Permit(t.Context(), d.repeat(d.silent(p))); !errors.Is(err, topup.ErrOvertaken) {
		t.Errorf("a repeat of what made something: %v, want ErrOvertaken", err)
	}
}
