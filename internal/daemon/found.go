package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"topupd/config"
	"topupd/topup"
)

// findings is what topupd doctor found out about one provider, as the daemon
// obeys it. It follows the ledger, so a doctor's visit needs no restart.
type findings struct{ now atomic.Pointer[topup.Found] }

// get is what is known now.
func (f *findings) get() topup.Found {
	if found := f.now.Load(); found != nil {
		return *found
	}
	return topup.Found{}
}

// skipLimited is a client that can be told how far a list may be skipped; 0 =
// nothing is known.
type skipLimited interface{ LimitSkip(limit int) }

// obey reads what was found out about every provider and says once what it
// changes. An error leaves what was known before; the ledger refuses a repeat
// that must not be sent by itself.
func (d *Daemon) obey(ctx context.Context) error {
	for _, l := range d.lines {
		list, err := d.store.Capabilities(ctx, l.ID)
		if err != nil {
			return fmt.Errorf("reading what was found out about %s: %w", l.Name, err)
		}
		found := topup.FoundIn(list)
		if before := l.found.now.Swap(&found); before != nil && *before == found {
			continue
		}
		if client, ok := l.Client.(skipLimited); ok {
			client.LimitSkip(found.SkipLimit)
		}
		for _, change := range Effects(l.Provider, found) {
			d.options.Log.LogAttrs(ctx, slog.LevelWarn, "doctor's finding obeyed", slog.String("provider", l.Name), slog.String("effect", change))
		}
	}
	return nil
}

// Effects says how findings make the daemon more careful than configured.
func Effects(p config.Provider, found topup.Found) []string {
	var list []string
	if found.KeysIgnored {
		list = append(list, "a repeat under the same key was charged again there: no unclear purchase is repeated, it needs review")
	}
	if quiet := found.Quiet(p.UnknownOutcome.QuietPeriod); quiet > p.UnknownOutcome.QuietPeriod {
		list = append(list, fmt.Sprintf("quiet period raised from %s to %s: a purchase was listed %s after it was sent",
			p.UnknownOutcome.QuietPeriod, quiet, found.Visible))
	}
	if found.SkipLimit > 0 {
		list = append(list, fmt.Sprintf("lists are read in parts beyond %d rows", found.SkipLimit))
	}
	return list
}
