package hyperline

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"topupd/clients"
	"topupd/topup"
)

// purchaseBody is the whole request: nothing in it can name the purchase, its
// currency or its payment method (Hyperline API reference, "Purchase credits",
// read 2026-11-20). The order of the fields is the order of the bytes, which are
// frozen with the purchase: under one key, other bytes are a 417.
type purchaseBody struct {
	Credits json.Number  `json:"credit_count"`
	PriceID string       `json:"price_id,omitempty"`
	Amount  *json.Number `json:"amount_excluding_tax,omitempty"` // minor units, for all the credits together
	Expires string       `json:"expires_at,omitempty"`           // whole seconds, UTC
}

// Prepare freezes the request that buys the order: exactly one of a bundle price
// and an amount, as the provider demands one and does not document both.
func (c *Client) Prepare(o topup.Order) (topup.Request, error) {
	customer, product := string(o.Target.Customer), string(o.Target.Product)
	switch {
	case o.Target.Provider != c.id:
		return topup.Request{}, fmt.Errorf("preparing a purchase: %s is not a target of %s", o.Target.Provider, c.id)
	case !clients.ValidID(customer) || !clients.ValidID(product):
		return topup.Request{}, fmt.Errorf("preparing a purchase: %.60q %.60q is not a customer and a product", customer, product)
	case o.Credits <= 0 || o.Credits > topup.MaxCredits:
		return topup.Request{}, fmt.Errorf("preparing a purchase for %s: %s credits cannot be bought", customer, o.Credits)
	case o.Price.Minor <= 0 || o.Price.Minor > topup.MaxMinor:
		return topup.Request{}, fmt.Errorf("preparing a purchase for %s: %s is no price", customer, o.Price)
	case o.PaymentMethodID != "":
		return topup.Request{}, fmt.Errorf("preparing a purchase for %s: Hyperline does not let payment method %.60q be chosen: leave payment_method_id out", customer, o.PaymentMethodID)
	}
	body := purchaseBody{Credits: json.Number(o.Credits.String())}
	if o.PriceID != "" {
		if !clients.ValidID(o.PriceID) {
			return topup.Request{}, fmt.Errorf("preparing a purchase for %s: %.60q is not a price id", customer, o.PriceID)
		}
		body.PriceID = o.PriceID
	} else {
		amount := json.Number(fmt.Sprint(o.Price.Minor))
		body.Amount = &amount
	}
	if o.ExpiresAt != nil {
		body.Expires = o.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z")
	}
	text, err := json.Marshal(body)
	if err != nil {
		return topup.Request{}, fmt.Errorf("preparing a purchase for %s: %w", customer, err)
	}
	return topup.Request{
		Method: http.MethodPost,
		Path:   path("/v1/customers/", customer, "/credits/", product, purchaseSuffix),
		Body:   text,
	}, nil
}

const purchaseSuffix = "/purchase"

// sender is one connection for one purchase.
type sender struct {
	*clients.Sender
	token clients.Token
}

// Connect opens a fresh connection for one purchase. After an error nothing was
// sent.
func (c *Client) Connect(ctx context.Context) (topup.Sender, error) {
	s, err := c.api.Dial(ctx, c.token)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return sender{Sender: s, token: c.token}, nil
}

// minKey is the least number of characters of an idempotency key (Hyperline docs,
// /developers/idempotent-requests, read 2026-11-20).
const minKey = 16

// Send puts the purchase on the wire at most once and says what came of it. A
// request that is no purchase (P11), or has no proper key, is not sent.
func (s sender) Send(ctx context.Context, r topup.Request, key string) topup.Answer {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Path, "/v1/customers/") || !strings.HasSuffix(r.Path, purchaseSuffix) {
		return topup.Answer{Verdict: topup.NotRun, Reason: topup.FailedInvalid, Detail: "the stored request is not a purchase; nothing was sent"}
	}
	if len(key) < minKey {
		return topup.Answer{Verdict: topup.NotRun, Reason: topup.FailedInvalid, Detail: "the idempotency key is too short; nothing was sent"}
	}
	raw := s.Sender.Send(ctx, clients.Outgoing{
		Op: "purchase", Method: r.Method, Path: r.Path, Body: r.Body,
		// Only this spelling is honoured; X-Idempotency-Key is ignored (seen in the
		// sandbox by others, docs/providers/hyperline.md).
		Header: http.Header{"Idempotency-Key": {key}},
	})
	a := answer(raw, s.token)
	a.Detail = clients.Redact(a.Detail, s.token) // values of the answer are in it too (P17)
	return a
}
