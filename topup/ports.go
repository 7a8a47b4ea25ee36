package topup

import (
	"context"
	"time"
)

// Provider is one billing provider connection, as the life of a purchase needs
// it. No implementation repeats a purchase request (P4).
type Provider interface {
	// Prepare freezes the request that would buy the order. No I/O.
	Prepare(Order) (Request, error)
	// Connect opens a fresh connection for one request. After an error it is
	// certain that nothing was sent.
	Connect(context.Context) (Sender, error)
	// Books reads what the provider's records show about the target since then.
	// ErrNoBooks when it keeps none.
	Books(ctx context.Context, target Target, since time.Time) (Books, error)
	// Follow reads how purchases with a reference stand and tells each as soon as
	// it is known, so that one that hangs holds up no other: Books with its ledger
	// row and its invoice, as far as they exist, or why nothing could be read.
	// Pages are shared between purchases; tell is called once for each, from
	// several goroutines. It returns when all were told.
	Follow(ctx context.Context, purchases []Purchase, tell func(Purchase, Books, error))
}

// Sampler is a provider without books that can at least show the balance. A
// Provider that is one too has its unclear purchases looked for in the balance.
type Sampler interface {
	// Sample reads the balance, and whether it is still the target's: asked before
	// and after the balance.
	Sample(ctx context.Context, target Target) (Sample, error)
	// Recharges lists what the provider's own top-up has added since then, and
	// what it has begun and not ended.
	Recharges(ctx context.Context, target Target, since time.Time) (done, pending []Topup, err error)
}

// Biller is a provider that lists what was bought in the whole account, which
// tells what a ledger that lost commits does not know (P18).
type Biller interface {
	// BilledSince begins to read the purchases of credits that were billed since then,
	// whoever made them. Nothing is read yet.
	BilledSince(since time.Time) Bills
}

// Bills is one reading of an account's bills, part by part, newest first.
type Bills interface {
	// Next reads the part that follows, and tells whether the reading is done with
	// it: everything since the moment asked for was listed. After an error the
	// same part is read again.
	Next(ctx context.Context) (part Billed, done bool, err error)
}

// Billed is what was bought in an account, or a part of it.
type Billed struct {
	Topups     map[Target][]Topup // by invoice; without credits, which bills do not tell
	Unreadable []string           // bills that may be for credits and could not be read
	Bills      int                // how many were looked at
	Back       time.Time          // the date of the last one that has one
}

// Expirer is a provider that lists which credits have ended, and which are to.
type Expirer interface {
	// Expired lists what ended since then, or was to end, whoever bought it.
	Expired(ctx context.Context, target Target, since time.Time) ([]Expiry, error)
}

// QuarantineEnd asks for the end of a quarantine whose provider's books were read.
type QuarantineEnd struct {
	Lease  Lease
	Since  time.Time // when the quarantine began: it must still be that one
	ReadAt time.Time // database clock, before the books were read
	Others time.Time // whatever is not ours and was bought later is somebody else's, who may go on
}

// Sender is one open connection that carries at most one request.
type Sender interface {
	// Send puts the request on the wire at most once and says what came of it.
	// It never fails: what is not on the provider's list of answers is Unclear.
	Send(ctx context.Context, request Request, key string) Answer
	// Close gives the connection up. Safe after Send, and without it.
	Close() error
}

// Ledger is what the life of a purchase needs of the store.
type Ledger interface {
	// Now is the database clock.
	Now(context.Context) (time.Time, error)
	// Permit stores the right to send one request, and nothing may be sent
	// before it returned without error (P2). Errors: ErrPaused, ErrRuleStopped,
	// ErrHeld, ErrOvertaken, ErrProviderStopped, ErrLeaseLost, ErrFactsTooOld,
	// ErrFactsOvertaken, ErrKeyTooOld, ErrInDoubt.
	Permit(context.Context, PermitRequest) (Purchase, error)
	// Advance stores a change if the purchase is still at Next.Revision. Errors:
	// ErrOvertaken, ErrInDoubt, ErrRefused.
	Advance(context.Context, Change) (Purchase, error)
	Answers
}

// Answers keep what requests brought, and what is learnt too late to change anything.
type Answers interface {
	// Answer stores what became of a permitted request: in one transaction it
	// waits for whoever is changing the purchase, reads it, and stores the change.
	// A permit is answered once; asked again, or for a permit that was never
	// stored, it changes nothing. It returns the purchase as stored. Errors:
	// ErrInDoubt, ErrRefused.
	Answer(context.Context, AnswerRequest) (Purchase, error)
	// Append adds evidence to a purchase whatever its state. Nothing is dropped.
	Append(ctx context.Context, id string, evidence ...Evidence) error
}

// Lease is one holding of the right to work on a provider connection.
type Lease struct {
	Provider ProviderID
	Holder   string // names the process
	Term     int64  // only ever grows
}

// Facts names the database facts that a decision was made on.
type Facts struct {
	Version int64         // of the target, read before the confirm read
	At      time.Time     // database clock, when Version was read
	MaxAge  time.Duration // max_reading_age
}

// PlanRequest asks for a purchase to be planned: in one transaction the ledger
// checks the lease, pauses, holds, facts and caps, and stores it.
type PlanRequest struct {
	Purchase         Purchase
	Lease            Lease
	Facts            Facts
	Caps             []Cap         // every cap that covers the purchase
	FirstHold        time.Duration // first_purchase_after of the provider
	TokenFingerprint string
	Evidence         []Evidence // why, for the first line of its history
}

// PermitRequest asks for the right to send one request.
type PermitRequest struct {
	Purchase         Purchase // as read; its revision must still be stored
	Token            string   // new and random
	Replica          string   // for a person
	Lease            Lease
	Repeat           bool      // the request was sent before, under the same key
	Facts            Facts     // only of a repeat: Plan checked those of the first
	ServerTime       time.Time // only of a repeat: the provider's clock, for the age of the key
	TokenFingerprint string    // of the provider token; a stop ends when it changes
}

// AnswerRequest asks for an answer to be stored.
type AnswerRequest struct {
	Purchase Purchase // which one; everything else about it is read anew
	Permit   string   // token of the permit under which the request left
	Answer   Answer
	Change   func(row Purchase, now time.Time) Change // what the answer changes, by the database clock
}

// KeyLifetime bounds the age of a key at its last use, inclusive, counted from
// the first send. Hyperline remembers keys for 24 h (Hyperline docs,
// /developers/idempotent-requests, read 2026-11-20); half of it leaves room
// for clocks that disagree.
const KeyLifetime = 12 * time.Hour

// MaxRepeats is how often one request may be repeated under its key (P4).
const MaxRepeats = 3

// SendWindow bounds the time between opening the connection and the first
// byte: a process stopped for longer finds its connection useless.
const SendWindow = 5 * time.Second

// SenderGrace is how long past the purchase timeout a sent purchase still
// belongs to its sender alone.
const SenderGrace = 30 * time.Second

// PlannedLifetime is how long a planned purchase may wait for its permit
// before the reconciler cancels it.
const PlannedLifetime = 30 * time.Second
