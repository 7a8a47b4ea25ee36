package ledger

import (
	"os"
	"syscall"
)

// remoteFilesystem names the network file system that holds the folder; "" for
// local ones. The magic numbers are those of statfs(2).
func remoteFilesystem(dir string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return "" // opening the file will say more
	}
	switch uint32(fs.Type) {
	case 0x6969:
		return "NFS"
	case 0xff534d42, 0xfe534d42, 0x517b:
		return "SMB"
	case 0x01021997:
		return "9p"
	default:
		return ""
	}
}

// lockFile takes the kernel's lock on the open file, or fails at once.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
