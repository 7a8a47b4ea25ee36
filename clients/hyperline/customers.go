package hyperline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const customersPath = "/v2/customers"

const (
	// customersAge is how old what is known of a customer may be, inclusive.
	customersAge = 60 * time.Second
	// customersStale is how old it may be when the list cannot be read: polls go
	// on, and the confirm read, which allows customersAge only, decides.
	customersStale = 15 * time.Minute
	// maxCustomerPages bounds one end of a list of customers, for the memory's sake.
	maxCustomerPages = 30_000
	// maxSingles is how many customers are read one by one before the whole list
	// is cheaper.
	maxSingles = 10
)

// customer is what is read of a customer beside its credits.
type customer struct {
	id         topup.CustomerID
	name       string
	inactive   string
	currency   topup.Currency
	country    string
	properties map[string]string
	method     topup.PaymentMethod
	readAt     time.Time
}

func (c customer) account() topup.Account {
	return topup.Account{Inactive: c.inactive, Currency: c.currency, PaymentMethod: c.method, Properties: c.properties}
}

func readCustomer(row clients.Object, readAt time.Time) (customer, error) {
	c := customer{
		id:         topup.CustomerID(row.ID("id")),
		name:       short(row.Text("name")),
		country:    row.Text("country"),
		properties: map[string]string{},
		readAt:     readAt,
	}
	if c.id == "" {
		return customer{}, fmt.Errorf("a customer without a valid id")
	}
	// The statuses of a customer are active and archived (Hyperline API reference,
	// "Customers", read 2026-11-20); anything else is no permission to charge.
	if status := row.Text("status"); status != "active" {
		c.inactive = fmt.Sprintf("its status at Hyperline is %q", short(status))
	}
	if code := row.Text("currency"); code != "" {
		currency, err := topup.ParseCurrency(code)
		if err != nil {
			c.inactive = "its currency at Hyperline: " + err.Error()
		}
		c.currency = currency
	}
	for _, list := range []string{"properties", "custom_properties"} { // the second wins
		readProperties(row.Raw(list), c.properties)
	}
	return c, nil
}

// maxProperties bounds what is kept per customer; rules match a handful.
const maxProperties = 100

// readProperties takes what can be compared with a text in a rule.
func readProperties(raw json.RawMessage, into map[string]string) {
	var values map[string]json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var text string
		value := values[name]
		switch {
		case len(into) >= maxProperties:
			return
		case json.Unmarshal(value, &text) == nil && value[0] == '"':
			into[name] = short(text)
		case value[0] != '{' && value[0] != '[' && string(value) != "null":
			into[name] = short(string(value)) // numbers and booleans, as they are written
		}
	}
}

// customers is one reading of the whole list. It is not changed any more: whoever
// has it may read it while the next one is made.
type customers struct {
	customers map[topup.CustomerID]customer
	complete  bool
	at        time.Time
	took      time.Duration
}

// fresh is how old the reading may be for a poll. Of a large account the list
// takes minutes, and reading it all the time would leave the balances none; what
// was decided on it is looked at again right before buying.
func (c customers) fresh() time.Duration { return min(max(customersAge, 5*c.took), customersStale) }

// customerBook keeps the last reading between polls.
type customerBook struct {
	turn    turn                      // held while the list is read, by whoever waits for the newest
	last    atomic.Pointer[customers] // never changed, only replaced: a confirm read waits for no list
	ignored time.Time                 // until then payment_method_type is known to be ignored
}

// known is the last reading; empty before the first.
func (b *customerBook) known() customers {
	if last := b.last.Load(); last != nil {
		return *last
	}
	return customers{}
}

// book returns the customers, read again when they are too old.
func (r *reader) book(ctx context.Context) (customers, error) {
	b := &r.customers
	if err := b.turn.take(ctx); err != nil {
		return customers{}, err
	}
	defer b.turn.give()
	last, now := b.known(), r.api.Now()
	age := now.Sub(last.at)
	if last.customers != nil && age <= last.fresh() {
		return last, nil
	}
	one := &reader{Client: r.Client, class: r.class, progress: r.progress}
	fresh, err := one.listCustomers(ctx, b)
	r.join(one)
	if err != nil {
		if last.customers == nil || age > customersStale || ctx.Err() != nil {
			return customers{}, err
		}
		r.log.Warn("customers cannot be read; using those of the last poll", slog.String("provider", r.name),
			slog.Float64("age_seconds", age.Seconds()), slog.Any("err", err))
		return last, nil
	}
	fresh.at, fresh.took = one.oldest, r.api.Now().Sub(now)
	b.last.Store(&fresh)
	return fresh, nil
}

// methods are the parts in which customers are listed: a customer carries no
// payment method, but the list can be filtered by one. Missing comes first: it
// is the shortest, and if the filter is ignored it already is the whole list.
// Filter values: Hyperline API reference, "List customers", read 2026-11-20.
var methods = []struct {
	filter []string
	method topup.PaymentMethod
}{
	{[]string{"missing"}, topup.PaymentMissing},
	{[]string{"card"}, topup.PaymentCard},
	{[]string{"direct_debit,direct_debit_ach,direct_debit_bacs,transfer,external"}, topup.PaymentOther},
	{[]string{"errored"}, topup.PaymentErrored},
}

// listCustomers reads the list in parts by payment method.
func (r *reader) listCustomers(ctx context.Context, b *customerBook) (customers, error) {
	found := customers{customers: map[topup.CustomerID]customer{}, complete: true}
	if r.api.Now().Before(b.ignored) {
		return found, r.listPart(ctx, &found, "", topup.PaymentUnknown)
	}
	for _, part := range methods {
		before := len(found.customers)
		err := r.listPart(ctx, &found, part.filter[0], part.method)
		if clients.Refused(err, http.StatusBadRequest) {
			r.ignoreMethods(b, "the filter by payment method is refused")
			return found, r.listPart(ctx, &found, "", topup.PaymentUnknown)
		}
		if err != nil {
			return found, err
		}
		if part.method == topup.PaymentCard && before > 0 && overlap(found) {
			r.ignoreMethods(b, "the filter by payment method is ignored")
			forgetMethods(found)
			return found, nil
		}
	}
	return found, nil
}

func (r *reader) ignoreMethods(b *customerBook, why string) {
	r.log.Warn("customers are listed without their payment methods", slog.String("provider", r.name), slog.String("why", why))
	b.ignored = r.api.Now().Add(time.Hour)
}

// conflicting marks a customer that is listed both without a payment method and
// with a card, which only an ignored filter does.
const conflicting topup.PaymentMethod = "conflicting"

func overlap(found customers) bool {
	for _, c := range found.customers {
		if c.method == conflicting {
			return true
		}
	}
	return false
}

func forgetMethods(found customers) {
	for id, c := range found.customers {
		c.method = topup.PaymentUnknown
		found.customers[id] = c
	}
}

// accountsOf joins the credits with their customers. A few that the list misses
// (it moves too) are read one by one; many mean that the filters leave customers
// out, and the whole list is read, once in a pass.
func (p *pass) accountsOf(ctx context.Context, credits []credit) (map[topup.CustomerID]customer, error) {
	missing := map[topup.CustomerID]bool{}
	for _, c := range credits {
		if _, ok := p.accounts[c.customer]; !ok {
			missing[c.customer] = true
		}
	}
	if len(missing) == 0 {
		return p.accounts, nil
	}
	grown, err := p.complement(ctx, missing)
	if err == nil {
		p.accounts = grown
	}
	return grown, err
}

// complement adds the missing customers to the book.
func (p *pass) complement(ctx context.Context, missing map[topup.CustomerID]bool) (map[topup.CustomerID]customer, error) {
	b := &p.customers
	if err := b.turn.take(ctx); err != nil {
		return nil, err
	}
	defer b.turn.give()
	grown := b.known()
	grown.customers = maps.Clone(grown.customers)
	if !p.listed && p.singles+len(missing) > maxSingles {
		if err := p.listPart(ctx, &grown, "", topup.PaymentUnknown); err != nil {
			return nil, err
		}
		p.listed = true
	}
	for id := range missing {
		if _, ok := grown.customers[id]; ok || p.singles+len(missing) > 10*maxSingles {
			continue
		}
		p.singles++
		c, err := p.oneCustomer(ctx, id)
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			p.log.Warn("customer cannot be read", slog.String("provider", p.name), slog.String("customer", string(id)), slog.Any("err", err))
			c = customer{id: id, inactive: "Hyperline's record of the customer cannot be read"}
		}
		grown.customers[id] = c
	}
	for id := range missing {
		if _, ok := grown.customers[id]; !ok {
			grown.customers[id] = customer{id: id, inactive: "Hyperline does not list the customer"}
		}
	}
	b.last.Store(&grown)
	return grown.customers, nil
}

// oneCustomer reads one customer; one that Hyperline does not know is inactive.
func (r *reader) oneCustomer(ctx context.Context, id topup.CustomerID) (customer, error) {
	resp, err := r.get(ctx, "customer", path(customersPath+"/", string(id)), nil)
	if clients.Refused(err, http.StatusNotFound) {
		return customer{id: id, inactive: "Hyperline does not know the customer", readAt: r.api.Now()}, nil
	}
	if err != nil {
		return customer{}, err
	}
	row, err := clients.ParseObject(resp.Body)
	if err != nil {
		return customer{}, malformed("customer", "the answer is %v", err)
	}
	c, err := readCustomer(row, resp.SentAt)
	if err != nil {
		return customer{}, malformed("customer", "%v", err)
	}
	if c.id != id {
		return customer{}, malformed("customer", "customer %s was asked for, %s came", id, c.id)
	}
	return c, nil
}
