package topupd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// places are where a type of provider is told from the others, beside its own folder
// under clients and the emulator: what a new type touches. docs/architecture.md
// lists them, with its page and the schema.
var places = []string{
	"topup/provider_type.go",        // its traits
	"config/provider.go",            // its keys
	"internal/daemon/connection.go", // its client
	"internal/doctor/examine.go",    // its checks
}

// TestProviderTypesAreToldApartInFewPlaces: everybody else asks the traits.
func TestProviderTypesAreToldApartInFewPlaces(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"clients/hyperline", "clients/talkover", "clients/emulator"}, filepath.ToSlash(name)) {
				return fs.SkipDir
			}
			return enter(name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || forTests(filepath.ToSlash(filepath.Dir(name))) {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var word string
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "topup" && (n.Sel.Name == "Hyperline" || n.Sel.Name == "Talkover") {
					word = "topup." + n.Sel.Name
				}
			case *ast.BasicLit:
				if n.Value == `"hyperline"` || n.Value == `"talkover"` {
					word = n.Value
				}
			}
			if word == "" {
				return true
			}
			if seen[filepath.ToSlash(name)] = true; !slices.Contains(places, filepath.ToSlash(name)) {
				t.Errorf("%s tells provider types apart by %s: ask its traits (topup/provider_type.go) instead", files.Position(n.Pos()), word)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range places {
		if !seen[place] {
			t.Errorf("%s names no type of provider any more: take it off the list", place)
		}
	}
}

// TestTheArchitectureNamesFilesThatExist: a map that leads nowhere is worse than none.
func TestTheArchitectureNamesFilesThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, found := range regexp.MustCompile("`([a-z]+(?:/[a-z0-9_.]+)*)`").FindAllStringSubmatch(string(page), -1) {
		name := found[1]
		if !strings.ContainsAny(name, "/") && !strings.HasSuffix(name, ".sql") {
			continue // a folder of the first level, a state, a reason
		}
		named++
		if _, err := os.Stat(name); err != nil {
			t.Errorf("docs/architecture.md names %s: %v", name, err)
		}
	}
	if named < 40 {
		t.Errorf("%d names were found", named)
	}
}
