package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"topupd/clients"
	"topupd/clients/hyperline"
	"topupd/clients/talkover"
	"topupd/scheduler"
	"topupd/topup"
)

// replica is one life of one daemon: everything that cmd/topupd puts together,
// on a desk and a network of its own.
type replica struct {
	w     *world
	n     int
	life  int // how often this replica was started before
	dead  atomic.Bool
	skew  skew
	stop  context.CancelFunc
	ended chan struct{}

	frozenUntil atomic.Int64  // UnixNano
	restart     time.Duration // after it has ended by itself; < 0 = never

	mu    sync.Mutex
	lines []*line
	free  []func()
}

func (r *replica) index() int {
	if r == nil {
		return -1
	}
	return r.n
}

func (r *replica) String() string {
	if r == nil {
		return "the provider"
	}
	return fmt.Sprintf("r%d", r.n)
}

func (r *replica) now() time.Time { return time.Now().Add(r.skew.get()) }

// frozen tells whether the process is stopped.
func (r *replica) frozen() bool { return time.Now().UnixNano() < r.frozenUntil.Load() }

// keep remembers a connection, so that it dies with the process.
func (r *replica) keep(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, l)
}

// shut closes every connection, as the kernel does for a process that is gone.
func (r *replica) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		_ = l.Conn.Close()
	}
	r.lines = nil
}

// idle gives the connections of finished reads back.
func (r *replica) idle() {
	for _, free := range r.free {
		free()
	}
}

// start brings a replica up.
func (w *world) start(n int) {
	if w.finished {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &replica{w: w, n: n, stop: stop, ended: make(chan struct{}), restart: -1}
	for _, other := range w.all {
		if other.n == n {
			r.life++
		}
	}
	w.replicas[n] = r
	w.all = append(w.all, r)
	s := &scheduler.Scheduler{Log: w.log}
	name := "hyperline"
	if w.renamed {
		name = "billing"
	}
	s.Watches = append(s.Watches, r.watch(hyperlineID, name, true, r.hyperline()))
	for _, c := range w.customers {
		if c.Provider == "talkover" {
			s.Watches = append(s.Watches, r.watch(talkoverID(c.ID), "voice-"+c.ID, false, r.talkover(c.ID, c.UserToken, c.EnvironmentToken)))
		}
	}
	w.tell("", "%s starts", r)
	go func() {
		defer close(r.ended)
		_ = s.Run(ctx)
	}()
}

// client is what a watch asks of a provider connection.
type client interface {
	topup.Provider
	scheduler.Reader
	TokenFingerprint() string
}

func (r *replica) options(base string) clients.Options {
	u, err := url.Parse(base)
	if err != nil {
		panic(err)
	}
	rng, mu := rand.New(rand.NewPCG(r.w.h.Seed, uint64(r.n))), &sync.Mutex{}
	jitter := func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return rng.Float64()
	}
	limits := r.w.h.Limits
	if limits.SharePercent == 0 {
		plenty := clients.Rate{Count: 100_000, Window: time.Second}
		limits = clients.Limits{Reads: plenty, Writes: plenty, SharePercent: 100}
	}
	return clients.Options{
		BaseURL: u, PurchaseTimeout: timeout, Now: r.now, Rand: jitter,
		Limits: limits,
		Dial:   func(ctx context.Context, _, _ string) (net.Conn, error) { return r.w.net.dial(ctx, r) },
	}
}

func (r *replica) hyperline() client {
	c, err := hyperline.New(hyperline.Options{ID: hyperlineID, Name: "hyperline", API: r.options("http://hyperline.sim"), Token: token("test_emulator")})
	if err != nil {
		panic(err)
	}
	return c
}

func (r *replica) talkover(env, user, environment string) client {
	o := r.options("http://talkover.sim/talkover")
	o.Limits.Shared = true
	c, err := talkover.New(talkover.Options{
		ID: talkoverID(env), Name: "voice-" + env, API: o, Environment: topup.CustomerID(env),
		UserToken: token(user), EnvironmentToken: token(environment),
	})
	if err != nil {
		panic(err)
	}
	return c
}

// watch puts one connection together, as the daemon does.
func (r *replica) watch(id topup.ProviderID, name string, books bool, c client) *scheduler.Watch {
	w := r.w
	desk := &desk{Store: w.store, r: r}
	observe := func(e topup.Event) { w.judge.event(r, e) }
	holder := fmt.Sprintf("r%d/%d", r.n, r.life)
	purchaser := &topup.Purchaser{
		Ledger: desk, Provider: c, Books: books, Replica: holder,
		TokenFingerprint: c.TokenFingerprint, Clock: r.now, Observe: observe,
		Step: func(step string) { w.gate.pass(r, "step "+step, "repeat") }, // of repeats; see stepper
	}
	steps := &stepper{Purchaser: purchaser, r: r}
	reconciler := &topup.Reconciler{
		ID: id, Queue: desk, Ledger: desk, Provider: c, Purchaser: purchaser, Books: books, Observe: observe,
	}
	policy := topup.PolicyRetry
	if !books || w.h.Review {
		policy = topup.PolicyReview
	}
	watch := scheduler.NewWatch(scheduler.Options{
		ID: id, Name: name, PollEvery: w.h.Poll,
		Policy: policy, QuietPeriod: quietPeriod, PurchaseTimeout: timeout,
		Holder: holder, Rulebook: w.rulebook,
		Reader: c, TokenFingerprint: c.TokenFingerprint,
		Leases: desk, Standings: desk, Planner: desk, Archive: desk, Holds: desk, Doubts: desk, Decisions: desk,
		Purchaser: steps, Visitor: reconciler, Observer: board{w, r},
		Now: r.now, Log: w.log,
	})
	reconciler.Latest, reconciler.Decide = watch.Latest, watch.Again
	return watch
}

// stepper tells the steps of a purchase with its customer.
type stepper struct {
	*topup.Purchaser
	r *replica
}

func (s *stepper) Buy(ctx context.Context, p topup.Purchase, lease topup.Lease) (topup.Purchase, error) {
	one := *s.Purchaser
	one.Step = func(step string) { s.r.w.gate.pass(s.r, "step "+step, string(p.Target.Customer)) }
	return one.Buy(ctx, p, lease)
}

// board takes the picture that a replica gives to its metrics.
type board struct {
	w *world
	r *replica
}

func (b board) Decided(string, string, topup.Reason)                     {}
func (b board) Polled(_, result string, _ time.Duration, _ time.Time)    { b.w.judge.polled(result) }
func (b board) Recovered(string, time.Duration)                          {}
func (b board) RuleLost(string, int)                                     {}
func (b board) Pace(string, time.Duration, time.Duration)                {}
func (b board) Targets(_ string, _ time.Time, s []scheduler.TargetState) { b.w.judge.picture(s) }

// token is a secret that never changes.
type token string

func (t token) Reveal() string        { return string(t) }
func (t token) Reload() (bool, error) { return false, nil }
func (t token) Fingerprint() string   { return "sim:" + string(t[:4]) }
