package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"topupd/config"
	"topupd/internal/english"
	"topupd/scheduler"
)

func (d *Daemon) reloadOnSignal(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_, _ = d.Reload(ctx) // it has said what is wrong
		}
	}
}

// Reload reads the rules and caps again. Everything else needs a restart, and a
// change of it is refused by name. After an error the old ones stay in use. The
// body says how many become low at once by the new ones, and what they would cost.
func (d *Daemon) Reload(ctx context.Context) (body string, err error) {
	fresh, err := d.options.Reload()
	if err == nil {
		err = d.reloadable(fresh)
	}
	if err != nil {
		text := err.Error()
		d.broken.Store(&text)
		d.metrics.Reloaded(false, d.now())
		d.options.Log.LogAttrs(ctx, slog.LevelError, "reload", slog.Any("err", err))
		return "", err
	}
	body = d.preview(ctx, fresh.Rulebook)
	d.rulebook.Store(fresh.Rulebook)
	d.broken.Store(nil)
	d.createSeries()
	d.metrics.Reloaded(true, d.now())
	d.options.Log.LogAttrs(ctx, slog.LevelInfo, "reload", slog.Int("rules", len(fresh.Rulebook.Rules.Rules)))
	return body, nil
}

// preview tells whom a rulebook makes low at once, by the last polls.
func (d *Daemon) preview(ctx context.Context, book *scheduler.Rulebook) string {
	var body strings.Builder
	for _, l := range d.lines {
		for _, low := range l.watch.Preview(book) {
			d.options.Log.LogAttrs(ctx, slog.LevelWarn, "reload makes low", slog.String("provider", l.Name), slog.String("rule", low.Rule),
				slog.Int("targets", low.Targets), slog.Int("at_once", low.AtOnce), slog.String("price_excluding_tax", low.Cost()))
			fmt.Fprintf(&body, "%s, rule %s: %s low only by the new terms, %s excluding tax; at most %d bought for before topupd resume --rule %s\n",
				l.Name, low.Rule, english.Plural(low.Targets, "target"), low.Cost(), low.AtOnce, low.Rule)
		}
	}
	return body.String()
}

// reloadable tells what changed that a reload cannot bring.
func (d *Daemon) reloadable(fresh *Setup) error {
	was, is := d.setup.Config, fresh.Config
	if was.Mode != is.Mode {
		return fmt.Errorf("%s: mode changed from %s to %s: restart topupd for that", is.File, was.Mode, is.Mode)
	}
	if what := fixedChanges(was, is); what != "" {
		return fmt.Errorf("%s: %s changed: restart topupd for that", is.File, what)
	}
	names := func(c *config.Config) string {
		var all []string
		for _, p := range c.Providers {
			all = append(all, p.Name+" = "+string(p.Identity()))
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	if names(was) != names(is) {
		return fmt.Errorf("%s: the providers changed (running: %s; file: %s): restart topupd for that", is.File, names(was), names(is))
	}
	return nil
}

// fixedChanges names the settings that differ and only count at start. Tokens
// are not among them: their files are read again when a provider refuses one.
func fixedChanges(was, is *config.Config) string {
	var changed []string
	differs := func(name string, yes bool) {
		if yes {
			changed = append(changed, name)
		}
	}
	differs("database_url", !was.DatabaseURL.Equal(is.DatabaseURL))
	differs("database_filesystem", was.DatabaseFilesystem != is.DatabaseFilesystem)
	differs("http", was.HTTP != is.HTTP)
	differs("log", was.Log != is.Log)
	differs("metrics", was.Metrics != is.Metrics)
	differs("verify", was.Verify != is.Verify)
	differs("retention", was.Retention != is.Retention)
	for _, old := range was.Providers {
		i := slices.IndexFunc(is.Providers, func(p config.Provider) bool { return p.Name == old.Name })
		if i < 0 {
			continue // told by name
		}
		p, at := is.Providers[i], "providers "+old.Name+": "
		differs(at+"base_url", old.BaseURL.String() != p.BaseURL.String())
		differs(at+"poll", old.Poll != p.Poll)
		differs(at+"rate_limit", old.RateLimit != p.RateLimit)
		differs(at+"purchase_timeout", old.PurchaseTimeout != p.PurchaseTimeout)
		differs(at+"unknown_outcome", old.UnknownOutcome != p.UnknownOutcome)
		differs(at+"native_auto_topup", old.NativeAutoTopup != p.NativeAutoTopup)
		differs(at+"first_purchase_after", old.FirstPurchaseAfter != p.FirstPurchaseAfter)
	}
	return strings.Join(changed, ", ")
}
