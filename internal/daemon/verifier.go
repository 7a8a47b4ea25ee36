package daemon

import (
	"context"
	"time"

	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/scheduler"
	"topupd/topup"
)

// NewVerifier makes the comparison of one connection with its books. No I/O.
func NewVerifier(c *Connection, book *scheduler.Rulebook, store *ledger.Store, now func() time.Time) *verify.Verifier {
	v := &verify.Verifier{
		Provider: c.ID, History: files{store}, Products: map[topup.ProductID]bool{}, Quiet: c.UnknownOutcome.QuietPeriod, Now: now,
	}
	for _, p := range book.Products(c.Name) {
		v.Products[p] = true
	}
	if account, ok := c.Client.(verify.Account); ok {
		v.Account = account
		return v
	}
	v.Recharges, _ = c.Client.(verify.Recharges)
	v.Target = topup.Target{Provider: c.ID, Customer: topup.CustomerID(c.EnvironmentID), Product: talkoverProduct}
	return v
}

// talkoverProduct is what every wallet at Talkover holds.
const talkoverProduct = topup.ProductID("credits")

// files are the ledger in the words of verify.
type files struct{ *ledger.Store }

// Answers lists the charges that answers named.
func (f files) Answers(ctx context.Context, provider topup.ProviderID, since time.Time) ([]verify.Answer, error) {
	named, err := f.Named(ctx, provider, since)
	list := make([]verify.Answer, 0, len(named))
	for _, n := range named {
		list = append(list, verify.Answer(n))
	}
	return list, err
}

// LastOf is the newest comparison of a provider that the ledger has; zero when
// it has none.
func LastOf(list []ledger.Verification, id topup.ProviderID) ledger.Verification {
	for _, n := range list {
		if n.Provider == id {
			return n
		}
	}
	return ledger.Verification{Provider: id}
}

// unjudged is the part of the ledger that tells what a comparison left out.
type unjudged interface {
	Unjudged(ctx context.Context, provider topup.ProviderID, at time.Time, ids []string) (time.Time, error)
}

// comparedMost bounds what is made up for: more is a person's decision.
const comparedMost = 90 * 24 * time.Hour

// SinceLast reaches back to what the last complete comparison could not judge or
// found charged wrongly, at least so far and not beyond comparedMost, 90 days.
func SinceLast(ctx context.Context, store unjudged, last ledger.Verification, quiet time.Duration, now time.Time, least time.Duration) (time.Time, error) {
	since := now.Add(-least)
	if last.At.IsZero() {
		return since, nil
	}
	oldest, err := store.Unjudged(ctx, last.Provider, last.At, verify.Wronged(last.Keys))
	if err != nil {
		return time.Time{}, err
	}
	if oldest.IsZero() || last.At.Before(oldest) {
		oldest = last.At
	}
	if left := oldest.Add(-quiet - topup.MatchBefore); left.Before(since) { // what was as young at the provider was left out too
		since = left
	}
	if earliest := now.Add(-comparedMost); since.Before(earliest) {
		since = earliest
	}
	return since, nil
}
