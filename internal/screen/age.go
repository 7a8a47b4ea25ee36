package screen

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"topupd/topup"
)

// Nothing waits in silence: whatever blocks a customer says for how long.

// OpenFor is how long a purchase has kept its target waiting, counted from its
// plan as the metrics do; "-" when it has ended.
func OpenFor(p topup.Purchase, now time.Time, write func(time.Duration) string) string {
	if !p.State.Open() {
		return "-"
	}
	return write(now.Sub(p.PlannedAt))
}

// ageOf says of an open purchase how long it has been open, and how long it has
// been what it is.
func ageOf(p topup.Purchase, evidence []topup.Evidence, now time.Time) string {
	open := OpenFor(p, now, Long)
	switch since := stateSince(p, evidence); {
	case p.State == topup.Sent && p.Repeats > 0:
		return fmt.Sprintf("Open for %s, sent for the last time %s ago.", open, Long(now.Sub(since)))
	case p.State == topup.Sent:
		return fmt.Sprintf("Open for %s, sent %s ago.", open, Long(now.Sub(since)))
	case since.Equal(p.PlannedAt):
		return fmt.Sprintf("Open for %s.", open)
	default:
		return fmt.Sprintf("Open for %s, %s for %s.", open, p.State, Long(now.Sub(since)))
	}
}

// stateSince is since when a purchase has been what it is, of sent the last
// send; when the evidence does not tell, since its plan.
func stateSince(p topup.Purchase, evidence []topup.Evidence) time.Time {
	if p.State == topup.Sent && p.LastSentAt != nil {
		return *p.LastSentAt
	}
	since := p.PlannedAt
	for _, e := range slices.Backward(evidence) {
		switch e.To {
		case p.State:
			since = e.At
		case "": // it changed nothing
		default:
			return since
		}
	}
	return since
}

// TroubleSince is since when a target has been low and not bought for, by the
// daemon's own memory, which outlives a change from one such reason to another;
// the zero time when it is not.
func TroubleSince(e topup.Evaluation) time.Time {
	var kept struct {
		TroubleSince time.Time `json:"trouble_since"`
	}
	_ = json.Unmarshal(e.Detail, &kept) // an extra: without it the age of the reason stands
	if kept.TroubleSince.IsZero() && e.Below() && e.Reason.Trouble() {
		return e.Since
	}
	return kept.TroubleSince
}
