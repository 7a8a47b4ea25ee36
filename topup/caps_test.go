package topup

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones of this table must not depend on the machine
)

// TestCapWindowsAreThoseOfUTC: whatever the zone of the moment, and whatever its
// clocks do, a window begins at a whole hour, day or month of UTC.
func TestCapWindowsAreThoseOfUTC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, zone, at, hour, day, month string }{
		{"an ordinary moment", "UTC", "2026-11-20T12:34:56Z", "2026-11-20T12:00:00Z", "2026-11-20T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"the first instant of a month is in it", "UTC", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"the last one of a year is not in the next", "UTC", "2026-12-31T23:59:59.999999999Z", "2026-12-31T23:00:00Z", "2026-12-31T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"tomorrow in Tokyo is today", "Asia/Tokyo", "2026-11-30T15:30:00Z", "2026-11-30T15:00:00Z", "2026-11-30T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"last month in New York is this month", "America/New_York", "2026-12-01T04:59:00Z", "2026-12-01T04:00:00Z", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"the hour that Paris leaves out", "Europe/Paris", "2026-03-29T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"the hour that Paris has twice, first", "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T00:00:00Z", "2026-10-01T00:00:00Z"},
		{"the hour that Paris has twice, then", "Europe/Paris", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T00:00:00Z", "2026-10-01T00:00:00Z"},
		{"a zone with half an hour", "Asia/Kolkata", "2026-11-20T12:15:00Z", "2026-11-20T12:00:00Z", "2026-11-20T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"the leap day", "Europe/Paris", "2028-02-29T23:30:00Z", "2028-02-29T23:00:00Z", "2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z"},
		{"before 1970", "UTC", "1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z", "1969-12-31T00:00:00Z", "1969-12-01T00:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339Nano, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			for period, want := range map[CapPeriod]string{CapHour: tt.hour, CapDay: tt.day, CapMonth: tt.month} {
				if got := period.Start(at.In(zone)); got.Format(time.RFC3339Nano) != want {
					t.Errorf("the %s begins at %s, want %s", period, got.Format(time.RFC3339Nano), want)
				}
				end := period.End(at.In(zone))
				if !end.After(at) || !period.Start(end).Equal(end) || !period.Start(end.Add(-1)).Equal(period.Start(at)) {
					t.Errorf("the %s ends at %s", period, end)
				}
			}
		})
	}
}
