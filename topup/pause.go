package topup

import (
	"fmt"
	"slices"
	"time"
)

// PauseScope is what a pause covers.
type PauseScope string

// The scopes of a pause.
const (
	PauseAll      PauseScope = "all"
	PauseProvider PauseScope = "provider"
	PauseRule     PauseScope = "rule"
	PauseCustomer PauseScope = "customer"
)

// StopCause is why topupd stopped something by itself. The list is closed: it is
// a metric label.
type StopCause string

// The causes. Whatever has none was paused by a person.
const (
	StopNone  StopCause = ""
	StopPrice StopCause = "price" // an invoice was for another amount than the rule says

	StopRefused StopCause = "refused" // the provider refuses what the rule asks for
)

// StopCauses lists every cause, for metrics that start at zero.
func StopCauses() []StopCause { return []StopCause{StopPrice, StopRefused} }

// Pause is a switch that is off, thrown by a person or, with a Cause, by topupd
// itself. It holds from the next permit of every process (P12). Those of people
// stack: each has an id of its own, and none ends another. Of topupd's own there
// is one for each cause and subject, however often it happens again.
type Pause struct {
	ID       string // names it to resume; "" before it is stored
	Scope    PauseScope
	Provider ProviderID // of scopes provider and customer; "" = the customer at every provider
	Subject  string     // the rule's name or the customer id; "" for all and provider
	Cause    StopCause
	Until    *time.Time // nil = until resumed
	Reason   string
	By       string
	At       time.Time
}

// Own tells whether topupd threw it because of what it saw: that is trouble,
// while a person's pause is a choice.
func (p Pause) Own() bool { return p.Cause != StopNone }

// Covers tells whether the pause holds for a purchase by the rule at the time.
func (p Pause) Covers(target Target, rule string, now time.Time) bool {
	if p.Until != nil && !now.Before(*p.Until) {
		return false
	}
	switch p.Scope {
	case PauseAll:
		return true
	case PauseProvider:
		return p.Provider == target.Provider
	case PauseRule:
		return p.Subject == rule
	case PauseCustomer:
		return CustomerID(p.Subject) == target.Customer && (p.Provider == "" || p.Provider == target.Provider)
	default:
		return true // an unknown switch is a switch that is off
	}
}

// Covering is the pause that holds for a purchase by the rule at the time, nil
// when none does: the widest of a person, else the widest of topupd's own. What
// somebody wants so explains more than what topupd found.
func Covering(pauses []Pause, target Target, rule string, now time.Time) *Pause {
	var own *Pause
	for i := range pauses {
		switch p := &pauses[i]; {
		case !p.Covers(target, rule, now):
		case !p.Own():
			return p
		case own == nil:
			own = p
		}
	}
	return own
}

// Without are the pauses but the stop of the rule for the cause.
func Without(pauses []Pause, rule string, cause StopCause) []Pause {
	return slices.DeleteFunc(slices.Clone(pauses), func(p Pause) bool {
		return p.Cause == cause && p.Scope == PauseRule && p.Subject == rule
	})
}

// String says the pause in words.
func (p Pause) String() string {
	what := string(p.Scope)
	if p.Subject != "" {
		what += " " + p.Subject
	} else if p.Scope == PauseProvider {
		what += " " + string(p.Provider)
	}
	if p.Own() {
		return fmt.Sprintf("stopped (%s) because of %s: %s", what, p.Cause, p.Reason)
	}
	text := fmt.Sprintf("paused (%s) by %s: %s", what, p.By, p.Reason)
	if p.Until != nil {
		text += ", until " + p.Until.UTC().Format(time.RFC3339)
	}
	return text
}
