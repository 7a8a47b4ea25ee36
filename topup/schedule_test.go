package topup

import (
	"testing"
	"time"
)

func TestLooksGetRarerForWhatIsNotSent(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	count := func(state State, hours int) (n int) {
		p := Purchase{State: state, QuietPeriod: 15 * time.Minute, LastSentAt: &start}
		now := start
		p.restartLooks(start, now)
		for p.NextLookAt.Sub(start) <= time.Duration(hours)*time.Hour {
			n++
			now = *p.NextLookAt
			p.scheduleLook(start, now)
		}
		return n
	}
	if n := count(Sent, 12); n < 140 {
		t.Errorf("a sent purchase is looked for %d times in 12 h, want every 5 minutes", n)
	}
	first, day := count(Confirmed, 1), count(Confirmed, 24)
	if first < 12 || first > 16 || day > 50 {
		t.Errorf("a confirmed purchase is asked for %d times in the first hour and %d in a day, want about 15 and under 50", first, day)
	}
}

func TestTheFirstLooksComeEarly(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := Purchase{State: Sent, QuietPeriod: 15 * time.Minute, LastSentAt: &start}
	now := start
	p.restartLooks(start, now)
	for _, want := range []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute, 7 * time.Minute} {
		if got := p.NextLookAt.Sub(start); got != want {
			t.Errorf("look after %s, want %s", got, want)
		}
		now = *p.NextLookAt
		p.scheduleLook(start, now)
	}
	p.QuietPeriod = 90 * time.Second // a tenth: so are the looks
	p.restartLooks(start, start)
	if got := p.NextLookAt.Sub(start); got != 500*time.Millisecond {
		t.Errorf("with a tenth of the quiet period the first look is after %s, want 500ms", got)
	}
}
