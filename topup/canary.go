package topup

import (
	"fmt"
	"time"
)

const (
	// CanaryFor is for how long a bill shows that its price is the one that is
	// charged. A longer time hides a price that somebody changed and that no read
	// shows; a shorter one makes customers wait for each other more often.
	CanaryFor = 24 * time.Hour
	// CanaryEvery is after how long another purchase goes although the one before
	// shows nothing: a bill that never comes must not stop everybody.
	CanaryEvery = 2 * time.Minute
	// CanaryTrouble is after how long a price that nothing shows is trouble.
	CanaryTrouble = 5 * time.Minute
)

// Canary is what the ledger knows about a price of a rule at a provider
// connection: whether a bill of that amount was seen, and who buys at it first
// (P10).
type Canary struct {
	Rule    string
	PriceID string // "" for a custom amount
	Price   Money
	Credits Credits

	PassedAt *time.Time // when a bill of the amount was last seen; nil = not since price or pack changed
	Purchase string     // the newest that went alone and may still be billed; "" = none
	NextAt   *time.Time // when another goes although that one shows nothing
	Since    *time.Time // since when it has been bought at and not been shown
}

// Of tells whether the canary is about what is to be bought.
func (c Canary) Of(rule string, o Order) bool {
	return c.Rule == rule && c.PriceID == o.PriceID && c.Price == o.Price && c.Credits == o.Credits
}

// Passed tells whether a bill of the amount was seen recently. A clock that was
// set back makes bills from the future, which are as old as they are far away.
func (c Canary) Passed(now time.Time) bool {
	return c.PassedAt != nil && now.Sub(*c.PassedAt).Abs() < CanaryFor
}

// Waits tells whether the next purchase at the price has to wait for the one that
// went first.
func (c Canary) Waits(now time.Time) bool {
	return !c.Passed(now) && c.Purchase != "" && c.NextAt != nil && now.Before(*c.NextAt)
}

// Trouble tells whether the price has not been shown for too long.
func (c Canary) Trouble(now time.Time) bool {
	return c.Since != nil && now.Sub(*c.Since) > CanaryTrouble
}

// String says what is waited for.
func (c Canary) String() string {
	text := fmt.Sprintf("purchase %s goes first at %s for %s credits, until its bill shows that this is what is charged", Purchase{ID: c.Purchase}.Short(), c.Price, c.Credits)
	if c.Since != nil {
		text += "; the price has not been shown since " + c.Since.UTC().Format(time.RFC3339)
	}
	return text
}
