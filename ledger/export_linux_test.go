package ledger

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// NamedFilesystem is what a file system of that number and mount type is called,
// and whether its locks are trusted.
func NamedFilesystem(magic uint32, mount string) (name string, ok bool) {
	return named(magic, func() string { return mount })
}

// IsMountPoint tells whether something is mounted exactly there.
func IsMountPoint(path string) bool { return isMountPoint(path) }

// LockedBySQLite tells, from outside this process, whether somebody has the file
// open through SQLite.
func LockedBySQLite(t testing.TB, path string) bool {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := idOf(info)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 8 && f[1] == "POSIX" && strings.HasSuffix(f[5], fmt.Sprintf(":%d", id.ino)) {
			return true
		}
	}
	return false
}
