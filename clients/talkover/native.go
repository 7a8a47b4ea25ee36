package talkover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// native is Talkover's own auto top-up as its settings have it.
type native struct {
	configured bool           // false: it never was, so it is off
	enabled    bool           // is_enabled: the master switch, which stops the monthly recharge too
	scheduled  bool           // scheduled_payment_enabled
	currency   topup.Currency // "" when not said
	text       string         // what it does, for a person; "" when it does nothing
	age        time.Duration  // for which a cache on the way had kept it
}

// on tells whether anything may be bought by it. A monthly recharge under a
// switch that is off should not run (Talkover docs, disable-auto-topup, read
// 2026-11-20), but counts: the doubt costs nothing.
func (n native) on() bool { return n.enabled || n.scheduled }

// agrees compares the settings with the flag beside the balance. What exactly
// the flag means is not documented, so it may stand for the master switch or for
// anything being on.
func (n native) agrees(flag bool) bool { return flag == n.enabled || flag == n.on() }

// settings reads the native auto top-up. What Talkover answers when it was never
// configured is not documented, so these mean that it is off: a 404, the code
// that the test page has for it, and settings in which everything is null.
func (c *Client) settings(ctx context.Context) (native, error) {
	ask := c.asEnvironment("native_settings", settingsPath, nil)
	answer, err := c.lookInside(ctx, ask)
	switch {
	case neverConfigured(err):
		return native{}, nil
	case err != nil:
		return native{}, err
	case answer.Present("data") && !answer.Twice("data") && !answer.Has("data"):
		return native{age: answer.age}, nil // null
	}
	data, err := needObject(answer.Object, "data")
	if err != nil {
		return native{}, c.unreadable(ask, err)
	}
	n, err := readSettings(data)
	if err != nil {
		return native{}, c.unreadable(ask, err)
	}
	n.age = answer.age
	return n, nil
}

// neverConfigured recognises the refusals that can mean it, in the provider's
// own shapes only: a proxy's 404 says nothing about settings. One that a cache
// kept is older than what may have been configured since.
func neverConfigured(err error) bool {
	e, ok := errors.AsType[*clients.Error](err)
	if !ok || e.Age > 0 {
		return false
	}
	f, own := parseFailure(e.Status, e.Body)
	return own && (e.Status == http.StatusNotFound || e.Status == http.StatusUnprocessableEntity && f.Code == codeNotConfigured)
}

func readSettings(data clients.Object) (n native, err error) {
	if allNull(data) {
		return n, nil
	}
	n.configured = true
	if n.enabled, err = needFlag(data, "is_enabled"); err != nil {
		return n, err
	}
	if data.Present("scheduled_payment_enabled") {
		if n.scheduled, err = needFlag(data, "scheduled_payment_enabled"); err != nil {
			return n, err
		}
	}
	// The currency is in the example and not in the list of fields (Talkover
	// docs, get-auto-topup-settings, read 2026-11-20).
	if data.Has("currency") {
		if n.currency, err = needCurrency(data); err != nil {
			return n, err
		}
	}
	n.text = describe(n, data)
	return n, nil
}

// allNull recognises settings that exist only as a row of nothing. Each key must
// be there: an object without them is some other object.
func allNull(data clients.Object) bool {
	for _, key := range []string{"is_enabled", "threshold_amount", "recharge_amount"} {
		if !data.Present(key) || data.Has(key) || data.Twice(key) {
			return false
		}
	}
	return !data.Has("scheduled_payment_enabled")
}

// describe says what the settings do. The amounts decide nothing, so one that
// cannot be read is no error.
func describe(n native, data clients.Object) string {
	amount := func(key string) string {
		credits, err := needCredits(data, key)
		if err != nil {
			return "an unreadable amount"
		}
		return credits.String()
	}
	threshold := fmt.Sprintf("charges %s when the balance falls below %s", amount("recharge_amount"), amount("threshold_amount"))
	monthly := fmt.Sprintf("charges %s once a month", amount("scheduled_amount"))
	switch {
	case n.enabled && n.scheduled:
		return "Talkover's own auto top-up " + threshold + ", and " + monthly
	case n.enabled:
		return "Talkover's own auto top-up " + threshold
	case n.scheduled:
		return "Talkover's own monthly recharge is set up, though its master switch is off: it " + monthly
	default:
		return ""
	}
}
