package doctor

import (
	"context"
	"net/http"
	"slices"

	"topupd/clients"
	"topupd/rules"
	"topupd/topup"
)

// The paths that are read at Talkover, each with the one kind of token that it
// takes (Talkover docs, get-credits-balance and get-auto-topup-settings, read
// 2026-11-20).
const (
	userPath     = "/api/user"
	balancePath  = "/api/v1/credits/balance"
	settingsPath = "/api/v1/auto-topup/settings"
	cardsPath    = "/api/v1/auto-topup/payment-methods"
)

// talkover looks at one environment.
func (e *examination) talkover(ctx context.Context) {
	ok := e.accepted(ctx, "user token", "user_token_file", userPath, e.Provider.UserToken)
	e.clock()
	e.rate(e.Provider.RateLimit.Requests)
	if !e.accepted(ctx, "environment token", "environment_token_file", settingsPath, e.Provider.EnvironmentToken) || !ok {
		return
	}
	e.current(ctx)
	e.wallet(ctx)
	e.cards(ctx)
}

// accepted tries a token where its kind is taken. Never configured native
// settings are a 404 or 422 in the API's own shape: the token was good.
func (e *examination) accepted(ctx context.Context, name, key, path string, token clients.Token) bool {
	_, _, err := e.get(ctx, "token", path, nil, token)
	switch status(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.say(name, Fail, "check "+key+": Talkover needs one of each kind", "refused: %v", err)
		return false
	case http.StatusNotFound, http.StatusUnprocessableEntity:
		err = nil
	}
	if err != nil {
		e.say(name, Fail, "try again; topupd would wait", "could not be tried: %v", err)
		return false
	}
	e.say(name, OK, "", "accepted")
	return true
}

// current holds the user's environment against the configured one: a purchase
// fills whichever is current.
func (e *examination) current(ctx context.Context) {
	o, _, err := e.get(ctx, "user", userPath, nil, e.Provider.UserToken)
	switch got := o.ID("current_environment_id"); {
	case err != nil:
		e.say("environment", Fail, "try again", "%v", err)
	case got == e.Provider.EnvironmentID:
		e.say("environment", OK, "", "the token's owner is in %s", got)
	default:
		e.say("environment", Fail, "switch back in the dashboard, or use a user of its own: nothing is bought until then", "the token's owner is in %q, configured is %s", got, e.Provider.EnvironmentID)
	}
}

// wallet reads the balance and what Talkover itself does about it, as the daemon
// does right before buying.
func (e *examination) wallet(ctx context.Context) {
	readings := e.customers(ctx)
	if len(readings) != 1 || readings[0].Bad != "" {
		return
	}
	r := readings[0]
	for _, rule := range e.mine() {
		if i := slices.IndexFunc(rule.Buy.Bundles, func(b rules.Bundle) bool { return b.Price.Currency != r.Account.Currency }); i >= 0 {
			e.say("currency", Fail, "correct rule "+rule.Name, "the account is in %s, the rule charges %s", r.Account.Currency, rule.Buy.Bundles[i].Price)
			return
		}
	}
	e.say("currency", OK, "", "the account is in %s", r.Account.Currency)
	e.say("balance age", OK, "", "as_of was %s before the request", max(0, r.ReadAt.Sub(r.RefreshedAt)).Round(timeUnit))
	order := topup.Order{Target: r.Target, Credits: topup.Credit, Price: topup.Money{Minor: 1, Currency: r.Account.Currency}}
	conf, err := e.Client.Confirm(ctx, order)
	switch {
	case err != nil:
		e.say("native history", Fail, "nothing is bought while it cannot be read", "%v", err)
	case conf.NativeProblem != "":
		e.say("native history", Warn, "switch Talkover's own top-up off, or allow it (native_auto_topup)", "%s", conf.NativeProblem)
	default:
		e.say("native history", OK, "", "settings and history can be read; %s in the last 24 h", many(len(conf.Topups), "recharge"))
	}
}

// cards counts the cards that a charge can use.
func (e *examination) cards(ctx context.Context) {
	o, _, err := e.get(ctx, "payment_methods", cardsPath, nil, e.Provider.EnvironmentToken)
	if err != nil {
		e.say("cards", Fail, "try again", "%v", err)
		return
	}
	rows := objects(o)
	usual := count(rows, func(r clients.Object) bool { is, ok := r.Bool("is_default"); return ok && is })
	known := map[string]bool{}
	for _, r := range rows {
		known[r.ID("id")] = true
	}
	for _, rule := range e.mine() {
		if id := rule.Buy.PaymentMethodID; id != "" && !known[id] {
			e.say("cards", Fail, "correct payment_method_id in rule "+rule.Name, "the card %s is not there", id)
			return
		}
	}
	switch {
	case len(rows) == 0:
		e.say("cards", Warn, "add a card in the dashboard: nothing can be charged", "none")
	case usual != 1:
		e.say("cards", Warn, "make one of them the default", "%s, %d of them the default", many(len(rows), "card"), usual)
	default:
		e.say("cards", OK, "", "%s, one of them the default", many(len(rows), "card"))
	}
}
