package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheTableIsPlain(t *testing.T) {
	t.Parallel()
	name, promises := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`), regexp.MustCompile(`^P(1\d?|[2-9])( P(1\d?|[2-9]))*$`)
	seen := map[string]bool{}
	for _, m := range table() {
		if !name.MatchString(m.Name) || seen[m.Name] {
			t.Errorf("%q is not a name of its own", m.Name)
		}
		seen[m.Name] = true
		if !promises.MatchString(m.Promises) {
			t.Errorf("%s breaks %q, which are no promises", m.Name, m.Promises)
		}
		if m.Rule == "" || strings.HasSuffix(m.Rule, ".") || strings.ContainsAny(m.Rule, "|\n") {
			t.Errorf("%s: the rule is not one plain sentence for a table: %q", m.Name, m.Rule)
		}
		if len(m.Edits)+len(m.Schema) == 0 {
			t.Errorf("%s changes nothing", m.Name)
		}
		asks := slices.ContainsFunc(m.Edits, func(e edit) bool { return strings.Contains(e.Replace, "MUTANT") })
		if len(m.Edits) > 0 && !asks {
			t.Errorf("%s never asks whether it is on", m.Name)
		}
	}
}

// TestEveryMutantFitsTheSource is what keeps the table true between two runs of
// make mutants: every text is found exactly once, and the product with all
// switches compiles.
func TestEveryMutantFitsTheSource(t *testing.T) {
	t.Parallel()
	root, err := module()
	if err != nil {
		t.Fatal(err)
	}
	file, err := overlay(root, t.TempDir(), table())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	var packages []string
	for from := range made.Replace {
		dir, err := filepath.Rel(root, filepath.Dir(from))
		if err != nil {
			t.Fatal(err)
		}
		if pkg := "./" + filepath.ToSlash(dir); !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
	}
	if err := goTool(t.Context(), root, append([]string{"build", "-overlay=" + file}, packages...)...); err != nil {
		t.Error(err)
	}
}

func TestSwitching(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ledger/migrate.go", "package ledger\n\nimport \"context\"\n\n\treturn applied, explained(s.granting(err))\n")
	write("topup/a.go", "package topup\n\nif one {\n}\nif two {\n}\nif two {\n}\n")
	for _, tt := range []struct {
		name  string
		edits []edit
		want  string // a part of the new topup/a.go
		err   string // a part of the error
	}{
		{"a condition gets its question", []edit{unless("topup/a.go", "if one")}, `if one && !Mutant("m") {`, ""},
		{"code goes before what is there", []edit{before("topup/a.go", "if one {", "MUTANT\n")}, "\nMutant(\"m\")\nif one {", ""},
		{"a text that is gone", []edit{unless("topup/a.go", "if three")}, "", "0 times instead of once"},
		{"a text that is there twice", []edit{unless("topup/a.go", "if two")}, "", "2 times instead of once"},
		{"two changes of one text", []edit{unless("topup/a.go", "if one"), unless("topup/a.go", "one {")}, "", "change the same text"},
		{"a file that is gone", []edit{unless("topup/b.go", "if one")}, "", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files, err := switched(root, []mutant{{Name: "m", Edits: tt.edits}})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || !strings.Contains(string(files["topup/a.go"]), tt.want) {
				t.Errorf("%s, %v: want %q", files["topup/a.go"], err, tt.want)
			}
			if hook := string(files["ledger/migrate.go"]); !strings.HasPrefix(hook, "package ledger\n\nimport \"topupd/topup\"\n") {
				t.Errorf("a file that asks does not import topup: %s", hook)
			}
		})
	}
}
