package rules_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"topupd/rules"
	"topupd/topup"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// used is a target that was watched for a while, using so many credits an hour,
// and has balance left at noon.
func used(perHour, balance topup.Credits, watched time.Duration) rules.Trusted {
	const every = 10 * time.Second
	spent := func(d time.Duration) topup.Credits {
		return topup.Credits(float64(perHour*topup.Credit) * d.Hours())
	}
	t := rules.Trusted{}
	for left := watched; left >= 0; left -= every {
		t = t.Next(topup.Reading{Balance: balance*topup.Credit + spent(left), ReadAt: noon.Add(-left)}, false)
	}
	return t
}

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted rules.Trusted
		elapsed time.Duration
		known   bool
		uses    float64 // credits, within a hundredth
	}{
		{"nobody looked", rules.Trusted{}, time.Hour, false, 0},
		{"half a minute tells nothing", used(60, 500, 30*time.Second), time.Hour, false, 0},
		{"a minute does", used(60, 500, time.Minute), time.Hour, true, 180},
		{"an hour", used(60, 500, time.Hour), 10 * time.Minute, true, 30},
		{"nothing was used", used(0, 500, time.Hour), time.Hour, true, 0},
		{"no time", used(60, 500, time.Hour), 0, true, 0},
		{"a clock that went back", used(60, 500, time.Hour), -time.Hour, true, 0},
		{"as long as there are clocks", used(1_000_000_000, 500, time.Hour), 100 * 365 * 24 * time.Hour, true, math.MaxInt64 / 2 / 1e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.trusted.Pace
			got := float64(p.Uses(tt.elapsed)) / float64(topup.Credit)
			if p.Known() != tt.known || math.Abs(got-tt.uses) > tt.uses/100 {
				t.Errorf("known %t, may use %.2f in %s, want %t, %.2f", p.Known(), got, tt.elapsed, tt.known, tt.uses)
			}
		})
	}
}

// TestPaceRemembersOfficeHours: an outage on Monday morning is judged by how much
// is used in office hours, though nothing was on Sunday.
func TestPaceRemembersOfficeHours(t *testing.T) {
	friday := used(100, 0, 8*time.Hour)
	quiet := friday
	for at := time.Minute; at <= 64*time.Hour; at += time.Minute {
		quiet = quiet.Next(topup.Reading{Balance: 0, ReadAt: noon.Add(at)}, false)
	}
	got := float64(quiet.Pace.Uses(time.Hour)) / float64(topup.Credit)
	if got < 200 || got > 300 {
		t.Errorf("may use %.1f in an hour after a weekend, want most of 300", got)
	}
	if quiet.Pace.Hourly > 1 {
		t.Errorf("used %.1f in the last hour, want nothing", quiet.Pace.Hourly)
	}
}

// TestPaceIsLearntFromUseAlone: a purchase hides what was used, and what was
// doubted is no use.
func TestPaceIsLearntFromUseAlone(t *testing.T) {
	before := used(60, 500, time.Hour)
	rose := before.Next(topup.Reading{Balance: 900 * topup.Credit, ReadAt: noon.Add(time.Minute)}, false)
	if rose.Pace != before.Pace || rose.Balance != 900*topup.Credit {
		t.Errorf("after a rise: %+v", rose)
	}
	back := before.Next(topup.Reading{Balance: 0, ReadAt: noon.Add(time.Minute)}, true)
	if back.Pace != before.Pace || back.Balance != 0 {
		t.Errorf("after a doubt: %+v", back)
	}
	text, err := json.Marshal(before)
	var kept rules.Trusted
	if err != nil || json.Unmarshal(text, &kept) != nil || kept != before {
		t.Errorf("%s is read back as %+v", text, kept)
	}
}

func TestJudge(t *testing.T) {
	const closely = 20 * time.Second
	zero := func(after time.Duration) topup.Reading { return topup.Reading{ReadAt: noon.Add(after)} }
	bad := func(after time.Duration) topup.Reading {
		return topup.Reading{ReadAt: noon.Add(after), Bad: "null"}
	}
	for _, tt := range []struct {
		name     string
		trusted  rules.Trusted
		reading  topup.Reading
		expiring topup.Credits
		want     rules.Verdict
	}{
		{"seen for the first time", rules.Trusted{}, zero(0), 0, rules.Steady},
		{"unreadable, and never seen", rules.Trusted{}, bad(0), 0, rules.Steady},
		{"not empty", used(60, 500, time.Hour), topup.Reading{Balance: 1, ReadAt: noon.Add(time.Second)}, 0, rules.Steady},
		{"a debt is no zero", used(60, 500, time.Hour), topup.Reading{Balance: -1, ReadAt: noon.Add(time.Second)}, 0, rules.Steady},
		{"zero before", used(60, 0, time.Hour), zero(10 * time.Second), 0, rules.Steady},
		{"a debt that is gone", used(60, -5, time.Hour), zero(10 * time.Second), 0, rules.Beside},

		{"500 in ten seconds", used(60, 500, time.Hour), zero(10 * time.Second), 0, rules.Suspect},
		{"the last half credit in ten seconds", used(60, 0, time.Hour).Next(topup.Reading{Balance: topup.Credit / 2, ReadAt: noon}, true), zero(10 * time.Second), 0, rules.Beside},
		{"500 in twelve minutes", used(60, 500, time.Hour), zero(12 * time.Minute), 0, rules.Suspect},
		{"36 in twelve minutes", used(60, 36, time.Hour), zero(12 * time.Minute), 0, rules.Plausible},
		{"37 in twelve minutes", used(60, 37, time.Hour), zero(12 * time.Minute), 0, rules.Suspect},
		{"150 in 53 minutes", used(60, 150, time.Hour), zero(53 * time.Minute), 0, rules.Plausible},
		{"150 in 53 minutes, watched for a minute before", used(60, 150, time.Minute), zero(53 * time.Minute), 0, rules.Plausible},
		{"nobody knows the pace", used(60, 1, 30*time.Second), zero(53 * time.Minute), 0, rules.Suspect},
		{"somebody who uses nothing", used(0, 1, time.Hour), zero(2 * time.Hour), 0, rules.Suspect},
		{"exactly as long ago as looked at", used(60, 0, time.Hour).Next(topup.Reading{Balance: topup.Credit / 2, ReadAt: noon}, true), zero(closely), 0, rules.Beside},
		{"a clock that went back", used(60, 1, time.Hour), zero(-time.Hour), 0, rules.Suspect},

		{"everything expired", used(60, 120, time.Hour), zero(10 * time.Second), 120 * topup.Credit, rules.Plausible},
		{"more was there than expired", used(60, 121, time.Hour), zero(10 * time.Second), 120 * topup.Credit, rules.Suspect},
		{"the rest may have been used", used(60, 130, time.Hour), zero(4 * time.Minute), 120 * topup.Credit, rules.Plausible},
		{"expired, and nobody knows the pace", used(60, 120, 0), zero(10 * time.Second), 120 * topup.Credit, rules.Plausible},

		{"unreadable", used(60, 500, time.Hour), bad(10 * time.Second), 0, rules.Suspect},
		{"unreadable after two hours", used(60, 1, time.Hour), bad(2 * time.Hour), 0, rules.Suspect},
		{"unreadable, and zero before", used(60, 0, time.Hour), bad(10 * time.Second), 0, rules.Beside},
		{"no expiry makes a balance unreadable", used(60, 120, time.Hour), bad(time.Minute), 120 * topup.Credit, rules.Suspect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := rules.Judge(tt.trusted, tt.reading, tt.expiring, closely); got != tt.want {
				t.Errorf("Judge() = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	end := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	listed := rules.Ended([]topup.Expiry{{Credits: 120 * topup.Credit, At: end.Truncate(24 * time.Hour), DateOnly: true}})
	row := rules.Ended([]topup.Expiry{{Credits: 120 * topup.Credit, At: end.Truncate(24 * time.Hour)}})
	ordered := rules.ExpiresAt(120*topup.Credit, end)
	for _, tt := range []struct {
		name     string
		list     []rules.Expiring
		from, to time.Time
		want     topup.Credits
	}{
		{"nothing expires", nil, end.Add(-time.Hour), end.Add(time.Hour), 0},
		{"in the time between", []rules.Expiring{ordered}, end.Add(-5 * time.Second), end.Add(5 * time.Second), 120},
		{"the provider's clock is ahead", []rules.Expiring{ordered}, end.Add(-4 * time.Minute), end.Add(-3 * time.Minute), 120},
		{"shown an hour late", []rules.Expiring{ordered}, end.Add(time.Hour), end.Add(time.Hour + time.Minute), 120},
		{"three hours late", []rules.Expiring{ordered}, end.Add(3 * time.Hour), end.Add(4 * time.Hour), 0},
		{"an hour early", []rules.Expiring{ordered}, end.Add(-2 * time.Hour), end.Add(-time.Hour), 0},
		{"the date alone was kept", []rules.Expiring{ordered}, end.Add(-24 * time.Hour), end.Add(-23*time.Hour - 50*time.Minute), 120},
		{"during an outage", []rules.Expiring{ordered}, end.Add(-time.Hour), end.Add(time.Hour), 120},
		{"two packs", []rules.Expiring{ordered, ordered}, end.Add(-time.Minute), end.Add(time.Minute), 240},
		{"one of two", []rules.Expiring{ordered, rules.ExpiresAt(60*topup.Credit, end.AddDate(0, 1, 0))}, end.Add(-time.Minute), end.Add(time.Minute), 120},
		{"listed for the day, at its end", listed, end, end.Add(time.Minute), 120},
		{"listed for the day, at its beginning", listed, end.Add(-24 * time.Hour), end.Add(-23 * time.Hour), 120},
		{"listed for the day, in the middle of it", listed, end.Add(-12 * time.Hour), end.Add(-11 * time.Hour), 0},
		{"a row that says that it ended", row, end.Add(-24 * time.Hour), end.Add(-23 * time.Hour), 120},
		{"a row of the day before", row, end, end.Add(time.Minute), 0},
		{"no more than there can be", []rules.Expiring{rules.ExpiresAt(topup.MaxCredits, end), rules.ExpiresAt(topup.MaxCredits, end)}, end, end, topup.MaxCredits / topup.Credit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (rules.Trusted{ReadAt: tt.from}).Expired(tt.list, tt.to); got != tt.want*topup.Credit {
				t.Errorf("Expired() = %s, want %d", got, tt.want)
			}
		})
	}
}

// TestNoCreditsExpireTwice: what was seen to go, and what is more than was left
// before others were added, explains no zero in the hours that a provider may take.
func TestNoCreditsExpireTwice(t *testing.T) {
	end := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	pack := rules.ExpiresAt(600*topup.Credit, end)
	row := rules.Ended([]topup.Expiry{{Credits: 600 * topup.Credit, At: end.Add(20 * time.Minute)}})
	at := func(d time.Duration) time.Time { return end.Add(d) }
	for _, tt := range []struct {
		name   string
		low    topup.Credits
		lowAt  time.Time
		shedAt time.Time
		list   []rules.Expiring
		to     time.Time
		want   topup.Credits
	}{
		{"never seen to go", 0, time.Time{}, time.Time{}, []rules.Expiring{pack}, at(time.Hour), 600},
		{"bought after it had ended, with nothing left", 0, at(10 * time.Second), time.Time{}, []rules.Expiring{pack}, at(time.Hour), 0},
		{"bought after it had ended, with some left", 90, at(10 * time.Second), time.Time{}, []rules.Expiring{pack}, at(time.Hour), 90},
		{"the same for two packs", 90, at(10 * time.Second), time.Time{}, []rules.Expiring{pack, pack}, at(time.Hour), 90},
		{"in debt then", -20, at(10 * time.Second), time.Time{}, []rules.Expiring{pack}, at(time.Hour), 0},
		{"bought before it ended", 0, at(-6 * time.Minute), time.Time{}, []rules.Expiring{pack}, at(time.Hour), 600},
		{"seen to go", 0, time.Time{}, at(10 * time.Second), []rules.Expiring{pack}, at(time.Hour), 0},
		{"seen to go by the date", 0, time.Time{}, at(time.Minute - 24*time.Hour), []rules.Expiring{pack}, at(time.Hour), 0},
		{"a fall at noon was something else", 0, time.Time{}, at(-12 * time.Hour), []rules.Expiring{pack}, at(time.Hour), 600},
		{"a second end, by the provider's row", 0, time.Time{}, at(10 * time.Second), row, at(time.Hour), 600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trusted := rules.Trusted{Balance: 500 * topup.Credit, ReadAt: tt.to.Add(-30 * time.Second), Low: tt.low * topup.Credit, LowAt: tt.lowAt, ShedAt: tt.shedAt}
			if got := trusted.Expired(tt.list, tt.to); got != tt.want*topup.Credit {
				t.Errorf("Expired() = %s, want %d", got, tt.want)
			}
		})
	}
}

// TestRisesAndFallsAreRemembered: what was left before the newest rise, and when
// more went than use explains.
func TestRisesAndFallsAreRemembered(t *testing.T) {
	begin := time.Date(2026, 11, 30, 23, 50, 0, 0, time.UTC)
	trusted, n := rules.Trusted{}, 0
	reads := func(balance int64) time.Time {
		n++
		at := begin.Add(time.Duration(n) * 30 * time.Second)
		trusted = trusted.Next(topup.Reading{Balance: topup.Credits(balance) * topup.Credit, ReadAt: at}, false)
		return at
	}
	for _, balance := range []int64{500, 498, 496, 494, 492} {
		reads(balance)
	}
	if !trusted.LowAt.IsZero() || !trusted.ShedAt.IsZero() {
		t.Errorf("steady use: low at %v, shed at %v", trusted.LowAt, trusted.ShedAt)
	}
	ended := reads(0)
	reads(600)
	reads(598)
	if trusted.Low != 0 || !trusted.LowAt.Equal(ended) || !trusted.ShedAt.Equal(ended) {
		t.Errorf("after an end and a purchase: low %s at %v, shed at %v; want 0 and %v", trusted.Low, trusted.LowAt, trusted.ShedAt, ended)
	}
	before := reads(596)
	reads(1100)
	if trusted.Low != 596*topup.Credit || !trusted.LowAt.Equal(before) || !trusted.ShedAt.Equal(ended) {
		t.Errorf("after another rise: low %s at %v, shed at %v", trusted.Low, trusted.LowAt, trusted.ShedAt)
	}
}
