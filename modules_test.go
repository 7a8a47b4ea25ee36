package topupd_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// modernc.org/libc must be linked in exactly the version that the sqlite
// release was translated against (modernc.org/sqlite, doc.go, "Fragile
// modernc.org/libc dependency", read 2026-11-30); another library that asks for
// a newer one raises it without a word.
func TestSQLiteIsLinkedWithItsOwnLibc(t *testing.T) {
	required, err := os.ReadFile(list(t, "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`(?m)^\s*modernc\.org/libc (v\S+)`).FindSubmatch(required)
	if pinned == nil {
		t.Fatalf("the go.mod of sqlite names no libc:\n%s", required)
	}
	if linked := list(t, "-m", "-f", "{{.Version}}", "modernc.org/libc"); linked != string(pinned[1]) {
		t.Errorf("libc %s is linked, sqlite was made for %s: go get modernc.org/libc@%[2]s, and an older release of whatever asks for more", linked, pinned[1])
	}
}

// What makes the JSON Schema for editors, and the YAML parsers that it brings,
// are for tests.
func TestTheProgramHasNoSchemaLibrary(t *testing.T) {
	deps := strings.Fields(list(t, "-deps", "./cmd/topupd"))
	if len(deps) < 100 {
		t.Fatalf("%d packages: the test would prove nothing", len(deps))
	}
	for _, dep := range deps {
		if strings.Contains(dep, "jsonschema") || strings.HasPrefix(dep, "go.yaml.in/yaml/v4") {
			t.Errorf("cmd/topupd is built with %s", dep)
		}
	}
}

func list(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.Command("go", append([]string{"list"}, args...)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.TrimSpace(string(out))
}
