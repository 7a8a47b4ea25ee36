package talkover

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// Prepare freezes the request that charges the order's price. The body has no
// field for a currency, a reference or a key (Talkover docs, purchase-credits,
// read 2026-11-20), so the client keeps the price beside it, to compare it with
// what is charged. No I/O.
func (c *Client) Prepare(order topup.Order) (topup.Request, error) {
	if err := c.chargeable(order); err != nil {
		return topup.Request{}, err
	}
	body := fmt.Appendf(nil, `{"amount":%s`, order.Price.Amount())
	if order.PaymentMethodID != "" {
		id, err := json.Marshal(order.PaymentMethodID)
		if err != nil {
			return topup.Request{}, fmt.Errorf("talkover %s: payment method: %w", c.name, err)
		}
		body = fmt.Appendf(body, `,"payment_method_id":%s`, id)
	}
	body = append(body, '}')
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepared[string(body)] = order.Price
	return topup.Request{Method: http.MethodPost, Path: purchasePath, Body: body}, nil
}

// chargeable refuses orders that Talkover cannot carry out as they are. The
// amount must be above zero; no upper bound is documented for it.
func (c *Client) chargeable(order topup.Order) error {
	if err := c.owns(order.Target); err != nil {
		return err
	}
	if order.Price.Minor <= 0 {
		return fmt.Errorf("talkover %s: a charge of %s is not above zero", c.name, order.Price)
	}
	whole, err := topup.ParseCredits(order.Price.Amount())
	switch {
	case err != nil:
		return fmt.Errorf("talkover %s: charge: %w", c.name, err)
	case order.Credits != whole:
		return fmt.Errorf("talkover %s: a charge of %s buys %s credits, not %s", c.name, order.Price, whole, order.Credits)
	case order.PriceID != "":
		return fmt.Errorf("talkover %s: there are no bundle prices such as %.60q: use buy.charge", c.name, order.PriceID)
	case order.ExpiresAt != nil:
		return fmt.Errorf("talkover %s: credits do not expire: leave out expires", c.name)
	case order.PaymentMethodID != "" && !validID(order.PaymentMethodID):
		return fmt.Errorf("talkover %s: payment method %.60q is not an id of 1 to %d printable characters", c.name, order.PaymentMethodID, maxID)
	default:
		return nil
	}
}

// Connect opens a fresh connection for one purchase, with the user's token.
// After an error it is certain that nothing was sent.
func (c *Client) Connect(ctx context.Context) (topup.Sender, error) {
	conn, err := c.api.Dial(ctx, c.user)
	if err != nil {
		return nil, fmt.Errorf("talkover %s: %w", c.name, err)
	}
	return &sender{client: c, conn: conn}, nil
}

// sender is one connection that carries at most one purchase.
type sender struct {
	client *Client
	conn   *clients.Sender
}

// Send charges once (P4). The key stays here: Talkover documents none, and
// net/http resends a request that has an Idempotency-Key header (Go 1.26
// net/http, Request.isReplayable, read 2026-11-20).
//
// Only a request that this process has prepared is sent: of any other the
// currency is unknown, and an answer to it could not be checked.
func (s *sender) Send(ctx context.Context, request topup.Request, _ string) topup.Answer {
	price, ok := s.client.asked(request)
	if !ok {
		return topup.Answer{
			Verdict: topup.NotRun, Reason: topup.FailedInvalid,
			Detail: "not a request that this process has prepared: nothing was sent",
		}
	}
	raw := s.conn.Send(ctx, clients.Outgoing{Op: "purchase", Method: request.Method, Path: request.Path, Body: request.Body})
	a := judge(raw, price, s.client.quote)
	a.Detail = clients.Redact(a.Detail, s.client.user, s.client.env) // values of the answer are in it too (P17)
	return a
}

// Close gives the connection up.
func (s *sender) Close() error { return s.conn.Close() }

// asked is the price that the request was prepared for.
func (c *Client) asked(r topup.Request) (topup.Money, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	price, ok := c.prepared[string(r.Body)]
	return price, ok && r.Method == http.MethodPost && r.Path == purchasePath
}

// Books says that there are none: no list of purchases, transactions or invoices
// is documented, and Talkover's own history lists its own recharges only.
func (c *Client) Books(context.Context, topup.Target, time.Time) (topup.Books, error) {
	return topup.Books{}, topup.ErrNoBooks
}

// Follow has nothing to read for the same reason: Books without rows, one for
// each purchase. A purchase here is credited by a reading of the balance.
func (c *Client) Follow(_ context.Context, purchases []topup.Purchase, tell func(topup.Purchase, topup.Books, error)) {
	for _, p := range purchases {
		err := c.owns(p.Target)
		if err != nil {
			err = fmt.Errorf("following purchase %s: %w", p.ID, err)
		}
		tell(p, topup.Books{}, err)
	}
}
