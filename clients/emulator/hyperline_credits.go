package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

type wireAutoTopup struct {
	CreditCount quantity `json:"credit_count"`
	Amount      *int64   `json:"amount_excluding_tax"`
	PriceID     *string  `json:"price_id"`
}

type wireCredit struct {
	ProductID      string          `json:"product_id"`
	CustomerID     string          `json:"customer_id"`
	Name           string          `json:"name"`
	CurrentBalance json.RawMessage `json:"current_balance"`
	Threshold      *quantity       `json:"low_count_threshold"`
	RefreshedAt    string          `json:"last_refreshed_at"`
	AutoTopup      *wireAutoTopup  `json:"auto_topup"`
	CreatedAt      string          `json:"created_at"`
	UpdatedAt      string          `json:"updated_at"`
}

// show brings one credit up to date and writes it down, with the row fault that
// befell this read.
func (h *hyperline) show(c *call, cr *credit) wireCredit {
	h.use(cr, c.now)
	cr.refresh(c.now, h.opts.Profile)
	balance, at := cr.shown, cr.shownAt
	switch c.rows {
	case "stale_balance":
		balance, at = cr.older, cr.olderAt
	case "all_zero":
		balance = 0
	}
	w := wireCredit{
		ProductID: cr.product.id, CustomerID: cr.owner.id, Name: cr.name,
		CurrentBalance: json.RawMessage(balance.String()), Threshold: cr.threshold,
		RefreshedAt: stamp(at), CreatedAt: stamp(cr.created), UpdatedAt: stamp(cr.updated),
	}
	if c.rows == "all_null" {
		w.CurrentBalance = json.RawMessage("null")
	}
	if cr.auto != nil {
		w.AutoTopup = &wireAutoTopup{CreditCount: cr.auto.credits, Amount: cr.auto.amount}
		if cr.auto.price != nil {
			w.AutoTopup.PriceID = &cr.auto.price.id
		}
	}
	return w
}

// glitch is a balance as no client may believe it.
func (w *world) glitch() json.RawMessage {
	if w.faults.GlitchValue != "" {
		return json.RawMessage(w.faults.GlitchValue)
	}
	return json.RawMessage([]string{`null`, `"abc"`, `1e30`, `0`}[w.rng.IntN(4)])
}

// creditPage is a window of credits with this read's row fault applied to it.
func (h *hyperline) creditPage(c *call, all []*credit, p page) answer {
	c.rows = h.faults.draw(h.rng, HyperlineName, rowRates)
	rows := cutWindow(all, shifted(p, c.rows))
	if c.rows == "repeat_rows" && p.skip == 0 && len(rows) > 0 { // no page before this one
		rows = slices.Insert(slices.Clone(rows), 0, rows[0])[:min(p.take, len(rows)+1)]
	}
	out := offsetPage[wireCredit]{Meta: meta{Total: len(all), Taken: len(rows), Skipped: p.skip}, Data: make([]wireCredit, 0, len(rows))}
	for _, cr := range rows {
		out.Data = append(out.Data, h.show(c, cr))
	}
	if c.rows == "glitch_balance" && len(out.Data) > 0 {
		out.Data[h.rng.IntN(len(out.Data))].CurrentBalance = h.glitch()
	}
	return jsonAnswer(http.StatusOK, out)
}

// shifted is where the window lands when rows were added or removed in front of
// it since the page before.
func shifted(p page, fault string) page {
	switch fault {
	case "missing_rows":
		p.skip++
	case "repeat_rows":
		p.skip = max(p.skip-1, 0)
	}
	return p
}

func (h *hyperline) listCredits(c *call) answer {
	p, bad := h.window(c.query)
	if bad != nil {
		return *bad
	}
	if limit := h.opts.Profile.SkipLimit; limit > 0 && p.skip+p.take > limit {
		return invalid("query params", "skip", fmt.Sprintf("Too big: expected skip + take to be <=%d", limit))
	}
	updated, bad := timeFilters(c.query, "updated_at")
	if bad != nil {
		return *bad
	}
	all := h.credits
	if h.listed != nil {
		all = h.listed
	}
	if c.query.Has("customer_id") {
		all = nil
		if owner := h.byID[c.query.Get("customer_id")]; owner != nil {
			all = owner.credits
		}
	}
	if filtered(c.query, "product_id", "customer_id") || len(updated) > 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(cr *credit) bool {
			return !textFilter(c.query, "product_id", cr.product.id) ||
				!textFilter(c.query, "customer_id", cr.owner.id) || !updated.match(cr.updated)
		})
	}
	return h.creditPage(c, all, p)
}

// filtered tells whether the query has a filter of one of the string families.
func filtered(q url.Values, fields ...string) bool {
	for name := range q {
		for _, field := range fields {
			if name == field || len(name) > len(field)+2 && name[:len(field)+2] == field+"__" {
				return true
			}
		}
	}
	return false
}

func (h *hyperline) listCustomerCredits(c *call) answer {
	p, bad := h.window(c.query)
	if bad != nil {
		return *bad
	}
	owner := h.byID[c.r.PathValue("id")]
	if owner == nil {
		return message(http.StatusNotFound, "Customer not found")
	}
	return h.creditPage(c, owner.credits, p)
}

// find is the credit that the path names, or the 404 that says what is missing.
func (h *hyperline) find(c *call) (*credit, *answer) {
	missing := func(what string) (*credit, *answer) {
		a := message(http.StatusNotFound, what+" not found")
		return nil, &a
	}
	owner := h.byID[c.r.PathValue("id")]
	if owner == nil {
		return missing("Customer")
	}
	if c.r.PathValue("product") != h.product.id {
		return missing("Product")
	}
	cr := owner.credit(c.r.PathValue("product"))
	if cr == nil {
		return missing("Credit")
	}
	return cr, nil
}

func (h *hyperline) getCredit(c *call) answer {
	cr, missing := h.find(c)
	if missing != nil {
		return *missing
	}
	c.rows = h.faults.draw(h.rng, HyperlineName, rowRates)
	w := h.show(c, cr)
	if c.rows == "glitch_balance" {
		w.CurrentBalance = h.glitch()
	}
	return jsonAnswer(http.StatusOK, w)
}

// creditBody is CreateCredit and UpdateCredit; a RawMessage tells null from
// absent.
type creditBody struct {
	ProductID string          `json:"product_id"`
	Name      *string         `json:"name"`
	Balance   *quantity       `json:"current_balance"`
	Threshold json.RawMessage `json:"low_count_threshold"`
	AutoTopup json.RawMessage `json:"auto_topup"`
}

func (h *hyperline) createCredit(c *call) answer {
	owner := h.byID[c.r.PathValue("id")]
	if owner == nil {
		return message(http.StatusNotFound, "Customer not found")
	}
	var body creditBody
	if bad, ok := decode(c, &body); !ok {
		return bad
	}
	switch {
	case body.ProductID == "":
		return invalid("body", "product_id", "Invalid input: expected string, received undefined")
	case body.ProductID != h.product.id:
		return message(http.StatusNotFound, "Product not found")
	case owner.credit(body.ProductID) != nil:
		return message(http.StatusConflict, "The customer already has this credit product")
	}
	cr := newCredit(owner, h.product, c.now)
	if bad := h.apply(cr, body); bad != nil {
		return *bad
	}
	var balance quantity
	if body.Balance != nil {
		balance = *body.Balance
	}
	h.attach(cr).reset(balance, c.now)
	return jsonAnswer(http.StatusCreated, h.show(c, cr))
}

func (h *hyperline) updateCredit(c *call) answer {
	cr, missing := h.find(c)
	if missing != nil {
		return *missing
	}
	var body creditBody
	if bad, ok := decode(c, &body); !ok {
		return bad
	}
	if h.opts.Profile.PutClears {
		body.Threshold, body.AutoTopup = orNull(body.Threshold), orNull(body.AutoTopup)
	}
	if bad := h.apply(cr, body); bad != nil {
		return *bad
	}
	cr.updated = c.now
	return jsonAnswer(http.StatusOK, h.show(c, cr))
}

func orNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}

// apply changes the fields that the body has; nothing if one of them is bad.
func (h *hyperline) apply(cr *credit, body creditBody) *answer {
	threshold, auto := cr.threshold, cr.auto
	if len(body.Threshold) > 0 {
		threshold = nil
		if err := json.Unmarshal(body.Threshold, &threshold); err != nil {
			a := invalid("body", "low_count_threshold", fmt.Sprintf("Invalid input: %v", err))
			return &a
		}
	}
	if len(body.AutoTopup) > 0 {
		var wire *wireAutoTopup
		if err := json.Unmarshal(body.AutoTopup, &wire); err != nil {
			a := invalid("body", "auto_topup", fmt.Sprintf("Invalid input: %v", err))
			return &a
		}
		var bad *answer
		if auto, bad = h.autoTopup(wire); bad != nil {
			return bad
		}
	}
	cr.threshold, cr.auto, cr.nativeAfter = threshold, auto, time.Time{}
	if body.Name != nil {
		cr.name = *body.Name
	}
	return nil
}

// autoTopup reads native settings; nil switches them off.
func (h *hyperline) autoTopup(wire *wireAutoTopup) (*autoTopup, *answer) {
	if wire == nil {
		return nil, nil
	}
	auto := &autoTopup{credits: wire.CreditCount, amount: wire.Amount}
	bad := answer{}
	switch {
	case wire.CreditCount <= 0:
		bad = invalid("body", "auto_topup.credit_count", "Too small: expected number to be >0")
		return nil, &bad
	case wire.PriceID == nil:
		return auto, nil
	}
	if auto.price = h.product.price(*wire.PriceID); auto.price == nil {
		bad = message(http.StatusNotFound, "Price not found")
		return nil, &bad
	}
	return auto, nil
}
