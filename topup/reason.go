package topup

// Reason is why a target is bought for, or not. The list is closed: it is a
// metric label, a JSON value and what explain prints.
type Reason string

// The reasons, in the order of their classes.
const (
	Buy    Reason = "buy"
	Enough Reason = "enough"

	// Waiting: it resolves by itself, soon.
	StillOpen    Reason = "still_open"
	CoolingDown  Reason = "cooling_down"
	Rechecking   Reason = "rechecking"
	FirstHold    Reason = "first_hold"
	ProvingPrice Reason = "proving_price"

	// Chosen: somebody wants it so.
	Paused           Reason = "paused"
	DryRun           Reason = "dry_run"
	Excluded         Reason = "excluded"
	NoRule           Reason = "no_rule"
	NativeAutoTopup  Reason = "native_auto_topup"
	CustomerInactive Reason = "customer_inactive"

	// Trouble: a customer may run dry.
	StaleReading        Reason = "stale_reading"
	BadReading          Reason = "bad_reading"
	NotSeen             Reason = "not_seen"
	NoThreshold         Reason = "no_threshold"
	PriceMismatch       Reason = "price_mismatch"
	RuleStopped         Reason = "rule_stopped"
	PriceUnproven       Reason = "price_unproven"
	ChangeHeld          Reason = "change_held"
	CurrencyMismatch    Reason = "currency_mismatch"
	NoPaymentMethod     Reason = "no_payment_method"
	InvoiceUnpaid       Reason = "invoice_unpaid"
	Refunded            Reason = "refunded"
	ExternalTopup       Reason = "external_topup"
	EnvironmentChanged  Reason = "environment_changed"
	OverCap             Reason = "over_cap"
	BackingOff          Reason = "backing_off"
	Suspended           Reason = "suspended"
	Quarantined         Reason = "quarantined"
	Implausible         Reason = "implausible"
	ProviderUnavailable Reason = "provider_unavailable"
)

// Class groups the reasons by what a person has to do about them.
type Class string

// The classes of reasons.
const (
	ClassDone    Class = "done"
	ClassWaiting Class = "waiting"
	ClassChosen  Class = "chosen"
	ClassTrouble Class = "trouble"
)

// Reasons lists every reason, for metrics that start at zero.
func Reasons() []Reason {
	return []Reason{
		Buy, Enough,
		StillOpen, CoolingDown, Rechecking, FirstHold, ProvingPrice,
		Paused, DryRun, Excluded, NoRule, NativeAutoTopup, CustomerInactive,
		StaleReading, BadReading, NotSeen, NoThreshold, PriceMismatch, PriceUnproven, RuleStopped, ChangeHeld, CurrencyMismatch,
		NoPaymentMethod, InvoiceUnpaid, Refunded, ExternalTopup, EnvironmentChanged, OverCap, BackingOff, Suspended,
		Quarantined, Implausible, ProviderUnavailable,
	}
}

// Class tells what a person has to do about the reason.
func (r Reason) Class() Class {
	switch r {
	case Buy, Enough:
		return ClassDone
	case StillOpen, CoolingDown, Rechecking, FirstHold, ProvingPrice:
		return ClassWaiting
	case Paused, DryRun, Excluded, NoRule, NativeAutoTopup, CustomerInactive:
		return ClassChosen
	case StaleReading, BadReading, NotSeen, NoThreshold, PriceMismatch, PriceUnproven, RuleStopped, ChangeHeld, CurrencyMismatch,
		NoPaymentMethod, InvoiceUnpaid, Refunded, ExternalTopup, EnvironmentChanged, OverCap, BackingOff, Suspended,
		Quarantined, Implausible, ProviderUnavailable:
		return ClassTrouble
	default:
		return ClassTrouble
	}
}

// Trouble tells whether a target that stays below its threshold for this
// reason must alert. A native top-up that does not deliver counts: it was
// chosen so that the customer does not run dry.
func (r Reason) Trouble() bool { return r.Class() == ClassTrouble || r == NativeAutoTopup }

// FailureReason is why a purchase failed. The list is closed.
type FailureReason string

// The failure reasons.
const (
	FailedNone       FailureReason = ""
	FailedDeclined   FailureReason = "declined"
	FailedRefused    FailureReason = "refused" // a listed no that is not about the customer's means of payment
	FailedInvalid    FailureReason = "invalid"
	FailedAuth       FailureReason = "auth"
	FailedThrottled  FailureReason = "throttled"
	FailedTimeout    FailureReason = "timeout"
	FailedConnection FailureReason = "connection"
	FailedServer     FailureReason = "server"
	FailedMalformed  FailureReason = "malformed"
	FailedMismatch   FailureReason = "mismatch"
	FailedNotFound   FailureReason = "not_found"
	FailedKeyTooOld  FailureReason = "key_too_old"
	FailedOther      FailureReason = "other"
)

// FailureReasons lists every failure reason, for metrics that start at zero.
func FailureReasons() []FailureReason {
	return []FailureReason{
		FailedDeclined, FailedRefused, FailedInvalid, FailedAuth, FailedThrottled, FailedTimeout,
		FailedConnection, FailedServer, FailedMalformed, FailedMismatch, FailedNotFound, FailedKeyTooOld, FailedOther,
	}
}
