package scheduler

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"topupd/rules"
	"topupd/topup"
)

const (
	name     = "hyperline"
	id       = topup.ProviderID("hyperline://api.hyperline.co/")
	pollTime = 5 * time.Second
)

func target(customer topup.CustomerID) topup.Target {
	return topup.Target{Provider: id, Customer: customer, Product: "itm_1"}
}

// rulebook buys the small pack, or the large one for whom it does not lift to
// twice the threshold.
func rulebook() *Rulebook {
	eur := func(whole int64) topup.Money { return topup.Money{Minor: whole * 100, Currency: "EUR"} }
	return &Rulebook{
		Rules: rules.Set{Rules: []rules.Rule{{
			Name: "api-credits", Version: "v1", Providers: []string{name}, Product: "itm_1", Match: rules.Match{All: true},
			Threshold: rules.Threshold{Provider: true},
			Buy: rules.Buy{
				Bundles: []rules.Bundle{
					{PriceID: "pri_small", Credits: 120 * topup.Credit, Price: eur(200)},
					{PriceID: "pri_large", Credits: 600 * topup.Credit, Price: eur(900)},
				},
				RefillTo: &rules.Refill{TimesThreshold: 2 * topup.Credit},
			},
			Cooldown: 5 * time.Minute, ConfirmAfter: 5 * time.Second, MaxReadingAge: 2 * time.Minute,
			Declines: rules.Declines{Backoff: time.Hour, MaxBackoff: 24 * time.Hour, SuspendAfter: 4},
			Caps:     []topup.Cap{{Scope: topup.CapCustomer, Period: topup.CapDay, Limit: 10}},
		}}},
		Caps: []topup.Cap{{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 2_000_000}},
	}
}

// world is one provider and one ledger, for any number of processes.
type world struct {
	*provider
	ledger *memory
	start  time.Time

	mu   sync.Mutex
	book *Rulebook
}

// process is one running daemon, as far as the scheduler goes.
type process struct {
	*Watch
	scheduler *Scheduler
	board     *board
	journal   *journal
	stop      context.CancelFunc
	ended     chan error    // what Run said
	done      chan struct{} // closed when Run is over
}

// inWorld runs the test in virtual time.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, &world{
			provider: &provider{accounts: map[topup.CustomerID]*account{}}, ledger: newMemory(), start: time.Now(), book: rulebook(),
		})
	})
}

func (w *world) rules() *Rulebook {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.book
}

func (w *world) reload(change func(*rules.Rule)) {
	book := rulebook()
	change(&book.Rules.Rules[0])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.book = book
}

// process prepares a daemon; with changes some of its options are others.
func (w *world) process(holder string, changes ...func(*Options)) *process {
	p := &process{board: newBoard(), journal: &journal{}, ended: make(chan error, 1), done: make(chan struct{})}
	o := Options{
		ID: id, Name: name, PollEvery: pollTime, Workers: 2,
		Policy: topup.PolicyRetry, QuietPeriod: 15 * time.Minute, PurchaseTimeout: 75 * time.Second,
		Holder: holder, Rulebook: w.rules, Reader: w.provider, TokenFingerprint: func() string { return "token" },
		Leases: w.ledger, Standings: w.ledger, Planner: w.ledger, Archive: w.ledger, Holds: w.ledger, Doubts: w.ledger, Decisions: w.ledger,
		Purchaser: &till{world: w}, Visitor: &visits{}, Observer: p.board, LeaseChanged: p.board.leaseChanged,
		Now: time.Now, Log: slog.New(p.journal),
	}
	for _, change := range changes {
		change(&o)
	}
	p.Watch = NewWatch(o)
	p.scheduler = &Scheduler{Watches: []*Watch{p.Watch}, Log: o.Log}
	return p
}

// run starts a daemon that ends with the test, at the latest.
func (w *world) run(t *testing.T, holder string, changes ...func(*Options)) *process {
	t.Helper()
	p := w.process(holder, changes...)
	p.begin(t)
	return p
}

func (p *process) begin(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	go func() {
		defer close(p.done)
		p.ended <- p.scheduler.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-p.done })
	synctest.Wait()
}

// end stops a daemon in order and waits for it.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		t.Errorf("Run() = %v", err)
	}
}

// after lets virtual time pass until everything that is due has happened.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// till sends planned purchases: the provider runs them at once, and they settle.
type till struct{ world *world }

func (b *till) Buy(ctx context.Context, p topup.Purchase, _ topup.Lease) (topup.Purchase, error) {
	w := b.world
	w.provider.mu.Lock()
	buying, answering := w.buying, w.answering
	w.provider.mu.Unlock()
	if buying != nil {
		buying(ctx, p)
	}
	now, state := time.Now(), topup.Cancelled
	if answering == nil || answering(p) {
		state = topup.Credited
		w.provider.do(func(at *provider) {
			at.charges, at.chargedAt = append(at.charges, p), append(at.chargedAt, now)
			at.accounts[p.Target.Customer].balance += p.Credits
		})
	}
	w.ledger.of(p.Target.Customer, func(s *topup.Standing) {
		s.Open, s.EndedAt, s.EndedState = nil, &now, state
		s.Version++
		if state == topup.Credited {
			s.CreditedAt, s.NewestRowAt = &now, &now
		}
	})
	p.State = state
	return p, nil
}

// visits counts how often open purchases were asked for.
type visits struct {
	mu     sync.Mutex
	at     []time.Time
	waited int // visits that were over when somebody waited last
	visit  func()
}

// Wait ends what the visits began.
func (v *visits) Wait() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waited = len(v.at)
}

func (v *visits) Visit(context.Context, topup.Lease) (int, error) {
	v.mu.Lock()
	v.at = append(v.at, time.Now())
	visit := v.visit
	v.mu.Unlock()
	if visit != nil {
		visit()
	}
	return 0, nil
}

func (v *visits) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.at)
}

// board is what the metrics would show.
type board struct {
	mu        sync.Mutex
	states    map[topup.CustomerID]TargetState
	results   []string
	recovered []time.Duration
	decided   map[topup.Reason]int
	lost      int
	held      bool

	takes, mayTake time.Duration
}

func newBoard() *board {
	return &board{states: map[topup.CustomerID]TargetState{}, decided: map[topup.Reason]int{}}
}

func (b *board) Decided(_, _ string, reason topup.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decided[reason]++
}

func (b *board) Polled(_, result string, _ time.Duration, _ time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results = append(b.results, result)
}

func (b *board) Pace(_ string, takes, mayTake time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takes, b.mayTake = takes, mayTake
}

func (b *board) Targets(_ string, _ time.Time, states []TargetState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.states)
	for _, s := range states {
		b.states[s.Target.Customer] = s
	}
}

func (b *board) Recovered(_ string, below time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recovered = append(b.recovered, below)
}

func (b *board) RuleLost(_ string, customers int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = customers
}

// leaseChanged does as the metrics do: a standby shows no targets.
func (b *board) leaseChanged(held bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = held
	if !held {
		clear(b.states)
	}
}

func (b *board) state(customer topup.CustomerID) TargetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.states[customer]
}

// shows tells whether the customer is in the picture, and holding whether the
// lease is shown as held.
func (b *board) shows(customer topup.CustomerID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.states[customer]
	return known
}

func (b *board) holding() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

func (b *board) count(reason topup.Reason) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decided[reason]
}

func (b *board) recoveries() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.recovered)
}

func (b *board) polls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.results)
}

// journal keeps log lines with their fields.
type journal struct {
	mu    sync.Mutex
	lines []line
}

type line struct {
	level  slog.Level
	msg    string
	fields map[string]string
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	l := line{level: r.Level, msg: r.Message, fields: map[string]string{}}
	r.Attrs(func(a slog.Attr) bool { l.fields[a.Key] = a.Value.String(); return true })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, l)
	return nil
}

// find lists the lines with the message and these fields.
func (j *journal) find(msg string, fields map[string]string) []line {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []line
	for _, l := range j.lines {
		matches := l.msg == msg
		for key, value := range fields {
			matches = matches && l.fields[key] == value
		}
		if matches {
			found = append(found, l)
		}
	}
	return found
}

func (b *board) lostRule() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}
