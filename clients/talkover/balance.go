package talkover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"topupd/clients"
	"topupd/topup"
)

// maxAhead is how far as_of may be ahead of the provider's Date header, inclusive:
// two of its machines may disagree. Further ahead it is no stamp of a balance.
const maxAhead = 5 * time.Minute

// Poll reads the balance of the environment, in one request. Without products,
// or with Product among them, there is one page with one reading; else none. A
// balance that cannot be read is a reading with Bad set, not an error.
func (c *Client) Poll(ctx context.Context, products []topup.ProductID, page func(topup.Page) error) (topup.Poll, error) {
	if len(products) > 0 && !slices.Contains(products, Product) {
		return topup.Poll{Complete: true}, nil
	}
	ask := c.asUser("balance", balancePath)
	ask.Class = clients.Polling
	seen, err := c.balance(ctx, ask)
	if err != nil {
		return topup.Poll{Reads: 1}, err
	}
	if err := page(topup.Page{Readings: []topup.Reading{seen.reading}}); err != nil {
		return topup.Poll{Reads: 1}, err
	}
	return topup.Poll{Complete: true, Reads: 1}, nil
}

// seenBalance is the balance, and the flag that must agree with the settings.
type seenBalance struct {
	reading topup.Reading
	native  bool // auto_topup_enabled; true also when it cannot be read
	age     time.Duration
}

func (c *Client) balance(ctx context.Context, ask clients.Read) (seenBalance, error) {
	answer, err := c.lookInside(ctx, ask)
	if err != nil {
		return seenBalance{}, err
	}
	return c.see(answer), nil
}

// see never fails: what it cannot read makes the reading a bad one (P13).
func (c *Client) see(answer reply) seenBalance {
	seen := seenBalance{native: true, age: answer.age, reading: topup.Reading{
		Target: c.target(), CustomerName: c.name, ProductName: string(Product), ReadAt: answer.sentAt,
	}}
	data, err := needObject(answer.Object, "data")
	if err != nil {
		seen.reading.Bad = err.Error()
		return seen
	}
	seen.native, seen.reading.Native = nativeFlag(data)
	if err := readBalance(data, answer.clock(), &seen.reading); err != nil {
		seen.reading.Bad = err.Error()
	}
	return seen
}

// readBalance fills in amount, currency and stamp. The page has only an example
// (Talkover docs, get-credits-balance, read 2026-11-20), so what it shows is
// required. Whether a balance can be negative is not documented; calls are
// billed when they end, so it is taken as the debt it then is.
func readBalance(data clients.Object, now time.Time, r *topup.Reading) (err error) {
	if r.Balance, err = needCredits(data, "balance"); err != nil {
		return err
	}
	if r.Account.Currency, err = needCurrency(data); err != nil {
		return err
	}
	asOf, err := needTime(data, "as_of")
	if err != nil {
		return err
	}
	if asOf.After(now.Add(maxAhead)) {
		return fmt.Errorf("as_of is %s, which lies ahead of the provider's own clock, %s",
			asOf.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	// Never later than the answer itself: a stamp from the future would make an
	// old figure look newer than a purchase.
	r.RefreshedAt = asOf
	if asOf.After(now) {
		r.RefreshedAt = now
	}
	return nil
}

// nativeFlag reads whether Talkover tops up by itself. Not knowing counts as
// yes (P8).
func nativeFlag(data clients.Object) (on bool, text string) {
	on, err := needFlag(data, "auto_topup_enabled")
	switch {
	case err != nil:
		return true, "Talkover does not say whether its own auto top-up is on: " + err.Error()
	case on:
		return true, "Talkover's own auto top-up is on"
	default:
		return false, ""
	}
}
