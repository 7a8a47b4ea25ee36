// Package config reads how this process runs: its database, its provider
// connections, what it may spend, and where its rules are.
//
// It finds every mistake before anything starts, including numbers that are
// each fine and together are not. It must never print a secret, and never fill
// in a value that decides about money: mode and the global limits have no
// default.
package config

import (
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"topupd/topup"
)

// Config is one read configuration file.
type Config struct {
	File string // as it was given to Load
	Mode Mode

	// DatabaseURL is postgres://… or sqlite:PATH, the path absolute or relative
	// to the working directory.
	DatabaseURL Secret
	// DatabaseFilesystem is what a SQLite file may lie on.
	DatabaseFilesystem Filesystem

	HTTP      HTTP
	Log       Log
	Metrics   Metrics
	Providers []Provider // in file order, names and identities unique
	Limits    Limits
	Verify    Verify
	Retention Retention
	RuleFiles []string // the files that the globs matched, each once, sorted within its glob
}

// Mode tells whether anything is bought at all.
type Mode string

// The modes.
const (
	Active Mode = "active"  // decide and buy
	DryRun Mode = "dry_run" // decide and record, never buy
)

// Options are the words of the YAML.
func (Mode) Options() []string { return []string{string(Active), string(DryRun)} }

// Filesystem is what a SQLite file may lie on.
type Filesystem string

// The choices.
const (
	LocalFilesystem Filesystem = "local"                             // one whose locks are known to keep a second daemon out
	AnyFilesystem   Filesystem = "any_at_the_risk_of_double_charges" // somebody takes the risk
)

// Options are the words of the YAML.
func (Filesystem) Options() []string { return []string{string(LocalFilesystem), string(AnyFilesystem)} }

// HTTP is where /metrics and the health checks are served.
type HTTP struct {
	Listen string // host:port; port 0 takes a free one
}

// Log is how the daemon writes its log.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is how a log line looks.
type LogFormat string

// The log formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Options are the words of the YAML.
func (LogFormat) Options() []string { return []string{string(LogJSON), string(LogText)} }

// Metrics bounds the series that carry a customer id.
type Metrics struct {
	PerTarget PerTarget
	MaxSeries int // beyond it the lowest balances are kept
}

// PerTarget is which targets have balance and threshold series.
type PerTarget string

// The choices.
const (
	PerTargetAll  PerTarget = "all"
	PerTargetLow  PerTarget = "below_threshold" // below their threshold
	PerTargetNone PerTarget = "none"
)

// Options are the words of the YAML.
func (PerTarget) Options() []string {
	return []string{string(PerTargetAll), string(PerTargetLow), string(PerTargetNone)}
}

// Limits are the caps over all rules.
type Limits struct {
	Global    []topup.Cap // over all providers
	Provider  []topup.Cap // for each provider connection
	Unlimited bool        // somebody wrote that there is no global cap
}

// Provider is one connection to a billing provider.
type Provider struct {
	Name string // the label in the YAML; Identity is what counts
	Type topup.ProviderType
	// BaseURL has no trailing slash, credentials, query or fragment. Paths of
	// the API are appended to its path.
	BaseURL *url.URL

	Token            Secret // Hyperline
	UserToken        Secret // Talkover: balance and purchase
	EnvironmentToken Secret // Talkover: native settings, history, cards
	EnvironmentID    string // Talkover: the customer of this connection

	Poll               Poll
	RateLimit          RateLimit
	PurchaseTimeout    time.Duration
	UnknownOutcome     UnknownOutcome
	NativeAutoTopup    Native
	FirstPurchaseAfter time.Duration // how long a ledger that never saw this provider waits

	Line int // of the YAML
}

// Poll is how often all balances of a provider are read.
type Poll struct {
	Auto  bool          // as often as the read share allows
	Every time.Duration // when not Auto; at least a second
}

// Rate is a number of requests in a window of time.
type Rate struct {
	Count  int
	Window time.Duration
}

// RateLimit is what the provider documents and how much of it is ours.
type RateLimit struct {
	Reads, Writes Rate // Hyperline
	Requests      Rate // Talkover
	SharePercent  int  // 1 to 100
}

// UnknownOutcome is what happens to a purchase whose answer was neither yes nor no.
type UnknownOutcome struct {
	Policy      Policy
	QuietPeriod time.Duration // counted from the last send
}

// Policy says what to do when an unclear purchase left no trace.
type Policy string

// The policies.
const (
	Retry  Policy = "retry"  // ask again under the same key and bytes
	Review Policy = "review" // ask a person
)

// Options are the words of the YAML.
func (Policy) Options() []string { return []string{string(Retry), string(Review)} }

// Native says what to do about customers whom the provider tops up itself.
type Native string

// The choices.
const (
	NativeRefuse Native = "refuse"
	NativeAllow  Native = "allow"
)

// Options are the words of the YAML.
func (Native) Options() []string { return []string{string(NativeRefuse), string(NativeAllow)} }

// Identity names the account behind the connection, whatever the YAML calls
// it: type, host with its port unless it is the usual one, environment.
func (p Provider) Identity() topup.ProviderID {
	host := strings.ToLower(p.BaseURL.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := p.BaseURL.Port(); port != "" && port != usualPort[p.BaseURL.Scheme] {
		host += ":" + port
	}
	return topup.ProviderID(string(p.Type) + "://" + host + "/" + p.EnvironmentID)
}

var usualPort = map[string]string{"https": "443", "http": "80"}

// Loopback tells whether the provider runs on this machine: an emulator.
func (p Provider) Loopback() bool { return loopback(p.BaseURL.Hostname()) }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}
