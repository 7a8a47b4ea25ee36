package ledger

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// lockable tells whether a lock on the file is another one than SQLite's: flock
// and fcntl do not see each other on Linux.
const lockable = true

const trustedFilesystems = "ext4, xfs, btrfs, zfs, f2fs, bcachefs, tmpfs, overlayfs"

// trusted are the file systems of one kernel, whose locks hold for everybody who
// can reach the file. The numbers are those of statfs(2) and of linux/magic.h.
var trusted = map[uint32]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x2fc12fc1: "zfs", 0xf2f52010: "f2fs",
	0xca451a4e: "bcachefs", 0x01021994: "tmpfs", 0x794c7630: "overlayfs",
}

// untrusted are names of others that people use.
var untrusted = map[uint32]string{
	0x6969: "NFS", 0xff534d42: "SMB", 0xfe534d42: "SMB", 0x517b: "SMB", 0x01021997: "9p", fuseMagic: "FUSE",
	0x00c36400: "Ceph", 0x7461636f: "OCFS2", 0x5346414f: "AFS", 0x6b414653: "AFS", 0x73757245: "Coda", 0xf15f: "eCryptfs",
	0x2011bab0: "exFAT", 0x4d44: "FAT", 0x52654973: "ReiserFS", 0x858458f6: "ramfs",
}

const fuseMagic = 0x65735546

// filesystem names the file system that holds the folder, and tells whether
// locks on it are known to hold.
func filesystem(dir string) (name string, ok bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Sprintf("a file system that does not say what it is (%v)", err), false
	}
	return named(uint32(fs.Type), func() string { return mountType(dir) }) //nolint:gosec // the kernel's own 32 bits
}

// named is filesystem after the kernel has answered; kind asks what the mount
// calls itself.
func named(magic uint32, kind func() string) (name string, ok bool) {
	if name, ok := trusted[magic]; ok {
		return name, true
	}
	name, known := untrusted[magic]
	if !known {
		name = fmt.Sprintf("a file system that topupd does not know (0x%x)", magic)
	}
	if own := kind(); own != "" && !strings.EqualFold(own, name) {
		name += ", " + own
	}
	return name, false
}

// virtiofsNote: virtiofs is a disk of the host that says it is FUSE.
func virtiofsNote(name string) string {
	if !strings.HasPrefix(name, "FUSE") {
		return ""
	}
	return "; virtiofs, a folder of the host inside a virtual machine, is FUSE too: give the machine a disk of its own for the ledger"
}

// mounts gives every mount of this process to see, until that returns false.
// The fields are those of proc(5).
func mounts(see func(device, point, kind string) bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return // without it, the device numbers have to do
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(rest) < 1 {
			continue
		}
		if !see(fields[2], octal.Replace(fields[4]), rest[0]) {
			return
		}
	}
}

// octal undoes how proc(5) writes what would break a line.
var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountType is what the mount of a folder calls its file system; "" = unknown.
func mountType(dir string) (found string) {
	var stat syscall.Stat_t
	if syscall.Stat(dir, &stat) != nil {
		return ""
	}
	device := fmt.Sprintf("%d:%d", stat.Dev>>8&0xfff|stat.Dev>>32&^0xfff, stat.Dev&0xff|stat.Dev>>12&^0xff)
	mounts(func(d, _, kind string) bool {
		if d == device {
			found = kind
		}
		return found == ""
	})
	return found
}

// isMountPoint tells whether something is mounted exactly there.
func isMountPoint(path string) (found bool) {
	mounts(func(_, point, _ string) bool {
		found = point == path
		return !found
	})
	return found
}

// lockFile takes the kernel's lock on the open file, or fails at once.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func unlockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
