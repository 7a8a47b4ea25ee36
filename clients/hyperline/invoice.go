package hyperline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"topupd/clients"
	"topupd/topup"
)

const invoicesPath = "/v2/invoices"

// readInvoice reads a bill. Credit notes and references to other bills are no
// bills: ok is false. Of one that cannot be read, i has what can, and says why.
func readInvoice(row clients.Object) (i topup.Invoice, ok bool, err error) {
	switch row.Text("type") {
	case "refund", "child_creditnote_ref":
		return topup.Invoice{}, false, nil
	}
	i = topup.Invoice{ID: row.ID("id"), Status: short(row.Text("status")), At: row.Time("issued_at")}
	if i.At.IsZero() {
		i.At = row.Time("updated_at") // drafts are not issued yet
	}
	if of, ok := row.Object("customer"); ok {
		i.Customer = topup.CustomerID(of.ID("id"))
	}
	i.RefundedAt = row.Time("refunded_at")
	i.Uncounted = i.Status == "consolidated" || i.Status == "charged_on_parent" // paid with another bill
	i.Detail = failureOf(row)
	err = errors.Join(readLines(row, &i), readAmounts(row, &i))
	if i.ID == "" || i.Customer == "" || i.At.IsZero() || i.Status == "" {
		err = fmt.Errorf("invoice %q without its id, customer, status or time", i.ID)
	} else if err != nil {
		err = fmt.Errorf("invoice %s: %s", i.ID, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	i.Payment, i.Unexpected = paymentOf(i)
	if err != nil {
		i.Unreadable, i.Unexpected = err.Error(), ""
		if i.Status == "closed" { // whatever was paid of it stays paid
			i.Payment = topup.PaymentPaid
		}
	}
	return i, err == nil, err
}

// readAmounts fills in what it is over, and what of it is paid.
func readAmounts(row clients.Object, i *topup.Invoice) error {
	code := row.Text("currency")
	currency, err := topup.ParseCurrency(code)
	if err != nil {
		return fmt.Errorf("the currency %.10q is none", code)
	}
	if i.Amount, err = minor(row, "amount_excluding_tax", currency); err != nil {
		return err
	}
	i.Paid, err = minor(row, "amount_paid", currency)
	return err
}

func minor(row clients.Object, key string, currency topup.Currency) (topup.Money, error) {
	text, err := row.Number(key)
	if err != nil {
		return topup.Money{}, err
	}
	m, err := topup.ParseMinor(text, currency)
	if err != nil {
		return topup.Money{}, fmt.Errorf("%s: %w", key, err)
	}
	return m, nil
}

// readLines finds out what the bill is for. A line that does not say counts as
// one for credits: an unpaid bill of unknown content stops purchases too (P9).
func readLines(row clients.Object, i *topup.Invoice) error {
	err := eachLine(row, func(product topup.ProductID, credit bool) {
		i.Lines++
		if product != "" && !slices.Contains(i.Products, product) {
			i.Products = append(i.Products, product)
		}
		i.Credit = i.Credit || credit
	})
	i.Credit = i.Credit || err != nil
	return err
}

// eachLine shows the lines of a bill: for which product ("" for none), and
// whether it is for credits or does not say for what.
func eachLine(row clients.Object, see func(product topup.ProductID, credit bool)) error {
	lines, ok := row.List("line_items")
	if !ok {
		return errors.New("line_items is missing")
	}
	for _, raw := range lines {
		line, err := clients.ParsePart(raw)
		if err != nil {
			return fmt.Errorf("a line is %w", err)
		}
		kind := line.Text("product_type")
		see(topup.ProductID(line.ID("product_id")), kind == "credit" || kind == "")
	}
	return nil
}

// paymentOf is what a status means for the money. The statuses of a bill are
// partly documented (docs/providers/hyperline.md); an unknown one may still be
// charged, so it is pending and shown to a person.
func paymentOf(i topup.Invoice) (p topup.Payment, unexpected string) {
	switch i.Status {
	case "paid":
		return topup.PaymentPaid, ""
	case "voided":
		return topup.PaymentVoid, ""
	case "closed":
		if i.Paid.Minor == 0 {
			return topup.PaymentVoid, ""
		}
		return topup.PaymentPaid, fmt.Sprintf("invoice %s is closed although %s of it was paid", i.ID, i.Paid)
	case "error", "late", "uncollectible", "partially_paid":
		return topup.PaymentFailed, ""
	case "consolidated", "charged_on_parent",
		"draft", "pending_approval", "changes_requested", "open", "missing_info", "pending_parent_concat",
		"pending_consolidation", "grace_period", "to_pay", "to_reconcile", "outstanding":
		return topup.PaymentPending, ""
	default:
		return topup.PaymentPending, fmt.Sprintf("invoice %s has the unknown status %q", i.ID, i.Status)
	}
}

// failureOf is why the last failed payment of the bill failed.
func failureOf(row clients.Object) string {
	list, _ := row.List("transactions")
	detail := ""
	for _, raw := range list {
		t, err := clients.ParsePart(raw)
		if err != nil || t.Text("status") != "failed" {
			continue
		}
		detail = short(t.Text("error_type"))
		if text := t.Text("error_message"); text != "" {
			detail += ": " + clients.Quote([]byte(text))
		}
	}
	return detail
}

// textOf is a JSON string; "" for everything else.
func textOf(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // anything else is no text
	return s
}

// newestInvoices asks for bills of every status, newest first. Without
// status=all, open ones are left out (Hyperline API reference, "List invoices",
// read 2026-11-20).
func newestInvoices() url.Values {
	return url.Values{"status": {"all"}, "sort": {"created_at"}, "order": {"desc"}}
}

// issuedLate is by how much later than its neighbours in the list a bill may
// have been issued: the list goes by creation, a draft is issued when it is done.
const issuedLate = 24 * time.Hour

// falling watches how a list of bills runs, newest first, give or take
// issuedLate: the order is asked for, and a parameter that is not known is
// ignored without a word.
type falling struct {
	bills        int
	oldest, last time.Time // issued
	risen        bool      // one was far newer than one before it: the list is in no order
}

func (f *falling) add(at time.Time) {
	f.risen = f.risen || f.bills > 0 && at.After(f.oldest.Add(issuedLate))
	if f.bills == 0 || at.Before(f.oldest) {
		f.oldest = at
	}
	f.bills++
	f.last = at
}

// reached tells whether the list, read in whole pages so far, holds everything
// issued since then. No order can be told from a few rows.
func (f falling) reached(since time.Time) bool {
	return f.bills >= pageSize && !f.risen && f.last.Before(since.Add(-issuedLate))
}

// invoicesOf reads the newest bills of a customer back to since, at most
// maxPages. whole is false if the list may hold more that matter.
func (r *reader) invoicesOf(ctx context.Context, id topup.CustomerID, maxPages int, since time.Time) (list []topup.Invoice, last clients.Response, whole bool, err error) {
	query := newestInvoices()
	query.Set("customer_id", string(id))
	seen := map[string]bool{}
	var order falling
	var bad error
	ended, err := r.cursors(ctx, "invoices", invoicesPath, query, maxPages, func(page cursorPage) bool {
		last = page.Response
		for _, i := range readInvoices(page.rows) {
			if i.Customer != id && i.Customer != "" {
				bad = fmt.Errorf("the filter by customer_id is ignored: invoice %s is %s's", i.ID, i.Customer)
				return false
			}
			if i.ID == "" || !seen[i.ID] {
				list = append(list, i)
			}
			if !seen[i.ID] && !i.At.IsZero() {
				order.add(i.At)
			}
			seen[i.ID] = true
		}
		return !order.reached(since)
	})
	if err == nil && bad != nil {
		err = malformed("invoices", "%v", bad)
	}
	return list, last, (ended || order.reached(since)) && err == nil, err
}

// readInvoices reads the bills of a page, those too that cannot be read whole.
func readInvoices(rows []clients.Object) []topup.Invoice {
	list := make([]topup.Invoice, 0, len(rows))
	for _, row := range rows {
		if i, ok, err := readInvoice(row); ok || err != nil {
			list = append(list, i)
		}
	}
	return list
}
