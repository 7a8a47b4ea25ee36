package screen

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/topup"
)

// Proof prints the whole proof of one charge as a person files it.
func (s *Screen) Proof(p topup.Purchase, evidence []topup.Evidence, f ProofFile) {
	s.Printf("Evidence of purchase %s   %s\n", p.ID, s.Paint(StateColor(p.State), string(p.State)))
	s.Printf("%s\n", s.Fold(fmt.Sprintf("%s (%s) · %s · %s", p.ProviderName, p.Target.Provider, CustomerOf(p), dealOf(p)), 0))
	s.Printf("%s\n", s.Fold(StandsOf(p, s.Clock), 0))
	s.laterLine(p, evidence)
	s.block("1  Why it was bought", s.decisionLines(p, f.Decision))
	s.block("2  What was asked for, frozen before the first byte left", s.frozenLines(p, f))
	s.Printf("\n3  What happened\n")
	for _, e := range evidence {
		s.happened(e)
	}
	for _, permit := range f.Permits {
		run := ""
		if !permit.Run {
			run = ", certainly not run"
		}
		s.Printf("  permit %d: %s\n", permit.N, s.Fold(fmt.Sprintf("key %s, request %s…, token %s, lease term %d%s",
			permit.Key, first(permit.Request, 16), permit.Token, permit.LeaseTerm, run), 12))
	}
	s.block("4  What it did", append(s.moneyLines(p), s.effectLines(p, f)...))
	s.Printf("\n5  The rule as it was, version %s\n%s\n", p.RuleVersion, indented(p.Terms))
	if zone := s.ZoneNote(); zone != "" {
		s.Printf("\n%s\n", zone)
	}
}

// block prints titled lines.
func (s *Screen) block(title string, lines [][2]string) {
	s.Printf("\n%s\n", title)
	for _, line := range lines {
		s.Printf("  %-14s %s\n", line[0], s.Fold(line[1], 17))
	}
}

func (s *Screen) decisionLines(p topup.Purchase, d decisionRecord) [][2]string {
	threshold := p.Threshold.Grouped()
	if d.ThresholdFrom != nil {
		threshold += " (of the " + Printable(*d.ThresholdFrom) + ")"
	}
	second := fmt.Sprintf("%s, read %s", p.BalanceBefore.Grouped(), s.Clock(p.ReadAt))
	if !p.RefreshedAt.IsZero() {
		second += fmt.Sprintf(" (the provider refreshed it %s)", s.Clock(p.RefreshedAt))
	}
	var lines [][2]string
	if d.FirstBalance != nil {
		reading := *d.FirstBalance
		if at, err := time.Parse(time.RFC3339Nano, Given(d.FirstLowAt)); err == nil {
			reading += ", first low " + s.Clock(at)
		}
		lines = append(lines, [2]string{"first reading", reading})
	}
	lines = append(lines, [2]string{"second reading", second}, [2]string{"threshold", threshold},
		[2]string{"decided", s.Clock(p.PlannedAt) + "  " + Printable(Given(d.Text))})
	if d.PaymentMethod != nil {
		lines = append(lines, [2]string{"payment method", Printable(*d.PaymentMethod)})
	}
	if len(d.Caps) > 0 {
		lines = append(lines, [2]string{"caps", strings.Join(d.Caps, " · ")})
	}
	return lines
}

func (s *Screen) frozenLines(p topup.Purchase, f ProofFile) [][2]string {
	holds := "worked out again now: the same"
	if !f.FingerprintHeld {
		holds = "worked out again now: ANOTHER ONE; the stored request was changed"
	}
	expires := "never"
	if p.ExpiresAt != nil {
		expires = p.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return [][2]string{
		{"credits", p.Credits.Grouped() + ", expire " + expires},
		{"price", fmt.Sprintf("%s excluding tax (%s)", p.Price.Grouped(), Printable(Either(p.PriceID, "as configured")))},
		{"key", p.Key},
		{"request", Printable(p.Request.Method + " " + p.Request.Path)},
		{"body", Printable(string(p.Request.Body))},
		{"sha-256", p.Fingerprint + ", " + holds},
		{"if unknown", fmt.Sprintf("policy %s, quiet period %s", p.Policy, Long(p.QuietPeriod))},
		{"known before", Printable(Either(strings.Join(p.Baseline, " "), "nothing"))},
	}
}

// happened prints one line of the history, an answer with its figures.
func (s *Screen) happened(e topup.Evidence) {
	text := Printable(e.Text)
	var answer topup.Answer
	if e.Kind == topup.EvidenceAnswer && json.Unmarshal(e.Detail, &answer) == nil {
		text += fmt.Sprintf(" · after %s, %s sent", answer.Duration.Round(time.Millisecond), english.Plural(int(answer.Written), "byte"))
		if !answer.ServerTime.IsZero() {
			text += ", provider's time " + answer.ServerTime.UTC().Format(time.RFC3339)
		}
	}
	if e.From != "" && e.To != "" && e.From != e.To {
		text += fmt.Sprintf(" · %s → %s", e.From, e.To)
	}
	s.Printf("  %s  %-9s %s\n", s.Clock(e.At), e.Kind, s.Fold(text, len(s.Clock(e.At))+14))
}

// effectLines are what shows that credits came, or did not.
func (s *Screen) effectLines(p topup.Purchase, f ProofFile) [][2]string {
	var lines [][2]string
	if p.LookedAt != nil && traits(p).HasRecords {
		looks := "the last complete one " + s.Clock(*p.LookedAt)
		if p.State == topup.Sent { // later ones are not counted
			looks += fmt.Sprintf("; %s in a row found nothing since the last send", english.Grouped(p.EmptyLooks))
		}
		lines = append(lines, [2]string{"looks", looks})
	}
	if trail := trailWords(p.Trail, s.Clock); trail != "" {
		lines = append(lines, [2]string{"balance trail", trail})
	}
	var seen []string
	for _, b := range f.Balances[max(0, len(f.Balances)-balancesShown):] {
		if at, err := time.Parse(time.RFC3339Nano, Given(b.ReadAt)); err == nil {
			seen = append(seen, b.Balance+" at "+s.Clock(at))
		}
	}
	if len(seen) > 0 {
		lines = append(lines, [2]string{"polls saw", strings.Join(seen, " · ")})
	}
	return lines
}

// trailWords are the samples and rises of a balance without books.
func trailWords(t topup.Trail, clock func(time.Time) string) string {
	var parts []string
	for _, l := range t.Levels {
		parts = append(parts, fmt.Sprintf("%s at %s", l.Balance.Grouped(), clock(l.ReadAt)))
	}
	for _, j := range t.Jumps {
		held := "was not seen again yet"
		if j.Held {
			held = "lasted"
		}
		parts = append(parts, fmt.Sprintf("a rise of %s to %s at %s %s", j.Rise().Grouped(), j.After.Balance.Grouped(), clock(j.After.ReadAt), held))
	}
	return strings.Join(parts, " · ")
}

// first is the beginning of a text.
func first(s string, n int) string { return s[:min(n, len(s))] }

// indented prints JSON for people, two columns in.
func indented(raw []byte) string {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return "  (not stored)"
	}
	pretty, err := json.MarshalIndent(json.RawMessage(raw), "  ", "  ")
	if err != nil {
		return "  (not stored)"
	}
	return "  " + string(pretty)
}
