package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed switches/topup.go.txt
var topupSwitch []byte

//go:embed switches/ledger.go.txt
var ledgerSwitch []byte

// schemaHook lets mutants change a database right after its migrations, before
// anybody works on it.
var schemaHook = edit{
	"ledger/migrate.go", "\treturn applied, explained(s.granting(err))\n",
	"\tif err == nil && len(applied) > 0 {\n\t\terr = s.mutate(ctx, topup.Mutant)\n\t}\n\treturn applied, explained(s.granting(err))\n",
}

// overlay writes the product's files with the switches of all mutants into
// folder, and the file for -overlay that puts them in place. root is the
// product. Nothing but folder is written to.
func overlay(root, folder string, mutants []mutant) (string, error) {
	files, err := switched(root, mutants)
	if err != nil {
		return "", err
	}
	files["topup/mutant.go"] = topupSwitch
	files["ledger/mutant.go"] = append(bytes.Clone(ledgerSwitch), schemaTable(mutants)...)
	replace := map[string]string{}
	for name, text := range files {
		to := filepath.Join(folder, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = to
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	to := filepath.Join(folder, "overlay.json")
	return to, os.WriteFile(to, text, 0o600)
}

// switched returns the product's files with every switch in place.
func switched(root string, mutants []mutant) (map[string][]byte, error) {
	type change struct {
		at, end int
		text    string
		mutant  string
	}
	sources, changes := map[string]string{}, map[string][]change{}
	var errs []error
	add := func(name string, e edit) {
		source, known := sources[e.File]
		if !known {
			text, err := os.ReadFile(filepath.Join(root, e.File))
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				return
			}
			source = string(text)
			sources[e.File] = source
		}
		if n := strings.Count(source, e.Find); n != 1 {
			errs = append(errs, fmt.Errorf("%s: %s holds its text %d times instead of once; adapt the mutant to the code: %q", name, e.File, n, e.Find))
			return
		}
		at := strings.Index(source, e.Find)
		changes[e.File] = append(changes[e.File], change{at, at + len(e.Find), asked(e, name), name})
	}
	for _, m := range mutants {
		for _, e := range m.Edits {
			add(m.Name, e)
		}
	}
	add("the schema's hook", schemaHook)

	files := map[string][]byte{}
	for file, list := range changes {
		slices.SortFunc(list, func(a, b change) int { return a.at - b.at })
		source, out, from := sources[file], strings.Builder{}, 0
		for i, c := range list {
			if c.at < from {
				errs = append(errs, fmt.Errorf("%s and %s change the same text of %s", list[i-1].mutant, c.mutant, file))
				continue
			}
			out.WriteString(source[from:c.at])
			out.WriteString(c.text)
			from = c.end
		}
		out.WriteString(source[from:])
		files[file] = []byte(imported(file, out.String()))
	}
	return files, errors.Join(errs...)
}

// asked is the new text of an edit, with its questions spelt out.
func asked(e edit, mutant string) string {
	question := fmt.Sprintf("topup.Mutant(%q)", mutant)
	if path.Dir(e.File) == "topup" {
		question = fmt.Sprintf("Mutant(%q)", mutant)
	}
	return strings.ReplaceAll(e.Replace, "MUTANT", question)
}

var packageClause = regexp.MustCompile(`(?m)^package \w+$`)

// imported lets a file ask that did not know package topup.
func imported(file, text string) string {
	if path.Dir(file) == "topup" || strings.Contains(text, `"topupd/topup"`) {
		return text
	}
	end := packageClause.FindStringIndex(text)[1]
	return text[:end] + "\n\nimport \"topupd/topup\"" + text[end:]
}

func schemaTable(mutants []mutant) []byte {
	var out bytes.Buffer
	out.WriteString("\nvar mutantStatements = []mutantStatement{\n")
	for _, m := range mutants {
		for _, s := range m.Schema {
			fmt.Fprintf(&out, "\t{%q, %q, %q},\n", m.Name, s.Engine, s.SQL)
		}
	}
	out.WriteString("}\n")
	return out.Bytes()
}
