package hyperline

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const (
	// productAge is how old what is known of a product may be, inclusive, where no
	// purchase rests on it.
	productAge = 30 * time.Second
	// priceAge is the same in a confirm read. Of a price that has changed, purchases
	// are made for so long; all confirm reads of that time share one read.
	priceAge = 2 * time.Second
)

// product is a credit product with its bundle prices.
type product struct {
	name      string
	problem   string // why it cannot be bought at all
	threshold *topup.Credits
	badMark   string             // why threshold cannot be used; "" when it can, or there is none
	prices    map[string][]price // by id; more than one is a problem
}

// price is one bundle price and the configuration around it.
type price struct {
	archived  bool
	currency  topup.Currency // "" = the configuration names none
	external  string         // a currency that is no ISO code
	countries []string       // nil = everywhere, empty = only customers without a country
	amount    string         // minor units, as written
	count     string         // credits in the pack, as written
}

// product reads a credit product, from memory if that is not older than age.
func (r *reader) product(ctx context.Context, id topup.ProductID, age time.Duration) (product, error) {
	return r.products.within(ctx, id, age, r.api.Now, func() (product, error) {
		resp, err := r.get(ctx, "product", path("/v1/products/", string(id)), nil)
		if clients.Refused(err, http.StatusNotFound) {
			return product{problem: fmt.Sprintf("Hyperline does not know the product %s", id)}, nil
		}
		if err != nil {
			return product{}, err
		}
		return readProduct(resp.Body, id)
	})
}

func readProduct(body []byte, id topup.ProductID) (product, error) {
	row, err := clients.ParseObject(body)
	if err != nil {
		return product{}, malformed("product", "the answer is %v", err)
	}
	if got := row.ID("id"); got != string(id) {
		return product{}, malformed("product", "product %s was asked for, %q came", id, got)
	}
	p := product{name: short(row.Text("name")), prices: map[string][]price{}}
	if kind, status := row.Text("type"), row.Text("status"); kind != "credit" || status != "active" {
		p.problem = fmt.Sprintf("the product %s is of type %q and %q, not an active credit product", id, short(kind), short(status))
	}
	p.threshold, p.badMark = thresholdOf(row, "low_credits_threshold")
	configurations, _ := row.List("price_configurations")
	for _, raw := range configurations {
		if c, err := clients.ParsePart(raw); err == nil { // else it sells nothing that could be bought
			p.addPrices(c)
		}
	}
	return p, nil
}

// mark gives the product's mark to a reading that has none of its own. One that
// cannot be used is no reason to take another.
func (p product) mark(r *topup.Reading) {
	switch {
	case r.Threshold != nil:
	case p.badMark != "" && r.Bad == "":
		r.Bad = "the product's " + p.badMark
	case p.threshold != nil:
		mark := *p.threshold
		r.Threshold, r.ThresholdFrom = &mark, "product"
	}
}

// addPrices keeps the prices of type bundle; a purchase accepts no others
// (Hyperline API reference, "Purchase credits", read 2026-11-20).
func (p product) addPrices(c clients.Object) {
	if c.Text("type") != "bundle" {
		return
	}
	around := price{archived: c.Text("status") != "active"}
	if code := c.Text("currency"); code != "" {
		currency, err := topup.ParseCurrency(code)
		if err != nil {
			around.external = short(code)
		}
		around.currency = currency
	}
	if list, ok := c.List("countries"); ok {
		around.countries = []string{}
		for _, raw := range list {
			around.countries = append(around.countries, textOf(raw))
		}
	}
	list, _ := c.List("prices")
	for _, raw := range list {
		row, err := clients.ParsePart(raw)
		if err != nil || row.ID("id") == "" { // the id is not required in the reference
			continue
		}
		one := around
		one.amount, _ = row.Number("amount")
		one.count, _ = row.Number("unit_count")
		p.prices[row.ID("id")] = append(p.prices[row.ID("id")], one)
	}
}

// check compares what would be bought with what the product offers (P10).
func (p product) check(o topup.Order, c customer) (priceProblem, currencyProblem string) {
	if p.problem != "" {
		return p.problem, ""
	}
	want := o.Price.Currency
	switch {
	case c.currency == "":
		currencyProblem = "the customer has no currency at Hyperline"
	case c.currency != want:
		currencyProblem = fmt.Sprintf("the customer is billed in %s, the configured price is in %s", c.currency, want)
	}
	if o.PriceID == "" {
		return "", currencyProblem
	}
	found := p.prices[o.PriceID]
	if len(found) != 1 {
		return fmt.Sprintf("the product has %d bundle prices %s, not one", len(found), o.PriceID), currencyProblem
	}
	one := found[0]
	switch {
	case one.external != "" || one.currency != "" && one.currency != want:
		currencyProblem = fmt.Sprintf("price %s is in %s%s, configured is %s", o.PriceID, one.currency, one.external, want)
	case one.countries != nil && !one.eligible(c.country):
		currencyProblem = fmt.Sprintf("price %s is not for customers of country %q", o.PriceID, c.country)
	}
	return one.differs(o), currencyProblem
}

// Offer says how what Hyperline sells differs from the order, whoever the customer
// is; "" when it does not (P10). Its country is looked at right before buying.
func (c *Client) Offer(ctx context.Context, o topup.Order) (problem string, err error) {
	p, err := c.polling().product(ctx, o.Target.Product, productAge)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.name, err)
	}
	if found := p.prices[o.PriceID]; p.problem == "" && len(found) == 1 {
		anywhere := found[0] // a copy: the product is shared
		anywhere.countries = nil
		p.prices = map[string][]price{o.PriceID: {anywhere}}
	}
	problem, external := p.check(o, customer{currency: o.Price.Currency})
	if problem == "" {
		problem = external
	}
	return problem, nil
}

func (p price) eligible(country string) bool {
	if country == "" {
		return len(p.countries) == 0
	}
	return slices.ContainsFunc(p.countries, func(c string) bool { return strings.EqualFold(c, country) })
}

// differs says how the price is not the configured one.
func (p price) differs(o topup.Order) string {
	if p.archived {
		return fmt.Sprintf("price %s is archived", o.PriceID)
	}
	amount, err := topup.ParseMinor(p.amount, o.Price.Currency)
	if err != nil {
		return fmt.Sprintf("the amount of price %s: %v", o.PriceID, err)
	}
	credits, err := topup.ParseCredits(p.count)
	if err != nil {
		return fmt.Sprintf("the credits of price %s: %v", o.PriceID, err)
	}
	if amount != o.Price || credits != o.Credits {
		return fmt.Sprintf("price %s is %s credits for %s, configured is %s credits for %s", o.PriceID, credits, amount, o.Credits, o.Price)
	}
	return ""
}
