package emulator

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

type wireInvoiceCustomer struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Email      string  `json:"email"`
	ExternalID *string `json:"external_id"`
}

type wireLine struct {
	ID          string   `json:"id"`
	EntryType   string   `json:"entry_type"`
	ProductID   string   `json:"product_id"`
	ProductType string   `json:"product_type"`
	UnitsCount  quantity `json:"units_count"`
	UnitAmount  int64    `json:"unit_amount"`
	Amount      int64    `json:"amount"`
	AmountExcl  int64    `json:"amount_excluding_tax"`
}

type wireAllocation struct {
	InvoiceID string `json:"invoice_id"`
	Amount    int64  `json:"amount"`
}

type wirePayment struct {
	ID           string           `json:"id"`
	Type         string           `json:"type"`
	Amount       int64            `json:"amount"`
	Currency     string           `json:"currency"`
	CustomerID   string           `json:"customer_id"`
	ProcessAt    string           `json:"process_at"`
	SettledAt    *string          `json:"settled_at"`
	RefundedAt   *string          `json:"refunded_at"`
	Method       string           `json:"payment_method_type"`
	Status       string           `json:"status"`
	Allocations  []wireAllocation `json:"allocations"`
	ErrorType    *string          `json:"error_type"`
	ErrorMessage *string          `json:"error_message"`
}

type wireInvoice struct {
	ID               string              `json:"id"`
	Number           string              `json:"number"`
	Type             string              `json:"type"`
	Status           string              `json:"status"`
	Reference        string              `json:"reference"`
	PurchaseOrder    *string             `json:"purchase_order"`
	Currency         string              `json:"currency"`
	Source           string              `json:"source"`
	TotalAmount      int64               `json:"total_amount"`
	AmountDue        int64               `json:"amount_due"`
	AmountPaid       int64               `json:"amount_paid"`
	AmountExcl       int64               `json:"amount_excluding_tax"`
	TaxAmount        int64               `json:"tax_amount"`
	PaymentMethodID  *string             `json:"payment_method_id"`
	Customer         wireInvoiceCustomer `json:"customer"`
	SubscriptionID   *string             `json:"subscription_id"`
	DueAt            string              `json:"due_at"`
	SettledAt        *string             `json:"settled_at"`
	RefundedAt       *string             `json:"refunded_at"`
	UpdatedAt        string              `json:"updated_at"`
	IssuedAt         string              `json:"issued_at"`
	Properties       map[string]string   `json:"properties"`
	CustomProperties map[string]string   `json:"custom_properties"`
	LineItems        []wireLine          `json:"line_items"`
	Transactions     []wirePayment       `json:"transactions"`
}

// wire shows one line: units_count is the number of packs (1 for a custom
// amount), which the documentation leaves open.
func (inv *invoice) wire() wireInvoice {
	o, owner := inv.order, inv.order.credit.owner
	packs := one
	if o.price != nil {
		packs = o.credits / o.price.pack * one
	}
	w := wireInvoice{
		ID: inv.id, Number: inv.number, Type: "invoice", Status: inv.status, Reference: inv.reference,
		Currency: cmp.Or(inv.currency, owner.currency), Source: "hyperline", TotalAmount: inv.total, AmountDue: inv.total - inv.paid,
		AmountPaid: inv.paid, AmountExcl: o.amount, TaxAmount: inv.tax,
		Customer: wireInvoiceCustomer{ID: owner.id, Name: owner.name, Email: owner.email, ExternalID: &owner.externalID},
		DueAt:    stamp(inv.due), SettledAt: stampOrNull(inv.settled), RefundedAt: stampOrNull(inv.refunded), UpdatedAt: stamp(inv.updated), IssuedAt: stamp(inv.issued),
		CustomProperties: map[string]string{}, PaymentMethodID: inv.method,
		LineItems: []wireLine{{
			ID: "ili_" + inv.id[len("inv_"):], EntryType: "debit", ProductID: o.credit.product.id, ProductType: "credit",
			UnitsCount: packs, UnitAmount: o.amount / int64(packs/one), Amount: inv.total, AmountExcl: o.amount,
		}},
		Transactions: []wirePayment{},
	}
	if inv.status == "voided" {
		w.AmountDue = 0
	}
	if inv.seats {
		w.LineItems[0].ProductType = "seat"
	}
	for _, p := range inv.payments {
		w.Transactions = append(w.Transactions, p.wire(inv))
	}
	return w
}

func (p *payment) wire(inv *invoice) wirePayment {
	w := wirePayment{
		ID: p.id, Type: "one_time", Amount: p.amount, Currency: inv.order.credit.owner.currency,
		CustomerID: inv.order.credit.owner.id, ProcessAt: stamp(p.at), SettledAt: stampOrNull(p.settled),
		Method: p.kind, Status: p.status, Allocations: []wireAllocation{{InvoiceID: inv.id, Amount: p.amount}},
	}
	if p.errorType != "" {
		w.ErrorType, w.ErrorMessage = &p.errorType, &p.errorText
	}
	return w
}

var (
	invoiceStatuses = []string{
		"all", "open", "grace_period", "to_pay", "to_reconcile", "error", "paid", "finalized", "partially_paid", "outstanding",
		"refunded", "late", "draft", "pending_approval", "changes_requested", "voided", "closed", "uncollectible",
		"pending_consolidation", "consolidated",
	}
	invoiceTypes = []string{"invoice", "refund", "document", "child_invoice_ref", "child_creditnote_ref"}
)

// listInvoices leaves open invoices out unless asked (Hyperline OpenAPI,
// listInvoices, read 2026-11-20).
func (h *hyperline) listInvoices(c *call) answer {
	statuses, bad := wanted(c.query, "status", invoiceStatuses)
	if bad != nil {
		return *bad
	}
	types, bad := wanted(c.query, "type", invoiceTypes)
	if bad != nil {
		return *bad
	}
	var times [3]timeFilter
	for i, field := range []string{"issued_at", "due_at", "updated_at"} {
		if times[i], bad = timeFilters(c.query, field); bad != nil {
			return *bad
		}
	}
	all := h.invoices
	if id := c.query.Get("customer_id"); id != "" {
		all = nil
		if owner := h.byID[id]; owner != nil {
			all = owner.invoices
		}
	}
	var rows []*invoice
	for _, inv := range all {
		if inv.visible.After(c.now) || !inv.has(statuses) || (types != nil && !slices.Contains(types, "invoice")) {
			continue
		}
		if times[0].match(inv.issued) && times[1].match(inv.due) && times[2].match(inv.updated) {
			rows = append(rows, inv)
		}
	}
	if !h.opts.Profile.InvoiceSortIgnored {
		inOrder(c, rows, func(inv *invoice) (time.Time, time.Time) { return inv.issued, inv.issued }, "emitted_at")
	}
	find := func(id string) int { return slices.IndexFunc(rows, func(inv *invoice) bool { return inv.id == id }) }
	return cursor(c, rows, find, func(inv *invoice) string { return inv.id }, (*invoice).wire)
}

// has applies the status filter, whose words are more than the statuses.
func (inv *invoice) has(statuses []string) bool {
	if statuses == nil {
		return inv.status != "open"
	}
	return slices.ContainsFunc(statuses, func(want string) bool {
		switch want {
		case "all":
			return true
		case "finalized":
			return inv.status != "draft" && inv.status != "open"
		case "outstanding":
			return inv.status == "to_pay" || inv.status == "error"
		default:
			return inv.status == want
		}
	})
}

// seen is the invoice that the path names, if reads show it already.
func (h *hyperline) seen(c *call) *invoice {
	inv := h.invoiceBy[c.r.PathValue("id")]
	if inv == nil || inv.visible.After(c.now) {
		return nil
	}
	return inv
}

func (h *hyperline) getInvoice(c *call) answer {
	inv := h.seen(c)
	if inv == nil {
		return message(http.StatusNotFound, "Invoice not found")
	}
	return jsonAnswer(http.StatusOK, struct {
		wireInvoice
		Integrations []string `json:"integrations"`
	}{inv.wire(), []string{}})
}

// voidInvoice ends an unpaid invoice for good, its retries too.
func (h *hyperline) voidInvoice(c *call) answer {
	inv := h.seen(c)
	switch {
	case inv == nil:
		return message(http.StatusNotFound, "Invoice not found")
	case inv.status != "to_pay":
		return message(http.StatusBadRequest, "Only invoices to pay can be voided")
	}
	inv.status, inv.updated = "voided", c.now
	inv.charge.Status = inv.status
	for _, p := range inv.payments {
		if p.status == "pending" {
			p.status = "cancelled"
		}
	}
	return jsonAnswer(http.StatusOK, inv.wire())
}

// chargeInvoice tries to collect an unpaid invoice now, whole.
func (h *hyperline) chargeInvoice(c *call) answer {
	inv := h.seen(c)
	switch {
	case inv == nil:
		return message(http.StatusNotFound, "Invoice not found")
	case inv.status != "to_pay" && inv.status != "error", inv.collecting():
		return message(http.StatusBadRequest, "Only unpaid invoices can be charged")
	}
	h.attempt(inv, "charge", false, c.now)
	return jsonAnswer(http.StatusOK, inv.wire())
}
