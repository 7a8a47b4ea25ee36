package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"topupd/internal/doctor"
	"topupd/internal/screen"
)

// visitFile is where the report of the last visit is kept for --show: in the
// user's cache, since a ledger may not exist yet and must not be made by looking.
// "" where the user has none.
func (a *app) visitFile(l *loaded) string {
	folder := a.getenv("XDG_CACHE_HOME")
	if home := a.getenv("HOME"); folder == "" && home != "" {
		folder = filepath.Join(home, ".cache")
	}
	config, err := filepath.Abs(l.Config.File)
	if folder == "" || err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(config))
	return filepath.Join(folder, "topupd", "doctor-"+hex.EncodeToString(sum[:6])+".json")
}

// keepVisit keeps the report. Where that cannot be, --show knows of the ledger only.
func (a *app) keepVisit(l *loaded, r doctor.Report) {
	name := a.visitFile(l)
	if name == "" || os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	if content, err := r.JSON(); err == nil {
		_ = os.WriteFile(name, content, 0o600)
	}
}

// lastVisit reads the report of the last visit from this machine; nil when there
// is none that is whole.
func (a *app) lastVisit(l *loaded) *doctor.Report {
	text, err := os.ReadFile(a.visitFile(l))
	if err != nil {
		return nil
	}
	r, err := doctor.Verify(text)
	if err != nil {
		return nil
	}
	return &r
}

func (a *app) printVisit(l *loaded, r doctor.Report) {
	a.Printf("The last visit from this machine, %s, by %s:\n", a.Clock(r.Date), screen.Printable(r.By))
	a.printFindings(l, r, true, nil)
	a.Printf("\n")
}
