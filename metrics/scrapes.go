package metrics

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

const (
	// maxEncoders bounds the pages of metrics that are made at once. Who asks
	// meanwhile waits.
	maxEncoders = 3
	// sharedFor is how long a page is given to everybody who asks for the same, from
	// when it was made. A Prometheus scrapes every few seconds.
	sharedFor = time.Second
	// maxPages bounds the kinds of pages that are shared: by what clients accept
	// there are a handful.
	maxPages = 16
)

// scrapes shares the pages that a handler makes, so that many scrapers cost what
// a few do. A shared page is made whether or not the one who asked for it stays.
type scrapes struct {
	next     http.Handler
	log      *slog.Logger
	encoders chan struct{}

	mu    sync.Mutex
	pages map[string]*page
}

func sharing(next http.Handler, log *slog.Logger) *scrapes {
	return &scrapes{next: next, log: log, encoders: make(chan struct{}, maxEncoders), pages: map[string]*page{}}
}

// page is an answer, as an http.ResponseWriter until it is made.
type page struct {
	made   chan struct{} // closed when the rest may be read
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *page) Header() http.Header         { return p.header }
func (p *page) WriteHeader(status int)      { p.status = status }
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

// ServeHTTP answers with a page that was made at most sharedFor ago.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := s.pageFor(r)
	select {
	case <-p.made:
	case <-r.Context().Done():
		return
	}
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Length", strconv.Itoa(p.body.Len()))
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body.Bytes())
}

// pageFor is the page for what the client accepts, new unless one is shared.
func (s *scrapes) pageFor(r *http.Request) *page {
	key := fmt.Sprintf("%q %q %q", r.Header.Values("Accept"), r.Header.Values("Accept-Encoding"), r.URL.RawQuery)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pages[key]; p != nil {
		return p
	}
	p := &page{made: make(chan struct{}), header: http.Header{}, status: http.StatusOK}
	ctx := r.Context() // nobody else waits for a page that is not shared
	if len(s.pages) < maxPages {
		s.pages[key] = p
		ctx = context.WithoutCancel(ctx)
	}
	go s.make(p, key, r.Clone(ctx))
	return p
}

func (s *scrapes) make(p *page, key string, r *http.Request) {
	select {
	case s.encoders <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	s.fill(p, r)
	<-s.encoders
	close(p.made)
	time.AfterFunc(sharedFor, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pages[key] == p {
			delete(s.pages, key)
		}
	})
}

// fill makes the page. A panic ends no daemon that buys: net/http would have
// caught it too.
func (s *scrapes) fill(p *page, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			p.status = http.StatusInternalServerError
			p.body.Reset()
			s.log.Error("scrape", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	s.next.ServeHTTP(p, r)
}
