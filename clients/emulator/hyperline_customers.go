package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

type wireCustomer struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	Type             string            `json:"type"`
	Status           string            `json:"status"`
	Currency         string            `json:"currency"`
	Country          string            `json:"country"`
	Timezone         string            `json:"timezone"`
	Language         string            `json:"language"`
	ExternalID       *string           `json:"external_id"`
	BillingEmail     string            `json:"billing_email"`
	Properties       map[string]string `json:"properties"`
	CustomProperties map[string]string `json:"custom_properties"`
	CreatedAt        string            `json:"created_at"`
	UpdatedAt        string            `json:"updated_at"`
}

func (c *customer) status() string {
	if c.archived {
		return "archived"
	}
	return "active"
}

func (c *customer) wire() wireCustomer {
	return wireCustomer{
		ID: c.id, Name: c.name, Type: "corporate", Status: c.status(), Currency: c.currency, Country: c.country,
		Timezone: "Europe/Paris", Language: "en", ExternalID: &c.externalID, BillingEmail: c.email,
		CustomProperties: map[string]string{"plan": c.plan},
		CreatedAt:        stamp(c.created), UpdatedAt: stamp(c.updated),
	}
}

// methodType is the customer's word in the payment_method_type filter.
func (c *customer) methodType() string {
	switch c.card {
	case CardMissing:
		return "missing"
	case CardDirectDebit:
		return "direct_debit"
	case CardDeclined, CardGood:
	}
	if c.errored {
		return "errored"
	}
	return "card"
}

// method is the id of what would be charged, nil if there is nothing.
func (c *customer) method() *string {
	if c.card == CardMissing {
		return nil
	}
	id := c.methodID
	return &id
}

var (
	customerStatuses = []string{"all", "active", "inactive", "imported", "archived"}
	methodTypes      = []string{
		"card", "direct_debit", "direct_debit_ach", "direct_debit_bacs", "transfer", "external", "missing", "errored",
	}
)

// listCustomers lists newest first unless told otherwise. Without a status it
// leaves archived customers out; the default is not documented.
func (h *hyperline) listCustomers(c *call) answer {
	statuses, bad := wanted(c.query, "status", customerStatuses)
	if bad != nil {
		return *bad
	}
	methods, bad := wanted(c.query, "payment_method_type", methodTypes)
	if bad != nil {
		return *bad
	}
	created, bad := timeFilters(c.query, "created_at")
	if bad != nil {
		return *bad
	}
	updated, bad := timeFilters(c.query, "updated_at")
	if bad != nil {
		return *bad
	}
	if statuses == nil {
		statuses = []string{"active"}
	}
	all := slices.Contains(statuses, "all")
	texts := filtered(c.query, "name", "currency", "country", "external_id", "billing_email", "search", "custom_properties[plan]")
	list := h.listing(c, func(owner *customer) bool {
		status := all || slices.Contains(statuses, owner.status())
		method := methods == nil || slices.Contains(methods, owner.methodType())
		return status && method && (!texts || owner.matches(c)) && created.match(owner.created) && updated.match(owner.updated)
	})
	return cursor(c, list.rows, list.find, func(owner *customer) string { return owner.id }, (*customer).wire)
}

// listing is the whole answer to one question about customers, page after page.
type listing struct {
	rows []*customer
	at   map[string]int // by id
}

func (l *listing) find(id string) int {
	if at, ok := l.at[id]; ok {
		return at
	}
	return -1
}

// maxListings bounds the answers that are kept: a large account has many pages,
// and few questions are asked about it.
const maxListings = 16

// listing keeps what wanted selects until a customer changes.
func (h *hyperline) listing(c *call, wanted func(*customer) bool) *listing {
	question := maps.Clone(c.query)
	for _, name := range []string{"cursor", "limit", "include_total"} {
		question.Del(name)
	}
	key := question.Encode()
	if l := h.listings[key]; l != nil {
		return l
	}
	l := &listing{at: map[string]int{}}
	for _, owner := range h.customers {
		if wanted(owner) {
			l.rows = append(l.rows, owner)
		}
	}
	inOrder(c, l.rows, func(owner *customer) (time.Time, time.Time) { return owner.created, owner.updated }, "updated_at")
	for at, owner := range l.rows {
		l.at[owner.id] = at
	}
	if len(h.listings) >= maxListings || h.listings == nil {
		h.listings = map[string]*listing{}
	}
	h.listings[key] = l
	return l
}

// touched is said of every change that a list of customers may show.
func (h *hyperline) touched() { clear(h.listings) }

// shownErrored is how the card of a customer looks after a decline.
func (h *hyperline) shownErrored(owner *customer) {
	if owner.errored != h.opts.Profile.ErroredAfterDecline {
		owner.errored = h.opts.Profile.ErroredAfterDecline
		h.touched()
	}
}

// inOrder sorts rows that are in order of creation: by the second time if sort
// names it, and descending unless order is asc.
func inOrder[T any](c *call, rows []T, times func(T) (first, second time.Time), second string) {
	if c.query.Get("sort") == second {
		slices.SortStableFunc(rows, func(a, b T) int {
			_, x := times(a)
			_, y := times(b)
			return x.Compare(y)
		})
	}
	if c.query.Get("order") != "asc" {
		slices.Reverse(rows)
	}
}

// matches applies the string filters, search and custom properties.
func (c *customer) matches(k *call) bool {
	for field, value := range map[string]string{
		"name": c.name, "currency": c.currency, "country": c.country,
		"external_id": c.externalID, "billing_email": c.email,
	} {
		if !textFilter(k.query, field, value) {
			return false
		}
	}
	if want := k.query.Get("custom_properties[plan]"); want != "" && want != c.plan {
		return false
	}
	search := strings.ToLower(k.query.Get("search"))
	return strings.Contains(strings.ToLower(c.name+" "+c.email+" "+c.externalID), search)
}

func (h *hyperline) getCustomer(c *call) answer {
	owner := h.byID[c.r.PathValue("id")]
	if owner == nil {
		return message(http.StatusNotFound, "Customer not found")
	}
	return jsonAnswer(http.StatusOK, owner.wire())
}

func (h *hyperline) archiveCustomer(c *call) answer {
	owner := h.byID[c.r.PathValue("id")]
	if owner == nil {
		return message(http.StatusNotFound, "Customer not found")
	}
	owner.archived, owner.updated = true, c.now
	h.touched()
	return jsonAnswer(http.StatusOK, owner.wire())
}

type wireMethod struct {
	ID         string  `json:"id"`
	Type       string  `json:"type"`
	Status     string  `json:"status"`
	Last4      *string `json:"last_4_digits,omitempty"`
	Expiration *string `json:"expiration_date,omitempty"`
	Brand      *string `json:"brand,omitempty"`
	ErrorType  *string `json:"error_type,omitempty"`
}

// listPaymentMethods shows a declined card as active: that it will be declined
// is only known when it is charged, and shown only with ErroredAfterDecline.
func (h *hyperline) listPaymentMethods(c *call) answer {
	owner := h.byID[c.r.PathValue("id")]
	if owner == nil {
		return message(http.StatusNotFound, "Customer not found")
	}
	p, bad := h.window(c.query)
	if bad != nil {
		return *bad
	}
	var methods []wireMethod
	switch owner.card {
	case CardMissing:
	case CardDirectDebit:
		methods = append(methods, wireMethod{ID: owner.methodID, Type: "direct_debit", Status: "active"})
	case CardGood, CardDeclined:
		last4, expires, brand := "4242", c.now.AddDate(2, 0, 0).Format("2006-01"), "visa"
		card := wireMethod{ID: owner.methodID, Type: "card", Status: "active", Last4: &last4, Expiration: &expires, Brand: &brand}
		if owner.errored {
			why := "insufficient_funds"
			card.Status, card.ErrorType = "errored", &why
		}
		methods = append(methods, card)
	}
	return offset(methods, p, func(m wireMethod) wireMethod { return m })
}
