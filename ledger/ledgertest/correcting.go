package ledgertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// What a person corrects afterwards.
var correcting = map[string]func(*testing.T, Opener){
	"a charge that was denied counts again":        correctedToCharged,
	"a charge that never was frees its reference":  correctedToNotCharged,
	"another reference takes the place of a wrong": correctedReference,
	"a correction opens nothing":                   correctionOpensNothing,
	"a correction needs its entry":                 correctionNeedsEntry,
	"what was read before a correction is old":     correctionMakesFactsOld,
	"no reference explains two purchases":          correctionTakesNoOther,
}

// correct stores a person's correcting entry.
func (d *desk) correct(p topup.Purchase, r topup.Resolution) topup.Purchase {
	d.t.Helper()
	r.By, r.Note = "bea", "the bank's statement"
	c, err := topup.Corrected(p, r, d.clock.Now())
	d.must(err)
	stored, err := d.store.Advance(d.ctx(), c)
	d.must(err)
	if stored.CorrectedAt == nil || !stored.CorrectedAt.Equal(d.clock.Now()) || stored.CorrectedFrom != p.State || stored.ResolvedBy != "bea" {
		d.t.Errorf("corrected at %v from %q by %q", stored.CorrectedAt, stored.CorrectedFrom, stored.ResolvedBy)
	}
	return stored
}

// bought is a purchase that credited under the reference.
func (d *desk) bought(target topup.Target, reference string) topup.Purchase {
	d.t.Helper()
	p := d.advance(d.advance(d.send(target), confirmed(reference)), credited)
	d.clock.forward(p.QuietPeriod)
	d.must(d.renewed(target.Provider))
	return p
}

func correctedToCharged(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.denied()
	row := topup.Topup{ID: "row_9", Invoice: "inv_9", Credits: p.Credits, Price: p.Price, At: p.LastSentAt.Add(time.Second)}
	d.imports(1, topup.Topup{ID: "inv_9", Invoice: "inv_9", Price: p.Price, At: row.At}) // its bill, before its credits
	d.spent(1, 0)
	before := d.standing(acme)
	d.clock.forward(10 * time.Minute)
	seen := topup.Match{ID: "inv_9", Row: &row, Invoice: &topup.Invoice{ID: "inv_9", Amount: p.Price, Payment: topup.PaymentPending}, At: row.At}
	after := d.correct(p, topup.Resolution{Charged: true, Reference: "inv_9", Seen: &seen})
	if after.State != topup.Credited || after.Reference != "inv_9" || after.ReferenceBy != "person" || after.Payment != topup.PaymentPending || after.NextLookAt == nil {
		t.Errorf("%s, %q by %q, payment %s, next look %v", after.State, after.Reference, after.ReferenceBy, after.Payment, after.NextLookAt)
	}
	if !after.FinishedAt.Equal(*p.FinishedAt) {
		t.Errorf("finished at %v, was %v", after.FinishedAt, p.FinishedAt)
	}
	d.spent(1, 900_00)
	s := d.standing(acme)
	if s.Version != before.Version+1 || s.Open != nil || s.NewestRowAt == nil || s.NewestRowAt.Before(row.At) {
		t.Errorf("version %d → %d, open %v, newest row %v", before.Version, s.Version, s.Open, s.NewestRowAt)
	}
	if len(s.ExternalBills) != 0 {
		t.Errorf("bills that nobody's purchase explains: %v", s.ExternalBills)
	}
	d.imports(0, row)
	evidence, err := d.store.Evidence(d.ctx(), p.ID)
	d.must(err)
	last := evidence[len(evidence)-1]
	if last.Kind != topup.EvidenceCorrected || last.From != topup.Declined || last.To != topup.Credited || !strings.Contains(last.Text, "bea says charged as inv_9") {
		t.Errorf("the entry: %+v", last)
	}
	actions, err := d.store.Actions(d.ctx(), 1)
	d.must(err)
	if actions[0].Kind != ledger.ActionCorrect || actions[0].Effect != "declined → credited" || actions[0].By != "bea" || actions[0].Subject != p.ID {
		t.Errorf("the action: %+v", actions[0])
	}
}

func correctedToNotCharged(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.bought(acme, "inv_1")
	d.spent(1, 900_00)
	after := d.correct(p, topup.Resolution{})
	if after.State != topup.Declined || after.Reference != "" || after.NextLookAt != nil || after.Payment != topup.PaymentNone {
		t.Errorf("%s, %q, next look %v, payment %s", after.State, after.Reference, after.NextLookAt, after.Payment)
	}
	d.spent(1, 0)
	if claimed, err := d.store.Claimed(d.ctx(), hyperline, []string{"inv_1"}, ""); err != nil || claimed["inv_1"] {
		t.Errorf("inv_1 is claimed: %v, %v", claimed, err)
	}
	d.imports(1, topup.Topup{ID: "row_1", Invoice: "inv_1", Credits: p.Credits, Price: p.Price, PriceID: p.PriceID, At: noon.Add(time.Second)})
	if s := d.standing(acme); !strings.Contains(s.Implausible, "inv_1") { // on the books after all
		t.Errorf("held for %q", s.Implausible)
	}
	confirmed := d.advance(d.send(customer(1)), confirmed("inv_2"))
	d.clock.forward(confirmed.QuietPeriod)
	if got := d.correct(confirmed, topup.Resolution{}); got.FinishedAt == nil || d.standing(customer(1)).Open != nil {
		t.Errorf("a confirmed one: finished at %v, open %v", got.FinishedAt, d.standing(customer(1)).Open)
	}
}

func correctedReference(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.bought(acme, "inv_1")
	after := d.correct(p, topup.Resolution{Charged: true, Reference: "inv_2"})
	if after.State != topup.Credited || after.Reference != "inv_2" {
		t.Errorf("%s, %q", after.State, after.Reference)
	}
	d.spent(1, 900_00)
	if _, err := topup.Corrected(after, topup.Resolution{Note: "no", By: "bea"}, d.clock.Now()); err == nil || !strings.Contains(err.Error(), "bea corrected it") {
		t.Errorf("a correction of a correction: %v", err)
	}
	if again := d.correct(after, topup.Resolution{Again: true}); again.State != topup.Declined {
		t.Errorf("once more: %s", again.State)
	}
}

func correctionOpensNothing(t *testing.T, open Opener) {
	d := newDesk(t, open)
	ended := []topup.Purchase{
		d.bought(customer(1), "inv_1"), d.advance(d.send(customer(2)), refused), d.advance(d.send(customer(3)), cancelled),
	}
	for _, p := range ended {
		for _, to := range topup.States() {
			if topup.Correctable(p.State, to) {
				continue
			}
			_, err := d.store.Advance(d.ctx(), step(p, func(c *topup.Change) {
				c.Next.State, c.Correction = to, true
				c.Next.ResolvedBy, c.Next.Note = "bea", "no"
				c.Evidence = []topup.Evidence{{Kind: topup.EvidenceCorrected, From: p.State, To: to, Text: "no"}}
			}))
			if !errors.Is(err, topup.ErrRefused) {
				t.Errorf("%s to %s: %v, want ErrRefused", p.State, to, err)
			}
		}
	}
}

// correctionNeedsEntry: nothing that has ended changes without a line in its
// history that says who says so.
func correctionNeedsEntry(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.bought(acme, "inv_1")
	good, err := topup.Corrected(p, topup.Resolution{Note: "never charged", By: "bea"}, d.clock.Now())
	d.must(err)
	for name, spoil := range map[string]func(*topup.Change){
		"no entry":               func(c *topup.Change) { c.Evidence = nil },
		"an entry of other kind": func(c *topup.Change) { c.Evidence[0].Kind = topup.EvidenceState },
		"nobody says so":         func(c *topup.Change) { c.Next.ResolvedBy = "" },
	} {
		c := good
		c.Evidence = append([]topup.Evidence(nil), good.Evidence...)
		spoil(&c)
		_, err := d.store.Advance(d.ctx(), c)
		if refusal, ok := errors.AsType[*ledger.RefusedError](err); !ok || refusal.Rule != "purchase_ends_once_or_is_corrected" {
			t.Errorf("%s: %v, want a refusal by purchase_ends_once_or_is_corrected", name, err)
		}
	}
	if _, err := d.store.Advance(d.ctx(), good); err != nil {
		t.Errorf("with its entry: %v", err)
	}
}

// correctionMakesFactsOld: P1. What was decided before nobody knew of the charge
// buys nothing.
func correctionMakesFactsOld(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.denied()
	request := d.request(acme)
	d.correct(p, topup.Resolution{Charged: true, Reference: "inv_9"})
	if _, err := d.store.Plan(d.ctx(), request); !errors.Is(err, topup.ErrFactsOvertaken) {
		t.Errorf("Plan = %v, want ErrFactsOvertaken", err)
	}
}

func correctionTakesNoOther(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.bought(customer(1), "inv_1")
	p := d.denied()
	c, err := topup.Corrected(p, topup.Resolution{Charged: true, Reference: "inv_1", Note: "mine", By: "bea"}, d.clock.Now())
	d.must(err)
	if _, err := d.store.Advance(d.ctx(), c); !errors.Is(err, ledger.ErrReferenceClaimed) {
		t.Errorf("Advance = %v, want ErrReferenceClaimed", err)
	}
	if got, err := d.store.Purchase(d.ctx(), p.ID); err != nil || got.State != topup.Declined || got.CorrectedAt != nil {
		t.Errorf("after the refusal: %s, corrected at %v, %v", got.State, got.CorrectedAt, err)
	}
}
