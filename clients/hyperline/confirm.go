package hyperline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const (
	// recent is how far back every bill of a customer is looked at; older ones
	// count while they are open, or paid and not credited.
	recent = 24 * time.Hour
	// recentRows is how far back additions of credits are read.
	recentRows = topup.BillsFor
	// maxInvoicePages bounds the bills of one customer in the confirm read.
	maxInvoicePages = 5
)

// Confirm reads everything that must hold right before buying. Any part that
// cannot be read, or not to its end, is an error: then nothing is bought.
//
// The balance comes first. What is added to it afterwards is then in the rows,
// what was added before is in the balance, and nothing falls in between. The
// reading is as old as the oldest of all answers, which caches may have kept.
func (c *Client) Confirm(ctx context.Context, o topup.Order) (topup.Confirmation, error) {
	conf, err := c.confirming(o).confirm(ctx, o)
	if err != nil {
		return topup.Confirmation{}, fmt.Errorf("%s: confirming %s %s: %w", c.name, o.Target.Customer, o.Target.Product, err)
	}
	return conf, nil
}

func (r *reader) confirm(ctx context.Context, o topup.Order) (topup.Confirmation, error) {
	credit, err := r.oneCredit(ctx, o.Target)
	if err != nil {
		return topup.Confirmation{}, err
	}
	who, err := r.freshCustomer(ctx, o.Target.Customer)
	if err != nil {
		return topup.Confirmation{}, err
	}
	p, err := r.product(ctx, o.Target.Product, priceAge)
	if err != nil {
		return topup.Confirmation{}, err
	}
	conf := topup.Confirmation{Reading: credit.reading(r.id)}
	conf.Reading.CustomerName, conf.Reading.Account = who.name, who.account()
	p.mark(&conf.Reading)
	conf.PriceProblem, conf.CurrencyProblem = p.check(o, who)
	if conf.Invoices, err = r.recentInvoices(ctx, o.Target.Customer); err != nil {
		return topup.Confirmation{}, err
	}
	rows, err := r.additions(ctx, o.Target, who.currency, r.api.Now().Add(-recentRows))
	if err != nil {
		return topup.Confirmation{}, err
	}
	if !rows.complete {
		return topup.Confirmation{}, malformed("transactions", "the rows moved while they were read, or there are too many")
	}
	conf.Topups, conf.ServerTime, conf.Skipped = rows.list, rows.last.ServerTime, rows.skipped
	conf.Reading.ReadAt = r.oldest
	if conf.Reading.Bad == "" && r.listsTwice(key{o.Target.Customer, o.Target.Product}) {
		conf.Reading.Bad = listedTwice
	}
	conf.Invoices = slices.DeleteFunc(conf.Invoices, func(i topup.Invoice) bool {
		over := r.over(i, o.Target.Product, conf)
		if over && i.Unreadable != "" {
			conf.Skipped++
		}
		return over
	})
	return conf, nil
}

// oneCredit reads one balance.
func (r *reader) oneCredit(ctx context.Context, t topup.Target) (credit, error) {
	resp, err := r.get(ctx, "credit", path("/v1/customers/", string(t.Customer), "/credits/", string(t.Product)), nil)
	if err != nil {
		return credit{}, err
	}
	return creditFrom(resp, "credit", t)
}

// creditFrom reads an answer that is one credit, and only the one asked for.
func creditFrom(resp clients.Response, op string, t topup.Target) (credit, error) {
	row, err := clients.ParseObject(resp.Body)
	if err != nil {
		return credit{}, malformed(op, "the answer is %v", err)
	}
	c, err := readCredit(row, resp.SentAt)
	if err != nil {
		return credit{}, malformed(op, "%v", err)
	}
	if c.customer != t.Customer || c.product != t.Product {
		return credit{}, malformed(op, "credits %s of %s were asked for, %s of %s came", t.Product, t.Customer, c.product, c.customer)
	}
	return c, nil
}

// freshCustomer is a customer not older than customersAge. The payment method is
// known from the lists only, so a customer that is read alone keeps it from the
// last poll; without one its payment methods are read.
func (r *reader) freshCustomer(ctx context.Context, id topup.CustomerID) (customer, error) {
	known, ok := r.remembered(id)
	who := known
	if !ok || r.api.Now().Sub(known.readAt) > customersAge {
		var err error
		if who, err = r.oneCustomer(ctx, id); err != nil {
			return customer{}, err
		}
		if r.api.Now().Sub(known.readAt) <= customersStale {
			who.method = known.method
		}
	}
	if who.method != topup.PaymentUnknown || who.inactive != "" {
		return who, nil
	}
	methods, err := r.paymentMethods(ctx, id)
	if err != nil {
		return customer{}, err
	}
	who.method = kindOf(methods)
	return who, nil
}

// remembered is what the last list said of a customer. One that is being read is
// not waited for.
func (r *reader) remembered(id topup.CustomerID) (customer, bool) {
	c, ok := r.customers.known().customers[id]
	return c, ok
}

// recentInvoices reads the bills of the last 24 hours, and older ones among at
// least the newest 100.
func (r *reader) recentInvoices(ctx context.Context, id topup.CustomerID) ([]topup.Invoice, error) {
	all, _, whole, err := r.invoicesOf(ctx, id, maxInvoicePages, r.api.Now().Add(-recent))
	if err != nil {
		return nil, err
	}
	if !whole {
		return nil, malformed("invoices", "customer %s has more than %d invoices of the last %s", id, maxInvoicePages*pageSize, recent)
	}
	return all, nil
}

// over tells whether a bill says nothing about the next purchase any more: it is
// older than a day, ended as usual, and nothing is still to come for it. One that
// cannot be read says nothing either if it is for something else than credits.
func (r *reader) over(i topup.Invoice, product topup.ProductID, conf topup.Confirmation) bool {
	if i.Unreadable != "" && (!i.Credit || i.At.IsZero()) {
		return !i.Credit
	}
	age := r.api.Now().Sub(i.At)
	if !i.RefundedAt.IsZero() && i.Concerns(product) {
		return false // whether it was our last purchase is the ledger's to know
	}
	if age <= recent || !i.Payment.Ended() || i.Unexpected != "" {
		return false
	}
	concerns := i.Concerns(product) || i.Unreadable != "" && len(i.Products) == 0
	return !i.Stands() || !concerns || age > recentRows || conf.Credited(i)
}
