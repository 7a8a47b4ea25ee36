package rules

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhen(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		moment, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	newYear := at("2027-01-01T00:00:00+01:00")
	for _, tt := range []struct {
		name   string
		expiry Expiry
		now    string
		want   string // "" is never
	}{
		{"never", Expiry{}, "2026-11-20T12:00:00Z", ""},
		{"after ninety days, cut to the second", Expiry{After: 90 * 24 * time.Hour}, "2026-11-20T12:00:00.9Z", "2027-02-18T12:00:00Z"},
		{"at a moment, in UTC", Expiry{At: &newYear}, "2026-11-20T12:00:00Z", "2026-12-31T23:00:00Z"},
		{"end of the month in UTC", Expiry{EndOfMonth: true, Timezone: "UTC"}, "2026-11-20T12:00:00Z", "2026-11-30T23:59:59Z"},
		{"in Paris it ends an hour earlier", Expiry{EndOfMonth: true, Timezone: "Europe/Paris"}, "2026-11-20T12:00:00Z", "2026-11-30T22:59:59Z"},
		{"and two in summer", Expiry{EndOfMonth: true, Timezone: "Europe/Paris"}, "2026-07-20T12:00:00Z", "2026-07-31T21:59:59Z"},
		{"the month is that of the time zone", Expiry{EndOfMonth: true, Timezone: "Europe/Paris"}, "2026-11-30T23:30:00Z", "2026-12-31T22:59:59Z"},
		{"the clocks change on the last day", Expiry{EndOfMonth: true, Timezone: "Europe/Paris"}, "2027-10-31T00:30:00Z", "2027-10-31T22:59:59Z"},
		{"February in a leap year", Expiry{EndOfMonth: true}, "2028-02-10T00:00:00Z", "2028-02-29T23:59:59Z"},
		{"a month that is over in 11 seconds is passed over", Expiry{EndOfMonth: true, AtLeast: 7 * 24 * time.Hour}, "2026-11-30T23:59:48Z", "2026-12-31T23:59:59Z"},
		{"in the zone of the rule", Expiry{EndOfMonth: true, Timezone: "Europe/Paris", AtLeast: 7 * 24 * time.Hour}, "2026-11-30T22:59:48Z", "2026-12-31T22:59:59Z"},
		{"seven days are enough", Expiry{EndOfMonth: true, AtLeast: 7 * 24 * time.Hour}, "2026-11-23T23:59:59Z", "2026-11-30T23:59:59Z"},
		{"a nanosecond less is not", Expiry{EndOfMonth: true, AtLeast: 7 * 24 * time.Hour}, "2026-11-23T23:59:59.000000001Z", "2026-12-31T23:59:59Z"},
		{"a life of forty days passes over two months", Expiry{EndOfMonth: true, AtLeast: 40 * 24 * time.Hour}, "2026-01-31T00:00:00Z", "2026-03-31T23:59:59Z"},
		{"December", Expiry{EndOfMonth: true}, "2026-12-31T23:59:59Z", "2026-12-31T23:59:59Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.expiry.When(at(tt.now))
			switch {
			case tt.want == "" && got != nil:
				t.Errorf("When() = %v, want never", got)
			case tt.want != "" && (got == nil || got.Format(time.RFC3339Nano) != tt.want):
				t.Errorf("When() = %v, want %s", got, tt.want)
			}
		})
	}
}

func TestTheEndOfAMonthIsInTheMonthEverywhere(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Amman", "America/Asuncion", "Pacific/Apia", "Asia/Kathmandu"}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		now := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "now"), 0)
		e := Expiry{EndOfMonth: true, Timezone: zone}
		end := e.When(now).In(e.location())
		local := now.In(e.location())
		if end.Month() != local.Month() || end.Year() != local.Year() {
			t.Fatalf("%s: the month of %v ends at %v", zone, local, end)
		}
		if next := end.Add(time.Second); next.Month() == local.Month() {
			t.Fatalf("%s: %v is not the last second of its month", zone, end)
		}
	})
}

func TestCreditsLiveAtLeastAsLongAsTheRuleSays(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Paris", "America/Sao_Paulo", "Asia/Amman", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "now"), 0)
		e := Expiry{EndOfMonth: true, Timezone: rapid.SampledFrom(zones).Draw(t, "zone"), AtLeast: time.Duration(rapid.Int64Range(0, int64(366*24*time.Hour)).Draw(t, "at_least"))}
		end := e.When(now)
		if life := end.Sub(now); life < e.AtLeast || life > e.AtLeast+32*24*time.Hour {
			t.Fatalf("credits bought at %v end at %v: they live %s, want %s to a month longer", now, end, life, e.AtLeast)
		}
		if next := end.In(e.location()).Add(time.Second); next.Month() == end.In(e.location()).Month() {
			t.Fatalf("%v is not the last second of its month", end)
		}
	})
}

func TestPast(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC)
	e := Expiry{At: &at}
	if e.Past(at.Add(-1)) || !e.Past(at) || (Expiry{After: time.Hour}).Past(at) {
		t.Error("a moment is past from itself on, and nothing else ever is")
	}
}
