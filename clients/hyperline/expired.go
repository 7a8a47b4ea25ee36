package hyperline

import (
	"context"
	"fmt"
	"time"

	"topupd/clients"
	"topupd/topup"
)

var _ topup.Expirer = (*Client)(nil)

// expiryReach is how far back credits may have been bought that end now. The list
// is read to its end anyway when it is short, and most are one page.
const expiryReach = 400 * 24 * time.Hour

// Expired lists what ended since then: rows that say so, and additions that were
// to end. How a row of type expiration looks is not documented beyond its type
// (Hyperline API reference, "List credit transactions", read 2026-11-20): its
// amount counts whatever its sign. A list that cannot be read to its end is an
// error, because it is asked whether it explains something.
func (c *Client) Expired(ctx context.Context, t topup.Target, since time.Time) ([]topup.Expiry, error) {
	r := c.retrying()
	ended, err := r.ledgerOf(ctx, t, "expiration", since, readExpiration)
	if err == nil && !ended.complete {
		err = malformed("transactions", "the rows moved while they were read, or there are too many")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: reading what ended of %s %s: %w", c.name, t.Customer, t.Product, err)
	}
	var list []topup.Expiry
	for _, row := range ended.list {
		list = append(list, topup.Expiry{Credits: row.Credits, At: row.At})
	}
	if len(list) > 0 {
		return list, nil // an addition that has ended is one of these
	}
	added, err := r.additions(ctx, t, "", c.api.Now().Add(-expiryReach))
	if err == nil && !added.complete {
		err = malformed("transactions", "the rows moved while they were read, or there are too many")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: reading what was to end of %s %s: %w", c.name, t.Customer, t.Product, err)
	}
	for _, row := range added.list {
		day, err := time.Parse(time.DateOnly, row.ExpiresOn)
		if err == nil && !day.AddDate(0, 0, 1).Before(since) {
			list = append(list, topup.Expiry{Credits: row.Credits, At: day, DateOnly: true})
		}
	}
	return list, nil
}

// readExpiration reads a row about credits that ended; others are none.
func readExpiration(row clients.Object) (t topup.Topup, ok bool, err error) {
	if row.Text("type") != "expiration" {
		return topup.Topup{}, false, nil
	}
	t = topup.Topup{ID: row.ID("id"), At: row.Time("created_at")}
	if t.ID == "" || t.At.IsZero() {
		return topup.Topup{}, false, fmt.Errorf("ledger row %q without a valid id or time", t.ID)
	}
	text, err := row.Number("credit_count")
	if err != nil {
		return topup.Topup{}, false, fmt.Errorf("ledger row %s: %w", t.ID, err)
	}
	if t.Credits, err = topup.ParseCredits(text); err != nil {
		return topup.Topup{}, false, fmt.Errorf("ledger row %s: credit_count: %w", t.ID, err)
	}
	t.Credits = max(t.Credits, -t.Credits)
	return t, true, nil
}
