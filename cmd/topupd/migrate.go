package main

import (
	"errors"

	"topupd/ledger"
)

// migrateCmd applies missing migrations.
type migrateCmd struct{}

func (*migrateCmd) Help() string {
	return `topupd run does the same when it starts; use this to do it before, with rights that the daemon need not have.
It only adds: a daemon that is running goes on beside a newer schema. A program that is older than the schema refuses to start on it.

Examples:

    topupd migrate --config /etc/topupd/topupd.yml`
}

func (*migrateCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	store, err := a.openLedger(l, ledger.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	applied, err := store.Migrate(a.ctx)
	if err != nil {
		return err
	}
	for _, name := range applied {
		a.Printf("applied %s\n", name)
	}
	if len(applied) == 0 {
		a.Printf("nothing to do: the schema of %s is up to date\n", l.Config.DatabaseName())
	}
	return nil
}
