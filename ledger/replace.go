package ledger

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// incomingSuffix names the copy that is being made and checked; the ledger is as
// it was.
const incomingSuffix = ".incoming"

// replace puts PATH.incoming in the place of the ledger, whose files are kept
// under another name. A process that dies in between leaves a ledger that nobody
// opens until restore has run again.
func replace(path string, now time.Time) (kept string, err error) {
	if err := os.Rename(path+incomingSuffix, path+restoringSuffix); err != nil {
		return "", err
	}
	if err := syncFolder(path); err != nil {
		return "", err
	}
	old := path + ".replaced-" + now.UTC().Format("20060102T150405.000000Z")
	for _, suffix := range []string{"", "-wal", "-journal"} {
		switch err := os.Rename(path+suffix, old+suffix); {
		case err == nil && suffix == "":
			kept = old
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return "", err
		}
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := syncFolder(path); err != nil {
		return "", err
	}
	if err := os.Rename(path+restoringSuffix, path); err != nil {
		return "", err
	}
	return kept, syncFolder(path)
}

// syncFolder makes the names in the folder of a file last.
func syncFolder(path string) error { return syncFile(folder(path)) }

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeFiles removes a SQLite file and what belongs to it.
func removeFiles(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// The bytes of a database file that SQLite locks: PENDING_BYTE, RESERVED_BYTE and
// SHARED_FIRST to SHARED_FIRST + SHARED_SIZE, sqlite3/src/os.h. Whoever has the
// file open holds one of them.
const (
	sqliteLocks    = 0x40000000
	sqliteLocksLen = 512
)

// openedBy is the process that has the file open through SQLite; 0 = nobody. It
// takes the locks that SQLite would need, so that nobody opens it afterwards.
func openedBy(f *os.File) (pid int, err error) {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: sqliteLocks, Len: sqliteLocksLen}
	for {
		err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock)
		if err == nil || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
			return 0, err
		}
		who := lock
		if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &who); err != nil {
			return 0, err
		}
		if who.Type != syscall.F_UNLCK { // else it went away in between
			return int(who.Pid), nil
		}
	}
}
