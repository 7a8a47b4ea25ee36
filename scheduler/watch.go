package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// Options are what watching one provider connection needs.
type Options struct {
	ID          topup.ProviderID
	Name        string // the label in the YAML
	PollEvery   time.Duration
	Workers     int // confirm reads and purchases at the same time; 0 = DefaultWorkers
	AllowNative bool
	FirstHold   time.Duration

	// The life of a purchase here, frozen onto each one.
	Policy          topup.Policy
	QuietPeriod     time.Duration
	PurchaseTimeout time.Duration
	// Found is what was found out about the provider; nil = nothing. It can only
	// make Policy and QuietPeriod more careful.
	Found func() topup.Found

	Holder   string // names this process in leases
	Rulebook func() *Rulebook

	Reader           Reader
	TokenFingerprint func() string
	Leases           Leases
	Standings        Standings
	Planner          Planner
	Archive          Archive
	Holds            Holds
	Doubts           Doubts
	Decisions        Decisions
	Purchaser        Purchaser
	Visitor          Visitor
	Observer         Observer
	LeaseChanged     func(held bool)                      // may be nil
	DryRun           bool                                 // the daemon buys nothing, and repeats nothing
	Planned          func(topup.Purchase, rules.Decision) // may be nil

	Now func() time.Time
	Log *slog.Logger
}

// DefaultWorkers bounds the purchases in flight per connection. The rate
// budget is the real bound; with fewer, one slow provider answer (up to
// purchase_timeout) would keep too many customers waiting.
const DefaultWorkers = 8

// Watch watches one provider connection.
type Watch struct {
	Options
	holding *holding
	queue   *queue
	rush    chan struct{} // many wait for their first check

	mu           sync.Mutex
	tracked      map[topup.Target]*tracked
	term         int64                       // of the lease that tracked belongs to
	lastOK       time.Time                   // of the last complete or incomplete poll that gave readings
	lastPage     time.Time                   // when the newest poll under way was last seen to go on
	rushTold     time.Time                   // when a rush was last in the log
	lostTold     int                         // how many targets without their rule were last told
	lastShown    time.Time                   // when the picture was last given away
	passEnded    int64                       // the newest pass that gave readings to its end
	lastEnd      time.Time                   // of the last poll that ended, well or badly
	openProducts []topup.ProductID           // of open purchases, as of the last poll
	pass         int64                       // counts the polls
	passTook     time.Duration               // how long the last one that gave readings was
	seen, gone   int                         // targets that the one under way has shown; that plausibly ran out in it
	suspects     map[topup.Target]topup.Fall // not queued before the ledger has counted them
	books        books
	debts        debts
}

// tracked is what this process remembers about a target between polls. All of
// it can be lost: the ledger has what matters.
type tracked struct {
	reading   topup.Reading
	trust     rules.Trusted // of the readings that were believed
	zeroSince *time.Time    // since when every reading shows zero
	normal    int           // complete polls in a row that showed more than zero
	explain   bool          // held because it shows nothing, which the provider's list may explain
	unproven  bool          // bought for on a zero that one stamp shows
	pass      int64         // the newest one that showed it
	doubted   bool          // by the pass under way: what it says at its end is waited for
	shown     TargetState
	missing   time.Time
	spell     spell
	recalled  topup.Reason // trouble that the ledger knew of; stands until the first check

	decided      topup.Reason // by the newest poll
	confirmAfter time.Duration
	left         int64
	unpaid       *rules.Unpaid // what the rule tolerates
	order        topup.Order   // of the newest check

	saw     detail    // what the newest check saw
	news    bool      // the account has changed since the newest decision
	version int64     // of the ledger's facts in it
	book    *Rulebook // it was made by
	pauses  string    // that stood then

	lastAbove  time.Time      // newest reading that was not below
	below      bool           // by the newest reading that could be used
	threshold  *topup.Credits // of that reading
	last       topup.Evaluation
	recordedAt time.Time
	troubled   time.Time // since when below for a trouble reason
	dry        time.Time // since when at or below zero
	still      still     // how long the balance has not moved
}

// NewWatch prepares the watching of one connection.
func NewWatch(o Options) *Watch {
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	if o.Found == nil {
		o.Found = func() topup.Found { return topup.Found{} }
	}
	if o.Planned == nil {
		o.Planned = func(topup.Purchase, rules.Decision) {}
	}
	return &Watch{
		Options:  o,
		queue:    newQueue(o.Workers),
		rush:     make(chan struct{}, 1),
		tracked:  map[topup.Target]*tracked{},
		suspects: map[topup.Target]topup.Fall{},
		holding: &holding{
			leases: o.Leases, provider: o.ID, name: o.Name, holder: o.Holder,
			now: o.Now, log: o.Log, changed: o.LeaseChanged, gained: make(chan struct{}, 1),
		},
	}
}

// Latest returns the newest reading of a target that this process has.
func (w *Watch) Latest(target topup.Target) (topup.Reading, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.tracked[target]
	if !ok || t.reading.ReadAt.IsZero() {
		return topup.Reading{}, false
	}
	return t.reading, true
}

// LastPoll is when a poll last gave readings; zero when none has.
func (w *Watch) LastPoll() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastOK
}

// lastActive is when this process last had reason to be content with the
// polls here: the end of the newest one, a page of the one under way, or when it
// was given the lease.
func (w *Watch) lastActive() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return laterOf(laterOf(w.lastEnd, w.lastPage), w.holding.gainedAt())
}

// PassTook is how long the newest pass that gave readings took.
func (w *Watch) PassTook() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passTook
}

// Held tells whether this process works on the connection.
func (w *Watch) Held() bool {
	_, held := w.holding.current()
	return held
}

// visit takes open purchases further; it is called about once a second.
func (w *Watch) visit(ctx context.Context) {
	lease, held := w.holding.current()
	if !held {
		return
	}
	if _, err := w.Visitor.Visit(ctx, lease); err != nil && ctx.Err() == nil {
		w.Log.LogAttrs(ctx, slog.LevelError, "reconcile", slog.String("provider", w.Name), slog.Any("err", err))
	}
}

// work takes targets from the queue until ctx ends. A purchase that was
// permitted is finished first.
func (w *Watch) work(ctx context.Context) {
	for {
		turn, ok, wait := w.queue.take(w.Now())
		if ok {
			concluded := ctx.Err() == nil && w.check(ctx, turn)
			w.queue.done(turn.target)
			if ctx.Err() != nil {
				return
			}
			if concluded {
				w.again(turn.target)
			}
			continue
		}
		if !w.idle(ctx, wait) {
			return
		}
	}
}

// again lets a target that was checked wait for its next check.
func (w *Watch) again(target topup.Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t, known := w.tracked[target]; known && !t.doubted {
		w.enqueue(target, t, w.Now())
		w.queue.notify()
	}
}

// idle waits until something is due; false when ctx ended.
func (w *Watch) idle(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		wait = time.Minute
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-w.queue.wake:
		return true
	case <-timer.C:
		return true
	}
}

// StandsBy tells whether this process has asked for the lease and another one
// holds it.
func (w *Watch) StandsBy() bool { return w.holding.standsBy() }
