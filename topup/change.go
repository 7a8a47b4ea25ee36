package topup

import (
	"fmt"
	"time"
)

// Raised is why a target is low only since its terms have changed: a higher
// threshold, in the rule or at the provider, or a rule where there was none. It
// counts until the target is bought for, is not low any more, or a person resumes
// the rule.
type Raised struct {
	Rule string    // that the target was judged by when it became low
	Old  Credits   // the threshold before: whoever falls below that is low by usage; NoTerms = there was none
	New  Credits   // the threshold at the change
	At   time.Time // database clock
	Left int       // how many such targets of the rule may still be bought for
}

// NoTerms stands for the threshold of a target that no rule was for: nobody is
// below it.
const NoTerms = -MaxCredits

// ChangeWindow is how far back, exclusive, purchases for targets that are low only
// by a change are counted, and for how long terms outlast the rule that they were
// in: neither a restart nor a change in small steps begins anew.
const ChangeWindow = 24 * time.Hour

// ChangeAtOnce is how many targets of a rule may be bought for in a ChangeWindow
// although only a change has made them low, of as many as the rule has: a tenth,
// and five in any case. What is more waits for a person (P14).
func ChangeAtOnce(targets int) int { return max(5, targets/10) }

// LowByChange tells whether a balance is low only by new terms: below the threshold
// now, and not below what it was judged by before.
func LowByChange(balance, old, now Credits) bool { return balance < now && balance >= old }

// Holds tells whether the change keeps the target, at the balance, from being
// bought for.
func (c *Raised) Holds(balance Credits) bool { return c != nil && c.Left <= 0 && balance >= c.Old }

// String says the change in words.
func (c *Raised) String() string {
	if c.Old == NoTerms {
		return fmt.Sprintf("no rule was for it until %s, and the threshold of rule %s is %s", c.At.UTC().Format(time.RFC3339), c.Rule, c.New)
	}
	return fmt.Sprintf("the threshold rose from %s to %s at %s (rule %s)", c.Old, c.New, c.At.UTC().Format(time.RFC3339), c.Rule)
}
