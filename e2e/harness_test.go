package e2e

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"topupd/clients/emulator"
)

// binary is topupd, built with the fault points that only tests have.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait for processes most of the time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(func() int {
		if err := os.Setenv("USER", "tester"); err != nil { // whoever pauses is recorded, and a container has no user
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		dir, err := os.MkdirTemp("", "topupd-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "topupd")
		args := []string{"build", "-tags", "faultpoints", "-o", binary}
		if os.Getenv("TOPUPD_E2E_RACE") != "" { // make race: several times slower
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "topupd/cmd/topupd")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building topupd: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// slowMachine is how many times as long as a test allows a condition may take: a
// test that passes waits no longer for it, and two busy cores need it.
const slowMachine = 3

// until waits for a condition, looking often. It fails the test with what was
// waited for.
func until(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(slowMachine * limit)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for: %s", slowMachine*limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// databases are the stores that every test of the daemon runs on.
var databases = map[string]func(*testing.T) string{"sqlite": sqliteURL, "postgres": postgresURL}

func sqliteURL(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "topupd.db") }

// postgresURL makes a database of its own on the test server.
func postgresURL(t *testing.T) string {
	t.Helper()
	server := os.Getenv("TOPUPD_TEST_POSTGRES")
	if server == "" {
		t.Fatal("TOPUPD_TEST_POSTGRES is not set: run the tests with make test, which starts a Postgres")
	}
	admin, err := sql.Open("postgres", server)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("e2e_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		_ = admin.Close()
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// place is one installation: providers, a configuration and a database.
type place struct {
	t    *testing.T
	dir  string
	emu  *emulator.Emulator
	url  string // of the emulator
	db   string
	conf settings

	silentSince time.Time // see silentTrouble
}

// settings are what tests vary in the configuration. Zero values are quick.
type settings struct {
	Mode                        string
	Voices                      int
	PurchaseTimeout, Quiet      string
	FirstHold                   string
	Cooldown, Confirm           string
	DailyPurchases              int
	Bundles                     string
	VoiceCharge, VoiceThreshold string
	Listen                      string
	Extra                       string // more lines of the Hyperline rule
	Reads, Writes, Requests     string
	Poll                        string
}

func (s settings) withDefaults() settings {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&s.Mode, "active")
	set(&s.PurchaseTimeout, "2s")
	set(&s.Quiet, "8s")
	set(&s.FirstHold, "0s")
	set(&s.Cooldown, "1s")
	set(&s.Confirm, "1s")
	set(&s.Bundles, "{price_id: pri_9large, credits: 600, price_excluding_tax: 900.00 EUR}")
	set(&s.VoiceCharge, "25.00 USD")
	set(&s.VoiceThreshold, "50")
	set(&s.Listen, "127.0.0.1:0")
	set(&s.Reads, "5000/10s")
	set(&s.Writes, "1000/10s")
	set(&s.Requests, "6000/1m")
	set(&s.Poll, `"@every 1s"`)
	if s.DailyPurchases == 0 {
		s.DailyPurchases = 1000
	}
	return s
}

// newPlace starts the emulator and writes a configuration for it.
func newPlace(t *testing.T, db string, o emulator.Options, s settings) *place {
	t.Helper()
	return newPlaceIn(t, t.TempDir(), db, o, s, func(e *emulator.Emulator) http.Handler { return e.Handler() })
}

// newPlaceIn is newPlace in a folder of the caller's, with something of his in
// front of the providers.
func newPlaceIn(t *testing.T, dir, db string, o emulator.Options, s settings, front func(*emulator.Emulator) http.Handler) *place {
	t.Helper()
	p := &place{t: t, dir: dir, emu: emulator.New(o), db: db, conf: s.withDefaults()}
	server := httptest.NewServer(front(p.emu))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = p.emu.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		server.CloseClientConnections()
		server.Close()
	})
	p.url = server.URL
	p.write("topupd.yml", p.yaml())
	p.write("rules.yml", p.rules())
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) config() string { return filepath.Join(p.dir, "topupd.yml") }

func (p *place) yaml() string {
	var b strings.Builder
	s := p.conf
	fmt.Fprintf(&b, "mode: %s\ndatabase_url: %q\nhttp: {listen: %q}\nlog: {level: debug, format: json}\nproviders:\n", s.Mode, p.db, s.Listen)
	fmt.Fprintf(&b, `  - name: hyperline
    type: hyperline
    base_url: %s
    token: test_emulator
    poll: %s
    rate_limit: {reads: %s, writes: %s, share: 100%%}
    purchase_timeout: %s
    unknown_outcome: {policy: retry, quiet_period: %s}
    first_purchase_after: %s
`, p.url, s.Poll, s.Reads, s.Writes, s.PurchaseTimeout, s.Quiet, s.FirstHold)
	for n := range s.Voices {
		fmt.Fprintf(&b, `  - name: voice-%[1]d
    type: talkover
    base_url: %[2]s/talkover
    environment_id: env-%[1]d
    user_token: user_emulator_%[1]d
    environment_token: talq_emulator_%[1]d
    poll: %[3]s
    rate_limit: {requests: %[4]s, share: 100%%}
    purchase_timeout: %[5]s
    unknown_outcome: {policy: review, quiet_period: %[6]s}
    first_purchase_after: %[7]s
`, n+1, p.url, s.Poll, s.Requests, s.PurchaseTimeout, s.Quiet, s.FirstHold)
	}
	b.WriteString("limits:\n  global: {day: {spend: {EUR: 100000000.00, USD: 1000000.00}}}\nrule_files: [rules.yml]\n")
	return b.String()
}

func (p *place) rules() string {
	s := p.conf
	text := fmt.Sprintf(`rules:
  - name: api-credits
    provider: hyperline
    product: itm_3kXODDF42QXtnL
    match: {all: true}
    threshold: provider
    buy: {bundles: [%s]}
    cooldown: %s
    confirm_after: %s
    declines: {backoff: 10s, max_backoff: 1m, suspend_after: 20}
    limits: {customer: {day: {purchases: %d}}}
%s`, s.Bundles, s.Cooldown, s.Confirm, s.DailyPurchases, s.Extra)
	if s.Voices > 0 {
		var names []string
		for n := range s.Voices {
			names = append(names, fmt.Sprintf("voice-%d", n+1))
		}
		text += fmt.Sprintf(`  - name: voice
    provider: [%s]
    match: {all: true}
    threshold: %s
    buy: {charge: %s}
    cooldown: %s
    confirm_after: %s
    limits: {customer: {day: {purchases: %d}}}
`, strings.Join(names, ", "), s.VoiceThreshold, s.VoiceCharge, s.Cooldown, s.Confirm, s.DailyPurchases)
	}
	return text
}

// process is one running topupd.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	log  []map[string]any
	raw  bytes.Buffer
	done chan struct{}
	err  error
}

// start runs the daemon; env are more variables, such as a fault point.
func (p *place) start(env ...string) *process {
	p.t.Helper()
	d := &process{t: p.t, done: make(chan struct{})}
	d.cmd = exec.Command(binary, "run", "--config", p.config())
	d.cmd.Env = append(os.Environ(), env...)
	read, write := io.Pipe()
	d.cmd.Stderr, d.cmd.Stdout = write, write
	go d.collect(read)
	if err := d.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		_ = write.Close()
		close(d.done)
	}()
	p.t.Cleanup(func() {
		_ = d.cmd.Process.Signal(syscall.SIGCONT)
		d.kill()
		if strings.Contains(d.tail(1<<20), "DATA RACE") {
			p.t.Error("the race detector found something")
		}
		if p.t.Failed() {
			p.t.Logf("log of process %d (last 60 lines):\n%s", d.cmd.Process.Pid, d.tail(60))
		}
	})
	return d
}

// started waits until the daemon works.
func (p *place) started(env ...string) *process {
	p.t.Helper()
	d := p.start(env...)
	until(p.t, 90*time.Second, "the daemon to start", func() bool { return d.has("started", nil) || d.ended() })
	if d.ended() {
		p.t.Fatalf("the daemon ended at once: %v\n%s", d.err, d.tail(20))
	}
	return d
}

func (d *process) collect(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var fields map[string]any
		_ = json.Unmarshal(lines.Bytes(), &fields) // not every line is JSON
		d.mu.Lock()
		d.raw.Write(lines.Bytes())
		d.raw.WriteByte('\n')
		if fields != nil {
			d.log = append(d.log, fields)
		}
		d.mu.Unlock()
	}
}

// has tells whether a log line with the message and the fields was written.
func (d *process) has(msg string, fields map[string]any) bool { return d.count(msg, fields) > 0 }

func (d *process) count(msg string, fields map[string]any) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
line:
	for _, l := range d.log {
		if l["msg"] != msg {
			continue
		}
		for k, v := range fields {
			if l[k] != v {
				continue line
			}
		}
		n++
	}
	return n
}

func (d *process) field(msg, key string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.log {
		if l["msg"] == msg {
			return fmt.Sprint(l[key])
		}
	}
	return ""
}

func (d *process) tail(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := strings.Split(strings.TrimRight(d.raw.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (d *process) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// kill is kill -9.
func (d *process) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}

// stop is SIGTERM, and waits; it returns the exit code.
func (d *process) stop() int {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.done
	return d.cmd.ProcessState.ExitCode()
}

// metrics scrapes the daemon. A page is shared for a second; what a query makes
// another one is as new as the question.
func (d *process) metrics() map[string]*dto.MetricFamily {
	d.t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/metrics?asked=%d", d.field("started", "listen"), scrapes.Add(1)))
	if err != nil {
		d.t.Fatalf("scraping: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		d.t.Fatalf("parsing the metrics: %v", err)
	}
	return families
}

// scrapes counts the pages of metrics that tests asked for.
var scrapes atomic.Int64

// value adds up the series of a metric that have all the labels given.
func (d *process) value(name string, labels ...string) (sum float64) {
	d.t.Helper()
	family := d.metrics()[name]
	if family == nil {
		return 0
	}
series:
	for _, m := range family.GetMetric() {
		for i := 0; i < len(labels); i += 2 {
			if !hasLabel(m, labels[i], labels[i+1]) {
				continue series
			}
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}

func hasLabel(m *dto.Metric, name, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == name && l.GetValue() == value {
			return true
		}
	}
	return false
}

// run runs a command and returns what it printed and its exit code.
func (p *place) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := exec.Command(binary, append(args, "--config", p.config())...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// bought is one line of purchases list -o jsonl.
type bought struct {
	ID, Provider, Customer, State, Payment, Currency string
	Reason, Reference                                *string
	IdempotencyKey                                   string `json:"idempotency_key"`
	Price                                            string `json:"price_excluding_tax"`
	Attempts                                         int
}

func (p *place) purchases() []bought {
	p.t.Helper()
	out, errs, code := p.run("purchases", "list", "-o", "jsonl", "--limit", "100000")
	if code != 0 {
		p.t.Fatalf("purchases list: exit %d: %s", code, errs)
	}
	var all []bought
	for line := range strings.Lines(out) {
		var b bought
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			p.t.Fatalf("purchases list printed %q: %v", line, err)
		}
		all = append(all, b)
	}
	return all
}

// open tells how many purchases are open, those that need review aside.
func (p *place) open() (n int) {
	for _, b := range p.purchases() {
		switch b.State {
		case "planned", "held", "sent", "confirmed":
			n++
		}
	}
	return n
}

// judge holds the ledger against the providers' own books: every captured
// payment belongs to exactly one purchase, every credited purchase whose payment
// is over has exactly one, no declined or cancelled one has any.
func (p *place) judge() (captured int) {
	p.t.Helper()
	byReference := map[string]emulator.Charge{}
	byKey := map[string]int{}
	books := p.emu.Books()
	for _, c := range books.Captured() {
		if c.Source != "api" {
			continue
		}
		captured++
		reference := c.Invoice
		if reference == "" {
			reference = c.ID
		}
		byReference[reference] = c
		if c.Key != "" {
			byKey[c.Key]++
		}
	}
	for key, n := range byKey {
		if n > 1 {
			p.t.Errorf("key %s was charged %d times", key, n)
		}
	}
	claimed := map[string]string{}
	risen := map[string]int{} // by environment: purchases that only a rise of the balance tells of
	for _, b := range p.purchases() {
		_, charged := byReference[deref(b.Reference)]
		switch {
		case strings.HasPrefix(deref(b.Reference), "balance-increase@"):
			risen[b.Customer]++
			charged = true // held against the payments below
		case b.Reference != nil:
			if other := claimed[*b.Reference]; other != "" {
				p.t.Errorf("%s belongs to purchases %s and %s", *b.Reference, other, b.ID)
			}
			claimed[*b.Reference] = b.ID
		}
		byOwnKey := byKey[b.IdempotencyKey]
		switch b.State {
		case "credited":
			if !charged && (b.Payment == "paid" || b.Payment == "none") {
				p.t.Errorf("purchase %s is credited (%s) under %s, and no such payment was captured", b.ID, b.Payment, deref(b.Reference))
			}
		case "declined", "cancelled":
			if byOwnKey > 0 || charged {
				p.t.Errorf("purchase %s is %s, and a payment was captured under its key", b.ID, b.State)
			}
		}
	}
	for reference, c := range byReference {
		switch {
		case claimed[reference] != "":
		case risen[c.Customer] > 0:
			risen[c.Customer]--
		case !p.inReviewFor(c.Customer):
			p.t.Errorf("payment %s of %s (%s) belongs to no purchase", reference, c.Customer, c.At)
		}
	}
	for environment, n := range risen {
		if n > 0 {
			p.t.Errorf("%d more purchases of %s were confirmed by a rise than payments were captured", n, environment)
		}
	}
	return captured
}

// inReviewFor tells whether a purchase of the customer waits for a person, who
// may find the charge.
func (p *place) inReviewFor(customer string) bool {
	for _, b := range p.purchases() {
		if b.State == "needs_review" && b.Customer == customer {
			return true
		}
	}
	return false
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
