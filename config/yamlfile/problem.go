package yamlfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"topupd/internal/english"
)

// Problem is one mistake in a file, or a warning about something that is
// allowed but probably not meant.
type Problem struct {
	File    string // as it is shown to people
	Line    int    // from 1; 0 when the problem is the whole file
	Column  int    // from 1, in characters; 0 when the line as a whole is meant
	Path    string // the key, such as "rules[0].buy.bundles[1].credits"; may be empty
	Message string
	Fix     string // what to do; may be empty
	Source  string // the line, without secrets; empty when Column is 0
	Caret   int    // where the caret belongs in Source, from 1
	Warning bool
}

// Error writes the problem as a person should see it, without a line feed at
// the end.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, ":%d", p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if key := p.key(); key != "" {
		b.WriteString(key + ": ")
	}
	b.WriteString(p.Message)
	if p.Column == 0 {
		if p.Fix != "" {
			b.WriteString(" · " + p.Fix)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "\n%5d | %s\n      | %*s", p.Line, p.Source, p.Caret, "^")
	if p.Fix != "" {
		b.WriteString(" " + p.Fix)
	}
	return b.String()
}

// key is the end of Path: what follows the last list item that is not its end.
func (p Problem) key() string {
	if i := strings.LastIndex(p.Path, "]."); i >= 0 {
		return p.Path[i+2:]
	}
	return p.Path
}

// Problems is everything that was found, in the order of files and lines. It
// may hold warnings only: ask Err whether to go on.
type Problems []Problem

// Error writes every problem and, in the last line, how many there are.
func (ps Problems) Error() string {
	files := map[string]bool{}
	for _, p := range ps {
		files[p.File] = true
	}
	return ps.Text(len(files))
}

// Text is Error for a reader that has looked at more files than those with
// problems. It ends without a line feed and is empty without problems.
func (ps Problems) Text(files int) string {
	if len(ps) == 0 {
		return ""
	}
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.Error() + "\n")
	}
	var counts []string
	if n := ps.Errors(); n > 0 {
		counts = append(counts, english.Plural(n, "error"))
	}
	if n := len(ps) - ps.Errors(); n > 0 {
		counts = append(counts, english.Plural(n, "warning"))
	}
	b.WriteString(strings.Join(counts, ", ") + " in " + english.Plural(files, "file"))
	return b.String()
}

// Errors is the number of problems that are not warnings.
func (ps Problems) Errors() int {
	n := 0
	for _, p := range ps {
		if !p.Warning {
			n++
		}
	}
	return n
}

// Err is nil when there are no problems but warnings; else all of them.
func (ps Problems) Err() error {
	if ps.Errors() == 0 {
		return nil
	}
	return ps
}

// Warnings are the problems that do not stop anything.
func (ps Problems) Warnings() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return !p.Warning })
}

// Sort orders problems by file, line and column, and drops repeated ones.
func (ps Problems) Sort() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}

// Fault is what a type says about text that it cannot read. The text itself is
// added by the reader, who knows whether it may be shown.
type Fault struct {
	Is  string // continues the quoted text: `is not an amount`
	Fix string // what to write instead
}

// Error is the fault without the text it is about.
func (f *Fault) Error() string { return f.Is }

// faultOf makes a Fault of any error.
func faultOf(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{Is: "cannot be read: " + err.Error()}
}
