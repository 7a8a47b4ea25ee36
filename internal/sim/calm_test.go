package sim

import (
	"testing"
	"time"

	"topupd/clients/emulator"
)

// calmTime is a time in which nothing goes wrong: customers buy every few days,
// and ten times as often on the last day of each month, when they all bill
// their own customers.
func calmTime(days int) history {
	h := history{
		Seed: 42, Weather: calm, Replicas: 1, Targets: 16, Voices: 1, Length: time.Duration(days) * 24 * time.Hour,
		Poll: 2 * time.Minute, Cooldown: 5 * time.Minute, Usage: 900, UsageScale: 6, Cap: 10,
		ConnectionLife: time.Minute, ListLate: 20 * time.Second, KeyMemory: 24 * time.Hour,
		Retries: []time.Duration{2 * time.Hour, 12 * time.Hour, 24 * time.Hour},
		Profile: emulator.HyperlineProfile{SettleAfter: 72 * time.Hour, NativeRetry: time.Hour},
	}
	for month := began; month.Before(began.Add(h.Length)); month = month.AddDate(0, 1, 0) {
		last := time.Date(month.Year(), month.Month()+1, 1, 0, 0, 0, 0, time.UTC).Add(-24 * time.Hour)
		h.Events = append(h.Events, event{At: last.Sub(began), Kind: burst, For: 24 * time.Hour})
	}
	if days < 30 { // a short one has its rush too
		h.Events = []event{{At: h.Length / 3, Kind: burst, For: h.Length / 3}}
	}
	return h
}

// TestACalmTime: in a calm time with month-end rushes nobody is needed. Nothing
// needs review, nobody is held, every purchase is credited and no customer runs
// dry. -sim.days=365 makes it a year.
func TestACalmTime(t *testing.T) {
	began := time.Now()
	j := run(t, calmTime(*days), false)
	s := j.tally
	if len(j.breaches) > 0 {
		t.Errorf("promises broken: %v", j.breaches)
	}
	if s.hyperlineInReview+s.talkoverInReview+s.held+s.resolved > 0 {
		t.Errorf("a person was needed: %d and %d in review, %d held", s.hyperlineInReview, s.talkoverInReview, s.held)
	}
	if s.credited != s.planned || s.planned == 0 {
		t.Errorf("%d purchases, %d credited", s.planned, s.credited)
	}
	for _, c := range j.customers {
		if c.DrySeconds > 0 {
			t.Errorf("%s stood at zero for %.0f s", c.ID, c.DrySeconds)
		}
	}
	t.Logf("%d days: %d purchases, all credited, nobody needed, nobody dry, in %s", *days, s.planned, time.Since(began).Round(time.Second))
}
