package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fileLock is PATH.lock, held. Its first line is the process id of the holder,
// for people; its second the path of the ledger, once there is one.
type fileLock struct{ file *os.File }

// takeLock takes PATH.lock or says who holds it. The kernel gives the lock back
// however the process ends; the file itself stays.
func takeLock(path string) (*fileLock, error) {
	name := path + ".lock"
	f, err := openLock(name)
	if err != nil {
		return nil, fmt.Errorf("locking the ledger: %w", err)
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
		return nil, fmt.Errorf("%w: %s is locked by process %s; stop it first, or give this one another database_url", ErrLocked, name, holder(f))
	}
	l := &fileLock{f}
	_, ledger, _ := strings.Cut(content(f), "\n")
	l.write(strings.TrimSpace(ledger))
	return l, nil
}

// openLock opens the lock for everybody who may use its folder: what root makes
// belongs to the folder's owner, or the daemon could not open it later.
func openLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	}
	if err == nil {
		_ = belongLike(f.Name(), folder(name)) // only root can, and only root need
	}
	return f, err
}

// write is for people: the lock holds without it.
func (l *fileLock) write(ledger string) {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if ledger != "" {
		text += ledger + "\n"
	}
	if err := l.file.Truncate(0); err == nil {
		_, _ = l.file.WriteAt([]byte(text), 0)
	}
}

// made notes that there is a ledger: when it is gone at the next start, somebody
// took it away.
func (l *fileLock) made(path string) {
	if !strings.Contains(content(l.file), "\n"+path+"\n") {
		l.write(path)
	}
}

// wasMade tells whether a ledger was at this path.
func wasMade(path string) bool {
	text, err := os.ReadFile(path + ".lock")
	return err == nil && strings.Contains(string(text), "\n"+path+"\n")
}

// servedAs tells whether a daemon holds the ledger under this very path.
func servedAs(path string) bool {
	f, err := os.Open(path + ".lock")
	if err != nil {
		return false
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK) && strings.Contains(content(f), "\n"+path+"\n")
}

func content(f *os.File) string {
	text := make([]byte, 4200)
	n, _ := f.ReadAt(text, 0)
	return string(text[:n])
}

// holder reads the process id that the lock's owner wrote.
func holder(f *os.File) string {
	pid, _, _ := strings.Cut(content(f), "\n")
	if pid = strings.TrimSpace(pid); pid != "" {
		return pid
	}
	return "(unknown)"
}

// waitForLock waits for another migration to end, for as long as a small one takes.
func waitForLock(ctx context.Context, path string) (*fileLock, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		l, err := takeLock(path)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-again.C:
		}
	}
}

func (l *fileLock) release() { _ = l.file.Close() }

func folder(path string) string { return filepath.Dir(path) }

// belongLike gives a file the owner of another one.
func belongLike(path, model string) error {
	info, err := os.Lstat(model)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	own, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if has, ok := own.Sys().(*syscall.Stat_t); ok && has.Uid == stat.Uid && has.Gid == stat.Gid {
		return nil
	}
	return os.Chown(path, int(stat.Uid), int(stat.Gid))
}
