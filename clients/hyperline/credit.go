package hyperline

import (
	"fmt"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// credit is one row of the credits lists: one kind of credits of one customer.
// There is no id, currency or customer status in it (Hyperline API reference,
// "List all credit products", read 2026-11-20).
type credit struct {
	customer topup.CustomerID
	product  topup.ProductID
	name     string

	balance   topup.Credits
	bad       string // why the balance cannot be used
	threshold *topup.Credits
	refreshed time.Time
	native    string

	readAt time.Time
}

// readCredit reads a row. It is an error only if the row does not say whose
// balance it is; anything wrong with the balance itself is in credit.bad.
func readCredit(row clients.Object, readAt time.Time) (credit, error) {
	c := credit{
		customer:  topup.CustomerID(row.ID("customer_id")),
		product:   topup.ProductID(row.ID("product_id")),
		name:      short(row.Text("name")),
		refreshed: row.Time("last_refreshed_at"),
		readAt:    readAt,
	}
	if c.customer == "" || c.product == "" {
		return credit{}, fmt.Errorf("a credit row without a valid customer_id and product_id")
	}
	c.balance, c.bad = balanceOf(row)
	var bad string
	if c.threshold, bad = thresholdOf(row, "low_count_threshold"); bad != "" && c.bad == "" {
		c.bad = bad
	}
	c.native = nativeOf(row)
	return c, nil
}

func balanceOf(row clients.Object) (balance topup.Credits, bad string) {
	text, err := row.Number("current_balance")
	if err != nil {
		return 0, err.Error()
	}
	if balance, err = topup.ParseCredits(text); err != nil {
		return 0, "current_balance: " + err.Error()
	}
	return balance, ""
}

// thresholdOf reads a mark that may be null or, in older answers, absent.
func thresholdOf(row clients.Object, key string) (mark *topup.Credits, bad string) {
	if row.Present(key) && !row.Twice(key) && !row.Has(key) || !row.Present(key) {
		return nil, ""
	}
	text, err := row.Number(key)
	if err != nil {
		return nil, err.Error()
	}
	credits, err := topup.ParseCredits(text)
	if err != nil {
		return nil, key + ": " + err.Error()
	}
	return &credits, ""
}

// nativeOf says how Hyperline itself buys for the customer. Anything but null or
// an absent key (answers before 2025 had none) means that it does (P8).
func nativeOf(row clients.Object) string {
	const key = "auto_topup"
	if row.Twice(key) {
		return "auto_topup is there twice"
	}
	if !row.Has(key) {
		return ""
	}
	options, ok := row.Object(key)
	if !ok {
		return "auto_topup is set"
	}
	text := "auto_topup is set"
	if n, err := options.Number("credit_count"); err == nil {
		text = fmt.Sprintf("auto_topup buys %s credits", short(n))
	}
	if id := options.ID("price_id"); id != "" {
		text += " at " + id
	}
	return text
}

// reading is the credit in our words, without what only the customer's own
// record tells.
func (c credit) reading(provider topup.ProviderID) topup.Reading {
	r := topup.Reading{
		Target:      topup.Target{Provider: provider, Customer: c.customer, Product: c.product},
		ProductName: c.name,
		Balance:     c.balance,
		Bad:         c.bad,
		Threshold:   c.threshold,
		ReadAt:      c.readAt,
		RefreshedAt: c.refreshed,
		Native:      c.native,
	}
	if c.threshold != nil {
		r.ThresholdFrom = "customer"
	}
	return r
}

// spoil makes the balance one that cannot be used, unless it is already.
func (c *credit) spoil(why string) {
	if c.bad == "" {
		c.bad = why
	}
}

// short keeps names and words bounded, in bytes.
func short(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && s[n]&0xC0 == 0x80 { // not in the middle of a rune
		n--
	}
	return s[:n]
}
