package sim

import (
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/topup"
)

// TestStoryManyWhoOweAndFewWhoPay: many customers are low and owe a bill, so that
// their confirm reads come to nothing, and others fall low one after the other.
// Within the default limits each of these is bought for within a minute of its
// fall and does not run dry, and the polls take at most twice as long as they
// would if nobody were low. TOPUPD_SIM_CROWD=5000 is the size that the limits are
// hardest on: 200 fall then, in ten minutes.
func TestStoryManyWhoOweAndFewWhoPay(t *testing.T) {
	owing := 500
	if n, err := strconv.Atoi(os.Getenv("TOPUPD_SIM_CROWD")); err == nil {
		owing = n
	}
	paying := owing / 25
	const apart = 3 * time.Second
	h := alone(1, owing+paying, 0)
	h.Poll = 5 * time.Second
	h.Limits = clients.Limits{
		Reads: clients.Rate{Count: 200, Window: 10 * time.Second}, Writes: clients.Rate{Count: 50, Window: 10 * time.Second}, SharePercent: 50,
	}
	fell := map[string]time.Time{}
	var polls []time.Time
	s := play(t, h, func(s *script) {
		s.tracing = false
		s.spoils = append(s.spoils, func(r *http.Request, _ *emulator.Faults) {
			if r.URL.Path == "/v1/customers/credits" && r.URL.Query().Get("skip") == "0" {
				polls = append(polls, s.now())
			}
		})
		for i := paying; i < paying+owing; i++ {
			invoices, err := s.emu.AddPast(emulator.PastPurchase{Customer: s.customers[i].ID, At: began.Add(-time.Hour), Source: emulator.SourcePortal})
			if err == nil {
				err = s.emu.Spoil(invoices[0], emulator.MistakeUnpaid)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.balance(i, "1") // emptier than who pays
		}
		for i := range paying {
			at := time.Minute + time.Duration(i)*apart
			usage := func(perSecond decimal.Decimal) {
				if err := s.emu.SetUsage(s.customers[i].ID, perSecond); err != nil {
					t.Error(err)
				}
			}
			s.at(at, func() {
				fell[s.customers[i].ID] = s.now()
				s.balance(i, "99")
				usage(decimal.One)
			})
			s.at(at+61*time.Second, func() { usage(decimal.Zero) }) // or it would soon be low again
		}
		s.at(time.Minute+time.Duration(paying)*apart+time.Minute, s.end)
	})
	slowest := time.Duration(0)
	for i := range paying {
		id := s.customers[i].ID
		orders := s.ordered(i)
		if len(orders) == 0 {
			t.Errorf("%s is low for more than a minute and was not bought for", id)
			continue
		}
		slowest = max(slowest, orders[0].At.Sub(fell[id]))
		if before := decimal.MustParse(orders[0].Before); !before.IsPos() {
			t.Errorf("%s had %s when it was bought for", id, before)
		}
	}
	if slowest > time.Minute {
		t.Errorf("the slowest was bought for %s after its fall", slowest)
	}
	for i := paying; i < paying+owing; i++ {
		if got := s.judge.states[topup.CustomerID(s.customers[i].ID)].Reason; got != topup.InvoiceUnpaid {
			t.Errorf("customer %d is shown as %s", i, got)
			break
		}
	}
	pages := (owing + paying + 99) / 100 // and as many of customers, once a minute; nine reads a second are ours
	alone := max(h.Poll, time.Duration(float64(pages)*float64(time.Second)/9*(1+float64(h.Poll)/float64(time.Minute))))
	each := polls[len(polls)-1].Sub(polls[0]) / time.Duration(len(polls)-1)
	t.Logf("%d owe, %d fall: the slowest was bought for after %s; a poll every %s, alone it were %s", owing, paying, slowest, each, alone)
	if each > 2*alone {
		t.Errorf("a poll every %s, alone it were %s", each, alone)
	}
}
