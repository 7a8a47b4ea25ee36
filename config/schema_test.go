package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topupd/config/yamlschema/yamlschematest"
)

func TestTheSchemaForEditorsIsCurrent(t *testing.T) {
	const path = "../docs/schema/topupd.schema.json"
	if *update {
		if err := os.WriteFile(path, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, path), string(Schema())); diff != "" {
		t.Errorf("%s is old: go test ./config -update (-want +got):\n%s", path, diff)
	}
}

func TestTheSchemaAcceptsWhatTheLoaderAccepts(t *testing.T) {
	files, err := filepath.Glob("testdata/valid-*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if err := yamlschematest.Validate(Schema(), []byte(read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestTheSchemaRefuses(t *testing.T) {
	for _, file := range []string{
		"unknown-key", "unknown-nested-key", "mode-missing", "mode-misspelt", "max-series-zero", "providers-empty",
		"provider-type-missing", "rate-without-window", "share-without-percent", "duration-without-unit", "limits-unknown-period",
	} {
		t.Run(file, func(t *testing.T) {
			if err := yamlschematest.Validate(Schema(), []byte(read(t, "testdata/invalid-"+file+".yml"))); err == nil {
				t.Error("an editor would not notice")
			}
		})
	}
}

func TestTheManualNamesEveryKey(t *testing.T) {
	manual := read(t, "../docs/configuration.md")
	keys, err := yamlschematest.Keys(Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		key = strings.TrimPrefix(strings.TrimPrefix(key, "providers."), "rules.")
		if strings.HasPrefix(key, "limits.") && strings.Count(key, ".") > 1 {
			key = key[strings.LastIndex(key, ".")+1:] // windows are described once
		}
		if !strings.Contains(manual, "`"+key+"`") {
			t.Errorf("docs/configuration.md does not mention %s", key)
		}
	}
}

// examples are the fenced YAML blocks of the manual that start with the
// comment.
func examples(t *testing.T, comment string) []string {
	t.Helper()
	var found []string
	for part := range strings.SplitSeq(read(t, "../docs/configuration.md"), "```yaml\n") {
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

func TestTheExamplesOfTheManualLoad(t *testing.T) {
	for _, example := range examples(t, "# topupd.yml") {
		install(t, example)
		if _, problems := Load("topupd.yml", environment); len(problems) != 0 {
			t.Errorf("%s\n%s", example, problems)
		}
	}
}
