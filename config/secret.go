package config

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxSecret bounds a secret, inclusive, in bytes. Talkover's tokens look like
// JWTs, which are a few kilobytes at most.
const maxSecret = 16 << 10

// Secret is a token, or a URL with a password, that cannot be printed: every
// way of writing it out writes [redacted]. Copies share their value, so that a
// token read again reaches everyone who holds it. The zero Secret is empty.
//
// The value sits behind a function because fmt prints the unexported fields of
// somebody else's struct without asking them, and with the wrong verb it
// follows pointers too: of a function it finds the address only.
type Secret struct{ open func() *held }

type held struct {
	mu    sync.RWMutex
	value string
	file  string
	copy  bool // file is a copy that systemd made when the service started
}

const redacted = "[redacted]"

// NewSecret keeps a value that did not come from a file.
func NewSecret(value string) Secret { return keep(&held{value: value}) }

func keep(h *held) Secret { return Secret{func() *held { return h }} }

// SecretFromFile reads a secret of at most 16 KiB from a file; white space
// around it is not part of it. An empty file is an error.
func SecretFromFile(path string) (Secret, error) {
	value, err := readSecret(path)
	if err != nil {
		return Secret{}, err
	}
	return keep(&held{value: value, file: path}), nil
}

func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	if len(content) > maxSecret {
		return "", fmt.Errorf("reading a secret: %s is larger than %d bytes", path, maxSecret)
	}
	value := strings.TrimSpace(string(content))
	if err := checkSecret(value); err != nil {
		return "", fmt.Errorf("reading a secret: %s %w", path, err)
	}
	return value, nil
}

// checkSecret refuses what cannot stand in a header: a secret with a line feed
// inside is two secrets, or a file that is not one.
func checkSecret(value string) error {
	if value == "" {
		return errors.New("is empty")
	}
	for _, r := range value {
		if r <= ' ' || r > '~' {
			return errors.New("has spaces, line feeds or characters outside ASCII inside")
		}
	}
	return nil
}

// Reveal is the secret itself, for the one line that needs it.
func (s Secret) Reveal() string {
	if s.open == nil {
		return ""
	}
	h := s.open()
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.value
}

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// File is where the secret was read; "" when it stood in the configuration.
func (s Secret) File() string {
	if s.open == nil {
		return ""
	}
	return s.open().file
}

// Remedy says how a secret that was refused is replaced.
func (s Secret) Remedy() string {
	switch file := s.File(); {
	case file == "":
		return "the token stands in the configuration: put a new one there and restart topupd"
	case s.open().copy:
		return fmt.Sprintf("%s is a copy that systemd made when topupd started: put the new token into the file that LoadCredential=%s names, then systemctl restart topupd",
			file, filepath.Base(file))
	default:
		return "put the new token into " + file + "; it is read again by itself"
	}
}

// Reload reads the file again and tells whether the secret changed. The old
// one stays when the file cannot be read or holds no secret.
func (s Secret) Reload() (changed bool, err error) {
	if s.File() == "" {
		return false, nil
	}
	h := s.open()
	value, err := readSecret(h.file)
	if err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = h.value != value
	h.value = value
	return changed, nil
}

// Fingerprint is the first 16 hexadecimal digits of the SHA-256, to tell
// whether a token is still the one that was refused; "" without a secret.
func (s Secret) Fingerprint() string {
	value := s.Reveal()
	if value == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:8])
}

// Equal compares two secrets in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Format writes [redacted] for every verb and flag.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// String is [redacted].
func (Secret) String() string { return redacted }

// LogValue is [redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is [redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is "[redacted]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML is [redacted].
func (Secret) MarshalYAML() (any, error) { return redacted, nil }
