package talkover

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// Product is the only kind of credits at Talkover: money of the account.
const Product topup.ProductID = "credits"

// Every path that this package asks for. One of them charges, and none changes
// anything else.
const (
	purchasePath = "/api/v1/credits/purchase"
	balancePath  = "/api/v1/credits/balance"
	settingsPath = "/api/v1/auto-topup/settings"
	historyPath  = "/api/v1/auto-topup/history"
	cardsPath    = "/api/v1/auto-topup/payment-methods"
	userPath     = "/api/user" // the one documented path outside /v1 (Talkover docs, get-current-user, read 2026-11-20)
)

// defaultRate is what the smallest plan allows: 100 requests a minute, reads and
// purchases together (Talkover docs, introduction, read 2026-11-20).
var defaultRate = clients.Rate{Count: 100, Window: time.Minute}

// Options describe one connection: one environment, watched as one customer.
type Options struct {
	ID          topup.ProviderID // identity of the connection
	Name        string           // its label in the configuration; names the environment for people, since the API does not
	Environment topup.CustomerID // the user's current environment must be this one
	API         clients.Options  // Limits: reads and purchases always share Limits.Reads; 0 = 100 a minute

	// Talkover has two kinds of tokens and no endpoint that takes both (Talkover
	// docs, get-credits-balance and get-auto-topup-settings, read 2026-11-20).
	UserToken        clients.Token // balance, purchase, current environment
	EnvironmentToken clients.Token // native top-up, payment methods
}

// Client is one connection to Talkover. All methods may be called from any
// goroutine.
type Client struct {
	id          topup.ProviderID
	name        string
	environment topup.CustomerID
	api         *clients.API
	user, env   clients.Token

	mu       sync.Mutex
	prepared map[string]topup.Money // by body: what a frozen request is meant to charge
}

var _ topup.Provider = (*Client)(nil)

// New checks the options and makes the client. No I/O.
func New(o Options) (*Client, error) {
	switch {
	case o.ID == "":
		return nil, fmt.Errorf("talkover connection %q has no identity", o.Name)
	case o.API.BaseURL == nil:
		return nil, fmt.Errorf("talkover connection %q has no base URL: set base_url", o.Name)
	case !validID(string(o.Environment)):
		return nil, fmt.Errorf("talkover connection %q: environment %.60q is not an id of 1 to %d printable characters: set environment_id",
			o.Name, o.Environment, maxID)
	case o.UserToken == nil || o.EnvironmentToken == nil:
		return nil, fmt.Errorf("talkover connection %q needs both tokens: set user_token_file and environment_token_file", o.Name)
	}
	if o.API.Limits.Reads.Count == 0 {
		o.API.Limits.Reads = defaultRate
	}
	o.API.Limits.Shared = true
	return &Client{
		id: o.ID, name: o.Name, environment: o.Environment,
		api: clients.New(o.API), user: o.UserToken, env: o.EnvironmentToken,
		prepared: map[string]topup.Money{},
	}, nil
}

// TokenFingerprint tells whether the token that buys has changed.
func (c *Client) TokenFingerprint() string { return c.user.Fingerprint() }

// TokenRefused is since when reads are refused with the present tokens; zero when none is.
func (c *Client) TokenRefused() time.Time { return c.api.TokenRefused() }

// ReloadToken reads both tokens again and tells whether the one that buys changed.
func (c *Client) ReloadToken() (changed bool, err error) {
	changed, err = c.user.Reload()
	if err != nil {
		return changed, fmt.Errorf("talkover %s: reading the user token again: %w", c.name, err)
	}
	if _, err := c.env.Reload(); err != nil {
		return changed, fmt.Errorf("talkover %s: reading the environment token again: %w", c.name, err)
	}
	return changed, nil
}

// BudgetUsed is how much of our share of the rate limit is in use, 0 to 1. Reads
// and writes are one budget here.
func (c *Client) BudgetUsed() (reads, writes float64) { return c.api.BudgetUsed() }

// target is the one target of this connection.
func (c *Client) target() topup.Target {
	return topup.Target{Provider: c.id, Customer: c.environment, Product: Product}
}

// owns refuses targets of other connections.
func (c *Client) owns(t topup.Target) error {
	if t != c.target() {
		return fmt.Errorf("talkover %s: %s of %s at %s is not on this connection, which is for %s of %s",
			c.name, t.Product, t.Customer, t.Provider, Product, c.environment)
	}
	return nil
}

// reply is the object of a read answer, and when it was asked and given.
type reply struct {
	clients.Object
	sentAt     time.Time
	serverTime time.Time     // zero when the provider sent no Date
	age        time.Duration // for which a cache on the way had kept it
}

// clock is the provider's time of the answer, else ours.
func (r reply) clock() time.Time {
	if r.serverTime.IsZero() {
		return r.sentAt
	}
	return r.serverTime
}

// look asks for a bare object, as only /api/user answers.
func (c *Client) look(ctx context.Context, r clients.Read) (reply, error) {
	answer, err := c.api.Read(ctx, r)
	if err != nil {
		return reply{}, fmt.Errorf("talkover %s: %w", c.name, err)
	}
	o, err := clients.ParseObject(answer.Body)
	if err != nil {
		return reply{}, c.unreadable(r, err)
	}
	return reply{Object: o, sentAt: answer.SentAt, serverTime: answer.ServerTime, age: answer.Age}, nil
}

// lookInside asks for the usual envelope, whose success must be true. A 200 with
// success false is documented nowhere and believed nowhere.
func (c *Client) lookInside(ctx context.Context, r clients.Read) (reply, error) {
	answer, err := c.look(ctx, r)
	if err != nil {
		return reply{}, err
	}
	success, err := needFlag(answer.Object, "success")
	switch {
	case err != nil:
		return reply{}, c.unreadable(r, err)
	case !success:
		return reply{}, c.unreadable(r, fmt.Errorf("success is false: %s", c.quote(answer.Text("message"))))
	}
	return answer, nil
}

// current refuses what a cache on the way had kept, where only the present counts.
func (c *Client) current(r clients.Read, age time.Duration) error {
	if age == 0 {
		return nil
	}
	return c.unreadable(r, fmt.Errorf("a cache on the way to Talkover answered with what was %s old: make it pass the API through", age))
}

// unreadable is a 2xx answer that arrived whole and does not say what the
// documentation says it says.
func (c *Client) unreadable(r clients.Read, err error) error {
	return fmt.Errorf("talkover %s: %w", c.name, &clients.Error{
		Op: r.Op, Method: http.MethodGet, URL: r.Path, Status: http.StatusOK, Reason: topup.FailedMalformed, Err: err,
	})
}

// quote makes the provider's words fit for a person: cut, and without our tokens
// (P17).
func (c *Client) quote(text string) string { return clients.Quote([]byte(text), c.user, c.env) }

// asUser and asEnvironment are the two kinds of reads. Those of a purchase go
// before polling.
func (c *Client) asUser(op, path string) clients.Read {
	return clients.Read{Op: op, Path: path, Token: c.user, Class: clients.Evidence}
}

func (c *Client) asEnvironment(op, path string, query url.Values) clients.Read {
	return clients.Read{Op: op, Path: path, Query: query, Token: c.env, Class: clients.Evidence}
}
