// Package screen is what a person sees: tables, pages, times and words in the
// width, zone and colours of the terminal, and the same facts as records for
// programs.
package screen

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Screen is where a command writes, and for whom.
type Screen struct {
	Out, Err io.Writer
	Now      func() time.Time

	Terminal bool           // Out is one: times are local, short and in one zone
	Watched  bool           // Err is one: progress may be shown
	Color    bool           // Out may be coloured
	Width    int            // columns of Out
	Zone     *time.Location // of the times on Out
}

// New makes the screen of a process.
func New(getenv func(string) string, stdout, stderr io.Writer, now func() time.Time) *Screen {
	s := &Screen{
		Out: &kept{to: stdout}, Err: stderr, Now: now,
		Width: MaxWidth, Zone: time.UTC, Watched: isTerminal(stderr),
	}
	if isTerminal(stdout) {
		s.Terminal, s.Zone = true, time.Local
		s.Color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" // https://no-color.org, read 2026-11-20
		s.Width = widthOf(stdout)
	}
	return s
}

// MaxWidth bounds every line of a table, inclusive, in columns.
const MaxWidth = 120

// minWidth is the narrowest terminal that tables are fitted to; below it lines
// wrap by themselves.
const minWidth = 60

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

// Lost is why output is missing; nil when none is.
func (s *Screen) Lost() error {
	k, ok := s.Out.(*kept)
	if !ok {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func widthOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return MaxWidth
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return MaxWidth
	}
	return min(max(columns, minWidth), MaxWidth)
}

// Printf writes to stdout. A reader that went away ends the program by SIGPIPE.
func (s *Screen) Printf(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

// Clock writes a time for a person: the time of day on a terminal, with the
// date when it is not today's, else RFC 3339 in UTC.
func (s *Screen) Clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if !s.Terminal {
		return t.UTC().Format(time.RFC3339)
	}
	local, today := t.In(s.Zone), s.Now().In(s.Zone)
	if local.YearDay() == today.YearDay() && local.Year() == today.Year() {
		return local.Format(time.TimeOnly)
	}
	return local.Format(time.DateTime)
}

// ClockOf is clock of a time that may be missing.
func (s *Screen) ClockOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return s.Clock(*t)
}

// ZoneNote says once in which zone the times on a terminal are; "" elsewhere,
// where every time carries its own.
func (s *Screen) ZoneNote() string {
	if !s.Terminal {
		return ""
	}
	name, offset := s.Now().In(s.Zone).Zone()
	if offset == 0 {
		return "times are UTC"
	}
	return fmt.Sprintf("times are %s (UTC%s)", name, s.Now().In(s.Zone).Format("-07:00"))
}
