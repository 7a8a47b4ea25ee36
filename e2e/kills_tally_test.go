package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// tally counts what really happened in the kills of one database.
type tally struct {
	kills int
	say   func(string)
	began time.Time

	mu      sync.Mutex
	done    int
	hit     map[pair]int
	pending map[pair]int // died at the step, and the fault is still to come
	reads   map[string]int
	random  int
}

// pairs are every step with every fault.
func pairs() []pair {
	var all []pair
	for _, step := range slices.Concat(stepsBefore, stepsAfter) {
		for _, fault := range purchaseFaults {
			all = append(all, pair{step, fault})
		}
	}
	return all
}

func newTally(kills int, say func(string)) *tally {
	return &tally{kills: kills, say: say, began: time.Now(), hit: map[pair]int{}, pending: map[pair]int{}, reads: map[string]int{}}
}

// thorough tells whether there are enough kills for every pair.
func (s *tally) thorough() bool { return s.kills >= 1000 }

// rarest is one of the pairs that were hit least.
func (s *tally) rarest(rng *rand.Rand) pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	least, low := []pair(nil), 0
	for _, p := range pairs() {
		n := s.hit[p] + s.pending[p]
		if least == nil || n < low {
			least, low = nil, n
		}
		if n == low {
			least = append(least, p)
		}
	}
	return least[rng.IntN(len(least))]
}

// killed counts one death by what it really was.
func (s *tally) killed(d death) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	switch {
	case d.step == "":
		s.random++
	case d.fault == "":
		s.reads[d.step]++
	case !before(d.step):
		s.hit[d.pair]++
	}
	if s.done%50 == 0 || s.done == s.kills {
		took := time.Since(s.began)
		s.say(fmt.Sprintf("%d kills in %s, %.2f s each", s.done, took.Round(time.Second), took.Seconds()/float64(s.done)))
	}
}

// owes notes that a purchase died at a step and its fault is still to come.
func (s *tally) owes(p pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[p]++
}

// paid notes that the request which followed on such a death came, and what it
// suffered.
func (s *tally) paid(owed, done pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[owed]--
	s.hit[done]++
}

// below lists the pairs that were hit less than n times.
func (s *tally) below(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rare []string
	for _, p := range pairs() {
		if s.hit[p] < n {
			rare = append(rare, fmt.Sprintf("%s/%s %d", p.step, p.fault, s.hit[p]))
		}
	}
	return rare
}

// String is the table of steps and faults.
func (s *tally) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	steps := slices.Concat(stepsBefore, stepsAfter)
	fmt.Fprintf(&b, "%-26s", "the request suffers")
	for _, step := range steps {
		fmt.Fprintf(&b, "%10s", step)
	}
	total := 0
	for _, fault := range purchaseFaults {
		fmt.Fprintf(&b, "\n%-26s", fault)
		for _, step := range steps {
			n := s.hit[pair{step, fault}]
			total += n
			fmt.Fprintf(&b, "%10d", n)
		}
	}
	due := 0
	for _, n := range s.pending {
		due += n
	}
	fmt.Fprintf(&b, "\n%d kills: %d at a step with the fault that followed, %d at one whose request has not come again, %d while books were read, %d just after, %d at any moment",
		s.done, total, due, s.reads["reading"], s.reads["read"], s.random)
	return b.String()
}
