package deploytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is a program that runs until the test ends, and what it says.
type server struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines []string
	done  chan struct{}
}

// serve starts a program in a folder.
func serve(t *testing.T, dir, name string, args ...string) *server {
	t.Helper()
	s := &server{t: t, name: filepath.Base(name), done: make(chan struct{})}
	cmd := exec.Command(name, args...)
	s.cmd = cmd
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	go s.watch(read)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // what it said tells more
		_ = write.Close()
		close(s.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-s.done
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", s.name, s.said(30))
		}
	})
	return s
}

// kill ends the program at once.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) watch(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.lines = append(s.lines, lines.Text())
		s.mu.Unlock()
	}
}

// said is the last n lines.
func (s *server) said(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-n):], "\n")
}

// names waits until the program has said something that matches, and returns
// the first group.
func (s *server) names(pattern string) (found string) {
	s.t.Helper()
	expr := regexp.MustCompile(pattern)
	eventually(s.t, 30*time.Second, s.name+" to say "+pattern, func() string {
		if m := expr.FindStringSubmatch(s.said(1000)); m != nil {
			found = m[1]
			return ""
		}
		return "it has not"
	})
	return found
}

// eventually waits until problem is empty; it fails the test with what is left.
func eventually(t *testing.T, limit time.Duration, what string, problem func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		left := problem()
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s:\n%s", limit, what, left)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// scraped is a real Prometheus that scrapes a real daemon.
type scraped struct {
	t      *testing.T
	url    string
	daemon string // host:port
}

// reload has the daemon read its rules again, once its first picture was scraped.
func (p scraped) reload() {
	p.t.Helper()
	eventually(p.t, 30*time.Second, "the first scrape", func() string {
		n, problem := p.series("topupd_config_last_reload_success_timestamp_seconds")
		if n == 0 && problem == "" {
			return "nothing was scraped"
		}
		return problem
	})
	resp, err := http.Post("http://"+p.daemon+"/-/reload", "", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("POST /-/reload answered %s", resp.Status)
	}
}

// ask asks Prometheus and decodes the data of its answer; what is wrong comes
// back in words.
func (p scraped) ask(path string, query url.Values, into any) string {
	p.t.Helper()
	resp, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err.Error()
	}
	if answer.Status != "success" {
		return fmt.Sprintf("status %d: %s", resp.StatusCode, answer.Error)
	}
	return ""
}

// series tells how many series a query has now.
func (p scraped) series(query string) (n int, problem string) {
	p.t.Helper()
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if problem := p.ask("/api/v1/query", url.Values{"query": {query}}, &data); problem != "" {
		return 0, problem
	}
	if data.ResultType == "scalar" {
		return 1, ""
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data.Result, &list); err != nil {
		return 0, err.Error()
	}
	return len(list), ""
}

// scrapeDemo builds the daemon, runs its demo, and has it scraped every second
// with the alerts of deploy/ loaded.
func scrapeDemo(t *testing.T) scraped {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "topupd")
	output(t, File(".."), "go", "build", "-o", binary, "./cmd/topupd")
	demo := serve(t, dir, binary, "demo", "--log", "--listen", "127.0.0.1:0", "--emulator", "127.0.0.1:0")
	listen := demo.names(`metrics http://([0-9.:]+)/metrics`)

	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: topupd, static_configs: [{targets: [%q]}]}]
`, File("prometheus", "alerts.yml"), listen)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus := serve(t, dir, program(t, "prometheus", "prometheus"), "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address=127.0.0.1:0")
	return scraped{t, "http://" + prometheus.names(`Listening on.* address=([0-9.:]+)`), listen}
}
