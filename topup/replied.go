package topup

import "time"

// Reply is an answer on its way to the row of its purchase.
type Reply struct {
	Answer Answer
	Permit string // token of the permit under which the request left
	Books  bool   // the provider keeps records that can contradict a refusal
}

// Replied is what an answer changes, whatever became of its purchase while it
// was on its way: a look was stored, another process sent the request again, a
// person decided. The answer is always kept as evidence, and what it says about
// repeating is never lost. The failure is FailedMismatch when something was
// charged that the row does not account for: a person must look.
func Replied(row Purchase, r Reply, now time.Time) (c Change, failure FailureReason) {
	a := r.Answer
	switch {
	case row.State == Sent && row.PermitToken == r.Permit:
		return Answered(row, a, r.Books, now), FailedNone
	case a.Verdict == Accepted && a.Reference != "":
		return lateYes(row, r, now)
	}
	// A late no or "not run" is about one of several requests, or too late.
	c = Change{Next: row}
	if a.NeverRepeat || a.Reference != "" {
		c.Next.NeverRepeat = true
	}
	if a.Stop {
		c.Stop = a.Detail
	}
	c.Evidence = append(c.Evidence, answerEvidence(row, row.State, a))
	return c, FailedNone
}

// lateYes is a yes to a request that the row has left behind.
func lateYes(row Purchase, r Reply, now time.Time) (Change, FailureReason) {
	a := r.Answer
	switch {
	case row.State == Sent, row.State == NeedsReview:
		return Answered(row, a, r.Books, now), FailedNone
	case row.Reference == a.Reference:
		c := Change{Next: row, Evidence: []Evidence{answerEvidence(row, row.State, a)}}
		if row.ReferenceBy == "evidence" { // the answer is the better witness
			c.Next.ReferenceBy = "answer"
		}
		return c, FailedNone
	case row.ReferenceBy == "evidence" && row.rose() && (row.State == Confirmed || row.State == Credited):
		return named(row, a), FailedNone
	case row.ReferenceBy == "evidence" && row.State == Confirmed:
		return renamed(row, a, now), FailedNone
	case row.Reference == "" && (row.State == Confirmed || row.State == Credited): // a person knew that it was charged, not as what
		c := named(row, a)
		if r.Books {
			c.Next.Payment = PaymentPending
		}
		c.again(now)
		return c, FailedNone
	}
	// Something was charged, and the row is about something else, or about nothing.
	c := Change{Next: row, Evidence: []Evidence{answerEvidence(row, row.State, a)}}
	c.External = []Topup{{ID: a.Reference, Invoice: a.Reference, Credits: row.Credits, Price: row.Price, At: now}}
	return c, FailedMismatch
}

// named gives a purchase that a rise of the balance confirmed the name that its
// answer brings after all. The rise was its own, so nothing is imported.
func named(p Purchase, a Answer) Change {
	c := Change{Next: p}
	c.Next.Reference, c.Next.ReferenceBy = a.Reference, "answer"
	c.Evidence = append(c.Evidence, answerEvidence(p, p.State, a))
	return c
}

// renamed moves a claim from what looked like the purchase to what the answer
// names.
func renamed(p Purchase, a Answer, now time.Time) Change {
	c := Change{Next: p}
	c.Next.confirm(a.Reference, "answer", now)
	c.Next.Reason, c.Next.Detail, c.Next.Payment = FailedNone, "", PaymentPending
	c.External = []Topup{{ID: p.Reference, Invoice: p.Reference, Credits: p.Credits, Price: p.Price, At: now}}
	c.Evidence = append(c.Evidence, answerEvidence(p, Confirmed, a))
	return c
}

// impossible is an answer that the ledger does not take as it is: what it names
// explains another purchase, or no row can say it. Something may have been
// charged, so nothing is repeated, and a person decides.
func (a Answer) impossible(why error) Answer {
	text := string(a.Verdict)
	if a.Reference != "" {
		text += " " + a.Reference
	}
	a.Verdict, a.Reason, a.NeverRepeat, a.Stop = Unknown, FailedMismatch, true, false
	a.Detail = cutText("the provider answered " + text + ", which cannot be: " + why.Error())
	return a
}
