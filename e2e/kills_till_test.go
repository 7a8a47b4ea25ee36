package e2e

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"topupd/clients/emulator"
)

// purchaseFaults are what can go wrong with one purchase request at a provider.
var purchaseFaults = []string{
	"charge_then_500", "charge_then_hang", "charge_then_drop", "charge_then_truncate", "charge_then_html",
	"fail_without_charging_500", "drop_without_charging", "hang_without_charging",
	"decline", "decline_201_unpaid", "throttle", "slow", "execute_late",
}

// Steps of a purchase at which a process can be killed: those of the fault
// points, and those that the provider sees.
var (
	stepsBefore = []string{"planned", "connected", "permitted"} // the request has not left
	stepsAfter  = []string{"arrived", "answered", "stored"}     // it has
	stepsOfRead = []string{"reading", "read"}                   // a look or a confirm read, before and after its answer
)

// pair is a death at a step, and the fault that the request concerned suffers.
type pair struct{ step, fault string }

// till stands before the emulated providers and decides for every single
// purchase request what goes wrong with it, and sees when a process can be
// killed in the middle of one.
type till struct {
	emu     *emulator.Emulator
	inner   http.Handler
	share   float64 // of the purchase requests that suffer a fault drawn by chance
	drawing sync.Mutex
	rng     *rand.Rand // guarded by drawing

	mu      sync.Mutex
	every   string                // fault of every purchase request, "" = by chance
	owed    map[string]pair       // by customer: what his next request suffers
	paid    func(owed, done pair) // told when it came; another fault may have been due
	arrived map[string]bool       // keys (environments) whose request came since arm
	trap    trap
}

// trap kills a process at the nth hit of a step, counted from a moment on.
type trap struct {
	step string
	nth  int
	from time.Time
	kill func()
}

// longestRequest is more than a daemon under test waits for its answer.
const longestRequest = 2500 * time.Millisecond

func newTill(e *emulator.Emulator, seed uint64, share float64, paid func(owed, done pair)) *till {
	return &till{
		emu: e, inner: e.Handler(), share: share, rng: rand.New(rand.NewPCG(seed, 0x6b696c6c)), paid: paid,
		owed: map[string]pair{}, arrived: map[string]bool{},
	}
}

// arm says how the next process dies, and what every purchase request suffers
// whose answer can lead to that ("" = what chance brings).
func (f *till) arm(every string, t trap) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.every, f.trap = every, t
	clear(f.arrived)
}

// disarm lets everything go by chance again, and tells whether the trap was
// sprung.
func (f *till) disarm() (sprung bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sprung = f.trap.step != "" && f.trap.nth <= 0
	f.every, f.trap = "", trap{}
	return sprung
}

// owe makes the customer's next purchase request suffer the pair's fault.
func (f *till) owe(customer string, p pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owed[customer] = p
}

// forgive ends all faults, chosen or by chance.
func (f *till) forgive() {
	f.drawing.Lock()
	defer f.drawing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.share, f.every, f.owed = 0, "", map[string]pair{}
}

// came tells whether a request under the key, or of the environment, arrived
// since arm.
func (f *till) came(key, environment string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.arrived[key] || f.arrived[environment]
}

// hit kills the process when this is the hit that was waited for.
func (f *till) hit(step string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trap.step != step || time.Now().Before(f.trap.from) {
		return
	}
	if f.trap.nth--; f.trap.nth == 0 {
		f.trap.kill()
	}
}

func (f *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/purchase") {
		f.purchase(w, r)
		return
	}
	books := strings.HasSuffix(r.URL.Path, "/transactions") || strings.HasPrefix(r.URL.Path, "/v2/invoices")
	if books {
		f.hit("reading")
	}
	f.inner.ServeHTTP(w, r)
	if books {
		f.hit("read")
	}
}

// purchase gives the request the fault that was decided for it. No second one
// may draw its fault before this one has.
func (f *till) purchase(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	customer := payer(r)
	f.drawing.Lock()
	fault, due := f.decide(customer, r.Header.Get("Idempotency-Key"))
	_ = f.emu.Force(fault) // the names are known
	served := make(chan struct{})
	go func() {
		defer f.drawing.Unlock()
		if f.drawn(served) && due != nil {
			f.paid(*due, pair{due.step, fault})
		}
	}()
	defer close(served)
	f.hit("arrived")
	f.inner.ServeHTTP(w, r)
}

// drawn waits until the provider has drawn the fault that was forced; false
// when the request ended before it came to that, as in an outage.
func (f *till) drawn(served <-chan struct{}) bool {
	for len(f.emu.Faults().Next) > 0 {
		select {
		case <-served:
			rest := f.emu.Faults()
			if len(rest.Next) == 0 {
				return true
			}
			rest.Next = nil
			f.emu.SetFaults(rest)
			return false
		case <-time.After(200 * time.Microsecond):
		}
	}
	return true
}

// decide settles what the request suffers: what this whole life of the process
// is for, else what the customer is owed, else what chance brings.
func (f *till) decide(customer, key string) (fault string, due *pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if key == "" {
		key = customer
	}
	f.arrived[key] = true
	if p, ok := f.owed[customer]; ok {
		delete(f.owed, customer)
		due = &p
	}
	switch {
	case f.every != "" && time.Now().After(f.trap.from.Add(-longestRequest)):
		return f.every, due
	case due != nil:
		return due.fault, due
	case f.rng.Float64() < f.share:
		return purchaseFaults[f.rng.IntN(len(purchaseFaults))], nil
	default:
		return "none", nil
	}
}

// payer is the customer or environment that a purchase request is for.
func payer(r *http.Request) string {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v1/customers/"); ok {
		id, _, _ := strings.Cut(rest, "/")
		return id
	}
	return "env-" + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer user_emulator_")
}
