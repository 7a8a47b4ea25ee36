package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// press is a handler that takes a second for each page, and counts.
type press struct{ pages, at, most atomic.Int64 }

func (p *press) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := p.pages.Add(1)
	at := p.at.Add(1)
	for most := p.most.Load(); at > most && !p.most.CompareAndSwap(most, at); most = p.most.Load() {
	}
	time.Sleep(time.Second)
	p.at.Add(-1)
	w.Header().Set("Content-Type", "text/plain")
	_, _ = fmt.Fprintf(w, "page %d", n)
}

func (s *scrapes) kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pages)
}

func scrape(ctx context.Context, h http.Handler, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

// TestManyScrapersShareAFewPages: everybody is answered, and little is made.
func TestManyScrapersShareAFewPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := &press{}
		h := sharing(made, quiet)
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				for range 10 {
					got := scrape(t.Context(), h, fmt.Sprintf("kind %d", n%5))
					if got.Code != http.StatusOK || !strings.HasPrefix(got.Body.String(), "page ") || got.Header().Get("Content-Type") != "text/plain" {
						t.Errorf("%d %q", got.Code, got.Body)
					}
				}
			})
		}
		all.Wait()
		if pages, most := made.pages.Load(), made.most.Load(); most != maxEncoders || pages > 5*10 {
			t.Errorf("%d pages for 2,000 scrapes, %d at once; want at most 50, %d at once", pages, most, maxEncoders)
		}
		time.Sleep(2 * sharedFor)
	})
}

// TestAPageIsNew: it is shared for a second, and no longer.
func TestAPageIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sharing(&press{}, quiet)
		for i, want := range []string{"page 1", "page 1", "page 2"} {
			if got := scrape(t.Context(), h, "").Body.String(); got != want {
				t.Errorf("scrape %d: %q, want %q", i, got, want)
			}
			time.Sleep(600 * time.Millisecond)
		}
		time.Sleep(2 * sharedFor)
	})
}

// TestAScrapeThatIsCutChangesNothing: the next one gets the page that it asked for.
func TestAScrapeThatIsCutChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sharing(&press{}, quiet)
		ctx, cut := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cut()
		if got := scrape(ctx, h, ""); got.Body.Len() != 0 {
			t.Errorf("whoever left got %q", got.Body)
		}
		if got := scrape(t.Context(), h, ""); got.Code != http.StatusOK || got.Body.String() != "page 1" {
			t.Errorf("%d %q", got.Code, got.Body)
		}
		time.Sleep(2 * sharedFor)
	})
}

// TestClientsOfManyKindsAreBounded: what they accept is their own text.
func TestClientsOfManyKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sharing(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) }), quiet)
		for n := range 1000 {
			if got := scrape(t.Context(), h, fmt.Sprint(n)).Body.String(); got != "page" {
				t.Fatalf("%q", got)
			}
		}
		if n := h.kept(); n != maxPages {
			t.Errorf("%d pages are kept, want %d", n, maxPages)
		}
		time.Sleep(2 * sharedFor)
		synctest.Wait()
		if n := h.kept(); n != 0 {
			t.Errorf("%d pages are kept for ever", n)
		}
	})
}

// TestWhoLeavesIsNotWaitedFor: a page that nobody else shares is not made for a
// client that has gone.
func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := &press{}
		h := sharing(made, quiet)
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				ctx, cut := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cut()
				scrape(ctx, h, fmt.Sprint(n))
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		if pages := made.pages.Load(); pages > maxPages+maxEncoders {
			t.Errorf("%d pages were made for clients that had gone, want %d that are shared and those under way", pages, maxPages)
		}
	})
}

// TestAPageIsForWhatAClientAccepts: in all lines of its header.
func TestAPageIsForWhatAClientAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sharing(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, r.Header.Values("Accept-Encoding"))
		}), quiet)
		for _, lines := range [][]string{{"identity"}, {"identity", "gzip"}, {"identity,gzip"}, nil} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
			r.Header["Accept-Encoding"] = lines
			rw := httptest.NewRecorder()
			h.ServeHTTP(rw, r)
			if got, want := rw.Body.String(), fmt.Sprint(lines); got != want {
				t.Errorf("%q got the page for %s", lines, got)
			}
		}
		time.Sleep(2 * sharedFor)
	})
}

// TestAPanicInAScrapeEndsNoDaemon: the next scrape is answered.
func TestAPanicInAScrapeEndsNoDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		h := sharing(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) == 1 {
				panic("no such family")
			}
		}), quiet)
		for _, want := range []int{http.StatusInternalServerError, http.StatusOK} {
			if got := scrape(t.Context(), h, ""); got.Code != want {
				t.Errorf("%d, want %d", got.Code, want)
			}
			time.Sleep(2 * sharedFor)
		}
	})
}
