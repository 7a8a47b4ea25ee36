package talkover

import (
	"context"

	"topupd/topup"
)

// Account tells whether the token's owner is still in the environment: Talkover has
// no customers that could be archived.
func (c *Client) Account(ctx context.Context, target topup.Target) (topup.Account, error) {
	if err := c.owns(target); err != nil {
		return topup.Account{}, err
	}
	who, err := c.look(ctx, c.asUser("user", userPath))
	if err != nil {
		return topup.Account{}, err
	}
	return topup.Account{Inactive: c.environmentProblem(who)}, nil
}
