package screen

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/topup"
)

// DecisionRecord is one decision for programs.
type DecisionRecord struct {
	At           *string         `json:"at"`
	Provider     string          `json:"provider"`
	Customer     string          `json:"customer"`
	CustomerName *string         `json:"customer_name"`
	Product      string          `json:"product"`
	ProductName  *string         `json:"product_name"`
	Reason       string          `json:"reason"`
	Class        string          `json:"class"`
	Since        *string         `json:"since"`
	Text         string          `json:"text"`
	Rule         *string         `json:"rule"`
	RuleVersion  *string         `json:"rule_version"`
	Balance      *string         `json:"balance"`
	Threshold    *string         `json:"threshold"`
	ReadAt       *string         `json:"read_at"`
	RefreshedAt  *string         `json:"refreshed_at"`
	Purchase     *string         `json:"purchase"`
	Detail       json.RawMessage `json:"detail"`
}

// DecisionOf makes the record of a decision.
func DecisionOf(e topup.Evaluation) DecisionRecord {
	return DecisionRecord{
		At: Stamp(&e.At), Provider: e.ProviderName, Customer: string(e.Target.Customer), CustomerName: Word(e.CustomerName),
		Product: string(e.Target.Product), ProductName: Word(e.ProductName),
		Reason: string(e.Reason), Class: string(e.Reason.Class()), Since: Stamp(&e.Since), Text: e.Text,
		Rule: Word(e.Rule), RuleVersion: Word(e.RuleVersion), Balance: Number(e.Balance), Threshold: Number(e.Threshold),
		ReadAt: Stamp(&e.ReadAt), RefreshedAt: Stamp(&e.RefreshedAt), Purchase: Word(e.Purchase), Detail: RawJSON(e.Detail),
	}
}

// Explained is what is known about one target.
type Explained struct {
	Decisions []topup.Evaluation // newest first, at least one
	Older     int                // decisions that are not among them
	Open      []topup.Purchase
	Rule      string // that decided, and where it stands now; "" = none
}

// Explain prints the decisions target by target, and what a person can do.
func (s *Screen) Explain(targets []Explained) {
	for i, x := range targets {
		if i > 0 {
			s.Printf("\n")
		}
		s.explain(x)
	}
	if zone := s.ZoneNote(); zone != "" {
		s.Printf("\n%s\n", zone)
	}
}

func (s *Screen) explain(x Explained) {
	newest := x.Decisions[0]
	s.Printf("%s\n", s.Fold(headline(newest, x.Rule), 0))
	for _, p := range x.Open {
		if p.State == topup.NeedsReview {
			s.Printf("Purchase %s waits for you. %s", p.Short(), strings.TrimLeft(NextStep(p, s.Now()), " "))
		}
	}
	said := WordsOf(newest)
	verdict := "Not buying: " + said.Means
	if newest.Reason == topup.Buy || newest.Reason == topup.Enough {
		verdict = strings.ToUpper(said.Means[:1]) + said.Means[1:]
	}
	s.Printf("%s (%s), since %s.\n\n", s.Paint(ReasonColor(newest.Reason), verdict), newest.Reason, s.Clock(newest.Since))
	for _, e := range x.Decisions {
		lines := factLines(e, s.Clock)
		indent := len(s.Clock(e.At)) + 2
		s.Printf("%s  %s\n", s.Clock(e.At), s.Fold(lines[0], indent))
		for _, line := range lines[1:] {
			s.Printf("%s%s\n", strings.Repeat(" ", indent), s.Fold(line, indent))
		}
	}
	if x.Older > 0 {
		s.Printf("and %s older; --limit 0 shows all\n", english.Plural(x.Older, "decision"))
	}
	if note := s.silence(newest.At); note != "" {
		s.Printf("\n%s\n", note)
	}
	for _, p := range x.Open {
		s.Printf("\n%s\n", s.Fold(fmt.Sprintf("Open purchase %s is %s, open for %s. %s", p.Short(), p.State, OpenFor(p, s.Now(), Long), StandsOf(p, s.Clock)), 0))
	}
	s.Printf("\nWhat you can do: %s\n", s.Fold(said.Do, len("What you can do: ")))
}

// headline names the target and its rule.
func headline(e topup.Evaluation, rule string) string {
	customer := Printable(string(e.Target.Customer))
	if e.CustomerName != "" && e.CustomerName != customer {
		customer = fmt.Sprintf("%s (%s)", Printable(e.CustomerName), customer)
	}
	product := Printable(string(e.Target.Product))
	if e.ProductName != "" && e.ProductName != product {
		product = fmt.Sprintf("%s (%s)", Printable(e.ProductName), product)
	}
	return strings.Join([]string{e.ProviderName, customer, product, cmp.Or(rule, "no rule")}, " · ")
}

// facts is the part of an evaluation's detail that is told in words.
type facts struct {
	ThresholdFrom string `json:"threshold_from"`
	PaymentMethod string `json:"payment_method"`
	Declines      int    `json:"declines"`
	Refusals      int    `json:"refusals"`
	Refusal       string `json:"refusal"`
	Skipped       int    `json:"skipped"`
	Invoices      []struct {
		ID     string    `json:"id"`
		Amount string    `json:"amount"`
		Status string    `json:"status"`
		At     time.Time `json:"at"`
		Detail string    `json:"detail"`
	} `json:"invoices"`
}

// factLines tells one decision; the first line is the balance.
func factLines(e topup.Evaluation, clock func(time.Time) string) []string {
	var f facts
	_ = json.Unmarshal(e.Detail, &f) // details are extras: without them the decision still stands
	lines := []string{Printable(balanceLine(e, f, clock))}
	for _, i := range f.Invoices {
		line := fmt.Sprintf("invoice %s of %s from %s is %s", i.ID, i.Amount, clock(i.At), i.Status)
		if i.Detail != "" {
			line += ": " + i.Detail
		}
		lines = append(lines, Printable(line))
	}
	if f.Skipped > 0 {
		lines = append(lines, fmt.Sprintf("bills and ledger rows that cannot be read, too old or for something else, so left out: %d", f.Skipped))
	}
	decided := fmt.Sprintf("%s: %s", e.Reason, Printable(e.Text))
	if e.Purchase != "" && e.Reason == topup.Buy {
		decided += " → purchase " + topup.Purchase{ID: e.Purchase}.Short()
	}
	lines = append(lines, decided)
	if f.Refusals > 0 {
		lines = append(lines, fmt.Sprintf("requests refused since the last success: %d", f.Refusals))
	}
	if f.Declines > 0 {
		lines = append(lines, fmt.Sprintf("declined payments in a row: %d", f.Declines))
	}
	return lines
}

func balanceLine(e topup.Evaluation, f facts, clock func(time.Time) string) string {
	if e.Balance == nil {
		return "no balance that could be used"
	}
	line := fmt.Sprintf("balance %s (read %s", e.Balance.Grouped(), clock(e.ReadAt))
	if !e.RefreshedAt.IsZero() {
		line += ", refreshed by the provider " + clock(e.RefreshedAt)
	}
	line += ")"
	if e.Threshold == nil {
		return line + ", no threshold"
	}
	relation := "not below"
	if e.Below() {
		relation = "below"
	}
	line += fmt.Sprintf(" %s threshold %s", relation, e.Threshold.Grouped())
	if f.ThresholdFrom != "" {
		line += fmt.Sprintf(" (the %s's)", f.ThresholdFrom)
	}
	return line
}
