package hyperline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"topupd/topup"
)

// paymentMethod is one way in which a customer can pay.
type paymentMethod struct{ id, kind, status string }

// PaymentMethods is a fingerprint of the customer's payment methods: it changes
// when one is added or removed, or changes its status.
func (c *Client) PaymentMethods(ctx context.Context, t topup.Target) (fingerprint string, err error) {
	methods, err := c.retrying().paymentMethods(ctx, t.Customer)
	if err != nil {
		return "", fmt.Errorf("%s: reading the payment methods of %s: %w", c.name, t.Customer, err)
	}
	h := sha256.New()
	for _, m := range methods {
		_, _ = fmt.Fprintf(h, "%q %q %q\n", m.id, m.kind, m.status) // a hash never fails to write
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// paymentMethods reads them all, ordered by id.
func (r *reader) paymentMethods(ctx context.Context, id topup.CustomerID) ([]paymentMethod, error) {
	const op, maxPages = "payment_methods", 5
	var methods []paymentMethod
	for n := range maxPages {
		page, err := r.window(ctx, op, path("/v1/customers/", string(id), "/payment-methods"), nil, n*pageSize)
		if err != nil {
			return nil, err
		}
		for _, row := range page.rows {
			// One that cannot be read is there all the same, and not what is charged at once.
			methods = append(methods, paymentMethod{id: row.ID("id"), kind: row.Text("type"), status: row.Text("status")})
		}
		if page.last(n * pageSize) {
			slices.SortFunc(methods, func(a, b paymentMethod) int { return strings.Compare(a.id, b.id) })
			return methods, nil
		}
	}
	return nil, malformed(op, "customer %s has more than %d payment methods", id, maxPages*pageSize)
}

// cardKinds are paid by card at once; the other types take days (Hyperline API
// reference, "List payment methods", read 2026-11-20).
var cardKinds = []string{"card", "apple_pay", "google_pay", "stripe_link"}

// kindOf says in one word how a customer with these methods pays. Which of
// several is charged is not documented: a card only if nothing slower is there.
func kindOf(methods []paymentMethod) topup.PaymentMethod {
	cards, others := 0, 0
	for _, m := range methods {
		switch {
		case m.status != "active" && m.status != "pending":
		case slices.Contains(cardKinds, m.kind):
			cards++
		default:
			others++
		}
	}
	switch {
	case others > 0:
		return topup.PaymentOther
	case cards > 0:
		return topup.PaymentCard
	case len(methods) > 0:
		return topup.PaymentErrored
	default:
		return topup.PaymentMissing
	}
}
