package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// whole is a whole number of credits.
func whole(n int64) decimal.Decimal { return decimal.MustNew(n, 0) }

// quiet is a world of Hyperline customers with one balance each, a threshold of
// 500, and no usage.
func quiet(customers int, balance int64) emulator.Options {
	return emulator.Options{Seed: 7, Hyperline: emulator.HyperlineOptions{
		Customers: customers, NoUsage: true, Threshold: whole(500), Reads: -1, Writes: -1,
		StartBalance: emulator.Range{Min: whole(balance), Max: whole(balance)},
	}}
}

// stance is one line of targets list -o jsonl.
type stance struct {
	Provider, Customer, Reason, Class, Text string
	Below                                   bool
	Balance                                 *string
}

func (p *place) targets() []stance {
	p.t.Helper()
	out, errs, code := p.run("targets", "list", "-o", "jsonl")
	if code != 0 {
		p.t.Fatalf("targets list: exit %d: %s", code, errs)
	}
	var all []stance
	for line := range strings.Lines(out) {
		var s stance
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			p.t.Fatalf("targets list printed %q: %v", line, err)
		}
		all = append(all, s)
	}
	return all
}

// stance is how one customer stands in the ledger.
func (p *place) stance(customer string) stance {
	p.t.Helper()
	for _, s := range p.targets() {
		if s.Customer == customer {
			return s
		}
	}
	return stance{}
}

// edit replaces a text in a file of the configuration; it must be there.
func (p *place) edit(name, before, after string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(string(text), before) {
		p.t.Fatalf("%s does not contain %q", name, before)
	}
	p.write(name, strings.ReplaceAll(string(text), before, after))
}

// succeeds runs a command that must end well, and returns what it printed.
func (p *place) succeeds(args ...string) string {
	p.t.Helper()
	out, errs, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("topupd %s: exit %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refused starts a daemon that must end at once, and returns what it said and
// its exit code.
func (p *place) refused() (said string, code int) {
	p.t.Helper()
	d := p.start()
	until(p.t, 30*time.Second, "the daemon to refuse to start", func() bool { return d.ended() && d.tail(1) != "" })
	return d.tail(50), d.cmd.ProcessState.ExitCode()
}

// captured counts the payments that the API made.
func (p *place) captured() (n int) {
	for _, c := range p.emu.Books().Captured() {
		if c.Source == emulator.SourceAPI {
			n++
		}
	}
	return n
}

// asked counts the purchase requests that reached a provider.
func (p *place) asked() int { return len(p.emu.Books().Requests) }

// setBalance makes a balance what it is said to be.
func (p *place) setBalance(customer string, credits int64) {
	p.t.Helper()
	if err := p.emu.SetBalance(customer, whole(credits)); err != nil {
		p.t.Fatal(err)
	}
}

// polls waits until n more polls have ended, well or badly.
func (d *process) polls(n int) {
	d.t.Helper()
	before := d.value("topupd_polls_total")
	until(d.t, 30*time.Second, "more polls", func() bool { return d.value("topupd_polls_total") >= before+float64(n) })
}

// below waits until the metric shows n targets below their threshold for the
// reason.
func (d *process) below(reason string, n float64) {
	d.t.Helper()
	until(d.t, 30*time.Second, "targets below their threshold: "+reason, func() bool {
		return d.value("topupd_targets_below_threshold", "reason", reason) == n
	})
}

// decides waits until the reason was decided on once more.
func (d *process) decides(reason string) {
	d.t.Helper()
	before := d.value("topupd_decisions_total", "reason", reason)
	until(d.t, 30*time.Second, "a decision: "+reason, func() bool {
		return d.value("topupd_decisions_total", "reason", reason) > before
	})
}

// settles waits until n purchases are credited and nothing else is open, and
// holds the ledger against the books.
func (p *place) settles(n int) {
	p.t.Helper()
	until(p.t, 60*time.Second, "the purchase to settle", func() bool {
		credited := 0
		for _, b := range p.purchases() {
			if b.State == "credited" {
				credited++
			}
		}
		return credited >= n && p.open() == 0
	})
	if captured := p.judge(); captured != n {
		p.t.Errorf("%d payments were captured, want %d", captured, n)
	}
}

// get asks the daemon's HTTP server.
func (d *process) get(path string) (status int, body string) {
	d.t.Helper()
	resp, err := http.Get("http://" + d.field("started", "listen") + path)
	return answerOf(d.t, resp, err)
}

// reload is POST /-/reload.
func (d *process) reload() (status int, body string) {
	d.t.Helper()
	resp, err := http.Post("http://"+d.field("started", "listen")+"/-/reload", "", nil)
	return answerOf(d.t, resp, err)
}

func answerOf(t *testing.T, resp *http.Response, err error) (status int, body string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// contains fails the test when a text lacks one of the parts. It compares words:
// where a line is broken is up to the width.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for _, part := range parts {
		if !strings.Contains(words(text), words(part)) {
			t.Errorf("%s does not say %q:\n%s", what, part, text)
		}
	}
}
