package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"topupd/topup"
)

// VisitEvery is how often open purchases are asked for what is due.
const VisitEvery = time.Second

// Scheduler runs the watches of all provider connections, and periodic work.
type Scheduler struct {
	Watches []*Watch
	Log     *slog.Logger

	// Housekeeping runs every HousekeepingEvery; it keeps gauges current.
	Housekeeping      func(context.Context)
	HousekeepingEvery time.Duration

	Chores []Chore
}

// Chore is periodic work beside the watches. It never overlaps with itself, and
// its context ends when the scheduler stops, which waits for it.
type Chore struct {
	Every time.Duration // at least a second
	Run   func(context.Context)
}

// Run works until ctx ends, then waits for what is in flight: a purchase that
// has its permit is finished, nothing new is begun, and the leases are given
// up last.
func (s *Scheduler) Run(ctx context.Context) error {
	ticker, polls, err := s.cron(ctx)
	if err != nil {
		return err
	}
	for _, w := range s.Watches {
		w.holding.tick(ctx)
	}
	leases, stopLeases := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLeases()
	var parts, holdings sync.WaitGroup
	for i, w := range s.Watches {
		holdings.Go(func() { w.holding.run(leases) })
		parts.Go(func() { w.takeOver(ctx, polls[i]) })
		parts.Go(func() { w.wakes(ctx) })
		for range w.Workers {
			parts.Go(func() { w.work(ctx) })
		}
	}
	ticker.Start()
	<-ctx.Done()
	<-ticker.Stop().Done() // waits for running jobs; they see ctx
	parts.Wait()
	for _, w := range s.Watches {
		w.Visitor.Wait()
	}
	stopLeases()
	holdings.Wait()
	for _, w := range s.Watches {
		w.holding.release()
	}
	return nil
}

// takeOver polls at once when the lease is gained, at start too: the next tick
// of a long poll interval would leave customers unwatched until then.
func (w *Watch) takeOver(ctx context.Context, poll cron.Job) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.holding.gained:
			poll.Run()
		}
	}
}

// cron is robfig/cron as a ticker, fenced in against what it is known for:
// only constant delays (its calendar specs miss or double runs at clock
// changes), a job that is still running is skipped, and a panic inside a job is
// recovered inside the skip, because the other way round a job never ran again
// after its first panic (github.com/robfig/cron/issues/366, read 2026-11-20).
// The polls are returned too, in the order of the watches, to be run between
// the ticks as well.
func (s *Scheduler) cron(ctx context.Context) (*cron.Cron, []cron.Job, error) {
	log := cronLog{s.Log}
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(log))
	fence := cron.NewChain(cron.SkipIfStillRunning(cron.DiscardLogger), cron.Recover(log))
	var errs []error
	add := func(every time.Duration, job func(context.Context)) cron.Job {
		if every < time.Second {
			errs = append(errs, fmt.Errorf("an interval of %s is shorter than cron's second", every))
		}
		fenced := fence.Then(cron.FuncJob(func() {
			if ctx.Err() == nil {
				job(ctx)
			}
		}))
		c.Schedule(cron.Every(every), fenced)
		return fenced
	}
	var polls []cron.Job
	for _, w := range s.Watches {
		polls = append(polls, add(w.PollEvery, w.poll))
		add(VisitEvery, w.visit)
	}
	if s.Housekeeping != nil {
		add(s.HousekeepingEvery, s.Housekeeping)
	}
	for _, chore := range s.Chores {
		add(chore.Every, chore.Run)
	}
	return c, polls, errors.Join(errs...)
}

// cronLog gives cron's own words to slog; its chatter is dropped.
type cronLog struct{ log *slog.Logger }

func (l cronLog) Info(string, ...any) {}

func (l cronLog) Error(err error, msg string, _ ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelError, "scheduler", slog.String("job", msg), slog.Any("err", err))
}

// Stale tells at which connections that this process works on no poll has gone
// on, or ended well or badly, for longer than allowed: the watchdog outside cron. A
// provider or a database that is away is not stale; a restart would not help.
func (s *Scheduler) Stale(now time.Time, allowed func(*Watch) time.Duration, since time.Time) []string {
	var names []string
	for _, w := range s.Watches {
		last := laterOf(w.lastActive(), since)
		if w.Held() && now.Sub(last) > allowed(w) {
			names = append(names, w.Name)
		}
	}
	return names
}

// ErrLeaseElsewhere tells that another process works on a connection.
var ErrLeaseElsewhere = errors.New("another process holds the lease")

// Once reconciles, polls, reads the low ones again and buys, for users who
// bring their own cron. It returns when nothing more can be done now.
func (s *Scheduler) Once(ctx context.Context) error {
	var errs []error
	for _, w := range s.Watches {
		errs = append(errs, w.once(ctx))
	}
	return errors.Join(errs...)
}

func (w *Watch) once(ctx context.Context) error {
	w.holding.tick(ctx)
	switch _, held := w.holding.current(); {
	case w.holding.standsBy():
		return fmt.Errorf("%s: %w", w.Name, ErrLeaseElsewhere)
	case !held:
		return fmt.Errorf("%s: the ledger did not say whether the lease is free; the log has its error", w.Name)
	}
	renew, stop := context.WithCancel(ctx)
	var holding sync.WaitGroup
	holding.Go(func() { w.holding.run(renew) })
	defer func() {
		w.Visitor.Wait() // a repeat under way needs its lease, and this process
		stop()
		holding.Wait()
		w.holding.release()
	}()
	w.visit(ctx)
	w.Visitor.Wait() // what it settles, the poll may buy for
	w.poll(ctx)
	for w.amidBooks() && ctx.Err() == nil {
		w.poll(ctx)
	}
	if w.LastPoll().IsZero() {
		return fmt.Errorf("%s: no balance could be read", w.Name)
	}
	w.ask(ctx)
	w.drain(ctx)
	w.visit(ctx)
	return ctx.Err()
}

// drain checks every low target once.
func (w *Watch) drain(ctx context.Context) {
	checked := map[topup.Target]bool{}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range w.Workers {
		workers.Go(func() {
			for ctx.Err() == nil {
				turn, ok, wait := w.queue.take(w.Now())
				if !ok && wait == 0 {
					return
				}
				if !ok {
					if !w.idle(ctx, wait) {
						return
					}
					continue
				}
				mu.Lock()
				again := checked[turn.target]
				checked[turn.target] = true
				mu.Unlock()
				if !again {
					w.check(ctx, turn)
				}
				w.queue.done(turn.target)
			}
		})
	}
	workers.Wait()
}
