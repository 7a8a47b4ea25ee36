package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"topupd/topup"
)

// ground is the file under a SQLite ledger, as it was when it was opened. What
// has another name, or lies where locks do not hold, can be opened twice: two
// daemons on one file charge twice.
type ground struct {
	path string
	info os.FileInfo
	held *os.File // locked for as long as the ledger is open; nil without Options.Lock
}

// fileID names a file on this machine, whatever it is called.
type fileID struct{ dev, ino uint64 }

func idOf(info os.FileInfo) (fileID, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	return fileID{uint64(stat.Dev), uint64(stat.Ino)}, true //nolint:unconvert // their sizes differ between systems
}

// stands tells whether the path still leads to the file that was opened. The
// error says what happened and what to do; it passes when the file is back.
func (g *ground) stands() error {
	if g == nil {
		return nil
	}
	const remedy = "nothing is bought: what is written now is in a file that nobody will find again"
	info, err := os.Lstat(g.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %s was renamed or deleted while it was in use; %s; put it back (buying resumes by itself), or stop topupd and restore a backup",
			topup.ErrLedgerUnfit, g.path, remedy)
	case err != nil:
		return fmt.Errorf("%w: %s cannot be looked at: %w", topup.ErrLedgerUnfit, g.path, err)
	case !os.SameFile(info, g.info):
		return fmt.Errorf("%w: %s was replaced by another file while it was in use; %s; put the old file back (buying resumes by itself), or stop topupd and use topupd restore",
			topup.ErrLedgerUnfit, g.path, remedy)
	default:
		return nil
	}
}

// resolved resolves the folder of a path, which may well be a symbolic link
// (systemd's state directories are); the file itself must not be one.
func resolved(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", path, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if err != nil {
		return "", fmt.Errorf("resolving the folder of %s: %w", path, err)
	}
	return filepath.Join(dir, filepath.Base(absolute)), nil
}

// oneName refuses what is not a file of exactly one name.
func oneName(path string) (os.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	const why = "a daemon under each name would charge twice"
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		target, _ := filepath.EvalSymlinks(path) // "" when it leads nowhere
		return nil, fmt.Errorf("%s is a symbolic link, a second name of %q, and %s; write the file's own path into database_url", path, target, why)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s cannot be opened; check the owner and mode of the file and its folder: it is a %s, not a file", path, kindOf(info))
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink != 1 {
		return info, fmt.Errorf("%w: %s has %d names (hard links), and %s; find them with find / -xdev -inum %d, and delete all but this one",
			errHardLinks, path, stat.Nlink, why, stat.Ino)
	}
	if isMountPoint(path) {
		return nil, fmt.Errorf("%s is mounted as a single file: what SQLite writes beside it (%s-wal) stays outside and is lost with the newest purchases; mount its folder instead",
			path, filepath.Base(path))
	}
	return info, nil
}

var errHardLinks = errors.New("the ledger has a second name")

// ledgerFile is oneName for a store. A person's pause is stored also beside a
// daemon that works under just this name, whoever has linked the file meanwhile.
func ledgerFile(path string, o Options) (os.FileInfo, error) {
	info, err := oneName(path)
	if errors.Is(err, errHardLinks) && !o.Lock && servedAs(path) {
		return info, nil
	}
	return info, err
}

func kindOf(info os.FileInfo) string {
	switch {
	case info.IsDir():
		return "folder"
	case info.Mode()&os.ModeDevice != 0:
		return "device"
	default:
		return "pipe or socket"
	}
}

// onLocalDisk refuses file systems on which locks are not known to hold
// (Options.AnyFilesystem says that the risk is taken).
func (s *Store) onLocalDisk(path, dir string, o Options) error {
	name, trusted := filesystem(dir)
	switch {
	case trusted:
		return nil
	case o.AnyFilesystem:
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "database_filesystem", slog.String("database", path), slog.String("filesystem", name),
			slog.String("risk", "two daemons on this file charge twice"))
		return nil
	default:
		return fmt.Errorf("%s lies on %s, where locks are not known to keep a second daemon out, and two would charge twice; use PostgreSQL, or a local disk (%s)%s; "+
			"if only ever one daemon can reach the file: database_filesystem: %s", path, name, trustedFilesystems, virtiofsNote(name), AtTheRisk)
	}
}

// AtTheRisk is the word that switches the check of the file system off.
const AtTheRisk = "any_at_the_risk_of_double_charges"

// hold locks the file itself, before SQLite opens it: a lock beside the file
// does not know its other names.
func hold(path string, info os.FileInfo) (*ground, error) {
	g := &ground{path: path, info: info}
	id, ok := idOf(info)
	if !ok || !lockable {
		return g, nil
	}
	if files.locked(id) {
		return nil, fmt.Errorf("%w: this process has %s open already", ErrLocked, path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be opened; check the owner and mode of the file and its folder: %w", path, err)
	}
	if err := lockFile(f); err != nil {
		f.Close() // SQLite has not opened it in this process: there are no locks to lose
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		return nil, fmt.Errorf("%w: another process has %s open under another name; find it with fuser or lsof, and stop it first", ErrLocked, path)
	}
	if err := g.stands(); err != nil {
		f.Close()
		return nil, err
	}
	g.held = f
	files.lock(id)
	return g, nil
}

// files are the SQLite files that this process has open. Closing any descriptor
// of a file takes SQLite's own locks on it away from the whole process, so a
// descriptor that was locked is closed with the last store on its file.
var files = openFiles{stores: map[fileID]*openFile{}}

type openFiles struct {
	mu     sync.Mutex
	stores map[fileID]*openFile
}

type openFile struct {
	stores int
	locked bool
	idle   []*os.File // unlocked, and not yet closed
}

func (o *openFiles) locked(id fileID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stores[id] != nil && o.stores[id].locked
}

// inUse tells whether a store of this process has the file open: the kernel does
// not tell a process of its own locks.
func (o *openFiles) inUse(info os.FileInfo) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, ok := idOf(info)
	return ok && o.stores[id] != nil
}

func (o *openFiles) of(id fileID) *openFile {
	if o.stores[id] == nil {
		o.stores[id] = &openFile{}
	}
	return o.stores[id]
}

func (o *openFiles) lock(id fileID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(id).locked = true
}

// enter is called before SQLite opens the file, leave after it has closed it.
func (o *openFiles) enter(g *ground) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if id, ok := idOf(g.info); ok {
		o.of(id).stores++
	}
}

func (o *openFiles) leave(g *ground) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, ok := idOf(g.info)
	if !ok {
		return
	}
	f := o.of(id)
	f.stores--
	if g.held != nil {
		_ = unlockFile(g.held) // closing it does the same
		f.locked, f.idle = false, append(f.idle, g.held)
	}
	if f.stores > 0 {
		return
	}
	for _, held := range f.idle {
		held.Close()
	}
	delete(o.stores, id)
}

// restoringSuffix names the complete copy that is about to become the ledger. From
// the moment in which it is there until it has that name, nobody opens the
// ledger: at no moment may the log of the old file meet the new one.
const restoringSuffix = ".restoring"

// credited refuses a ledger whose restore was interrupted.
func credited(path string) error {
	if _, err := os.Lstat(path + restoringSuffix); err == nil {
		return fmt.Errorf("%s is being restored, or that was interrupted (%s%s is there): run topupd restore again", path, path, restoringSuffix)
	}
	return nil
}
