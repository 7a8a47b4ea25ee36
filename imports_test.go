package topupd_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the import path in front of every package of ours.
const module = "topupd/"

// allowed is the import table: for a package and everything below it, what it
// may import of ours. A longer name wins over a shorter one, and "..." stands
// for the name itself and everything below it. The picture behind it: imports
// point one way, towards topup, and a sibling import is a design error.
// Packages that end in "test" help tests: they may import anything but cmd, and
// only tests import them.
var allowed = map[string][]string{
	"topup": {},
	// Rules are read with what reads the configuration, but do not know it.
	"rules":            {"topup", "config/limits", "config/yamlfile"},
	"config":           {"topup", "config/..."},
	"config/yamlfile":  {"internal/english"},
	"ledger":           {"topup", "ledger/..."},
	"clients":          {"topup"},
	"clients/emulator": {"clients/emulator/..."},
	// Any provider: clients/hyperline, clients/talkover.
	"clients/*": {"topup", "clients"},
	"metrics":   {"topup", "rules", "internal/verify"},
	"scheduler": {"topup", "rules"},
	// What is compared is topup's words; who reads them is cmd's affair.
	"internal/verify": {"topup"},
	// Whoever imports it could buy: cmd alone does.
	"internal/doctor": {"topup", "rules", "config/...", "ledger/...", "clients/..."},
	// The composition of a running process; the commands join the rest.
	"internal/daemon":  {"topup", "rules", "config/...", "ledger", "clients/...", "metrics", "scheduler", "internal/verify", "internal/english"},
	"internal/english": {},
	// What a person sees knows facts, and nobody who makes them.
	"internal/screen": {"topup", "config", "ledger", "internal/english"},
	"cmd":             {"topup", "rules", "config/...", "ledger", "clients/...", "scheduler", "internal/daemon", "internal/doctor", "internal/english", "internal/screen", "internal/verify"},
	"e2e":             {"cmd/..."},
	// Histories are run through every part, joined as cmd joins them.
	"internal/sim": {"topup", "rules", "config/...", "ledger/...", "clients/...", "metrics", "scheduler"},
	// What changes the source of every part is a part of none.
	"internal/mutants": {},
}

// topupLibraries is everything that topup may import besides the standard
// library: exact amounts, currencies, random keys.
var topupLibraries = []string{
	"github.com/bojanz/currency",
	"github.com/google/uuid",
	"github.com/govalues/decimal",
}

// imports returns what the packages of this module import, by the name of the
// importing package below the module, tests left out. It reads the files itself:
// the answer of a program such as `go list` would be remembered by `go test` and
// shown again after the imports have changed.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return enter(name)
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(name))
		for _, i := range file.Imports {
			found[pkg] = append(found[pkg], strings.Trim(i.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("reading the imports: %v", err)
	}
	return found
}

// enter returns fs.SkipDir for folders that hold no package of this module:
// what go ignores too, and modules of their own.
func enter(dir string) error {
	base := filepath.Base(dir)
	if dir == "." {
		return nil
	}
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// forTests reports whether a package exists to help tests.
func forTests(pkg string) bool { return strings.HasSuffix(path.Base(pkg), "test") }

// row returns the line of the table that a package stands under.
func row(pkg string) (string, bool) {
	for name := pkg; name != "."; name = path.Dir(name) {
		if _, ok := allowed[name]; ok {
			return name, true
		}
		star := path.Join(path.Dir(name), "*")
		if _, ok := allowed[star]; ok {
			return star, true
		}
	}
	return "", false
}

// permits reports whether the table lets pkg import target, and says why not.
func permits(pkg, target string) (bool, string) {
	if forTests(pkg) {
		if strings.HasPrefix(target, "cmd/") {
			return false, "nothing imports a program"
		}
		return true, ""
	}
	if forTests(target) {
		return false, "it helps tests; only tests may import it"
	}
	name, ok := row(pkg)
	if !ok {
		return false, "the package is not in the table of imports_test.go: add it there and to depguard in .golangci.yml"
	}
	for _, may := range allowed[name] {
		tree, below := strings.CutSuffix(may, "/...")
		if target == tree || below && strings.HasPrefix(target, tree+"/") {
			return true, ""
		}
	}
	return false, name + " may import of ours: " + strings.Join(allowed[name], " ")
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	all := imports(t)
	if len(all) < 3 {
		t.Fatalf("found the imports of %d packages: the module was not read", len(all))
	}
	for pkg, imported := range all {
		if pkg == "." {
			continue // the module's root holds this test and no package
		}
		if _, ok := row(pkg); !ok && !forTests(pkg) {
			t.Errorf("%s is not in the table of imports_test.go: add it there and to depguard in .golangci.yml", pkg)
		}
		for _, i := range imported {
			target, ours := strings.CutPrefix(i, module)
			if !ours {
				continue
			}
			if ok, why := permits(pkg, target); !ok {
				t.Errorf("%s imports %s: %s", pkg, target, why)
			}
		}
	}
}

func TestTopupImportsLittle(t *testing.T) {
	t.Parallel()
	for _, i := range imports(t)["topup"] {
		// The standard library's paths have no dot in their first part.
		first, _, _ := strings.Cut(i, "/")
		if strings.Contains(first, ".") && !slices.Contains(topupLibraries, i) {
			t.Errorf("topup imports %s: it may import the standard library and %s", i, strings.Join(topupLibraries, ", "))
		}
		if slices.Contains([]string{"net/http", "database/sql", "os", "log/slog"}, i) {
			t.Errorf("topup imports %s: it knows no network, no database, no files and no log", i)
		}
	}
}

func TestTheImportTable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, pkg, target string
		want              bool
	}{
		{"topup imports nothing of ours", "topup", "rules", false},
		{"rules know topup", "rules", "topup", true},
		{"rules read YAML", "rules", "config/yamlfile", true},
		{"the configuration has parts", "config", "config/limits", true},
		{"the configuration does not know the rules", "config", "rules", false},
		{"rules do not read the process's configuration", "rules", "config", false},
		{"yamlfile is a leaf", "config/yamlfile", "config", false},
		{"the commands do not know the metrics", "cmd/topupd", "metrics", false},
		{"a provider knows what providers share", "clients/hyperline", "clients", true},
		{"a provider does not know its sibling", "clients/hyperline", "clients/talkover", false},
		{"the emulator does not know the clients", "clients/emulator", "clients", false},
		{"the emulator has parts", "clients/emulator/hyperline", "clients/emulator/wire", true},
		{"the shared client does not know providers", "clients", "clients/hyperline", false},
		{"the scheduler does not know SQL", "scheduler", "ledger", false},
		{"the program knows them all", "cmd/topupd", "ledger", true},
		{"only the program runs experiments", "internal/daemon", "internal/doctor", false},
		{"the simulation is made of every part", "internal/sim", "scheduler", true},
		{"but not of the program", "internal/sim", "cmd/topupd", false},
		{"what mutates the parts knows none", "internal/mutants", "topup", false},
		{"nothing imports the program", "ledger/ledgertest", "cmd/topupd", false},
		{"test packages know what they test", "clients/clientstest", "clients/emulator", true},
		{"but production does not know test packages", "cmd/topupd", "ledger/ledgertest", false},
		{"an unknown package has no rights", "helpers", "topup", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, why := permits(tt.pkg, tt.target); got != tt.want {
				t.Errorf("permits(%q, %q) = %v (%s), want %v", tt.pkg, tt.target, got, why, tt.want)
			}
		})
	}
}
