package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"text/template"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/internal/daemon"
	"topupd/internal/english"
	"topupd/internal/screen"
	"topupd/rules"
	"topupd/topup"
)

// demoCmd shows everything in one process with nothing installed.
type demoCmd struct {
	For      time.Duration `help:"Stop by itself after this long; 0 = until Ctrl-C."`
	Listen   string        `default:"127.0.0.1:9846" help:"Where to serve /metrics; another free port is taken when it is in use."`
	Emulator string        `default:"127.0.0.1:9847" help:"Where to serve the emulated providers; another free port is taken when it is in use."`
	Seed     uint64        `default:"1" help:"Makes the same world again; 0 draws one."`
	Log      bool          `help:"Print the daemon's log lines too, on standard error."`
}

func (*demoCmd) Help() string {
	return `Both providers emulated, a SQLite ledger in a temporary folder, example rules and
customers who use a lot. Purchases are printed as they happen; some go wrong on
purpose, so that you see what topupd does about it. Ctrl-C leaves nothing behind.`
}

const (
	demoCustomers    = 40
	demoEnvironments = 3
	demoSummary      = time.Minute
)

//go:embed demo/*.yml
var demoFiles embed.FS

func (c *demoCmd) Run(a *app) error {
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	if c.For > 0 {
		ctx, stop = context.WithTimeout(a.ctx, c.For)
		defer stop()
	}
	dir, err := os.MkdirTemp("", "topupd-demo-")
	if err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody

	world := emulator.New(c.world())
	served, err := serveEmulator(ctx, freeAddress(c.Emulator), world)
	if err != nil {
		return err
	}
	here := *a
	here.ctx = ctx
	if here.config, err = writeDemo(dir, demoValues{
		Listen: freeAddress(c.Listen), Emulator: served.url, Database: filepath.Join(dir, "demo.db"), Environments: demoEnvironments,
	}); err != nil {
		return err
	}
	loaded, err := here.load()
	if err != nil {
		return err
	}
	story := newStory(a)
	log := slog.New(slog.DiscardHandler)
	if c.Log {
		log = slog.New(slog.NewTextHandler(a.Err, nil))
	}
	d, err := here.daemon(loaded, daemon.Options{Log: log, Watch: story.event, Plan: story.planned})
	if err != nil {
		return err
	}
	defer d.Close()
	story.header(d.Addr(), served.url, here.config)
	go direct(ctx, world)
	go story.summaries(ctx, demoSummary, here.config)
	err = d.Run(ctx)
	story.summary("")
	stop()
	return errors.Join(err, served.wait())
}

// world is busy: somebody runs low every few seconds.
func (c *demoCmd) world() emulator.Options {
	return emulator.Options{
		Seed: c.Seed,
		Hyperline: emulator.HyperlineOptions{
			Customers:    demoCustomers,
			Threshold:    decimal.MustNew(500, 0),
			Usage:        emulator.Range{Min: decimal.MustNew(2, 0), Max: decimal.MustNew(12, 0)},
			StartBalance: emulator.Range{Min: decimal.MustNew(510, 0), Max: decimal.MustNew(900, 0)},
			MissingCards: 0.05,
			Reads:        -1, Writes: -1,
		},
		Talkover: emulator.TalkoverOptions{
			Environments: demoEnvironments,
			Usage:        emulator.Range{Min: decimal.MustNew(5, 1), Max: decimal.MustNew(10, 1)},
			StartBalance: emulator.Range{Min: decimal.MustNew(51, 0), Max: decimal.MustNew(56, 0)},
			Requests:     -1,
		},
	}
}

// direct stages what everybody should see in the first minute, then lets a few
// things go wrong by chance.
func direct(ctx context.Context, world *emulator.Emulator) {
	acts := []emulator.Faults{
		{Provider: emulator.TalkoverName, Next: []string{"none", "drop_without_charging"}}, // first: it takes a whole quiet period to need review; a charge would show in the balance
		{Provider: emulator.HyperlineName, Next: []string{"none", "none", "charge_then_drop", "none", "decline"}},
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, act := range acts {
		world.SetFaults(act)
		for len(world.Faults().Next) > 0 {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
	world.SetFaults(emulator.Faults{Provider: emulator.HyperlineName, ChargeThenDrop: 0.03, Decline: 0.03, Fail500: 0.02, Throttle: 0.02})
}

// demoValues fill the configuration of the demo.
type demoValues struct {
	Listen, Emulator, Database string
	Environments               int
}

// Voices numbers the Talkover connections.
func (v demoValues) Voices() []int {
	var n []int
	for i := range v.Environments {
		n = append(n, i+1)
	}
	return n
}

// writeDemo writes the configuration and the rules and returns the path of the
// configuration.
func writeDemo(dir string, v demoValues) (string, error) {
	files, err := template.ParseFS(demoFiles, "demo/*.yml")
	if err != nil {
		return "", fmt.Errorf("reading the demo's configuration: %w", err)
	}
	for _, name := range []string{"topupd.yml", "rules.yml"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return "", fmt.Errorf("writing the demo's configuration: %w", err)
		}
		if err := errors.Join(files.ExecuteTemplate(f, name, v), f.Close()); err != nil {
			return "", fmt.Errorf("writing the demo's configuration: %w", err)
		}
	}
	return filepath.Join(dir, "topupd.yml"), nil
}

// freeAddress is the address, or another port of it when it is in use.
func freeAddress(address string) string {
	l, err := net.Listen("tcp", address) //nolint:noctx // gone again at once
	if err == nil {
		_ = l.Close() // nothing was accepted
		return address
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	l, err = net.Listen("tcp", net.JoinHostPort(host, "0")) //nolint:noctx // gone again at once
	if err != nil {
		return address
	}
	defer func() { _ = l.Close() }() // nothing was accepted
	return l.Addr().String()
}

// story tells a person what happens, one line each.
type story struct {
	a     *app
	mu    sync.Mutex
	spent map[topup.Currency]int64
	count struct{ bought, declined, refound, inReview int }
	lost  map[string]bool // purchases whose answer never came
	need  string
}

func newStory(a *app) *story {
	return &story{a: a, spent: map[topup.Currency]int64{}, lost: map[string]bool{}}
}

func (s *story) header(listen, emulator, config string) {
	_, _ = fmt.Fprintf(s.a.Out, "topupd demo · emulated Hyperline (%d customers) and Talkover (%d environments) · SQLite in a temporary folder\n"+
		"metrics http://%s/metrics   providers' books %s/_emulator/   Ctrl-C leaves nothing\n"+
		"look around: topupd purchases --config %s\n\n",
		demoCustomers, demoEnvironments, listen, emulator, config)
}

func (s *story) planned(provider string, p topup.Purchase, _ rules.Decision) {
	expires := ""
	if p.ExpiresAt != nil {
		expires = ", expire " + p.ExpiresAt.Format(time.DateOnly)
	}
	what := fmt.Sprintf("buying %s credits, %s%s", p.Credits.Grouped(), p.Price.Grouped(), expires)
	if p.PriceID == "" {
		what = "buying " + p.Price.Grouped()
	}
	s.line(provider, p, fmt.Sprintf("%s → below %s  %s", rounded(p.BalanceBefore), p.Threshold.Grouped(), what), "")
}

// rounded drops the millionths that nobody reads while lines fly by.
func rounded(c topup.Credits) string {
	return (c / (topup.Credit / 100) * (topup.Credit / 100)).Grouped()
}

func (s *story) event(provider string, e topup.Event) {
	p := e.Purchase
	s.mu.Lock()
	text, color := s.tell(e)
	s.mu.Unlock()
	if text != "" {
		s.line(provider, p, text, color)
	}
}

// tell finds the words for an event; "" for what a person need not see.
func (s *story) tell(e topup.Event) (text, color string) {
	p := e.Purchase
	switch {
	case e.Answer != nil && e.Answer.Verdict == topup.Unknown:
		s.lost[p.ID] = true
		return fmt.Sprintf("no clear answer (%s) · looking at the provider", unclearWords(e.Answer)), screen.Yellow
	case e.Answer != nil && e.Answer.Verdict == topup.Rejected:
		s.count.declined++
		return fmt.Sprintf("declined · next try in %s", screen.Long(p.Declines.Backoff)), screen.Yellow
	case e.Answer != nil && e.Answer.Verdict == topup.NotRun:
		return fmt.Sprintf("not run (%s) · tried again soon", e.Answer.Reason), screen.Yellow
	case p.State == topup.Confirmed && e.From != topup.Confirmed:
		if s.lost[p.ID] {
			s.count.refound++
			return "confirmed  found " + p.Reference + " · charged, and only once", screen.Green
		}
		return "confirmed  " + p.Reference, screen.Green
	case p.State == topup.Credited && e.From != topup.Credited:
		s.count.bought++
		s.spent[p.Price.Currency] += p.Price.Minor
		return "", ""
	case p.State == topup.NeedsReview && e.From != topup.NeedsReview:
		s.count.inReview++
		s.need = p.Short()
		return "needs you: nobody can say whether it was charged · topupd purchases show " + p.Short(), screen.Red
	case p.State == topup.Sent && p.Found != "":
		return "found in the books · counts after the quiet period", screen.Yellow
	default:
		return "", ""
	}
}

// unclearWords says in a few words why an answer is neither yes nor no.
func unclearWords(a *topup.Answer) string {
	switch {
	case a.Status != 0:
		return fmt.Sprintf("HTTP %d, %s", a.Status, a.Reason)
	case a.Reason == topup.FailedTimeout:
		return "none in time"
	case a.Reason == topup.FailedConnection:
		return "connection cut"
	default:
		return string(a.Reason)
	}
}

func (s *story) line(provider string, p topup.Purchase, text, color string) {
	name := string(p.Target.Customer)
	if p.CustomerName != "" && len(p.CustomerName) < 19 {
		name = p.CustomerName
	}
	product := p.ProductName
	if product == "" {
		product = string(p.Target.Product)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.a.Out, "%s  %-9s  %-18s  %-11s  %s\n", s.a.now().In(s.a.Zone).Format(time.TimeOnly), provider, name, product, s.a.Paint(color, text))
}

// summaries prints the figures so far from time to time.
func (s *story) summaries(ctx context.Context, every time.Duration, config string) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.summary(config)
		}
	}
}

// summary prints the figures so far. With config it says how to look closer,
// which is over when the demo is.
func (s *story) summary(config string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spent := ""
	for _, c := range []topup.Currency{"EUR", "USD"} {
		if s.spent[c] > 0 {
			if spent != "" {
				spent += ", "
			}
			spent += topup.Money{Minor: s.spent[c], Currency: c}.Grouped()
		}
	}
	if spent != "" {
		spent = " (" + spent + ")"
	}
	text := fmt.Sprintf("%d bought%s · %d declined · %s found again", s.count.bought, spent, s.count.declined, english.Plural(s.count.refound, "lost answer"))
	if s.count.inReview > 0 {
		text += fmt.Sprintf(" · %d for a person to decide", s.count.inReview)
		if config != "" {
			text += fmt.Sprintf(": topupd purchases show %s --config %s", s.need, config)
		}
	}
	_, _ = fmt.Fprintln(s.a.Out, text)
}
