package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/govalues/decimal"
	"golang.org/x/sync/errgroup"

	"topupd/clients/emulator"
)

// emulatorCmd serves both providers emulated over HTTP.
type emulatorCmd struct {
	Listen       string            `default:"127.0.0.1:9847" help:"Address to serve on."`
	Customers    int               `default:"40" help:"Hyperline customers to make."`
	Environments int               `default:"3" help:"Talkover environments to make."`
	Usage        string            `default:"0.5..5" help:"Credits a Hyperline customer uses per second, drawn from this range."`
	VoiceUsage   string            `default:"0.05..0.2" help:"Money a Talkover environment uses per second, drawn from this range."`
	Speed        float64           `default:"1" help:"Multiplies all usage."`
	Seed         uint64            `help:"Makes the same world again; 0 draws one."`
	Fault        map[string]string `help:"A fault and its probability, such as --fault charge_then_500=0.05; may be repeated. --help lists the names." mapsep:","`
	LatePosting  time.Duration     `help:"Longest delay until a charge is visible."`
	ExecuteLate  time.Duration     `help:"Longest delay until a charge whose connection was cut is executed."`
	HangFor      time.Duration     `help:"How long a hanging answer hangs; 0 = until the client gives up."`
	CacheFor     time.Duration     `help:"A cache on the way replays answers to reads for so long, with their age."`
	Retries      string            `help:"When Hyperline tries a declined payment again, such as 2h,12h,24h; none for never."`
	Decline      string            `enum:"refused,refused_unpaid,created_unpaid" default:"refused" help:"What a declined Hyperline purchase leaves behind (the documentation leaves it open): ${enum}."`
	Profile      []string          `help:"A choice that the documentation leaves open, made the other way: ${profiles}. May be repeated." placeholder:"NAME"`
	NoLimits     bool              `help:"No rate limits."`
}

func (*emulatorCmd) Help() string {
	return `Rehearse without touching anybody's money. Point a configuration at it:

  providers:
    - {name: hyperline, type: hyperline, base_url: http://127.0.0.1:9847, token: test_emulator}
    - {name: voice, type: talkover, base_url: http://127.0.0.1:9847/talkover, environment_id: env-1,
       user_token: user_emulator_1, environment_token: talq_emulator_1}

Hyperline's customers all have ` + emulator.Product + `, sold as ` + emulator.SmallPack + ` (120 credits, 200.00 EUR) and ` + emulator.LargePack + ` (600 credits, 900.00 EUR): write these into the rule. The environments are env-1, env-2 and so on, their tokens end in the same number, and their currency is USD.

Examples:
  topupd emulator --customers 1000 --fault charge_then_drop=0.05 --fault decline=0.05
  curl -s http://127.0.0.1:9847/_emulator/books        what was truly charged
  curl -s -X PUT -d '{"charge_then_500":0.1}' http://127.0.0.1:9847/_emulator/faults

Faults: ` + strings.Join(emulator.FaultNames(), " ")
}

func (c *emulatorCmd) Run(a *app) error {
	o, err := c.options()
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	o.Logger = slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	served, err := serveEmulator(a.ctx, c.Listen, emulator.New(o))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(a.Out, "topupd emulator · Hyperline %s (%d customers, token %s) · Talkover %s/talkover (%d environments)\nbooks and faults %s/_emulator/   Ctrl-C stops\n",
		served.url, c.Customers, emulator.DefaultToken, served.url, c.Environments, served.url)
	return served.wait()
}

func (c *emulatorCmd) options() (emulator.Options, error) {
	for _, least := range []struct {
		flag  string
		given int
	}{{"--customers", c.Customers}, {"--environments", c.Environments}} {
		if least.given < 0 {
			return emulator.Options{}, fmt.Errorf("%s %d: write 0 or more", least.flag, least.given)
		}
	}
	if c.Speed <= 0 || math.IsInf(c.Speed, 0) || math.IsNaN(c.Speed) {
		return emulator.Options{}, fmt.Errorf("--speed %g: write a number above 0", c.Speed)
	}
	usage, err := parseRange("--usage", c.Usage)
	if err != nil {
		return emulator.Options{}, err
	}
	voice, err := parseRange("--voice-usage", c.VoiceUsage)
	if err != nil {
		return emulator.Options{}, err
	}
	o := emulator.Options{
		Seed: c.Seed, Speed: c.Speed,
		Hyperline: emulator.HyperlineOptions{
			Customers: c.Customers, Usage: usage, LatePosting: c.LatePosting, ExecuteLate: c.ExecuteLate,
			Profile: emulator.HyperlineProfile{Decline: emulator.DeclineStyle(c.Decline)},
		},
		Talkover: emulator.TalkoverOptions{
			Environments: c.Environments, Usage: voice, PostLate: c.LatePosting, ExecuteLate: c.ExecuteLate,
		},
		Faults: emulator.Faults{HangFor: c.HangFor, LatePosting: c.LatePosting, CacheFor: c.CacheFor},
	}
	for _, name := range c.Profile {
		choose, ok := profiles[name]
		if !ok {
			return emulator.Options{}, fmt.Errorf("--profile %s: there is %s", name, profileNames())
		}
		choose(&o)
	}
	if c.NoLimits {
		o.Hyperline.Reads, o.Hyperline.Writes, o.Talkover.Requests = -1, -1, -1
	}
	if o.Hyperline.RetrySchedule, err = parseRetries(c.Retries); err != nil {
		return emulator.Options{}, err
	}
	for name, text := range c.Fault {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return emulator.Options{}, fmt.Errorf("--fault %s=%s: write a probability from 0 to 1", name, text)
		}
		if err := o.Faults.Set(name, p); err != nil {
			return emulator.Options{}, err
		}
	}
	return o, o.Faults.Validate()
}

// profiles are the choices that the providers' documentation leaves open.
var profiles = map[string]func(*emulator.Options){
	"remember_after_5xx":     func(o *emulator.Options) { o.Hyperline.Profile.RememberAfter5xx = true },
	"compare_meaning":        func(o *emulator.Options) { o.Hyperline.Profile.CompareMeaning = true },
	"skip_limit":             func(o *emulator.Options) { o.Hyperline.Profile.SkipLimit = 10_000 },
	"several_packs":          func(o *emulator.Options) { o.Hyperline.Profile.SeveralPacks = true },
	"grant_unpaid":           func(o *emulator.Options) { o.Hyperline.Profile.GrantUnpaid = true },
	"put_clears":             func(o *emulator.Options) { o.Hyperline.Profile.PutClears = true },
	"native_at_threshold":    func(o *emulator.Options) { o.Hyperline.Profile.NativeAtThreshold = true },
	"refresh_while_unposted": func(o *emulator.Options) { o.Hyperline.Profile.RefreshWhileUnposted = true },
	"keys_ignored":           func(o *emulator.Options) { o.Hyperline.Profile.KeysIgnored = true },
	"concurrent_runs":        func(o *emulator.Options) { o.Hyperline.Profile.ConcurrentRuns = true },
	"other_bytes_replayed":   func(o *emulator.Options) { o.Hyperline.Profile.OtherBytes = emulator.OtherBytesReplayed },
	"other_bytes_run":        func(o *emulator.Options) { o.Hyperline.Profile.OtherBytes = emulator.OtherBytesRun },
	"slow_visibility":        func(o *emulator.Options) { o.Hyperline.Profile.VisibleAfter = 20 * time.Second },
	"slow_refresh":           func(o *emulator.Options) { o.Hyperline.Profile.RefreshEvery = 30 * time.Second },
	"expiry_seconds":         func(o *emulator.Options) { o.Hyperline.Profile.ExpiryShown = emulator.ExpirySeconds },
	"expiry_minutes":         func(o *emulator.Options) { o.Hyperline.Profile.ExpiryShown = emulator.ExpiryMinutes },
	"oldest_first":           func(o *emulator.Options) { o.Hyperline.Profile.RowsOldestFirst = true },
	"sort_ignored":           func(o *emulator.Options) { o.Hyperline.Profile.InvoiceSortIgnored = true },
	"small_pages":            func(o *emulator.Options) { o.Hyperline.Profile.MaxTake = 50 },
	"small_currency":         func(o *emulator.Options) { o.Hyperline.Profile.SmallCurrency = true },
	"type_ignored":           func(o *emulator.Options) { o.Hyperline.Profile.TypeFilterIgnored = true },
	"talkover_strings":       func(o *emulator.Options) { o.Talkover.Profile.Money = emulator.MoneyString },
	"talkover_no_headers":    func(o *emulator.Options) { o.Talkover.Profile.NoHeaders = true },
	"talkover_queued":        func(o *emulator.Options) { o.Talkover.Profile.QueuedVisible = true },
}

func profileNames() string {
	return strings.Join(slices.Sorted(maps.Keys(profiles)), ", ")
}

func parseRetries(text string) ([]time.Duration, error) {
	switch text {
	case "":
		return nil, nil
	case "none":
		return []time.Duration{}, nil
	}
	var waits []time.Duration
	for part := range strings.SplitSeq(text, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("--retries %s: write durations such as 2h,12h,24h, or none", text)
		}
		waits = append(waits, d)
	}
	return waits, nil
}

func parseRange(flag, text string) (emulator.Range, error) {
	low, high, ok := strings.Cut(text, "..")
	if !ok {
		high = low
	}
	from, err := decimal.Parse(low)
	if err == nil {
		var to decimal.Decimal
		if to, err = decimal.Parse(high); err == nil && (from.IsNeg() || to.Cmp(from) < 0) {
			return emulator.Range{}, fmt.Errorf("%s %s: write a number from 0 on, or a range that begins with the smaller one, such as 0.5..5", flag, text)
		}
		if err == nil {
			return emulator.Range{Min: from, Max: to}, nil
		}
	}
	return emulator.Range{}, fmt.Errorf("%s %s: write a number or a range such as 0.5..5", flag, text)
}

// emulated is a running emulator.
type emulated struct {
	url   string
	parts *errgroup.Group
}

// serveEmulator serves e until ctx ends.
func serveEmulator(ctx context.Context, listen string, e *emulator.Emulator) (*emulated, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; choose another address with --listen", listen, err)
	}
	server := &http.Server{Handler: e.Handler(), ReadHeaderTimeout: 10 * time.Second}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return e.Run(ctx) })
	parts.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the emulator: %w", err)
		}
		return nil
	})
	parts.Go(func() error {
		<-ctx.Done()
		return server.Close() // hung answers are cut: nobody waits for an emulator
	})
	return &emulated{url: "http://" + listener.Addr().String(), parts: parts}, nil
}

func (e *emulated) wait() error { return e.parts.Wait() }
