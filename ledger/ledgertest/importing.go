package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

var importing = map[string]func(*testing.T, Opener){
	"an unknown addition is stored once and makes facts old":      importedOnce,
	"an addition that a purchase explains is ours":                explainedIsOurs,
	"rows in the match window of a sent purchase are left alone":  windowIsLeftAlone,
	"rows are imported beside a planned purchase":                 importedBesidePlanned,
	"a time from the future is now":                               futureIsNow,
	"what a step declares external is imported inside the window": declaredExternal,
	"a newer row of our own makes facts old":                      oursMakesFactsOld,
	"a later row of a known addition makes readings old":          laterRowOfKnown,
	"what contradicts a person's not-charged holds the target":    contradictedHolds,
	"so does a bill, which tells its price alone":                 contradictedByABill,
	"what is known by its bill alone stands for a month":          billsStand,
	"a bill that a person calls somebody else's does not block":   externalBill,
	"many rows are several transactions":                          importedInParts,
}

func addition(id string, at time.Time) topup.Topup {
	return topup.Topup{ID: id, Invoice: "inv_" + id, Credits: 600 * topup.Credit, Price: eur(900_00), PriceID: "pri_9large", Source: "portal", At: at}
}

func (d *desk) imports(want int, rows ...topup.Topup) {
	d.t.Helper()
	n, err := d.store.Import(d.ctx(), acme, rows)
	d.must(err)
	if n != want {
		d.t.Errorf("imported %d of %d rows, want %d", n, len(rows), want)
	}
}

func importedOnce(t *testing.T, open Opener) {
	d := newDesk(t, open)
	stale := d.request(acme)
	d.imports(0)
	d.imports(2, addition("1", noon.Add(-time.Hour)), addition("2", noon.Add(-2*time.Hour)))
	d.imports(0, addition("1", noon.Add(-time.Hour)))
	s := d.standing(acme)
	if s.Version != 1 || s.ExternalAt == nil || !s.ExternalAt.Equal(noon.Add(-time.Hour)) || !s.NewestRowAt.Equal(noon.Add(-time.Hour)) {
		t.Errorf("version %d, external at %v, newest row %v", s.Version, s.ExternalAt, s.NewestRowAt)
	}
	if _, err := d.store.Plan(t.Context(), stale); !errors.Is(err, topup.ErrFactsOvertaken) {
		t.Errorf("a plan on facts from before the import: %v, want ErrFactsOvertaken", err)
	}
	d.plan(acme)
}

func explainedIsOurs(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.advance(d.send(acme), confirmed("inv_ours"))
	version := d.standing(acme).Version
	ours := topup.Topup{ID: "row_ours", Invoice: "inv_ours", Credits: p.Credits, At: noon.Add(-time.Second)}
	d.imports(0, ours)
	s := d.standing(acme)
	if s.ExternalAt != nil || s.Version != version+1 || s.NewestRowAt == nil || !s.NewestRowAt.Equal(ours.At) {
		t.Errorf("our own row: external at %v, version %d, newest row %v", s.ExternalAt, s.Version, s.NewestRowAt)
	}
	creditedOne := d.advance(p, credited)
	d.clock.forward(time.Hour)
	d.imports(0, ours, topup.Topup{ID: creditedOne.Reference, At: noon})
}

func windowIsLeftAlone(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.clock.forward(time.Hour)
	d.takeLease()
	p := d.send(acme)
	at := *p.SentAt
	d.clock.forward(45 * time.Minute)
	inside := []topup.Topup{addition("first", at.Add(-topup.MatchBefore)), addition("last", at.Add(topup.MatchAfter))}
	d.imports(0, inside...)
	d.imports(2,
		addition("before", at.Add(-topup.MatchBefore-time.Microsecond)),
		addition("after", at.Add(topup.MatchAfter+time.Microsecond)))
	p = d.advance(p, confirmed("inv_mine"))
	d.imports(0, inside...) // the claim may still move
	d.advance(p, credited)
	d.imports(2, inside...)
}

func importedBesidePlanned(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	d.imports(1, addition("1", noon))
	d.permit(d.permission(p)) // the plan was made on facts of its own
}

func futureIsNow(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.imports(2, addition("1", noon.Add(24*time.Hour)), addition("2", time.Time{}))
	if s := d.standing(acme); !s.ExternalAt.Equal(noon) || !s.NewestRowAt.Equal(noon) {
		t.Errorf("external at %v, newest row %v; want the clock's %v", s.ExternalAt, s.NewestRowAt, noon)
	}
}

func declaredExternal(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	other := addition("other", p.SentAt.Add(time.Minute))
	d.imports(0, other)
	d.advance(p, func(c *topup.Change) { confirmed("inv_mine")(c); c.External = []topup.Topup{other} })
	if s := d.standing(acme); s.ExternalAt == nil || !s.ExternalAt.Equal(other.At) {
		t.Errorf("external at %v, want %v", s.ExternalAt, other.At)
	}
	// The same charge by its invoice alone, as a match without a row is stored.
	d.advance(d.plan(customer(1)), func(c *topup.Change) {
		cancelled(c)
		c.External = []topup.Topup{{ID: "inv_x", Invoice: "inv_x", At: noon}}
	})
	n, err := d.store.Import(t.Context(), customer(1), []topup.Topup{{ID: "row_x", Invoice: "inv_x", At: noon}})
	if n != 0 || err != nil {
		t.Errorf("its row was imported again: %d, %v", n, err)
	}
}

// oursMakesFactsOld: a person credited a purchase whose row was never seen. The
// row turns up in a confirm read; a decision made without it must not buy.
func oursMakesFactsOld(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	p = d.advance(p, func(c *topup.Change) { c.Next.State, c.Next.Reason = topup.NeedsReview, topup.FailedOther })
	for range 2 { // in review → confirmed → credited
		c, err := topup.Resolved(p, topup.Resolution{Charged: true, Reference: "inv_9", Note: "seen", By: "me"}, d.clock.Now())
		d.must(err)
		if p, err = d.store.Advance(d.ctx(), c); err != nil {
			t.Fatal(err)
		}
	}
	d.clock.forward(6 * time.Minute)
	d.must(d.renewed(hyperline))
	before := d.standing(acme)
	d.imports(0, topup.Topup{ID: "row_9", Invoice: "inv_9", Credits: 600 * topup.Credit, PriceID: "pri_9large", At: d.clock.Now().Add(-time.Minute)})
	_, err := d.store.Plan(d.ctx(), d.request(acme, func(r *topup.PlanRequest) {
		r.Facts = topup.Facts{Version: before.Version, At: before.Now, MaxAge: 2 * time.Minute}
	}))
	if !errors.Is(err, topup.ErrFactsOvertaken) {
		t.Errorf("planned on facts that did not know our own row: %v", err)
	}
}

func laterRowOfKnown(t *testing.T, open Opener) {
	d := newDesk(t, open)
	at := noon.Add(-10 * time.Minute)
	d.imports(1, topup.Topup{ID: "inv_f", Invoice: "inv_f", Credits: 600 * topup.Credit, At: at})
	d.imports(0, topup.Topup{ID: "row_f", Invoice: "inv_f", Credits: 600 * topup.Credit, At: at.Add(5 * time.Minute)})
	if s := d.standing(acme); !s.NewestRowAt.Equal(at.Add(5 * time.Minute)) {
		t.Errorf("newest row %v, the ledger row is of %v", s.NewestRowAt, at.Add(5*time.Minute))
	}
}

// contradictedByABill: what the account's bills show first, such as after a
// restart, is known to the confirm reads from then on and never looked at again.
func contradictedByABill(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.denied()
	bill := topup.Topup{ID: "inv_9", Invoice: "inv_9", Price: p.Price, At: p.LastSentAt.Add(time.Second)}
	other := bill
	other.ID, other.Invoice, other.Price.Minor = "inv_8", "inv_8", p.Price.Minor+1
	d.imports(1, other)
	if s := d.standing(acme); s.Implausible != "" {
		t.Fatalf("held for nothing: %s", s.Implausible)
	}
	d.imports(1, bill)
	if s := d.standing(acme); !strings.Contains(s.Implausible, "inv_9") {
		t.Errorf("the target is held because of %q", s.Implausible)
	}
}

// denied is a purchase that a person called not charged.
func (d *desk) denied() topup.Purchase {
	d.t.Helper()
	p := d.silent(d.send(acme))
	p = d.advance(p, func(c *topup.Change) { c.Next.State, c.Next.Reason = topup.NeedsReview, topup.FailedOther })
	d.clock.forward(20 * time.Minute)
	d.must(d.renewed(hyperline))
	c, err := topup.Resolved(p, topup.Resolution{Note: "support says no", By: "ada"}, d.clock.Now())
	d.must(err)
	p, err = d.store.Advance(d.ctx(), c)
	d.must(err)
	return p
}

// contradictedHolds: a person called it not charged, and the charge turns up.
// Whoever pays the same pack a day later, or another pack, contradicts nobody.
func contradictedHolds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.denied()
	row := func(id string, after time.Duration, credits topup.Credits) topup.Topup {
		return topup.Topup{ID: id, Invoice: "inv_" + id, Credits: credits, Price: p.Price, PriceID: p.PriceID, At: p.LastSentAt.Add(after)}
	}
	d.clock.forward(26 * time.Hour)
	d.imports(3, row("other", time.Hour, p.Credits+1), row("late", 24*time.Hour+time.Microsecond, p.Credits), row("early", -topup.MatchBefore-time.Microsecond, p.Credits))
	if s := d.standing(acme); s.Implausible != "" {
		t.Fatalf("held for nothing: %s", s.Implausible)
	}
	before, err := d.store.Evidence(d.ctx(), p.ID)
	d.must(err)
	d.imports(1, row("same", 24*time.Hour, p.Credits))
	d.imports(0, row("same", 24*time.Hour, p.Credits))
	if s := d.standing(acme); !strings.Contains(s.Implausible, "inv_same") || !strings.Contains(s.Implausible, "ada") || !strings.Contains(s.Implausible, p.Short()) {
		t.Errorf("the target is held because of %q", s.Implausible)
	}
	after, err := d.store.Evidence(d.ctx(), p.ID)
	d.must(err)
	if len(after) != len(before)+1 || !strings.Contains(after[len(after)-1].Text, "inv_same") {
		t.Errorf("%d lines of evidence became %d", len(before), len(after))
	}
}

// billsStand: the bills that no purchase explains are among the facts, newest
// first, but not those that were known by their credits, nor another target's.
func billsStand(t *testing.T, open Opener) {
	d := newDesk(t, open)
	billed := func(id string, at time.Time) topup.Topup {
		return topup.Topup{ID: id, Invoice: id, Price: eur(900_00), At: at}
	}
	d.imports(4, billed("inv_old", noon.Add(-topup.BillsFor)), billed("inv_new", noon.Add(-time.Hour)),
		billed("inv_too_old", noon.Add(-topup.BillsFor-time.Microsecond)), addition("row", noon))
	d.imports(0, topup.Topup{ID: "cdt_new", Invoice: "inv_new", Credits: 600 * topup.Credit, At: noon}) // its credits, later
	if n, err := d.store.Import(t.Context(), customer(1), []topup.Topup{billed("inv_theirs", noon)}); n != 1 || err != nil {
		t.Fatalf("imported %d, %v", n, err)
	}
	if got := d.standing(acme).ExternalBills; !slices.Equal(got, []string{"inv_new", "inv_old"}) {
		t.Errorf("bills of nobody's purchase: %v", got)
	}
	if got := d.standing(customer(2)).ExternalBills; len(got) != 0 {
		t.Errorf("of somebody without any: %v", got)
	}
}

// externalBill: it may stay unpaid for months, and must not block both ways out
// of a purchase that needs review.
func externalBill(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.silent(d.send(acme))
	p = d.advance(p, func(c *topup.Change) { c.Next.State, c.Next.Reason = topup.NeedsReview, topup.FailedOther })
	bill := topup.Invoice{ID: "inv_theirs", Amount: eur(200_00), Payment: topup.PaymentPending, At: noon.Add(time.Minute)}
	c, err := topup.Resolved(p, topup.Resolution{Note: "their own order", By: "ada", External: []topup.Invoice{bill}}, d.clock.Now())
	d.must(err)
	if p, err = d.store.Advance(t.Context(), c); err != nil || p.State != topup.Declined {
		t.Fatalf("%s, %v", p.State, err)
	}
	s := d.standing(acme)
	if len(s.ExternalBills) != 0 || s.Implausible != "" || s.ExternalAt == nil || !s.ExternalAt.Equal(bill.At) {
		t.Errorf("bills that block %v, held %q, external at %v", s.ExternalBills, s.Implausible, s.ExternalAt)
	}
	d.imports(0, topup.Topup{ID: "inv_theirs", Invoice: "inv_theirs", Price: bill.Amount, At: bill.At}) // the account's bills
	d.imports(0, topup.Topup{ID: "cdt_9", Invoice: "inv_theirs", Credits: 120 * topup.Credit, At: noon.Add(time.Hour)})
	if got := d.standing(acme).ExternalBills; len(got) != 0 {
		t.Errorf("bills that block after they were read again: %v", got)
	}
}

// importedInParts: the provider is held for a part of the rows only, so an error
// among the last ones takes back that part.
func importedInParts(t *testing.T, open Opener) {
	d := newDesk(t, open)
	var rows []topup.Topup
	for i := range 350 {
		rows = append(rows, addition(fmt.Sprint("row_", i), noon.Add(-time.Hour)))
	}
	rows[349].ID = strings.Repeat("x", 301)
	if n, err := d.store.Import(t.Context(), acme, rows); err == nil || n != 300 {
		t.Errorf("imported %d, %v; want an error after 300", n, err)
	}
	d.imports(49, rows[:349]...)
	d.imports(0, rows[:349]...)
}
