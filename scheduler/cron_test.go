package scheduler

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"
)

func TestAPanickingJobKeepsFiring(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		w.polling = func(context.Context) {
			if n := len(w.polled(w.start)); n <= 3 {
				panic("a page without rows")
			}
		}
		p := w.run(t, "a")
		after(30 * time.Second)
		want := []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second, 20 * time.Second, 25 * time.Second, 30 * time.Second}
		if diff := cmp.Diff(want, w.polled(w.start)); diff != "" {
			t.Errorf("polls (-want +got):\n%s", diff)
		}
		if said := p.journal.find("scheduler", nil); len(said) != 3 || said[0].level != slog.LevelError || said[0].fields["err"] != "a page without rows" {
			t.Errorf("each panic is an error line: %+v", said)
		}
		if len(w.charged()) != 1 {
			t.Errorf("charged %v after the panics", w.charged())
		}
	})
}

// A panic while decisions are made must not leave the memory locked for ever.
func TestAPanicInTheMiddleOfAPictureIsSurvived(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.balance("cus", 50)
		p := w.process("a")
		p.Observer = &touchy{board: p.board}
		p.begin(t)
		after(20 * time.Second)
		if len(w.charged()) != 1 || p.LastPoll().IsZero() {
			t.Errorf("charged %v, last poll %s", w.charged(), p.LastPoll())
		}
	})
}

// touchy panics once.
type touchy struct {
	*board
	done atomic.Bool
}

func (o *touchy) Targets(provider string, now time.Time, states []TargetState) {
	if o.done.CompareAndSwap(false, true) {
		panic("a label that is not UTF-8")
	}
	o.board.Targets(provider, now, states)
}

func TestAJobThatOverrunsIsSkippedNotOverlapped(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var running, most atomic.Int32
		w.polling = func(context.Context) {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(12 * time.Second)
			running.Add(-1)
		}
		w.run(t, "a")
		after(time.Minute)
		want := []time.Duration{0, 15 * time.Second, 30 * time.Second, 45 * time.Second, 60 * time.Second}
		if diff := cmp.Diff(want, w.polled(w.start)); diff != "" || most.Load() != 1 {
			t.Errorf("%d polls at once, at (-want +got):\n%s", most.Load(), diff)
		}
		after(20 * time.Second)
	})
}

func TestASlowPollDoesNotHoldUpVisits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.polling = func(context.Context) { time.Sleep(30 * time.Second) }
		p := w.run(t, "a")
		after(20 * time.Second)
		if n := p.Visitor.(*visits).count(); n != 20 {
			t.Errorf("%d visits in 20 s", n)
		}
		after(time.Minute)
	})
}

func TestIntervalsBelowCronsSecondAreRefused(t *testing.T) {
	for _, every := range []time.Duration{time.Second - 1, 0, -5 * time.Second} {
		inWorld(t, func(t *testing.T, w *world) {
			p := w.process("a", func(o *Options) { o.PollEvery = every })
			err := p.scheduler.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "shorter than cron's second") {
				t.Errorf("Run() with %s = %v", every, err)
			}
			if w.ledger.holder != "" {
				t.Error("the lease is kept by a process that does not run")
			}
		})
	}
}

func TestHousekeepingRuns(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var n atomic.Int32
		p := w.process("a")
		p.scheduler.Housekeeping, p.scheduler.HousekeepingEvery = func(context.Context) { n.Add(1) }, 15*time.Second
		p.begin(t)
		after(time.Minute)
		if n.Load() != 4 {
			t.Errorf("%d times in a minute, want 4", n.Load())
		}
		p.end(t)
		after(time.Minute)
		if n.Load() != 4 {
			t.Error("still runs after the end")
		}
	})
}

func TestChoresRunBesideTheWatchesAndNeverTwiceAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var begun, ended, most atomic.Int32
		p := w.process("a")
		p.scheduler.Chores = []Chore{{Every: 10 * time.Second, Run: func(ctx context.Context) {
			most.Store(max(most.Load(), begun.Add(1)-ended.Load()))
			select {
			case <-ctx.Done():
			case <-time.After(25 * time.Second):
			}
			ended.Add(1)
		}}}
		p.begin(t)
		after(75 * time.Second)
		if begun.Load() != 3 || ended.Load() != 2 || most.Load() != 1 {
			t.Errorf("begun %d, ended %d, %d at once; want 3, 2 and 1", begun.Load(), ended.Load(), most.Load())
		}
		if len(w.polled(w.start)) < 12 {
			t.Error("a long chore holds up the polls")
		}
		p.end(t)
		if ended.Load() != 3 {
			t.Error("the scheduler ended before its chore")
		}
	})
}

// TestIntervalsKnowNoSummerTime: @every counts time that passes. Around every
// change of the clocks, leap day and turn of the year, in any zone, there is
// neither a gap nor a burst.
func TestIntervalsKnowNoSummerTime(t *testing.T) {
	for _, tt := range []struct{ name, zone, around string }{
		{"Paris springs forward", "Europe/Paris", "2026-03-29T01:00:00Z"},
		{"Paris falls back", "Europe/Paris", "2026-10-25T01:00:00Z"},
		{"New York springs forward", "America/New_York", "2026-03-08T07:00:00Z"},
		{"New York falls back", "America/New_York", "2026-11-01T06:00:00Z"},
		{"half an hour of Lord Howe", "Australia/Lord_Howe", "2026-04-04T15:00:00Z"},
		{"midnight that does not exist in Beirut", "Asia/Beirut", "2026-03-28T22:00:00Z"},
		{"a day that Samoa left out", "Pacific/Apia", "2011-12-30T10:00:00Z"},
		{"into the leap day", "UTC", "2028-02-29T00:00:00Z"},
		{"out of the leap day", "Europe/Paris", "2028-02-29T23:00:00Z"},
		{"a February without one", "America/New_York", "2027-03-01T05:00:00Z"},
		{"the turn of the year", "UTC", "2027-01-01T00:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			around, err := time.Parse(time.RFC3339, tt.around)
			if err != nil {
				t.Fatal(err)
			}
			for _, every := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Minute, 24 * time.Hour} {
				schedule := cron.Every(every)
				for at := around.Add(-2 * every).In(zone); at.Before(around.Add(2 * every)); {
					next := schedule.Next(at)
					if got := next.Sub(at); got != every {
						t.Fatalf("every %s: after %s comes %s, %s later", every, at, next, got)
					}
					at = next
				}
			}
		})
	}
}
