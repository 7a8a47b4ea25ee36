package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// desk is a provider that can be asked about the account as a whole.
type desk struct {
	*provider

	mu     sync.Mutex
	unpaid map[topup.CustomerID]topup.Debt
	offer  string // what is wrong with every offer
	err    error
	asked  int
}

func (d *desk) Unpaid(context.Context, bool) (map[topup.CustomerID]topup.Debt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return maps.Clone(d.unpaid), d.err
}

func (d *desk) Offer(context.Context, topup.Order) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.offer, d.err
}

func (d *desk) set(change func(*desk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// desk makes confirm reads tell what the desk knows.
func (w *world) desk() (*desk, func(*Options)) {
	d := &desk{provider: w.provider, unpaid: map[topup.CustomerID]topup.Debt{}}
	w.do(func(p *provider) {
		p.confirming = func(o topup.Order, c *topup.Confirmation) {
			d.mu.Lock()
			defer d.mu.Unlock()
			c.PriceProblem = d.offer
			for range d.unpaid[o.Target.Customer].Pending {
				c.Invoices = append(c.Invoices, topup.Invoice{ID: "inv", Credit: true, Payment: topup.PaymentPending, At: time.Now()})
			}
		}
	})
	return d, func(o *Options) { o.Reader = d }
}

// TestWhatWouldChangeAReasonWakesIt: whoever waits for people is looked at again
// soon after they have acted, not half an hour later.
func TestWhatWouldChangeAReasonWakesIt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(*world, *desk)
		act   func(*world, *desk)
		want  topup.Reason
		soon  time.Duration
	}{
		{
			"a bill is paid", func(_ *world, d *desk) { d.unpaid["cus"] = topup.Debt{Pending: 1} },
			func(_ *world, d *desk) { d.set(func(d *desk) { delete(d.unpaid, "cus") }) }, topup.InvoiceUnpaid, 2 * time.Minute,
		},
		{
			"the price is put right", func(_ *world, d *desk) { d.offer = "costs more" },
			func(_ *world, d *desk) { d.set(func(d *desk) { d.offer = "" }) }, topup.PriceMismatch, 2 * time.Minute,
		},
		{
			"the rules are loaded again", func(w *world, _ *desk) { w.reload(func(r *rules.Rule) { r.DryRun = true }) },
			func(w *world, _ *desk) { w.reload(func(*rules.Rule) {}) }, topup.DryRun, 20 * time.Second,
		},
		{"a pause is lifted", func(w *world, d *desk) {
			d.offer = "costs more"
			w.ledger.change = func(s *topup.Standing) {
				s.Pauses = []topup.Pause{{Scope: topup.PauseRule, Subject: "another"}}
			}
		}, func(w *world, d *desk) {
			d.set(func(d *desk) { d.offer = "" })
			w.ledger.do(func(m *memory) { m.change = nil })
		}, topup.PriceMismatch, 20 * time.Second},
		{
			"the ledger learns something of the customer", func(_ *world, d *desk) { d.offer = "costs more" },
			func(w *world, d *desk) {
				d.set(func(d *desk) { d.offer = "" })
				w.ledger.of("cus", func(s *topup.Standing) { s.Version++ })
			}, topup.PriceMismatch, 20 * time.Second,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				d, options := w.desk()
				w.balance("cus", 50)
				tt.begin(w, d)
				p := w.run(t, "a", options)
				after(2 * time.Hour)
				reads := len(w.read(w.start))
				if got := p.board.state("cus").Reason; got != tt.want || reads > 12 || len(w.charged()) != 0 {
					t.Fatalf("%q after %d reads in two hours, charged %v; want %q and few reads", got, reads, w.charged(), tt.want)
				}
				tt.act(w, d)
				after(tt.soon)
				if got := w.charged(); len(got) != 1 {
					t.Errorf("charged %v within %s", got, tt.soon)
				}
			})
		})
	}
}

// TestTheHealthyGoBeforeThoseWhoOwe: 500 customers who cannot be bought for must
// not keep 20 who can waiting, neither when all become low at once.
func TestTheHealthyGoBeforeThoseWhoOwe(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   time.Duration // when the healthy become low
		fail bool          // the list cannot be read any more by then
	}{
		{"at the same time", 0, false},
		{"while the others are checked", 20 * time.Second, false},
		{"ten minutes later", 10 * time.Minute, false},
		{"after the list became too old", debtsKept + time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				d, options := w.desk()
				for i := range 500 {
					customer := topup.CustomerID(fmt.Sprintf("owes_%03d", i))
					w.balance(customer, 0)
					d.unpaid[customer] = topup.Debt{Pending: 1}
				}
				var healthy []topup.CustomerID
				for i := range 20 {
					healthy = append(healthy, topup.CustomerID(fmt.Sprintf("pays_%02d", i)))
					w.balance(healthy[i], 500)
				}
				// Slower than the budget makes a confirm read.
				w.do(func(p *provider) {
					p.confirmErr = func(topup.Order) error { return nil }
					p.confirmTime = 3 * time.Second
				})
				fall := func() {
					for _, customer := range healthy {
						w.balance(customer, 90)
					}
				}
				if tt.at == 0 {
					fall()
				}
				p := w.run(t, "a", options)
				after(tt.at / 20)
				d.set(func(d *desk) {
					if tt.fail {
						d.err = errors.New("HTTP 500")
					}
				})
				after(tt.at - tt.at/20)
				fall()
				after(time.Minute)
				if got := w.charged(); len(got) != len(healthy) {
					t.Errorf("bought for %d of %d within a minute", len(got), len(healthy))
				}
				if got := p.board.state("owes_499").Reason; got != topup.InvoiceUnpaid {
					t.Errorf("who owes is %q", got)
				}
				for _, customer := range w.charged() {
					if !slices.Contains(healthy, customer) {
						t.Errorf("bought for %s", customer)
					}
				}
			})
		})
	}
}

// TestAListThatCannotBeReadSaysNothing: without it everybody is checked.
func TestAListThatCannotBeReadSaysNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d, options := w.desk()
		d.err = errors.New("HTTP 500")
		for i := range 50 {
			w.balance(topup.CustomerID(fmt.Sprintf("cus_%02d", i)), 50)
		}
		w.run(t, "a", options)
		after(time.Minute)
		if n := len(w.charged()); n != 50 || d.asked == 0 {
			t.Errorf("bought for %d of 50; asked %d times", n, d.asked)
		}
	})
}
