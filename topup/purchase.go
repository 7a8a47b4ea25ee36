package topup

import (
	"fmt"
	"slices"
	"time"
)

// State is where a purchase stands. The chart is in the package comment.
type State string

// The states. There is no "unknown": Sent is the state of not knowing,
// whatever the cause, so that there is one path out of it.
const (
	Planned     State = "planned"
	Held        State = "held"
	Sent        State = "sent"
	Confirmed   State = "confirmed"
	NeedsReview State = "needs_review"
	Credited    State = "credited"
	Declined    State = "declined"
	Cancelled   State = "cancelled"
)

// States lists every state, for metrics that start at zero.
func States() []State {
	return []State{Planned, Held, Sent, Confirmed, NeedsReview, Credited, Declined, Cancelled}
}

// Open tells whether a purchase in this state blocks its target (P1).
func (s State) Open() bool {
	switch s {
	case Planned, Held, Sent, Confirmed, NeedsReview:
		return true
	case Credited, Declined, Cancelled:
		return false
	default:
		return true // unknown to this program: block
	}
}

// transitions is the whole chart; migration 0001 holds the same pairs.
var transitions = map[State][]State{
	Planned:     {Sent, Cancelled},
	Held:        {Planned, Cancelled},
	Sent:        {Confirmed, Declined, Cancelled, NeedsReview},
	Confirmed:   {Credited, Declined},
	NeedsReview: {Confirmed, Declined},
	Credited:    {},
	Declined:    {},
	Cancelled:   {},
}

// Allowed tells whether a purchase may go from one state to another. Staying
// is allowed: evidence and payment change within a state.
func Allowed(from, to State) bool {
	if from == to {
		return true
	}
	return slices.Contains(transitions[from], to)
}

// corrections are the steps that only a person takes, by a correcting entry:
// between final states, so that nothing is ever opened again.
var corrections = map[State][]State{
	Confirmed: {Declined},
	Credited:  {Declined},
	Declined:  {Credited},
	Cancelled: {Credited},
}

// Correctable tells whether a correction may take a purchase from one state to
// another. A credited one may stay, with another reference.
func Correctable(from, to State) bool {
	return from == Credited && to == Credited || slices.Contains(corrections[from], to)
}

// Payment is the second axis of a purchase: what became of the money. It is
// followed after Credited too, until it ends.
type Payment string

// The payments.
const (
	PaymentNone    Payment = "none"    // the provider has no invoices, or nothing was charged
	PaymentPending Payment = "pending" // billed, not yet collected
	PaymentPaid    Payment = "paid"
	PaymentFailed  Payment = "failed" // not collected; the provider may try again
	PaymentVoid    Payment = "void"   // never will be
)

// Payments lists every payment.
func Payments() []Payment {
	return []Payment{PaymentNone, PaymentPending, PaymentPaid, PaymentFailed, PaymentVoid}
}

// Ended tells whether the payment cannot change any more.
func (p Payment) Ended() bool {
	switch p {
	case PaymentNone, PaymentPaid, PaymentVoid:
		return true
	case PaymentPending, PaymentFailed:
		return false
	default:
		return false
	}
}

// Policy is what to do with a request whose outcome stays unclear.
type Policy string

// The policies.
const (
	PolicyRetry  Policy = "retry"  // repeat it under the same key, where the provider documents that as safe
	PolicyReview Policy = "review" // leave it to a person
)

// DeclineTerms say how a customer whose purchases fail is asked less often (P7).
type DeclineTerms struct {
	Backoff      time.Duration // after the first decline; doubles with each further one
	MaxBackoff   time.Duration
	SuspendAfter int // declines in a row, at least 1
}

// Wait is the pause after the nth decline in a row, n ≥ 1.
func (d DeclineTerms) Wait(n int) time.Duration {
	wait := d.Backoff
	for i := 1; i < n && wait < d.MaxBackoff; i++ {
		wait *= 2
	}
	return min(wait, d.MaxBackoff)
}

// Request is the purchase request as it goes over the wire, frozen before the
// first byte leaves. Header values such as the token are not part of it.
type Request struct {
	Method string
	Path   string // with query, without host
	Body   []byte
}

// Purchase is one intent to buy, as stored. Everything down to PlannedAt is
// fixed when it is planned; the rest moves with its life.
type Purchase struct {
	ID       string // UUIDv7
	Revision int64  // raised by every stored change; compare-and-set

	Target       Target
	ProviderName string // the label in the YAML when it was planned
	CustomerName string
	ProductName  string
	Rule         string
	RuleVersion  string
	Terms        []byte // the rule as JSON, frozen: reconciling reads no rules

	Credits         Credits
	Price           Money // excluding tax
	PriceID         string
	PaymentMethodID string
	ExpiresAt       *time.Time

	Key             string // UUIDv4, random
	Request         Request
	Fingerprint     string // SHA-256 of method, path and body, hex
	Policy          Policy
	QuietPeriod     time.Duration
	PurchaseTimeout time.Duration
	Declines        DeclineTerms
	MaxReadingAge   time.Duration

	BalanceBefore Credits
	Threshold     Credits
	ReadAt        time.Time // of the balance before, our clock
	RefreshedAt   time.Time
	Baseline      []string // ids at the provider that the confirm read showed
	PlannedAt     time.Time

	State   State
	Payment Payment
	Reason  FailureReason
	Detail  string // the reason in words, for a person

	PermitToken string     // of the newest permit; the sender's proof
	PermitAt    *time.Time // of the newest permit, database clock
	SentAt      *time.Time // of the first permit
	LastSentAt  *time.Time // of the newest permit that may have reached the wire
	Attempts    int        // requests on the wire, or that may be
	Repeats     int        // of them, repeats under the same key
	Refused     bool       // a listed no to the first and only request is stored
	NeverRepeat bool       // an answer said that something was made, or that the key is of no use

	Reference   string     // invoice or transaction id
	ReferenceBy string     // "answer", "evidence" or "person"
	RowAt       *time.Time // provider time of the ledger row with our reference
	Charged     *Money     // what the invoice or answer says, when it is not Price
	ConfirmedAt *time.Time

	EmptyLooks  int        // complete looks that found nothing since the last send
	EmptyLookAt *time.Time // the first of them
	LookedAt    *time.Time // the last complete look
	LookStep    int        // index into the look schedule
	NextLookAt  *time.Time
	Found       string // evidence that waits for the end of the quiet period
	FoundAt     *time.Time
	Trail       Trail // of the balance, where there are no books

	FinishedAt *time.Time
	ResolvedBy string // whose word the state rests on; "" = nobody's
	Note       string

	CorrectedAt   *time.Time // of the newest correction, database clock; nil = none
	CorrectedFrom State      // what it was until then
}

// OnWord tells whether only a person's word says what became of the purchase:
// nobody could be asked, or nothing at the provider shows the charge.
func (p Purchase) OnWord(books bool) bool {
	charged := p.State == Confirmed || p.State == Credited
	return p.ResolvedBy != "" && (!books || charged && p.Reference == "")
}

// QuietUntil is the end of the quiet period, always counted from the last
// send. Before it an absent charge proves nothing (P4). It is never over while
// the sender may still wait for its answer, however short a rehearsal has made
// the period.
func (p Purchase) QuietUntil() time.Time {
	if p.LastSentAt == nil {
		return p.PlannedAt
	}
	return p.LastSentAt.Add(max(p.QuietPeriod, p.PurchaseTimeout+Scaled(SenderGrace, p.QuietPeriod)))
}

// repeatable tells whether the request may be sent again at all (P4).
func (p Purchase) repeatable() bool {
	return p.Policy == PolicyRetry && p.Repeats < MaxRepeats && !p.NeverRepeat
}

// Short is enough of the id for a person to type.
func (p Purchase) Short() string {
	if len(p.ID) < 8 {
		return p.ID
	}
	return p.ID[len(p.ID)-8:]
}

// String names the purchase in errors and logs.
func (p Purchase) String() string {
	return fmt.Sprintf("purchase %s (%s, %s)", p.ID, p.Target.Customer, p.State)
}

// EvidenceKind is what a line of evidence is about.
type EvidenceKind string

// The kinds of evidence.
const (
	EvidencePlanned  EvidenceKind = "planned"
	EvidencePermit   EvidenceKind = "permit"
	EvidenceAnswer   EvidenceKind = "answer"
	EvidenceLook     EvidenceKind = "look"
	EvidencePayment  EvidenceKind = "payment"
	EvidenceState    EvidenceKind = "state"
	EvidenceResolved EvidenceKind = "resolved"

	EvidenceCorrected EvidenceKind = "corrected"
)

// Evidence is one line of a purchase's append-only history.
type Evidence struct {
	At     time.Time // database clock; filled in when stored
	Kind   EvidenceKind
	From   State
	To     State
	Text   string // one sentence for a person
	Detail []byte // JSON; "" when there is nothing more
}

// Change is one step in the life of a purchase, stored whole or not at all.
type Change struct {
	Next     Purchase // as it shall be; Next.Revision is the revision that was read
	Evidence []Evidence

	Unused   bool    // a whole request left that certainly did not run: it counts towards a bound of its own
	Decline  bool    // counts for back-off and suspension (P7)
	Refusal  Refusal // with Decline: when it was not about the customer's means of payment
	Lift     bool    // a payment arrived: declines and suspension are over
	External []Topup // matches that turned out not to be ours

	Correction bool   // a person's correcting entry: Correctable, not Allowed, decides
	Priced     bool   // a bill, or where there are none a yes, showed that the price is what is charged (P10)
	Stop       string // why no permit may be given at this provider until its token changes; "" = go on
}
