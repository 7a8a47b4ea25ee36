package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"topupd/ledger/ledgertest"
)

// smallDisk mounts a file system of so many megabytes. Where that is not
// allowed, or TOPUPD_TEST_MOUNT=no, it returns why: the caller has another way.
func smallDisk(t *testing.T, dir string, megabytes int) error {
	t.Helper()
	if os.Getenv("TOPUPD_TEST_MOUNT") == "no" {
		return errors.New("TOPUPD_TEST_MOUNT=no")
	}
	if os.Getuid() != 0 {
		return errors.New("only root mounts file systems")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0755", megabytes)); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return nil
}

// fill takes all the space of a disk.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size >= 1; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

// limitFileSize lets no file of a process grow beyond so many bytes; "unlimited"
// lifts it.
func limitFileSize(t *testing.T, pid, bytes string) {
	t.Helper()
	if out, err := exec.Command("prlimit", "--pid", pid, "--fsize="+bytes+":").CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v: %s", err, out)
	}
}

// TestTheDiskUnderSQLiteIsFull: P2, P19. Nothing can be written down, so nothing
// is sent; the daemon stays, says why, and buys when there is space again.
func TestTheDiskUnderSQLiteIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mounted := smallDisk(t, dir, 8)
	k := newTrial(t, "sqlite:"+filepath.Join(dir, "topupd.db"), steady(30), brisk())
	d := k.started()
	k.buys(5, "purchases before")
	free := func() { limitFileSize(t, fmt.Sprint(d.cmd.Process.Pid), "unlimited") }
	if mounted == nil {
		free = fill(t, dir)
	} else {
		t.Logf("%v: the daemon's files may not grow instead", mounted)
		limitFileSize(t, fmt.Sprint(d.cmd.Process.Pid), "4096")
	}
	until(t, time.Minute, "the log to say that nothing can be written", func() bool {
		said := d.tail(1 << 20)
		return strings.Contains(said, "the disk is full; nothing is bought until there is space") || mounted != nil && strings.Contains(said, "disk I/O error")
	})
	sent := k.asked()
	stands(t, 4*time.Second, "nothing is sent while nothing can be written down", func() bool { return k.asked() == sent && !d.ended() })
	if n := d.value("topupd_ledger_errors_total"); n == 0 {
		t.Error("no error of the ledger was counted")
	}
	free()
	t.Logf("purchases resumed %s after there was space", k.buys(5, "purchases after").Round(100*time.Millisecond))
	k.over(d)
}

// TestASQLiteFileThatMayNotBeWritten: whoever starts is told what to do, and
// nothing is asked of a provider.
func TestASQLiteFileThatMayNotBeWritten(t *testing.T) {
	t.Parallel()
	k := newTrial(t, sqliteURL(t), quiet(1, 100), settings{})
	k.succeeds("migrate")
	path := strings.TrimPrefix(k.db, "sqlite:")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(path, 0o500); err != nil { // no file at all: root may write where others may not
		t.Fatal(err)
	}
	errs, code := k.refused()
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	contains(t, "the error", errs, path, "cannot be opened; check the owner and mode of the file and its folder")
	if n := k.asked(); n != 0 {
		t.Errorf("%d purchases were asked for", n)
	}
}

// TestTheDiskUnderPostgresIsFull: P2, P19. The server fails, or goes down until
// somebody makes space and starts it: nothing is sent, the daemon stays, and
// buys afterwards.
func TestTheDiskUnderPostgresIsFull(t *testing.T) {
	t.Parallel()
	var disk string
	var mounted error
	server := ledgertest.NewSolo(t, ledgertest.SoloOptions{
		Init: []string{"--wal-segsize=1"},
		// Small segments, no spare ones: the server needs space for its log at once.
		Settings: []string{"max_wal_size=2MB", "min_wal_size=2MB", "wal_recycle=off", "shared_buffers=4MB", "jit=off"},
		Prepare: func(dir string) {
			disk = filepath.Join(dir, "data")
			if err := os.Mkdir(disk, 0o700); err != nil {
				t.Fatal(err)
			}
			mounted = smallDisk(t, disk, 96)
			if err := os.Chmod(disk, 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("chown", "--reference="+dir, disk).CombinedOutput(); err != nil {
				t.Fatalf("chown: %v: %s", err, out)
			}
		},
	})
	k := newTrial(t, server.DSN, steady(30), brisk())
	d := k.started()
	k.buys(5, "purchases before")
	starve, free := k.starving(disk, mounted)
	until(t, time.Minute, "the ledger to fail for want of space", func() bool {
		starve()
		k.writesMuch(server)
		status, _ := d.get("/-/ready")
		return status == http.StatusServiceUnavailable
	})
	// Requests that had their permit may still arrive, and a checkpoint of the server's
	// makes room for a moment, in which a purchase is lawful.
	sent, since := k.asked(), time.Now()
	until(t, time.Minute, "nothing to be sent for four seconds while nothing can be written down", func() bool {
		starve()
		k.writesMuch(server)
		if d.ended() {
			t.Fatal("the daemon has ended")
		}
		status, _ := d.get("/-/ready")
		if n := k.asked(); n != sent || status != http.StatusServiceUnavailable {
			sent, since = n, time.Now()
		}
		return time.Since(since) > 4*time.Second
	})
	free()
	if !k.answers(server) {
		t.Log("the server had gone down; somebody starts it again")
		server.Ended()
		server.Start()
	}
	t.Logf("purchases resumed %s after there was space", k.buys(5, "purchases after").Round(100*time.Millisecond))
	k.over(d)
}

// starving takes the server's disk away, or lets none of its files grow, and
// gives it back.
func (k *killing) starving(disk string, mounted error) (starve, free func()) {
	k.t.Helper()
	if mounted == nil {
		var frees []func()
		return func() { frees = append(frees, fill(k.t, disk)) }, func() {
			for _, free := range frees {
				free()
			}
		}
	}
	k.t.Logf("%v: the server may write to no file beyond 8 kB instead", mounted)
	return func() { k.limitServer(disk, "8192") }, func() { k.limitServer(disk, "unlimited") }
}

// limitServer limits the files of a server and of all its processes.
func (k *killing) limitServer(disk, bytes string) {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(disk, "postmaster.pid"))
	if err != nil {
		return // it is down: nothing grows
	}
	postmaster, _, _ := strings.Cut(string(text), "\n")
	children, _ := exec.Command("pgrep", "-d", " ", "-P", postmaster).Output()
	prlimit := []string{"prlimit"}
	if os.Getuid() == 0 { // the server's user limits its own processes
		prlimit = []string{"runuser", "-u", "postgres", "--", "prlimit"}
	}
	for _, pid := range append(strings.Fields(string(children)), postmaster) {
		out, err := exec.Command(prlimit[0], append(prlimit[1:], "--pid", pid, "--fsize="+bytes+":")...).CombinedOutput()
		if err != nil && pid == postmaster { // the others end now and then
			k.t.Logf("prlimit: %v: %s", err, out)
		}
	}
}

// writesMuch fills several segments of the server's log, if it can.
func (k *killing) writesMuch(server *ledgertest.Solo) {
	db, err := sql.Open("postgres", server.DSN)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Second)
	defer cancel()
	for range 30 {
		if _, err := db.ExecContext(ctx, `SELECT pg_logical_emit_message(false, 'filler', repeat('x', 200000))`); err != nil {
			return // there is no space left
		}
	}
}

// answers waits for a server that restarts by itself; false when it is down.
func (k *killing) answers(server *ledgertest.Solo) bool {
	k.t.Helper()
	db, err := sql.Open("postgres", server.DSN)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for range 20 {
		if db.PingContext(k.t.Context()) == nil {
			return true
		}
		if _, err := os.Stat(filepath.Join(server.Dir(), "data", "postmaster.pid")); err != nil {
			return false
		}
		<-time.After(250 * time.Millisecond)
	}
	return false
}
