package daemon

import (
	"io"
	"sync"
	"time"
)

const (
	// sinkPatience is how long one line waits for the log's reader before the
	// daemon goes on without it. It is paid once: while the reader is stuck, lines
	// only queue. A purchase has 5 s between its connection and its first byte.
	sinkPatience = 100 * time.Millisecond
	// sinkLimit bounds the bytes that queue for a stuck reader: about 500 lines.
	sinkLimit = 256 << 10
	// sinkFarewell is how long a process that ends waits for its last lines.
	sinkFarewell = 2 * time.Second
)

// Sink stands between the log and whoever reads it: a pipe whose other end is
// stuck or gone must never stop a purchase. While the reader keeps up, Write
// returns when the line is out, so that a process that dies at its next step
// has said everything before. When the reader does not take a line within the
// patience, lines queue up to the limit; what comes then is dropped and
// counted, and a line says so when the reader is back.
type Sink struct {
	out      io.Writer
	patience time.Duration
	limit    int // bytes that may queue
	note     func(lines int, since time.Time) []byte
	now      func() time.Time

	mu      sync.Mutex
	waiting []sinkLine
	size    int  // of all that waits, in bytes
	writing bool // somebody writes what waits
	stuck   bool // the reader let a line wait for longer than the patience
	lost    int  // lines dropped since the last note
	since   time.Time
	total   int // lines dropped ever
}

type sinkLine struct {
	text []byte
	done chan struct{} // closed when it is out, or could not be written
}

// Write takes one line. It never fails: there is nobody to tell.
func (s *Sink) Write(text []byte) (int, error) {
	line, stuck, ok := s.queue(text)
	if !ok || stuck {
		return len(text), nil
	}
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case <-line.done:
	case <-timer.C:
		s.mu.Lock()
		s.stuck = s.writing
		s.mu.Unlock()
	}
	return len(text), nil
}

func (s *Sink) queue(text []byte) (line sinkLine, stuck, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+len(text) > s.limit {
		s.drop()
		return sinkLine{}, s.stuck, false
	}
	line = sinkLine{text: append([]byte(nil), text...), done: make(chan struct{})}
	s.waiting = append(s.waiting, line)
	s.size += len(text)
	if !s.writing {
		s.writing = true
		go s.drain()
	}
	return line, s.stuck, true
}

// drop counts a line that nobody will read.
func (s *Sink) drop() {
	if s.lost == 0 {
		s.since = s.now()
	}
	s.lost++
	s.total++
}

// drain writes until nothing waits any more. Only one runs at a time.
func (s *Sink) drain() {
	reached := false
	for {
		line, ok := s.next(reached)
		if !ok {
			return
		}
		_, err := s.out.Write(line.text)
		reached = err == nil
		if err != nil {
			s.mu.Lock()
			s.drop()
			s.mu.Unlock()
		}
		close(line.done)
	}
}

// next is the oldest line that waits. When there is none and the reader is
// there, it is the note about the lines that were dropped.
func (s *Sink) next(reached bool) (sinkLine, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		line := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.size -= len(line.text)
		return line, true
	}
	if s.lost > 0 && reached {
		line := sinkLine{text: s.note(s.lost, s.since), done: make(chan struct{})}
		s.lost = 0
		return line, true
	}
	s.waiting, s.writing, s.stuck = nil, false, false
	return sinkLine{}, false
}

// Dropped is how many lines were never written.
func (s *Sink) Dropped() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(s.total)
}

// Close waits for what is still queued, for as long as a farewell may take.
func (s *Sink) Close() {
	s.mu.Lock()
	busy, last := s.writing, sinkLine{}
	if n := len(s.waiting); n > 0 {
		last = s.waiting[n-1]
	}
	s.mu.Unlock()
	if !busy || last.done == nil {
		return
	}
	timer := time.NewTimer(sinkFarewell)
	defer timer.Stop()
	select {
	case <-last.done:
	case <-timer.C:
	}
}
