package ledger

import (
	"fmt"
	"syscall"
)

const trustedFilesystems = "apfs, hfs"

// filesystem names the file system that holds the folder, and tells whether
// locks on it are known to hold.
func filesystem(dir string) (name string, ok bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Sprintf("a file system that does not say what it is (%v)", err), false
	}
	for _, c := range fs.Fstypename {
		if c == 0 {
			break
		}
		name += string(rune(c))
	}
	return name, name == "apfs" || name == "hfs"
}
