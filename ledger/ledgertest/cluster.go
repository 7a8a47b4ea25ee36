package ledgertest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ClusterPassword is the password of a cluster's superuser.
const ClusterPassword = "s3cret/pass word"

// Cluster starts a PostgreSQL of the test's own, whose settings it may change,
// and returns the address that it listens on. The superuser topupd needs
// ClusterPassword; TLS is off. The server ends with the test.
func Cluster(t testing.TB) (address string) {
	t.Helper()
	s := newServer(t)
	s.initialize()
	s.start()
	return s.address
}

// server is a PostgreSQL in a folder of its own.
type server struct {
	t       testing.TB
	bin     string // folder of initdb
	dir     string
	as      []string // becomes the server's user
	address string
	running bool

	settings []string // "name=value"
	env      []string // "NAME=value"
}

// newServer makes a folder for a server and chooses its address.
func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, bin: os.Getenv("TOPUPD_TEST_POSTGRES_BIN"), address: freeAddress(t)}
	if s.bin == "" {
		t.Fatal("TOPUPD_TEST_POSTGRES_BIN names no folder with initdb: run make test, or scripts/test-postgres go test ./ledger/...")
	}
	var err error
	if s.dir, err = os.MkdirTemp("/tmp", "topupd-cluster-"); err != nil { //nolint:usetesting // t.TempDir is closed to the server's user and too long for a socket
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	t.Cleanup(s.kill)
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(ClusterPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // the server refuses to run as root
		s.as = []string{"runuser", "-u", "postgres", "--"}
		run(t, s.dir, nil, "chown", "-R", "postgres", s.dir)
	}
	return s
}

func (s *server) initialize(more ...string) {
	s.t.Helper()
	s.run("initdb", append([]string{
		"-D", s.dir + "/data", "-U", "topupd", "--auth=scram-sha-256",
		"--pwfile=" + s.dir + "/password", "--encoding=UTF8", "--locale=C", "--no-sync",
	}, more...)...)
}

func (s *server) start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	options := fmt.Sprintf("-p %s -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c fsync=off -c max_wal_senders=4", port, s.dir)
	if len(s.settings) > 0 {
		options += " -c " + strings.Join(s.settings, " -c ")
	}
	start := []string{filepath.Join(s.bin, "pg_ctl"), "-D", s.dir + "/data", "-l", s.dir + "/log", "-o", options, "-w", "-t", "30", "start"}
	if len(s.env) > 0 {
		start = append(append([]string{"env"}, s.env...), start...)
	}
	run(s.t, s.dir, s.as, start...)
	s.running = true
}

// kill ends the server as a power cut would.
func (s *server) kill() { s.stop("immediate") }

func (s *server) stop(mode string) {
	s.t.Helper()
	if s.running {
		s.run("pg_ctl", "-D", s.dir+"/data", "-m", mode, "-w", "-t", "60", "stop")
	}
	s.running = false
}

// run runs one of PostgreSQL's programs as the server's user.
func (s *server) run(program string, args ...string) {
	s.t.Helper()
	run(s.t, s.dir, s.as, append([]string{filepath.Join(s.bin, program)}, args...)...)
}

// dsn reaches the server's own database, postgres.
func (s *server) dsn() string { return clusterDSN(s.address, nil) }

func clusterDSN(host string, options url.Values) string {
	query := url.Values{"sslmode": {"disable"}}
	for key, value := range options {
		query[key] = value
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword("topupd", ClusterPassword), Host: host, Path: "/postgres", RawQuery: query.Encode()}
	return u.String()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func run(t testing.TB, dir string, as []string, command ...string) {
	t.Helper()
	all := append(append([]string{}, as...), command...)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), all[0], all[1:]...) // also in Cleanup
	cmd.Dir = dir
	log, err := os.CreateTemp(dir, "command-") // a pipe would wait for the server, which inherits it
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Errorf("%v: %v\n%s", command, err, text)
	}
}
