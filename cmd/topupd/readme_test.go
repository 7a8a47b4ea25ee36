package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTheReadmesConfigurationWorks: the ten lines of the README, with the
// example rule beside them, are a configuration without a mistake.
func TestTheReadmesConfigurationWorks(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("the README has no YAML")
	}
	if lines := strings.Count(strings.TrimSpace(string(block[1])), "\n") + 1; lines > 10 {
		t.Errorf("the README's configuration has %d lines, it promises ten", lines)
	}
	rule, err := os.ReadFile("../../deploy/example/rules/api-credits.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"topupd.yml": string(block[1]), "hyperline.token": "prod_0123456789abcdef", "rules/api-credits.yml": string(rule),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &app{ctx: t.Context(), getenv: func(string) string { return "" }, now: time.Now, config: filepath.Join(dir, "topupd.yml")}
	if _, err := a.load(); err != nil {
		t.Errorf("%v", err)
	}
}
