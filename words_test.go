package topupd_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// retired are words that were given up for one of docs/glossary.md, as they may
// stand nowhere: in Go, SQL, YAML, documents, alerts and dashboards.
var retired = []struct {
	form *regexp.Regexp
	now  string
}{
	{regexp.MustCompile(`(?i)\bsweep`), "poll"},
	{regexp.MustCompile(`\bswept\b`), "polled"},
	{regexp.MustCompile(`\b[sS]ettled\b|Settled\b|settled_at`), "credited"},
	{regexp.MustCompile(`(?i)\bparked\b|Parked\b`), "needs review"},
	{regexp.MustCompile(`\btopup_([a-su-z]|t[a-df-z])`), "topupd_ in metrics"},
	{regexp.MustCompile(`\bunclear: \{`), "unknown_outcome"},
	{regexp.MustCompile(`policy: (replay|park)\b`), "policy: retry or review"},
	{regexp.MustCompile(`\bforeign([_ ][^k]|[^_ ]|\n)|[a-z]Foreign`), "external"},
	{regexp.MustCompile(`\brise@`), "balance-increase@"},
	{regexp.MustCompile(`topupd_(target|targets|customers)_dry`), "out_of_credits"},
	{regexp.MustCompile(`per_target: low\b`), "per_target: below_threshold"},
	{regexp.MustCompile(`reason="?confirming`), "rechecking"},
}

// exempt are files with a provider's own words, or with the table of the renames.
var exempt = regexp.MustCompile(`^(clients/emulator/|clients/hyperline/(testdata/|wire_test\.go)|config/yamlfile/renamed\.go|config/testdata/invalid-renamed\.|words_test\.go|CHANGELOG\.md|go\.(mod|sum))`)

// built are folders that are not the project's own words, written the files that are.
var (
	built   = regexp.MustCompile(`(^|/)(\.git|bin|dist|tmp|fuzz)$`)
	written = regexp.MustCompile(`\.(go|sql|ya?ml|md|json|txtar|txt|want|prom|sh|service|conf|toml)$|(^|/)(Makefile|Dockerfile)$|^scripts/|^\.ci/`)
)

// TestRetiredWordsStayRetired reads every file that people write.
func TestRetiredWordsStayRetired(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && built.MatchString(name):
			return fs.SkipDir
		case d.IsDir() || exempt.MatchString(name) || !written.MatchString(name):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, word := range retired {
			for _, at := range word.form.FindAllIndex(text, -1) {
				t.Errorf("%s:%d: %q is written %s now (docs/glossary.md)", name, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]], word.now)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 300 {
		t.Errorf("%d files were read", seen)
	}
}
