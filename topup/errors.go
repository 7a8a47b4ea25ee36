package topup

import (
	"errors"
	"time"
)

// What callers act on. Everything else is a plain error with a text.
var (
	// ErrPurchaseOpen: the target already has an open purchase (P1).
	ErrPurchaseOpen = errors.New("the target has an open purchase")
	// ErrFactsOvertaken: another purchase or import for the target was stored after the facts were read (P1).
	ErrFactsOvertaken = errors.New("another purchase overtook the facts")
	// ErrFactsTooOld: the confirm read is older than max_reading_age by the database clock.
	ErrFactsTooOld = errors.New("the confirm read is too old")
	// ErrPaused: somebody's pause covers the target (P12).
	ErrPaused = errors.New("paused")
	// ErrRuleStopped: topupd itself has stopped the rule because of what it saw (P12).
	ErrRuleStopped = errors.New("the rule is stopped")
	// ErrChangeHeld: only a change of the terms made the target low, as it did too many others (P14).
	ErrChangeHeld = errors.New("held back after a change of the terms")
	// ErrHeld: the target is held for a person, as implausible (P14).
	ErrHeld = errors.New("held for a person")
	// ErrRefunded: the last purchase was paid back, and a person has to say whether to go on.
	ErrRefunded = errors.New("the last purchase was refunded")
	// ErrProvingPrice: another purchase goes first, to show that the price is what is billed (P10).
	ErrProvingPrice = errors.New("the first purchase at this price goes alone")
	// ErrOverCap: a cap would be passed (P6). Read the cap with errors.AsType[*CapError].
	ErrOverCap = errors.New("over a cap")
	// ErrFirstHold: the ledger has not known the provider for long enough.
	ErrFirstHold = errors.New("the first purchase at this provider is still held back")
	// ErrProviderStopped: the provider refused our token; nothing is sent until it changes.
	ErrProviderStopped = errors.New("the provider is stopped")
	// ErrLedgerUnfit: the ledger is damaged, not yet examined, or not where it was; nothing is sent on its word.
	ErrLedgerUnfit = errors.New("the ledger is not fit to buy on")
	// ErrLeaseLost: another process holds the lease of the provider connection.
	ErrLeaseLost = errors.New("the lease is not ours")
	// ErrOvertaken: the purchase was changed by somebody else since it was read.
	ErrOvertaken = errors.New("the purchase has moved on")
	// ErrKeyTooOld: the first request is too long ago to be repeated safely (P4).
	ErrKeyTooOld = errors.New("the idempotency key is too old to be used again")
	// ErrInDoubt: a commit was neither confirmed nor refused. Never send under it.
	ErrInDoubt = errors.New("the database did not say whether the change was stored")
	// ErrRefused: the ledger will never take this change; trying again is no use.
	ErrRefused = errors.New("the ledger refuses the change")
	// ErrNotFound: no such purchase, target or pause.
	ErrNotFound = errors.New("not found")
	// ErrNoBooks: the provider keeps no list that could be searched for a purchase.
	ErrNoBooks = errors.New("the provider has no list of purchases")
)

// CapError says which cap stopped a purchase: of several that one that ends last.
// It is an ErrOverCap.
type CapError struct {
	Cap   Cap
	Never bool // this one purchase alone passes it
}

func (e *CapError) Error() string { return "over the cap: " + e.Cap.String() }

// Passed adds a cap that a purchase of add would pass, planned at that time, to
// those that were found before it; passed is nil for none.
func (e *CapError) Passed(c Cap, add int64, planned time.Time) *CapError {
	next := &CapError{Cap: c, Never: add > c.Limit}
	if e != nil && (e.Never || !next.Never && !c.Period.End(planned).After(e.Cap.Period.End(planned))) {
		return e
	}
	return next
}

// Until says when the purchase may be tried again.
func (e *CapError) Until(now time.Time) string {
	if e.Never {
		return "for good: one purchase alone is more than it allows; raise it, or configure a smaller pack"
	}
	return "until " + e.Cap.Period.End(now).UTC().Format(time.RFC3339)
}

// Is makes errors.Is(err, ErrOverCap) true.
func (e *CapError) Is(target error) bool { return target == ErrOverCap }
