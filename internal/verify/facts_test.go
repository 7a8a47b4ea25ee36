package verify

import (
	"fmt"
	"time"

	"topupd/topup"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const (
	account = topup.ProviderID("hyperline://api.hyperline.co/")
	product = topup.ProductID("itm_credits")
	quiet   = 15 * time.Minute
)

func eur(minor int64) topup.Money { return topup.Money{Minor: minor, Currency: "EUR"} }

func target(customer topup.CustomerID) topup.Target {
	return topup.Target{Provider: account, Customer: customer, Product: product}
}

// books are both sides of an account, equal until a test spoils one.
type books struct{ Facts }

func newBooks() *books {
	return &books{Facts{
		Provider: account, Books: true, Since: noon.Add(-48 * time.Hour), Now: noon, Quiet: quiet,
		Products: map[topup.ProductID]bool{product: true},
		Claimed:  map[string]bool{}, Gone: map[string]bool{}, Read: map[topup.Target]bool{},
	}}
}

// buy settles the nth purchase, made at a time, on both sides.
func (b *books) buy(n int, customer topup.CustomerID, at time.Time) *topup.Purchase {
	invoice := fmt.Sprintf("inv_%d", n)
	expires := at.AddDate(0, 3, 0)
	finished := at.Add(time.Minute)
	b.Purchases = append(b.Purchases, topup.Purchase{
		ID: fmt.Sprintf("purchase-%04d", n), Target: target(customer), Credits: 120 * topup.Credit, Price: eur(200_00), PriceID: "pri_small",
		ExpiresAt: &expires, PlannedAt: at, SentAt: &at, LastSentAt: &at, QuietPeriod: quiet, PurchaseTimeout: 75 * time.Second,
		State: topup.Credited, Payment: topup.PaymentPaid, Reference: invoice, FinishedAt: &finished, Attempts: 1,
	})
	b.Answers = append(b.Answers, Answer{fmt.Sprintf("purchase-%04d", n), invoice})
	b.bill(invoice, customer, at.Add(time.Second))
	b.row("cdt_"+invoice, invoice, customer, at.Add(2*time.Second)).ExpiresOn = expires.Format(time.DateOnly)
	return &b.Purchases[len(b.Purchases)-1]
}

// bill adds a paid bill for the small pack.
func (b *books) bill(id string, customer topup.CustomerID, at time.Time) *topup.Invoice {
	b.Invoices = append(b.Invoices, topup.Invoice{
		ID: id, Customer: customer, Products: []topup.ProductID{product}, Credit: true, Amount: eur(200_00), Paid: eur(240_00),
		Status: "paid", Payment: topup.PaymentPaid, At: at,
	})
	return &b.Invoices[len(b.Invoices)-1]
}

// row adds the credits of the small pack, booked through the API.
func (b *books) row(id, invoice string, customer topup.CustomerID, at time.Time) *Row {
	b.Read[target(customer)] = true
	b.Rows = append(b.Rows, Row{target(customer), topup.Topup{
		ID: id, Invoice: invoice, Credits: 120 * topup.Credit, Price: eur(200_00), Source: "api", ExpiresOn: topup.Never, At: at,
	}})
	return &b.Rows[len(b.Rows)-1]
}

// end makes a purchase one that ended without a charge.
func end(p *topup.Purchase, s topup.State) {
	p.State, p.Payment, p.Reference = s, topup.PaymentNone, ""
}
