package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"topupd/topup"
)

const (
	// booksMargin is read beyond the moment up to which the ledger knows all: a
	// purchase of that moment is billed by the provider's clock, and what is
	// noted once a minute is not the newest.
	booksMargin = time.Hour
	// booksMost bounds how far back they are read. What an older ledger does not
	// know is long in the balances.
	booksMost = 30 * 24 * time.Hour
	// knownEvery is how often it is noted that the ledger is alive and knows all.
	knownEvery = time.Minute
)

// books is how this process stands with the provider's account-wide books.
type books struct {
	read    bool // once, in the life of this process
	failed  string
	retryAt time.Time
	retries int
	noted   time.Time
}

// behind is why purchases at the provider may be unknown to the ledger: this
// process cannot tell what happened before it began, and on SQLite not even that
// an older file was put back. "" when they are known, or nobody could tell.
func (b *books) behind(r Reader) string {
	if _, ok := r.(topup.Biller); !ok || b.read {
		return ""
	}
	if b.failed != "" {
		return b.failed
	}
	return "the provider's books have not been read since this process took over"
}

// catchUp imports what the provider's books show and the ledger does not know:
// once after the first lease of this process, and to end a quarantine when its
// quiet period is over. Nothing is bought before (P18). It tells whether the
// ledger's facts have changed.
func (w *Watch) catchUp(ctx context.Context, lease topup.Lease, base topup.Standing) (changed bool) {
	biller, ok := w.Reader.(topup.Biller)
	if !ok {
		if base.Quarantined == "" {
			w.noteKnown(ctx, lease, base.Now) // old marks go with it
		}
		return false
	}
	ending := w.ending(base)
	w.mu.Lock()
	b := w.books
	w.mu.Unlock()
	switch {
	case base.Quarantined != "" && !ending:
		return false
	case b.read && !ending:
		w.noteKnown(ctx, lease, base.Now)
		return false
	case w.Now().Before(b.retryAt):
		return false
	}
	if err := w.readBooks(ctx, biller, lease, base, ending); err != nil {
		w.putOff(ctx, err)
		return false
	}
	w.mu.Lock()
	w.books = books{read: true, noted: base.Now}
	w.mu.Unlock()
	return true
}

// ending tells whether the books may end the provider's quarantine now. What
// was sent before it began may run, and be listed, until the quiet period is
// over: a look before that proves nothing.
func (w *Watch) ending(base topup.Standing) bool {
	return base.Quarantined != "" && !base.QuarantineHeld && base.QuarantinedAt != nil &&
		!base.Now.Before(base.QuarantinedAt.Add(w.Found().Quiet(w.QuietPeriod)))
}

func (w *Watch) readBooks(ctx context.Context, biller topup.Biller, lease topup.Lease, base topup.Standing, ending bool) error {
	since := laterOf(base.KnownAt.Add(-booksMargin), base.Now.Add(-booksMost))
	if base.KnownAt.After(base.Now) { // noted by a clock that was ahead: it says nothing
		since = base.Now.Add(-booksMost)
	}
	billed, err := biller.Billed(ctx, since)
	if err != nil {
		return err
	}
	if err := w.unreadable(ctx, billed, ending); err != nil {
		return err
	}
	imported, err := w.importBilled(ctx, billed.Topups)
	if err != nil {
		return err
	}
	attrs := []slog.Attr{slog.String("provider", w.Name), slog.Time("since", since), slog.Int("imported", imported)}
	if ending {
		return w.endQuarantine(ctx, lease, base, attrs)
	}
	if imported > 0 {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "books", attrs...)
	}
	return w.Archive.NoteKnown(ctx, lease, base.Now)
}

// unreadable bills keep a quarantine for a person, who may know better. At a
// start they do not keep everybody from being bought for.
func (w *Watch) unreadable(ctx context.Context, billed topup.Billed, ending bool) error {
	if len(billed.Unreadable) == 0 {
		return nil
	}
	err := fmt.Errorf("%d bills could not be read, among them %q", len(billed.Unreadable), billed.Unreadable[0])
	if ending {
		return fmt.Errorf("%w; look at them, then topupd resume --provider %s", err, w.Name)
	}
	w.Log.LogAttrs(ctx, slog.LevelWarn, "books", slog.String("provider", w.Name), slog.Any("err", err))
	return nil
}

func (w *Watch) endQuarantine(ctx context.Context, lease topup.Lease, base topup.Standing, attrs []slog.Attr) error {
	why, err := w.Archive.EndQuarantine(ctx, topup.QuarantineEnd{
		Lease: lease, Since: *base.QuarantinedAt, ReadAt: base.Now,
		Others: base.QuarantinedAt.Add(w.PurchaseTimeout), // a request from before may have run as long
	})
	switch {
	case err != nil:
		return err
	case why != "":
		w.Log.LogAttrs(ctx, slog.LevelError, "quarantine stays", append(attrs, slog.String("reason", why))...)
	default:
		w.Log.LogAttrs(ctx, slog.LevelWarn, "quarantine ended", append(attrs, slog.String("reason", base.Quarantined))...)
	}
	return nil
}

// importBilled imports what no purchase explains; it returns how many bills.
func (w *Watch) importBilled(ctx context.Context, found map[topup.Target][]topup.Topup) (imported int, err error) {
	var references []string
	for _, rows := range found {
		for _, r := range rows {
			references = append(references, r.Invoice)
		}
	}
	ours, err := w.Archive.Claimed(ctx, w.ID, references, "")
	if err != nil {
		return 0, fmt.Errorf("asking the ledger for purchases: %w", err)
	}
	for _, target := range slices.SortedFunc(maps.Keys(found), byCustomer) {
		rows := slices.DeleteFunc(slices.Clone(found[target]), func(r topup.Topup) bool { return ours[r.Invoice] })
		n, err := w.Planner.Import(ctx, target, rows)
		if err != nil {
			return imported, fmt.Errorf("importing purchases: %w", err)
		}
		imported += n
	}
	return imported, nil
}

func byCustomer(a, b topup.Target) int {
	return cmp.Or(cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Product, b.Product))
}

// putOff tries again later and later.
func (w *Watch) putOff(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, topup.ErrOvertaken) || errors.Is(err, topup.ErrLeaseLost) {
		return // the next sweep sees how it stands
	}
	w.mu.Lock()
	b := &w.books
	b.failed = "reading the provider's books: " + err.Error()
	b.retryAt = w.Now().Add(min(retryFirst<<min(b.retries, 5), retryMost))
	b.retries++
	w.mu.Unlock()
	w.Log.LogAttrs(ctx, slog.LevelWarn, "books", slog.String("provider", w.Name), slog.Any("err", err))
}

// noteKnown notes now and then that the ledger knows all until now.
func (w *Watch) noteKnown(ctx context.Context, lease topup.Lease, at time.Time) {
	w.mu.Lock()
	due := at.Sub(w.books.noted) >= knownEvery
	if due {
		w.books.noted = at
	}
	w.mu.Unlock()
	if !due {
		return
	}
	if err := w.Archive.NoteKnown(ctx, lease, at); err != nil && ctx.Err() == nil {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "books", slog.String("provider", w.Name), slog.Any("err", err))
	}
}
