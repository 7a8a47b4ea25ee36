package hyperline

import (
	"context"
	"fmt"
	"net/url"

	"topupd/clients"
	"topupd/topup"
)

// maxUnpaidPages bounds the list of unpaid bills: 10,000 of them.
const maxUnpaidPages = 100

// Unpaid counts the unpaid bills for credits of every customer of the account.
//
// It asks for the documented status "outstanding" (Hyperline API reference, "List
// invoices", read 2026-11-20), which leaves drafts and the like out. So the counts
// may be too low, and whether a customer may be bought for is never decided by
// them: they tell whose confirm read is worth making. With hurry it goes before
// first confirm reads, of which it saves more than it takes.
func (c *Client) Unpaid(ctx context.Context, hurry bool) (map[topup.CustomerID]topup.Debt, error) {
	r := c.retrying()
	if hurry {
		r.class = clients.Confirming
	}
	found, seen := map[topup.CustomerID]topup.Debt{}, map[string]bool{}
	query := url.Values{"status": {"outstanding"}, "sort": {"created_at"}, "order": {"desc"}}
	var ignored error
	ended, err := r.cursors(ctx, "invoices", invoicesPath, query, maxUnpaidPages, func(page cursorPage) bool {
		for _, row := range page.rows {
			i, ok, err := readInvoice(row)
			switch {
			case err != nil || !ok || seen[i.ID]:
				continue // the confirm read says what is wrong with it
			case i.Payment.Ended():
				ignored = malformed("invoices", "the filter by status is ignored: invoice %s is %s", i.ID, i.Status)
				return false
			}
			seen[i.ID] = true
			add(found, i)
		}
		return true
	})
	switch {
	case ignored != nil:
		err = ignored
	case err == nil && !ended:
		err = malformed("invoices", "the account has more than %d unpaid bills", maxUnpaidPages*pageSize)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: listing unpaid bills: %w", c.name, err)
	}
	return found, nil
}

func add(found map[topup.CustomerID]topup.Debt, i topup.Invoice) {
	debt := found[i.Customer]
	switch {
	case !i.Credit:
		return
	case i.Payment == topup.PaymentFailed:
		debt.Failed++
	case i.Payment == topup.PaymentPending && !i.Uncounted:
		debt.Pending++
	}
	found[i.Customer] = debt
}
