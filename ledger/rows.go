package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"topupd/topup"
)

// purchaseColumns enumerates what purchaseRow holds: a column added by a newer
// version must not confuse this one.
const purchaseColumns = `
	id, revision, provider, customer, product, provider_name, customer_name, product_name, rule, rule_version, terms,
	credits_micro, price_minor, price_currency, price_id, payment_method_id, expires_at, idempotency_key,
	request_method, request_path, request_body, fingerprint, policy, quiet_period_us, purchase_timeout_us, backoff_us,
	max_backoff_us, suspend_after, max_reading_age_us, balance_micro, threshold_micro, read_at, refreshed_at, baseline,
	planned_at, state, payment, reason, detail, permit_token, permit_at, sent_at, last_sent_at, attempts, repeats,
	refused, never_repeat, reference, reference_by, row_at, charged_minor, charged_currency, confirmed_at, empty_looks, empty_look_at,
	looked_at, look_step, next_look_at, found, found_at, trail, finished_at, resolved_by, note,
	changed_at, corrected_at, corrected_from`

// insertPurchase stores every column of a new row.
const insertPurchase = `INSERT INTO purchase (` + purchaseColumns + `) VALUES (
	:id, :revision, :provider, :customer, :product, :provider_name, :customer_name, :product_name, :rule, :rule_version,
	:terms, :credits_micro, :price_minor, :price_currency, :price_id, :payment_method_id, :expires_at, :idempotency_key,
	:request_method, :request_path, :request_body, :fingerprint, :policy, :quiet_period_us, :purchase_timeout_us,
	:backoff_us, :max_backoff_us, :suspend_after, :max_reading_age_us, :balance_micro, :threshold_micro, :read_at,
	:refreshed_at, :baseline, :planned_at, :state, :payment, :reason, :detail, :permit_token, :permit_at, :sent_at,
	:last_sent_at, :attempts, :repeats, :refused, :never_repeat, :reference, :reference_by, :row_at, :charged_minor, :charged_currency,
	:confirmed_at, :empty_looks, :empty_look_at, :looked_at, :look_step, :next_look_at, :found, :found_at, :trail, :finished_at,
	:resolved_by, :note, :changed_at, :corrected_at, :corrected_from)`

// updatePurchase stores what moves in a purchase's life, apart from its
// permits, if nobody else has changed it since.
const updatePurchase = `UPDATE purchase SET revision = revision + 1,
	state = :state, payment = :payment, reason = :reason, detail = :detail, last_sent_at = :last_sent_at,
	attempts = :attempts, repeats = :repeats, refused = :refused, never_repeat = :never_repeat, reference = :reference, reference_by = :reference_by,
	row_at = :row_at, charged_minor = :charged_minor, charged_currency = :charged_currency,
	confirmed_at = :confirmed_at, empty_looks = :empty_looks, empty_look_at = :empty_look_at, looked_at = :looked_at,
	look_step = :look_step, next_look_at = :next_look_at, found = :found, found_at = :found_at, trail = :trail,
	finished_at = :finished_at, resolved_by = :resolved_by, note = :note, changed_at = :changed_at,
	corrected_at = :corrected_at, corrected_from = :corrected_from
	WHERE id = :id AND revision = :revision`

// purchaseRow is a purchase as the database holds it.
type purchaseRow struct {
	ID                string  `db:"id"`
	Revision          int64   `db:"revision"`
	Provider          string  `db:"provider"`
	Customer          string  `db:"customer"`
	Product           string  `db:"product"`
	ProviderName      string  `db:"provider_name"`
	CustomerName      string  `db:"customer_name"`
	ProductName       string  `db:"product_name"`
	Rule              string  `db:"rule"`
	RuleVersion       string  `db:"rule_version"`
	Terms             string  `db:"terms"`
	CreditsMicro      int64   `db:"credits_micro"`
	PriceMinor        int64   `db:"price_minor"`
	PriceCurrency     string  `db:"price_currency"`
	PriceID           string  `db:"price_id"`
	PaymentMethodID   string  `db:"payment_method_id"`
	ExpiresAt         *int64  `db:"expires_at"`
	Key               string  `db:"idempotency_key"`
	RequestMethod     string  `db:"request_method"`
	RequestPath       string  `db:"request_path"`
	RequestBody       []byte  `db:"request_body"`
	Fingerprint       string  `db:"fingerprint"`
	Policy            string  `db:"policy"`
	QuietPeriodUS     int64   `db:"quiet_period_us"`
	PurchaseTimeoutUS int64   `db:"purchase_timeout_us"`
	BackoffUS         int64   `db:"backoff_us"`
	MaxBackoffUS      int64   `db:"max_backoff_us"`
	SuspendAfter      int64   `db:"suspend_after"`
	MaxReadingAgeUS   int64   `db:"max_reading_age_us"`
	BalanceMicro      int64   `db:"balance_micro"`
	ThresholdMicro    int64   `db:"threshold_micro"`
	ReadAt            *int64  `db:"read_at"`
	RefreshedAt       *int64  `db:"refreshed_at"`
	Baseline          string  `db:"baseline"`
	PlannedAt         int64   `db:"planned_at"`
	State             string  `db:"state"`
	Payment           string  `db:"payment"`
	Reason            string  `db:"reason"`
	Detail            string  `db:"detail"`
	PermitToken       string  `db:"permit_token"`
	PermitAt          *int64  `db:"permit_at"`
	SentAt            *int64  `db:"sent_at"`
	LastSentAt        *int64  `db:"last_sent_at"`
	Attempts          int64   `db:"attempts"`
	Repeats           int64   `db:"repeats"`
	Refused           int64   `db:"refused"`
	NeverRepeat       int64   `db:"never_repeat"`
	Reference         *string `db:"reference"`
	ReferenceBy       string  `db:"reference_by"`
	RowAt             *int64  `db:"row_at"`
	ChargedMinor      *int64  `db:"charged_minor"`
	ChargedCurrency   string  `db:"charged_currency"`
	ConfirmedAt       *int64  `db:"confirmed_at"`
	EmptyLooks        int64   `db:"empty_looks"`
	EmptyLookAt       *int64  `db:"empty_look_at"`
	LookedAt          *int64  `db:"looked_at"`
	LookStep          int64   `db:"look_step"`
	NextLookAt        *int64  `db:"next_look_at"`
	Found             string  `db:"found"`
	FoundAt           *int64  `db:"found_at"`
	Trail             string  `db:"trail"`
	FinishedAt        *int64  `db:"finished_at"`
	ResolvedBy        string  `db:"resolved_by"`
	Note              string  `db:"note"`
	ChangedAt         int64   `db:"changed_at"`
	CorrectedAt       *int64  `db:"corrected_at"`
	CorrectedFrom     string  `db:"corrected_from"`
}

// rowOf writes a purchase for the database.
func rowOf(p topup.Purchase) (purchaseRow, error) {
	baseline, err := json.Marshal(p.Baseline)
	if err != nil {
		return purchaseRow{}, fmt.Errorf("encoding the baseline: %w", err)
	}
	body := p.Request.Body
	if body == nil {
		body = []byte{} // nil is NULL
	}
	r := purchaseRow{
		ID: p.ID, Revision: p.Revision,
		Provider: string(p.Target.Provider), Customer: string(p.Target.Customer), Product: string(p.Target.Product),
		ProviderName: p.ProviderName, CustomerName: bound(p.CustomerName, maxName), ProductName: bound(p.ProductName, maxName),
		Rule: p.Rule, RuleVersion: p.RuleVersion, Terms: string(p.Terms),
		CreditsMicro: int64(p.Credits), PriceMinor: p.Price.Minor, PriceCurrency: string(p.Price.Currency),
		PriceID: p.PriceID, PaymentMethodID: p.PaymentMethodID, ExpiresAt: optional(p.ExpiresAt),
		Key: p.Key, RequestMethod: p.Request.Method, RequestPath: p.Request.Path, RequestBody: body,
		Fingerprint: p.Fingerprint, Policy: string(p.Policy),
		QuietPeriodUS: p.QuietPeriod.Microseconds(), PurchaseTimeoutUS: p.PurchaseTimeout.Microseconds(),
		BackoffUS: p.Declines.Backoff.Microseconds(), MaxBackoffUS: p.Declines.MaxBackoff.Microseconds(),
		SuspendAfter: int64(p.Declines.SuspendAfter), MaxReadingAgeUS: p.MaxReadingAge.Microseconds(),
		BalanceMicro: int64(p.BalanceBefore), ThresholdMicro: int64(p.Threshold),
		ReadAt: optional(&p.ReadAt), RefreshedAt: optional(&p.RefreshedAt),
		Baseline: string(baseline), PlannedAt: micros(p.PlannedAt),
		PermitToken: p.PermitToken, PermitAt: optional(p.PermitAt), SentAt: optional(p.SentAt),
	}
	return r, r.move(p)
}

// move takes over everything that Advance may change.
func (r *purchaseRow) move(p topup.Purchase) error {
	r.State, r.Payment = string(p.State), string(p.Payment)
	if p.Payment == "" {
		r.Payment = string(topup.PaymentNone)
	}
	r.Reason, r.Detail = string(p.Reason), bounded(p.Detail)
	r.LastSentAt, r.Attempts, r.Repeats = optional(p.LastSentAt), int64(p.Attempts), int64(p.Repeats)
	r.Refused, r.NeverRepeat = bit(p.Refused), bit(p.NeverRepeat)
	r.Reference, r.ReferenceBy, r.RowAt = nil, p.ReferenceBy, optional(p.RowAt)
	if p.Reference != "" {
		r.Reference = &p.Reference
	}
	r.ChargedMinor, r.ChargedCurrency = nil, ""
	if p.Charged != nil {
		r.ChargedMinor, r.ChargedCurrency = &p.Charged.Minor, string(p.Charged.Currency)
	}
	r.ConfirmedAt = optional(p.ConfirmedAt)
	r.EmptyLooks, r.EmptyLookAt, r.LookedAt = int64(p.EmptyLooks), optional(p.EmptyLookAt), optional(p.LookedAt)
	r.LookStep, r.NextLookAt = int64(p.LookStep), optional(p.NextLookAt)
	r.Found, r.FoundAt = bounded(p.Found), optional(p.FoundAt)
	r.ResolvedBy, r.Note = p.ResolvedBy, bounded(p.Note)
	r.CorrectedAt, r.CorrectedFrom = optional(p.CorrectedAt), string(p.CorrectedFrom)
	r.Trail = ""
	if p.Trail.Begun {
		trail, err := json.Marshal(p.Trail)
		if err != nil {
			return fmt.Errorf("encoding what the balance showed: %w", err)
		}
		r.Trail = string(trail)
	}
	return nil
}

// purchase reads the row back into our words.
func (r purchaseRow) purchase() (topup.Purchase, error) {
	var baseline []string
	if err := json.Unmarshal([]byte(r.Baseline), &baseline); err != nil {
		return topup.Purchase{}, fmt.Errorf("decoding the baseline of purchase %s: %w", r.ID, err)
	}
	var trail topup.Trail
	if r.Trail != "" {
		if err := json.Unmarshal([]byte(r.Trail), &trail); err != nil {
			return topup.Purchase{}, fmt.Errorf("decoding what the balance showed of purchase %s: %w", r.ID, err)
		}
	}
	if !trail.Begun { // topup never leaves anything in one, and a row that was touched is not evidence
		trail = topup.Trail{}
	}
	p := topup.Purchase{
		ID: r.ID, Revision: r.Revision, Target: r.target(),
		ProviderName: r.ProviderName, CustomerName: r.CustomerName, ProductName: r.ProductName,
		Rule: r.Rule, RuleVersion: r.RuleVersion, Terms: raw(r.Terms),
		Credits: topup.Credits(r.CreditsMicro),
		Price:   topup.Money{Minor: r.PriceMinor, Currency: topup.Currency(r.PriceCurrency)},
		PriceID: r.PriceID, PaymentMethodID: r.PaymentMethodID, ExpiresAt: pointer(r.ExpiresAt),
		Key: r.Key, Request: topup.Request{Method: r.RequestMethod, Path: r.RequestPath, Body: r.RequestBody},
		Fingerprint: r.Fingerprint, Policy: topup.Policy(r.Policy),
		QuietPeriod: span(r.QuietPeriodUS), PurchaseTimeout: span(r.PurchaseTimeoutUS),
		Declines:      r.declines(),
		MaxReadingAge: span(r.MaxReadingAgeUS),
		BalanceBefore: topup.Credits(r.BalanceMicro), Threshold: topup.Credits(r.ThresholdMicro),
		ReadAt: value(r.ReadAt), RefreshedAt: value(r.RefreshedAt), Baseline: baseline, PlannedAt: instant(r.PlannedAt),

		State: topup.State(r.State), Payment: topup.Payment(r.Payment),
		Reason: topup.FailureReason(r.Reason), Detail: r.Detail,
		PermitToken: r.PermitToken, PermitAt: pointer(r.PermitAt),
		SentAt: pointer(r.SentAt), LastSentAt: pointer(r.LastSentAt),
		Attempts: int(r.Attempts), Repeats: int(r.Repeats), Refused: r.Refused != 0, NeverRepeat: r.NeverRepeat != 0,
		ReferenceBy: r.ReferenceBy, RowAt: pointer(r.RowAt), ConfirmedAt: pointer(r.ConfirmedAt),
		EmptyLooks: int(r.EmptyLooks), EmptyLookAt: pointer(r.EmptyLookAt), LookedAt: pointer(r.LookedAt),
		LookStep: int(r.LookStep), NextLookAt: pointer(r.NextLookAt),
		Found: r.Found, FoundAt: pointer(r.FoundAt), Trail: trail,
		FinishedAt: pointer(r.FinishedAt), ResolvedBy: r.ResolvedBy, Note: r.Note,
		CorrectedAt: pointer(r.CorrectedAt), CorrectedFrom: topup.State(r.CorrectedFrom),
	}
	if r.Reference != nil {
		p.Reference = *r.Reference
	}
	if r.ChargedMinor != nil {
		p.Charged = &topup.Money{Minor: *r.ChargedMinor, Currency: topup.Currency(r.ChargedCurrency)}
	}
	return p, nil
}

func (r purchaseRow) target() topup.Target {
	return topup.Target{
		Provider: topup.ProviderID(r.Provider), Customer: topup.CustomerID(r.Customer), Product: topup.ProductID(r.Product),
	}
}

func (r purchaseRow) declines() topup.DeclineTerms {
	return topup.DeclineTerms{
		Backoff: span(r.BackoffUS), MaxBackoff: span(r.MaxBackoffUS), SuspendAfter: int(r.SuspendAfter),
	}
}

func purchasesOf(rows []purchaseRow) ([]topup.Purchase, error) {
	list := make([]topup.Purchase, 0, len(rows))
	for _, r := range rows {
		p, err := r.purchase()
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func span(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// raw reads a column of JSON; ” is none.
func raw(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// maxName bounds the names that providers give, in bytes.
const maxName = 1000

// maxText bounds every text for people, in bytes.
const maxText = 4000

// bounded cuts a text for people to what its column holds, and drops what
// PostgreSQL does not store. Losing its end is better than losing the change.
func bounded(text string) string { return bound(text, maxText) }

func bound(text string, limit int) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
}
