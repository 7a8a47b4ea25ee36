package emulator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/govalues/decimal"
)

// PastPurchase is a purchase that Hyperline executed some time ago.
type PastPurchase struct {
	Customer string
	Price    string // a pack; "" means SmallPack
	At       time.Time
	Expires  *time.Time // of the credits; in the future
	Source   string     // SourceAPI, SourcePortal or SourceNative; "" means SourceAPI
	Key      string     // idempotency key; "" if none came
}

// AddPast executes purchases at their times, in order, as if requests had come
// then, and returns the ids of their invoices. The customers' cards are asked as
// they are now.
func (e *Emulator) AddPast(purchases ...PastPurchase) (invoices []string, err error) {
	e.world.locked(func(time.Time) {
		for _, p := range purchases {
			var inv *invoice
			if inv, err = e.hyperline.past(p); err != nil {
				return
			}
			invoices = append(invoices, inv.id)
		}
	})
	return invoices, err
}

func (h *hyperline) past(p PastPurchase) (*invoice, error) {
	owner := h.byID[p.Customer]
	if owner == nil || len(owner.credits) == 0 {
		return nil, fmt.Errorf("emulator: no customer with credits is called %.60q: GET /_emulator/customers lists them", p.Customer)
	}
	if p.Price == "" {
		p.Price = SmallPack
	}
	if p.Source == "" {
		p.Source = SourceAPI
	}
	cr := owner.credits[0]
	pack := cr.product.price(p.Price)
	if pack == nil {
		return nil, fmt.Errorf("emulator: no price %.60q: GET /v1/products lists them", p.Price)
	}
	o := order{
		credit: cr, credits: pack.pack, price: pack, amount: pack.amount, expires: p.Expires, source: p.Source, key: p.Key,
		style: DeclineRefused,
	}
	inv := h.place(o, p.At.UTC())
	if inv == nil {
		return nil, fmt.Errorf("emulator: %s: the customer's card is %s: make it good first", p.Customer, owner.card)
	}
	return inv, nil
}

// OldBill is a bill of a customer that was not made here, such as one of before a
// change of currency.
type OldBill struct {
	Customer string
	Currency string    // as it is written; "" is the customer's
	Status   string    // "" means paid
	Credit   bool      // it is for the credit product; else for seats
	At       time.Time // of issue; zero is four years ago
}

// OldBill puts a bill into Hyperline's lists. Nothing is charged for it.
func (e *Emulator) OldBill(b OldBill) (err error) {
	e.world.locked(func(now time.Time) {
		owner := e.hyperline.byID[b.Customer]
		if owner == nil {
			err = fmt.Errorf("emulator: no customer is called %.60q: GET /_emulator/customers lists them", b.Customer)
			return
		}
		e.hyperline.oldBill(owner, b, now)
	})
	return err
}

func (h *hyperline) oldBill(owner *customer, b OldBill, now time.Time) {
	if b.At.IsZero() {
		b.At = now.AddDate(-4, 0, 0)
	}
	sold := h.product
	if !b.Credit {
		sold = &product{id: "itm_seats", name: "Seats"}
	}
	const amount = 10_000
	inv := &invoice{
		id: h.id("inv_"), number: "OLD1", reference: h.id("")[:10], order: order{credit: newCredit(owner, sold, b.At), amount: amount},
		status: cmp.Or(b.Status, "paid"), total: amount, issued: b.At, updated: b.At, due: b.At, visible: b.At,
		currency: b.Currency, seats: !b.Credit, charge: &Charge{}, // in nobody's books
	}
	if inv.status == "paid" {
		inv.paid, inv.settled = amount, &b.At
	}
	h.invoices = slices.Insert(h.invoices, 0, inv)
	owner.invoices = slices.Insert(owner.invoices, 0, inv)
	h.invoiceBy[inv.id] = inv
}

// ListTwice puts a customer's balance into the list of all balances a second time,
// at its end.
func (e *Emulator) ListTwice(customer string) error {
	return e.of(customer,
		func(cr *credit, _ time.Time) error {
			h := e.hyperline
			if h.listed == nil {
				h.listed = slices.Clone(h.credits)
			}
			h.listed = append(h.listed, cr)
			return nil
		},
		func(*environment, time.Time) error {
			return fmt.Errorf("emulator: %s: balances are listed at Hyperline only", customer)
		})
}

// AddCustomers makes more customers, as Options.Hyperline describes them.
func (e *Emulator) AddCustomers(n int) error {
	if n < 1 || n > 1_000_000 {
		return fmt.Errorf("emulator: %d customers cannot be added: use 1 to 1000000", n)
	}
	e.world.locked(func(now time.Time) {
		h := e.hyperline
		for range n {
			h.opts.Customers++
			h.addCustomer(len(h.customers), h.speed, now)
		}
	})
	return nil
}

// Mistake is what a provider's books may have wrong about one invoice.
type Mistake string

// The mistakes that Spoil makes.
const (
	MistakeNoInvoice Mistake = "no_invoice" // the invoice is gone, its ledger row too
	MistakeNoRow     Mistake = "no_row"     // the ledger row is gone
	MistakeTwoRows   Mistake = "two_rows"   // the credits were booked twice
	MistakeAmount    Mistake = "amount"     // one unit more was charged
	MistakeCredits   Mistake = "credits"    // one credit less was booked
	MistakeExpiry    Mistake = "expiry"     // the credits expire a month earlier, or in a month
	MistakeUnpaid    Mistake = "unpaid"     // the payment was taken back: to pay
	MistakeRefunded  Mistake = "refunded"   // a person refunded it
	MistakeNoBill    Mistake = "no_bill"    // the row names no invoice, and there is none
)

// Mistakes lists every mistake.
func Mistakes() []Mistake {
	return []Mistake{
		MistakeNoInvoice, MistakeNoRow, MistakeTwoRows, MistakeAmount, MistakeCredits, MistakeExpiry, MistakeUnpaid,
		MistakeRefunded, MistakeNoBill,
	}
}

// Spoil makes the provider's lists wrong about one invoice, for those who compare
// them. What was truly charged (Books) stays as it is.
func (e *Emulator) Spoil(invoice string, m Mistake) error {
	err := fmt.Errorf("emulator: no invoice %.60q: GET /_emulator/books lists them", invoice)
	e.world.locked(func(now time.Time) {
		if inv := e.hyperline.invoiceBy[invoice]; inv != nil {
			err = e.hyperline.spoil(inv, m, now)
		}
	})
	return err
}

func (h *hyperline) spoil(inv *invoice, m Mistake, now time.Time) error {
	if inv.row == nil {
		return fmt.Errorf("emulator: invoice %s has no ledger row yet", inv.id)
	}
	switch m {
	case MistakeNoInvoice:
		h.drop(inv)
		inv.dropRow()
	case MistakeNoRow:
		inv.dropRow()
	case MistakeNoBill:
		h.drop(inv)
		inv.row.invoice = nil
	case MistakeTwoRows:
		again := *inv.row
		again.id = h.id("cdt_")
		inv.order.credit.rows = append(inv.order.credit.rows, &again)
	case MistakeAmount:
		inv.order.amount, inv.total, inv.paid = inv.order.amount+100, inv.total+100, inv.paid+100
	case MistakeCredits:
		inv.row.credits -= one
	case MistakeExpiry:
		expires := now.AddDate(0, 1, 0)
		if inv.row.expires != nil {
			expires = inv.row.expires.AddDate(0, -1, 0)
		}
		inv.row.expires = &expires
	case MistakeUnpaid:
		inv.status, inv.paid, inv.settled = "to_pay", 0, nil
	case MistakeRefunded:
		if inv.refunded != nil {
			return fmt.Errorf("emulator: %s was paid back already", inv.id)
		}
		inv.refunded = &now
	default:
		return fmt.Errorf("emulator: mistake %.40q is unknown: use one of %v", m, Mistakes())
	}
	return nil
}

func (h *hyperline) drop(inv *invoice) {
	same := func(i *invoice) bool { return i == inv }
	h.invoices = slices.DeleteFunc(h.invoices, same)
	inv.order.credit.owner.invoices = slices.DeleteFunc(inv.order.credit.owner.invoices, same)
	delete(h.invoiceBy, inv.id)
}

func (inv *invoice) dropRow() {
	cr := inv.order.credit
	cr.rows = slices.DeleteFunc(cr.rows, func(r *creditRow) bool { return r == inv.row })
}

// Grant gives credits away, as a person at the provider does.
func (e *Emulator) Grant(customer string, credits decimal.Decimal) error {
	q, err := bounded("credits", credits, false)
	if err != nil {
		return err
	}
	return e.of(customer,
		func(cr *credit, now time.Time) error { e.hyperline.give(cr, q, nil, now); return nil },
		func(*environment, time.Time) error {
			return fmt.Errorf("emulator: %s: credits are given away at Hyperline only", customer)
		})
}
