package screen

import (
	"encoding/json"

	"topupd/topup"
)

// PurchaseFile is one purchase with its evidence for programs.
type PurchaseFile struct {
	PurchaseRecord
	ProviderID      string           `json:"provider_id"`
	PriceID         *string          `json:"price_id"`
	Request         string           `json:"request"`
	Body            string           `json:"request_body"`
	Fingerprint     string           `json:"request_sha256"`
	Policy          string           `json:"policy"`
	Repeats         int              `json:"repeats"`
	ReadAt          *string          `json:"read_at"`
	RefreshedAt     *string          `json:"refreshed_at"`
	LastSentAt      *string          `json:"last_sent_at"`
	QuietUntil      *string          `json:"quiet_until"`
	ConfirmedAt     *string          `json:"confirmed_at"`
	ReferenceBy     *string          `json:"reference_by"`
	LedgerRowAt     *string          `json:"ledger_row_at"`
	Invoiced        *string          `json:"invoiced_excluding_tax"` // when it is not the price
	Detail          *string          `json:"detail"`
	Found           *string          `json:"found"`
	NextLookAt      *string          `json:"next_look_at"`
	Note            *string          `json:"note"`
	RuleTerms       json.RawMessage  `json:"rule_terms"`
	Evidence        []evidenceRecord `json:"evidence"`
	PaymentMethodID *string          `json:"payment_method_id"`
}

type evidenceRecord struct {
	At     *string         `json:"at"`
	Kind   string          `json:"kind"`
	From   *string         `json:"from"`
	To     *string         `json:"to"`
	Text   string          `json:"text"`
	Detail json.RawMessage `json:"detail"`
}

// FileOf makes the record of a purchase and its history.
func FileOf(p topup.Purchase, evidence []topup.Evidence) PurchaseFile {
	f := PurchaseFile{
		PurchaseRecord: RecordOf(p), ProviderID: string(p.Target.Provider),
		PriceID: Word(p.PriceID),
		Request: p.Request.Method + " " + p.Request.Path, Body: string(p.Request.Body), Fingerprint: p.Fingerprint,
		Policy: string(p.Policy), Repeats: p.Repeats, ReadAt: Stamp(&p.ReadAt), RefreshedAt: Stamp(&p.RefreshedAt),
		LastSentAt: Stamp(p.LastSentAt), ConfirmedAt: Stamp(p.ConfirmedAt), ReferenceBy: Word(p.ReferenceBy),
		LedgerRowAt: Stamp(p.RowAt), Detail: Word(p.Detail), Found: Word(p.Found), NextLookAt: Stamp(p.NextLookAt),
		Note: Word(p.Note), RuleTerms: RawJSON(p.Terms), PaymentMethodID: Word(p.PaymentMethodID),
		Evidence: []evidenceRecord{},
	}
	if p.LastSentAt != nil {
		f.QuietUntil = Stamp(new(p.QuietUntil()))
	}
	if p.Charged != nil {
		f.Invoiced = new(p.Charged.String())
	}
	for _, e := range evidence {
		f.Evidence = append(f.Evidence, evidenceRecord{
			At: Stamp(&e.At), Kind: string(e.Kind), From: Word(e.From), To: Word(e.To), Text: e.Text, Detail: RawJSON(e.Detail),
		})
	}
	return f
}

// RawJSON is JSON as it is, or null when it is none.
func RawJSON(b []byte) json.RawMessage {
	if !json.Valid(b) {
		return json.RawMessage("null")
	}
	return b
}
