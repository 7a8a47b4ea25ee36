package sim

import (
	"cmp"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// turnstile lets one thing happen at a time. Whoever is about to touch the
// database or a provider waits here until the driver lets it through; the
// driver does so only when nobody else is running. Everything between two
// passes is one step of a history.
type turnstile struct {
	mu      sync.Mutex
	waiting []*visitor
	arrived chan struct{}
	passed  int
}

// visitor is one goroutine in front of the turnstile.
type visitor struct {
	by    *replica // nil = the outside world
	what  string   // "permit", "step answered", "request"
	about string   // customer or path; makes visitors comparable between runs
	leave chan struct{}
}

func newTurnstile() *turnstile { return &turnstile{arrived: make(chan struct{}, 1)} }

// pass waits for the driver. A process that was killed meanwhile ends here: its
// goroutine never returns.
func (s *turnstile) pass(by *replica, what, about string) {
	if by != nil && by.dead.Load() {
		runtime.Goexit()
	}
	v := &visitor{by: by, what: what, about: about, leave: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, v)
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	<-v.leave
	if by != nil && by.dead.Load() {
		runtime.Goexit()
	}
}

// next takes one visitor that may pass, by chance; nil when there is none.
func (s *turnstile) next(rng *rand.Rand, may func(*visitor) bool) *visitor {
	s.mu.Lock()
	defer s.mu.Unlock()
	var free []*visitor
	for _, v := range s.waiting {
		if may(v) {
			free = append(free, v)
		}
	}
	if len(free) == 0 {
		return nil
	}
	slices.SortStableFunc(free, func(a, b *visitor) int {
		return cmp.Or(cmp.Compare(a.by.index(), b.by.index()), cmp.Compare(a.what, b.what), cmp.Compare(a.about, b.about))
	})
	v := free[0]
	if len(free) > 1 {
		v = free[rng.IntN(len(free))]
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(other *visitor) bool { return other == v })
	s.passed++
	return v
}

// flush lets everybody of a dead process through, to its end.
func (s *turnstile) flush(by *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(v *visitor) bool {
		if v.by == by {
			close(v.leave)
		}
		return v.by == by
	})
}

// passes is pass for goroutines that must not end: it tells whether the process
// still lives.
func (s *turnstile) passes(by *replica, what, about string) bool {
	lives := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.pass(by, what, about)
		lives = true
	}()
	<-done
	return lives
}
