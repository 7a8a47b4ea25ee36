package topup

import "time"

// Standing is what the ledger knows about a target when a decision is made.
type Standing struct {
	Version int64     // of the target; 0 when nothing was ever stored for it
	Now     time.Time // database clock when it was read

	Open          *Purchase // the open purchase; nil when there is none
	CreditedAt    *time.Time
	EndedAt       *time.Time // of the newest purchase that credited, was declined or was cancelled
	EndedState    State      // how it ended; "" when there was none
	NewestRowAt   *time.Time // provider time of the newest credit addition known, whoever made it
	ExternalAt    *time.Time // provider time of the newest addition that is not ours
	ExternalBills []string   // invoices of the last BillsFor that no purchase explains and that were known before their credits

	Declines     int // in a row
	Refusals     int // of the request itself, since the last success
	BackoffUntil *time.Time
	SuspendedAt  *time.Time

	LastStood string   // reference of the newest purchase that stands; "" when there is none
	Refunded  string   // why a refund holds the target; "" when none does
	Released  []string // invoices whose refund holds it no more

	RefusedRules []RefusedRule // that topupd has stopped, and what they let through

	Canaries []Canary // of every price that was bought at the provider

	Refusal        string // the last failure in the provider's words when it was a refusal; "" when it was a decline
	RefusalRule    string // the rule that was refused
	RefusalVersion string // and its version

	Unused      int        // requests in a row that the provider turned away before they ran
	UnusedUntil *time.Time // no further one before
	UnusedToday int        // of them, all of this UTC day

	Pauses      []Pause    // that may cover the target, widest first; those of rules are matched by the rule's name
	Raised      *Raised    // why it is low only by a change; nil when it is not
	FirstSeenAt *time.Time // when the ledger first knew the provider
	Stopped     string     // why the provider refuses us; "" when it does not
	Implausible string     // why the target is held for a person; "" when it is not
	DoubtedAt   *time.Time // when readings held it, which readings can end; nil when only a person can
	Fall        *Fall      // the fall that its balance has not come back from; nil when none was noted
	Quarantined string     // why nothing may be bought at the provider; "" when it may

	QuarantinedAt  *time.Time // when that began, database clock
	QuarantineHeld bool       // only a person ends it
	KnownAt        time.Time  // up to when the ledger knows every purchase in the provider's books
}

// BillsFor is for how long, inclusive, an invoice that no purchase explains holds up
// the next purchase while its credits do not come. It is as far back as a confirm
// read sees additions of credits: further back their absence proves nothing.
const BillsFor = 30 * 24 * time.Hour

// Evaluation is one decision about one target, as kept for explain (P15).
type Evaluation struct {
	Target       Target
	ProviderName string
	CustomerName string
	ProductName  string
	At           time.Time
	Since        time.Time // since when the reason has been the same
	Reason       Reason
	Text         string // the decision in words
	Rule         string
	RuleVersion  string
	DryRun       bool     // of the rule; not kept
	Balance      *Credits // nil when it was bad
	Threshold    *Credits // nil when there is none
	ReadAt       time.Time
	RefreshedAt  time.Time
	Purchase     string // id of the purchase it led to, or that is open
	Detail       []byte // JSON: every fact of the decision
}

// Below tells whether the balance was below the threshold.
func (e Evaluation) Below() bool {
	return e.Balance != nil && e.Threshold != nil && *e.Balance < *e.Threshold
}
