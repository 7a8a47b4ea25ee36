package ledgertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ClusterPassword is the password of a cluster's superuser.
const ClusterPassword = "s3cret/pass word"

// Cluster starts a PostgreSQL of the test's own, whose settings it may change,
// and returns the address that it listens on. The superuser topupd needs
// ClusterPassword; TLS is off. The server ends with the test.
func Cluster(t testing.TB) (address string) {
	t.Helper()
	bin := os.Getenv("TOPUPD_TEST_POSTGRES_BIN")
	if bin == "" {
		t.Fatal("TOPUPD_TEST_POSTGRES_BIN names no folder with initdb: run make test, or scripts/test-postgres go test ./ledger/...")
	}
	dir, err := os.MkdirTemp("/tmp", "topupd-cluster-") //nolint:usetesting // t.TempDir is closed to the server's user and too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(ClusterPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var as []string
	if os.Getuid() == 0 { // the server refuses to run as root
		as = []string{"runuser", "-u", "postgres", "--"}
		run(t, dir, nil, "chown", "-R", "postgres", dir)
	}
	address = freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, as, filepath.Join(bin, "initdb"), "-D", dir+"/data", "-U", "topupd", "--auth=scram-sha-256",
		"--pwfile="+dir+"/password", "--encoding=UTF8", "--locale=C", "--no-sync")
	options := fmt.Sprintf("-p %s -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c fsync=off -c max_wal_senders=4", port, dir)
	run(t, dir, as, filepath.Join(bin, "pg_ctl"), "-D", dir+"/data", "-l", dir+"/log", "-o", options, "-w", "-t", "30", "start")
	t.Cleanup(func() { run(t, dir, as, filepath.Join(bin, "pg_ctl"), "-D", dir+"/data", "-m", "immediate", "stop") })
	return address
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
