//go:build !linux

package ledger

import (
	"os"
	"syscall"
)

// remoteFilesystem has no portable form.
func remoteFilesystem(string) string { return "" }

// lockFile takes the kernel's lock on the open file, or fails at once.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
