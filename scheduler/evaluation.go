package scheduler

import (
	"encoding/json"
	"log/slog"
	"time"

	"topupd/rules"
	"topupd/topup"
)

// evaluation writes a decision down for explain.
func evaluation(provider string, r *topup.Reading, d rules.Decision, f rules.Facts, now time.Time) topup.Evaluation {
	e := topup.Evaluation{
		Target: r.Target, ProviderName: provider, CustomerName: r.CustomerName, ProductName: r.ProductName,
		At: now, Since: now, Reason: d.Reason, Text: d.Text, Threshold: d.Threshold,
		ReadAt: r.ReadAt, RefreshedAt: r.RefreshedAt,
	}
	if f.Rule != nil {
		e.Rule, e.RuleVersion, e.DryRun = f.Rule.Name, f.Rule.Version, f.Rule.DryRun
	}
	if r.Bad == "" {
		balance := r.Balance
		e.Balance = &balance
	}
	if f.Standing.Open != nil {
		e.Purchase = f.Standing.Open.ID
	}
	return e
}

// detail is what explain can show of a decision beside its reason, and what the
// next holder of the lease takes over: since when the target is in trouble and
// dry, which the age of the reason alone does not tell, and what was believed of
// it last, by which a fall is judged.
type detail struct {
	ThresholdFrom string          `json:"threshold_from,omitempty"`
	FirstLowAt    *time.Time      `json:"first_low_at,omitempty"`
	FirstBalance  string          `json:"first_balance,omitempty"`
	Confirmed     string          `json:"confirmed_balance,omitempty"`
	PaymentMethod string          `json:"payment_method,omitempty"`
	Declines      int             `json:"declines,omitempty"`
	Refusals      int             `json:"refusals,omitempty"`
	Refusal       string          `json:"refusal,omitempty"` // the last failure in the provider's words, when it was a refusal
	BackoffUntil  *time.Time      `json:"backoff_until,omitempty"`
	Invoices      []detailInvoice `json:"invoices,omitempty"`
	Skipped       int             `json:"skipped,omitempty"` // old bills and rows that could not be read
	Caps          []string        `json:"caps,omitempty"`    // that the purchase was planned under
	TroubleSince  time.Time       `json:"trouble_since,omitzero"`
	DrySince      time.Time       `json:"dry_since,omitzero"`
	Trusted       *rules.Trusted  `json:"trusted,omitempty"`
	Still         *still          `json:"still,omitempty"`
	Mark          *topup.Credits  `json:"mark_micro,omitempty"` // the threshold that the provider shows
	Inactive      string          `json:"inactive,omitempty"`   // why the provider serves the customer no more
}

// still is a balance and since when it has been just that.
type still struct {
	Balance topup.Credits `json:"balance_micro"`
	Since   time.Time     `json:"since"`
}

type detailInvoice struct {
	ID      string        `json:"id"`
	Amount  string        `json:"amount"`
	Status  string        `json:"status"`
	Payment topup.Payment `json:"payment"`
	At      time.Time     `json:"at"`
	Detail  string        `json:"detail,omitempty"`
}

// detailInvoices bounds the invoices that are written down per decision.
const detailInvoices = 5

func factsDetail(f rules.Facts) detail {
	out := detail{
		FirstLowAt: f.FirstLow, Declines: f.Standing.Declines, BackoffUntil: f.Standing.BackoffUntil,
		Refusals: f.Standing.Refusals, Refusal: f.Standing.Refusal,
	}
	if f.Reading != nil {
		out.ThresholdFrom = f.Reading.ThresholdFrom
		out.PaymentMethod = string(f.Reading.Account.PaymentMethod)
		out.FirstBalance = f.Reading.Balance.String()
	}
	if f.Confirmation == nil {
		return out
	}
	out.Confirmed, out.Skipped = f.Confirmation.Reading.Balance.String(), f.Confirmation.Skipped
	for _, i := range f.Confirmation.Invoices {
		if i.Credit && i.Unreadable == "" && i.Payment != topup.PaymentPaid && len(out.Invoices) < detailInvoices {
			out.Invoices = append(out.Invoices, detailInvoice{
				ID: i.ID, Amount: i.Amount.String(), Status: i.Status, Payment: i.Payment, At: i.At, Detail: i.Detail,
			})
		}
	}
	return out
}

// detail writes down every fact of a decision about the target.
func (t *tracked) detail(f rules.Facts) []byte {
	out := factsDetail(f)
	if f.Confirmation == nil && t.spell.stands() != "" { // what the check saw goes on to be true
		out.Confirmed, out.Invoices = t.saw.Confirmed, t.saw.Invoices
	}
	out.TroubleSince, out.DrySince = t.troubled, t.dry
	out.Mark, out.Inactive = t.reading.Threshold, t.reading.Account.Inactive
	if !t.trust.ReadAt.IsZero() {
		out.Trusted = &t.trust
	}
	if !t.still.Since.IsZero() {
		out.Still = &t.still
	}
	text, _ := json.Marshal(out) // plain values always marshal
	return text
}

// checkAttrs are the fields of the canonical check line.
func checkAttrs(provider string, e topup.Evaluation) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("provider", provider),
		slog.String("customer", string(e.Target.Customer)),
		slog.String("product", string(e.Target.Product)),
		slog.String("rule", e.Rule),
		slog.String("decision", string(e.Reason)),
		slog.String("reason", e.Text),
	}
	if e.Balance != nil {
		attrs = append(attrs, slog.String("balance", e.Balance.String()))
	}
	if e.Threshold != nil {
		attrs = append(attrs, slog.String("threshold", e.Threshold.String()))
	}
	if e.Purchase != "" {
		attrs = append(attrs, slog.String("purchase", e.Purchase))
	}
	return attrs
}
