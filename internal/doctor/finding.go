package doctor

import (
	"fmt"

	"topupd/topup"
)

// Status is what a finding means for the reader.
type Status string

// The statuses. Unknown is no trouble: it says what nobody could tell.
const (
	OK      Status = "ok"
	Warn    Status = "warn"
	Fail    Status = "fail"
	Unknown Status = "not known"
)

// Kind tells what was only read from what was bought to find it out.
type Kind string

// The kinds.
const (
	Check      Kind = "check"
	Experiment Kind = "experiment"
)

// Finding is one line of the report.
type Finding struct {
	Provider string `json:"provider"` // the name in the YAML
	Kind     Kind   `json:"kind"`
	Name     string `json:"name"`
	Status   Status `json:"status"`
	Saw      string `json:"saw"`
	Next     string `json:"next"` // what a person should do; "" = nothing
}

// Visit is everything that was found at one provider.
type Visit struct {
	Findings     []Finding
	Capabilities []topup.Capability // without who and when
	Purchases    []Purchase
}

// Person tells whether anything found needs a person.
func Person(findings []Finding) bool {
	for _, f := range findings {
		if f.Status == Warn || f.Status == Fail {
			return true
		}
	}
	return false
}

// notes collects findings.
type notes struct {
	provider string
	id       topup.ProviderID
	kind     Kind
	Visit
}

// say notes a finding; next is what to do about it.
func (n *notes) say(name string, s Status, next, format string, args ...any) {
	n.Findings = append(n.Findings, Finding{
		Provider: n.provider, Kind: n.kind, Name: name, Status: s, Saw: fmt.Sprintf(format, args...), Next: next,
	})
}

// found notes what the daemon is to obey.
func (n *notes) found(name topup.CapabilityName, value string) {
	n.Capabilities = append(n.Capabilities, topup.Capability{Provider: n.id, Name: name, Value: value})
}

// many writes a count with its noun.
func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
