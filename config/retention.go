package config

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"topupd/config/yamlfile"
)

// Retention is how long the ledger keeps what no later decision rests on.
type Retention struct {
	Evaluations time.Duration
	Evidence    time.Duration // of closed purchases
}

const (
	year        = 365 * 24 * time.Hour
	keepMost    = 100 * year
	keepDefault = "90d"
)

type retentionYAML struct {
	Evaluations evaluationsText `yaml:"evaluations" jsonschema_description:"How long evaluations are kept, 7d to 100y; each customer's newest one stays."`
	Evidence    evidenceText    `yaml:"evidence" jsonschema_description:"How long the looks and readings of closed purchases are kept, 90d to 100y; purchases, answers, permits and resolutions stay."`
}

// Defaults are those of docs/configuration.md.
func (r *retentionYAML) Defaults() {
	*r = retentionYAML{Evaluations: evaluationsText(90 * 24 * time.Hour), Evidence: evidenceText(2 * year)}
}

func (r retentionYAML) retention() Retention {
	return Retention{Evaluations: time.Duration(r.Evaluations), Evidence: time.Duration(r.Evidence)}
}

type (
	evaluationsText time.Duration
	evidenceText    time.Duration
)

// ReadText reads from a week to a hundred years.
func (e *evaluationsText) ReadText(text string) error {
	d, err := lasting(text, "7d", 7*24*time.Hour)
	*e = evaluationsText(d)
	return err
}

// ReadText reads from 90 days, as far as a comparison with the books reaches, to
// a hundred years.
func (e *evidenceText) ReadText(text string) error {
	d, err := lasting(text, "90d", 90*24*time.Hour)
	*e = evidenceText(d)
	return err
}

// Form describes the text.
func (evaluationsText) Form() yamlfile.Form { return keepForm }

// Form describes the text.
func (evidenceText) Form() yamlfile.Form { return keepForm }

var (
	yearsText = regexp.MustCompile(`^([1-9][0-9]{0,2})y$`)
	keepForm  = yamlfile.Form{Pattern: `^([1-9][0-9]{0,2}y|[1-9][0-9]{0,4}d)$`, Examples: []string{keepDefault, "2y"}}
)

// lasting reads whole years of 365 days, or days.
func lasting(text, shortest string, least time.Duration) (time.Duration, error) {
	var d yamlfile.Duration
	if m := yearsText.FindStringSubmatch(text); m != nil {
		years, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, fmt.Errorf("counting years: %w", err)
		}
		d = yamlfile.Duration(min(years, 101)) * yamlfile.Duration(year)
	} else if !regexp.MustCompile(keepForm.Pattern).MatchString(text) || d.ReadText(text) != nil {
		return 0, &yamlfile.Fault{Is: "is not a number of days or years", Fix: "write it as 90d or 2y"}
	}
	if time.Duration(d) < least || time.Duration(d) > keepMost {
		return 0, &yamlfile.Fault{Is: "is out of range", Fix: fmt.Sprintf("write from %s to 100y", shortest)}
	}
	return time.Duration(d), nil
}
