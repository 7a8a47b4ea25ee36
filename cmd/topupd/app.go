package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"topupd/internal/screen"
)

// app is the process as the commands see it.
type app struct {
	*screen.Screen
	ctx    context.Context // ends on SIGINT and SIGTERM
	stdin  io.Reader
	asks   bool // stdin is a terminal: a person can be asked
	getenv func(string) string
	now    func() time.Time
	config string   // path of the configuration file
	rules  []string // rule files instead of the configured ones
}

func newApp(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) *app {
	return &app{
		Screen: screen.New(getenv, stdout, stderr, time.Now), ctx: ctx, getenv: getenv, now: time.Now,
		stdin: os.Stdin, asks: term.IsTerminal(int(os.Stdin.Fd())),
	}
}

// chooseConfig applies the defaults of --config: $TOPUPD_CONFIG, then topupd.yml in
// the current folder, then the one in /etc.
func (a *app) chooseConfig(flag string) {
	a.config = cmp.Or(flag, a.getenv("TOPUPD_CONFIG"))
	if a.config != "" {
		return
	}
	a.config = "/etc/topupd/topupd.yml"
	if _, err := os.Stat("topupd.yml"); err == nil {
		a.config = "topupd.yml"
	}
}
