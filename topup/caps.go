package topup

import (
	"fmt"
	"time"
)

// CapScope is whose purchases a cap counts together.
type CapScope string

// The scopes, in the order in which they are counted.
const (
	CapGlobal   CapScope = "global"
	CapProvider CapScope = "provider"
	CapRule     CapScope = "rule"
	CapCustomer CapScope = "customer"
)

// CapPeriod is a calendar window in UTC.
type CapPeriod string

// The periods.
const (
	CapHour  CapPeriod = "hour"
	CapDay   CapPeriod = "day"
	CapMonth CapPeriod = "month"
)

// Cap is one limit on purchases or spend in one calendar window. Reaching it
// is allowed, passing it is not.
type Cap struct {
	Scope    CapScope  `json:"scope"`
	Period   CapPeriod `json:"period"`
	Currency Currency  `json:"currency,omitempty"` // "" counts purchases, else money excluding tax
	Limit    int64     `json:"limit"`              // inclusive; purchases, or minor units of Currency
}

// String writes the cap as the YAML has it: "customer.day.spend.EUR 600.00".
func (c Cap) String() string {
	if c.Currency == "" {
		return fmt.Sprintf("%s.%s.purchases %d", c.Scope, c.Period, c.Limit)
	}
	return fmt.Sprintf("%s.%s.spend.%s %s", c.Scope, c.Period, c.Currency, Money{c.Limit, c.Currency}.Amount())
}

// End is the first instant after the calendar window that holds t, in UTC.
func (p CapPeriod) End(t time.Time) time.Time {
	start := p.Start(t)
	switch p {
	case CapHour:
		return start.Add(time.Hour)
	case CapDay:
		return start.AddDate(0, 0, 1)
	case CapMonth:
		return start.AddDate(0, 1, 0)
	default:
		return start
	}
}

// Start is the first instant of the calendar window that holds t, in UTC.
func (p CapPeriod) Start(t time.Time) time.Time {
	t = t.UTC()
	switch p {
	case CapHour:
		return t.Truncate(time.Hour)
	case CapDay:
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	case CapMonth:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
}
