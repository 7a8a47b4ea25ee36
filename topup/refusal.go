package topup

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	// RefusalsAlike is how many customers of a rule are refused alike before the
	// rule is stopped: two may be two customers whose records are wrong.
	RefusalsAlike = 3
	// RefusalsWithin is the time within which they are.
	RefusalsWithin = time.Hour
	// ProbeFirst and ProbeMost bound the waits before a stopped rule tries one
	// customer, doubling: somebody may have put the provider right.
	ProbeFirst = 15 * time.Minute
	ProbeMost  = 4 * time.Hour
)

// RefusedRule is a rule that topupd has stopped because the provider refuses what
// it asks for.
type RefusedRule struct {
	Rule    string
	Version string // of the rule, when it was stopped: another one is tried
	ProbeAt time.Time
}

// LetsThrough tells whether the stop has an exception for a purchase by the rule
// in this version: another version asks for something else, and now and then one
// customer who was not refused yet is tried.
func (r RefusedRule) LetsThrough(rule, version, refusedRule string, now time.Time) bool {
	if r.Rule != rule {
		return false
	}
	return r.Version != version || !now.Before(r.ProbeAt) && refusedRule != rule
}

// Refusal is a listed no that is about the request.
type Refusal struct {
	Words string // the provider's
	Sign  string // the same for customers who are refused alike: status and words without ids; "" counts for nobody
}

func refusal(p Purchase, a Answer) Refusal {
	words := cmp.Or(a.Detail, "no words")
	sign := words
	for _, id := range []string{string(p.Target.Customer), string(p.Target.Product), p.PriceID, p.PaymentMethodID} {
		if len(id) >= shortestID {
			sign = strings.ReplaceAll(sign, id, "#")
		}
	}
	sign = idLike.ReplaceAllString(sign, "#")
	return Refusal{Words: words, Sign: cutText(fmt.Sprintf("%d %s", a.Status, sign))}
}

// shortestID keeps an id that is a syllable from being taken out of every word.
const shortestID = 4

// idLike are ids of the two providers, UUIDs, and whatever has a digit in it.
var idLike = regexp.MustCompile(`(?i)\b(?:[a-z]{2,8}_[a-z0-9]{6,}|[a-z0-9_-]*[0-9][a-z0-9_-]*)\b`)
