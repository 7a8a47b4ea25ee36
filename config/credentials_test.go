package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASecretFileIsLookedForAmongTheCredentialsFirst(t *testing.T) {
	beside, handed := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(beside, "topupd.yml", `mode: dry_run
providers:
  - {name: h, type: hyperline, base_url: http://127.0.0.1:1, token_file: hyperline.token}
rule_files: [rules.yml]
`)
	write(beside, "rules.yml", "rules: []\n")
	write(beside, "hyperline.token", "test_beside\n")
	env := map[string]string{"CREDENTIALS_DIRECTORY": handed, "HOME": beside}
	remedy := ""
	token := func() string {
		t.Helper()
		cfg, problems := Load(filepath.Join(beside, "topupd.yml"), func(name string) string { return env[name] })
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		remedy = cfg.Providers[0].Token.Remedy()
		return cfg.Providers[0].Token.Reveal()
	}
	if got := token(); got != "test_beside" {
		t.Errorf("without a credential the token is %q", got)
	}
	if !strings.Contains(remedy, "put the new token into "+filepath.Join(beside, "hyperline.token")+"; it is read again") {
		t.Errorf("the remedy of a file is %q", remedy)
	}
	write(handed, "hyperline.token", "test_handed\n")
	if got := token(); got != "test_handed" {
		t.Errorf("with a credential the token is %q", got)
	}
	// systemd copies it once: what is put into the file later never arrives.
	if !strings.Contains(remedy, "is a copy that systemd made") || !strings.Contains(remedy, "LoadCredential=hyperline.token names, then systemctl restart topupd") {
		t.Errorf("the remedy of a credential is %q", remedy)
	}
	if got := NewSecret("x").Remedy(); !strings.Contains(got, "in the configuration") || !strings.Contains(got, "restart topupd") {
		t.Errorf("the remedy of a token in the configuration is %q", got)
	}
}
