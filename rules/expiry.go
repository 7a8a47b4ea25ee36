package rules

import (
	"time"
	_ "time/tzdata" // the time zones of end_of must not depend on the machine
)

// Expiry says when bought credits expire. The zero Expiry is never.
type Expiry struct {
	After      time.Duration `json:"after_ns,omitempty"`
	EndOfMonth bool          `json:"end_of_month,omitempty"`
	Timezone   string        `json:"timezone,omitempty"`    // of EndOfMonth; "" is UTC
	AtLeast    time.Duration `json:"at_least_ns,omitempty"` // of EndOfMonth: credits that would live for less last a month longer
	At         *time.Time    `json:"at,omitempty"`
}

// When returns the moment at which credits bought now expire, in whole seconds
// UTC, or nil for never. The end of a month is its last second in the time
// zone, so that the date people see is the last day and not the first of the
// next month; a month that is over in less than AtLeast is passed over. At is
// returned as written, also when it has passed.
func (e Expiry) When(now time.Time) *time.Time {
	var when time.Time
	switch {
	case e.At != nil:
		when = *e.At
	case e.EndOfMonth:
		when = lastSecond(now.In(e.location()))
		for when.Sub(now) < e.AtLeast {
			when = lastSecond(when.Add(2 * time.Second)) // the month after
		}
	case e.After > 0:
		when = now.Add(e.After)
	default:
		return nil
	}
	when = when.UTC().Truncate(time.Second)
	return &when
}

// Past tells whether nothing bought now could be used.
func (e Expiry) Past(now time.Time) bool { return e.At != nil && !e.At.After(now) }

// location was checked when the rule was read, and the time zones are part of
// the program: UTC is for a rule frozen by a program that knew more zones.
func (e Expiry) location() *time.Location {
	zone, err := time.LoadLocation(e.Timezone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// lastSecond is the last whole second of the month of t. Where midnight does
// not exist, because clocks were set forward, time.Date may answer with an
// instant of the old month: the new one then starts within the hour after it.
func lastSecond(t time.Time) time.Time {
	next := time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
	if next.Month() == t.Month() {
		next = next.Add(time.Hour)
	}
	return next.Add(-time.Second)
}
