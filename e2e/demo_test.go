package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// show is a running demo.
type show struct {
	t    *testing.T
	cmd  *exec.Cmd
	tmp  string // its folder for temporary files
	errs bytes.Buffer
	done chan struct{}

	mu    sync.Mutex
	lines []string
}

// demo starts the demo on free ports.
func demo(t *testing.T, args ...string) *show {
	t.Helper()
	s := &show{t: t, tmp: t.TempDir(), done: make(chan struct{})}
	s.cmd = exec.Command(binary, append([]string{"demo", "--listen", "127.0.0.1:0", "--emulator", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.tmp)
	s.cmd.Stderr = &s.errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.watch(out)
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
		if t.Failed() {
			t.Logf("the demo printed:\n%s\n%s", s.text(), s.errs.String())
		}
	})
	return s
}

func (s *show) watch(out io.Reader) {
	defer close(s.done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.mu.Lock()
		s.lines = append(s.lines, lines.Text())
		s.mu.Unlock()
	}
	_ = s.cmd.Wait() // the exit code says it
}

func (s *show) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// count counts the lines that match.
func (s *show) count(pattern string) int {
	return len(regexp.MustCompile("(?m)^.*"+pattern+".*$").FindAllString(s.text(), -1))
}

// addresses are the two that the first lines name.
func (s *show) addresses() []string {
	s.t.Helper()
	until(s.t, 20*time.Second, "the demo to say where it is", func() bool { return s.count("metrics http://") == 1 })
	var found []string
	for _, m := range regexp.MustCompile(`http://(127\.0\.0\.1:\d+)/`).FindAllStringSubmatch(s.text(), -1) {
		found = append(found, m[1])
	}
	if len(found) != 2 || strings.HasSuffix(found[0], ":0") {
		s.t.Fatalf("the first lines name %v", found)
	}
	return found
}

// gone fails the test when the demo has left something behind.
func (s *show) gone(addresses []string) {
	s.t.Helper()
	<-s.done
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("exit code %d", code)
	}
	left, err := os.ReadDir(s.tmp)
	if err != nil || len(left) > 0 {
		s.t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
	for _, address := range addresses {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			s.t.Errorf("somebody still listens on %s", address)
		}
	}
}

// TestTheDemoShowsEverythingInAMinute: purchases at both providers, a decline, a
// lost answer that is found again, and one that needs a person.
func TestTheDemoShowsEverythingInAMinute(t *testing.T) {
	t.Parallel()
	s := demo(t, "--for", "60s")
	addresses := s.addresses()
	for path, part := range map[string]string{
		"http://" + addresses[0] + "/metrics":         "topupd_targets{provider=\"hyperline\"}",
		"http://" + addresses[0] + "/-/healthy":       "healthy",
		"http://" + addresses[1] + "/_emulator/books": "charges",
	} {
		until(t, 20*time.Second, path+" to answer", func() bool {
			resp, err := http.Get(path)
			status, body := answerOf(t, resp, err)
			return status == http.StatusOK && strings.Contains(body, part)
		})
	}
	s.gone(addresses)
	for what, pattern := range map[string]string{
		"a Hyperline purchase":          `  hyperline  .*confirmed  inv_`,
		"a Talkover purchase":           `  voice-\d  .*confirmed  txn_`,
		"a decline":                     `declined .*next try in`,
		"a lost answer":                 `no clear answer`,
		"that it was found again":       `  hyperline  .*confirmed  found inv_`,
		"a purchase that needs someone": `  voice-\d  .*needs you: nobody can say whether it was charged`,
	} {
		if s.count(pattern) == 0 {
			t.Errorf("the demo does not show %s", what)
		}
	}
	text := s.text()
	last := text[strings.LastIndex(text, "\n")+1:]
	m := regexp.MustCompile(`^(\d+) bought \((.*EUR), (.*USD)\) · (\d+) declined · (\d+) lost answer`).FindStringSubmatch(last)
	if m == nil {
		t.Fatalf("the last line is %q", last)
	}
	if n, err := strconv.Atoi(m[1]); err != nil || n < 20 {
		t.Errorf("%d purchases in a minute, want 20 or more", n)
	}
	if s.errs.Len() > 0 {
		t.Errorf("the demo complained:\n%s", s.errs.String())
	}
}

// TestInterruptingTheDemoLeavesNothing: Ctrl-C in the middle of purchases.
func TestInterruptingTheDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	s := demo(t)
	addresses := s.addresses()
	until(t, 40*time.Second, "three purchases", func() bool { return s.count("confirmed ") >= 3 })
	if left, err := os.ReadDir(s.tmp); err != nil || len(left) != 1 {
		t.Errorf("the demo works in %v, %v; want one folder", left, err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.gone(addresses)
	if s.count(`\d+ bought \(`) != 1 {
		t.Error("no last line sums up")
	}
}
