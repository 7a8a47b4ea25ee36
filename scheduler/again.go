package scheduler

import (
	"context"
	"encoding/json"
	"fmt"

	"topupd/rules"
	"topupd/topup"
)

// Again answers whether a sent purchase that left no trace would still be
// bought now. It decides on the terms that were frozen with the purchase, not
// on today's rules, and on a fresh confirm read; whatever in that read could be
// the purchase itself forbids the repeat.
func (w *Watch) Again(ctx context.Context, p topup.Purchase) (topup.Again, error) {
	if w.DryRun {
		return topup.Again{Reason: topup.DryRun, Text: "dry run"}, nil
	}
	var rule rules.Rule
	if err := json.Unmarshal(p.Terms, &rule); err != nil {
		return topup.Again{}, fmt.Errorf("reading the frozen rule of purchase %s: %w", p.ID, err)
	}
	standing, err := w.Standings.Standing(ctx, p.Target)
	if err != nil {
		return topup.Again{}, fmt.Errorf("reading the ledger: %w", err)
	}
	read, err := w.Reader.Confirm(ctx, topup.Order{
		Target: p.Target, Credits: p.Credits, Price: p.Price, PriceID: p.PriceID,
		PaymentMethodID: p.PaymentMethodID, ExpiresAt: p.ExpiresAt, Native: w.AllowNative,
	})
	if err != nil {
		return topup.Again{}, fmt.Errorf("the confirm read: %w", err)
	}
	books := topup.Books{Topups: read.Topups, Invoices: read.Invoices, Complete: true}
	if found := topup.Matches(p, books, nil); len(found) > 0 {
		return topup.Again{Reason: topup.StillOpen, Text: "the provider shows " + found[0].ID + ", which may be this purchase"}, nil
	}
	if id := topup.Undecided(p, books, nil); id != "" {
		return topup.Again{Reason: topup.StillOpen, Text: "the provider shows " + id + ", which may be this purchase at another price"}, nil
	}
	for _, row := range read.Topups { // not imported while this purchase is open, and known all the same
		if standing.NewestRowAt == nil || row.At.After(*standing.NewestRowAt) {
			standing.NewestRowAt = &row.At
		}
	}
	w.mu.Lock()
	behind := w.books.behind(w.Reader)
	w.mu.Unlock()
	d := rules.Decide(rules.Facts{
		Now: w.Now(), Rule: &rule, Reading: &read.Reading, Standing: standing,
		FirstLow: &p.ReadAt, Confirmation: &read,
		AllowNative: w.AllowNative, Repeating: &p, Behind: behind,
	})
	return topup.Again{
		Reason: d.Reason, Text: d.Text, ServerTime: read.ServerTime,
		Facts: topup.Facts{Version: standing.Version, At: standing.Now, MaxAge: rule.MaxReadingAge},
	}, nil
}
