package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"topupd/ledger"
	"topupd/topup"
)

// purchasesShowCmd prints one purchase with all its evidence.
type purchasesShowCmd struct {
	ID       string `arg:"" help:"The id, or at least four characters of its beginning or end."`
	Evidence bool   `help:"The whole proof of one charge, on one page: both readings, the frozen rule and caps, the request, every permit, answer and look, the balances, the invoice and who decided."`
	outputFlags
}

func (*purchasesShowCmd) Help() string {
	return `What was bought, for whom and why; the key; every request, answer and look with its time; the invoice and its payment; and what to do if a person is needed. In json and jsonl the purchase has everything that list prints and more; csv is the line that list prints.

Examples:

    topupd purchases show 7f3c
    topupd purchases show 7f3c --evidence > 7f3c.txt
    topupd purchases show 019a3c51-77aa-7c3e-9d5e-1f2a3b4c7f3c -o json`
}

func (c *purchasesShowCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	store, err := a.history(l, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, evidence, err := a.file(store, l, c.ID)
	if err != nil {
		return err
	}
	switch c.Output {
	case "json", "jsonl":
		encoder := json.NewEncoder(a.stdout)
		encoder.SetEscapeHTML(false)
		if c.Output == "json" {
			encoder.SetIndent("", "  ")
		}
		if c.Evidence {
			proof, err := a.proof(store, p, evidence)
			if err != nil {
				return err
			}
			return encoder.Encode(proof)
		}
		return encoder.Encode(fileOf(p, evidence))
	case "table":
		if c.Evidence {
			proof, err := a.proof(store, p, evidence)
			if err != nil {
				return err
			}
			a.proofPage(p, evidence, proof)
			return nil
		}
	}
	return listing(a, c.Output, []purchaseRecord{recordOf(p)}, func() { a.page(store, p, evidence) })
}

// file reads a purchase and its evidence.
func (a *app) file(store *ledger.Store, l *loaded, id string) (topup.Purchase, []topup.Evidence, error) {
	p, err := store.Purchase(a.ctx, id)
	if errors.Is(err, topup.ErrNotFound) {
		return p, nil, fmt.Errorf("there is no purchase %q; topupd purchases list --limit 0 shows all ids", clipped(id))
	}
	if err != nil {
		return p, nil, err
	}
	p.ProviderName = l.label(p.Target.Provider, p.ProviderName)
	evidence, err := store.Evidence(a.ctx, p.ID)
	return p, evidence, err
}

// purchaseFile is one purchase with its evidence for programs.
type purchaseFile struct {
	purchaseRecord
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

func fileOf(p topup.Purchase, evidence []topup.Evidence) purchaseFile {
	f := purchaseFile{
		purchaseRecord: recordOf(p), ProviderID: string(p.Target.Provider),
		PriceID: word(p.PriceID),
		Request: p.Request.Method + " " + p.Request.Path, Body: string(p.Request.Body), Fingerprint: p.Fingerprint,
		Policy: string(p.Policy), Repeats: p.Repeats, ReadAt: stamp(&p.ReadAt), RefreshedAt: stamp(&p.RefreshedAt),
		LastSentAt: stamp(p.LastSentAt), ConfirmedAt: stamp(p.ConfirmedAt), ReferenceBy: word(p.ReferenceBy),
		LedgerRowAt: stamp(p.RowAt), Detail: word(p.Detail), Found: word(p.Found), NextLookAt: stamp(p.NextLookAt),
		Note: word(p.Note), RuleTerms: rawJSON(p.Terms), PaymentMethodID: word(p.PaymentMethodID),
		Evidence: []evidenceRecord{},
	}
	if p.LastSentAt != nil {
		f.QuietUntil = stamp(new(p.QuietUntil()))
	}
	if p.Charged != nil {
		f.Invoiced = new(p.Charged.String())
	}
	for _, e := range evidence {
		f.Evidence = append(f.Evidence, evidenceRecord{
			At: stamp(&e.At), Kind: string(e.Kind), From: word(e.From), To: word(e.To), Text: e.Text, Detail: rawJSON(e.Detail),
		})
	}
	return f
}

func rawJSON(b []byte) json.RawMessage {
	if !json.Valid(b) {
		return json.RawMessage("null")
	}
	return b
}
