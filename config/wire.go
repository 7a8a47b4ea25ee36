package config

import (
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"topupd/config/limits"
	"topupd/config/yamlfile"
	"topupd/topup"
)

// The types below are the file as it is written: what the loader reads and
// what the JSON Schema is made of.

type fileYAML struct {
	Mode            Mode           `yaml:"mode" jsonschema:"required" jsonschema_description:"active buys; dry_run decides and records, and never buys. There is no default."`
	DatabaseURL     *secretText    `yaml:"database_url" jsonschema_description:"postgres://… or sqlite:PATH. Default: sqlite, topupd.db in the state directory."`
	DatabaseURLFile *string        `yaml:"database_url_file" jsonschema_description:"File that holds the database URL, relative to this file."`
	Filesystem      Filesystem     `yaml:"database_filesystem" jsonschema_description:"What a SQLite file may lie on: local, or anything, where two daemons may charge twice."`
	HTTP            httpYAML       `yaml:"http" jsonschema_description:"Where /metrics and the health checks are served."`
	Log             logYAML        `yaml:"log" jsonschema_description:"How the log is written."`
	Metrics         metricsYAML    `yaml:"metrics" jsonschema_description:"Bounds the series that carry customer ids."`
	Providers       []providerYAML `yaml:"providers" jsonschema:"required,minItems=1" jsonschema_description:"Connections to billing providers."`
	Limits          limitsYAML     `yaml:"limits" jsonschema_description:"Caps over all rules. limits.global is required in active mode."`
	Verify          verifyYAML     `yaml:"verify" jsonschema_description:"When purchases are compared with the provider's books; off: never."`
	Retention       retentionYAML  `yaml:"retention" jsonschema_description:"How long the ledger keeps what no later decision rests on."`
	RuleFiles       []string       `yaml:"rule_files" jsonschema:"required,minItems=1" jsonschema_description:"Rule files or globs, relative to this file; the first rule that matches wins, in the order of this list."`
}

// Defaults are those of docs/configuration.md.
func (c *fileYAML) Defaults() {
	c.Filesystem = LocalFilesystem
	c.HTTP.Listen = "127.0.0.1:9846"
	c.Log = logYAML{Level: "info", Format: LogJSON}
	c.Metrics = metricsYAML{PerTarget: PerTargetAll, MaxSeries: 2000}
	c.Verify = verifyYAML{Schedule: "17 3 * * *", Since: yamlfile.Duration(48 * time.Hour)}
}

type httpYAML struct {
	Listen string `yaml:"listen" jsonschema:"default=127.0.0.1:9846" jsonschema_description:"Address and port."`
}

type logYAML struct {
	Level  logLevel  `yaml:"level" jsonschema_description:"Lines below this level are not written."`
	Format LogFormat `yaml:"format" jsonschema_description:"json or text."`
}

type logLevel string

// Options are the words of the YAML.
func (logLevel) Options() []string { return []string{"debug", "info", "warn", "error"} }

// slog is the level of the log package; the words are its own.
func (l logLevel) slog() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l)); err != nil {
		return slog.LevelInfo // the word was refused and reported already
	}
	return level
}

type metricsYAML struct {
	PerTarget PerTarget `yaml:"per_target" jsonschema_description:"Which customers have balance and threshold series."`
	MaxSeries int       `yaml:"max_series" jsonschema:"minimum=1,maximum=1000000,default=2000" jsonschema_description:"Most series with a customer id; beyond it the lowest balances are kept."`
}

type limitsYAML struct {
	Global   *globalYAML     `yaml:"global" jsonschema_description:"Caps over everything this configuration buys."`
	Provider *limits.Windows `yaml:"provider" jsonschema_description:"Caps for each provider connection."`
}

type globalYAML struct {
	limits.Windows
	Unlimited *bool `yaml:"unlimited" jsonschema_description:"true: there is deliberately no global cap."`
}

type providerYAML struct {
	Name                 string             `yaml:"name" jsonschema:"required" jsonschema_description:"Label in rules, metrics and logs. Renaming it changes nothing else."`
	Type                 topup.ProviderType `yaml:"type" jsonschema:"required" jsonschema_description:"Kind of provider."`
	BaseURL              *string            `yaml:"base_url" jsonschema_description:"Default by type. Plain http only to this machine."`
	Token                *secretText        `yaml:"token" jsonschema_description:"Hyperline API key, as ${NAME}; better: token_file."`
	TokenFile            *string            `yaml:"token_file" jsonschema_description:"File that holds the Hyperline API key, relative to this file."`
	UserToken            *secretText        `yaml:"user_token" jsonschema_description:"Talkover user token, as ${NAME}; better: user_token_file."`
	UserTokenFile        *string            `yaml:"user_token_file" jsonschema_description:"File that holds the Talkover user token."`
	EnvironmentToken     *secretText        `yaml:"environment_token" jsonschema_description:"Talkover environment token, as ${NAME}; better: environment_token_file."`
	EnvironmentTokenFile *string            `yaml:"environment_token_file" jsonschema_description:"File that holds the Talkover environment token."`
	EnvironmentID        *string            `yaml:"environment_id" jsonschema_description:"Talkover environment: the customer of this connection."`
	Poll                 pollText           `yaml:"poll" jsonschema_description:"auto, or \"@every 30s\" in quotes; at least a second."`
	RateLimit            rateLimitYAML      `yaml:"rate_limit" jsonschema_description:"What the provider allows, and our share of it."`
	PurchaseTimeout      yamlfile.Duration  `yaml:"purchase_timeout" range:"1s..5m" jsonschema_description:"How long an answer to a purchase is waited for. At least 10s except on loopback."`
	UnknownOutcome       unclearYAML        `yaml:"unknown_outcome" jsonschema_description:"What to do about a purchase whose answer was neither yes nor no."`
	NativeAutoTopup      Native             `yaml:"native_auto_topup" jsonschema_description:"refuse: never buy for customers whom the provider tops up itself."`
	FirstPurchaseAfter   *yamlfile.Duration `yaml:"first_purchase_after" range:"0s..24h" jsonschema_description:"How long a new ledger waits before the first purchase. Default: 2 × purchase_timeout."`
}

// Defaults are those that do not depend on the type.
func (p *providerYAML) Defaults() {
	p.Poll = pollText{Auto: true}
	p.PurchaseTimeout = yamlfile.Duration(75 * time.Second)
	p.UnknownOutcome.QuietPeriod = yamlfile.Duration(15 * time.Minute)
	p.NativeAutoTopup = NativeRefuse
	p.RateLimit.Share = 50
}

type unclearYAML struct {
	Policy      *Policy           `yaml:"policy" jsonschema_description:"retry (Hyperline's default) asks again under the same key; review asks a person (the only one at Talkover)."`
	QuietPeriod yamlfile.Duration `yaml:"quiet_period" range:"1s..3h" jsonschema_description:"How long after the last send a charge may still appear. At least 4 × purchase_timeout except on loopback."`
}

type rateLimitYAML struct {
	Reads    *rateText    `yaml:"reads" jsonschema_description:"Hyperline: reads, as 200/10s."`
	Writes   *rateText    `yaml:"writes" jsonschema_description:"Hyperline: writes, as 50/10s."`
	Requests *rateText    `yaml:"requests" jsonschema_description:"Talkover: all requests, as 100/1m."`
	Share    sharePercent `yaml:"share" jsonschema_description:"The part of the limits that topupd uses, 1% to 100%."`
}

// secretText is a secret as the file has it.
type secretText string

// Sensitive keeps the text out of every message.
func (*secretText) Sensitive() {}

// ReadText takes what can stand in a header.
func (s *secretText) ReadText(text string) error {
	text = strings.TrimSpace(text) // a variable may end with the line feed of a file
	if err := checkSecret(text); err != nil {
		return &yamlfile.Fault{Is: err.Error(), Fix: "write ${NAME}, or use the _file key"}
	}
	if len(text) > maxSecret {
		return &yamlfile.Fault{Is: fmt.Sprintf("is longer than %d bytes", maxSecret), Fix: "check what was pasted"}
	}
	*s = secretText(text)
	return nil
}

// pollText is "auto" or "@every 30s".
type pollText Poll

// ReadText reads how often to poll, from a second to a day, inclusive.
func (s *pollText) ReadText(text string) error {
	if text == "auto" {
		*s = pollText{Auto: true}
		return nil
	}
	var every yamlfile.Duration
	if m := everyText.FindStringSubmatch(text); m == nil || every.ReadText(m[1]) != nil {
		return &yamlfile.Fault{Is: "is not a schedule", Fix: `write auto or "@every 30s"`}
	}
	if d := time.Duration(every); d < time.Second || d > 24*time.Hour {
		return &yamlfile.Fault{Is: "is out of range", Fix: `write from "@every 1s" to "@every 24h"`}
	}
	*s = pollText{Every: time.Duration(every)}
	return nil
}

var everyText = regexp.MustCompile(`^@every ([0-9a-z]+)$`)

// Form describes the text.
func (pollText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^(auto|@every [0-9a-z]+)$`, Examples: []string{"auto", "@every 30s"}}
}

// rateText is a count and a window: "200/10s".
type rateText Rate

var rateForm = regexp.MustCompile(`^([1-9][0-9]{0,5})/([0-9a-z]+)$`)

// ReadText reads from 1 to 999999 requests in a second to an hour, inclusive.
func (r *rateText) ReadText(text string) error {
	var window yamlfile.Duration
	m := rateForm.FindStringSubmatch(text)
	if m == nil || window.ReadText(m[2]) != nil {
		return &yamlfile.Fault{Is: "is not a rate", Fix: "write a number of requests and a time: 200/10s, 100/1m"}
	}
	if d := time.Duration(window); d < time.Second || d > time.Hour {
		return &yamlfile.Fault{Is: "has a window out of range", Fix: "write a window from 1s to 1h"}
	}
	count, err := strconv.Atoi(m[1])
	if err != nil {
		return fmt.Errorf("counting requests: %w", err)
	}
	*r = rateText{Count: count, Window: time.Duration(window)}
	return nil
}

// Form describes the text.
func (rateText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: rateForm.String(), Examples: []string{"200/10s", "100/1m"}}
}

// sharePercent is a whole percentage from 1% to 100%.
type sharePercent int

var shareForm = regexp.MustCompile(`^([1-9][0-9]?|100)%$`)

// ReadText reads the percentage with its sign.
func (s *sharePercent) ReadText(text string) error {
	m := shareForm.FindStringSubmatch(text)
	if m == nil {
		return &yamlfile.Fault{Is: "is not a share", Fix: "write a whole percentage from 1% to 100%"}
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return fmt.Errorf("reading a share: %w", err)
	}
	*s = sharePercent(n)
	return nil
}

// Form describes the text.
func (sharePercent) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: shareForm.String(), Examples: []string{"50%"}}
}
