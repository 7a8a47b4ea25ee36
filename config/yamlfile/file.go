package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxBytes bounds a file, inclusive. A thousand rules fit in a quarter of it.
	MaxBytes = 1 << 20
	// maxProblems is how many problems of one file are collected; after that
	// many, more of them help nobody.
	maxProblems = 100
)

// File is one YAML document and what was found wrong in it so far.
type File struct {
	name     string
	lines    []string
	root     *yaml.Node // nil when the text is not YAML
	getenv   func(string) string
	places   map[string]place
	problems Problems
	dropped  int
}

// place is where a key and its value stand.
type place struct{ key, value *yaml.Node }

// Read reads the file at path, which is shown to people as name. It always
// returns a File; one that could not be read or is not YAML has problems.
func Read(path, name string, getenv func(string) string) *File {
	content, err := readBounded(path)
	if err != nil {
		f := &File{name: name, getenv: getenv, places: map[string]place{}}
		f.add(Problem{Message: "reading the file: " + plain(err), Fix: "check the path and the permissions"})
		return f
	}
	return Parse(name, content, getenv)
}

// readBounded reads regular files of at most MaxBytes.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if stat.IsDir() {
		return nil, errors.New("it is a folder")
	}
	content, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > MaxBytes {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxBytes)
	}
	return content, nil
}

// plain is the cause of a file error without the path, which is shown anyway.
func plain(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// breaks are the ends of lines that the parser counts (go.yaml.in/yaml v3.0.6,
// is_break).
var breaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// Parse is Read for content in memory.
func Parse(name string, content []byte, getenv func(string) string) *File {
	f := &File{
		name:   name,
		lines:  strings.Split(breaks.Replace(string(content)), "\n"),
		getenv: getenv,
		places: map[string]place{},
	}
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(content))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		f.add(Problem{Message: "the file is empty", Fix: "write the configuration, or remove the file"})
		return f
	} else if err != nil {
		f.syntax(err)
		return f
	}
	if err := dec.Decode(&second); err == nil {
		f.add(Problem{
			Line: second.Line, Message: "a second document starts here",
			Fix: "put it into a file of its own: only one document per file is read",
		})
	} else if !errors.Is(err, io.EOF) {
		f.syntax(err)
	}
	if len(doc.Content) == 1 {
		f.root = doc.Content[0]
	}
	return f
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// syntax reports that the text is not YAML. The parser counts lines from 0 in
// its own errors and from 1 in those of its scanner (go.yaml.in/yaml v3.0.6,
// parser.fail, measured), so "did not find expected" is one line further down.
func (f *File) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.TrimPrefix(text, m[0])
		if strings.HasPrefix(text, "did not find expected") {
			line++
		}
	}
	line = min(max(line, 1), len(f.lines))
	source := f.lines[line-1]
	p := Problem{Line: line, Message: "not YAML: " + text}
	p.Column = len(source) - len(strings.TrimLeft(source, " \t")) + 1
	p.Fix = syntaxFix(text, source)
	f.add(p)
}

// syntaxFix knows the mistakes that the values of these files invite.
func syntaxFix(text, source string) string {
	trimmed := strings.TrimLeft(source, " ")
	switch {
	case strings.HasPrefix(trimmed, "\t"):
		return "indent with spaces: YAML does not allow tabs"
	case strings.Contains(source, ": @"):
		return `put the value in quotes: "@every 30s"`
	case strings.Contains(source, "${") && strings.Contains(source, "{"):
		return `put the variable in quotes: "${NAME}"`
	case strings.Contains(text, "cannot start any token"):
		return "put the value in quotes"
	case strings.Contains(text, "mapping values"):
		return "check the indentation, and put text with a colon in quotes"
	case strings.Contains(text, "unknown anchor"):
		return "put text that starts with * in quotes"
	case strings.Contains(text, "did not find expected"):
		return "close every bracket and quote, and check the indentation"
	default:
		return ""
	}
}

// Name is the file as it is shown to people.
func (f *File) Name() string { return f.name }

// Problems is everything found so far, in the order of lines.
func (f *File) Problems() Problems {
	ps := append(Problems(nil), f.problems...)
	if f.dropped > 0 {
		ps = append(ps, Problem{
			File: f.name, Line: len(f.lines),
			Message: fmt.Sprintf("and %d more problems", f.dropped), Fix: "mend those above first",
		})
	}
	return ps.Sort()
}

// Has tells whether the file has a value at path.
func (f *File) Has(path string) bool {
	_, ok := f.places[path]
	return ok
}

// Valid tells whether the file has a value at path and nothing was found wrong
// with it so far.
func (f *File) Valid(path string) bool {
	wrong := func(p Problem) bool { return p.Path == path && !p.Warning }
	return f.Has(path) && !slices.ContainsFunc(f.problems, wrong)
}

// Line is the line of the key or list item at path; of the nearest one around
// it when the file does not have it.
func (f *File) Line(path string) int {
	at := f.nearest(path)
	switch {
	case at.key != nil:
		return at.key.Line
	case at.value != nil:
		return at.value.Line
	default:
		return 1
	}
}

// Report adds an error about the value at path. What a message quotes must not
// be secret.
func (f *File) Report(path, message, fix string) {
	f.report(Problem{Path: path, Message: message, Fix: fix})
}

// Warn adds a warning about the value at path.
func (f *File) Warn(path, message, fix string) {
	f.report(Problem{Path: path, Message: message, Fix: fix, Warning: true})
}

// ReportLine adds an error about the line of path as a whole: a relation
// between values, which the message names itself.
func (f *File) ReportLine(path, message, fix string) {
	f.add(Problem{Line: f.Line(path), Message: message, Fix: fix})
}

// WarnLine is ReportLine for a warning.
func (f *File) WarnLine(path, message, fix string) {
	f.add(Problem{Line: f.Line(path), Message: message, Fix: fix, Warning: true})
}

func (f *File) report(p Problem) {
	at := f.nearest(p.Path)
	switch {
	case at.value != nil && (at.value.Kind == yaml.ScalarNode || at.key == nil || at.value.Style&yaml.FlowStyle != 0):
		p.Line, p.Column = at.value.Line, at.value.Column
	case at.key != nil:
		p.Line, p.Column = at.key.Line, at.key.Column
	default:
		p.Line, p.Column = 1, 1
	}
	f.add(p)
}

// nearest finds the place of path, or of the nearest path around it.
func (f *File) nearest(path string) place {
	for path != "" {
		if at, ok := f.places[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		path = path[:max(i, 0)]
	}
	return place{value: f.root}
}

// add stores a problem with its line, up to maxProblems.
func (f *File) add(p Problem) {
	if len(f.problems) >= maxProblems {
		f.dropped++
		return
	}
	p.File = f.name
	if p.Line > len(f.lines) { // the parser saw the end there, as after "---"
		p.Line, p.Column = len(f.lines), 0
	}
	if p.Column > 0 && p.Line >= 1 && p.Line <= len(f.lines) {
		p.Source, p.Caret = excerpt(f.lines[p.Line-1], p.Column)
	}
	f.problems = append(f.problems, p)
}
