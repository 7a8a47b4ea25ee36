package main

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"topupd/internal/daemon"
	"topupd/scheduler"
)

// runCmd is the daemon.
type runCmd struct {
	Once bool `help:"Reconcile, poll once, buy what is due, and exit: for users who bring their own cron. Exits 1 if another process holds the lease, 3 if something needs a person."`
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
	log, lines := daemon.NewLogger(a.Err, loaded.Config.Log, a.now)
	defer lines.Close()
	d, err := a.daemon(loaded, daemon.Options{Log: log, LogDropped: lines.Dropped})
	if err != nil && a.ctx.Err() != nil && !c.Once {
		return nil // told to stop while it waited for the database
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if c.Once {
		return c.once(a, d)
	}
	return d.Run(a.ctx)
}

func (*runCmd) once(a *app, d *daemon.Daemon) error {
	inReview, err := d.Once(a.ctx)
	switch {
	case errors.Is(err, scheduler.ErrLeaseElsewhere):
		return fmt.Errorf("%w; nothing was done for it, the other process works on it", err)
	case err != nil:
		return err
	case inReview > 0:
		return &exitError{code: exitPerson, err: errors.New("purchases that need review need a person: topupd purchases list --state needs_review")}
	default:
		return nil
	}
}
