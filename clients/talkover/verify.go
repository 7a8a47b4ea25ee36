package talkover

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

// allPages bounds the history of one comparison, inclusive: ten thousand
// recharges.
const allPages = 100

// AllRecharges lists Talkover's own recharges of the environment since then that
// added credits, however long ago, after everything else that needs the rate
// budget. An environment that never had an auto top-up has none.
func (c *Client) AllRecharges(ctx context.Context, target topup.Target, since time.Time) ([]topup.Topup, error) {
	if err := c.owns(target); err != nil {
		return nil, err
	}
	past, err := c.historyBack(ctx, pass{pages: allPages, from: func(time.Time) time.Time { return since }})
	if neverConfigured(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var done []topup.Topup
	for _, r := range past.rows {
		if r.status != statusSucceeded || r.at.Before(since) {
			continue
		}
		t, err := r.topup()
		if err != nil {
			return nil, fmt.Errorf("talkover %s: native history: recharge %s: %w", c.name, r.id, err)
		}
		done = append(done, t)
	}
	return done, nil
}
