package emulator

import (
	"net/http"
	"time"
)

// purchase is what is known of a Hyperline purchase between its two halves.
type purchase struct {
	*purchaseRun
	memory *memory
	answer answer
	ready  bool // answer is final: nothing to execute, or it was executed
}

// servePurchase takes a purchase in two halves with the lock released between
// them, so that a slow purchase is in progress (409) for its repeats.
func (h *hyperline) servePurchase(rw http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		return
	}
	var p *purchase
	var a answer
	var date time.Time
	var ready bool
	h.locked(func(now time.Time) {
		date = now
		a = h.admit(r, now, func(q quota) answer {
			p = h.openPurchase(call{r: r, query: r.URL.Query(), body: body, now: now}, q)
			ready = p.ready
			return p.answer
		})
	})
	if p == nil { // not admitted
		h.send(rw, r, a, date, 0)
		return
	}
	limits := a.header
	if !ready {
		h.wait(p.delay)
		h.locked(func(now time.Time) {
			date = now
			h.execute(p, now)
		})
	}
	h.locked(func(time.Time) { // a late execution may be writing the answer
		a = h.squeezed(HyperlineName, p.answer.spoil(p.fault, internalError))
		p.entry.Status = statusLeaving(a)
	})
	a.header = a.header.Clone()
	for name, values := range limits {
		if a.header != nil && name != "Content-Type" {
			a.header[name] = values
		}
	}
	h.send(rw, r, a, date, p.hangFor)
	h.abandon(p)
}

// statusLeaving is the status that the client may see, 0 if no answer goes out.
func statusLeaving(a answer) int {
	if a.mishap == hung || a.mishap == dropped {
		return 0
	}
	return a.status
}

// openPurchase is the first half: everything that happens before the till.
func (h *hyperline) openPurchase(c call, q quota) *purchase {
	p := &purchase{purchaseRun: h.receive(HyperlineName, c.r.PathValue("id"), c, h.opts.ExecuteLate)}
	switch p.fault {
	case "throttle": // before the key is looked at: a 429 leaves no memory
		p.answer, p.ready = tooMany(q.retryAfter(c.now)), true
		return p
	case "redirect_307":
		p.answer, p.ready = redirect(c.r), true
		return p
	}
	m, early := h.begin(c.r, c.body, c.now)
	p.memory = m
	switch {
	case early != nil:
		p.entry.Replayed = early.status/100 == 2
		p.answer, p.ready = *early, true
	case !p.executes():
		p.answer, p.ready = internalError(), true
	case p.late > 0:
		p.ready = true
		h.at(c.now.Add(p.late), func(at time.Time) { h.execute(p, at) })
	}
	return p
}

// execute is the second half: the order is placed, the key remembers.
func (h *hyperline) execute(p *purchase, now time.Time) {
	p.now = now
	done := h.buy(p)
	p.answer, p.ready = done, true
	if p.fault == "charge_then_500" && !h.opts.Profile.RememberAfter5xx {
		done = internalError() // forgotten: only what succeeds is said to be cached
	}
	h.finish(p.r, p.memory, done, now)
}

// abandon forgets the key of a request that was never executed.
func (h *hyperline) abandon(p *purchase) {
	h.locked(func(now time.Time) {
		if p.memory != nil && !p.executes() {
			h.finish(p.r, p.memory, internalError(), now)
		}
	})
}

type purchaseBody struct {
	CreditCount *quantity `json:"credit_count"`
	Amount      *int64    `json:"amount_excluding_tax"`
	PriceID     *string   `json:"price_id"`
	ExpiresAt   *string   `json:"expires_at"`
}

// buy checks the request and places its order.
func (h *hyperline) buy(p *purchase) answer {
	cr, missing := h.find(&p.call)
	if missing != nil {
		return *missing
	}
	if p.fault == "refuse" {
		return message(http.StatusBadRequest, "Credits of "+cr.owner.id+" cannot be purchased")
	}
	o, bad := h.order(p, cr)
	if bad != nil {
		return *bad
	}
	pays := h.pays(o)
	inv := h.place(o, p.now)
	p.entry.Executed = inv != nil
	if !pays && o.style != DeclineCreatedUnpaid {
		return h.declined(cr.owner)
	}
	return jsonAnswer(http.StatusCreated, struct {
		InvoiceID  string   `json:"invoice_id"`
		NewBalance quantity `json:"new_credit_balance"`
	}{inv.id, cr.balance})
}

func (h *hyperline) declined(c *customer) answer {
	text := "Payment method declined"
	if c.card == CardMissing {
		text = "The customer has no payment method"
	}
	return message(h.opts.Profile.DeclineStatus, text)
}

// order validates the body against the documented rules; where they are silent
// it refuses.
func (h *hyperline) order(p *purchase, cr *credit) (order, *answer) {
	h.use(cr, p.now)
	var body purchaseBody
	if bad, ok := decode(&p.call, &body); !ok {
		return order{}, &bad
	}
	refuse := func(a answer) (order, *answer) { return order{}, &a }
	o := order{
		credit: cr, source: SourceAPI, key: p.entry.Key, request: p.entry.Seq,
		decline: p.declines(), style: h.opts.Profile.Decline,
	}
	if p.fault == "decline_201_unpaid" {
		o.style = DeclineCreatedUnpaid
	}
	var bad *answer
	if o.expires, bad = expiry(body.ExpiresAt, p.now); bad != nil {
		return order{}, bad
	}
	switch {
	case body.CreditCount == nil:
		return refuse(invalid("body", "credit_count", "Invalid input: expected number, received undefined"))
	case *body.CreditCount <= 0:
		return refuse(invalid("body", "credit_count", "Too small: expected number to be >0"))
	case (body.Amount == nil) == (body.PriceID == nil):
		return refuse(message(http.StatusBadRequest, "Either amount_excluding_tax or price_id must be defined"))
	case cr.owner.archived:
		return refuse(message(http.StatusBadRequest, "The customer is archived"))
	case cr.product.archived:
		return refuse(message(http.StatusBadRequest, "The product is archived"))
	case body.Amount != nil && (*body.Amount <= 0 || *body.Amount > maxMinor):
		return refuse(invalid("body", "amount_excluding_tax", "Invalid input: expected number between 1 and 100000000000"))
	}
	o.credits = *body.CreditCount
	if body.Amount != nil {
		o.amount = p.price(*body.Amount)
		return o, nil
	}
	return h.packed(p, o, *body.PriceID)
}

// maxMinor bounds one order, inclusive, in the smallest unit.
const maxMinor = 100_000_000_000

// packed prices an order by its bundle.
func (h *hyperline) packed(p *purchase, o order, priceID string) (order, *answer) {
	refuse := func(status int, text string) (order, *answer) {
		a := message(status, text)
		return order{}, &a
	}
	o.price = o.credit.product.price(priceID)
	if o.price == nil {
		return refuse(http.StatusNotFound, "Price not found")
	}
	if o.price.config.archived {
		return refuse(http.StatusBadRequest, "The price is archived")
	}
	if o.price.config.currency != o.credit.owner.currency {
		return refuse(http.StatusBadRequest, "The price and the customer have different currencies")
	}
	packs := int64(o.credits / o.price.pack)
	whole := o.credits%o.price.pack == 0
	if !whole || packs > 1 && !h.opts.Profile.SeveralPacks || packs > maxMinor/max(o.price.amount, 1) {
		return refuse(http.StatusBadRequest, "credit_count must correspond to a full credit pack for the price")
	}
	o.amount = p.price(packs * o.price.amount)
	return o, nil
}
