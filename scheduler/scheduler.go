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
}

// Run works until ctx ends, then waits for what is in flight: a purchase that
// has its permit is finished, nothing new is begun, and the leases are given
// up last.
func (s *Scheduler) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for _, w := range s.Watches {
		w.holding.tick(ctx)
	}
	ticker, err := s.cron(ctx)
	if err != nil {
		return err
	}
	leases, stopLeases := context.WithCancel(context.WithoutCancel(ctx))
	var holdings sync.WaitGroup
	for _, w := range s.Watches {
		holdings.Go(func() { w.holding.run(leases) })
		for range w.Workers {
			parts.Go(func() { w.work(ctx) })
		}
	}
	ticker.Start()
	<-ctx.Done()
	<-ticker.Stop().Done() // waits for running jobs; they see ctx
	parts.Wait()
	stopLeases()
	holdings.Wait()
	for _, w := range s.Watches {
		w.holding.release()
	}
	return nil
}

// cron is robfig/cron as a ticker, fenced in against what it is known for:
// only constant delays (its calendar specs miss or double runs at clock
// changes), a job that is still running is skipped, and a panic inside a job is
// recovered inside the skip, because the other way round a job never ran again
// after its first panic (github.com/robfig/cron/issues/366, read 2026-11-20).
func (s *Scheduler) cron(ctx context.Context) (*cron.Cron, error) {
	log := cronLog{s.Log}
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(log), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger), cron.Recover(log)))
	add := func(every time.Duration, job func(context.Context)) error {
		if every < time.Second {
			return fmt.Errorf("an interval of %s is shorter than cron's second", every)
		}
		c.Schedule(cron.Every(every), cron.FuncJob(func() {
			if ctx.Err() == nil {
				job(ctx)
			}
		}))
		return nil
	}
	var errs []error
	for _, w := range s.Watches {
		errs = append(errs, add(w.SweepEvery, w.sweep), add(VisitEvery, w.visit))
	}
	if s.Housekeeping != nil {
		errs = append(errs, add(s.HousekeepingEvery, s.Housekeeping))
	}
	return c, errors.Join(errs...)
}

// cronLog gives cron's own words to slog; its chatter is dropped.
type cronLog struct{ log *slog.Logger }

func (l cronLog) Info(string, ...any) {}

func (l cronLog) Error(err error, msg string, _ ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelError, "scheduler", slog.String("job", msg), slog.Any("err", err))
}

// Stale tells which connections that this process works on have had no sweep
// for longer than allowed: the watchdog outside cron.
func (s *Scheduler) Stale(now time.Time, allowed func(*Watch) time.Duration, since time.Time) []string {
	var names []string
	for _, w := range s.Watches {
		last := w.LastSweep()
		if last.Before(since) {
			last = since
		}
		if w.Held() && now.Sub(last) > allowed(w) {
			names = append(names, w.Name)
		}
	}
	return names
}

// ErrLeaseElsewhere: another process works on a connection.
var ErrLeaseElsewhere = errors.New("another process holds the lease")

// Once reconciles, sweeps, reads the low ones again and buys, for users who
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
	if _, held := w.holding.current(); !held {
		return fmt.Errorf("%s: %w", w.Name, ErrLeaseElsewhere)
	}
	renew, stop := context.WithCancel(ctx)
	var holding sync.WaitGroup
	holding.Go(func() { w.holding.run(renew) })
	defer func() {
		stop()
		holding.Wait()
		w.holding.release()
	}()
	w.visit(ctx)
	w.sweep(ctx)
	if w.LastSweep().IsZero() {
		return fmt.Errorf("%s: no balance could be read", w.Name)
	}
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
				target, ok, wait := w.queue.take(w.Now())
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
				again := checked[target]
				checked[target] = true
				mu.Unlock()
				if !again {
					w.check(ctx, target)
				}
				w.queue.done(target)
			}
		})
	}
	workers.Wait()
}
