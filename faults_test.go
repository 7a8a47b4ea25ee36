package topupd_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheTableOfFaultsNamesTestsThatExist: docs/faults.md has each of its 54
// faults once, in order, and every test that it names is in the repository.
func TestTheTableOfFaultsNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|(.*)\|(.*)\|(.*)\|$`).FindAllStringSubmatch(string(text), -1)
	if len(rows) != 54 {
		t.Errorf("%d faults, want 54", len(rows))
	}
	tests := testNames(t)
	name := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	for i, row := range rows {
		if row[1] != fmt.Sprint(i+1) {
			t.Errorf("fault %s stands where %d should", row[1], i+1)
		}
		named := name.FindAllString(row[4], -1)
		if len(named) == 0 {
			t.Errorf("fault %s names no test", row[1])
		}
		for _, n := range named {
			if !tests[n] {
				t.Errorf("fault %s names %s, and there is no such test", row[1], n)
			}
		}
	}
}

// testNames are the names of all test functions of this module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range function.FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
