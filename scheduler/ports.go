package scheduler

import (
	"context"
	"slices"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// Reader is one provider connection, as watching it needs it.
type Reader interface {
	// Poll reads every balance of the products and hands the readings over page
	// by page, as they come: an account can be so large that the first are old
	// when the last are read. Calls of page never overlap. A target may come again
	// in the same pass, then its newest reading counts. An error of page ends the
	// pass and is returned.
	Poll(ctx context.Context, products []topup.ProductID, page func(topup.Page) error) (topup.Poll, error)
	// Confirm reads everything that must hold right before buying the order.
	// Whatever cannot be read is an error.
	Confirm(ctx context.Context, order topup.Order) (topup.Confirmation, error)
	// Prepare freezes the request that buys the order.
	Prepare(order topup.Order) (topup.Request, error)
	CustomerReader
}

// CustomerReader reads what a provider knows of a customer.
type CustomerReader interface {
	// PaymentMethods names the customer's payment methods; the name changes with them.
	PaymentMethods(ctx context.Context, target topup.Target) (string, error)
	// Account reads the customer anew, from no memory: archived or missing ones are
	// Inactive.
	Account(ctx context.Context, target topup.Target) (topup.Account, error)
}

// Leases hands out the right to work on a connection, by the database clock.
type Leases interface {
	Acquire(ctx context.Context, provider topup.ProviderID, holder string, ttl time.Duration) (topup.Lease, bool, error)
	Renew(ctx context.Context, lease topup.Lease, ttl time.Duration) (bool, error)
	Release(ctx context.Context, lease topup.Lease) error
}

// Standings is what the ledger knows about targets.
type Standings interface {
	Standing(ctx context.Context, target topup.Target) (topup.Standing, error)
	Standings(ctx context.Context, provider topup.ProviderID) (map[topup.Target]topup.Standing, topup.Standing, error)
	// OverCap tells which cap planning would pass now; nil when none.
	OverCap(ctx context.Context, target topup.Target, rule string, price topup.Money, caps []topup.Cap) (*topup.CapError, error)
}

// Planner stores what was decided.
type Planner interface {
	Plan(ctx context.Context, request topup.PlanRequest) (topup.Purchase, error)
	// DoubtPrice forgets that the price was shown to be what is billed.
	DoubtPrice(ctx context.Context, provider topup.ProviderID, rule, priceID string) error
	// Import stores credit additions that are not ours; it returns how many were new.
	Import(ctx context.Context, target topup.Target, rows []topup.Topup) (int, error)
}

// Archive knows how much of the provider's books the ledger explains (P18).
type Archive interface {
	// Claimed tells which of the references explain a purchase other than except.
	Claimed(ctx context.Context, provider topup.ProviderID, references []string, except string) (map[string]bool, error)
	// NoteKnown notes that every purchase until then is known. Nothing while the
	// provider is quarantined.
	NoteKnown(ctx context.Context, lease topup.Lease, at time.Time) error
	// EndQuarantine ends a quarantine whose books were read; why it stays, if it does.
	EndQuarantine(ctx context.Context, end topup.QuarantineEnd) (why string, err error)
}

// Holds keeps targets from being bought for until a person or a changed fact
// lifts it.
type Holds interface {
	// HoldRefunded holds a target whose last purchase was paid back.
	HoldRefunded(ctx context.Context, target topup.Target, invoice, why string) error
	// Refusals lists refused purchases whose customers have to be read again before
	// their refusals count.
	Refusals(ctx context.Context, provider topup.ProviderID) (map[string]topup.Target, error)
	// CountRefusal says of a refused purchase whether its refusal counts, and tells
	// whether the rule was stopped because of it.
	CountRefusal(ctx context.Context, purchase string, counts bool) (stopped bool, err error)
	// NotePaymentMethods lifts a suspension when the name of the payment methods has changed.
	NotePaymentMethods(ctx context.Context, target topup.Target, fingerprint string) (lifted bool, err error)
}

// Doubts keeps what balances that fell say about a provider (P14).
type Doubts interface {
	// NoteFalls stores falls that nothing explains, counts them together with
	// those of other processes, and holds them when they are a crowd.
	NoteFalls(ctx context.Context, falls topup.Falls) (topup.Crowd, error)
	// LiftDoubts ends holds that falls made, and no others.
	LiftDoubts(ctx context.Context, targets []topup.Target, why string) (lifted int, err error)
	// EndFalls notes that balances are back.
	EndFalls(ctx context.Context, targets []topup.Target) error
	// Expiring lists what was bought to expire between two times.
	Expiring(ctx context.Context, provider topup.ProviderID, from, to time.Time) (map[topup.Target][]topup.Batch, error)
}

// Decisions keeps the last evaluations of each target.
type Decisions interface {
	RecordEvaluations(ctx context.Context, evaluations []topup.Evaluation) error
	// Snapshot returns the newest evaluation of each target of a provider.
	Snapshot(ctx context.Context, provider topup.ProviderID) ([]topup.Evaluation, error)
}

// Purchaser sends a planned purchase.
type Purchaser interface {
	Buy(ctx context.Context, p topup.Purchase, lease topup.Lease) (topup.Purchase, error)
}

// Visitor takes open purchases further.
type Visitor interface {
	Visit(ctx context.Context, lease topup.Lease) (int, error)
	// Wait returns when nothing that a visit began is under way any more.
	Wait()
}

// Observer is told what the watching of a connection shows. Its methods must
// not block.
type Observer interface {
	PollObserver
	Decided(provider, rule string, reason topup.Reason)
	Targets(provider string, now time.Time, states []TargetState)
	Recovered(provider string, below time.Duration)
}

// PollObserver is told how the polls of a connection go.
type PollObserver interface {
	Polled(provider, result string, duration time.Duration, at time.Time)
	// Pace tells how long a pass takes: the newest one, or the one under way when
	// that has taken longer already; and how old a reading may be.
	Pace(provider string, takes, mayTake time.Duration)
	// RuleLost tells how many customers were bought for lately and have no rule now.
	RuleLost(provider string, customers int)
}

// TargetState is one target in the picture that a poll gives.
type TargetState struct {
	Target       topup.Target
	Balance      *topup.Credits // nil when it cannot be read
	Threshold    *topup.Credits
	Reason       topup.Reason
	TroubleSince time.Time // since when below for a trouble reason; zero = not
	DrySince     time.Time // since when at or below zero; zero = not
	Unserved     bool      // nobody buys for it: no rule, dry run, not active at the provider, a threshold that is never passed, or never asked for and long idle
	PausedSince  time.Time // low and kept back by a pause of a person since; zero = it is not
	HeldSince    time.Time // since when held because it shows nothing; zero = not
	Unproven     bool      // bought for on a zero that only one stamp of an account shows
}

// Rulebook is the configuration that a reload replaces as a whole.
type Rulebook struct {
	Rules rules.Set
	Caps  []topup.Cap // of scopes global and provider; the rules bring their own
}

// MaxReadingAge is the shortest of the rules that buy at the named provider; 0
// when none does.
func (b *Rulebook) MaxReadingAge(provider string) (shortest time.Duration) {
	for _, r := range b.Rules.Rules {
		if slices.Contains(r.Providers, provider) && (shortest == 0 || r.MaxReadingAge < shortest) {
			shortest = r.MaxReadingAge
		}
	}
	return shortest
}

// Products lists the products that rules buy at the named provider.
func (b *Rulebook) Products(provider string) []topup.ProductID {
	seen := map[topup.ProductID]bool{}
	var products []topup.ProductID
	for _, r := range b.Rules.Rules {
		for _, name := range r.Providers {
			if name == provider && !seen[r.Product] {
				seen[r.Product] = true
				products = append(products, r.Product)
			}
		}
	}
	return products
}
