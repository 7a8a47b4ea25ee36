package topup

import (
	"fmt"
	"strconv"
	"time"
)

// Capability is one thing that was found out about a provider by trying it, and
// that its documentation leaves open or has wrong.
type Capability struct {
	Provider ProviderID
	Name     CapabilityName
	Value    string    // as CheckCapability allows it
	FoundAt  time.Time // database clock; filled in when stored
	By       string    // who vouches for it
	Report   string    // SHA-256 of the report's content, hex
}

// CapabilityName is what was found out.
type CapabilityName string

// The capabilities, with the values that they may have.
const (
	KeysHonoured  CapabilityName = "keys_honoured"      // "yes"; "no": a repeat was charged again
	SkipLimit     CapabilityName = "skip_limit"         // largest skip + take that a list takes, 1 or more
	ExpirySeconds CapabilityName = "expires_at_seconds" // "kept" or "cut" in the provider's own rows
	VisibleAfter  CapabilityName = "visible_after"      // longest time from a send until every list showed it, as "1.5s"
	RefreshEvery  CapabilityName = "refresh_every"      // longest time between two refreshes of a balance, as "10s"
)

// CapabilityNames lists them all.
func CapabilityNames() []CapabilityName {
	return []CapabilityName{KeysHonoured, SkipLimit, ExpirySeconds, VisibleAfter, RefreshEvery}
}

// maxFoundTime bounds what a doctor may have measured: it waits for minutes.
const maxFoundTime = 24 * time.Hour

// CheckCapability tells why a value cannot be stored.
func CheckCapability(c Capability) error {
	wrong := func(want string) error {
		return fmt.Errorf("capability %s is %.40q: it must be %s", c.Name, c.Value, want)
	}
	switch c.Name {
	case KeysHonoured:
		if c.Value != "yes" && c.Value != "no" {
			return wrong("yes or no")
		}
	case ExpirySeconds:
		if c.Value != "kept" && c.Value != "cut" {
			return wrong("kept or cut")
		}
	case SkipLimit:
		if n, err := strconv.Atoi(c.Value); err != nil || n < 1 || n > 1_000_000_000 {
			return wrong("a whole number from 1 to 1000000000")
		}
	case VisibleAfter, RefreshEvery:
		if d, err := time.ParseDuration(c.Value); err != nil || d < 0 || d > maxFoundTime {
			return wrong("a duration from 0s to 24h")
		}
	default:
		return fmt.Errorf("capability %.40q is unknown: use one of %v", c.Name, CapabilityNames())
	}
	return nil
}

// Found is what is known about one provider, of everything that was ever found
// the most careful. It can only make a purchase more careful than configured,
// never less; the zero Found changes nothing.
type Found struct {
	KeysIgnored bool          // a repeat under the same key was charged again
	Visible     time.Duration // see VisibleAfter
	SkipLimit   int           // 0 = none known
}

// FoundIn picks the most careful of all capabilities of one provider. A value
// that cannot be read counts as the most careful there is.
func FoundIn(list []Capability) Found {
	var f Found
	for _, c := range list {
		switch c.Name {
		case KeysHonoured:
			f.KeysIgnored = f.KeysIgnored || c.Value != "yes"
		case VisibleAfter:
			d, err := time.ParseDuration(c.Value)
			if err != nil {
				d = maxFoundTime
			}
			f.Visible = max(f.Visible, d)
		case SkipLimit:
			if n, err := strconv.Atoi(c.Value); err == nil && n > 0 && (f.SkipLimit == 0 || n < f.SkipLimit) {
				f.SkipLimit = n
			}
		case ExpirySeconds, RefreshEvery: // shown to people; no decision rests on either
		default:
		}
	}
	return f
}

// quietVisible is how many times the longest delay that was seen a quiet period
// lasts at least: what was seen once is not the worst there is.
const quietVisible = 3

// Quiet is the configured quiet period, raised to three times the longest delay
// after which a purchase was seen to be listed.
func (f Found) Quiet(configured time.Duration) time.Duration {
	return max(configured, min(quietVisible*f.Visible, maxFoundTime))
}

// Policy is the configured policy, or review where keys are not honoured.
func (f Found) Policy(configured Policy) Policy {
	if f.KeysIgnored {
		return PolicyReview
	}
	return configured
}

// Careful is the purchase as it must be treated with what is known now: what was
// found after it was planned holds for it too. The frozen columns of the row
// stay as they are.
func (f Found) Careful(p Purchase) Purchase {
	p.Policy, p.QuietPeriod = f.Policy(p.Policy), f.Quiet(p.QuietPeriod)
	return p
}
