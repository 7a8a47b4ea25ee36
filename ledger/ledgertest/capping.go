package ledgertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/ledger"
	"topupd/topup"
)

var capping = map[string]func(*testing.T, Opener){
	"what is spent in the windows of now is listed":            spendingNow,
	"customers near their cap are counted by rule":             nearTheirCap,
	"a cap can be reached but not passed":                      capIsReached,
	"every scope and period counts":                            everyScopeCounts,
	"spend counts per currency":                                spendPerCurrency,
	"purchases before the cap was configured count":            countedBeforeConfigured,
	"what never left gives both back":                          unsentGivesBack,
	"what was sent and failed keeps its place among purchases": failedKeepsItsPlace,
	"what certainly did not run gives both back":               turnedAwayGivesBack,
	"requests that were turned away have a bound of their own": turnedAwayIsBounded,
	"a window ends with its hour, day or month":                windowEnds,
	"the cap that is passed is named":                          capIsNamed,
}

func capped(caps ...topup.Cap) func(*topup.PlanRequest) {
	return func(r *topup.PlanRequest) { r.Caps = caps }
}

func capIsReached(t *testing.T, open Opener) {
	d := newDesk(t, open)
	spend := topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 1800_00}
	count := topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Limit: 2}
	d.plan(customer(1), capped(spend, count))
	if passed, err := d.store.OverCap(t.Context(), customer(2), "api-credits", eur(900_00), []topup.Cap{spend, count}); passed != nil || err != nil {
		t.Errorf("OverCap before the second: %v, %v", passed, err)
	}
	d.plan(customer(2), capped(spend, count))
	for _, c := range []topup.Cap{spend, count} {
		_, err := d.store.Plan(t.Context(), d.request(customer(3), capped(c)))
		if passed, ok := errors.AsType[*topup.CapError](err); !ok || passed.Cap != c {
			t.Errorf("the third under %s: %v, want that cap", c, err)
		}
		if passed, err := d.store.OverCap(t.Context(), customer(3), "api-credits", eur(900_00), []topup.Cap{c}); passed == nil || passed.Cap != c || err != nil {
			t.Errorf("OverCap of %s: %v, %v", c, passed, err)
		}
	}
	cheap := func(r *topup.PlanRequest) { r.Purchase.Price = eur(1) }
	if _, err := d.store.Plan(t.Context(), d.request(customer(3), capped(spend), cheap)); !errors.Is(err, topup.ErrOverCap) {
		t.Errorf("one cent too much: %v, want ErrOverCap", err)
	}
}

func everyScopeCounts(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(acme)
	for _, scope := range []struct {
		scope topup.CapScope
		id    string
	}{
		{topup.CapGlobal, ""}, {topup.CapProvider, ""}, {topup.CapRule, "api-credits"}, {topup.CapCustomer, "cus_acme"},
	} {
		for _, period := range []topup.CapPeriod{topup.CapHour, topup.CapDay, topup.CapMonth} {
			n, spend, err := d.store.Spent(t.Context(), scope.scope, hyperline, scope.id, period)
			if err != nil || n != 1 || len(spend) != 1 || spend[0] != eur(900_00) {
				t.Errorf("%s.%s = %d, %v, %v", scope.scope, period, n, spend, err)
			}
		}
	}
	for _, other := range []struct {
		scope topup.CapScope
		id    string
		at    topup.ProviderID
	}{
		{topup.CapProvider, "", voice}, {topup.CapRule, "another", hyperline}, {topup.CapCustomer, "cus_other", hyperline}, {topup.CapCustomer, "cus_acme", voice},
	} {
		if n, spend, err := d.store.Spent(t.Context(), other.scope, other.at, other.id, topup.CapDay); n != 0 || len(spend) != 0 || err != nil {
			t.Errorf("%s %s at %s counted %d, %v, %v", other.scope, other.id, other.at, n, spend, err)
		}
	}
}

func spendPerCurrency(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(customer(1))
	limit := capped(topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "USD", Limit: 10_00})
	dollars := func(minor int64) func(*topup.PlanRequest) {
		return func(r *topup.PlanRequest) { r.Purchase.Price = topup.Money{Minor: minor, Currency: "USD"} }
	}
	d.plan(customer(2), limit, dollars(10_00))
	if _, err := d.store.Plan(t.Context(), d.request(customer(3), limit, dollars(1))); !errors.Is(err, topup.ErrOverCap) {
		t.Errorf("a cent more: %v, want ErrOverCap", err)
	}
	d.plan(customer(3), limit) // euros have no cap here
}

func countedBeforeConfigured(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.plan(customer(1))
	_, err := d.store.Plan(t.Context(), d.request(customer(2), capped(topup.Cap{Scope: topup.CapGlobal, Period: topup.CapMonth, Limit: 1})))
	if !errors.Is(err, topup.ErrOverCap) {
		t.Errorf("Plan = %v, want ErrOverCap", err)
	}
}

func (d *desk) spent(wantPurchases, wantMinor int64) {
	d.t.Helper()
	for _, period := range []topup.CapPeriod{topup.CapHour, topup.CapDay, topup.CapMonth} {
		n, spend, err := d.store.Spent(d.ctx(), topup.CapCustomer, hyperline, "cus_acme", period)
		d.must(err)
		if n != wantPurchases || total(spend) != wantMinor {
			d.t.Errorf("this %s: %d purchases, %d spent; want %d and %d", period, n, total(spend), wantPurchases, wantMinor)
		}
	}
}

func unsentGivesBack(t *testing.T, open Opener) {
	d := newDesk(t, open)
	p := d.plan(acme)
	d.spent(1, 900_00)
	d.advance(p, cancelled)
	d.spent(0, 0)
}

func failedKeepsItsPlace(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.send(acme), refused)
	d.spent(1, 0)
	p := d.advance(d.send(acme), confirmed("inv_1"))
	d.advance(p, func(c *topup.Change) {
		c.Next.State, c.Next.Payment, c.Next.Reason = topup.Declined, topup.PaymentVoid, topup.FailedDeclined
	})
	d.spent(2, 0)
	d.advance(d.advance(d.send(acme), confirmed("inv_2")), credited)
	d.spent(3, 900_00)
}

var turnedAway = topup.Answer{Verdict: topup.NotRun, Reason: topup.FailedThrottled, Status: 429, Written: 300}

// turnedAwayGivesBack: ten minutes of 429 must not use up the purchases of a day.
func turnedAwayGivesBack(t *testing.T, open Opener) {
	d := newDesk(t, open)
	once := capped(topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Limit: 1})
	for range 3 {
		d.answer(d.send(acme, once), turnedAway)
		d.spent(0, 0)
	}
	d.answer(d.send(acme, once), yes)
	d.spent(1, 900_00)
}

func turnedAwayIsBounded(t *testing.T, open Opener) {
	d := newDesk(t, open)
	for n, wait := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		d.answer(d.send(acme), turnedAway)
		s := d.standing(acme)
		if s.Unused != n+1 || s.UnusedToday != n+1 || s.UnusedUntil == nil || !s.UnusedUntil.Equal(noon.Add(wait)) {
			t.Errorf("after %d: %d in a row, %d today, none before %v; want after %s", n+1, s.Unused, s.UnusedToday, s.UnusedUntil, wait)
		}
	}
	d.answer(d.send(acme), topup.Answer{Verdict: topup.NotRun}) // not a byte left
	if s := d.standing(acme); s.Unused != 7 || s.UnusedToday != 7 {
		t.Errorf("without a byte: %d in a row, %d today; want 7 and 7", s.Unused, s.UnusedToday)
	}
	d.answer(d.send(acme), yes)
	if s := d.standing(acme); s.Unused != 0 || s.UnusedUntil != nil || s.UnusedToday != 7 {
		t.Errorf("after a yes: %d in a row, none before %v, %d today; want 0, nil, 7", s.Unused, s.UnusedUntil, s.UnusedToday)
	}
	if s := d.standing(customer(1)); s.UnusedToday != 0 {
		t.Errorf("another customer's: %d", s.UnusedToday)
	}
	d.clock.forward(12 * time.Hour)
	d.takeLease()
	d.answer(d.send(customer(1)), turnedAway)
	if s := d.standing(acme); s.UnusedToday != 0 {
		t.Errorf("on the next day: %d", s.UnusedToday)
	}
	if _, err := d.store.Resume(t.Context(), topup.Pause{Scope: topup.PauseCustomer, Subject: "cus_1", By: "ana", Reason: "asked"}); err != nil {
		t.Fatal(err)
	}
	if s := d.standing(customer(1)); s.Unused != 0 || s.UnusedToday != 0 || s.UnusedUntil != nil {
		t.Errorf("after a person resumed: %d in a row, %d today, none before %v", s.Unused, s.UnusedToday, s.UnusedUntil)
	}
}

func windowEnds(t *testing.T, open Opener) {
	d := newDesk(t, open)
	hourly := capped(topup.Cap{Scope: topup.CapGlobal, Period: topup.CapHour, Limit: 1})
	d.clock.forward(time.Hour - time.Microsecond)
	p := d.plan(acme, hourly)
	if _, err := d.store.Plan(t.Context(), d.request(customer(1), hourly)); !errors.Is(err, topup.ErrOverCap) {
		t.Errorf("in the last microsecond of the hour: %v, want ErrOverCap", err)
	}
	d.clock.forward(time.Microsecond)
	d.takeLease()
	d.plan(customer(1), hourly)
	// The first one is given back to the hour that it was planned in.
	d.advance(p, cancelled)
	if n, _, err := d.store.Spent(t.Context(), topup.CapGlobal, "", "", topup.CapHour); n != 1 || err != nil {
		t.Errorf("this hour counts %d, %v; want 1", n, err)
	}
	if n, _, err := d.store.Spent(t.Context(), topup.CapGlobal, "", "", topup.CapDay); n != 1 || err != nil {
		t.Errorf("this day counts %d, %v; want 1", n, err)
	}
}

func capIsNamed(t *testing.T, open Opener) {
	d := newDesk(t, open)
	wide := topup.Cap{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 1_000_000_00}
	tight := topup.Cap{Scope: topup.CapRule, Period: topup.CapHour, Currency: "EUR", Limit: 899_99}
	_, err := d.store.Plan(t.Context(), d.request(acme, capped(wide, tight)))
	passed, ok := errors.AsType[*topup.CapError](err)
	if !ok || passed.Cap != tight {
		t.Errorf("Plan = %v, want the rule's cap", err)
	}
}

func spendingNow(t *testing.T, open Opener) {
	d := newDesk(t, open)
	d.advance(d.advance(d.send(customer(1)), confirmed("inv_1")), credited)
	d.plan(customer(2))
	d.advance(d.send(customer(3)), refused)
	d.advance(d.plan(customer(4)), cancelled)
	at := func(s ledger.Spending) string {
		return string(s.Scope) + " " + string(s.Provider) + s.Rule + " " + string(s.Period) + " " + string(s.Currency)
	}
	want := map[string]int64{}
	for _, period := range []string{"hour", "day", "month"} {
		for _, who := range []string{"global ", "provider " + string(hyperline), "rule api-credits"} {
			want[who+" "+period+" "], want[who+" "+period+" EUR"] = 3, 1800_00
		}
	}
	listed := func() map[string]int64 {
		list, err := d.store.Spending(d.ctx())
		d.must(err)
		got := map[string]int64{}
		for _, s := range list {
			got[at(s)] = s.Total
		}
		return got
	}
	if diff := cmp.Diff(want, listed()); diff != "" {
		t.Errorf("spent (-want +got):\n%s", diff)
	}
	d.clock.forward(13 * time.Hour) // the next day
	for key := range want {
		if !strings.Contains(key, "month") {
			delete(want, key)
		}
	}
	if diff := cmp.Diff(want, listed()); diff != "" {
		t.Errorf("spent on the next day (-want +got):\n%s", diff)
	}
}

func nearTheirCap(t *testing.T, open Opener) {
	d := newDesk(t, open)
	near := func(rule string, c topup.Cap, want int) {
		t.Helper()
		c.Scope = topup.CapCustomer
		if n, err := d.store.NearCap(d.ctx(), rule, c); err != nil || n != want {
			t.Errorf("%s of rule %s: %d near it, %v; want %d", c, rule, n, err, want)
		}
	}
	for n := range 4 {
		d.advance(d.advance(d.send(customer(1)), confirmed(fmt.Sprint("inv_", n))), credited)
	}
	d.plan(customer(2))
	for n := range 2 {
		e := evaluation(customer(n+1), topup.Enough)
		e.Rule = "api-credits"
		d.must(d.store.RecordEvaluations(d.ctx(), []topup.Evaluation{e}))
	}
	near("api-credits", topup.Cap{Period: topup.CapDay, Limit: 5}, 1)
	near("api-credits", topup.Cap{Period: topup.CapDay, Limit: 6}, 0) // five of six, rounded up
	near("api-credits", topup.Cap{Period: topup.CapMonth, Limit: 1}, 2)
	near("api-credits", topup.Cap{Period: topup.CapDay, Currency: "EUR", Limit: 4500_00}, 1)
	near("api-credits", topup.Cap{Period: topup.CapDay, Currency: "EUR", Limit: 4500_01}, 0)
	near("api-credits", topup.Cap{Period: topup.CapDay, Currency: "USD", Limit: 1}, 0)
	near("another", topup.Cap{Period: topup.CapDay, Limit: 5}, 0)
	d.clock.forward(13 * time.Hour)
	near("api-credits", topup.Cap{Period: topup.CapDay, Limit: 5}, 0)
}
