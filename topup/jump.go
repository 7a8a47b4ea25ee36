package topup

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// This file decides what a rise of the balance means for a purchase of unknown
// outcome, as pure functions; trail.go finds the rises.

const (
	// sampleEvery leaves room for one lost sample within JumpGap; sampleAgain is
	// the wait after one that says nothing. Both shrink with the quiet period, to
	// sampleLeast: providers stamp whole seconds, and more often says nothing new.
	sampleEvery = 10 * time.Second
	sampleAgain = 3 * time.Second
	sampleLeast = time.Second
	// sampleTimeout bounds one sample: an answer that hangs must not outlast
	// JumpGap, where the next one may still come in time.
	sampleTimeout = 8 * time.Second
)

// Others is what topupd knows to have raised the same balance, or may have.
type Others struct {
	Recharges []Topup    // of the provider's own top-up
	Pending   []Topup    // of the same: begun, and not over
	External  []Topup    // of the target, imported
	Purchases []Purchase // sent, of the same or of another account at the same provider
}

// othersBefore is how long before a jump something else may have been charged
// that was only credited in it.
const othersBefore = MatchAfter

// othersSince is how far back others are read: a purchase whose credits were
// never seen stays an explanation for that long.
const othersSince = 24 * time.Hour

// explain says what else may have made the jump, "" when nothing known has.
func (o Others) explain(p Purchase, j Jump) string {
	from, to := j.Before.at().Add(-othersBefore), j.After.at().Add(MatchBefore)
	for _, t := range slices.Concat(o.Recharges, o.External) {
		if !t.At.Before(from) && !t.At.After(to) {
			return fmt.Sprintf("%s of %s credits was added at %s", t.ID, t.Credits, t.At.UTC().Format(time.RFC3339))
		}
	}
	for _, t := range o.Pending {
		if !t.At.After(to) {
			return fmt.Sprintf("%s of %s credits is under way since %s", t.ID, t.Credits, t.At.UTC().Format(time.RFC3339))
		}
	}
	for _, q := range o.Purchases {
		switch said := p.Trail.Said; {
		case q.ID == p.ID:
		case said != nil && q.Reference == said.Reference:
			return fmt.Sprintf("the answer named %s, which explains purchase %s", said.Reference, q.Short())
		case q.mayExplain(p, j):
			return fmt.Sprintf("purchase %s for %s may have made it", q.Short(), q.Target.Customer)
		}
	}
	return ""
}

// mayExplain tells whether another purchase may have made the jump. That of the
// same target is over: it explains a jump only if a person's word ended it,
// since its credits may come as late as any match. That of another account does
// when the answer was yes and its credits have not been seen there: they may have
// gone astray. Unless the two were seen to be apart it also does when they were
// seen only later, or both rose together.
func (p Purchase) mayExplain(of Purchase, j Jump) bool {
	if p.Target == of.Target {
		return p.ResolvedBy != "" && fits(j.Rise(), p.Credits) && !j.Before.at().After(p.LastSentAt.Add(MatchAfter))
	}
	apart := of.Trail.apart(p.Target.Provider)
	for _, other := range p.Trail.Jumps {
		if !apart && other.After.at().After(j.Before.at()) && other.Before.at().Before(j.After.at()) {
			return true
		}
	}
	unseen := p.FinishedAt == nil || !apart && !p.FinishedAt.Before(j.Before.ReadAt)
	return unseen && p.ReferenceBy == "answer" && p.RowAt != nil && fits(j.Rise(), p.Credits) && !p.RowAt.After(j.After.at())
}

// Sampled is what one sample changes for a sent purchase at a provider without
// books. s is nil when the balance could not be read. What else may have raised
// the balance must be asked (see Weighed) when ask is true.
func Sampled(p Purchase, s *Sample, now time.Time) (c Change, ask bool) {
	c = Change{Next: p}
	next := &c.Next
	next.Trail = p.Trail.clone()
	next.Trail.begin(p)
	wait := sampleAgain
	if next.sample(s) {
		wait, next.LookedAt = sampleEvery, &now
	}
	at := now.Add(sampleWait(wait, p.QuietPeriod))
	quiet := p.QuietUntil()
	if now.Before(quiet) && at.After(quiet) {
		at = quiet
	}
	next.NextLookAt = &at
	held := len(next.Trail.held())
	if now.Before(quiet) {
		return c, held > len(p.Trail.held())
	}
	switch {
	case next.Trail.waiting() && now.Before(quiet.Add(JumpGap)):
	case held == 1:
		return c, true
	case held > 1:
		c.parkUnseen("the balance rose more than once as this purchase would have raised it", now)
	default:
		c.parkUnseen("the balance showed no rise that this purchase made", now)
	}
	return c, false
}

func sampleWait(d, quiet time.Duration) time.Duration { return max(sampleLeast, Scaled(d, quiet)) }

// raises is by how much the purchase raises the balance: what was ordered,
// unless the answer named another charge. Credits are money one to one where
// there are no books (Talkover docs, get-auto-topup-history, read 2026-11-20).
func (p Purchase) raises() Credits {
	if p.Trail.Said != nil {
		if c, err := ParseCredits(p.Trail.Said.Charged.Amount()); err == nil {
			return c
		}
	}
	return p.Credits
}

// said keeps the charge that an answer names, when it is not the price.
func (p *Purchase) said(a Answer) {
	if a.Reason == FailedMismatch && a.Reference != "" && a.Charged != nil && *a.Charged != p.Price && a.Charged.Currency == p.Price.Currency && a.Charged.Minor > 0 {
		p.Trail = p.Trail.clone()
		p.Trail.begin(*p)
		p.Trail.Said = &Said{Reference: a.Reference, Charged: *a.Charged}
	}
}

// sampleSoon keeps the samples close together when an answer comes in between.
func (p *Purchase) sampleSoon(now time.Time) {
	at := now.Add(sampleWait(sampleAgain, p.QuietPeriod))
	if p.NextLookAt == nil || p.NextLookAt.After(at) {
		p.NextLookAt = &at
	}
}

// sample puts a sample into the trail and tells whether it said anything.
func (p *Purchase) sample(s *Sample) bool {
	switch {
	case s == nil || s.Reading.Bad != "":
		return false
	case s.EnvironmentProblem != "" || s.Reading.Native != "" || s.Reading.Account.Currency != p.Price.Currency:
		p.Trail.cut()
		return false
	default:
		return p.Trail.add(levelOf(s.Reading.Balance, s.Reading.ReadAt, s.Reading.RefreshedAt), p.raises())
	}
}

// Compared goes on where Sampled took a sample: it notes which other accounts
// have a balance of their own, so that what they buy explains no rise of ours.
func Compared(c Change, others []Shown) Change {
	c.Next.Trail.compare(others, c.Next.raises())
	return c
}

// Weighed goes on where Sampled asked: it shows the one rise at once, and claims
// it when the quiet period is over and nothing else explains it. o is nil when
// that could not be found out.
func Weighed(c Change, o *Others, now time.Time) Change {
	next := &c.Next
	jumps := next.Trail.held()
	quiet := next.QuietUntil()
	if len(jumps) != 1 {
		c.showRise(fmt.Sprintf("found %d rises of the balance that could be it, so neither counts", len(jumps)), now)
		return c
	}
	j := jumps[0]
	rise := fmt.Sprintf("a rise of %s at %s", next.amount(j.Rise()), j.After.at().UTC().Format(time.RFC3339))
	other := ""
	if o != nil {
		other = o.explain(*next, j)
	}
	switch {
	case now.Before(quiet) && other == "":
		c.showRise(fmt.Sprintf("found %s, counts from %s", rise, quiet.UTC().Format(time.RFC3339)), now)
	case now.Before(quiet):
		c.showRise(fmt.Sprintf("found %s, which may not count: %s", rise, other), now)
	case o == nil && now.Before(quiet.Add(Scaled(UnavailableAfter, next.QuietPeriod))):
		c.showRise(fmt.Sprintf("found %s, which counts when the provider says that it did not top up itself", rise), now)
	case o == nil:
		c.parkUnseen("the provider could not be asked what made "+rise, now)
	case other != "":
		next.Found = fmt.Sprintf("found %s, which does not count: %s", rise, other)
		c.parkUnseen(rise+" has another explanation: "+other, now)
	case next.Reason == FailedMismatch && next.Trail.Said == nil:
		next.Found = fmt.Sprintf("found %s, which does not count: the answer was about another amount", rise)
		c.parkUnseen("the answer was about another amount, so "+rise+" is for a person", now)
	default:
		c.claimJump(j, now)
	}
	return c
}

// amount writes credits as money where they are, as people know it.
func (p Purchase) amount(c Credits) string {
	if m, err := ParseAmount(c.String(), p.Price.Currency); err == nil {
		return m.String()
	}
	return c.String() + " " + string(p.Price.Currency)
}

// rose tells whether the purchase was confirmed by a rise of the balance.
func (p Purchase) rose() bool {
	return p.RowAt != nil && slices.ContainsFunc(p.Trail.held(), func(j Jump) bool { return j.After.at().Equal(*p.RowAt) })
}

// showRise shows evidence that does not count yet.
func (c *Change) showRise(text string, now time.Time) {
	if c.Next.Found == text {
		return
	}
	c.Next.Found, c.Next.FoundAt = text, &now
	c.noteTrail(text)
}

// claimJump confirms the purchase by the rise of the balance.
func (c *Change) claimJump(j Jump, now time.Time) {
	next := &c.Next
	from, at := next.State, j.After.at()
	said := next.Trail.Said
	reference := j.reference()
	if said != nil {
		reference = said.Reference
	}
	next.confirm(reference, "evidence", now)
	next.Payment, next.RowAt = PaymentNone, &at
	if said != nil {
		next.Charged = &said.Charged
	}
	next.Reason, next.Detail = FailedNone, ""
	c.noteTrail(fmt.Sprintf("the balance shows it: it rose from %s to %s by %s", j.Before.Balance, j.After.Balance, at.UTC().Format(time.RFC3339)))
	c.Evidence[len(c.Evidence)-1].From = from
}

// parkUnseen stops and asks a person: nothing will look again.
func (c *Change) parkUnseen(why string, now time.Time) {
	c.review("quiet period over; "+why, now)
	c.Next.NextLookAt = nil
}

func (c *Change) noteTrail(text string) {
	detail, _ := json.Marshal(c.Next.Trail) // plain values always marshal
	c.Evidence = append(c.Evidence, Evidence{Kind: EvidenceLook, To: c.Next.State, Text: text, Detail: detail})
}
