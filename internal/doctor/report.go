package doctor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"topupd/topup"
)

// Report is a visit as a person signs it off. It holds no secret.
type Report struct {
	Date         time.Time    `json:"date"`
	Version      string       `json:"version"` // of topupd
	Host         string       `json:"host"`    // of the doctor
	By           string       `json:"by"`
	Accounts     []Account    `json:"accounts"`
	Findings     []Finding    `json:"findings"`
	Purchases    []Purchase   `json:"purchases"` // of experiments
	Capabilities []Capability `json:"capabilities"`
}

// Account is what may be told about a connection.
type Account struct {
	Provider string `json:"provider"`
	Identity string `json:"identity"`
	Token    string `json:"token_fingerprint"` // tells two keys apart, reveals neither
}

// Capability is what topupd obeys from now on.
type Capability struct {
	Identity string `json:"identity"`
	Name     string `json:"name"`
	Value    string `json:"value"`
}

// Add puts a visit into the report.
func (r *Report) Add(v Visit) {
	r.Findings = append(r.Findings, v.Findings...)
	r.Purchases = append(r.Purchases, v.Purchases...)
	for _, c := range v.Capabilities {
		r.Capabilities = append(r.Capabilities, Capability{string(c.Provider), string(c.Name), c.Value})
	}
}

// Sum is the SHA-256 of the content, in hex.
func (r Report) Sum() (string, error) {
	content, err := r.content()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// content is the report as compact JSON: what Sum is taken of.
func (r Report) content() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// JSON is the report with its sum: {"content": …, "sha256": "…"}.
func (r Report) JSON() ([]byte, error) {
	content, err := r.content()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	return fmt.Appendf(nil, "{\"content\":%s,\"sha256\":%q}\n", content, hex.EncodeToString(sum[:])), nil
}

// Verify reads what JSON wrote and tells whether it is still the same.
func Verify(text []byte) (Report, error) {
	var sealed struct {
		Content json.RawMessage `json:"content"`
		Sum     string          `json:"sha256"`
	}
	var r Report
	if err := json.Unmarshal(text, &sealed); err != nil {
		return r, fmt.Errorf("it is not a report of topupd doctor: %w", err)
	}
	sum := sha256.Sum256(sealed.Content)
	if got := hex.EncodeToString(sum[:]); got != sealed.Sum {
		return r, fmt.Errorf("its content was changed: the SHA-256 is %s, signed was %q", got, sealed.Sum)
	}
	if err := json.Unmarshal(sealed.Content, &r); err != nil {
		return r, fmt.Errorf("its content is no report: %w", err)
	}
	return r, nil
}

// Markdown is the report for a person, with the same sum.
func (r Report) Markdown() (string, error) {
	sum, err := r.Sum()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# topupd doctor\n\nSigned off by %s on %s with topupd %s on %s.\n\n", clean(r.By), r.Date.Format(time.RFC3339), clean(r.Version), clean(r.Host))
	for _, a := range r.Accounts {
		fmt.Fprintf(&b, "- %s: %s, token %s\n", clean(a.Provider), clean(a.Identity), clean(a.Token))
	}
	b.WriteString("\n## What was seen\n\n| provider | kind | what | status | seen | next |\n|---|---|---|---|---|---|\n")
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", clean(f.Provider), f.Kind, clean(f.Name), f.Status, clean(f.Saw), clean(f.Next))
	}
	if len(r.Purchases) > 0 {
		b.WriteString("\n## What was bought\n\n| experiment | customer | credits | excl. tax | at | key | answer |\n|---|---|---|---|---|---|---|\n")
		for _, p := range r.Purchases {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", clean(p.Experiment), clean(p.Customer), p.Credits, p.Price, p.At.Format(time.RFC3339), p.Key, clean(p.Answer))
		}
	}
	if len(r.Capabilities) > 0 {
		b.WriteString("\n## What topupd obeys from now on\n\n| provider | what | found |\n|---|---|---|\n")
		for _, c := range r.Capabilities {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", clean(c.Identity), c.Name, c.Value)
		}
	}
	content, err := r.content()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\n## The same for programs\n\n```json\n%s\n```\n\nSHA-256 of that line: %s\n", content, sum)
	return b.String(), nil
}

// clean keeps outside text inside its cell.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '|':
			return '/'
		case r < ' ':
			return ' '
		default:
			return r
		}
	}, s)
}

// Sealed gives capabilities their signature.
func Sealed(list []topup.Capability, by, sum string) []topup.Capability {
	sealed := make([]topup.Capability, 0, len(list))
	for _, c := range list {
		c.By, c.Report = by, sum
		sealed = append(sealed, c)
	}
	return sealed
}
