package scheduler

import (
	"cmp"
	"sync"
	"time"

	"topupd/topup"
)

// weights are the parts of the classes in the picks of the queue. Whatever the
// others do, a class is picked at least once in allWeights/weight picks (rounded
// up, and one more for each other class) while it has somebody due and a worker.
var weights = [classes]int{first: 8, again: 4, lasting: 2, suspended: 1}

const allWeights = 8 + 4 + 2 + 1

// oldestEvery is how many picks of a class are one for who has been due the
// longest; the others are for the emptiest. So nobody who is due waits for more
// than oldestEvery picks of its class for each who has been due for longer.
const oldestEvery = 4

// queue holds the targets that wait for their check.
type queue struct {
	workers int

	mu      sync.Mutex
	waiting map[topup.Target]waiting
	busy    map[topup.Target]class
	turn    [classes]int // virtual time at which a class is due again, in units of allWeights picks
	now     int          // virtual time
	picks   [classes]int
	wake    chan struct{}
}

type waiting struct {
	target topup.Target
	class  class
	due    time.Time
	left   int64 // thousandths of the threshold that are left; the lowest goes first
}

// emptier and longer order the waiting totally, so that the order never hangs on
// a map's.
func (w waiting) emptier(other waiting) bool {
	return cmp.Or(cmp.Compare(w.left, other.left), w.due.Compare(other.due), w.byName(other)) < 0
}

func (w waiting) longer(other waiting) bool {
	return cmp.Or(w.due.Compare(other.due), cmp.Compare(w.left, other.left), w.byName(other)) < 0
}

func (w waiting) byName(other waiting) int {
	return cmp.Or(cmp.Compare(w.target.Customer, other.target.Customer), cmp.Compare(w.target.Product, other.target.Product))
}

func newQueue(workers int) *queue {
	return &queue{workers: workers, waiting: map[topup.Target]waiting{}, busy: map[topup.Target]class{}, wake: make(chan struct{}, 1)}
}

// put adds or updates a target; one that is being checked right now is left
// alone. Nobody is woken: the most urgent of a page is not known before its end.
func (q *queue) put(w waiting) {
	q.mu.Lock()
	if _, busy := q.busy[w.target]; !busy {
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

// lane is who of a class is due.
type lane struct{ emptiest, oldest *waiting }

// take returns the target whose turn it is, or how long until the next one is due
// (zero when none waits).
func (q *queue) take(now time.Time) (w waiting, ok bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lanes, next := q.due(now)
	c := q.pick(lanes)
	if c == idle {
		return waiting{}, false, next
	}
	q.picks[c]++
	w = *lanes[c].emptiest
	if q.picks[c]%oldestEvery == 0 {
		w = *lanes[c].oldest
	}
	delete(q.waiting, w.target)
	q.busy[w.target] = c
	if len(q.waiting) > 0 {
		q.notify() // this worker may be long; another takes over its waiting
	}
	return w, true, 0
}

// due sorts who is due into lanes, and tells how long until the next one is.
func (q *queue) due(now time.Time) (lanes [classes]lane, next time.Duration) {
	for _, w := range q.waiting {
		if wait := w.due.Sub(now); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		l := &lanes[w.class]
		if l.emptiest == nil || w.emptier(*l.emptiest) {
			l.emptiest = &w
		}
		if l.oldest == nil || w.longer(*l.oldest) {
			l.oldest = &w
		}
	}
	return lanes, next
}

// pick is the class whose turn it is; idle when none may have a worker.
func (q *queue) pick(lanes [classes]lane) class {
	best, at := idle, 0
	for c := first; c < classes; c++ {
		if lanes[c].emptiest == nil || !q.mayWork(c) {
			continue
		}
		if turn := max(q.turn[c], q.now); best == idle || turn < at {
			best, at = c, turn
		}
	}
	if best != idle {
		q.now, q.turn[best] = at, at+allWeights*allWeights/weights[best]
	}
	return best
}

// mayWork keeps workers free for first checks: one that is called back must not
// wait behind many that come to nothing, each of which waits for its part of the
// read budget.
func (q *queue) mayWork(c class) bool {
	if c == first {
		return true
	}
	own, later := 0, 0
	for _, b := range q.busy {
		if b == c {
			own++
		}
		if b != first {
			later++
		}
	}
	return own < max(1, q.workers/2) && later < max(1, q.workers*3/4)
}

// done ends a target's check.
func (q *queue) done(target topup.Target) {
	q.mu.Lock()
	delete(q.busy, target)
	more := len(q.waiting) > 0
	q.mu.Unlock()
	if more {
		q.notify() // the class may have a worker again
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + len(q.busy)
}

// of counts who of a class waits.
func (q *queue) of(c class) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.waiting {
		if w.class == c {
			n++
		}
	}
	return n
}

// leftOf is how much of the threshold is left, in thousandths.
func leftOf(balance, threshold topup.Credits) int64 {
	return int64(balance) / max(1, int64(threshold)/1000)
}
