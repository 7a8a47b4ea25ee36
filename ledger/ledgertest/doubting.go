package ledgertest

import (
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// How doubts end: by readings, by a person, and when credits come.

func doubtsLifted(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.doubt(customer(1), customer(2), customer(3), customer(4))
	lifted, err := d.store.LiftDoubts(t.Context(), []topup.Target{customer(2), customer(3), customer(9)}, "they are back")
	d.must(err)
	if lifted != 2 {
		t.Errorf("lifted %d, want 2", lifted)
	}
	d.wantHeld(4, 1, 4)
	if s := d.standing(customer(2)); s.DoubtedAt != nil || s.Fall == nil || !s.Fall.Believed {
		t.Errorf("after the hold: since %v, %+v", s.DoubtedAt, s.Fall)
	}
	actions, err := d.store.Actions(t.Context(), 10)
	d.must(err)
	if len(actions) != 1 || actions[0].By != ledger.Itself || actions[0].Reason != "they are back" || actions[0].Effect != "lifted: 2 implausible holds" {
		t.Errorf("what was done: %+v", actions)
	}
	for _, none := range [][]topup.Target{nil, {customer(2)}} { // nothing to do is not logged
		if lifted, err := d.store.LiftDoubts(t.Context(), none, "again"); lifted != 0 || err != nil {
			t.Errorf("lifting %v: %d, %v", none, lifted, err)
		}
	}
	if actions, err := d.store.Actions(t.Context(), 10); err != nil || len(actions) != 1 {
		t.Errorf("what was done: %+v, %v", actions, err)
	}
}

func doubtContradicted(t *testing.T, open Opener) {
	for _, doubted := range []bool{false, true} {
		d := newDesk(t, open)
		p := d.denied()
		if doubted {
			d.doubt(acme, customer(1), customer(2), customer(3))
		}
		d.imports(1, topup.Topup{ID: "inv_9", Invoice: "inv_9", Price: p.Price, At: p.LastSentAt.Add(time.Second)})
		lifted, err := d.store.LiftDoubts(t.Context(), []topup.Target{acme}, "they are back")
		if s := d.standing(acme); err != nil || lifted != 0 || !strings.Contains(s.Implausible, "inv_9") {
			t.Errorf("doubted before %t: lifted %d, held for %q, %v", doubted, lifted, s.Implausible, err)
		}
	}
}

func fallsBelieved(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.accounts(2)
	d.accountFell(account(1))
	d.accountFell(account(2)) // held, both
	d.accounts(3)
	d.clock.forward(time.Hour)
	resume := topup.Pause{Scope: topup.PauseProvider, Provider: account(1).Provider, By: "ana", Reason: "it is true"}
	r, err := d.store.Resume(t.Context(), resume)
	d.must(err)
	if s := d.standing(account(1)); r.Implausible != 1 || s.Implausible != "" || s.DoubtedAt != nil || s.Fall == nil || !s.Fall.Believed {
		t.Errorf("a held account: %+v, %+v", r, s.Fall)
	}
	if d.standing(account(2)).Implausible == "" {
		t.Error("another account went with it")
	}
	d.noteFalls(12, customer(1), customer(2), customer(3))
	resume.Provider = hyperline
	r, err = d.store.Resume(t.Context(), resume)
	d.must(err)
	if s := d.standing(customer(1)); r.Implausible != 0 || !s.Fall.Believed {
		t.Errorf("falls that held nobody up: %+v, %+v", r, s.Fall)
	}
	if crowd := d.noteFalls(12, customer(4)); crowd.Fell != 1 {
		t.Errorf("what a person believes counts towards a crowd: %+v", crowd)
	}
	d.must(d.store.EndFalls(t.Context(), []topup.Target{account(1)}))
	d.accountFell(account(1)) // and waits
	resume.Provider = account(1).Provider
	if r, err = d.store.Resume(t.Context(), resume); err != nil || r.Implausible != 1 || !d.standing(account(1)).Fall.Believed {
		t.Errorf("an account that waits for a second witness: %+v, %v", r, err)
	}
}

// fallsAfterBelief: what a person believed was a zero before the credits came.
func fallsAfterBelief(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.doubt(customer(1), customer(2), customer(3), customer(4))
	if r, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseProvider, Provider: hyperline, By: "ana", Reason: "they are true"}); err != nil || r.Implausible != 4 {
		t.Fatalf("Resume = %+v, %v", r, err)
	}
	d.wantHeld(4)
	d.clock.forward(time.Hour)
	late := d.fell(customer(1))
	late.Beside = true
	crowd, err := d.store.NoteFalls(t.Context(), topup.Falls{Provider: hyperline, Watched: 12, List: []topup.Fall{
		late, d.fell(customer(2)), d.fell(customer(5)), d.fell(customer(6)), d.fell(customer(7)), d.fell(customer(8)),
	}})
	if err != nil || crowd.Fell != 4 || crowd.Held != 5 {
		t.Errorf("four more, and one who was believed before credits came: %+v, %v; want 5 held", crowd, err)
	}
	d.wantHeld(8, 1, 5, 6, 7, 8)
}
