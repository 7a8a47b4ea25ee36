package sim

import (
	"context"
	"slices"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/ledger"
	"topupd/topup"
)

// tally counts what happened, over one history or many.
type tally struct {
	histories, planned, captured, repeats      int
	credited, declined, cancelled, confirmed   int
	hyperlineInReview, hyperline               int
	talkoverInReview, talkover                 int
	unclearTalkover, unclearCharged, unclearPk int
	held, resolved, steps                      int
	refunds, restores                          int
	lived                                      time.Duration
}

func (t *tally) add(o tally) {
	t.histories += o.histories
	t.planned += o.planned
	t.captured += o.captured
	t.repeats += o.repeats
	t.credited += o.credited
	t.declined += o.declined
	t.cancelled += o.cancelled
	t.confirmed += o.confirmed
	t.hyperlineInReview += o.hyperlineInReview
	t.hyperline += o.hyperline
	t.talkoverInReview += o.talkoverInReview
	t.talkover += o.talkover
	t.unclearTalkover += o.unclearTalkover
	t.unclearCharged += o.unclearCharged
	t.unclearPk += o.unclearPk
	t.held += o.held
	t.resolved += o.resolved
	t.steps += o.steps
	t.refunds += o.refunds
	t.restores += o.restores
	t.lived += o.lived
}

func sorted(ids []string) []string {
	slices.Sort(ids)
	return ids
}

func times(rate string, factor int64) decimal.Decimal {
	d, err := amount(rate).Mul(decimal.MustNew(factor, 0))
	if err != nil {
		return decimal.Decimal{}
	}
	return d
}

// close is the final read phase.
func (j *judge) close() {
	list, err := j.w.store.Purchases(context.Background(), ledger.Filter{})
	if err != nil {
		j.breach("harness", "", "listing: %v", err)
		return
	}
	books := j.w.emu.Books()
	j.customers, j.books = j.w.emu.Customers(), books
	explained := j.recovered(list, books) // invoices and transactions that some purchase made
	for _, p := range list {
		charges := j.chargesOf(books, p)
		j.one(p, charges)
		j.count(p, charges)
		for _, c := range charges {
			explained[c.Invoice+c.ID] = true
			j.needed(books, j.rows[p.ID], c)
		}
	}
	for _, c := range books.Charges {
		if c.Source == emulator.SourceAPI && !explained[c.Invoice+c.ID] {
			j.breach("P2", topup.CustomerID(c.Customer), "the provider has an order that no purchase explains: %s %s at %s", c.Invoice, c.ID, c.At)
		}
	}
	j.tally.histories, j.tally.held, j.tally.resolved = 1, j.held, j.resolvedBy
	j.tally.captured = len(books.Captured())
	j.tally.steps = j.w.gate.passed
	j.tally.lived = j.w.lived()
}

// one holds a purchase against the orders it made.
func (j *judge) one(p topup.Purchase, charges []emulator.Charge) {
	captured := 0
	for _, c := range charges {
		if c.Captured {
			captured++
		}
	}
	switch {
	case len(charges) > 1:
		j.breach("P4", p.Target.Customer, "%s was executed %d times", p.Short(), len(charges))
	case j.rows[p.ID].forgotten: // see recovered
	case captured > 0 && (p.State == topup.Declined || p.State == topup.Cancelled):
		j.breach("lost", p.Target.Customer, "%s is %s, and the provider took the money: %s", p.Short(), p.State, charges[0].Invoice+charges[0].ID)
	case p.State == topup.Sent && len(charges) == 0 && j.waits(p): // until it is needed again, or 12 hours have passed
	case p.State == topup.Planned || p.State == topup.Sent:
		j.breach("lost", p.Target.Customer, "%s is still %s hours after everything worked again", p.Short(), p.State)
	case p.State == topup.Credited && len(charges) == 0 && p.ReferenceBy == "answer":
		j.breach("P3", p.Target.Customer, "%s is credited by an answer, and was never executed", p.Short())
	}
	for _, c := range charges {
		// When the customer bought the same pack beside it at the right price, nobody
		// can tell the two bills apart: the earliest is taken for ours.
		if c.Invoice == p.Reference && c.AmountMinor != p.Price.Minor && p.Charged == nil && c.Captured && p.State == topup.Credited && p.Payment == topup.PaymentPaid && p.Target.Provider == hyperlineID {
			j.breach("P10", p.Target.Customer, "%s cost %s instead of %s, and the ledger does not say so", p.Short(), c.Amount, p.Price)
		}
	}
}

// needed holds an order against the true balance just before it: at or above
// the threshold it was for no need, unless somebody else filled the balance
// after the confirm read. A purchase of our own is no such somebody.
func (j *judge) needed(books emulator.Books, f *file, c emulator.Charge) {
	p, planned := &f.row, f.planned
	before := amount(c.Before)
	if before.Cmp(amount(p.Threshold.String())) < 0 {
		return
	}
	for _, u := range j.untold {
		if !planned.Before(u[0]) && !planned.After(u[1]) {
			return
		}
	}
	since := planned.Add(-maxAge - 10*time.Second)
	ours := slices.IndexFunc(books.Charges, func(other emulator.Charge) bool { return other.Invoice == c.Invoice && other.ID == c.ID })
	for n, other := range books.Charges {
		filled := other.Captured && !other.CapturedAt.Before(since) && !other.CapturedAt.After(c.At.Add(time.Second))
		// Credits may be granted before they are paid, and shown long after. The books
		// are in the order of execution, whatever the provider's clock did meanwhile.
		filled = filled || n < ours && !other.VisibleAt.Before(since)
		if other.Customer == c.Customer && other.Source != emulator.SourceAPI && filled {
			return
		}
	}
	j.breach("double", p.Target.Customer, "%s was executed at a true balance of %s, at or above %s: nobody needed it", p.Short(), c.Before, p.Threshold)
}

func (j *judge) count(p topup.Purchase, charges []emulator.Charge) {
	t := &j.tally
	switch p.State {
	case topup.Credited:
		t.credited++
	case topup.Declined:
		t.declined++
	case topup.Cancelled:
		t.cancelled++
	case topup.Confirmed:
		t.confirmed++
	case topup.Planned, topup.Sent, topup.NeedsReview, topup.Held:
	}
	inReview := p.State == topup.NeedsReview || p.ResolvedBy != ""
	if p.Target.Provider == hyperlineID && j.w.h.Review {
		return // asking for review is what its rule asks for
	}
	if p.Target.Provider == hyperlineID {
		t.hyperline++
		if inReview {
			t.hyperlineInReview++
		}
		return
	}
	t.talkover++
	if inReview {
		t.talkoverInReview++
	}
	byAnswer := p.ReferenceBy == "answer" || p.State == topup.Cancelled || p.State == topup.Declined && !inReview
	if len(j.rows[p.ID].arrivals) == 0 || byAnswer {
		return
	}
	t.unclearTalkover++
	if len(charges) > 0 {
		t.unclearCharged++
		if inReview {
			t.unclearPk++
		}
	}
}

// sampleEvery is how often it is asked whether anybody is low in silence.
const sampleEvery = 5 * time.Minute

// Patience of the check for silence: longer than an unclear purchase may take
// to its first repeat, and than the alerts wait.
const (
	lowPatience = 45 * time.Minute
	// toldFor is how long a customer may be low after something that was told has
	// ended: a cooldown of five minutes, two readings, and the checks before it.
	toldFor     = 10 * time.Minute
	dryPatience = 25 * time.Minute
)

// silence looks for customers who are low, and nobody would be told (P16).
func (j *judge) silence() {
	now := j.w.now()
	for _, c := range j.w.emu.Customers() {
		id := topup.CustomerID(c.ID)
		threshold := decimal.MustNew(100, 0)
		if c.Provider == "talkover" {
			threshold = decimal.MustNew(50, 0)
		}
		balance := amount(c.Balance)
		mark(j.lowSince, id, balance.Cmp(threshold) < 0, now)
		mark(j.drySince, id, balance.Sign() <= 0, now)
		j.silent(id, now)
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func mark(since map[topup.CustomerID]time.Time, id topup.CustomerID, so bool, now time.Time) {
	if !so {
		delete(since, id)
	} else if _, known := since[id]; !known {
		since[id] = now
	}
}

func (j *judge) silent(id topup.CustomerID, now time.Time) {
	low, isLow := j.lowSince[id]
	dry, isDry := j.drySince[id]
	s, seen := j.states[id]
	blind := len(j.w.windows) > 0 || j.w.away.Load() || j.w.dbSkew.get() != 0 || j.w.theirSkew.get() != 0 || now.Sub(j.w.readsBad) < lowPatience
	if !seen || now.Sub(s.at) > 10*time.Minute || blind { // no polls for long is an alert of its own
		return
	}
	open := j.open[s.Target] != ""
	if bought := j.bought[id]; bought.After(low) || bought.After(dry) { // one pack may not last, and the next one comes
		low, dry = latest(low, bought), latest(dry, bought)
	}
	told := !s.TroubleSince.IsZero() || s.Reason.Class() == topup.ClassChosen || open
	if told {
		j.told[id] = now
	}
	told = now.Sub(j.told[id]) < toldFor // a person may just have ended what it waited for
	if isLow && now.Sub(low) > lowPatience && !told {
		j.breach("P16", id, "low for %s, and the picture says %s", now.Sub(low), s.Reason)
	}
	if isDry && now.Sub(dry) > dryPatience && s.DrySince.IsZero() && s.Reason != topup.NoRule {
		j.breach("P16", id, "dry for %s, and the picture does not say so (%s)", now.Sub(dry), s.Reason)
	}
}
