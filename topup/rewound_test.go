package topup

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWhatAClockThatWasAheadLeaves: looks are as if set now and never over; what
// says when the request was sent stays.
func TestWhatAClockThatWasAheadLeaves(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	sent, tomorrow := now.Add(-time.Minute), now.Add(24*time.Hour)
	base := Purchase{State: Sent, SentAt: &sent, LastSentAt: &sent, PlannedAt: sent, QuietPeriod: 15 * time.Minute, PurchaseTimeout: time.Minute, LookStep: 4, Policy: PolicyRetry}
	for _, tt := range []struct {
		name  string
		spoil func(*Purchase)
		wrong bool
		look  time.Duration // until the next one
	}{
		{"nothing", func(p *Purchase) { at := now.Add(lookEvery); p.NextLookAt = &at }, false, lookEvery},
		{"a look a day away", func(p *Purchase) { p.NextLookAt = &tomorrow }, true, lookEvery},
		{"a look as far away as can be, and clocks disagree", func(p *Purchase) { at := now.Add(lookEvery + clocksAgree); p.NextLookAt = &at }, false, lookEvery + clocksAgree},
		{"a hair further", func(p *Purchase) { at := now.Add(lookEvery + clocksAgree + 1); p.NextLookAt = &at }, true, lookEvery},
		{"in review for days", func(p *Purchase) { p.State, p.LookStep, p.NextLookAt = NeedsReview, 99, &tomorrow }, true, time.Hour},
		{"credited and not paid for days", func(p *Purchase) { p.State, p.PlannedAt, p.NextLookAt = Credited, now.Add(-99*time.Hour), &tomorrow }, false, 24 * time.Hour},
		{"credited a moment ago", func(p *Purchase) { p.State, p.NextLookAt = Credited, &tomorrow }, true, 15 * time.Minute},
		{"planned", func(p *Purchase) { p.State, p.NextLookAt = Planned, &tomorrow }, true, PlannedLifetime},
		{"sent a day ahead: only its looks", func(p *Purchase) { p.SentAt, p.LastSentAt, p.NextLookAt = &tomorrow, &tomorrow, &tomorrow }, true, lookEvery},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := base
			tt.spoil(&p)
			c, wrong := Rewound(p, now)
			if wrong != tt.wrong || !c.Next.NextLookAt.Equal(now.Add(tt.look)) {
				t.Errorf("wrong %t, next look %s from now; want %t, %s", wrong, c.Next.NextLookAt.Sub(now), tt.wrong, tt.look)
			}
			if !c.Next.SentAt.Equal(*p.SentAt) || !c.Next.QuietUntil().Equal(p.QuietUntil()) {
				t.Errorf("sent %s, quiet until %s; was %s, %s", c.Next.SentAt, c.Next.QuietUntil(), p.SentAt, p.QuietUntil())
			}
			if again, wrong := Rewound(c.Next, now); wrong {
				t.Errorf("rewritten twice: %+v", again.Next)
			}
		})
	}
}

// TestRewindingNeverHurries: P4. Whatever lies ahead, rewinding makes no look
// due, no quiet period shorter and no two empty looks neighbours.
func TestRewindingNeverHurries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		at := func(name string) *time.Time {
			v := now.Add(time.Duration(rapid.IntRange(-48*60, 48*60).Draw(t, name)) * time.Minute)
			return &v
		}
		p := Purchase{
			State: rapid.SampledFrom([]State{Sent, Confirmed, NeedsReview, Credited}).Draw(t, "state"), Policy: PolicyRetry,
			SentAt: at("sent"), LastSentAt: at("last sent"), PlannedAt: *at("planned"), NextLookAt: at("look"),
			EmptyLookAt: at("empty look"), LookedAt: at("looked"), ConfirmedAt: at("confirmed"),
			EmptyLooks: 1, QuietPeriod: time.Duration(rapid.IntRange(1, 60).Draw(t, "quiet")) * time.Minute,
			LookStep: rapid.IntRange(0, 40).Draw(t, "step"),
		}
		c, wrong := Rewound(p, now)
		if !wrong {
			return
		}
		next := c.Next
		if next.NextLookAt.Before(*p.NextLookAt) && !next.NextLookAt.After(now) {
			t.Fatalf("a look is due that was not: %s", next.NextLookAt)
		}
		if !next.SentAt.Equal(*p.SentAt) || !next.LastSentAt.Equal(*p.LastSentAt) || next.EmptyLooks != p.EmptyLooks {
			t.Fatalf("what was sent when is another: %+v", next)
		}
		if p.EmptyLookAt.After(*next.EmptyLookAt) && next.EmptyLookAt.Before(now) {
			t.Fatalf("the first empty look is %s before now, and lay ahead", now.Sub(*next.EmptyLookAt))
		}
	})
}

// TestVisitsRewind now and then and when the database's clock has gone back, and
// never while it disagrees with ours.
func TestVisitsRewind(t *testing.T) {
	w := newWorld()
	r := w.reconciler()
	ours := w.now
	r.Purchaser.Clock = func() time.Time { return ours }
	for _, tt := range []struct {
		what        string
		pass, drift time.Duration
		want        int
	}{
		{"at first", 0, 0, 1},
		{"not again", time.Second, 0, 1},
		{"ten minutes later", 10 * time.Minute, 0, 2},
		{"the database is five minutes ahead", time.Second, 5 * time.Minute, 2},
		{"and still", time.Second, 5 * time.Minute, 2},
		{"and right again", time.Second, 0, 3},
		{"which is enough", time.Second, 0, 3},
		{"an hour behind", time.Second, -time.Hour, 3},
		{"and right again, or nearly", time.Second, time.Minute, 4},
	} {
		ours = ours.Add(tt.pass)
		w.now = ours.Add(tt.drift)
		if _, err := visited(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if w.ledger.rewinds != tt.want {
			t.Errorf("%s: %d rewinds, want %d", tt.what, w.ledger.rewinds, tt.want)
		}
	}
}
