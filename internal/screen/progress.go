package screen

import (
	"fmt"
	"sync"
	"time"
)

const (
	// patience is how long nothing is shown: most commands end within it.
	patience = time.Second
	// redrawEvery is how often the line changes; halved it flickers over slow
	// connections, doubled it looks stuck.
	redrawEvery = 250 * time.Millisecond
)

// Progress shows on a terminal what the command is waiting for, on stderr so
// that stdout stays clean. stop removes the line; it may be called once.
func (s *Screen) Progress(text func() string) (stop func()) {
	if !s.Watched {
		return func() {}
	}
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTimer(patience)
		defer tick.Stop()
		drawn := false
		for {
			select {
			case <-done:
				if drawn {
					fmt.Fprint(s.Err, "\r\x1b[K")
				}
				return
			case <-tick.C:
				fmt.Fprintf(s.Err, "\r\x1b[K%s", text())
				drawn = true
				tick.Reset(redrawEvery)
			}
		}
	})
	return func() {
		close(done)
		drawing.Wait()
	}
}
