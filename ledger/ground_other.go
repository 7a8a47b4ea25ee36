//go:build !linux

package ledger

import (
	"os"
	"path/filepath"
	"syscall"
)

// lockable is false where flock and SQLite's own locks are the same ones: a lock
// on the file would keep SQLite out too.
const lockable = false

func virtiofsNote(string) string { return "" }

// isMountPoint tells whether the file lies on another device than its folder.
func isMountPoint(path string) bool {
	var file, dir syscall.Stat_t
	return syscall.Lstat(path, &file) == nil && syscall.Stat(filepath.Dir(path), &dir) == nil && file.Dev != dir.Dev
}

// lockFile takes the kernel's lock on the open file, or fails at once.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func unlockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
