package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"topupd/config/yamlfile"
)

// Verify is when the daemon compares its purchases with the provider's books.
type Verify struct {
	Off      bool
	Schedule string        // five fields of cron, in UTC
	Since    time.Duration // how far back a comparison reaches
}

// Next is the first time of the schedule after a moment, in UTC; zero when it is
// off.
func (v Verify) Next(after time.Time) time.Time {
	schedule, err := cron.ParseStandard(v.Schedule)
	if v.Off || err != nil { // Load has refused it
		return time.Time{}
	}
	return schedule.Next(after.UTC())
}

type verifyYAML struct {
	Schedule cronText          `yaml:"schedule" jsonschema_description:"When, as five fields of cron in UTC: minute, hour, day of month, month, day of week."`
	Since    yamlfile.Duration `yaml:"since" range:"1h..90d" jsonschema_description:"How far back each comparison reaches; at least the time between two of them."`
	off      bool
}

// ReadText takes the word off.
func (v *verifyYAML) ReadText(text string) error {
	if text != "off" {
		return &yamlfile.Fault{Is: "is neither off nor a block", Fix: `write off, or {schedule: "17 3 * * *", since: 48h}`}
	}
	*v = verifyYAML{off: true}
	return nil
}

// cronText is a schedule in the five fields of cron.
type cronText string

// ReadText reads five fields, or a word such as @daily. A time zone is refused:
// around a change of clocks cron misses or doubles runs.
func (c *cronText) ReadText(text string) error {
	if strings.Contains(text, "=") || strings.HasPrefix(text, "@every") {
		return &yamlfile.Fault{Is: "is not a schedule", Fix: `write five fields of cron, in UTC: "17 3 * * *"`}
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil || schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return &yamlfile.Fault{Is: "is not a schedule", Fix: `write five fields of cron, in UTC: "17 3 * * *"`}
	}
	*c = cronText(text)
	return nil
}

// Form describes the text.
func (cronText) Form() yamlfile.Form {
	return yamlfile.Form{Pattern: `^(@[a-z]+|([^ =]+ +){4}[^ =]+)$`, Examples: []string{"17 3 * * *"}}
}

// runsCompared is how many runs of a schedule are held against since: a leap
// year of a daily one.
const runsCompared = 366

func (l loader) verify(y verifyYAML) Verify {
	v := Verify{Off: y.off, Schedule: string(y.Schedule), Since: time.Duration(y.Since)}
	if v.Off {
		return Verify{Off: true}
	}
	longest, at := time.Duration(0), time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	for range runsCompared {
		before := at
		if at = v.Next(at); at.IsZero() {
			break
		}
		longest = max(longest, at.Sub(before))
	}
	if longest > v.Since {
		l.file.Report("verify.since", fmt.Sprintf("%s is shorter than the %s between two runs: what lies between is never compared", y.Since, yamlfile.Duration(longest)),
			fmt.Sprintf("write at least %s, or run more often", yamlfile.Duration(longest)))
	}
	return v
}
