package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"topupd/topup"
)

// Restored is what Restore did.
type Restored struct {
	Copied             // the ledger as it is now
	Kept      string   // where the file that was replaced is now; "" = there was none
	Providers []string // whose books are compared before anything is bought there
}

// Restore puts a copy in the place of the SQLite ledger that the URL names, while
// nobody has it open. The copy is examined, brought to this program's schema and
// paused as a whole before it takes the place: it has forgotten what was bought
// since, so every provider is quarantined too, until its books were read (P18).
// The log of the old file must not meet the new one, whatever happens in
// between; both are kept under another name. Owner and mode stay.
//
// by is the person who answers for it. Errors: ErrNoFile, ErrLocked,
// ErrSchemaTooNew, topup.ErrLedgerUnfit for a copy that is damaged.
func Restore(ctx context.Context, raw, from, by string, o Options) (r Restored, err error) {
	path, err := sqlitePath(raw)
	if err != nil {
		return Restored{}, err
	}
	s := &Store{log: o.Logger}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Restored{}, fmt.Errorf("creating the folder of %s: %w", path, err)
	}
	if err := s.onLocalDisk(path, filepath.Dir(path), o); err != nil {
		return Restored{}, err
	}
	if path, err = resolved(path); err != nil {
		return Restored{}, err
	}
	l, release, err := alonePut(path)
	if err != nil {
		return Restored{}, err
	}
	defer release()
	incoming := path + incomingSuffix
	defer func() { err = errors.Join(err, removeFiles(incoming), removeFiles(incoming+".lock")) }()
	if r, err = prepareRestore(ctx, from, incoming, by, o); err != nil {
		return Restored{}, err
	}
	if err := dressLike(path, incoming); err != nil {
		return Restored{}, err
	}
	if r.Kept, err = replace(path, time.Now()); err != nil { //nolint:forbidigo // only names a file
		return Restored{}, fmt.Errorf("putting the copy in place: %w", err)
	}
	r.Path = path
	l.made(path)
	return r, nil
}

// alonePut takes both locks of a ledger, and makes sure that nobody has it open:
// a command that reads would, when it ends, remove the log of the new file as if
// it were the old one's.
func alonePut(path string) (l *fileLock, release func(), err error) {
	info, err := oneName(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	l, err = takeLock(path)
	if err != nil {
		return nil, nil, err
	}
	if info == nil {
		return l, l.release, nil
	}
	if files.inUse(info) {
		l.release()
		return nil, nil, fmt.Errorf("%w: this process has %s open", ErrLocked, path)
	}
	g, err := hold(path, info)
	if err != nil {
		l.release()
		return nil, nil, err
	}
	files.enter(g)
	release = func() { files.leave(g); l.release() }
	if g.held == nil {
		return l, release, nil
	}
	pid, err := openedBy(g.held)
	if err == nil && pid != 0 {
		err = fmt.Errorf("%w: process %d has %s open; wait for it or stop it", ErrLocked, pid, path)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return l, release, nil
}

// prepareRestore makes the file that becomes the ledger.
func prepareRestore(ctx context.Context, from, incoming, by string, o Options) (r Restored, err error) {
	if from, err = sourceOf(from, incoming); err != nil {
		return Restored{}, err
	}
	if err := errors.Join(removeFiles(incoming), makeFile(incoming)); err != nil {
		return Restored{}, err
	}
	settings := url.Values{"mode": {"ro"}}
	if _, err := os.Lstat(from + "-wal"); errors.Is(err, os.ErrNotExist) {
		settings.Set("immutable", "1") // one file: SQLite needs to write nothing beside it, which a copy's folder may forbid
	}
	source := rawFile(from, settings)
	err = copyFile(ctx, source, incoming)
	if err = errors.Join(err, source.Close()); err != nil {
		return Restored{}, fmt.Errorf("reading %s: %w", from, opening(from, err))
	}
	if r.Copied, err = alone(ctx, incoming); err != nil {
		return Restored{}, fmt.Errorf("%s cannot be restored: %w", from, err)
	}
	if r.Providers, err = holdRestored(ctx, incoming, from, by, r.Copied, o); err != nil {
		return Restored{}, fmt.Errorf("%s cannot be restored: %w", from, err)
	}
	if r.Copied, err = alone(ctx, incoming); err != nil {
		return Restored{}, err
	}
	return r, syncFile(incoming)
}

// sourceOf checks the name of the copy.
func sourceOf(from, incoming string) (string, error) {
	path, err := filepath.EvalSymlinks(from)
	if err != nil {
		return "", fmt.Errorf("there is no copy to restore: %w", err)
	}
	if path, err = resolved(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is a %s; name the file that topupd backup wrote", from, kindOf(info))
	}
	ledger := incoming[:len(incoming)-len(incomingSuffix)]
	if own, err := os.Stat(ledger); err == nil && os.SameFile(info, own) || path == incoming {
		return "", fmt.Errorf("%s is the ledger itself; name the file that topupd backup wrote", from)
	}
	return path, nil
}

// holdRestored lets nothing be bought on the restored ledger until a person has
// resumed, and the books of each provider were compared.
func holdRestored(ctx context.Context, path, from, by string, c Copied, o Options) (providers []string, err error) {
	s, err := Open(ctx, "sqlite:"+path, Options{Logger: o.Logger, Now: o.Now, AnyFilesystem: o.AnyFilesystem})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	why := fmt.Sprintf("the ledger was restored from %s, %s", from, newestWords(c))
	err = s.write(ctx, "restore", func(ctx context.Context, t tx) error {
		rows, err := t.lockedProviders(ctx)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		providers = nil
		for _, row := range rows {
			providers = append(providers, row.Name)
			if err := t.apply(ctx, finding{provider: row, quarantine: true, why: why}, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = s.Pause(ctx, topup.Pause{Scope: topup.PauseAll, By: by, Reason: why})
	return providers, err
}

func newestWords(c Copied) string {
	if c.Newest == nil {
		return "which holds no purchase"
	}
	return "whose newest purchase was planned at " + c.Newest.UTC().Format(time.RFC3339)
}

// dressLike gives the new file the owner and the mode of the old one; where there
// is none, the owner of its folder.
func dressLike(path, incoming string) error {
	model := path
	if _, err := os.Lstat(model); err != nil {
		model = path + restoringSuffix // of a restore that was interrupted
	}
	mode := os.FileMode(0o600)
	if info, err := os.Lstat(model); err == nil {
		mode = info.Mode().Perm()
	} else {
		model = folder(path)
	}
	if err := belongLike(incoming, model); err != nil {
		return fmt.Errorf("giving the copy the owner of %s: %w; restore as root, or as that user", model, err)
	}
	return os.Chmod(incoming, mode)
}
