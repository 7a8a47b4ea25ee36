package topup

import (
	"encoding/json"
	"fmt"
	"time"
)

// This file is the life of a purchase as pure functions: what an answer, a
// look or a person changes. Nothing here does I/O; the purchaser and the
// reconciler fetch and store.

// Answered is what the answer to a request changes while its purchase is sent
// under the request's own permit; Replied knows all the other cases. books tells whether the provider
// keeps records that can contradict a refusal.
func Answered(p Purchase, a Answer, books bool, now time.Time) Change {
	c := Change{Next: p}
	next := &c.Next
	next.Reason, next.Detail = a.Reason, a.Detail
	if a.Stop {
		c.Stop = a.Detail
	}
	repeat := p.Repeats > 0
	switch a.Verdict {
	case Accepted:
		next.confirm(a.Reference, "answer", now)
		next.Reason, next.Detail = FailedNone, ""
		next.Payment = PaymentPending
		if !books {
			next.Payment, c.Priced = PaymentNone, true // a yes names the amount
			at := a.ServerTime
			if at.IsZero() {
				at = now
			}
			// Such a provider's stamps are whole seconds: a reading with this very
			// second may be older than the charge.
			at = at.Truncate(time.Second).Add(time.Second)
			next.RowAt = &at
		}
	case Rejected:
		if repeat { // proves nothing about the earlier request
			break
		}
		c.Decline = !a.Stop
		if a.Reason == FailedRefused {
			c.Refusal = refusal(p, a)
		}
		if !books {
			next.State = Declined
			break
		}
		next.Refused = true
	case NotRun:
		c.Unused = a.Written > 0
		if a.Written == 0 && next.Attempts > 0 {
			next.Attempts--
		}
		if repeat {
			next.Repeats--
			break
		}
		next.State = Cancelled
	case Unknown:
		if a.NeverRepeat || a.Reference != "" { // a reference means that something was made
			next.NeverRepeat = true
		}
	default: // an unknown verdict is an unclear one
	}
	switch {
	case next.State != Sent:
	case books:
		next.restartLooks(*next.LastSentAt, now)
	default:
		next.said(a)
		next.sampleSoon(now)
	}
	c.Evidence = append(c.Evidence, answerEvidence(p, next.State, a))
	return c
}

// confirm moves the purchase to Confirmed under a reference. What an earlier
// claim knew of its own invoice goes with it: the row of a void invoice shows no
// credits of another.
func (p *Purchase) confirm(reference, by string, now time.Time) {
	p.State = Confirmed
	p.Reference, p.ReferenceBy = reference, by
	p.RowAt, p.Charged = nil, nil
	p.ConfirmedAt = &now
	p.Found, p.FoundAt = "", nil
	p.restartLooks(now, now)
}

// Looking is what a look leads to.
type Looking string

// What a look leads to.
const (
	LookedOn   Looking = ""       // nothing more to do now
	WantRepeat Looking = "repeat" // the request may be repeated if it would still be bought
)

// Looked is what one look into the provider's books changes for a purchase in
// Sent or NeedsReview. claimed holds the references of other purchases.
func Looked(p Purchase, b Books, claimed map[string]bool, now time.Time) (Change, Looking) {
	c := Change{Next: p}
	next := &c.Next
	matches := Matches(p, b, claimed)
	next.scheduleLook(*p.LastSentAt, now)
	switch {
	case !b.Complete:
		return incomplete(c, matches, now), LookedOn
	case len(matches) > 0:
		next.LookedAt = &now
		if now.Before(p.QuietUntil()) {
			c.found(matches, now)
			return c, LookedOn
		}
		c.claim(matches, now)
		return c, LookedOn
	case Undecided(p, b, claimed) != "":
		return undecided(c, Undecided(p, b, claimed), now), LookedOn
	default:
		return emptyLook(c, now)
	}
}

// incomplete: a short or failed look changes nothing, except that the 12 hours
// end all the same.
func incomplete(c Change, matches []Match, now time.Time) Change {
	if len(matches) > 0 {
		c.found(matches, now)
	}
	if c.Next.State == Sent && now.Sub(*c.Next.SentAt) > KeyLifetime {
		c.review("the provider's books could not be read completely in 12 hours", now)
	}
	return c
}

// undecided: something was billed, and nobody can say yet whether it was this.
// Its payment brings the ledger row that tells, its end makes the look empty.
func undecided(c Change, invoice string, now time.Time) Change {
	next := &c.Next
	next.LookedAt = &now
	next.EmptyLooks, next.EmptyLookAt = 0, nil
	text := fmt.Sprintf("found %s, of another amount and not paid: it may be this purchase at another price", invoice)
	if next.Found != text {
		next.Found, next.FoundAt = text, &now
		c.note(EvidenceLook, text, nil)
	}
	if next.State == Sent && now.Sub(*next.SentAt) > KeyLifetime {
		c.review("invoice "+invoice+" could not be told apart from this purchase in 12 hours", now)
	}
	return c
}

// found shows evidence at once; it counts from the end of the quiet period,
// because earlier it could be something that the customer bought, with ours
// still on its way.
func (c *Change) found(matches []Match, now time.Time) {
	next := &c.Next
	text := fmt.Sprintf("found %s, counts from %s", claimable(matches).ID, next.QuietUntil().UTC().Format(time.RFC3339))
	if next.Found == text {
		return
	}
	next.Found, next.FoundAt = text, &now
	c.note(EvidenceLook, text, matches)
}

// claim takes the earliest match that is not void and imports the others.
func (c *Change) claim(matches []Match, now time.Time) {
	m := claimable(matches)
	next := &c.Next
	from := next.State
	next.confirm(m.ID, "evidence", now)
	next.Payment = m.payment()
	next.Reason, next.Detail = FailedNone, ""
	if m.Row != nil {
		at := m.Row.At
		next.RowAt = &at
	}
	if m.Invoice != nil {
		next.bill(*m.Invoice)
		c.Priced = m.Invoice.Shows(next.Price)
	}
	if next.Payment == PaymentFailed {
		next.Reason, next.Detail = FailedDeclined, m.Invoice.Detail
		c.Decline = !next.Refused // the refusal was counted already
	}
	for _, other := range matches {
		if other.ID != m.ID {
			c.External = append(c.External, other.external(*next))
		}
	}
	c.note(EvidenceLook, fmt.Sprintf("the provider's books show it: %s", m.ID), matches)
	c.Evidence[len(c.Evidence)-1].From = from
}

// emptyLook counts a complete look that found nothing. Two of them, a fifth of
// the quiet period apart, the second after its end, are what an absent charge
// takes to be believed.
func emptyLook(c Change, now time.Time) (Change, Looking) {
	next := &c.Next
	next.LookedAt = &now
	next.Found, next.FoundAt = "", nil
	if next.State == NeedsReview {
		return c, LookedOn
	}
	next.EmptyLooks++
	if next.EmptyLooks == 1 {
		next.EmptyLookAt = &now
		c.note(EvidenceLook, "complete look, nothing found", nil)
		return c, LookedOn
	}
	if now.Before(next.QuietUntil()) || now.Sub(*next.EmptyLookAt) < next.QuietPeriod/5 {
		return c, LookedOn
	}
	young := now.Sub(*next.SentAt) <= KeyLifetime
	switch {
	case next.Refused:
		next.State, next.NextLookAt = Declined, nil
		c.note(EvidenceLook, "the provider refused it, and two complete looks found nothing", nil)
	case next.repeatable() && young:
		c.note(EvidenceLook, "quiet period over, two complete looks found nothing", nil)
		return c, WantRepeat
	case next.repeatable():
		next.State, next.NextLookAt = Declined, nil
		next.Reason = FailedNotFound
		next.Detail = "never seen at the provider, and not needed any more within 12 hours"
		c.note(EvidenceLook, next.Detail, nil)
	default:
		c.review("quiet period over, two complete looks found nothing, and no repeat is left", now)
	}
	return c, LookedOn
}

// review stops and asks a person.
func (c *Change) review(why string, now time.Time) {
	next := &c.Next
	next.State = NeedsReview
	if next.Reason == FailedNone {
		next.Reason = FailedOther
	}
	next.LookStep = len(looks)
	next.scheduleLook(now, now)
	c.note(EvidenceState, why, nil)
}

// Waited is what time alone changes for a sent purchase at a provider without
// books: it needs review when the quiet period is over.
func Waited(p Purchase, now time.Time) (Change, bool) {
	c := Change{Next: p}
	if p.State != Sent {
		c.Next.NextLookAt = nil
		return c, p.NextLookAt != nil
	}
	if now.Before(p.QuietUntil()) {
		next := p.QuietUntil()
		c.Next.NextLookAt = &next
		return c, p.NextLookAt == nil || !p.NextLookAt.Equal(next)
	}
	c.review("quiet period over; the provider has no list of purchases to ask", now)
	c.Next.NextLookAt = nil
	return c, true
}

// Expired cancels a planned purchase whose sender never got its permit. A late
// permit then fails.
func Expired(p Purchase) Change {
	c := Change{Next: p}
	c.Next.State, c.Next.NextLookAt = Cancelled, nil
	c.Next.Reason, c.Next.Detail = FailedOther, "the sender never asked for its permit"
	c.note(EvidenceState, c.Next.Detail, nil)
	return c
}

// NotPermitted cancels a planned purchase that could not be sent: nothing left.
func NotPermitted(p Purchase, reason FailureReason, why string) Change {
	c := Change{Next: p}
	c.Next.State, c.Next.NextLookAt = Cancelled, nil
	c.Next.Reason, c.Next.Detail = reason, cutText(why)
	c.note(EvidenceState, "not sent: "+c.Next.Detail, nil)
	return c
}

// note appends one line of evidence.
func (c *Change) note(kind EvidenceKind, text string, matches []Match) {
	e := Evidence{Kind: kind, To: c.Next.State, Text: text}
	if len(matches) > 0 {
		type seen struct {
			ID      string    `json:"id"`
			Row     string    `json:"row,omitempty"`
			Status  string    `json:"invoice_status,omitempty"`
			Payment Payment   `json:"payment"`
			At      time.Time `json:"at"`
		}
		list := make([]seen, 0, len(matches))
		for _, m := range matches {
			s := seen{ID: m.ID, Payment: m.payment(), At: m.At}
			if m.Row != nil {
				s.Row = m.Row.ID
			}
			if m.Invoice != nil {
				s.Status = m.Invoice.Status
			}
			list = append(list, s)
		}
		e.Detail, _ = json.Marshal(map[string]any{"matches": list}) // plain values always marshal
	}
	c.Evidence = append(c.Evidence, e)
}

func answerEvidence(p Purchase, to State, a Answer) Evidence {
	text := string(a.Verdict)
	if a.Status != 0 {
		text = fmt.Sprintf("%s (HTTP %d)", text, a.Status)
	}
	if a.Reference != "" {
		text += " " + a.Reference
	}
	if a.Detail != "" {
		text += ": " + a.Detail
	}
	detail, _ := json.Marshal(a) // plain values always marshal
	return Evidence{Kind: EvidenceAnswer, From: p.State, To: to, Text: text, Detail: detail}
}

func cutText(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}
