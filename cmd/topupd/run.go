package main

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"topupd/scheduler"
	"topupd/topup"
)

// runCmd is the daemon.
type runCmd struct {
	Once bool `help:"Reconcile, sweep once, buy what is due, and exit: for users who bring their own cron. Exits 1 if another process holds the lease, 3 if something needs a person."`
}

func (*runCmd) Help() string {
	return `Runs until SIGTERM or Ctrl-C. A purchase that was sent is finished first.
SIGHUP, or POST /-/reload, reads the rules again; a broken reload keeps the old ones.

Examples:
  topupd run --config /etc/topupd/topupd.yml
  topupd run --once`
}

func (c *runCmd) Run(a *app) error {
	loaded, err := a.load()
	if err != nil {
		return err
	}
	// A log whose reader has gone is no reason to end: sink counts what it loses.
	signal.Ignore(syscall.SIGPIPE)
	log, lines := newLogger(a, loaded.cfg.Log)
	defer lines.close()
	d, err := newDaemon(a, loaded, daemonOptions{log: log, logDropped: lines.dropped})
	if err != nil && a.ctx.Err() != nil && !c.Once {
		return nil // told to stop while it waited for the database
	}
	if err != nil {
		return err
	}
	defer d.close()
	if c.Once {
		return c.once(a, d)
	}
	return d.run(a.ctx)
}

func (c *runCmd) once(a *app, d *daemon) error {
	d.examine(a.ctx)
	err := d.scheduler.Once(a.ctx)
	d.housekeeping(a.ctx)
	if errors.Is(err, scheduler.ErrLeaseElsewhere) {
		return fmt.Errorf("%w; nothing was done for it, the other process works on it", err)
	}
	if err != nil {
		return err
	}
	if err := d.store.Fit(); err != nil {
		return err
	}
	counts, err := d.store.OpenCounts(a.ctx)
	if err != nil {
		return err
	}
	for _, count := range counts {
		if count.State == topup.Parked && count.Count > 0 {
			return &exitError{code: exitPerson, err: errors.New("parked purchases need a person: topupd purchases list --state parked")}
		}
	}
	return nil
}
