package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// app is the process as the commands see it.
type app struct {
	ctx            context.Context // ends on SIGINT and SIGTERM
	stdout, stderr io.Writer
	stdin          io.Reader
	getenv         func(string) string
	now            func() time.Time
	config         string   // path of the configuration file
	rules          []string // rule files instead of the configured ones

	terminal bool           // stdout is one: times are local, short and in one zone
	asks     bool           // stdin is one: a person can be asked
	watched  bool           // stderr is one: progress may be shown
	color    bool           // stdout may be coloured
	width    int            // columns of stdout
	zone     *time.Location // of the times on stdout
}

// maxWidth bounds every line of a table, inclusive, in columns.
const maxWidth = 120

// minWidth is the narrowest terminal that tables are fitted to; below it lines
// wrap by themselves.
const minWidth = 60

func newApp(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) *app {
	a := &app{
		ctx: ctx, stdout: &kept{to: stdout}, stderr: stderr, getenv: getenv, now: time.Now,
		width: maxWidth, zone: time.UTC, watched: isTerminal(stderr),
		stdin: os.Stdin, asks: term.IsTerminal(int(os.Stdin.Fd())),
	}
	if isTerminal(stdout) {
		a.terminal, a.zone = true, time.Local
		a.color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" // https://no-color.org, read 2026-11-20
		a.width = widthOf(stdout)
	}
	return a
}

// kept is output that must not be lost in silence: it keeps the first error, and
// fails for good then. What follows a gap would be taken for the whole.
type kept struct {
	mu  sync.Mutex
	to  io.Writer
	err error
}

// Write writes, unless something was lost before.
func (k *kept) Write(p []byte) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		n, k.err = k.to.Write(p)
	}
	return n, k.err
}

// lost is why output is missing; nil when none is.
func (a *app) lost() error {
	k, ok := a.stdout.(*kept)
	if !ok {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
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

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func widthOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return maxWidth
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return maxWidth
	}
	return min(max(columns, minWidth), maxWidth)
}

// printf writes to stdout. A reader that went away ends the program by SIGPIPE.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// clock writes a time for a person: the time of day on a terminal, with the
// date when it is not today's, else RFC 3339 in UTC.
func (a *app) clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if !a.terminal {
		return t.UTC().Format(time.RFC3339)
	}
	local, today := t.In(a.zone), a.now().In(a.zone)
	if local.YearDay() == today.YearDay() && local.Year() == today.Year() {
		return local.Format(time.TimeOnly)
	}
	return local.Format(time.DateTime)
}

// clockOf is clock of a time that may be missing.
func (a *app) clockOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return a.clock(*t)
}

// zoneNote says once in which zone the times on a terminal are; "" elsewhere,
// where every time carries its own.
func (a *app) zoneNote() string {
	if !a.terminal {
		return ""
	}
	name, offset := a.now().In(a.zone).Zone()
	if offset == 0 {
		return "times are UTC"
	}
	return fmt.Sprintf("times are %s (UTC%s)", name, a.now().In(a.zone).Format("-07:00"))
}
