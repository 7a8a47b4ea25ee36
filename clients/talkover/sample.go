package talkover

import (
	"context"
	"fmt"
	"time"

	"topupd/topup"
)

var _ topup.Sampler = (*Client)(nil)

// Sample reads the balance between two looks at the user's current environment,
// three requests. A person who switches it, even for a moment, is seen: two
// balances are compared only when both are this environment's.
func (c *Client) Sample(ctx context.Context, target topup.Target) (topup.Sample, error) {
	if err := c.owns(target); err != nil {
		return topup.Sample{}, err
	}
	before, err := c.owner(ctx)
	if err != nil {
		return topup.Sample{}, err
	}
	s := topup.Sample{EnvironmentProblem: c.environmentProblem(before)}
	if s.EnvironmentProblem != "" {
		return s, nil
	}
	seen, err := c.balance(ctx, c.asUser("balance", balancePath))
	if err != nil {
		return topup.Sample{}, err
	}
	after, err := c.owner(ctx)
	if err != nil {
		return topup.Sample{}, err
	}
	s.Reading, s.EnvironmentProblem = seen.reading, c.environmentProblem(after)
	return s, nil
}

// Recharges lists Talkover's own recharges: those since then that succeeded, and
// those that are under way. An environment that never had an auto top-up has
// none. Entries stay in the list as far as is known (Talkover docs,
// get-auto-topup-history, read 2026-11-20, says nothing about their end), so it
// tells about the past too.
func (c *Client) Recharges(ctx context.Context, target topup.Target, since time.Time) (done, pending []topup.Topup, err error) {
	if err := c.owns(target); err != nil {
		return nil, nil, err
	}
	past, err := c.history(ctx)
	if neverConfigured(err) {
		return nil, nil, nil
	}
	if err == nil {
		err = c.current(c.asEnvironment("native_history", historyPath, nil), past.age)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, r := range past.rows {
		over := r.status == statusSucceeded
		if r.status == statusFailed || over && r.at.Before(since) || !over && r.at.Before(past.now.Add(-pendingFor)) {
			continue
		}
		t, err := r.topup()
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("talkover %s: native history: recharge %s: %w", c.name, r.id, err)
		case over:
			done = append(done, t)
		default:
			pending = append(pending, t)
		}
	}
	return done, pending, nil
}
