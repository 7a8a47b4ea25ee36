package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is somebody at the other end of a log. He can stop reading, and go.
type reader struct {
	mu    sync.Mutex
	read  bytes.Buffer
	stuck chan struct{} // closed when he reads again; nil when he does
	gone  bool
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	stuck, gone := r.stuck, r.gone
	r.mu.Unlock()
	if gone {
		return 0, errors.New("broken pipe")
	}
	if stuck != nil {
		<-stuck
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read.Write(p)
}

func (r *reader) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Split(strings.TrimRight(r.read.String(), "\n"), "\n")
}

func (r *reader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stuck = make(chan struct{})
}

func (r *reader) goOn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.stuck)
	r.stuck = nil
}

func newTestSink(out *reader, limit int) *Sink {
	return &Sink{out: out, patience: sinkPatience, limit: limit, now: time.Now, note: func(lines int, _ time.Time) []byte {
		return fmt.Appendf(nil, "%d lines are missing\n", lines)
	}}
}

func (s *Sink) say(t *testing.T, text string) (took time.Duration) {
	t.Helper()
	began := time.Now()
	if n, err := s.Write([]byte(text + "\n")); n != len(text)+1 || err != nil {
		t.Errorf("Write(%q) = %d, %v", text, n, err)
	}
	return time.Since(began)
}

func wants(t *testing.T, r *reader, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := r.lines(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("the reader has %q, want %q", got, want)
	}
}

func TestALineIsOutBeforeTheNextStep(t *testing.T) {
	t.Parallel()
	r := &reader{}
	s := newTestSink(r, 1000)
	for n := range 100 {
		s.say(t, fmt.Sprint(n))
		if got := r.lines(); len(got) != n+1 || got[n] != fmt.Sprint(n) {
			t.Fatalf("after line %d the reader has %q", n, got)
		}
	}
}

func TestAStuckReaderHoldsUpOneLineOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		s := newTestSink(r, 8) // in bytes, those under way aside
		r.stop()
		if took := s.say(t, "one"); took != sinkPatience {
			t.Errorf("the first line took %s, want %s", took, sinkPatience)
		}
		for _, text := range []string{"two", "six", "ten", "too much"} { // 4 bytes each with its end
			if took := s.say(t, text); took != 0 {
				t.Errorf("%q took %s, want no time at all", text, took)
			}
		}
		if got := s.Dropped(); got != 2 {
			t.Errorf("%g lines were dropped, want 2", got)
		}
		r.goOn()
		wants(t, r, "one", "two", "six", "2 lines are missing")
		s.say(t, "on")
		wants(t, r, "one", "two", "six", "2 lines are missing", "on")
		if got := s.Dropped(); got != 2 {
			t.Errorf("%g lines were dropped in the end, want 2", got)
		}
	})
}

func TestAReaderWhoIsGoneCostsLinesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gone: true}
		s := newTestSink(r, 1000)
		for range 3 {
			if took := s.say(t, "nobody hears"); took != 0 {
				t.Errorf("a line to nobody took %s", took)
			}
		}
		if got := s.Dropped(); got != 3 {
			t.Errorf("%g lines were dropped, want 3", got)
		}
		r.mu.Lock()
		r.gone = false
		r.mu.Unlock()
		s.say(t, "back")
		wants(t, r, "back", "3 lines are missing")
	})
}

func TestAProcessThatEndsWaitsForItsLastLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		stuck time.Duration // 0 = not at all
		want  time.Duration
	}{
		{"not when all are out", 0, 0},
		{"until they are out", time.Second, time.Second - sinkPatience},
		{"and no longer than a farewell", time.Hour, sinkFarewell},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &reader{}
				s := newTestSink(r, 1000)
				if tt.stuck > 0 {
					r.stop()
					time.AfterFunc(tt.stuck, r.goOn)
				}
				s.say(t, "one")
				s.say(t, "two")
				began := time.Now()
				s.Close()
				if took := time.Since(began); took != tt.want {
					t.Errorf("close took %s, want %s", took, tt.want)
				}
				time.Sleep(tt.stuck) // of the bubble: the reader comes back
				wants(t, r, "one", "two")
			})
		})
	}
}
