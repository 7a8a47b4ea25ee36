package deploytest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// faster is how many times faster than in life the rules of the drill run: 15 s
// between two looks become one.
const faster = 15

// TestTheRightPageComesWhenADaemonIsGone: a real Prometheus and Alertmanager watch
// two daemons of different providers and one of staging. While they are well, and
// while the customers of staging are dry in dry_run, nothing is told. Each that is
// killed is a page within seven minutes that names its provider and cluster, and is
// resolved when it is back; so is a token that is refused. Nothing else is told.
func TestTheRightPageComesWhenADaemonIsGone(t *testing.T) {
	d := newDrill(t)
	calm := time.Now().Add(10 * time.Minute / faster)
	eventually(t, time.Minute, "staging to have dry customers, and a calm time to pass", func() string {
		if n, problem := d.series(`topupd_targets_out_of_credits_unserved{cluster="staging"} > 0`); n == 0 {
			return "nobody is dry in staging " + problem
		}
		if time.Now().Before(calm) {
			return "it is not over"
		}
		return ""
	})
	var pages []note
	for _, h := range d.daemons {
		h.run.kill()
		killed := time.Now()
		page := note{"TopupNoLeaseHolder", h.cluster, h.provider, "firing"}
		d.told(7*time.Minute/faster+4*time.Second, page) // 4 s for what does not run faster
		pages = append(pages, page)
		for _, n := range d.notes() {
			if n.Alert == page.Alert && n.Status == page.Status && !slices.Contains(pages, n) {
				t.Errorf("after %s of %s was killed: %+v", h.provider, h.cluster, n)
			}
		}
		t.Logf("killed %s of %s: the page came after %s, %s in life", h.provider, h.cluster, time.Since(killed).Round(time.Second/10), (time.Since(killed) * faster).Round(time.Second))
		h.start()
	}
	d.refused.Store(true)
	d.told(time.Minute/faster+8*time.Second, note{"TopupTokenRefused", "production", "hyperline", "firing"})
	d.refused.Store(false)
	d.told(time.Minute, note{"TopupTokenRefused", "production", "hyperline", "resolved"})
	for _, h := range d.daemons {
		d.told(time.Minute, note{"TopupNoLeaseHolder", h.cluster, h.provider, "resolved"})
	}
	for _, n := range d.notes() {
		if n.Alert != "TopupNoLeaseHolder" && n.Alert != "TopupTokenRefused" && n.Alert != "TopupReplicaDown" {
			t.Errorf("told without need: %+v", n)
		}
	}
}

// note is what Alertmanager told of one alert.
type note struct{ Alert, Cluster, Provider, Status string }

type drill struct {
	scraped
	daemons []*watched
	refused atomic.Bool // Hyperline of production refuses the token

	mu       sync.Mutex
	received []note
}

// watched is one daemon that can be killed and started again.
type watched struct {
	t                               *testing.T
	binary, dir, cluster, provider  string
	listen, mode, url, connect, buy string
	run                             *server
}

// newDrill starts everything and waits until each daemon holds its lease.
func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{}
	dir := t.TempDir()
	binary := filepath.Join(dir, "topupd")
	output(t, File(".."), "go", "build", "-o", binary, "./cmd/topupd")
	calm := emulated(t, dir, binary, "--usage", "0.01..0.1", "--voice-usage", "0.01..0.02")
	drying := emulated(t, dir, binary, "--speed", "100", "--customers", "5")
	target, err := url.Parse(calm)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.refused.Load() {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"message":"Missing authentication token"}`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	const hyperline = "type: hyperline, token: test_emulator"
	const packs = `product: itm_3kXODDF42QXtnL, threshold: provider,
    buy: {bundles: [{price_id: pri_0Jv8EbMDOGsHcn, credits: 120, price_excluding_tax: 200.00 EUR}, {price_id: pri_9large, credits: 600, price_excluding_tax: 900.00 EUR}]}`
	d.daemons = []*watched{
		{cluster: "production", provider: "hyperline", mode: "active", url: front.URL, connect: hyperline, buy: packs},
		{
			cluster: "production", provider: "voice", mode: "active", url: calm + "/talkover",
			connect: "type: talkover, environment_id: env-1, user_token: user_emulator_1, environment_token: talq_emulator_1",
			buy:     "threshold: 50, buy: {charge: 25.00 USD}",
		},
		{cluster: "staging", provider: "hyperline", mode: "dry_run", url: drying, connect: hyperline, buy: packs},
	}
	var groups []string
	for i, h := range d.daemons {
		h.t, h.binary, h.dir, h.listen = t, binary, filepath.Join(dir, strconv.Itoa(i)), freeAddress(t)
		h.configure()
		h.start()
		groups = append(groups, fmt.Sprintf("{targets: [%q], labels: {cluster: %s}}", h.listen, h.cluster))
	}
	d.scraped = scraped{t: t, url: d.prometheus(dir, groups)}
	eventually(t, time.Minute, "every daemon to hold its lease", func() string {
		n, problem := d.series("topupd_lease_held == 1")
		if n != len(d.daemons) {
			return fmt.Sprintf("%d do %s", n, problem)
		}
		return ""
	})
	return d
}

// emulated runs both providers and returns their URL.
func emulated(t *testing.T, dir, binary string, args ...string) string {
	t.Helper()
	emulator := serve(t, dir, binary, append([]string{"emulator", "--listen", "127.0.0.1:0", "--seed", "7"}, args...)...)
	return emulator.names(`Hyperline (http://[0-9.:]+) `)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (h *watched) configure() {
	h.t.Helper()
	files := map[string]string{
		"topupd.yml": fmt.Sprintf(`mode: %s
database_url: "sqlite:%s/topupd.db"
http: {listen: %q}
providers:
  - {name: %s, base_url: %q, %s, poll: "@every 1s", first_purchase_after: 0s}
limits: {global: {day: {spend: {EUR: 1000000.00, USD: 100000.00}}}}
rule_files: [rules.yml]
`, h.mode, h.dir, h.listen, h.provider, h.url, h.connect),
		"rules.yml": fmt.Sprintf(`rules:
  - {name: all, provider: %s, match: {all: true}, %s, cooldown: 3s, confirm_after: 1s, limits: {customer: {day: {purchases: 500}}}}
`, h.provider, h.buy),
	}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *watched) start() {
	h.t.Helper()
	h.run = serve(h.t, h.dir, h.binary, "run", "--config", filepath.Join(h.dir, "topupd.yml"))
}

// prometheus starts Alertmanager with the example's routes and inhibitions, and a
// Prometheus with the shipped alerts; it returns the latter's URL.
func (d *drill) prometheus(dir string, groups []string) string {
	t := d.daemons[0].t
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(d.receive))
	t.Cleanup(hook.Close)
	routes := strings.NewReplacer("http://127.0.0.1:9095", hook.URL, "group_wait: 30s", "group_wait: 1s", "group_wait: 10s", "group_wait: 1s",
		"group_interval: 5m", "group_interval: 1s").Replace(string(read(t, File("prometheus", "alertmanager.yml"))))
	alertmanager := freeAddress(t)
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: topupd, static_configs: [%s]}]
`, alertmanager, strings.Join(groups, ", "))
	for name, text := range map[string]string{"alertmanager.yml": routes, "prometheus.yml": config, "alerts.yml": sped(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, dir, program(t, "prometheus-alertmanager", "prometheus-alertmanager"), "--config.file="+filepath.Join(dir, "alertmanager.yml"),
		"--storage.path="+filepath.Join(dir, "alertmanager"), "--web.listen-address="+alertmanager, "--cluster.listen-address=")
	prometheus := serve(t, dir, program(t, "prometheus", "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address=127.0.0.1:0")
	return "http://" + prometheus.names(`Listening on.* address=([0-9.:]+)`)
}

var (
	lengths  = regexp.MustCompile(`\b(\d+[smh])+\b`)                         // of time, but for days
	patience = regexp.MustCompile(`(>=?) (30|300|600|900|3600|86400)(\D|$)`) // seconds that an expression compares with
)

// sped are the shipped alerts, faster.
func sped(t *testing.T) string {
	t.Helper()
	seconds := func(s string) string {
		n, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return strconv.Itoa(max(1, int(n.Seconds())/faster)) + "s"
	}
	var file struct {
		Groups []struct {
			Name  string           `yaml:"name"`
			Rules []map[string]any `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(read(t, File("prometheus", "alerts.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			for _, key := range []string{"expr", "for"} {
				text, _ := r[key].(string)
				if text == "" {
					continue
				}
				text = lengths.ReplaceAllStringFunc(text, seconds)
				r[key] = patience.ReplaceAllStringFunc(text, func(s string) string {
					part := patience.FindStringSubmatch(s)
					return part[1] + " " + strings.TrimSuffix(seconds(part[2]+"s"), "s") + part[3]
				})
			}
		}
	}
	out, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// receive takes a notification.
func (d *drill) receive(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status string
			Labels map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return // what is not told fails the test
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range body.Alerts {
		d.received = append(d.received, note{a.Labels["alertname"], a.Labels["cluster"], a.Labels["provider"], a.Status})
	}
}

// notes is everything that was told, each once.
func (d *drill) notes() []note {
	d.mu.Lock()
	defer d.mu.Unlock()
	var once []note
	for _, n := range d.received {
		if !slices.Contains(once, n) {
			once = append(once, n)
		}
	}
	return once
}

// told waits until something was told.
func (d *drill) told(limit time.Duration, want note) {
	d.t.Helper()
	eventually(d.t, limit, fmt.Sprintf("%+v", want), func() string {
		if all := d.notes(); !slices.Contains(all, want) {
			return fmt.Sprintf("told: %+v", all)
		}
		return ""
	})
}
