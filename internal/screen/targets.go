package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/topup"
)

// TargetRecord is one target for programs.
type TargetRecord struct {
	Provider     string  `json:"provider"`
	Customer     string  `json:"customer"`
	CustomerName *string `json:"customer_name"`
	Product      string  `json:"product"`
	ProductName  *string `json:"product_name"`
	Balance      *string `json:"balance"`
	Threshold    *string `json:"threshold"`
	Below        bool    `json:"below"`
	Reason       string  `json:"reason"`
	Class        string  `json:"class"`
	Since        *string `json:"since"`
	Text         string  `json:"text"`
	Rule         *string `json:"rule"`
	RuleVersion  *string `json:"rule_version"`
	ReadAt       *string `json:"read_at"`
	RefreshedAt  *string `json:"refreshed_at"`
	Purchase     *string `json:"purchase"`
	TroubleSince *string `json:"trouble_since"`
}

// TargetOf makes the record of a target's newest decision.
func TargetOf(e topup.Evaluation) TargetRecord {
	return TargetRecord{
		Provider: e.ProviderName, Customer: string(e.Target.Customer), CustomerName: Word(e.CustomerName),
		Product: string(e.Target.Product), ProductName: Word(e.ProductName),
		Balance: Number(e.Balance), Threshold: Number(e.Threshold), Below: e.Below(),
		Reason: string(e.Reason), Class: string(e.Reason.Class()), Since: Stamp(&e.Since), Text: e.Text,
		Rule: Word(e.Rule), RuleVersion: Word(e.RuleVersion),
		ReadAt: Stamp(&e.ReadAt), RefreshedAt: Stamp(&e.RefreshedAt), Purchase: Word(e.Purchase), TroubleSince: Stamp(new(TroubleSince(e))),
	}
}

// Targets prints the newest decision of each target.
func (s *Screen) Targets(targets []topup.Evaluation) {
	if len(targets) == 0 {
		s.Printf("no targets: nothing that fits has been written down; topupd run does that, topupd plan asks the providers now\n")
		return
	}
	g := Grid{Columns: []Column{
		{Title: "provider"},
		{Title: "customer", Stack: true},
		{Title: "product", Stack: true},
		{Title: "balance", Right: true},
		{Title: "threshold", Right: true},
		{Title: "decision"},
		{Title: "since"},
		{Title: "read at"},
		{Title: "in trouble for"},
	}}
	if !slices.ContainsFunc(targets, func(e topup.Evaluation) bool { return !TroubleSince(e).IsZero() }) {
		g.Columns = g.Columns[:len(g.Columns)-1]
	}
	below := 0
	newest := targets[0].At
	for _, e := range targets {
		newest = laterOf(newest, e.At)
		if e.Below() {
			below++
		}
		trouble := "-"
		if since := TroubleSince(e); !since.IsZero() {
			trouble = Short(s.Now().Sub(since))
		}
		row := []string{
			e.ProviderName, Both(e.CustomerName, string(e.Target.Customer)), Both(e.ProductName, string(e.Target.Product)),
			Figure(e.Balance), Figure(e.Threshold), s.Paint(ReasonColor(e.Reason), string(e.Reason)), s.Clock(e.Since), s.Clock(e.ReadAt), trouble,
		}
		g.Rows = append(g.Rows, row[:len(g.Columns)])
	}
	s.Printf("%s", g.Render(s.Width))
	notes := []string{english.Plural(len(targets), "target"), fmt.Sprintf("%s below the threshold", english.Grouped(below))}
	if zone := s.ZoneNote(); zone != "" {
		notes = append(notes, zone)
	}
	s.Printf("%s\n", strings.Join(notes, " · "))
	if note := s.silence(newest); note != "" {
		s.Printf("%s\n", note)
	}
}

// silent is how old the newest decision may be: the daemon writes every minute.
const silent = 10 * time.Minute

// silence says that what is shown is old; "" when it is not.
func (s *Screen) silence(newest time.Time) string {
	age := s.Now().Sub(newest)
	if age <= silent {
		return ""
	}
	return fmt.Sprintf("Nothing was written down for %s: is topupd run working?", Long(age))
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
