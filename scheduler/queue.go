package scheduler

import (
	"cmp"
	"sync"
	"time"

	"topupd/topup"
)

// queue holds the targets that wait for their confirm read, most urgent first.
type queue struct {
	mu      sync.Mutex
	waiting map[topup.Target]waiting
	busy    map[topup.Target]bool
	wake    chan struct{}
}

type waiting struct {
	target topup.Target
	due    time.Time
	left   int64 // thousandths of the threshold that are left; the lowest goes first
}

// before orders the waiting totally: the emptiest, then who waits longest, then
// by name, so that the order never hangs on a map's.
func (w waiting) before(other waiting) bool {
	return cmp.Or(
		cmp.Compare(w.left, other.left), w.due.Compare(other.due),
		cmp.Compare(w.target.Customer, other.target.Customer), cmp.Compare(w.target.Product, other.target.Product),
	) < 0
}

func newQueue() *queue {
	return &queue{waiting: map[topup.Target]waiting{}, busy: map[topup.Target]bool{}, wake: make(chan struct{}, 1)}
}

// put adds or updates a target; one that is being checked right now is left
// alone. Nobody is woken: the most urgent of a sweep is not known before its end.
func (q *queue) put(w waiting) {
	q.mu.Lock()
	if !q.busy[w.target] {
		q.waiting[w.target] = w
	}
	q.mu.Unlock()
}

// notify wakes a worker; it wakes the next one.
func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// clear forgets who waits; checks that have begun go on.
func (q *queue) clear() {
	q.mu.Lock()
	clear(q.waiting)
	q.mu.Unlock()
}

func (q *queue) drop(target topup.Target) {
	q.mu.Lock()
	delete(q.waiting, target)
	q.mu.Unlock()
}

// take returns the most urgent target that is due, or how long until the next
// one is (zero when none waits).
func (q *queue) take(now time.Time) (topup.Target, bool, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var best *waiting
	var next time.Duration
	for _, w := range q.waiting {
		if wait := w.due.Sub(now); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		if best == nil || w.before(*best) {
			best = &w
		}
	}
	if best == nil {
		return topup.Target{}, false, next
	}
	target := best.target
	delete(q.waiting, target)
	q.busy[target] = true
	if len(q.waiting) > 0 {
		q.notify() // this worker may be long; another takes over its waiting
	}
	return target, true, 0
}

// done ends a target's check.
func (q *queue) done(target topup.Target) {
	q.mu.Lock()
	delete(q.busy, target)
	q.mu.Unlock()
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + len(q.busy)
}

// leftOf is how much of the threshold is left, in thousandths.
func leftOf(balance, threshold topup.Credits) int64 {
	return int64(balance) / max(1, int64(threshold)/1000)
}
