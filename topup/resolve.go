package topup

import (
	"errors"
	"fmt"
	"time"
)

// Resolution is a person's decision about a purchase.
type Resolution struct {
	Charged   bool
	Reference string    // with charged; may be empty
	Seen      *Match    // the charge that the provider's books show under the reference; nil = nobody could look
	Note      string    // required
	By        string    // required
	External  []Invoice // with not charged: bills that could be the purchase and are somebody else's
	Again     bool      // a correction that corrects one
}

// Resolved is what a person's decision changes. Purchases that need review can be
// resolved either way, confirmed ones only as charged; the checks against the
// provider's books are the caller's.
func Resolved(p Purchase, r Resolution, now time.Time) (Change, error) {
	c := Change{Next: p}
	next := &c.Next
	next.ResolvedBy, next.Note = r.By, r.Note
	switch {
	case r.Note == "":
		return Change{}, errNoNote
	case r.Charged && p.State == NeedsReview:
		next.confirm(r.Reference, "person", now)
		next.take(r, p)
		next.Reason, next.Detail = FailedNone, "" // what went wrong on the way is over
	case r.Charged && p.State == Confirmed && r.Reference != "" && r.Reference != p.Reference:
		return Change{}, fmt.Errorf("it was bought as %s: leave --reference out, or correct it when it was credited", p.Reference)
	case r.Charged && p.State == Confirmed:
		next.State = Credited
		c.again(now)
	case !r.Charged && p.State == NeedsReview && now.Before(p.QuietUntil()):
		return Change{}, mayRun(p)
	case !r.Charged && p.State == NeedsReview:
		next.State, next.NextLookAt = Declined, nil
		if next.Reason == FailedNone {
			next.Reason = FailedNotFound
		}
		for _, i := range r.External {
			c.External = append(c.External, i.external())
		}
	default:
		return Change{}, fmt.Errorf("a %s purchase cannot be resolved that way: only one that needs review, or a confirmed one as charged", p.State)
	}
	c.note(EvidenceResolved, fmt.Sprintf("%s says %s: %s", r.By, r.words(), r.Note), nil)
	c.Evidence[0].From = p.State
	return c, nil
}

// Corrected is what a correcting entry changes: a purchase that has ended, or
// was called bought, was charged after all, or was not, or by another reference.
// It never opens a purchase again. The checks against the provider's books are
// the caller's, the same as for Resolved.
func Corrected(p Purchase, r Resolution, now time.Time) (Change, error) {
	if err := correctable(p, r, now); err != nil {
		return Change{}, err
	}
	c := Change{Next: p, Correction: true}
	next := &c.Next
	next.ResolvedBy, next.Note = r.By, r.Note
	next.CorrectedAt, next.CorrectedFrom = &now, p.State
	next.RowAt, next.Charged = nil, nil
	was := string(p.State)
	if p.Reference != "" {
		was += " as " + p.Reference
	}
	if r.Charged {
		next.State, next.Reference, next.ReferenceBy = Credited, r.Reference, "person"
		next.Reason, next.Detail, next.Payment = FailedNone, "", PaymentNone
		next.take(r, p)
		if r.Seen != nil && r.Seen.Invoice != nil {
			next.bill(*r.Seen.Invoice)
		}
		if next.ConfirmedAt == nil {
			next.ConfirmedAt = &now
		}
	} else {
		next.State, next.Reference, next.ReferenceBy = Declined, "", ""
		next.Reason, next.Detail, next.Payment = FailedNotFound, "", PaymentNone
		for _, i := range r.External {
			c.External = append(c.External, i.external())
		}
	}
	c.again(now)
	c.note(EvidenceCorrected, fmt.Sprintf("%s says %s, which was %s: %s", r.By, r.words(), was, r.Note), nil)
	c.Evidence[0].From = p.State
	return c, nil
}

// correctable tells why a purchase cannot be corrected so.
func correctable(p Purchase, r Resolution, now time.Time) error {
	to := Declined
	if r.Charged {
		to = Credited
	}
	switch {
	case r.Note == "":
		return errNoNote
	case p.State.Open() && !Correctable(p.State, to):
		return fmt.Errorf("a %s purchase is open: say what became of it with topupd purchases resolve", p.State)
	case p.CorrectedAt != nil && !r.Again:
		return fmt.Errorf("%s corrected it %s already (%s); if that was wrong too, add --again", p.ResolvedBy, p.CorrectedAt.UTC().Format(time.RFC3339), p.Note)
	case !Correctable(p.State, to):
		return fmt.Errorf("it counts as not charged already: it is %s", p.State)
	case p.State == to && (r.Reference == "" || r.Reference == p.Reference):
		return fmt.Errorf("it counts as charged already: name another --reference if it is not %q", p.Reference)
	case r.Charged && (p.SentAt == nil || p.LastSentAt == nil):
		return fmt.Errorf("it was never sent: whatever was charged is not this purchase")
	case !r.Charged && now.Before(p.QuietUntil()):
		return mayRun(p)
	default:
		return nil
	}
}

var errNoNote = errors.New("a note is required: say how you know")

func mayRun(p Purchase) error {
	return fmt.Errorf("the quiet period lasts until %s: the request may still run", p.QuietUntil().UTC().Format(time.RFC3339))
}

// take is what a person who says charged knows of the charge. Where nobody could
// look, readings from before the send must not count again; where the books
// show it, they tell the row's time and the payment.
func (p *Purchase) take(r Resolution, was Purchase) {
	switch {
	case r.Seen == nil:
		p.RowAt = was.LastSentAt
	case r.Seen.Row != nil:
		p.RowAt = &r.Seen.Row.At
	}
	if r.Seen != nil {
		p.Payment = r.Seen.payment()
	}
	if p.Payment == "" {
		p.Payment = PaymentNone
	}
}

// words say what the person says.
func (r Resolution) words() string {
	what := "not charged"
	switch {
	case r.Charged && r.Reference != "":
		what = "charged as " + r.Reference
	case r.Charged:
		what = "charged"
	}
	for _, i := range r.External {
		what += fmt.Sprintf(", and that %s of %s is not this purchase", i.ID, i.Amount)
	}
	return what
}

// external is the bill as it is imported when a person calls it somebody else's.
// It is known by its invoice, but not as one of unknown origin that blocks until
// its credits come: it may stay unpaid for months, and counts as unpaid like any
// other.
func (i Invoice) external() Topup {
	return Topup{ID: "bill " + i.ID, Invoice: i.ID, Price: i.Amount, Source: SourcePerson, At: i.At}
}
