package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestASecretCannotBePrinted(t *testing.T) {
	t.Parallel()
	const value = "prod_hidden"
	s := NewSecret(value)
	type holder struct {
		Public  Secret
		Pointer *Secret
		private Secret
	}
	h := holder{s, &s, s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%10s", "%-5v", "%p"} {
		for _, arg := range []any{s, &s, h, &h, []Secret{s}, map[string]Secret{"k": s}, Provider{Token: s}} {
			fmt.Fprintf(&out, verb+"\n", arg)
		}
	}
	fmt.Fprintln(&out, s, s.String(), fmt.Errorf("asking with %v: %w", s, os.ErrInvalid))
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("token", slog.Any("token", s), slog.Any("pointer", &s), slog.Any("holder", h))
	slog.New(slog.NewTextHandler(&out, nil)).Info("token", slog.Any("token", s), slog.Any("holder", h))
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(map[string]any{"token": s, "pointer": &s, "holder": h.Public})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, shape := range []string{value, "hidden", fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(out.String(), shape) {
			t.Errorf("%q is printed:\n%s", shape, out.String())
		}
	}
	if s.Reveal() != value {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}

func TestASecretIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("prod_first\n")
	s, err := SecretFromFile(path)
	if err != nil || s.Reveal() != "prod_first" || s.File() != path {
		t.Fatalf("SecretFromFile() = %q, %v", s.Reveal(), err)
	}
	copied, first := s, s.Fingerprint()
	for _, tt := range []struct {
		name, content string
		changed, ok   bool
		want          string
	}{
		{"the same", "prod_first", false, true, "prod_first"},
		{"another", " prod_second\r\n", true, true, "prod_second"},
		{"half written, the old one stays", "", false, false, "prod_second"},
		{"two lines are no token", "prod_a\nprod_b", false, false, "prod_second"},
	} {
		write(tt.content)
		changed, err := s.Reload()
		if changed != tt.changed || (err == nil) != tt.ok || copied.Reveal() != tt.want {
			t.Errorf("%s: Reload() = %v, %v, copy holds %q", tt.name, changed, err, copied.Reveal())
		}
		if err != nil && strings.Contains(err.Error(), "prod_") {
			t.Errorf("%s: the error shows the secret: %v", tt.name, err)
		}
	}
	if s.Fingerprint() == first || len(first) != 16 {
		t.Errorf("fingerprints %q and %q", first, s.Fingerprint())
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	if got, want := NewSecret("abc").Fingerprint(), "ba7816bf8f01cfea"; got != want {
		t.Errorf("Fingerprint() = %s, want %s", got, want)
	}
	if got := (Secret{}).Fingerprint(); got != "" || !(Secret{}).IsZero() {
		t.Errorf("the fingerprint of nothing is %q", got)
	}
	if changed, err := NewSecret("abc").Reload(); changed || err != nil {
		t.Errorf("Reload() without a file = %v, %v", changed, err)
	}
}
