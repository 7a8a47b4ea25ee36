package ledgertest

import (
	"testing"
)

// Solo is a PostgreSQL of a test's own that it may stop, start and starve. It
// ends with the test.
type Solo struct {
	// DSN reaches it as its superuser.
	DSN string

	server *server
}

// SoloOptions are how it runs. The zero value is a plain server.
type SoloOptions struct {
	Init     []string // more options of initdb
	Settings []string // of the server, as "name=value"
	// Env is what its processes have in their environment, as "NAME=value"; dir is
	// the server's folder. It may be nil.
	Env func(dir string) []string
	// Prepare may put something under the server's folder, which holds the folder
	// "data" later. It may be nil.
	Prepare func(dir string)
}

// NewSolo starts one.
func NewSolo(t testing.TB, o SoloOptions) *Solo {
	t.Helper()
	s := newServer(t)
	if o.Prepare != nil {
		o.Prepare(s.dir)
		t.Cleanup(s.kill) // before what was prepared goes
	}
	s.settings = o.Settings
	if o.Env != nil {
		s.env = o.Env(s.dir)
	}
	s.initialize(o.Init...)
	s.start()
	return &Solo{DSN: s.dsn(), server: s}
}

// Dir is the server's folder.
func (s *Solo) Dir() string { return s.server.dir }

// Stop stops it: "smart", "fast" or "immediate", as pg_ctl knows them.
func (s *Solo) Stop(mode string) {
	s.server.t.Helper()
	s.server.stop(mode)
}

// Start starts it again on the same files.
func (s *Solo) Start() {
	s.server.t.Helper()
	s.server.start()
}

// Ended tells the helper that the server went down by itself.
func (s *Solo) Ended() { s.server.running = false }
