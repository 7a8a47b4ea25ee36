package daemon

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

// Observer is told of every request: what was asked, how it ended, how long it took.
type Observer func(provider, op, code string, d time.Duration)

// Client is everything that the program asks of one provider connection.
type Client interface {
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

// Connection is one provider connection of the configuration with its client.
type Connection struct {
	config.Provider
	Traits topup.Traits
	ID     topup.ProviderID
	Client Client
}

// ConnectAll makes a client for every provider of the configuration. No I/O.
// observe may be nil.
func ConnectAll(cfg *config.Config, log *slog.Logger, observe Observer) ([]*Connection, error) {
	var connections []*Connection
	for _, p := range cfg.Providers {
		c, err := Connect(p, log, observe)
		if err != nil {
			return nil, err
		}
		connections = append(connections, c)
	}
	return connections, nil
}

// Connect makes the client of one provider. No I/O. observe may be nil.
func Connect(p config.Provider, log *slog.Logger, observe Observer) (*Connection, error) {
	c := &Connection{Provider: p, Traits: p.Type.Traits(), ID: p.Identity()}
	api := ClientOptions(p, log, observe)
	var err error
	switch p.Type {
	case topup.Hyperline:
		c.Client, err = hyperline.New(hyperline.Options{ID: c.ID, Name: p.Name, API: api, Token: p.Token})
	case topup.Talkover:
		c.Client, err = talkover.New(talkover.Options{
			ID: c.ID, Name: p.Name, API: api, Environment: topup.CustomerID(p.EnvironmentID),
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

// ClientOptions are what the clients of both types are made with.
func ClientOptions(p config.Provider, log *slog.Logger, observe Observer) clients.Options {
	o := clients.Options{
		BaseURL: p.BaseURL, PurchaseTimeout: p.PurchaseTimeout,
		Logger: log.With(slog.String("provider", p.Name)),
		Limits: clients.Limits{
			Reads: clients.Rate(p.RateLimit.Reads), Writes: clients.Rate(p.RateLimit.Writes), SharePercent: p.RateLimit.SharePercent,
		},
	}
	if p.RateLimit.Requests.Count > 0 {
		o.Limits.Reads, o.Limits.Shared = clients.Rate(p.RateLimit.Requests), true
	}
	if observe != nil {
		o.Observe = func(op, code string, d time.Duration) { observe(p.Name, op, code, d) }
	}
	return o
}

// holderName names this process in leases.
func holderName(started time.Time) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d/%d", host, os.Getpid(), started.UnixNano())
}
