package sim

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/scheduler"
	"topupd/topup"
)

// judge holds what happened against the promises. What can be known at once is
// checked at once; the rest in a final phase, against the provider's own books.
type judge struct {
	w        *world
	breaches []breach
	trace    []line2

	customers []emulator.Customer // as the provider has them in the end
	books     emulator.Books
	deadline  time.Time

	rows     map[string]*file // by purchase id
	byKey    map[string]*file
	live     map[string]*file // open, or with a payment that has not ended
	open     map[topup.Target]string
	pauses   []pauseSince
	natives  map[topup.CustomerID]time.Time // since when the provider's own top-up is on
	cards    map[topup.CustomerID]time.Time
	archived map[topup.CustomerID]bool
	prices   []time.Time
	untold   [][2]time.Time // see doubt
	waiting  bool           // the threshold was raised, and no person has said yes since
	refunds  map[topup.CustomerID]refund
	lost     []*file                   // purchases that a restored ledger has forgotten
	extra    map[topup.CustomerID]bool // who is low by it alone; true: was bought for meanwhile
	lowSince map[topup.CustomerID]time.Time
	drySince map[topup.CustomerID]time.Time
	states   map[topup.CustomerID]seenState
	bought   map[topup.CustomerID]time.Time // the newest purchase
	told     map[topup.CustomerID]time.Time // when it was last in the figures, as sampled
	lastGood time.Time

	held, resolvedBy int
	tally            tally
}

// breach is one broken promise.
type breach struct {
	Promise  string
	Customer topup.CustomerID
	Text     string
}

func (b breach) String() string { return fmt.Sprintf("%s: %s", b.Promise, b.Text) }

// file is what the judge knows about one purchase.
type file struct {
	row       topup.Purchase
	planned   time.Time // true time
	permits   []time.Time
	arrivals  []time.Time
	theirs    []time.Time // the same by the provider's clock
	notRun    int         // of them
	forgotten bool        // a restored ledger knows an earlier state of it
	unclear   bool        // at least one request left it unclear
}

type pauseSince struct {
	topup.Pause
	since time.Time
}

// seenState is the last picture of a target, and when it was given.
type seenState struct {
	scheduler.TargetState
	at time.Time
}

func newJudge(w *world) *judge {
	return &judge{
		w: w, rows: map[string]*file{}, byKey: map[string]*file{}, live: map[string]*file{}, open: map[topup.Target]string{},
		natives: map[topup.CustomerID]time.Time{}, cards: map[topup.CustomerID]time.Time{}, archived: map[topup.CustomerID]bool{},
		lowSince: map[topup.CustomerID]time.Time{}, drySince: map[topup.CustomerID]time.Time{}, states: map[topup.CustomerID]seenState{},
		bought: map[topup.CustomerID]time.Time{}, told: map[topup.CustomerID]time.Time{}, refunds: map[topup.CustomerID]refund{},
	}
}

func (j *judge) breach(promise string, customer topup.CustomerID, format string, args ...any) {
	b := breach{promise, customer, fmt.Sprintf(format, args...)}
	j.breaches = append(j.breaches, b)
	j.w.tell(customer, "!! %s", b)
}

// stored is told of every purchase that a transaction left behind.
func (j *judge) stored(r *replica, what string, p topup.Purchase) {
	f, was := j.keep(p)
	if what == "plan" {
		j.plan(p, f)
	}
	if what == "permit" {
		j.permit(p, f)
	}
	if !topup.Allowed(either(was.State, p.State), p.State) {
		j.breach("chart", p.Target.Customer, "%s went from %s to %s", p.ID, was.State, p.State)
	}
	if !p.State.Open() && j.open[p.Target] == p.ID {
		delete(j.open, p.Target)
	}
	if p.State != was.State {
		j.w.tell(p.Target.Customer, "%s: %s %s → %s %s", r, p.Short(), was.State, p.State, p.Reference)
	}
}

// keep puts the row as stored into its file.
func (j *judge) keep(p topup.Purchase) (*file, topup.Purchase) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	f := j.rows[p.ID]
	if f == nil {
		f = &file{planned: j.w.now()}
		j.rows[p.ID], j.byKey[p.Key] = f, f
	}
	was := f.row
	f.row = p
	if was.State != p.State && (p.State == topup.Confirmed || p.State == topup.Credited) {
		j.bought[p.Target.Customer] = j.w.now()
	}
	if j.live[p.ID] = f; !p.State.Open() && p.Payment.Ended() {
		delete(j.live, p.ID)
	}
	return f, was
}

func either(a, b topup.State) topup.State {
	if a == "" {
		return b
	}
	return a
}

func (j *judge) plan(p topup.Purchase, f *file) {
	if other := j.open[p.Target]; other != "" && other != p.ID && j.rows[other].row.State.Open() {
		j.breach("P1", p.Target.Customer, "%s was planned while %s is %s", p.Short(), j.rows[other].row.Short(), j.rows[other].row.State)
	}
	j.open[p.Target] = p.ID
	j.bought[p.Target.Customer] = f.planned
	j.tally.planned++
	if since, on := j.natives[p.Target.Customer]; on && f.planned.Sub(since) > maxAge+10*time.Second {
		j.breach("P8", p.Target.Customer, "%s was planned although the provider tops up itself since %s", p.Short(), since)
	}
	j.change(p)
	j.afterRefund(p)
	n := 0
	for _, other := range j.rows {
		same := other.row.Target.Customer == p.Target.Customer && sameDay(other.row.PlannedAt, p.PlannedAt)
		if same && other.row.State != topup.Cancelled {
			n++
		}
	}
	if n > j.w.h.Cap {
		j.breach("P6", p.Target.Customer, "purchase %d of a day, the cap is %d", n, j.w.h.Cap)
	}
}

// change counts the customers for whom a raised threshold alone was reason to buy.
func (j *judge) change(p topup.Purchase) {
	bought, low := j.extra[p.Target.Customer]
	if !j.waiting || !low || bought || p.BalanceBefore < 100*topup.Credit {
		delete(j.extra, p.Target.Customer) // whoever was bought for goes on under the new threshold
		return
	}
	j.extra[p.Target.Customer] = true
	n := 0
	for _, bought := range j.extra {
		if bought {
			n++
		}
	}
	if most := max(5, j.w.h.Targets/10); n > most {
		j.breach("P14", p.Target.Customer, "%s at a balance of %s: customer %d whom only a raised threshold makes low, and no person said yes", p.Short(), p.BalanceBefore, n)
	}
}

func sameDay(a, b time.Time) bool { return a.UTC().Format("060102") == b.UTC().Format("060102") }

func (j *judge) permit(p topup.Purchase, f *file) {
	f.permits = append(f.permits, j.w.now())
	for _, pause := range j.pauses {
		if pause.Covers(p.Target, p.Rule, j.w.dbNow()) {
			j.breach("P12", p.Target.Customer, "%s got its permit under a pause: %s", p.Short(), pause.Pause)
		}
	}
}

// paused notes a switch that was thrown.
func (j *judge) paused(p topup.Pause) {
	j.pauses = append(j.pauses, pauseSince{p, j.w.now()})
}

// expired forgets the pauses that are over by the database clock: a clock that
// is set back does not bring them back.
func (j *judge) expired() {
	now := j.w.dbNow()
	j.pauses = slices.DeleteFunc(j.pauses, func(p pauseSince) bool { return p.Until != nil && !now.Before(*p.Until) })
}

// resumed forgets the pause.
func (j *judge) resumed(p topup.Pause) {
	j.pauses = slices.DeleteFunc(j.pauses, func(other pauseSince) bool { return other.ID == p.ID })
}

func (j *judge) native(c topup.CustomerID, on bool) {
	if on {
		j.natives[c] = j.w.now()
	} else {
		delete(j.natives, c)
	}
}

// raised and allowed bound the time in which a raised threshold charges only few.
func (j *judge) raised() {
	if j.waiting {
		return
	}
	j.waiting, j.extra = true, map[topup.CustomerID]bool{}
	for _, c := range j.w.emu.Customers()[:j.w.h.Targets] {
		if amount(c.Balance).Cmp(decimal.MustNew(300, 0)) < 0 {
			j.extra[topup.CustomerID(c.ID)] = false
		}
	}
}

func (j *judge) allowed() { j.waiting = false }

func (j *judge) repriced() { j.prices = append(j.prices, j.w.now()) }

// event is told what the daemon tells its logs.
func (j *judge) event(r *replica, e topup.Event) {
	if r.dead.Load() {
		return
	}
	if f := j.rows[e.Purchase.ID]; f != nil && e.Answer != nil && e.Answer.Verdict == topup.Unknown {
		f.unclear = true
	}
	if j.w.tracing && e.Text+errText(e.Err) != "" {
		j.w.tell(e.Purchase.Target.Customer, "%s: %s: %s %s", r, e.Purchase.Short(), e.Text, errText(e.Err))
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// arrived is told of every purchase request at the provider's door: P2, P4.
func (j *judge) arrived(r *http.Request, customer topup.CustomerID, body []byte, fault string) {
	now := j.w.now()
	f := j.byKey[r.Header.Get("Idempotency-Key")]
	if f == nil { // Talkover has no keys
		for target, id := range j.open {
			if target.Customer == customer {
				f = j.rows[id]
			}
		}
		for _, lost := range j.lost { // of a process that is gone
			if f == nil && lost.row.Target.Customer == customer {
				f = lost
			}
		}
	}
	if f == nil {
		j.breach("P2", customer, "a purchase request arrived that no purchase stands behind")
		return
	}
	p := f.row
	if len(f.permits) == 0 {
		j.breach("P2", customer, "the request of %s arrived before its permit was stored", p.Short())
	}
	if fp := (topup.Request{Method: p.Request.Method, Path: p.Request.Path, Body: body}).Fingerprint(); fp != p.Fingerprint {
		j.breach("P2", customer, "the request of %s is not the frozen one: %s", p.Short(), body)
	}
	if n := len(f.arrivals); n > 0 {
		gap := now.Sub(f.arrivals[n-1])
		if least := quietPeriod - j.w.h.ConnectionLife - time.Minute; gap < least {
			j.breach("P4", customer, "%s was repeated after %s", p.Short(), gap)
		}
		if p.Target.Provider != hyperlineID || n-f.notRun > topup.MaxRepeats {
			j.breach("P4", customer, "%s: request number %d", p.Short(), n+1)
		}
		if age := now.Sub(f.arrivals[0]); age > topup.KeyLifetime+30*time.Minute {
			j.breach("P4", customer, "%s was repeated under a key %s old", p.Short(), age)
		}
		j.tally.repeats++
	}
	if fault == "throttle" { // a 429 is certainly not run, and uses up no repeat
		f.notRun++
	}
	f.arrivals = append(f.arrivals, now)
	f.theirs = append(f.theirs, now.Add(j.w.theirSkew.get()))
}

func (j *judge) polled(result string) {
	if result == scheduler.SweptOK {
		j.lastGood = j.w.now()
	}
}

func (j *judge) picture(states []scheduler.TargetState) {
	for _, s := range states {
		j.states[s.Target.Customer] = seenState{s, j.w.now()}
		if bought := j.extra[s.Target.Customer]; !bought && s.Balance != nil && *s.Balance >= 300*topup.Credit {
			delete(j.extra, s.Target.Customer) // filled by somebody else: low by usage when it is low again
		}
	}
}

// inState lists the ids of purchases.
func (j *judge) inState(s topup.State) (ids []string) {
	for id, f := range j.rows {
		if f.row.State == s {
			ids = append(ids, id)
		}
	}
	return sorted(ids)
}

// doubt notes a time in which every balance is shown as zero and so few were not
// seen empty before that no crowd forms: there two false readings of one customer
// look like an empty balance, and are taken for one (P14 is about many at once).
func (j *judge) doubt(lasts time.Duration) {
	full := 0
	for _, s := range j.states {
		if s.Target.Provider == hyperlineID && s.Balance != nil && *s.Balance > 0 {
			full++
		}
	}
	if full <= max(3, j.w.h.Targets/10)+1 {
		j.untold = append(j.untold, [2]time.Time{j.w.now(), j.w.now().Add(lasts + maxAge)})
	}
}

// due tells whether a purchase of the provider is due by the database clock, as
// the ledger would.
func (j *judge) due(provider topup.ProviderID, now time.Time) bool {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	for _, f := range j.live {
		if p := &f.row; p.Target.Provider == provider && p.NextLookAt != nil && !p.NextLookAt.After(now) {
			return true
		}
	}
	return false
}

// uncredited tells whether the outcome of anything may still change.
func (j *judge) uncredited() bool {
	for _, f := range j.live {
		switch p := f.row; p.State {
		case topup.Planned, topup.Confirmed:
			return true
		case topup.Sent:
			if !j.waits(p) {
				return true
			}
		case topup.Credited, topup.Declined, topup.Cancelled, topup.NeedsReview, topup.Held:
		}
	}
	return false
}

// waits tells whether an unclear purchase has nothing to wait for but a need:
// it left no trace, and nobody would buy it now. It stays so for 12 hours.
func (j *judge) waits(p topup.Purchase) bool {
	now := j.w.dbNow()
	return p.EmptyLooks >= 2 && p.LookedAt != nil && now.Sub(*p.LookedAt) < 10*time.Minute && now.Sub(p.QuietUntil()) > 10*time.Minute
}

// chargeOf is the order that a purchase truly made; nil when none.
func (j *judge) chargeOf(p topup.Purchase) *emulator.Charge {
	for _, c := range j.chargesOf(j.w.emu.Books(), p) {
		return &c
	}
	return nil
}

// chargesOf finds a purchase's orders in the provider's books: by its key, at
// Talkover by the time at which its request arrived.
func (j *judge) chargesOf(books emulator.Books, p topup.Purchase) (out []emulator.Charge) {
	if f := j.rows[p.ID]; f != nil {
		return chargesOf(books, f)
	}
	return nil
}

func chargesOf(books emulator.Books, f *file) (out []emulator.Charge) {
	p := &f.row
	for _, c := range books.Charges {
		if c.Source != emulator.SourceAPI || c.Customer != string(p.Target.Customer) {
			continue
		}
		if c.Provider == "hyperline" && c.Key == p.Key {
			out = append(out, c)
		}
		if c.Provider == "talkover" && c.RequestSeq > 0 && f.made(books.Requests[c.RequestSeq-1]) {
			out = append(out, c)
		}
	}
	return out
}

// made tells whether a request that the provider noted is one of the purchase's.
func (f *file) made(r emulator.Request) bool {
	return slices.ContainsFunc(f.theirs, r.ReceivedAt.Equal)
}

func amount(text string) decimal.Decimal {
	d, err := decimal.Parse(text)
	if err != nil {
		return decimal.Decimal{}
	}
	return d
}
