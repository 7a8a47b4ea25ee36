package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/topup"
)

// Purchase prints it as a person files it. seen are the readings of its target.
func (s *Screen) Purchase(p topup.Purchase, evidence []topup.Evidence, seen []topup.Evaluation) {
	s.Printf("Purchase %s   %s\n", p.ID, s.Paint(StateColor(p.State), StateOf(p)))
	s.Printf("%s\n", s.Fold(fmt.Sprintf("%s · %s · %s · rule %s", p.ProviderName, CustomerOf(p), dealOf(p), p.Rule), 0))
	s.Printf("%s\n", s.Fold(StandsOf(p, s.Clock), 0))
	later := s.laterLine(p, evidence)
	if p.State.Open() {
		s.Printf("%s\n", ageOf(p, evidence, s.Now()))
	}
	for _, block := range []struct {
		title string
		lines [][2]string
	}{
		{"Why", s.whyLines(p)},
		{"Request", s.requestLines(p)},
		{"Money", append(s.moneyLines(p), s.balanceLines(p, seen)...)},
	} {
		s.Printf("\n%s\n", block.title)
		for _, line := range block.lines {
			s.Printf("  %-14s %s\n", line[0], s.Fold(line[1], 17))
		}
	}
	s.Printf("\nHistory\n")
	for _, e := range evidence {
		s.Printf("  %s  %-9s %s\n", s.Clock(e.At), e.Kind, s.Fold(Printable(e.Text), len(s.Clock(e.At))+14))
	}
	next := NextStep(p, s.Now())
	if later {
		next = laterStep(p)
	}
	if next != "" {
		s.Printf("\nWhat to do\n%s", next)
	}
	if zone := s.ZoneNote(); zone != "" {
		s.Printf("\n%s\n", zone)
	}
}

// laterLine prints what came after the end of a purchase, and tells whether
// anything did.
func (s *Screen) laterLine(p topup.Purchase, evidence []topup.Evidence) bool {
	later := cameLater(p, evidence)
	if later != "" {
		s.Printf("%s\n", s.Paint(Red, s.Fold("Later: "+Printable(later), 0)))
	}
	return later != ""
}

// Fold breaks a long text into lines of the output's width, indented.
func (s *Screen) Fold(text string, indent int) string {
	var b strings.Builder
	used := indent
	for i, w := range strings.Fields(text) {
		length := len([]rune(w))
		switch {
		case i == 0:
		case used+1+length > s.Width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteString(" ")
			used++
		}
		b.WriteString(w)
		used += length
	}
	return b.String()
}

// CustomerOf names the customer of a purchase, with the id.
func CustomerOf(p topup.Purchase) string {
	id := Printable(string(p.Target.Customer))
	if p.CustomerName == "" || p.CustomerName == id {
		return id
	}
	return fmt.Sprintf("%s (%s)", Printable(p.CustomerName), id)
}

// dealOf is what was asked for.
func dealOf(p topup.Purchase) string {
	product := Printable(Either(p.ProductName, string(p.Target.Product)))
	return fmt.Sprintf("%s: %s credits for %s excluding tax", product, p.Credits.Grouped(), p.Price.Grouped())
}

func (s *Screen) whyLines(p topup.Purchase) [][2]string {
	balance := fmt.Sprintf("%s, read %s", p.BalanceBefore.Grouped(), s.Clock(p.ReadAt))
	if !p.RefreshedAt.IsZero() {
		balance += fmt.Sprintf(" (the provider refreshed it %s)", s.Clock(p.RefreshedAt))
	}
	expires := "never"
	if p.ExpiresAt != nil {
		expires = p.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return [][2]string{
		{"balance", balance},
		{"threshold", p.Threshold.Grouped()},
		{"rule", fmt.Sprintf("%s, version %s", p.Rule, p.RuleVersion)},
		{"pack", fmt.Sprintf("%s credits, price %s", p.Credits.Grouped(), Printable(Either(p.PriceID, "as configured")))},
		{"expire", expires},
	}
}

func (s *Screen) requestLines(p topup.Purchase) [][2]string {
	lines := [][2]string{
		{"request", Printable(p.Request.Method + " " + p.Request.Path)},
		{"key", p.Key},
		{"sha-256", p.Fingerprint},
		{"on the wire", onTheWire(p)},
	}
	if p.SentAt != nil {
		lines = append(lines, [2]string{"sent", s.Clock(*p.SentAt)})
	}
	if p.Repeats > 0 {
		lines = append(lines, [2]string{"last sent", s.ClockOf(p.LastSentAt)})
	}
	return lines
}

// onTheWire counts the requests that left, or may have.
func onTheWire(p topup.Purchase) string {
	switch {
	case p.Attempts == 0:
		return "nothing"
	case p.Repeats == 0:
		return english.Plural(p.Attempts, "request")
	default:
		return fmt.Sprintf("%s, %s of them repeated under the same key", english.Plural(p.Attempts, "request"), english.Grouped(p.Repeats))
	}
}

func (s *Screen) moneyLines(p topup.Purchase) [][2]string {
	reference := Printable(Dash(p.Reference))
	if p.ReferenceBy != "" {
		reference += " (by " + p.ReferenceBy + ")"
	}
	lines := [][2]string{
		{"price", p.Price.Grouped() + " excluding tax"},
		{"reference", reference},
		{"payment", string(p.Payment)},
	}
	if p.Charged != nil {
		lines = append(lines, [2]string{"invoiced", p.Charged.Grouped() + " excluding tax: not the configured price"})
	}
	switch {
	case p.RowAt == nil:
	case traits(p).HasRecords && p.ResolvedBy == "":
		lines = append(lines, [2]string{"credited", s.Clock(*p.RowAt)})
	default: // nobody has seen a row
		lines = append(lines, [2]string{"counts", "a balance from " + s.Clock(*p.RowAt) + " on"})
	}
	if p.FinishedAt != nil {
		lines = append(lines, [2]string{"finished", s.Clock(*p.FinishedAt)})
	}
	if p.CorrectedAt != nil {
		lines = append(lines, [2]string{"corrected", fmt.Sprintf("%s, from %s", s.Clock(*p.CorrectedAt), p.CorrectedFrom)})
	}
	if p.ResolvedBy != "" {
		lines = append(lines, [2]string{"decided by", Printable(p.ResolvedBy + ": " + p.Note)})
	}
	return lines
}

// balancesShown bounds the readings on the page; the daemon keeps 20.
const balancesShown = 5

// balanceLines are the readings since an undecided purchase was sent: a rise by
// what was bought is evidence for a person.
func (s *Screen) balanceLines(p topup.Purchase, seen []topup.Evaluation) [][2]string {
	if p.SentAt == nil || (p.State != topup.Sent && p.State != topup.NeedsReview) {
		return nil
	}
	var parts []string
	rise := "no rise"
	if Rose(p, seen) {
		rise = "a rise"
	}
	for _, e := range slices.Backward(seen) {
		if e.Balance == nil || e.ReadAt.Before(*p.SentAt) {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s at %s", e.Balance.Grouped(), s.Clock(e.ReadAt)))
	}
	if len(parts) == 0 {
		return nil
	}
	parts = parts[max(0, len(parts)-balancesShown):]
	return [][2]string{{"balance since", fmt.Sprintf("%s: %s of about %s was seen", strings.Join(parts, " · "), rise, p.Credits.Grouped())}}
}

// Rose tells whether a reading since the purchase was sent shows about what it
// bought.
func Rose(p topup.Purchase, seen []topup.Evaluation) bool {
	return p.SentAt != nil && slices.ContainsFunc(seen, func(e topup.Evaluation) bool {
		return e.Balance != nil && !e.ReadAt.Before(*p.SentAt) && *e.Balance >= p.BalanceBefore+p.Credits/2
	})
}
