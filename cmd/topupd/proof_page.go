package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"topupd/internal/english"
	"topupd/topup"
)

// proofPage prints the whole proof of one charge as a person files it.
func (a *app) proofPage(p topup.Purchase, evidence []topup.Evidence, f proofFile) {
	a.printf("Evidence of purchase %s   %s\n", p.ID, a.paint(stateColor(p.State), string(p.State)))
	a.printf("%s\n", a.fold(fmt.Sprintf("%s (%s) · %s · %s", p.ProviderName, p.Target.Provider, customerOf(p), dealOf(p)), 0))
	a.printf("%s\n", a.fold(standsOf(p, a.clock), 0))
	a.laterLine(p, evidence)
	a.block("1  Why it was bought", a.decisionLines(p, f.Decision))
	a.block("2  What was asked for, frozen before the first byte left", a.frozenLines(p, f))
	a.printf("\n3  What happened\n")
	for _, e := range evidence {
		a.happened(e)
	}
	for _, permit := range f.Permits {
		run := ""
		if !permit.Run {
			run = ", certainly not run"
		}
		a.printf("  permit %d: %s\n", permit.N, a.fold(fmt.Sprintf("key %s, request %s…, token %s, lease term %d%s",
			permit.Key, first(permit.Request, 16), permit.Token, permit.LeaseTerm, run), 12))
	}
	a.block("4  What it did", append(a.moneyLines(p), a.effectLines(p, f)...))
	a.printf("\n5  The rule as it was, version %s\n%s\n", p.RuleVersion, indented(p.Terms))
	if zone := a.zoneNote(); zone != "" {
		a.printf("\n%s\n", zone)
	}
}

// block prints titled lines.
func (a *app) block(title string, lines [][2]string) {
	a.printf("\n%s\n", title)
	for _, line := range lines {
		a.printf("  %-14s %s\n", line[0], a.fold(line[1], 17))
	}
}

func (a *app) decisionLines(p topup.Purchase, d decisionRecord) [][2]string {
	threshold := p.Threshold.Grouped()
	if d.ThresholdFrom != nil {
		threshold += " (of the " + printable(*d.ThresholdFrom) + ")"
	}
	second := fmt.Sprintf("%s, read %s", p.BalanceBefore.Grouped(), a.clock(p.ReadAt))
	if !p.RefreshedAt.IsZero() {
		second += fmt.Sprintf(" (the provider refreshed it %s)", a.clock(p.RefreshedAt))
	}
	var lines [][2]string
	if d.FirstBalance != nil {
		reading := *d.FirstBalance
		if at, err := time.Parse(time.RFC3339Nano, given(d.FirstLowAt)); err == nil {
			reading += ", first low " + a.clock(at)
		}
		lines = append(lines, [2]string{"first reading", reading})
	}
	lines = append(lines, [2]string{"second reading", second}, [2]string{"threshold", threshold},
		[2]string{"decided", a.clock(p.PlannedAt) + "  " + printable(given(d.Text))})
	if d.PaymentMethod != nil {
		lines = append(lines, [2]string{"payment method", printable(*d.PaymentMethod)})
	}
	if len(d.Caps) > 0 {
		lines = append(lines, [2]string{"caps", strings.Join(d.Caps, " · ")})
	}
	return lines
}

func (a *app) frozenLines(p topup.Purchase, f proofFile) [][2]string {
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
		{"price", fmt.Sprintf("%s excluding tax (%s)", p.Price.Grouped(), printable(either(p.PriceID, "as configured")))},
		{"key", p.Key},
		{"request", printable(p.Request.Method + " " + p.Request.Path)},
		{"body", printable(string(p.Request.Body))},
		{"sha-256", p.Fingerprint + ", " + holds},
		{"unclear", fmt.Sprintf("policy %s, quiet period %s", p.Policy, long(p.QuietPeriod))},
		{"known before", printable(either(strings.Join(p.Baseline, " "), "nothing"))},
	}
}

// happened prints one line of the history, an answer with its figures.
func (a *app) happened(e topup.Evidence) {
	text := printable(e.Text)
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
	a.printf("  %s  %-9s %s\n", a.clock(e.At), e.Kind, a.fold(text, len(a.clock(e.At))+14))
}

// effectLines are what shows that credits came, or did not.
func (a *app) effectLines(p topup.Purchase, f proofFile) [][2]string {
	var lines [][2]string
	if p.LookedAt != nil && hasBooks(p) {
		looks := "the last complete one " + a.clock(*p.LookedAt)
		if p.State == topup.Sent { // later ones are not counted
			looks += fmt.Sprintf("; %s in a row found nothing since the last send", english.Grouped(p.EmptyLooks))
		}
		lines = append(lines, [2]string{"looks", looks})
	}
	if trail := trailWords(p.Trail, a.clock); trail != "" {
		lines = append(lines, [2]string{"balance trail", trail})
	}
	var seen []string
	for _, b := range f.Balances[max(0, len(f.Balances)-balancesShown):] {
		if at, err := time.Parse(time.RFC3339Nano, given(b.ReadAt)); err == nil {
			seen = append(seen, b.Balance+" at "+a.clock(at))
		}
	}
	if len(seen) > 0 {
		lines = append(lines, [2]string{"sweeps saw", strings.Join(seen, " · ")})
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
