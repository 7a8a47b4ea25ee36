package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// meddle spoils an answer, or returns false and leaves the request alone.
type meddle func(http.ResponseWriter, *http.Request) bool

// meddler stands between the daemon and the providers.
type meddler struct {
	proxy http.Handler
	how   atomic.Pointer[meddle]
	hits  atomic.Int64 // requests that were meddled with
}

// meddled puts a meddler in front of the place's providers. Nothing is spoilt
// until somebody sets how.
func (p *place) meddled(t *testing.T) *meddler {
	t.Helper()
	target, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	m := &meddler{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	p.url = server.URL
	p.write("topupd.yml", p.yaml())
	return m
}

func (m *meddler) set(how meddle) { m.how.Store(&how) }

// stop lets everything through again.
func (m *meddler) stop() { m.how.Store(nil) }

func (m *meddler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if how := m.how.Load(); how != nil {
		spoilt := true // also when it cuts the connection by a panic
		defer func() {
			if spoilt {
				m.hits.Add(1)
			}
		}()
		if spoilt = (*how)(w, r); spoilt {
			return
		}
	}
	m.proxy.ServeHTTP(w, r)
}

// onReads meddles with GET requests whose path ends in one of the suffixes; with
// none, with all of them.
func onReads(how http.HandlerFunc, suffixes ...string) meddle {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		for _, suffix := range suffixes {
			if strings.HasSuffix(r.URL.Path, suffix) {
				how(w, r)
				return true
			}
		}
		if len(suffixes) == 0 {
			how(w, r)
		}
		return len(suffixes) == 0
	}
}

// thirtyMegabytes is a valid JSON text that nobody should keep in memory.
func thirtyMegabytes(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	chunk := []byte(strings.Repeat(" ", 1<<20))
	for range 30 {
		if _, err := w.Write(chunk); err != nil {
			return // the daemon has had enough
		}
	}
	_, _ = w.Write([]byte(`{"data":[],"meta":{"total":0}}`))
}

func htmlPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte("<html><body>We will be right back</body></html>"))
}

func halfJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"data":[{"product_id":"itm_3kXODDF42QXtnL","current_bal`))
}

// cutBody promises more than it sends, and closes the connection.
func cutBody(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000")
	halfJSON(w, r)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
