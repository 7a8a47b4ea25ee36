package sim

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/ledger"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// began is when histories begin: not at midnight, not at a month's end.
var began = time.Date(2026, 11, 20, 12, 7, 0, 0, time.UTC)

const (
	hyperlineID = topup.ProviderID("hyperline://hyperline.sim/")
	quietPeriod = 15 * time.Minute
	timeout     = 75 * time.Second
	// maxAge is max_reading_age of every rule.
	maxAge = 2 * time.Minute
)

func talkoverID(env string) topup.ProviderID {
	return topup.ProviderID("talkover://talkover.sim/talkover/" + env)
}

// world is one history while it runs.
type world struct {
	h     history
	rng   *rand.Rand
	gate  *turnstile
	net   *network
	emu   *emulator.Emulator
	store *ledger.Store
	url   string // of the ledger
	judge *judge
	log   *slog.Logger

	customers []emulator.Customer
	index     map[topup.CustomerID]int
	replicas  []*replica // by index, the present incarnation; nil while it is down
	all       []*replica

	pending  []event // that wait for a step, a request or a commit
	actions  []action
	seq      int
	ended    bool // usage and events are over
	finished bool

	mu sync.Mutex // guards what processes look at without passing: leases, rules, the judge's live rows

	// What events change.
	away              atomic.Bool
	dbSkew, theirSkew skew
	windows           []event // read faults that are active
	version           int     // of the rules
	renamed           bool
	high              int // events that raise the threshold, now
	leases            map[topup.ProviderID]heldLease
	requests          map[topup.CustomerID]int
	commits           map[string]int
	trace             []line2
	tracing           bool
	readsBad          time.Time // when read faults were last active
	script            *script   // of a history that was written by hand; nil when a seed made it
}

// line2 is one line of what happened.
type line2 struct {
	at   time.Duration
	who  topup.CustomerID
	text string
}

// action is something that the driver does at a time.
type action struct {
	at  time.Time
	seq int
	do  func()
}

// skew is by how much a clock is wrong; processes read it whenever they like.
type skew struct{ ns atomic.Int64 }

func (s *skew) get() time.Duration  { return time.Duration(s.ns.Load()) }
func (s *skew) set(d time.Duration) { s.ns.Store(int64(d)) }

func (w *world) now() time.Time { return time.Now() }

// lived is how long the history has been going on.
func (w *world) lived() time.Duration { return w.now().Sub(w.h.begins()) }

// dbNow is the database clock.
func (w *world) dbNow() time.Time {
	return time.Now().Add(w.dbSkew.get()).UTC().Truncate(time.Microsecond)
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	w.actions = append(w.actions, action{at: w.now().Add(max(0, d)), seq: w.seq, do: do})
	sort.Slice(w.actions, func(i, j int) bool {
		if !w.actions[i].at.Equal(w.actions[j].at) {
			return w.actions[i].at.Before(w.actions[j].at)
		}
		return w.actions[i].seq < w.actions[j].seq
	})
}

// tell adds a line to what happened, when somebody listens.
func (w *world) tell(who topup.CustomerID, format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, line2{at: w.lived(), who: who, text: fmt.Sprintf(format, args...)})
	}
}

// run runs a history to its end and returns what the judge found.
func run(t *testing.T, h history, tracing bool) *judge {
	var verdict *judge
	uuid.SetRand(rand.NewChaCha8([32]byte{byte(h.Seed), byte(h.Seed >> 8), byte(h.Seed >> 16)})) // ids are part of the history
	defer uuid.SetRand(nil)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(h.begins()))
		w := newWorld(t, h)
		w.tracing = tracing
		w.drive()
		w.close(t)
		w.judge.trace = w.trace
		verdict = w.judge
	})
	return verdict
}

func newWorld(t *testing.T, h history) *world {
	w := &world{
		h: h, rng: rand.New(rand.NewPCG(h.Seed, 0x64726976)), gate: newTurnstile(),
		index: map[topup.CustomerID]int{}, requests: map[topup.CustomerID]int{}, commits: map[string]int{},
		leases: map[topup.ProviderID]heldLease{},
		log:    slog.New(slog.DiscardHandler),
	}
	w.judge = newJudge(w)
	w.emu = emulator.New(emulator.Options{
		Seed: h.Seed + 1, Now: func() time.Time { return time.Now().Add(w.theirSkew.get()) },
		Hyperline: emulator.HyperlineOptions{
			Customers: h.Targets, Reads: -1, Writes: -1, Threshold: decimal.MustNew(100, 0),
			Usage:        emulator.Range{Min: decimal.MustNew(int64(h.Usage/10+1), h.UsageScale), Max: decimal.MustNew(int64(h.Usage), h.UsageScale)},
			StartBalance: emulator.Range{Min: decimal.MustNew(90, 0), Max: decimal.MustNew(220, 0)},
			Profile:      h.Profile, KeyMemory: h.KeyMemory, RetrySchedule: h.Retries,
			LatePosting: h.ListLate, ExecuteLate: h.ExecuteLate,
		},
		Talkover: emulator.TalkoverOptions{
			Environments: h.Voices, Requests: -1, Threshold: decimal.MustNew(50, 0), Recharge: decimal.MustNew(60, 0),
			Usage:        emulator.Range{Min: decimal.MustNew(20, h.UsageScale), Max: decimal.MustNew(150, h.UsageScale)},
			StartBalance: emulator.Range{Min: decimal.MustNew(48, 0), Max: decimal.MustNew(90, 0)},
			PostLate:     h.ListLate / 3, ExecuteLate: h.ExecuteLate,
			Profile: emulator.TalkoverProfile{DailyLimit: decimal.MustNew(5000, 0)},
		},
	})
	w.openLedger(t)
	w.customers = w.emu.Customers()
	providers := []ledger.Provider{{ID: hyperlineID, Name: "hyperline", Type: "hyperline"}}
	for i, c := range w.customers {
		w.index[topup.CustomerID(c.ID)] = i
		if c.Provider == "talkover" {
			providers = append(providers, ledger.Provider{ID: talkoverID(c.ID), Name: "voice-" + c.ID, Type: "talkover"})
		}
	}
	if err := w.store.Register(t.Context(), providers); err != nil {
		t.Fatal(err)
	}
	w.net = newNetwork(w, h.ConnectionLife)
	go func() { _ = w.net.server.Serve(w.net) }()
	w.replicas = make([]*replica, h.Replicas)
	for i := range w.replicas {
		w.start(i)
	}
	for _, e := range h.Events {
		w.schedule(e)
	}
	w.after(h.Length, w.mend)
	w.after(sampleEvery, w.sample)
	return w
}

// drive is the clock of the history: it lets one visitor through at a time and
// time pass only when nobody can move.
func (w *world) drive() {
	for !w.finished {
		synctest.Wait()
		w.reap()
		if w.act() {
			continue
		}
		if v := w.gate.next(w.rng, w.mayPass); v != nil {
			w.hit(v)
			close(v.leave)
			continue
		}
		w.wait()
	}
}

// act does what is due now.
func (w *world) act() bool {
	if len(w.actions) == 0 || w.actions[0].at.After(w.now()) {
		return false
	}
	a := w.actions[0]
	w.actions = w.actions[1:]
	a.do()
	return true
}

func (w *world) wait() {
	if len(w.actions) == 0 {
		<-w.gate.arrived
		return
	}
	timer := time.NewTimer(w.actions[0].at.Sub(w.now()))
	defer timer.Stop()
	select {
	case <-w.gate.arrived:
	case <-timer.C:
	}
}

func (w *world) mayPass(v *visitor) bool {
	return (v.by == nil || v.by.dead.Load() || !v.by.frozen()) && !w.script.holds(v)
}

// hit lets happen what waits for a step of a purchase.
func (w *world) hit(v *visitor) {
	w.script.seen(v)
	step, ok := strings.CutPrefix(v.what, "step ")
	if !ok || v.by == nil {
		return
	}
	customer := topup.CustomerID(v.about)
	w.tell(customer, "%s: %s", v.by, step)
	for i := 0; i < len(w.pending); i++ {
		e := w.pending[i]
		if e.What != step || w.lived() < e.At {
			continue
		}
		switch {
		case (e.Kind == kill || e.Kind == freeze) && e.Replica == v.by.n, e.Kind == portal && w.customers[e.Customer].ID == v.about:
			w.pending = slices.Delete(w.pending, i, i+1)
			i--
			w.strike(e)
		}
	}
}

// doubtful takes the event that puts this commit in doubt; nil when none does.
func (w *world) doubtful(what string, customer topup.CustomerID) *event {
	key := what + " " + string(customer)
	w.commits[key]++
	for i, e := range w.pending {
		if e.Kind == doubt && e.What == what && w.customers[e.Customer].ID == string(customer) && e.Nth <= w.commits[key] {
			w.pending = slices.Delete(w.pending, i, i+1)
			return &e
		}
	}
	return nil
}

// schedule puts an event where it will be found.
func (w *world) schedule(e event) {
	step := slices.Contains(steps, e.What) && (e.Kind == kill || e.Kind == freeze || e.Kind == portal)
	if step || e.Kind == answerFault || e.Kind == doubt {
		w.pending = append(w.pending, e)
		return
	}
	w.after(e.At, func() { w.strike(e) })
}

// admit prepares the emulator for one request.
func (w *world) admit(r *http.Request, body []byte) {
	w.emu.Tick(time.Now().Add(w.theirSkew.get()))
	var f emulator.Faults
	talkover := strings.HasPrefix(r.URL.Path, "/talkover/")
	if r.Method == http.MethodGet {
		for _, e := range w.windows {
			if talkover && e.What == "all_zero" {
				continue // two zeroes of one wallet are what an empty wallet shows
			}
			f.Next = append(f.Next, e.What)
			f.GlitchValue = []string{"null", `"abc"`, "1e30"}[w.h.Seed%3]
		}
	} else if customer := w.buyer(r); customer != "" {
		w.requests[customer]++
		f.Next = []string{"none"}
		for i, e := range w.pending {
			if e.Kind == answerFault && w.customers[e.Customer].ID == string(customer) && e.Nth == w.requests[customer] {
				w.pending = slices.Delete(w.pending, i, i+1)
				f.Next = []string{e.What}
				break
			}
		}
		w.tell(customer, "the request arrives at the provider: %s", f.Next[0])
		w.judge.arrived(r, customer, body, f.Next[0])
	} else {
		w.judge.breach("P11", "", "a request that is no purchase changes something: %s %s", r.Method, r.URL.Path)
	}
	w.script.spoil(r, &f)
	w.emu.SetFaults(f)
}

// buyer is whose purchase request it is; "" when it is none.
func (w *world) buyer(r *http.Request) topup.CustomerID {
	switch {
	case strings.HasSuffix(r.URL.Path, "/purchase") && strings.HasPrefix(r.URL.Path, "/v1/customers/"):
		return topup.CustomerID(customerIn(r.URL.Path))
	case strings.HasSuffix(r.URL.Path, "/credits/purchase"):
		for _, c := range w.customers {
			if c.UserToken != "" && strings.HasSuffix(r.Header.Get("Authorization"), " "+c.UserToken) {
				return topup.CustomerID(c.ID)
			}
		}
	}
	return ""
}

// rulebook is what every replica's configuration says now.
func (w *world) rulebook() *scheduler.Rulebook {
	w.mu.Lock()
	defer w.mu.Unlock()
	eur := func(whole int64) topup.Money { return topup.Money{Minor: whole * 100, Currency: "EUR"} }
	hyperline := "hyperline"
	if w.renamed {
		hyperline = "billing"
	}
	rule := rules.Rule{
		Name: "api-credits", Version: fmt.Sprintf("v%d", w.version), Providers: []string{hyperline}, ProviderType: "hyperline",
		Product: emulator.Product, Match: rules.Match{All: true}, Threshold: rules.Threshold{Provider: true},
		Buy: rules.Buy{Bundles: []rules.Bundle{
			{PriceID: emulator.SmallPack, Credits: 120 * topup.Credit, Price: eur(200)},
			{PriceID: emulator.LargePack, Credits: 600 * topup.Credit, Price: eur(900)},
		}},
		Expires:  w.h.expiry(),
		Cooldown: w.h.Cooldown, ConfirmAfter: 5 * time.Second, MaxReadingAge: maxAge,
		Unpaid:   rules.Unpaid{Card: 0, Other: 2},
		Declines: rules.Declines{Backoff: 10 * time.Minute, MaxBackoff: 2 * time.Hour, SuspendAfter: 4},
		Caps:     []topup.Cap{{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: int64(w.h.Cap)}},
	}
	if w.script != nil {
		rule.Expires = w.script.expires
	}
	if w.high > 0 {
		high := 300 * topup.Credit
		rule.Threshold = rules.Threshold{Fixed: &high}
	}
	if w.h.RefillBig != (w.version%2 == 1) {
		rule.Buy.RefillTo = &rules.Refill{TimesThreshold: 3 * topup.Credit}
	}
	voice := rule
	fifty := 50 * topup.Credit
	voice.Name, voice.Product, voice.ProviderType = "voice", "credits", "talkover"
	voice.Threshold = rules.Threshold{Fixed: &fifty}
	voice.Buy = rules.Buy{Bundles: []rules.Bundle{{Credits: 40 * topup.Credit, Price: topup.Money{Minor: 4000, Currency: "USD"}}}}
	voice.Providers = nil
	for _, c := range w.customers {
		if c.Provider == "talkover" {
			voice.Providers = append(voice.Providers, "voice-"+c.ID)
		}
	}
	return &scheduler.Rulebook{Rules: rules.Set{Rules: []rules.Rule{rule, voice}}}
}

// close ends every goroutine of the history.
func (w *world) close(t *testing.T) {
	for _, r := range w.all {
		r.shut()
	}
	if err := w.store.Close(); err != nil {
		t.Error(err)
	}
	_ = w.net.server.Close()
	_ = w.net.Close()
	for _, r := range w.all {
		r.idle()
	}
}
