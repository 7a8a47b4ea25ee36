package ledgertest

import (
	"errors"
	"testing"
	"time"

	"topupd/topup"
)

var proving = map[string]func(*testing.T, Opener){
	"one purchase goes first at a price":            oneGoesFirst,
	"what comes of the first one lets others go":    canaryEnds,
	"a bill shows its price for a day":              shownForADay,
	"a price that has changed is shown anew":        priceChanged,
	"a price is a connection's, a rule's, a pack's": pricesApart,
	"two processes let one go first":                oneOfTwoGoesFirst,
}

// atOnePrice makes a purchase one of the same price as others.
func atOnePrice(r *topup.PlanRequest) { r.Purchase.PriceID = "pri_9large" }

// tries plans at one price, and fails the test unless it may, or has to wait.
func (d *desk) tries(what string, n int, may bool, change ...func(*topup.PlanRequest)) topup.Purchase {
	d.t.Helper()
	p, err := d.store.Plan(d.ctx(), d.request(customer(n), append([]func(*topup.PlanRequest){atOnePrice}, change...)...))
	switch {
	case may && err != nil:
		d.t.Errorf("%s: %v, want it planned", what, err)
	case !may && !errors.Is(err, topup.ErrProvingPrice):
		d.t.Errorf("%s: %v, want ErrProvingPrice", what, err)
	}
	return p
}

func priced(c *topup.Change) { c.Priced = true }

// oneGoesFirst: P10.
func oneGoesFirst(t *testing.T, open Opener) {
	d := newDesk(t, open)
	first := d.tries("the first", 1, true)
	d.tries("the second", 2, false)
	s := d.standing(customer(2))
	if len(s.Canaries) != 1 || s.Canaries[0].Purchase != first.ID || !s.Canaries[0].Waits(s.Now) || s.Canaries[0].Trouble(s.Now) ||
		!s.Canaries[0].Of("api-credits", topup.Order{PriceID: "pri_9large", Price: eur(900_00), Credits: 600 * topup.Credit}) {
		t.Errorf("standing: %+v", s.Canaries)
	}
	sent := d.permit(d.permission(first))
	d.tries("while it is sent", 2, false)
	d.advance(sent, func(c *topup.Change) { confirmed("inv_1")(c); c.Priced = false })
	d.tries("while its bill is not seen", 2, false)
	p, err := d.store.Purchase(t.Context(), first.ID)
	d.must(err)
	d.advance(p, priced)
	second := d.tries("when its bill was seen", 2, true)
	d.tries("beside the second", 3, true)
	if known, _, err := d.store.Standings(t.Context(), hyperline); err != nil || !known[second.Target].Canaries[0].Passed(noon) {
		t.Errorf("the standings of all do not show it: %v", err)
	}
}

func canaryEnds(t *testing.T, open Opener) {
	for name, ends := range map[string]func(*topup.Change){
		"declined": refused, "cancelled": cancelled,
		"refused, at a provider with books": func(c *topup.Change) { c.Decline, c.Next.Refused, c.Next.Reason = true, true, topup.FailedDeclined },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, open)
			d.advance(d.permit(d.permission(d.tries("the first", 1, true))), ends)
			d.tries("the next", 2, true)
			d.tries("the one after that", 3, false)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		d := newDesk(t, open)
		d.permit(d.permission(d.tries("the first", 1, true)))
		d.clock.forward(topup.CanaryEvery - time.Microsecond)
		d.tries("just before two minutes", 2, false)
		d.clock.forward(time.Microsecond)
		d.tries("after two minutes", 2, true)
		d.tries("beside it", 3, false)
		d.clock.forward(topup.CanaryEvery)
		d.tries("after four minutes", 3, true)
		d.clock.forward(topup.CanaryTrouble - 2*topup.CanaryEvery + time.Microsecond)
		if s := d.standing(customer(4)); !s.Canaries[0].Waits(s.Now) || !s.Canaries[0].Trouble(s.Now) {
			t.Errorf("after five minutes without a bill: %+v", s.Canaries)
		}
	})
}

func shownForADay(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.advance(d.permit(d.permission(d.tries("the first", 1, true))), confirmed("inv_1")), credited)
	for range topup.CanaryFor / (30 * time.Minute) {
		d.clock.forward(30 * time.Minute)
		d.must(d.renewed(hyperline))
	}
	d.clock.forward(-time.Second)
	d.tries("within a day", 2, true)
	d.tries("beside it", 3, true)
	d.clock.forward(time.Second)
	d.tries("a day later", 4, true)
	d.tries("beside the first of the new day", 5, false)
}

func priceChanged(t *testing.T, open Opener) {
	passed := func(t *testing.T) *desk {
		t.Helper()
		d := newDesk(t, open)
		d.advance(d.permit(d.permission(d.tries("the first", 1, true))), confirmed("inv_1"))
		return d
	}
	dearer := func(r *topup.PlanRequest) { r.Purchase.Price = eur(950_00) }
	t.Run("in the rule, and back", func(t *testing.T) {
		d := passed(t)
		d.advance(d.permit(d.permission(d.tries("at the new price", 2, true, dearer))), func(c *topup.Change) { confirmed("inv_2")(c); c.Priced = false })
		d.tries("beside it", 3, false, dearer)
		d.tries("at the old price again", 3, true)
		d.tries("beside that", 4, false)
	})
	t.Run("at the provider, and back", func(t *testing.T) {
		d := passed(t)
		d.must(d.store.DoubtPrice(t.Context(), hyperline, "another", "pri_9large"))
		d.tries("another rule's doubt", 2, true)
		d.must(d.store.DoubtPrice(t.Context(), hyperline, "api-credits", "pri_9large"))
		d.tries("the first after the doubt", 3, true)
		d.tries("the second", 4, false)
	})
	t.Run("as a bill shows", func(t *testing.T) {
		d := passed(t)
		other := eur(950_00)
		d.advance(d.permit(d.permission(d.tries("within the day", 2, true))), func(c *topup.Change) {
			confirmed("inv_2")(c)
			c.Next.Charged, c.Priced = &other, false
		})
		d.tries("the first after a bill of another amount", 3, true)
		d.tries("the second", 4, false)
	})
}

func pricesApart(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.tries("the first", 1, true)
	d.tries("of another rule", 2, true, func(r *topup.PlanRequest) { r.Purchase.Rule = "another" })
	d.tries("of another price", 3, true, func(r *topup.PlanRequest) { r.Purchase.PriceID = "pri_small" })
	custom := func(minor int64) func(*topup.PlanRequest) {
		return func(r *topup.PlanRequest) { r.Purchase.PriceID, r.Purchase.Price = "", eur(minor) }
	}
	d.tries("of a custom amount", 4, true, custom(100_00))
	d.tries("of another custom amount", 5, true, custom(200_00))
	d.tries("of the same custom amount", 6, false, custom(100_00))
	d.plan(topup.Target{Provider: voice, Customer: "env-1", Product: "credits"}, atOnePrice)
}

// oneOfTwoGoesFirst: P10, with any number of daemons.
func oneOfTwoGoesFirst(t *testing.T, open Opener) {
	d := newDesk(t, open)
	const rivals = 6
	requests := make([]topup.PlanRequest, rivals)
	for n := range requests {
		requests[n] = d.request(customer(n), atOnePrice)
	}
	errs := make(chan error, rivals)
	for _, r := range requests {
		go func() {
			_, err := d.store.Plan(t.Context(), r)
			errs <- err
		}()
	}
	planned := 0
	for range rivals {
		switch err := <-errs; {
		case err == nil:
			planned++
		case !errors.Is(err, topup.ErrProvingPrice):
			t.Errorf("Plan: %v", err)
		}
	}
	if planned != 1 {
		t.Errorf("%d of %d purchases went at once at a price that nothing has shown, want 1", planned, rivals)
	}
}
