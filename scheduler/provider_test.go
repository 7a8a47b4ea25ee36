package scheduler

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"topupd/topup"
)

// account is one customer's credits at the provider.
type account struct {
	balance   topup.Credits
	threshold *topup.Credits
	bad       string
	hidden    bool // the provider does not show it
	native    string
	inactive  string
	refreshed time.Duration // how much older the provider's stamp is than the read
	stamp     time.Time     // the stamp, when it does not move
}

// provider is a billing provider in memory. Its charges are the judge.
type provider struct {
	mu          sync.Mutex
	accounts    map[topup.CustomerID]*account
	away        error // polls and confirm reads fail
	incomplete  bool
	methods     string
	pageSize    int           // of polls; 0 = all on one page
	pageTime    time.Duration // that a page takes
	confirmTime time.Duration // that a confirm read takes
	breaksAt    int           // the page, counted from 1, at which polls fail; 0 = none

	polling    func(context.Context)                  // runs before each poll
	confirming func(topup.Order, *topup.Confirmation) // changes each confirm read
	buying     func(context.Context, topup.Purchase)  // runs before each charge
	answering  func(p topup.Purchase) (ran bool)      // nil: every request is run
	confirmErr func(topup.Order) error                // nil: confirm reads work
	prepareErr error

	polls, methodReads []time.Time
	confirms           []topup.Order
	confirmedAt        []time.Time
	charges            []topup.Purchase
	chargedAt          []time.Time
}

func (p *provider) set(customer topup.CustomerID, change func(*account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.accounts[customer]
	if !ok {
		mark := 100 * topup.Credit
		a = &account{balance: 500 * topup.Credit, threshold: &mark}
		p.accounts[customer] = a
	}
	change(a)
}

// balance sets a customer's balance in whole credits.
func (p *provider) balance(customer topup.CustomerID, whole int64) {
	p.set(customer, func(a *account) { a.balance = topup.Credits(whole) * topup.Credit })
}

// do changes what the provider does from now on.
func (p *provider) do(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *provider) reading(customer topup.CustomerID, a *account) topup.Reading {
	now := time.Now()
	stamp := now.Add(-a.refreshed)
	if !a.stamp.IsZero() {
		stamp = a.stamp
	}
	return topup.Reading{
		Target: target(customer), CustomerName: "Customer " + string(customer), ProductName: "API credits",
		Balance: a.balance, Bad: a.bad, Threshold: a.threshold, ThresholdFrom: "customer", ReadAt: now, RefreshedAt: stamp,
		Native: a.native, Account: topup.Account{Inactive: a.inactive, Currency: "EUR", PaymentMethod: topup.PaymentCard},
	}
}

func (p *provider) Poll(ctx context.Context, _ []topup.ProductID, page func(topup.Page) error) (topup.Poll, error) {
	p.mu.Lock()
	hook := p.polling
	p.polls = append(p.polls, time.Now())
	p.mu.Unlock()
	if hook != nil {
		hook(ctx)
	}
	customers := p.customers()
	p.mu.Lock()
	size, each, breaks, complete := p.pageSize, p.pageTime, p.breaksAt, !p.incomplete
	p.mu.Unlock()
	if size == 0 {
		size = max(1, len(customers))
	}
	number := 0
	for part := range slices.Chunk(customers, size) {
		number++
		readings, away := p.readings(part)
		if number == breaks {
			away = errBroken
		}
		if away != nil {
			return topup.Poll{}, away
		}
		if err := page(topup.Page{Readings: readings}); err != nil {
			return topup.Poll{}, err
		}
		time.Sleep(each)
	}
	if _, away := p.readings(nil); away != nil {
		return topup.Poll{}, away
	}
	poll := topup.Poll{Complete: complete, Reads: 1}
	if !complete {
		poll.Missing = "70 of 120 balances were not shown"
	}
	return poll, nil
}

// errBroken is a poll that fails on its way.
var errBroken = errors.New("the list broke off")

func (p *provider) customers() []topup.CustomerID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.accounts))
}

func (p *provider) readings(customers []topup.CustomerID) ([]topup.Reading, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return nil, p.away
	}
	var readings []topup.Reading
	for _, customer := range customers {
		if a := p.accounts[customer]; !a.hidden {
			readings = append(readings, p.reading(customer, a))
		}
	}
	return readings, nil
}

func (p *provider) Confirm(ctx context.Context, order topup.Order) (topup.Confirmation, error) {
	p.mu.Lock()
	each := p.confirmTime
	p.mu.Unlock()
	time.Sleep(each)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirms, p.confirmedAt = append(p.confirms, order), append(p.confirmedAt, time.Now())
	if p.away != nil {
		return topup.Confirmation{}, p.away
	}
	if p.confirmErr != nil {
		if err := p.confirmErr(order); err != nil {
			return topup.Confirmation{}, err
		}
	}
	c := topup.Confirmation{Reading: p.reading(order.Target.Customer, p.accounts[order.Target.Customer]), ServerTime: time.Now()}
	if p.confirming != nil {
		p.confirming(order, &c)
	}
	return c, ctx.Err()
}

func (p *provider) Account(context.Context, topup.Target) (topup.Account, error) {
	return topup.Account{}, nil
}

func (p *provider) PaymentMethods(context.Context, topup.Target) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.methodReads = append(p.methodReads, time.Now())
	return p.methods, p.away
}

func (p *provider) Prepare(o topup.Order) (topup.Request, error) {
	return topup.Request{Method: "POST", Path: "/buy/" + string(o.Target.Customer), Body: []byte(o.PriceID)}, p.prepareErr
}

// charged lists the customers who were charged, in order.
func (p *provider) charged() []topup.CustomerID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var customers []topup.CustomerID
	for _, c := range p.charges {
		customers = append(customers, c.Target.Customer)
	}
	return customers
}

// bought lists the purchases that were run, and orders what confirm reads asked
// about.
func (p *provider) bought() []topup.Purchase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.charges)
}

func (p *provider) orders() []topup.Order {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.confirms)
}

// polled, read, asked and paid are when polls, confirm reads, payment method
// reads and charges happened, counted from the start.
func (p *provider) polled(start time.Time) []time.Duration { return p.since(start, &p.polls) }
func (p *provider) read(start time.Time) []time.Duration   { return p.since(start, &p.confirmedAt) }
func (p *provider) asked(start time.Time) []time.Duration  { return p.since(start, &p.methodReads) }
func (p *provider) paid(start time.Time) []time.Duration   { return p.since(start, &p.chargedAt) }

func (p *provider) since(start time.Time, times *[]time.Time) []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []time.Duration
	for _, at := range *times {
		out = append(out, at.Sub(start))
	}
	return out
}
