package ledger_test

import (
	"errors"
	"testing"

	"topupd/ledger"
)

func TestOneFileMountedIsRefused(t *testing.T) {
	t.Parallel()
	if !ledger.IsMountPoint("/proc") || ledger.IsMountPoint("/proc/self") || ledger.IsMountPoint(closed(t)) {
		t.Error("/proc is where something is mounted, and what lies in it is not")
	}
}

// The decision by what the kernel says; the mount of a test machine is no NFS.
func TestOnlyKnownFilesystemsAreTrusted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		magic   uint32
		mount   string
		want    string
		trusted bool
	}{
		{0xef53, "ext3", "ext4", true},
		{0x58465342, "xfs", "xfs", true},
		{0x9123683e, "btrfs", "btrfs", true},
		{0x2fc12fc1, "zfs", "zfs", true},
		{0xf2f52010, "f2fs", "f2fs", true},
		{0xca451a4e, "bcachefs", "bcachefs", true},
		{0x01021994, "tmpfs", "tmpfs", true},
		{0x794c7630, "overlay", "overlayfs", true},
		{0x6969, "nfs4", "NFS, nfs4", false},
		{0xfe534d42, "cifs", "SMB, cifs", false},
		{0x01021997, "9p", "9p", false},
		{0x65735546, "fuse.bindfs", "FUSE, fuse.bindfs", false},
		{0x65735546, "virtiofs", "FUSE, virtiofs", false},
		{0x65735546, "", "FUSE", false},
		{0x12345678, "newfs", "a file system that topupd does not know (0x12345678), newfs", false},
		{0, "", "a file system that topupd does not know (0x0)", false},
	} {
		if got, ok := ledger.NamedFilesystem(tt.magic, tt.mount); got != tt.want || ok != tt.trusted {
			t.Errorf("%x mounted as %q: %q, %t; want %q, %t", tt.magic, tt.mount, got, ok, tt.want, tt.trusted)
		}
	}
}

// /proc is a file system, and no disk.
func TestAnUnknownFilesystemIsRefusedAndCanBeInsistedOn(t *testing.T) {
	t.Parallel()
	path := "/proc/self/topupd.db"
	words := []string{path, "does not know", "proc", "would charge twice", "PostgreSQL", "database_filesystem: " + ledger.AtTheRisk}
	refuses(t, "for a daemon", path, ledger.Options{Lock: true}, words...)
	refuses(t, "for a command that writes", path, ledger.Options{}, words...)
	refuses(t, "for who insists", path, ledger.Options{Lock: true, AnyFilesystem: true}, "locking the ledger")
	refuses(t, "for a reader", path, ledger.Options{ReadOnly: true}, "there is no ledger to read")
}

// Closing a descriptor of a database file takes away every lock that SQLite
// holds on it in this process; other stores on the file still need theirs.
func TestTheLocksOfOtherStoresOutliveTheDaemons(t *testing.T) {
	t.Parallel()
	path := closed(t)
	daemon := unmigrated(t, "sqlite:"+path, ledger.Options{Lock: true})
	reader := open(t, "sqlite:"+path, ledger.Options{ReadOnly: true})
	if _, err := reader.Now(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, daemon.Close())
	if !ledger.LockedBySQLite(t, path) {
		t.Error("a reader has the file open, and its lock is gone")
	}
	again := unmigrated(t, "sqlite:"+path, ledger.Options{Lock: true})
	must(t, errors.Join(again.Close(), reader.Close()))
	if ledger.LockedBySQLite(t, path) {
		t.Error("everything is closed, and something holds a lock")
	}
}
