package talkover

import (
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
	methods, err := needObjects(o, "data")
	if err != nil {
		return nil, err
	}
	cards := make([]string, 0, len(methods))
	for i, m := range methods {
		id, err := needID(m, "id")
		if err != nil {
			return nil, fmt.Errorf("data[%d]: %w", i, err)
		}
		card, _ := m.Object("card")
		cards = append(cards, fmt.Sprintf("%s %s %s %s/%s", id, m.Raw("is_default"),
			card.Raw("last4"), card.Raw("exp_month"), card.Raw("exp_year")))
	}
	slices.Sort(cards)
	return cards, nil
}
