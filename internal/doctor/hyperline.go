package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"topupd/clients"
	"topupd/topup"
)

// The lists that the daemon reads at Hyperline.
const (
	creditsPath   = "/v1/customers/credits"
	customersPath = "/v2/customers"
	invoicesPath  = "/v2/invoices"
	productsPath  = "/v1/products"
)

// offering is a client that knows what the provider sells.
type offering interface {
	Offer(context.Context, topup.Order) (problem string, err error)
}

// hyperline looks at everything that a daemon would rely on, in the order in
// which it would fail.
func (e *examination) hyperline(ctx context.Context) {
	ok := e.token(ctx)
	e.environment()
	e.clock()
	e.rate(e.Provider.RateLimit.Reads)
	if !ok {
		return
	}
	e.scopes(ctx)
	e.prices(ctx)
	readings := e.customers(ctx)
	e.data(ctx)
	e.invoices(ctx)
	e.rows(ctx, readings)
	e.skip(ctx)
}

// token asks for one customer: 401 means that it is refused.
func (e *examination) token(ctx context.Context) bool {
	_, _, err := e.get(ctx, "customers", customersPath, url.Values{"limit": {"1"}}, e.Provider.Token)
	switch {
	case status(err) == http.StatusUnauthorized:
		e.say("token", Fail, "make sure that the key was not revoked, and is the one in the token file", "refused: %v", err)
		return false
	case status(err) == http.StatusForbidden:
		e.say("token", OK, "", "accepted")
	case err != nil:
		e.say("token", Fail, "try again; topupd would wait", "could not be tried: %v", err)
		return false
	default:
		e.say("token", OK, "", "accepted, %s", kindOfKey(e.Provider.Token.Reveal()))
	}
	return true
}

// Keys have a documented prefix (Hyperline docs, /developers/authentication,
// read 2026-11-20).
func kindOfKey(key string) string {
	switch {
	case strings.HasPrefix(key, testKey):
		return "a test_ key"
	case strings.HasPrefix(key, "prod_"):
		return "a prod_ key"
	default:
		return "a key without a known prefix"
	}
}

const (
	testKey     = "test_"
	sandboxHost = "sandbox.api.hyperline.co"
	liveHost    = "api.hyperline.co"
)

// environment holds the key against the host.
func (e *examination) environment() {
	host, key := strings.ToLower(e.Provider.BaseURL.Hostname()), kindOfKey(e.Provider.Token.Reveal())
	switch {
	case e.Provider.Loopback():
		e.say("environment", OK, "", "this machine: an emulator, with %s", key)
	case host == sandboxHost && key == "a test_ key":
		e.say("environment", OK, "", "the sandbox, with %s: no real money", key)
	case host == liveHost && key == "a prod_ key":
		e.say("environment", OK, "", "production, with %s: real money", key)
	default:
		e.say("environment", Warn, "use a prod_ key with "+liveHost+", a test_ key with "+sandboxHost, "%s with %s", host, key)
	}
}

// scopes tries every list that the daemon reads. What may be written shows only
// when something is bought.
func (e *examination) scopes(ctx context.Context) {
	var refused []string
	lists := map[string]string{"credits": creditsPath, "customers": customersPath, "products": productsPath, "invoices": invoicesPath}
	for _, name := range []string{"credits", "customers", "products", "invoices"} {
		one := url.Values{"take": {"1"}}
		if name == "customers" || name == "invoices" {
			one = url.Values{"limit": {"1"}}
		}
		if _, _, err := e.get(ctx, name, lists[name], one, e.Provider.Token); err != nil {
			refused = append(refused, fmt.Sprintf("%s (%d)", name, status(err)))
		}
	}
	if len(refused) > 0 {
		e.say("scopes", Fail, "give the key the rights to read credits, customers, products and invoices, and to write credits", "cannot be read: %s", strings.Join(refused, ", "))
		return
	}
	e.say("scopes", OK, "", "credits, customers, products and invoices can be read; whether credits may be bought shows at the first purchase")
}

// prices holds what the rules buy against what the provider sells (P10).
func (e *examination) prices(ctx context.Context) {
	client, ok := e.Client.(offering)
	if !ok {
		return
	}
	for _, r := range e.mine() {
		for _, b := range r.Buy.Bundles {
			name := "price " + either(b.PriceID, "of "+r.Name)
			problem, err := client.Offer(ctx, topup.Order{
				Target:  topup.Target{Provider: e.id, Product: r.Product},
				Credits: b.Credits, Price: b.Price, PriceID: b.PriceID,
			})
			switch {
			case err != nil:
				e.say(name, Fail, "try again", "product %s cannot be read: %v", r.Product, err)
			case problem != "":
				e.say(name, Fail, "correct rule "+r.Name+", or the price at the provider: nothing is bought until they agree", "%s", problem)
			default:
				e.say(name, OK, "", "%s credits for %s, as rule %s says", b.Credits, b.Price, r.Name)
			}
		}
	}
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// data looks at what a page of balances looks like: which documented fields are
// missing, and how old the figures are.
func (e *examination) data(ctx context.Context) {
	o, resp, err := e.get(ctx, "credits", creditsPath, url.Values{"take": {"100"}}, e.Provider.Token)
	if err != nil {
		return // scopes has said so
	}
	rows := objects(o)
	if len(rows) == 0 {
		e.say("account data", Unknown, "attach the product to a customer first", "there is no balance to look at")
		return
	}
	var missing []string
	for _, field := range []string{"product_id", "customer_id", "current_balance", "low_count_threshold", "last_refreshed_at", "auto_topup", "created_at", "updated_at"} {
		if n := count(rows, func(r clients.Object) bool { return !r.Present(field) }); n > 0 {
			missing = append(missing, fmt.Sprintf("%s (%d of %d)", field, n, len(rows)))
		}
	}
	nulls := count(rows, func(r clients.Object) bool { return r.Present("current_balance") && !r.Has("current_balance") })
	text := many(len(rows), "row") + " looked at"
	if len(missing) > 0 {
		e.say("account data", Warn, "missing fields make bad readings or a missing safeguard: tell topupd's authors what the provider sends", "%s; missing: %s", text, strings.Join(missing, ", "))
	} else {
		e.say("account data", OK, "", "%s, every documented field there, %s", text, many(nulls, "null balance"))
	}
	e.ages(rows, resp)
}

// ages says how old the provider's own figures are.
func (e *examination) ages(rows []clients.Object, resp clients.Response) {
	now := resp.ServerTime
	if now.IsZero() {
		now = resp.SentAt
	}
	oldest, newest, edited := now, now.AddDate(-100, 0, 0), 0
	known := 0
	for _, r := range rows {
		at := r.Time("last_refreshed_at")
		if at.IsZero() {
			continue
		}
		known++
		if at.Before(oldest) {
			oldest = at
		}
		if at.After(newest) {
			newest = at
		}
		if r.Time("updated_at").Before(at) {
			edited++
		}
	}
	if known == 0 {
		e.say("balance age", Warn, "balances of unknown age cannot show a purchase: tell topupd's authors", "no balance says when it was last worked out (last_refreshed_at)")
		return
	}
	e.say("balance age", OK, "", "last_refreshed_at from %s to %s ago; updated_at is older at %d of %d, so it does not follow usage there",
		max(0, now.Sub(newest)).Round(timeUnit), max(0, now.Sub(oldest)).Round(timeUnit), edited, known)
}

// objects are the rows of a list.
func objects(o clients.Object) []clients.Object {
	list, _ := o.List("data")
	var rows []clients.Object
	for _, raw := range list {
		if row, err := clients.ParsePart(raw); err == nil {
			rows = append(rows, row)
		}
	}
	return rows
}

func count[T any](list []T, is func(T) bool) (n int) {
	for _, x := range list {
		if is(x) {
			n++
		}
	}
	return n
}
