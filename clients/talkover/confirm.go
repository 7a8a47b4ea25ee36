package talkover

import (
	"context"
	"fmt"

	"topupd/topup"
)

// Confirm reads everything that must hold right before buying the order: the
// balance, Talkover's own auto top-up and its recharges, and the environment, in
// this order, four requests. What cannot be read is an error, or a bad reading:
// either way nothing is bought.
//
// The recharges come after the balance, so that one that it does not show yet is
// still seen as pending or as newer than the balance. The environment comes
// last: a purchase fills whichever is current, and a person may switch it at any
// time.
func (c *Client) Confirm(ctx context.Context, order topup.Order) (topup.Confirmation, error) {
	if err := c.owns(order.Target); err != nil {
		return topup.Confirmation{}, err
	}
	seen, err := c.balance(ctx, c.asUser("balance", balancePath))
	if err != nil {
		return topup.Confirmation{}, err
	}
	own, err := c.settings(ctx)
	if err != nil {
		return topup.Confirmation{}, err
	}
	past, err := c.history(ctx)
	if err != nil && (own.configured || !neverConfigured(err)) {
		return topup.Confirmation{}, err
	}
	conf := topup.Confirmation{Reading: seen.reading}
	// As old as the oldest of what was read: caches on the way may have kept it.
	conf.Reading.ReadAt = conf.Reading.ReadAt.Add(-max(0, own.age-seen.age, past.age-seen.age))
	if conf.Topups, err = topups(past.rows, past.now); err != nil {
		return topup.Confirmation{}, fmt.Errorf("talkover %s: native history: %w", c.name, err)
	}
	who, err := c.owner(ctx)
	if err != nil {
		return topup.Confirmation{}, err
	}
	conf.ServerTime = who.serverTime
	conf.EnvironmentProblem = c.environmentProblem(who)
	conf.CurrencyProblem = currencyProblem(order.Price.Currency, seen.reading.Account.Currency, own.currency)
	conf.Reading.Native = nativeText(seen, own)
	if !order.Native {
		conf.NativeProblem = conf.Reading.Native
	}
	if text := underWay(past.rows, past.now); text != "" { // also where native top-up is allowed: it is the same need
		conf.NativeProblem = text
	}
	return conf, nil
}

// owner asks who the user token speaks for, and where that person is now.
func (c *Client) owner(ctx context.Context) (reply, error) {
	ask := c.asUser("user", userPath)
	who, err := c.look(ctx, ask)
	if err == nil {
		err = c.current(ask, who.age)
	}
	return who, err
}

// environmentProblem compares the user's current environment with the one that
// this connection is for. Which wallet a purchase fills when they differ is not
// documented.
func (c *Client) environmentProblem(who reply) string {
	current, err := needID(who.Object, "current_environment_id")
	switch {
	case err != nil:
		return "Talkover does not say in which environment the token's owner is: " + err.Error()
	case topup.CustomerID(current) != c.environment:
		return fmt.Sprintf("the token's owner is in environment %s, not %s: switch back in the dashboard, or use a user of its own", current, c.environment)
	default:
		return ""
	}
}

// currencyProblem compares the order's currency with every one that the
// provider named.
func currencyProblem(want topup.Currency, named ...topup.Currency) string {
	for _, got := range named {
		if got != "" && got != want {
			return fmt.Sprintf("the account is in %s, the configured charge in %s", got, want)
		}
	}
	return ""
}

// nativeText says why Talkover may be buying by itself; "" when it certainly
// does not. Two answers that disagree count as yes (P8).
func nativeText(seen seenBalance, own native) string {
	switch {
	case own.on():
		return own.text
	case !own.agrees(seen.native) && seen.reading.Bad == "":
		return seen.reading.Native + ", but its settings say that it is off"
	default:
		return seen.reading.Native
	}
}
