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
	reading *reading // what was begun and not ended; of the poll alone
}

const (
	// partsPerPoll is how many parts of the books one poll reads before it goes on:
	// 10,000 bills at Hyperline. Halved, a long gap is read half as fast; doubled,
	// what is in flight waits twice as long for fresh readings.
	partsPerPoll = 100
	// failuresPerPart is how often one part may fail in a row before the books are
	// begun anew: what leads to the part may be worth nothing by now.
	failuresPerPart = 3
)

// reading is one look at the books. It goes on with every poll, and where it
// stopped after an error.
type reading struct {
	bills       topup.Bills
	since       time.Time
	at          time.Time  // database clock, before the first part
	quarantined *time.Time // when the quarantine began that it may end; nil = none
	part        topup.Billed
	untaken     bool // part was read and is not imported
	done        bool // with it
	failures    int  // of the part that follows, in a row
	spent       bool // nothing can come of it
	count       int  // bills
	imported    int
	unreadable  int
	odd         string // one that could not be read
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
	r, err := w.begin(ctx, biller, base, ending)
	before := r.imported
	if err == nil {
		err = w.readBooks(ctx, r, lease, base)
	}
	switch {
	case err != nil:
		w.putOff(ctx, err)
	case !r.done:
		w.progress(ctx, r)
	default:
		w.mu.Lock()
		w.books = books{read: true, noted: base.Now}
		w.mu.Unlock()
		return true
	}
	return r.imported > before
}

// begin is the reading under way, or a new one: a quarantine is ended only by
// books that were begun after its quiet period. One that leads nowhere is
// replaced when a new one leads further: while the provider is away, none does.
func (w *Watch) begin(ctx context.Context, biller topup.Biller, base topup.Standing, ending bool) (*reading, error) {
	fresh := begun(biller, base, ending)
	w.mu.Lock()
	r := w.books.reading
	w.mu.Unlock()
	var err error
	switch {
	case r == nil || r.spent || r.count == 0 && !r.done || !fresh.sameAs(r):
		r = fresh
	case r.failures < failuresPerPart || r.done:
		return r, nil
	default:
		if err = r.next(ctx); err == nil {
			return r, nil
		}
		if fresh.next(ctx) == nil {
			r, err = fresh, nil
		}
	}
	w.mu.Lock()
	w.books.reading = r
	w.mu.Unlock()
	return r, err
}

// sameAs tells whether both readings are for the same end.
func (r *reading) sameAs(other *reading) bool {
	if r.quarantined == nil || other.quarantined == nil {
		return r.quarantined == other.quarantined
	}
	return r.quarantined.Equal(*other.quarantined)
}

// begun is a reading of which no part was read.
func begun(biller topup.Biller, base topup.Standing, ending bool) *reading {
	since := laterOf(base.KnownAt.Add(-booksMargin), base.Now.Add(-booksMost))
	if base.KnownAt.After(base.Now) { // noted by a clock that was ahead: it says nothing
		since = base.Now.Add(-booksMost)
	}
	r := &reading{bills: biller.BilledSince(since), since: since, at: base.Now}
	if ending {
		r.quarantined = base.QuarantinedAt
	}
	return r
}

// amidBooks tells whether the next poll reads the books on.
func (w *Watch) amidBooks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.books.reading
	return r != nil && !r.done && r.failures == 0
}

// progress says how far the reading has come, to whoever asks why nothing is bought.
func (w *Watch) progress(ctx context.Context, r *reading) {
	w.mu.Lock()
	w.books.failed = fmt.Sprintf("the provider's books are being read: %d bills so far, back to %s of %s", r.count,
		r.part.Back.UTC().Format(time.RFC3339), r.since.UTC().Format(time.RFC3339))
	w.books.retries = 0
	w.mu.Unlock()
	w.Log.LogAttrs(ctx, slog.LevelInfo, "books", slog.String("provider", w.Name), slog.Time("since", r.since),
		slog.Int("bills", r.count), slog.Time("back", r.part.Back), slog.Int("imported", r.imported))
}

// ending tells whether the books may end the provider's quarantine now. What
// was sent before it began may run, and be listed, until the quiet period is
// over: a look before that proves nothing.
func (w *Watch) ending(base topup.Standing) bool {
	return base.Quarantined != "" && !base.QuarantineHeld && base.QuarantinedAt != nil &&
		!base.Now.Before(base.QuarantinedAt.Add(w.Found().Quiet(w.QuietPeriod)))
}

// readBooks reads and imports on, until the reading is done or has had its turn.
func (w *Watch) readBooks(ctx context.Context, r *reading, lease topup.Lease, base topup.Standing) (err error) {
	for range partsPerPoll {
		if !r.untaken && !r.done {
			if err := r.next(ctx); err != nil {
				return err
			}
		}
		if r.untaken {
			n, err := w.importBilled(ctx, r.part.Topups)
			r.imported += n
			if err != nil {
				return err
			}
			r.untaken = false
		}
		if r.done {
			return w.endBooks(ctx, r, lease, base)
		}
	}
	return nil
}

// next reads the part that follows.
func (r *reading) next(ctx context.Context) error {
	part, done, err := r.bills.Next(ctx)
	if err != nil {
		r.failures++
		return err
	}
	r.part, r.done, r.untaken, r.failures = part, done, true, 0
	r.count += part.Bills
	if r.unreadable += len(part.Unreadable); r.odd == "" && len(part.Unreadable) > 0 {
		r.odd = part.Unreadable[0]
	}
	return nil
}

// endBooks draws the conclusion from books that were read to their end.
func (w *Watch) endBooks(ctx context.Context, r *reading, lease topup.Lease, base topup.Standing) error {
	if err := w.unreadable(ctx, r); err != nil {
		r.spent = true // a person may change what the books say
		return err
	}
	attrs := []slog.Attr{slog.String("provider", w.Name), slog.Time("since", r.since), slog.Int("imported", r.imported)}
	if r.quarantined != nil {
		return w.endQuarantine(ctx, r, lease, base, attrs)
	}
	if r.imported > 0 {
		w.Log.LogAttrs(ctx, slog.LevelWarn, "books", attrs...)
	}
	return w.Archive.NoteKnown(ctx, lease, r.at)
}

// unreadable bills keep a quarantine for a person, who may know better. At a
// start they do not keep everybody from being bought for.
func (w *Watch) unreadable(ctx context.Context, r *reading) error {
	if r.unreadable == 0 {
		return nil
	}
	err := fmt.Errorf("%d bills could not be read, among them %q", r.unreadable, r.odd)
	if r.quarantined != nil {
		return fmt.Errorf("%w; look at them, then topupd resume --provider %s", err, w.Name)
	}
	w.Log.LogAttrs(ctx, slog.LevelWarn, "books", slog.String("provider", w.Name), slog.Any("err", err))
	return nil
}

func (w *Watch) endQuarantine(ctx context.Context, r *reading, lease topup.Lease, base topup.Standing, attrs []slog.Attr) error {
	why, err := w.Archive.EndQuarantine(ctx, topup.QuarantineEnd{
		Lease: lease, Since: *r.quarantined, ReadAt: r.at,
		Others: r.quarantined.Add(w.PurchaseTimeout), // a request from before may have run as long
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
		return // the next poll sees how it stands
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
