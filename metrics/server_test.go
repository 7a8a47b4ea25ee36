package metrics_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"topupd/metrics"
)

// daemon is a Health with credited answers.
type daemon struct {
	ok     bool
	body   string
	reload func(context.Context) error
}

func (d daemon) Ready() (ok bool, body string) { return d.ok, d.body }

func (d daemon) Reload(ctx context.Context) (string, error) {
	if d.reload == nil {
		return "2 targets are low now\n", nil
	}
	return "", d.reload(ctx)
}

// serve runs a server until the test ends and returns its URL.
func serve(t *testing.T, h metrics.Handler) string {
	t.Helper()
	if h.Gatherer == nil {
		h.Gatherer = prometheus.NewRegistry()
	}
	s, err := metrics.NewServer("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "http://" + s.Addr().String()
}

// ask makes one request on a connection of its own.
func ask(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestThePages(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	ready := daemon{ok: true, body: "ready\nwarning: the last reload was refused"}
	for _, tt := range []struct {
		name, method, path string
		health             daemon
		header             []string
		status             int
		want               string // in the body
		allow              string
	}{
		{"metrics", "GET", "/metrics", ready, nil, 200, "topupd_config_last_reload_successful 1\n", ""},
		{"metrics by POST", "POST", "/metrics", ready, nil, 405, "", "GET, HEAD"},
		{"healthy", "GET", "/-/healthy", ready, nil, 200, "healthy\n", ""},
		{"healthy although not ready", "GET", "/-/healthy", daemon{body: "no poll yet"}, nil, 200, "healthy\n", ""},
		{"a balancer may ask by HEAD", "HEAD", "/-/healthy", ready, nil, 200, "", ""},
		{"ready, with what to look at", "GET", "/-/ready", ready, nil, 200, "warning: the last reload was refused\n", ""},
		{"not ready says what it lacks", "GET", "/-/ready", daemon{body: "the ledger is unreachable"}, nil, 503, "the ledger is unreachable\n", ""},
		{"reload", "POST", "/-/reload", ready, nil, 200, "reloaded\n2 targets are low now\n", ""},
		{"a refused reload says why", "POST", "/-/reload", daemon{reload: func(context.Context) error {
			return errors.New("rules/vip.yml:3: no such product")
		}}, nil, 500, "rules/vip.yml:3: no such product\n", ""},
		{"reload is no GET", "GET", "/-/reload", ready, nil, 405, "", "POST"},
		{"another site's page cannot reload", "POST", "/-/reload", ready, []string{"Sec-Fetch-Site", "cross-site"}, 403, "", ""},
		{"the index leads on", "GET", "/", ready, nil, 200, `<a href="/metrics">`, ""},
		{"nothing else", "GET", "/debug/pprof/", ready, nil, 404, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, metrics.Handler{Gatherer: f.reg, Health: tt.health})
			resp, body := ask(t, tt.method, url+tt.path, tt.header...)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%s %s = %d %q, want %d with %q", tt.method, tt.path, resp.StatusCode, body, tt.status, tt.want)
			}
			if diff := cmp.Diff(tt.allow, resp.Header.Get("Allow")); diff != "" {
				t.Errorf("Allow (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAddressThatCannotBeBound(t *testing.T) {
	t.Parallel()
	taken, err := metrics.NewServer("127.0.0.1:0", metrics.Handler{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for _, tt := range []struct{ name, listen, want string }{
		{"in use", taken.Addr().String(), "another program uses the address"},
		{"not of this machine", "192.0.2.1:9846", "no such address"},
		{"no port", "127.0.0.1", "write host:port"},
		{"a port that does not exist", "127.0.0.1:99999", "write host:port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := metrics.NewServer(tt.listen, metrics.Handler{})
			if err == nil {
				s.Close()
				t.Fatalf("listening on %s, want an error", s.Addr())
			}
			for _, want := range []string{"http.listen: cannot listen on " + tt.listen, tt.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestAReloadOutlivesTheClientThatAskedForIt(t *testing.T) {
	t.Parallel()
	began, left, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	url := serve(t, metrics.Handler{Health: daemon{reload: func(ctx context.Context) error {
		close(began)
		<-left
		result <- ctx.Err()
		return nil
	}}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /-/reload HTTP/1.1\r\nHost: topupd\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	conn.Close()
	close(left)
	if err := <-result; err != nil {
		t.Errorf("the reload was cut off: %v", err)
	}
}

func TestOneBrokenMetricDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	f := setup(t, metrics.Options{})
	f.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "good", Help: "g."}, func() float64 { return 1 }))
	f.reg.MustRegister(broken{})
	log := &lines{}
	url := serve(t, metrics.Handler{Gatherer: f.reg, Health: daemon{ok: true}, Logger: newLogger(log)})
	for range 3 {
		resp, body := ask(t, "GET", url+"/metrics")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, "good 1\n") {
			t.Fatalf("GET /metrics = %d %q", resp.StatusCode, body)
		}
	}
	if n := strings.Count(log.String(), "scrape incomplete"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, log)
	}
}

// broken is a collector that cannot collect.
type broken struct{}

func (broken) Describe(ch chan<- *prometheus.Desc) {
	ch <- prometheus.NewDesc("broken", "b.", nil, nil)
}

func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "b.", nil, nil), errors.New("cannot collect"))
}

func TestRunEndsWhenItCannotServe(t *testing.T) {
	t.Parallel()
	s, err := metrics.NewServer("127.0.0.1:0", metrics.Handler{Gatherer: prometheus.NewRegistry(), Health: daemon{}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("Run on a closed listener = %v, want an error with the address", err)
	}
}
