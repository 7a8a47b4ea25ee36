package emulator

import (
	"container/heap"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// The emulated providers, as Faults.Provider and the books name them.
const (
	HyperlineName = "hyperline"
	TalkoverName  = "talkover"
)

// world is what both providers share: one lock, one clock, one source of chance
// and the books. Everything below is guarded by mu.
type world struct {
	mu      sync.Mutex
	clock   func() time.Time
	rng     *rand.Rand
	faults  Faults
	books   openBooks
	due     jobs
	stopped bool // StopUsage
	cache   map[string]kept
	log     *slog.Logger

	released chan struct{} // closed when Run ends: hung answers let go
	release  sync.Once
}

// locked runs fn with the lock held, after everything that was due by now.
func (w *world) locked(fn func(now time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock().UTC()
	w.runDue(now)
	fn(now)
}

// job is work that the provider does by itself at a time.
type job struct {
	at  time.Time
	seq int
	run func(now time.Time)
}

// at schedules run. It may run later than asked, never earlier, and sees the
// time it was asked for, so that a late Tick changes no timestamp.
func (w *world) at(when time.Time, run func(now time.Time)) {
	w.due.count++
	heap.Push(&w.due, job{at: when, seq: w.due.count, run: run})
}

func (w *world) runDue(now time.Time) {
	for len(w.due.list) > 0 && !w.due.list[0].at.After(now) {
		next := heap.Pop(&w.due).(job)
		next.run(next.at)
	}
}

// within draws a duration from 0 to limit, inclusive.
func (w *world) within(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(limit) + 1))
}

// between draws from a Range in whole steps.
func (w *world) between(r Range, step quantity) quantity {
	low, high := limited(r.Min), limited(r.Max)
	if high <= low {
		return low
	}
	return low + quantity(w.rng.Int64N(int64((high-low)/step)+1))*step
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// id makes an identifier of the form seen in Hyperline's examples: a prefix and
// 14 letters and digits.
func (w *world) id(prefix string) string {
	text := make([]byte, 14)
	for i := range text {
		text[i] = letters[w.rng.IntN(len(letters))]
	}
	return prefix + string(text)
}

// jobs is a heap by time, then by order of scheduling.
type jobs struct {
	list  []job
	count int
}

func (j *jobs) Len() int      { return len(j.list) }
func (j *jobs) Swap(a, b int) { j.list[a], j.list[b] = j.list[b], j.list[a] }
func (j *jobs) Push(x any)    { j.list = append(j.list, x.(job)) }

func (j *jobs) Less(a, b int) bool {
	if !j.list[a].at.Equal(j.list[b].at) {
		return j.list[a].at.Before(j.list[b].at)
	}
	return j.list[a].seq < j.list[b].seq
}

func (j *jobs) Pop() any {
	last := len(j.list) - 1
	x := j.list[last]
	j.list[last] = job{}
	j.list = j.list[:last]
	return x
}
