package main

import (
	"log/slog"

	"topupd/config"
)

// newLogger makes the daemon's log, on stderr.
func newLogger(a *app, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == config.LogText {
		return slog.New(slog.NewTextHandler(a.stderr, o))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, o))
}
