package main

import (
	"context"
	"time"

	"topupd/internal/verify"
	"topupd/ledger"
	"topupd/topup"
)

// verifierOf makes the comparison of one connection with its books. No I/O.
func verifierOf(c *connection, l *loaded, store *ledger.Store, now func() time.Time) *verify.Verifier {
	v := &verify.Verifier{
		Provider: c.id, History: files{store}, Products: map[topup.ProductID]bool{}, Quiet: c.Unclear.QuietPeriod, Now: now,
	}
	for _, p := range l.book.Products(c.Name) {
		v.Products[p] = true
	}
	if account, ok := c.client.(verify.Account); ok {
		v.Account = account
		return v
	}
	v.Recharges, _ = c.client.(verify.Recharges)
	v.Target = topup.Target{Provider: c.id, Customer: topup.CustomerID(c.EnvironmentID), Product: talkoverProduct}
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

// lastOf is the newest comparison of a provider that the ledger has; zero when
// it has none.
func lastOf(list []ledger.Verification, id topup.ProviderID) ledger.Verification {
	for _, n := range list {
		if n.Provider == id {
			return n
		}
	}
	return ledger.Verification{Provider: id}
}
