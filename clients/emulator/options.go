package emulator

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/govalues/decimal"
)

// Options describes the emulated world. The zero value is valid and empty: no
// customers, no environments, no faults.
type Options struct {
	Hyperline HyperlineOptions
	Talkover  TalkoverOptions
	Faults    Faults           // active from the start
	Seed      uint64           // decides ids, usage and faults; 0 draws one
	Speed     float64          // multiplies the generated usage rates, 0 means 1; clocks are never scaled
	Now       func() time.Time // nil means time.Now
	Logger    *slog.Logger     // nil discards
}

// HyperlineOptions describes the emulated Hyperline account.
type HyperlineOptions struct {
	Customers  int    // generated, each with the one credit product; the first is always FirstCustomer
	Unattached int    // how many of them, the last ones, have no credits until POST .../credits attaches the product
	Token      string // the accepted API key; "" means DefaultToken

	Usage        Range           // credits per second, drawn per customer; zero means 0.005 to 0.05
	NoUsage      bool            // nobody uses anything until SetUsage
	Threshold    decimal.Decimal // low_count_threshold of everyone; zero draws 100, 250 or 500
	StartBalance Range           // zero means one to three times the threshold

	MissingCards  float64 // share of customers without a payment method, 0 to 1
	DeclinedCards float64 // share of customers whose card is declined, 0 to 1
	Native        float64 // share of customers with Hyperline's own auto top-up on, 0 to 1

	Profile       HyperlineProfile
	KeyMemory     time.Duration   // how long a success is replayed; 0 means 24 hours
	Reads         int             // GET requests per 10 s; 0 means 200, negative no limit
	Writes        int             // other requests per 10 s; 0 means 50, negative no limit
	RetrySchedule []time.Duration // waits before the provider's own payment retries; nil means 2 h, 12 h, 24 h; empty none
	LatePosting   time.Duration   // longest delay until an invoice, its ledger row or its balance is visible, each drawn per charge
	ExecuteLate   time.Duration   // longest time after a hung or cut connection until its charge is executed; 0 executes at once
}

// DeclineStyle is what a purchase that the card declines leaves behind, which
// Hyperline does not document (only 201 is declared, /api-reference, "Purchase
// credits", read 2026-11-20).
type DeclineStyle string

// The three readings of a declined purchase.
const (
	DeclineRefused       DeclineStyle = "refused"        // 4xx, no invoice (the default)
	DeclineRefusedUnpaid DeclineStyle = "refused_unpaid" // 4xx, and an unpaid invoice that is retried
	DeclineCreatedUnpaid DeclineStyle = "created_unpaid" // 201 with an unpaid invoice that is retried
)

// HyperlineProfile settles what Hyperline's documentation leaves open. The zero
// value is the reading that the documentation makes most likely.
type HyperlineProfile struct {
	Decline              DeclineStyle  // "" means DeclineRefused
	DeclineStatus        int           // of a refused purchase; 0 means 402
	RememberAfter5xx     bool          // a key whose charge was answered by a 5xx replays the success
	CompareMeaning       bool          // 417 compares JSON bodies by meaning, not by bytes
	MaxTake              int           // rows a page of the lists with take and skip has at most, whatever is asked for; 0 means as asked
	SkipLimit            int           // skip + take beyond it is a 400 on the bulk credits list; 0 means none
	SeveralPacks         bool          // credit_count may be several packs
	GrantUnpaid          bool          // credits are granted before the invoice is paid
	PutClears            bool          // a key omitted from PUT credits is cleared, not left alone
	NativeAtThreshold    bool          // native auto top-up fires at the threshold, not only below it
	RefreshWhileUnposted bool          // last_refreshed_at moves on although the balance still lacks a charge
	ErroredAfterDecline  bool          // a card is shown as errored once it was declined
	SmallCurrency        bool          // currencies are written eur, not EUR
	TaxPercent           int           // added to every invoice; 0 means 20, negative none
	SettleAfter          time.Duration // until a direct debit is collected; 0 means 72 hours
	NativeRetry          time.Duration // until native auto top-up tries again after a decline; 0 means 1 hour

	KeysIgnored        bool          // Idempotency-Key means nothing: every request runs
	ConcurrentRuns     bool          // a request runs although one under its key still does; false is a 409
	OtherBytes         OtherBytes    // same key, other request; "" means OtherBytesRefused
	VisibleAfter       time.Duration // a charge shows in no read before; fixed, unlike LatePosting
	RefreshEvery       time.Duration // a shown balance is worked out again at most this often; 0 means at every read
	ExpiryShown        ExpiryStyle   // of a ledger row; "" means ExpiryDate
	RowsOldestFirst    bool          // the ledger begins with the oldest row
	InvoiceSortIgnored bool          // sort and order of the invoice list are ignored: oldest first
	TypeFilterIgnored  bool          // type of the ledger list is ignored
}

// OtherBytes is what becomes of a request under the key of another one.
type OtherBytes string

// The three readings of "same key, other method, URL or body".
const (
	OtherBytesRefused  OtherBytes = "refused"  // 417, as documented
	OtherBytesReplayed OtherBytes = "replayed" // the first answer comes again
	OtherBytesRun      OtherBytes = "run"      // it is executed
)

// ExpiryStyle is how a ledger row shows expires_at, which goes in as a date-time
// and is declared a date.
type ExpiryStyle string

// The ways an expiry is shown.
const (
	ExpiryDate    ExpiryStyle = "date"
	ExpiryMinutes ExpiryStyle = "minutes" // a date-time without its seconds
	ExpirySeconds ExpiryStyle = "seconds"
)

// TalkoverOptions describes the emulated Talkover accounts. One user controls one
// environment at the start: user token n belongs to environment n. The
// documentation does not say how many one token may reach; the user's
// current_environment_id can be switched to any other environment.
type TalkoverOptions struct {
	Environments     int                // generated: ids env-1, env-2, ..., names voice-...
	UserToken        func(n int) string // the user's token of environment n, counted from 1; nil means "user_emulator_<n>"
	EnvironmentToken func(n int) string // environment n's own token; nil means "talq_emulator_<n>"

	Currency      string          // of every account; "" means USD
	Usage         Range           // money per second; zero means 0.0005 to 0.002
	NoUsage       bool            // nobody uses anything until SetUsage
	StartBalance  Range           // zero means 50 to 150
	Threshold     decimal.Decimal // of the native auto top-up settings; zero means 50
	Recharge      decimal.Decimal // of the native auto top-up settings; zero means 100
	Native        float64         // share of environments with native auto top-up on, 0 to 1
	DeclinedCards float64         // share of environments whose default card is declined, 0 to 1

	Profile     TalkoverProfile
	Requests    int           // per minute; 0 means 100, negative no limit
	PostLate    time.Duration // longest delay until a charge shows in the balance, drawn per charge
	ExecuteLate time.Duration // as HyperlineOptions.ExecuteLate
}

// MoneyStyle is how Talkover writes amounts.
type MoneyStyle string

// The ways an amount is written. Billing examples show numbers, other pages
// strings (Talkover docs, "list-voice-templates", read 2026-11-20).
const (
	MoneyNumber MoneyStyle = "number"
	MoneyString MoneyStyle = "string"
	MoneyMixed  MoneyStyle = "mixed" // alternating
)

// TalkoverProfile settles what Talkover's documentation leaves open.
type TalkoverProfile struct {
	Money         MoneyStyle      // "" means MoneyNumber
	DailyLimit    decimal.Decimal // of native recharges; zero means 500
	QueueDelay    time.Duration   // from the low balance to the pending recharge; 0 means 5 s
	PendingFor    time.Duration   // from pending to succeeded or failed; 0 means 3 s
	NativeRetry   time.Duration   // until native auto top-up tries again after a failure; 0 means 1 hour
	QueuedVisible bool            // a queued recharge is already listed as pending
	NoHeaders     bool            // no X-RateLimit headers at all
}

// Range is a closed interval to draw from. Max below Min counts as Min.
type Range struct{ Min, Max decimal.Decimal }

// Names that a first configuration needs, the same in every emulated world.
const (
	DefaultToken  = "test_emulator"
	FirstCustomer = "cus_Typ0px2W0aiEtl"
	Product       = "itm_3kXODDF42QXtnL" // "API credits"
	SmallPack     = "pri_0Jv8EbMDOGsHcn" // 120 credits, 200.00 EUR
	LargePack     = "pri_9large"         // 600 credits, 900.00 EUR
)

func (o HyperlineOptions) withDefaults() HyperlineOptions {
	o.Token = cmp.Or(o.Token, DefaultToken)
	o.Usage = o.Usage.or(decimal.MustNew(5, 3), decimal.MustNew(50, 3))
	o.KeyMemory = cmp.Or(o.KeyMemory, 24*time.Hour)
	o.Reads = cmp.Or(o.Reads, 200)
	o.Writes = cmp.Or(o.Writes, 50)
	if o.RetrySchedule == nil {
		o.RetrySchedule = []time.Duration{2 * time.Hour, 12 * time.Hour, 24 * time.Hour}
	}
	p := &o.Profile
	p.Decline = cmp.Or(p.Decline, DeclineRefused)
	p.DeclineStatus = cmp.Or(p.DeclineStatus, http.StatusPaymentRequired)
	p.SettleAfter = cmp.Or(p.SettleAfter, 72*time.Hour)
	p.NativeRetry = cmp.Or(p.NativeRetry, time.Hour)
	p.OtherBytes = cmp.Or(p.OtherBytes, OtherBytesRefused)
	p.ExpiryShown = cmp.Or(p.ExpiryShown, ExpiryDate)
	p.TaxPercent = max(cmp.Or(p.TaxPercent, 20), 0)
	return o
}

func (o TalkoverOptions) withDefaults() TalkoverOptions {
	if o.UserToken == nil {
		o.UserToken = func(n int) string { return fmt.Sprintf("user_emulator_%d", n) }
	}
	if o.EnvironmentToken == nil {
		o.EnvironmentToken = func(n int) string { return fmt.Sprintf("talq_emulator_%d", n) }
	}
	o.Currency = cmp.Or(o.Currency, "USD")
	o.Usage = o.Usage.or(decimal.MustNew(5, 4), decimal.MustNew(20, 4))
	o.StartBalance = o.StartBalance.or(decimal.MustNew(50, 0), decimal.MustNew(150, 0))
	o.Threshold = orDecimal(o.Threshold, 50)
	o.Recharge = orDecimal(o.Recharge, 100)
	o.Requests = cmp.Or(o.Requests, 100)
	p := &o.Profile
	p.Money = cmp.Or(p.Money, MoneyNumber)
	p.DailyLimit = orDecimal(p.DailyLimit, 500)
	p.QueueDelay = cmp.Or(p.QueueDelay, 5*time.Second)
	p.PendingFor = cmp.Or(p.PendingFor, 3*time.Second)
	p.NativeRetry = cmp.Or(p.NativeRetry, time.Hour)
	return o
}

// currency is that of every customer and price, as it is written.
func (p HyperlineProfile) currency() string {
	if p.SmallCurrency {
		return "eur"
	}
	return "EUR"
}

func (r Range) zero() bool { return r.Min.IsZero() && r.Max.IsZero() }

func (r Range) or(low, high decimal.Decimal) Range {
	if r.zero() {
		return Range{Min: low, Max: high}
	}
	return r
}

func orDecimal(d decimal.Decimal, otherwise int64) decimal.Decimal {
	if d.IsZero() {
		return decimal.MustNew(otherwise, 0)
	}
	return d
}
