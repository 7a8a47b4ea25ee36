package emulator

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// Emulator is both providers and their customers. All methods may be called
// from any goroutine.
type Emulator struct {
	world     *world
	hyperline *hyperline
	talkover  *talkover
	handler   http.Handler
}

// New makes the world that o describes. Nothing moves by itself until Run or
// Tick; a rate in o.Faults that is not a probability is replaced by none and
// logged.
func New(o Options) *Emulator {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Speed <= 0 {
		o.Speed = 1
	}
	if err := o.Faults.Validate(); err != nil {
		o.Logger.Error("faults ignored", slog.Any("err", err))
		o.Faults = Faults{}
	}
	w := &world{
		clock:    o.Now,
		rng:      rand.New(rand.NewPCG(o.Seed, 0x746f70757064)),
		faults:   o.Faults.clone(),
		log:      o.Logger,
		released: make(chan struct{}),
	}
	now := o.Now().UTC()
	e := &Emulator{
		world:     w,
		hyperline: newHyperline(w, o.Hyperline.withDefaults(), o.Speed, now),
		talkover:  newTalkover(w, o.Talkover.withDefaults(), o.Speed, now),
	}
	e.handler = e.routes()
	return e
}

// Handler serves Hyperline at /, Talkover below /talkover and the control plane
// below /_emulator/.
func (e *Emulator) Handler() http.Handler { return e.handler }

func (e *Emulator) routes() http.Handler {
	mux := http.NewServeMux()
	e.hyperline.routes(mux)
	e.talkover.routes(mux)
	e.controlRoutes(mux)
	return mux
}

// tickEvery is how often Run looks for work. Halved, idle emulators cost more;
// doubled, late charges and native top-ups are coarser than their options.
const tickEvery = 100 * time.Millisecond

// Run drains balances, posts late charges, retries declined invoices and runs
// the providers' own auto top-ups until ctx ends, then lets hung connections go.
// It returns nil.
func (e *Emulator) Run(ctx context.Context) error {
	defer e.world.release.Do(func() { close(e.world.released) })
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			e.Tick(e.world.clock())
		}
	}
}

// Tick does once, as of now, what Run does all the time. With a virtual clock,
// now should be what Options.Now returns.
func (e *Emulator) Tick(now time.Time) {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	now = now.UTC()
	e.world.runDue(now)
	e.hyperline.tick(now)
	e.talkover.tick(now)
	e.world.runDue(now)
}

// Books is a copy of what was truly ordered and charged so far.
func (e *Emulator) Books() Books {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	e.world.runDue(e.world.clock().UTC())
	return e.world.books.copy()
}

// SetFaults replaces all faults from the next request on. Invalid ones are
// replaced by none and logged; call Validate first where that matters.
func (e *Emulator) SetFaults(f Faults) {
	if err := f.Validate(); err != nil {
		e.world.log.Error("faults ignored", slog.Any("err", err))
		f = Faults{}
	}
	e.world.locked(func(time.Time) { e.world.faults = f.clone() })
}

// Faults returns the active faults with what is left of their queue.
func (e *Emulator) Faults() Faults {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	return e.world.faults.clone()
}

// Force appends fault names to the queue of forced faults (Faults.Next).
func (e *Emulator) Force(names ...string) error {
	if err := (Faults{Next: names}).Validate(); err != nil {
		return err
	}
	e.world.locked(func(time.Time) {
		e.world.faults.Next = append(e.world.faults.clone().Next, names...)
	})
	return nil
}
