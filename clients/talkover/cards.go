package talkover

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"topupd/clients"
	"topupd/topup"
)

// PaymentMethods is a fingerprint of the cards of the environment. It changes
// when one is added, removed, renewed or made the default, which is when a
// customer whose charges were declined deserves another try.
func (c *Client) PaymentMethods(ctx context.Context, target topup.Target) (fingerprint string, err error) {
	if err := c.owns(target); err != nil {
		return "", err
	}
	ask := c.asEnvironment("payment_methods", cardsPath, nil)
	answer, err := c.lookInside(ctx, ask)
	if err != nil {
		return "", err
	}
	cards, err := readCards(answer.Object)
	if err != nil {
		return "", c.unreadable(ask, err)
	}
	sum := sha256.Sum256([]byte(strings.Join(cards, "\n")))
	return hex.EncodeToString(sum[:8]), nil
}

// readCards tells the cards as sorted lines. The list has no documented order,
// and cards have no status (Talkover docs, list-auto-topup-payment-methods, read
// 2026-11-20).
func readCards(o clients.Object) ([]string, error) {
	methods, ok := o.List("data")
	if !ok {
		return nil, unlike(o, "data", "a list")
	}
	cards := make([]string, 0, len(methods))
	for _, raw := range methods {
		m, err := clients.ParsePart(raw)
		if err != nil { // it is there all the same
			cards = append(cards, string(raw))
			continue
		}
		card, _ := m.Object("card")
		cards = append(cards, fmt.Sprintf("%s %s %s %s/%s", cmp.Or(m.ID("id"), string(m.Raw("id"))), m.Raw("is_default"),
			card.Raw("last4"), card.Raw("exp_month"), card.Raw("exp_year")))
	}
	slices.Sort(cards)
	return cards, nil
}
