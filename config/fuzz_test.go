package config

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/config/yamlfile"
	"topupd/internal/fuzztest"
	"topupd/topup"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzLoad: a configuration is refused with file and line, or is one that can be
// run with and loads the same again; a secret is never shown.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add(content[:len(content)/2]) // while it is being written
	}
	path := filepath.Join(f.TempDir(), "topupd.yml")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := Load(path, environment)
		if c == nil {
			t.Fatal("no Config")
		}
		if strings.Contains(problems.Error(), "from-the-environment") {
			t.Errorf("a secret is shown: %s", problems)
		}
		checkProblems(t, problems, path, content)
		if problems.Err() != nil {
			return
		}
		if c.Mode == "" || len(c.Providers) == 0 || (c.Mode == Active && len(c.Limits.Global) == 0 && !c.Limits.Unlimited) {
			t.Errorf("accepted %q as %+v", content, c)
		}
		for _, p := range c.Providers {
			checkProvider(t, p)
		}
		again, problems := Load(path, environment)
		if diff := cmp.Diff(c, again); diff != "" || problems.Err() != nil {
			t.Errorf("loaded again it is %v:\n%s", problems.Err(), diff)
		}
	})
}

// checkProblems: every problem says where in the file, unless the file as a
// whole is meant.
func checkProblems(t *testing.T, problems yamlfile.Problems, path string, content []byte) {
	t.Helper()
	lines := 1
	for _, r := range string(content) { // as YAML counts them, and more
		if strings.ContainsRune("\r\n\u0085\u2028\u2029", r) {
			lines++
		}
	}
	for _, p := range problems {
		if p.File != path || p.Line > lines || p.Message == "" {
			t.Errorf("%+v is about no line of the %d", p, lines)
		}
		if p.Line == 0 && !strings.Contains(p.Message, "missing") && !strings.Contains(p.Message, "empty") {
			t.Errorf("%q has a problem without a line: %s", content, p.Message)
		}
	}
}

func checkProvider(t *testing.T, p Provider) {
	t.Helper()
	r := p.RateLimit
	if r.SharePercent < 1 || r.SharePercent > 100 || p.Type == topup.Hyperline && (r.Reads.Count < 1 || r.Writes.Count < 1) || p.Type == topup.Talkover && r.Requests.Count < 1 {
		t.Errorf("%s has the limits %+v", p.Name, r)
	}
	if !p.Loopback() && (p.PurchaseTimeout < minPurchaseTimeout || p.UnknownOutcome.QuietPeriod < quietTimeouts*p.PurchaseTimeout || p.FirstPurchaseAfter < p.PurchaseTimeout) {
		t.Errorf("%s has the times %v, %v, %v", p.Name, p.PurchaseTimeout, p.UnknownOutcome.QuietPeriod, p.FirstPurchaseAfter)
	}
	if p.Type == topup.Talkover && p.UnknownOutcome.Policy != Review || !p.Poll.Auto && p.Poll.Every < time.Second {
		t.Errorf("%s: policy %s, poll %+v", p.Name, p.UnknownOutcome.Policy, p.Poll)
	}
	if !strings.HasPrefix(string(p.Identity()), string(p.Type)+"://") {
		t.Errorf("%s is %s", p.Name, p.Identity())
	}
	checkURL(t, p.BaseURL)
}

// checkURL: what the token is sent to is said in one way, and never in the clear
// to another machine.
func checkURL(t *testing.T, u *url.URL) {
	t.Helper()
	host, port := u.Hostname(), u.Port()
	switch {
	case u.Scheme != "https" && u.Scheme != "http", host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		t.Errorf("base_url %q", u)
	case u.Scheme == "http" && !loopback(host):
		t.Errorf("the token would be sent in the clear to %s", host)
	case strings.HasSuffix(host, "."), strings.ContainsFunc(host, func(r rune) bool { return r > '~' || r <= ' ' || r == '%' }):
		t.Errorf("the host %q has another spelling", host)
	case port != "" && (len(port) > 5 || port[0] == '0' || strings.Trim(port, "0123456789") != ""):
		t.Errorf("the port %q has another spelling", port)
	}
}

// folder is one with a rule file, for value.
func folder(f *testing.F) string {
	f.Helper()
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r.yml"), nil, 0o600); err != nil {
		f.Fatal(err)
	}
	return dir
}

// value puts one text where a configuration in the folder has a value.
func value(t *testing.T, dir, key, text string) (*Config, yamlfile.Problems) {
	t.Helper()
	quoted, err := json.Marshal(text) // JSON texts are YAML texts
	if err != nil {
		t.Fatal(err)
	}
	provider := "{name: a, type: talkover, environment_id: e, user_token: one-token, environment_token: another-token}"
	database := `"sqlite:topupd.db"`
	switch key {
	case "base_url":
		provider = fmt.Sprintf("{name: a, type: talkover, environment_id: e, user_token: one-token, environment_token: another-token, base_url: %s}", quoted)
	case "database_url":
		database = string(quoted)
	}
	listen := `"127.0.0.1:9846"`
	if key == "listen" {
		listen = string(quoted)
	}
	yml := fmt.Sprintf("mode: dry_run\ndatabase_url: %s\nhttp: {listen: %s}\nproviders:\n  - %s\nrule_files: [r.yml]\n", database, listen, provider)
	if err := os.WriteFile(filepath.Join(dir, "topupd.yml"), []byte(yml), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(filepath.Join(dir, "topupd.yml"), func(string) string { return "" })
}

// FuzzAddresses: a base URL is one that the token may be sent to, and two that
// mean one account have one identity; a database is a file or a server, and its
// password is in no message and no log line; an address to listen on can be split
// and has a port.
func FuzzAddresses(f *testing.F) {
	for _, text := range []string{
		"https://app.talkover.ai", "https://APP.Talkover.AI:443/", "https://app.talkover.ai.", "https://app.talkover.ai:0443", "http://127.0.0.1:8080/talkover/",
		"http://app.talkover.ai", "https://user:pass@app.talkover.ai", "https://app.talkover.ai?x", "https://app.talkover.ai#", "//app.talkover.ai", "https://",
		"https://[::1]:9", "https://ａpp.talkover.ai", "https://app.talkover.ai:", "https://app.talkover.ai:99999", "http://localhost", "https://%61pp.talkover.ai", "https://app.talkover.ai/%2e%2e/x",
		"sqlite:topupd.db", "sqlite://topupd.db", "sqlite:", "sqlite::memory:", "sqlite:a?mode=memory", "postgres://topupd:hunter2-secret@db.internal/topupd?sslmode=verify-full",
		"postgres://topupd:hunter2-secret@db.internal", "postgresql://h/d?password=hunter2-secret", "mysql://topupd:hunter2-secret@h/d", "postgres://topupd:hunter2-secret@h:x/d", "host=db password=hunter2-secret",
		"postgres://topupd:hunter2-secret@h/d%zz", "postgres://u@/d?host=/run&password=hunter2-secret",
		"127.0.0.1:9846", ":9846", "localhost:0", "[::1]:80", "127.0.0.1", ":", ":65536", ":http", "::1:80", "a:b:1", ":-1", ":+1", ":0080",
	} {
		f.Add(text)
	}
	dir := folder(f)
	f.Fuzz(func(t *testing.T, text string) {
		checkBaseURL(t, dir, text)
		checkDatabaseURL(t, dir, text)
		checkListen(t, dir, text)
	})
}

func checkBaseURL(t *testing.T, dir, text string) {
	t.Helper()
	c, problems := value(t, dir, "base_url", text)
	if problems.Err() != nil || len(c.Providers) != 1 {
		return
	}
	p := c.Providers[0]
	checkURL(t, p.BaseURL)
	loud := p
	again, err := url.Parse(strings.ToUpper(p.BaseURL.Scheme) + "://" + strings.ToUpper(p.BaseURL.Host))
	if err != nil {
		t.Fatal(err)
	}
	if loud.BaseURL = again; loud.Identity() != p.Identity() {
		t.Errorf("%q is %s, in capitals %s", text, p.Identity(), loud.Identity())
	}
}

func checkDatabaseURL(t *testing.T, dir, text string) {
	t.Helper()
	c, problems := value(t, dir, "database_url", text)
	const password = "hunter2-secret"
	if strings.Contains(problems.Error(), password) || strings.Contains(fmt.Sprintf("%v %+v", c.DatabaseURL, c), password) {
		t.Errorf("the password is shown: %v", problems)
	}
	if u, err := url.Parse(text); err != nil || u.User == nil || strings.Contains(u.Host+u.Path, password) || strings.HasPrefix(text, "sqlite:") {
		return
	}
	if problems.Err() == nil && strings.Contains(c.DatabaseName(), password) {
		t.Errorf("the password is in the name %q", c.DatabaseName())
	}
}

func checkListen(t *testing.T, dir, text string) {
	t.Helper()
	c, problems := value(t, dir, "listen", text)
	if problems.Err() != nil {
		return
	}
	_, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil || port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		t.Errorf("accepted %q: port %q, %v", text, port, err)
	}
}

// FuzzWords: rates, shares, schedules and secrets are read within their bounds.
func FuzzWords(f *testing.F) {
	for _, text := range []string{"200/10s", "1/1s", "999999/1h", "0/1s", "1000000/1s", "5/0s", "5/2h", "50%", "0%", "100%", "101%", "050%", "auto", "@every 1s", "@every 24h", "@every 25h", "@every -5s", "@every 0.5s", "0 2 * * *", "TZ=UTC", "CRON_TZ=x * * * * *"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var rate rateText
		if rate.ReadText(text) == nil && (rate.Count < 1 || rate.Count > 999_999 || rate.Window < time.Second || rate.Window > time.Hour) {
			t.Errorf("%q is the rate %+v", text, rate)
		}
		var share sharePercent
		if share.ReadText(text) == nil && (share < 1 || share > 100 || fmt.Sprintf("%d%%", share) != text) {
			t.Errorf("%q is the share %d", text, share)
		}
		var poll pollText
		if poll.ReadText(text) == nil && !poll.Auto && (poll.Every < time.Second || poll.Every > 24*time.Hour) {
			t.Errorf("%q is the schedule %+v", text, poll)
		}
		var secret secretText
		if secret.ReadText(text) == nil && (len(secret) == 0 || len(secret) > maxSecret || strings.ContainsAny(string(secret), "\r\n\x00")) {
			t.Errorf("%q is a secret", text)
		}
	})
}
