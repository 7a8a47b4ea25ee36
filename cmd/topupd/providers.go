package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"topupd/clients"
	"topupd/clients/hyperline"
	"topupd/clients/talkover"
	"topupd/config"
	"topupd/scheduler"
	"topupd/topup"
)

// providerClient is everything that the program asks of one provider connection.
type providerClient interface {
	topup.Provider
	scheduler.Reader
	credential
	budgeted
}

// credential is the token that buys.
type credential interface {
	TokenFingerprint() string
	ReloadToken() (changed bool, err error)
	TokenRefused() time.Time // since when reads are refused with it; zero = they are not
}

// budgeted tells how much of our share of the rate limit is in use, 0 to 1.
type budgeted interface {
	BudgetUsed() (reads, writes float64)
}

// connection is one provider connection of the configuration with its client.
type connection struct {
	config.Provider
	id     topup.ProviderID
	books  bool // the provider keeps records that can be searched for a purchase
	client providerClient
}

// connect makes a client for every provider of the configuration. No I/O.
// observe may be nil.
func (a *app) connect(l *loaded, log *slog.Logger, observe func(provider, op, code string, d time.Duration)) ([]*connection, error) {
	var connections []*connection
	for _, p := range l.cfg.Providers {
		c, err := connectTo(p, log, observe)
		if err != nil {
			return nil, err
		}
		connections = append(connections, c)
	}
	return connections, nil
}

func connectTo(p config.Provider, log *slog.Logger, observe func(provider, op, code string, d time.Duration)) (*connection, error) {
	c := &connection{Provider: p, id: p.Identity()}
	api := clientOptions(p, log, observe)
	var err error
	switch p.Type {
	case config.Hyperline:
		c.books = true
		c.client, err = hyperline.New(hyperline.Options{ID: c.id, Name: p.Name, API: api, Token: p.Token})
	case config.Talkover:
		c.client, err = talkover.New(talkover.Options{
			ID: c.id, Name: p.Name, API: api, Environment: topup.CustomerID(p.EnvironmentID),
			UserToken: p.UserToken, EnvironmentToken: p.EnvironmentToken,
		})
	default: // config knows no other
		err = fmt.Errorf("there is no client for type %q", p.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", p.Name, err)
	}
	return c, nil
}

func clientOptions(p config.Provider, log *slog.Logger, observe func(provider, op, code string, d time.Duration)) clients.Options {
	o := clients.Options{
		BaseURL: p.BaseURL, PurchaseTimeout: p.PurchaseTimeout,
		Logger: log.With(slog.String("provider", p.Name)),
		Limits: clients.Limits{
			Reads: clients.Rate(p.RateLimit.Reads), Writes: clients.Rate(p.RateLimit.Writes), SharePercent: p.RateLimit.SharePercent,
		},
	}
	if p.Type == config.Talkover {
		o.Limits.Reads, o.Limits.Shared = clients.Rate(p.RateLimit.Requests), true
	}
	if observe != nil {
		o.Observe = func(op, code string, d time.Duration) { observe(p.Name, op, code, d) }
	}
	return o
}

// holderName names this process in leases.
func holderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d/%d", host, os.Getpid(), time.Now().UnixNano())
}

// title is the provider's name for a person.
func title(t config.Type) string {
	switch t {
	case config.Hyperline:
		return "Hyperline"
	case config.Talkover:
		return "Talkover"
	default:
		return string(t)
	}
}
