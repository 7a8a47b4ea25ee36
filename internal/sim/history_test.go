package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"topupd/clients"
	"topupd/clients/emulator"
	"topupd/rules"
)

// weather is how often things go wrong in a history.
type weather string

// The weathers. Light: each fault at most 1 %.
const (
	calm  weather = "calm"
	light weather = "light"
	storm weather = "storm"
)

// history is everything that a seed decides before it is run. Shrinking takes
// events away; the rest stays as it is.
type history struct {
	Seed     uint64
	Weather  weather
	Replicas int
	Targets  int           // Hyperline customers
	Voices   int           // Talkover environments
	Length   time.Duration // how long usage and events last

	Poll, Cooldown, Latency time.Duration
	Usage, UsageScale       int            // of a credit per second and customer, at most: 250 with scale 3 is a quarter
	Cap                     int            // purchases a day and customer
	Limits                  clients.Limits // of the daemon; zero = as good as none
	RefillBig               bool
	MonthEnd                bool // credits expire with their month, which ends half-way
	Review                  bool // unknown_outcome.policy: review at Hyperline

	// What the provider leaves open. The three times add up to less than the
	// quiet period: the one assumption that operators are told of.
	ConnectionLife, ExecuteLate, ListLate time.Duration
	Profile                               emulator.HyperlineProfile
	KeyMemory                             time.Duration
	Retries                               []time.Duration

	Events []event
}

// event is one thing that goes wrong, or that somebody else does.
type event struct {
	At       time.Duration // from the beginning; of events that wait for a step: the earliest
	Kind     kind
	Replica  int
	Customer int    // index; Hyperline first, then Talkover
	Nth      int    // which purchase request of the customer, or which time the step is reached
	What     string // fault, step, or what the kind needs
	For      time.Duration
}

// kind is what an event is.
type kind string

// The kinds of events.
const (
	answerFault kind = "answer"  // the customer's Nth purchase request suffers the fault What
	readFault   kind = "reads"   // all reads suffer What for a while
	kill        kind = "kill"    // kill -9 of a replica, at step What or at a time; back after For
	freeze      kind = "freeze"  // SIGSTOP, at step What or at a time; SIGCONT after For
	terminate   kind = "term"    // SIGTERM; back after For
	portal      kind = "portal"  // the customer buys the same pack, when step What is reached or at a time
	native      kind = "native"  // the provider's own auto top-up is on for a while
	card        kind = "card"    // the payment method becomes What for a while
	price       kind = "price"   // the pack costs more for a while
	archive     kind = "archive" // the customer is archived
	dbClock     kind = "clock of the database"
	ownClock    kind = "clock of a replica"
	theirClock  kind = "clock of the provider"
	dbAway      kind = "database away"
	allAway     kind = "every daemon away"
	doubt       kind = "doubt" // the Nth commit of What answers in doubt; stored when For > 0
	reload      kind = "reload"
	rename      kind = "rename"
	pause       kind = "pause" // all, provider, rule or customer for a while
	switched    kind = "environment switched"
	burst       kind = "burst"            // everybody uses ten times as much for a while
	person      kind = "person"           // resolves what needs review, truthfully
	refunded    kind = "refund"           // a person pays the newest purchase back; another lets the customer go after For
	restored    kind = "restore"          // the ledger is backed up, and what it is after For is replaced by that copy
	raised      kind = "threshold raised" // three times as high for a while: most customers are low by it
)

// String tells the event as a line of a story.
func (e event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%8s  %s", e.At.Truncate(time.Second), e.Kind)
	if slices.Contains([]kind{answerFault, portal, native, card, archive, doubt, refunded}, e.Kind) {
		fmt.Fprintf(&b, " of customer %d", e.Customer)
	}
	if slices.Contains([]kind{kill, freeze, terminate, ownClock}, e.Kind) {
		fmt.Fprintf(&b, " r%d", e.Replica)
	}
	if e.What != "" {
		fmt.Fprintf(&b, " %s", e.What)
	}
	if e.Nth > 0 {
		fmt.Fprintf(&b, " (time %d)", e.Nth)
	}
	if e.For != 0 {
		fmt.Fprintf(&b, " for %s", e.For.Truncate(time.Millisecond))
	}
	return b.String()
}

var (
	answerFaults = []string{
		"charge_then_500", "charge_then_hang", "charge_then_drop", "charge_then_truncate", "charge_then_html",
		"fail_without_charging_500", "drop_without_charging", "hang_without_charging",
		"decline", "decline_201_unpaid", "decline_no_credits", "refuse", "throttle", "slow", "redirect_307", "wrong_amount", "execute_late",
	}
	readFaults = []string{
		"read_500", "read_hang", "read_html", "read_truncate", "read_throttle",
		"stale_balance", "glitch_balance", "missing_rows", "repeat_rows", "all_zero", "outage",
	}
	steps = []string{"planned", "connected", "permitted", "answered", "stored", "sending"}
)

// generate makes the history of a seed, of about so many purchases.
func generate(seed uint64, purchases int, only weather) history {
	rng := rand.New(rand.NewPCG(seed, 0x68697374))
	h := history{Seed: seed, Weather: []weather{calm, light, light, storm, storm, storm}[rng.IntN(6)]}
	if only != "" {
		h.Weather = only
	}
	h.Replicas = 2 + rng.IntN(3)
	h.Targets, h.Voices = 8+rng.IntN(17), 1+rng.IntN(2)
	h.Poll = []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}[rng.IntN(4)]
	if purchases >= 500 { // the busier, the cheaper to simulate
		h.Targets += min(80, purchases/20)
		h.Voices += rng.IntN(3)
		h.Poll = []time.Duration{20 * time.Second, 30 * time.Second, 30 * time.Second, time.Minute}[rng.IntN(4)]
	}
	h.Cooldown = []time.Duration{10 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute}[rng.IntN(5)]
	h.Latency = []time.Duration{0, 20 * time.Millisecond, 150 * time.Millisecond, 700 * time.Millisecond}[rng.IntN(4)]
	h.Cap = []int{1000, 1000, 1000, 6}[rng.IntN(4)]
	h.RefillBig = rng.IntN(3) == 0
	h.Review = rng.IntN(10) == 0
	h.KeyMemory = []time.Duration{24 * time.Hour, 24 * time.Hour, 13 * time.Hour}[rng.IntN(3)]
	h.Retries = []time.Duration{20 * time.Minute, 50 * time.Minute, 90 * time.Minute}
	h.Profile = emulator.HyperlineProfile{
		Decline:          []emulator.DeclineStyle{emulator.DeclineRefused, emulator.DeclineRefusedUnpaid, emulator.DeclineCreatedUnpaid}[rng.IntN(3)],
		RememberAfter5xx: rng.IntN(2) == 0, GrantUnpaid: rng.IntN(3) == 0, ErroredAfterDecline: rng.IntN(2) == 0,
		SettleAfter: 40 * time.Minute, NativeRetry: 10 * time.Minute,
	}
	if h.Weather != calm {
		h.ConnectionLife = time.Duration(10+rng.IntN(80)) * time.Second
		h.ExecuteLate = time.Duration(rng.IntN(240)) * time.Second
		h.ListLate = time.Duration(rng.IntN(400)) * time.Second
	} else {
		h.ConnectionLife = time.Minute
		h.ListLate = time.Duration(rng.IntN(20)) * time.Second
	}
	// A pack lasts two to ten minutes for those who use most.
	h.Usage, h.UsageScale = 250+rng.IntN(750), 3
	if purchases >= 500 {
		h.Usage += 750
	}
	perMinute := float64(h.Targets) * float64(h.Usage) * 0.55 * 60 / 1000 / 120
	if h.RefillBig {
		h.Usage *= 3
		perMinute *= 0.8
	}
	length := time.Duration(float64(purchases) / perMinute * float64(time.Minute))
	if purchases >= 500 && rng.IntN(6) == 0 { // long outages and restores need hours
		length *= 3
	}
	h.Length = max(10*time.Minute, min(4*time.Hour, length))
	h.MonthEnd = rng.IntN(4) == 0
	h.Events = append(h.draw(rng, purchases), h.drawLong(rng)...)
	h.Events = append(h.Events, h.drawRestore(rng)...)
	slices.SortStableFunc(h.Events, func(a, b event) int { return int(a.At - b.At) })
	return h
}

// begins is when the history begins.
func (h *history) begins() time.Time {
	if h.MonthEnd {
		return time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC).Add(-h.Length / 2)
	}
	return began
}

// expiry is what the Hyperline rule says about bought credits. Without at_least
// the month takes what was bought on its last day.
func (h *history) expiry() rules.Expiry {
	if h.MonthEnd {
		return rules.Expiry{EndOfMonth: true, Timezone: "UTC", AtLeast: time.Duration(h.Seed%2) * 7 * 24 * time.Hour}
	}
	return rules.Expiry{}
}

// drawLong adds an outage of ten minutes to an hour, in any weather: the
// provider, the database or every daemon is away. Everybody's balance falls
// meanwhile, and all of it is true.
func (h *history) drawLong(rng *rand.Rand) []event {
	if h.Length < time.Hour || rng.IntN(2) == 0 {
		return nil
	}
	e := event{At: time.Duration(rng.Int64N(int64(h.Length / 2))), For: seconds(rng, 600, 3600)}
	switch rng.IntN(3) {
	case 0:
		e.Kind, e.What = readFault, "outage"
	case 1:
		e.Kind = dbAway
	default:
		e.Kind = allAway
	}
	return []event{e}
}

// drawRestore adds, in any weather, a backup of the ledger that is restored within
// twenty minutes: early enough for a person to go on before the bad times end.
func (h *history) drawRestore(rng *rand.Rand) []event {
	if h.Length < 90*time.Minute || rng.IntN(2) != 0 {
		return nil
	}
	return []event{{At: time.Duration(rng.Int64N(int64(h.Length - time.Hour))), Kind: restored, For: seconds(rng, 1, 1200)}}
}

// draw makes the events. A rate is per purchase for what happens to requests
// and steps, per hour for the rest.
func (h *history) draw(rng *rand.Rand, purchases int) []event {
	if h.Weather == calm {
		return nil
	}
	var events []event
	at := func() time.Duration { return time.Duration(rng.Int64N(int64(h.Length))) }
	everybody := h.Targets + h.Voices
	rate := func(most float64) float64 { // per purchase
		if h.Weather == light {
			return rng.Float64() * 0.01
		}
		return rng.Float64() * most
	}
	each := func(r float64, make func() event) {
		n := int(r * float64(purchases))
		if rng.Float64() < r*float64(purchases)-float64(n) {
			n++
		}
		for range n {
			events = append(events, make())
		}
	}
	perCustomer := max(1, purchases/everybody)
	anyStep := func() string { return steps[rng.IntN(len(steps))] }
	for _, fault := range answerFaults {
		each(rate(0.05), func() event {
			return event{Kind: answerFault, Customer: rng.IntN(everybody), Nth: 1 + rng.IntN(perCustomer), What: fault}
		})
	}
	each(rate(0.05), func() event {
		return event{At: at(), Kind: kill, Replica: rng.IntN(h.Replicas), What: anyStep(), Nth: 1, For: seconds(rng, 1, 45)}
	})
	each(rate(0.03), func() event {
		return event{At: at(), Kind: freeze, Replica: rng.IntN(h.Replicas), What: anyStep(), Nth: 1, For: seconds(rng, 3, 300)}
	})
	each(rate(0.02), func() event {
		return event{At: at(), Kind: portal, Customer: rng.IntN(everybody), What: anyStep(), Nth: 1}
	})
	each(rate(0.02), func() event {
		return event{Kind: doubt, Customer: rng.IntN(everybody), What: []string{"plan", "permit", "advance", "answer"}[rng.IntN(4)], Nth: 1 + rng.IntN(perCustomer), For: seconds(rng, 0, 2)}
	})
	h.drawTimed(rng, at, &events)
	slices.SortStableFunc(events, func(a, b event) int { return int(a.At - b.At) })
	return events
}

// drawTimed adds what happens by the clock.
func (h *history) drawTimed(rng *rand.Rand, at func() time.Duration, events *[]event) {
	everybody := h.Targets + h.Voices
	hours := h.Length.Hours()
	each := func(perHour float64, make func() event) {
		if h.Weather == light {
			perHour /= 6
		}
		n := perHour * hours * rng.Float64() * 2
		for n > rng.Float64() {
			*events = append(*events, make())
			n--
		}
	}
	some := func(e event) func() event {
		return func() event {
			e.At, e.Replica, e.Customer = at(), rng.IntN(h.Replicas), rng.IntN(everybody)
			return e
		}
	}
	for _, fault := range readFaults {
		each(1.5, func() event { return event{At: at(), Kind: readFault, What: fault, For: seconds(rng, 1, 25)} })
	}
	each(1, func() event { // short blips are common, long ones are not
		return event{At: at(), Kind: readFault, What: readFaults[rng.IntN(len(readFaults))], For: seconds(rng, 30, 300)}
	})
	each(3, func() event { e := some(event{Kind: kill})(); e.For = seconds(rng, 1, 60); return e })
	each(2, func() event { e := some(event{Kind: terminate})(); e.For = seconds(rng, 1, 60); return e })
	each(2, func() event { e := some(event{Kind: freeze})(); e.For = seconds(rng, 5, 400); return e })
	each(2, func() event { e := some(event{Kind: native})(); e.For = seconds(rng, 30, 900); return e })
	each(4, func() event { e := some(event{Kind: portal})(); return e })
	each(3, func() event {
		e := some(event{Kind: card})()
		e.What, e.For = []string{"declined", "missing", "direct_debit"}[rng.IntN(3)], seconds(rng, 60, 3600)
		return e
	})
	each(1, func() event { e := some(event{Kind: price})(); e.For = seconds(rng, 60, 600); return e })
	each(0.5, some(event{Kind: archive}))
	each(1, func() event { e := some(event{Kind: dbAway})(); e.For = seconds(rng, 1, 90); return e })
	each(0.3, func() event { e := some(event{Kind: dbClock})(); e.For = seconds(rng, -600, 600); return e })
	each(1, func() event { e := some(event{Kind: ownClock})(); e.For = seconds(rng, -600, 600); return e })
	each(0.5, func() event { e := some(event{Kind: theirClock})(); e.For = seconds(rng, -50, 50); return e })
	each(3, some(event{Kind: reload}))
	each(0.5, some(event{Kind: rename}))
	each(2, func() event {
		e := some(event{Kind: pause})()
		e.What, e.For = []string{"all", "provider", "rule", "customer"}[rng.IntN(4)], seconds(rng, 10, 600)
		return e
	})
	each(1, func() event { e := some(event{Kind: switched})(); e.For = seconds(rng, 10, 300); return e })
	each(1, func() event { e := some(event{Kind: burst})(); e.For = seconds(rng, 10, 120); return e })
	each(1, some(event{Kind: person}))
	each(4, func() event { e := some(event{Kind: refunded})(); e.For = seconds(rng, 60, 1800); return e })
	each(0.3, func() event { e := some(event{Kind: raised})(); e.For = seconds(rng, 300, 2400); return e })
}

func seconds(rng *rand.Rand, low, high int) time.Duration {
	return time.Duration(low)*time.Second + time.Duration(rng.Int64N(int64(high-low)*1000+1))*time.Millisecond
}
