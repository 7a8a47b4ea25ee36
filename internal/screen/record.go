package screen

import (
	"fmt"
	"slices"
	"strings"

	"topupd/internal/english"
	"topupd/topup"
)

// PurchaseRecord is one purchase for programs. Its fields and their order are
// relied on outside: add at the end, remove nothing.
type PurchaseRecord struct {
	ID                string  `json:"id"`
	Provider          string  `json:"provider"` // the name in the YAML
	Customer          string  `json:"customer"`
	Product           string  `json:"product"`
	Rule              string  `json:"rule"`
	RuleVersion       string  `json:"rule_version"`
	State             string  `json:"state"`
	Reason            *string `json:"reason"`
	Payment           string  `json:"payment"`
	Credits           string  `json:"credits"`
	PriceExcludingTax string  `json:"price_excluding_tax"`
	Currency          string  `json:"currency"`
	IdempotencyKey    string  `json:"idempotency_key"`
	Reference         *string `json:"reference"`
	Attempts          int     `json:"attempts"`
	PlannedAt         *string `json:"planned_at"`
	SentAt            *string `json:"sent_at"`
	FinishedAt        *string `json:"finished_at"`
	BalanceBefore     string  `json:"balance_before"`
	Threshold         string  `json:"threshold"`
	ExpiresAt         *string `json:"expires_at"`
	CustomerName      *string `json:"customer_name"`
	ProductName       *string `json:"product_name"`
	ResolvedBy        *string `json:"resolved_by"`
	CorrectedAt       *string `json:"corrected_at"`
	CorrectedFrom     *string `json:"corrected_from"` // its state until then
}

// RecordOf makes the record of a purchase.
func RecordOf(p topup.Purchase) PurchaseRecord {
	return PurchaseRecord{
		ID: p.ID, Provider: p.ProviderName, Customer: string(p.Target.Customer), Product: string(p.Target.Product),
		Rule: p.Rule, RuleVersion: p.RuleVersion, State: string(p.State), Reason: Word(p.Reason), Payment: string(p.Payment),
		Credits: p.Credits.String(), PriceExcludingTax: p.Price.Amount(), Currency: string(p.Price.Currency),
		IdempotencyKey: p.Key, Reference: Word(p.Reference), Attempts: p.Attempts,
		PlannedAt: Stamp(&p.PlannedAt), SentAt: Stamp(p.SentAt), FinishedAt: Stamp(p.FinishedAt),
		BalanceBefore: p.BalanceBefore.String(), Threshold: p.Threshold.String(), ExpiresAt: Stamp(p.ExpiresAt),
		CustomerName: Word(p.CustomerName), ProductName: Word(p.ProductName),
		ResolvedBy: Word(p.ResolvedBy), CorrectedAt: Stamp(p.CorrectedAt), CorrectedFrom: Word(p.CorrectedFrom),
	}
}

// StateOf is the state, and what a person should know beside it.
func StateOf(p topup.Purchase) string {
	var notes []string
	if p.CorrectedAt != nil {
		notes = append(notes, "corrected")
	}
	switch {
	case p.OnWord(traits(p).HasRecords):
		notes = append(notes, "by a person")
	case p.Reason != topup.FailedNone && p.State != topup.Credited: // what went wrong on the way is over
		notes = append(notes, string(p.Reason))
	}
	if len(notes) == 0 {
		return string(p.State)
	}
	return fmt.Sprintf("%s (%s)", p.State, strings.Join(notes, ", "))
}

// Purchases prints purchases for people; more tells that the list goes on.
func (s *Screen) Purchases(purchases []topup.Purchase, more bool) {
	if len(purchases) == 0 {
		s.Printf("no purchases\n")
		return
	}
	g := Grid{Columns: []Column{
		{Title: "planned"},
		{Title: "id"},
		{Title: "provider"},
		{Title: "customer", Stack: true},
		{Title: "credits", Right: true},
		{Title: "excl. tax", Right: true},
		{Title: "state"},
		{Title: "payment"},
		{Title: "reference"},
		{Title: "open for"},
	}}
	if !slices.ContainsFunc(purchases, func(p topup.Purchase) bool { return p.State.Open() }) {
		g.Columns = g.Columns[:len(g.Columns)-1]
	}
	for _, p := range purchases {
		row := []string{
			s.Clock(p.PlannedAt), p.Short(), p.ProviderName, Both(p.CustomerName, string(p.Target.Customer)),
			p.Credits.Grouped(), p.Price.Grouped(), s.Paint(StateColor(p.State), StateOf(p)), string(p.Payment), Printable(Dash(p.Reference)),
			OpenFor(p, s.Now(), Short),
		}
		g.Rows = append(g.Rows, row[:len(g.Columns)])
	}
	s.Printf("%s", g.Render(s.Width))
	notes := []string{english.Plural(len(purchases), "purchase")}
	if more {
		notes[0] = fmt.Sprintf("the newest %s, and there are more; --limit 0 lists all", english.Plural(len(purchases), "purchase"))
	}
	if zone := s.ZoneNote(); zone != "" {
		notes = append(notes, zone)
	}
	s.Printf("%s\n", strings.Join(notes, " · "))
}
