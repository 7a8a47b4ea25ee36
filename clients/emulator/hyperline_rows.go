package emulator

import (
	"net/http"
	"slices"
	"time"
)

type wireRowPrice struct {
	ID       string   `json:"id"`
	Amount   int64    `json:"amount"`
	PackSize quantity `json:"pack_size"`
}

type wireRow struct {
	ID            string        `json:"id"`
	ProductID     *string       `json:"product_id"`
	Price         *wireRowPrice `json:"price"`
	CustomerID    string        `json:"customer_id"`
	PaymentMethod *string       `json:"payment_method_id"`
	InvoiceID     *string       `json:"invoice_id"`
	EventID       *string       `json:"event_id"`
	AggregatorID  *string       `json:"aggregator_id"`
	ExpiresAt     *string       `json:"expires_at"`
	Type          string        `json:"type"`
	Source        string        `json:"source"`
	Amount        *int64        `json:"amount_excluding_tax"`
	CreditCount   quantity      `json:"credit_count"`
	BalanceAfter  quantity      `json:"balance_after"`
	CreatedAt     string        `json:"created_at"`
	UpdatedAt     string        `json:"updated_at"`
}

func (cr *credit) wire(row *creditRow, style ExpiryStyle) wireRow {
	w := wireRow{
		ID: row.id, ProductID: &cr.product.id, CustomerID: cr.owner.id, PaymentMethod: row.method,
		InvoiceID: row.invoice, EventID: row.event, Type: row.kind, Source: row.source, Amount: row.amount,
		CreditCount: row.credits, BalanceAfter: row.after, CreatedAt: stamp(row.created), UpdatedAt: stamp(row.updated),
	}
	if row.price != nil {
		w.Price = &wireRowPrice{ID: row.price.id, Amount: row.priceAmount, PackSize: row.price.pack}
	}
	if row.expires != nil {
		shown := shownExpiry(*row.expires, style)
		w.ExpiresAt = &shown
	}
	return w
}

// shownExpiry writes an expiry as its style has it: declared is a date, although
// date-times go in.
func shownExpiry(at time.Time, style ExpiryStyle) string {
	switch at = at.UTC(); style {
	case ExpirySeconds:
		return stamp(at)
	case ExpiryMinutes:
		return stamp(at.Truncate(time.Minute))
	default:
		return at.Format(time.DateOnly)
	}
}

// row shows one row of the credit's ledger.
func (h *hyperline) row(cr *credit, row *creditRow) wireRow {
	return cr.wire(row, h.opts.Profile.ExpiryShown)
}

// listRows is the credit's ledger, newest first (the order is not documented).
func (h *hyperline) listRows(c *call) answer {
	p, bad := h.window(c.query)
	if bad != nil {
		return *bad
	}
	cr, missing := h.find(c)
	if missing != nil {
		return *missing
	}
	h.use(cr, c.now)
	var rows []*creditRow
	for _, row := range slices.Backward(cr.rows) {
		if !row.visible.After(c.now) && row.matches(c, h.opts.Profile.TypeFilterIgnored) {
			rows = append(rows, row)
		}
	}
	if h.opts.Profile.RowsOldestFirst {
		slices.Reverse(rows)
	}
	return offset(rows, p, func(row *creditRow) wireRow { return h.row(cr, row) })
}

// matches applies the four plain filters of the list, or all but the type.
func (row *creditRow) matches(c *call, anyType bool) bool {
	invoice := ""
	if row.invoice != nil {
		invoice = *row.invoice
	}
	for name, value := range map[string]string{
		"id": row.id, "type": row.kind, "invoice_id": invoice, "created_at": stamp(row.created),
	} {
		if want := c.query.Get(name); want != "" && want != value && !(name == "type" && anyType) {
			return false
		}
	}
	return true
}

// topup gives credits away.
func (h *hyperline) topup(c *call) answer {
	cr, missing := h.find(c)
	if missing != nil {
		return *missing
	}
	var body struct {
		CreditCount quantity `json:"credit_count"`
		ExpiresAt   *string  `json:"expires_at"`
	}
	if bad, ok := decode(c, &body); !ok {
		return bad
	}
	if body.CreditCount <= 0 {
		return invalid("body", "credit_count", "Too small: expected number to be >0")
	}
	expires, bad := expiry(body.ExpiresAt, c.now)
	if bad != nil {
		return *bad
	}
	return jsonAnswer(http.StatusCreated, h.row(cr, h.give(cr, body.CreditCount, expires, c.now)))
}

// give adds credits that nobody pays for.
func (h *hyperline) give(cr *credit, credits quantity, expires *time.Time, now time.Time) *creditRow {
	b := h.add(cr, credits, expires, now, now)
	row := &creditRow{
		id: h.id("cdt_"), kind: "topup", source: "api", expires: expires, credits: credits,
		after: cr.balance, batch: b, created: now, updated: now, visible: now,
	}
	cr.rows = append(cr.rows, row)
	return row
}

// expiry reads expires_at. A past value is refused; what the provider does with
// one is not documented.
func expiry(text *string, now time.Time) (*time.Time, *answer) {
	if text == nil {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339Nano, *text)
	problem := ""
	switch {
	case err != nil:
		problem = "Invalid ISO datetime"
	case !at.After(now):
		problem = "Too small: expected a date in the future"
	default:
		at = at.UTC()
		return &at, nil
	}
	bad := invalid("body", "expires_at", problem)
	return nil, &bad
}

// postUsage consumes credits at once; unlike drained usage it may leave a debt.
func (h *hyperline) postUsage(c *call) answer {
	cr, missing := h.find(c)
	if missing != nil {
		return *missing
	}
	var body struct {
		Used  quantity `json:"usage_retained"`
		Event *string  `json:"event_id"`
	}
	if bad, ok := decode(c, &body); !ok {
		return bad
	}
	if body.Used <= 0 {
		return invalid("body", "usage_retained", "Too small: expected number to be >0")
	}
	h.use(cr, c.now)
	cr.consume(body.Used)
	row := &creditRow{
		id: h.id("cdt_"), kind: "usage", source: "api", event: body.Event, credits: body.Used,
		after: cr.balance, created: c.now, updated: c.now, visible: c.now,
	}
	cr.rows = append(cr.rows, row)
	return jsonAnswer(http.StatusCreated, h.row(cr, row))
}

// moveExpiry changes when a topup row's credits expire, while they have not.
func (h *hyperline) moveExpiry(c *call) answer {
	cr, missing := h.find(c)
	if missing != nil {
		return *missing
	}
	at := slices.IndexFunc(cr.rows, func(row *creditRow) bool { return row.id == c.r.PathValue("entry") && !row.visible.After(c.now) })
	if at < 0 {
		return message(http.StatusNotFound, "Credit transaction not found")
	}
	row := cr.rows[at]
	if row.kind != "topup" || (row.expires != nil && !row.expires.After(c.now)) {
		return message(http.StatusBadRequest, "Only non-expired topup transactions can be updated")
	}
	var body struct {
		ExpiresAt *string `json:"expires_at"`
	}
	if bad, ok := decode(c, &body); !ok {
		return bad
	}
	expires, bad := expiry(body.ExpiresAt, c.now)
	if bad != nil {
		return *bad
	}
	h.use(cr, c.now)
	row.expires, row.updated = expires, c.now
	row.batch.expires = time.Time{}
	if expires != nil {
		row.batch.expires = *expires
		h.at(*expires, func(at time.Time) { h.expire(cr, row.batch, at) })
	}
	slices.SortStableFunc(cr.batches, byExpiry)
	return jsonAnswer(http.StatusOK, h.row(cr, row))
}
