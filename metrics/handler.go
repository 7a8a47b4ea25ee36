package metrics

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health is what the server asks of the daemon. Both methods must be safe for
// concurrent use.
type Health interface {
	// Ready tells whether the daemon can do its work, and in words for a person
	// what it lacks, or what to look at although it works.
	Ready() (ok bool, body string)
	// Reload reads the configuration again. After an error the old one is
	// still in use; the text tells a person what to mend. The body, when there is
	// one, tells what the new one changes at once.
	Reload(context.Context) (body string, err error)
}

// Handler is what the server serves.
type Handler struct {
	Gatherer prometheus.Gatherer
	Health   Health
	Logger   *slog.Logger // nil logs nothing
}

func (h Handler) logger() *slog.Logger {
	if h.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return h.Logger
}

const index = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>topupd</title>
<h1>topupd</h1>
<ul>
<li><a href="/metrics">/metrics</a>: what Prometheus scrapes
<li><a href="/-/healthy">/-/healthy</a>: the process answers
<li><a href="/-/ready">/-/ready</a>: it can do its work, or what it lacks
<li><code>curl -X POST</code> /-/reload: read the rules again
</ul></html>
`

// routes are the pages. A reload ends with ctx, not with the request: a client
// that goes away must not leave it half done.
func (h Handler) routes(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", sharing(promhttp.HandlerFor(h.Gatherer, promhttp.HandlerOpts{
		ErrorLog:          &complaints{log: h.logger(), said: map[string]bool{}},
		ErrorHandling:     promhttp.ContinueOnError, // one broken family must not hide the others
		EnableOpenMetrics: true,
	}), h.logger()))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusOK, "healthy")
	})
	mux.HandleFunc("GET /-/ready", h.ready)
	mux.HandleFunc("POST /-/reload", h.reload(ctx))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, index)
	})
	// A page of another site, open in an operator's browser, cannot reload.
	return http.MaxBytesHandler(http.NewCrossOriginProtection().Handler(mux), 64<<10)
}

func (h Handler) ready(w http.ResponseWriter, _ *http.Request) {
	ok, body := h.Health.Ready()
	if !ok {
		text(w, http.StatusServiceUnavailable, body)
		return
	}
	text(w, http.StatusOK, body)
}

func (h Handler) reload(ctx context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
		defer cancel()
		body, err := h.Health.Reload(ctx)
		if err != nil {
			text(w, http.StatusInternalServerError, err.Error())
			return
		}
		text(w, http.StatusOK, "reloaded\n"+body)
	}
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.TrimSuffix(body, "\n")+"\n")
}

// complaints logs what goes wrong in scrapes, each text once: a scrape comes
// every few seconds, and the same line would bury everything else.
type complaints struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]bool
}

// Println is promhttp's way to log.
func (c *complaints) Println(v ...any) {
	var parts []string
	for _, p := range v {
		switch p := p.(type) {
		case error:
			parts = append(parts, p.Error())
		case string:
			parts = append(parts, p)
		}
	}
	problem := strings.Join(parts, " ")
	c.mu.Lock()
	again := c.said[problem] || len(c.said) >= 100
	if !again {
		c.said[problem] = true
	}
	c.mu.Unlock()
	if !again {
		c.log.Warn("scrape incomplete", slog.String("problem", problem))
	}
}
