package hyperline

import (
	"context"
	"fmt"

	"topupd/topup"
)

// Account reads a customer from Hyperline, not from memory. One that Hyperline does
// not know is inactive. A customer that is read alone does not say how it pays.
func (c *Client) Account(ctx context.Context, t topup.Target) (topup.Account, error) {
	who, err := c.urgent().oneCustomer(ctx, t.Customer)
	if err != nil {
		return topup.Account{}, fmt.Errorf("%s: customer %s: %w", c.name, t.Customer, err)
	}
	return who.account(), nil
}
