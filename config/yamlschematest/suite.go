package yamlschematest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manual is where the keys are described, from the package under test.
const manual = "../docs/configuration.md"

// Suite is what holds for every schema and the loader that it describes. Its
// tests run in the package of the loader, beside its testdata.
type Suite struct {
	Schema []byte
	File   string   // where the schema is published
	Update bool     // write it there first
	Refuse []string // testdata/invalid-NAME.yml that an editor has to notice
}

// Run checks that the published schema is the current one, that it accepts what
// the loader accepts and refuses what it is told to, and that the manual names
// every key.
func (s Suite) Run(t *testing.T) {
	t.Run("published", s.published)
	t.Run("accepts", s.accepts)
	t.Run("refuses", s.refuses)
	t.Run("manual", s.described)
}

func (s Suite) published(t *testing.T) {
	if s.Update {
		if err := os.WriteFile(s.File, s.Schema, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, s.File)), string(s.Schema)); diff != "" {
		t.Errorf("%s is old: go test in this folder with -update (-want +got):\n%s", s.File, diff)
	}
}

func (s Suite) accepts(t *testing.T) {
	files, err := filepath.Glob("testdata/valid-*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if err := Validate(s.Schema, read(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func (s Suite) refuses(t *testing.T) {
	if len(s.Refuse) == 0 {
		t.Fatal("nothing to refuse")
	}
	for _, name := range s.Refuse {
		t.Run(name, func(t *testing.T) {
			if err := Validate(s.Schema, read(t, "testdata/invalid-"+name+".yml")); err == nil {
				t.Error("an editor would not notice")
			}
		})
	}
}

func (s Suite) described(t *testing.T) {
	text := string(read(t, manual))
	keys, err := Keys(s.Schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		key = strings.TrimPrefix(strings.TrimPrefix(key, "providers."), "rules.")
		if strings.HasPrefix(key, "limits.") && strings.Count(key, ".") > 1 {
			key = key[strings.LastIndex(key, ".")+1:] // windows are described once
		}
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("%s does not mention %s", manual, key)
		}
	}
}

// Examples are the fenced YAML blocks of the manual that start with the comment.
func Examples(t *testing.T, comment string) []string {
	t.Helper()
	var found []string
	for part := range strings.SplitSeq(string(read(t, manual)), "```yaml\n") {
		block, _, _ := strings.Cut(part, "```")
		if strings.HasPrefix(block, comment) {
			found = append(found, block)
		}
	}
	if len(found) < 3 {
		t.Fatalf("%d examples start with %q: the test would prove nothing", len(found), comment)
	}
	return found
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
