package emulator

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// talkover is the emulated Talkover, guarded by the world's lock.
type talkover struct {
	*world
	opts   TalkoverOptions
	envs   []*environment
	byID   map[string]*environment
	users  map[string]*user        // by token
	owners map[string]*environment // by environment token
	calls  *throttle
	turns  map[string]int // rotates error shapes and ways to write money
}

// user is the human behind a user token.
type user struct {
	id, name, email string
	token           string
	current         *environment
	created         time.Time
}

// environment is one wallet.
type environment struct {
	id, name, token string
	currency        string
	owner           *user
	balance         quantity // the truth
	unposted        []posting
	meter           meter
	dry             time.Duration
	older           quantity // an earlier reading, for stale_balance
	olderAt         time.Time
	cards           []*storedCard
	native          nativeSettings
	history         []*recharge // oldest first
	nativeAfter     time.Time
	queued          bool
	created         time.Time
}

type storedCard struct {
	id, brand, last4 string
	state            Card
	isDefault        bool
	created          time.Time
}

var cities = []string{
	"berlin", "lisbon", "recife", "lyon", "oslo", "dublin", "bogota", "nairobi", "osaka", "turin", "quito", "gdansk",
}

func newTalkover(w *world, o TalkoverOptions, speed float64, now time.Time) *talkover {
	t := &talkover{
		world: w, opts: o, byID: map[string]*environment{}, users: map[string]*user{}, owners: map[string]*environment{},
		calls: newThrottle(o.Requests, time.Minute), turns: map[string]int{},
	}
	for n := range o.Environments {
		t.addEnvironment(n+1, speed, now)
	}
	return t
}

// addEnvironment generates environment n, counted from 1, and its user.
func (t *talkover) addEnvironment(n int, speed float64, now time.Time) {
	created := now.AddDate(0, 0, -n).Truncate(time.Second)
	city := cities[(n-1)%len(cities)]
	if round := (n - 1) / len(cities); round > 0 {
		city = fmt.Sprintf("%s-%d", city, round+1)
	}
	env := &environment{
		id: fmt.Sprintf("env-%d", n), name: "voice-" + city, token: t.opts.EnvironmentToken(n),
		currency: t.opts.Currency, created: created,
		balance: t.between(t.opts.StartBalance, cent),
		meter:   meter{step: cent / 100, at: now},
	}
	env.older, env.olderAt = env.balance, now
	if !t.opts.NoUsage {
		env.meter.rate = scaled(t.between(t.opts.Usage, 1), speed)
	}
	first := CardGood
	if t.rng.Float64() < t.opts.DeclinedCards {
		first = CardDeclined
	}
	env.cards = []*storedCard{
		{id: t.uuid("pm_"), brand: "visa", last4: "4242", state: first, isDefault: true, created: created},
		{id: t.uuid("pm_"), brand: "mastercard", last4: "5555", state: CardGood, created: created.Add(time.Hour)},
	}
	env.native = nativeSettings{
		configured: true, enabled: t.rng.Float64() < t.opts.Native,
		threshold: limited(t.opts.Threshold), amount: limited(t.opts.Recharge), cardID: env.cards[0].id,
	}
	env.owner = &user{
		id: fmt.Sprintf("user-%d", n), name: "Operator " + city, email: fmt.Sprintf("operator-%d@talkover.example", n),
		token: t.opts.UserToken(n), current: env, created: created,
	}
	t.envs = append(t.envs, env)
	t.byID[env.id], t.owners[env.token], t.users[env.owner.token] = env, env, env.owner
}

// uuid is an identifier of the form in Talkover's examples, drawn from the seed.
func (t *talkover) uuid(prefix string) string {
	var raw uuid.UUID
	for i := range raw {
		raw[i] = byte(t.rng.Uint32())
	}
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80 // version 4
	return prefix + raw.String()
}

// use drains what calls cost by now; an empty wallet refuses calls.
func (t *talkover) use(env *environment, now time.Time) {
	before := env.meter.at
	if t.stopped {
		env.meter.at = now
		return
	}
	used := min(env.meter.drain(now), max(env.balance, 0))
	if env.balance <= 0 && now.After(before) {
		env.dry += now.Sub(before)
		env.meter.at = now
	}
	env.balance -= used
}

// reading is what a balance read shows now: usage at once, charges when posted.
func (t *talkover) reading(env *environment, now time.Time) (quantity, time.Time) {
	t.use(env, now)
	env.unposted = slices.DeleteFunc(env.unposted, func(p posting) bool { return !now.Before(p.until) })
	shown := env.balance
	for _, p := range env.unposted {
		shown -= p.credits
	}
	if now.Sub(env.olderAt) > olderFor {
		env.older, env.olderAt = shown, now
	}
	return shown, now
}

// credit takes the money and fills the wallet: the only place at Talkover that
// does. It returns the transaction's id.
func (t *talkover) credit(env *environment, amount quantity, source string, p *purchaseRun, now time.Time) string {
	env.older, env.olderAt = t.reading(env, now)
	id := t.uuid("txn_")
	visible := now.Add(t.within(max(t.opts.PostLate, t.faults.LatePosting)))
	if visible.After(now) {
		env.unposted = append(env.unposted, posting{until: visible, credits: amount})
	}
	env.balance += amount
	c := Charge{
		Provider: TalkoverName, ID: id, Customer: env.id, Product: "credits", Credits: amount.String(),
		AmountMinor: int64(amount / cent), Amount: amount.Money(), Currency: env.currency,
		At: now, Before: (env.balance - amount).String(), Captured: true, CapturedAt: now, CapturedBy: "purchase", Status: "captured", Source: source, VisibleAt: visible,
	}
	if p != nil {
		c.Key, c.RequestSeq = p.entry.Key, p.entry.Seq
	}
	t.books.enter(c)
	return id
}

// card is the stored card with that id, the default one for "", nil if there is
// none.
func (env *environment) card(id string) *storedCard {
	for _, card := range env.cards {
		if card.state != CardMissing && (card.id == id || id == "" && card.isDefault) {
			return card
		}
	}
	return nil
}

// replaceCard puts a card of another id and state in the old one's place, in the
// native settings too.
func (t *talkover) replaceCard(env *environment, old *storedCard, state Card, now time.Time) {
	if old.state == state {
		return
	}
	id := t.uuid("pm_")
	if env.native.cardID == old.id {
		env.native.cardID = id
	}
	old.id, old.state, old.created = id, state, now
}

func (t *talkover) tick(now time.Time) {
	for _, env := range t.envs {
		t.use(env, now)
		t.recharge(env, now)
	}
}
