package yamlfile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shape has one key of each kind that can be read.
type shape struct {
	Text   string            `yaml:"text" jsonschema:"required"`
	Flag   bool              `yaml:"flag"`
	Count  int               `yaml:"count" jsonschema:"minimum=1,maximum=9"`
	Wait   Duration          `yaml:"wait" range:"1s..1h"`
	Number Number            `yaml:"number"`
	Word   word              `yaml:"word"`
	Hidden *hidden           `yaml:"hidden_token"`
	List   []item            `yaml:"list"`
	Free   map[string]string `yaml:"free"`
	Inner
}

// Inner is promoted: its keys stand beside the others.
type Inner struct {
	Level *int `yaml:"level"`
}

type item struct {
	Name string `yaml:"name" jsonschema:"required"`
	Size int    `yaml:"size"`
}

func (i *item) Defaults() { i.Size = 7 }

type word string

func (word) Options() []string { return []string{"low", "high"} }

type hidden string

func (*hidden) Sensitive() {}

func (h *hidden) ReadText(text string) error {
	if len(text) < 3 {
		return &Fault{"is too short: " + text, "write more than " + text}
	}
	*h = hidden(text)
	return nil
}

func decode(t *testing.T, text string) (shape, *File) {
	t.Helper()
	var s shape
	f := Parse("f.yml", []byte(text), func(name string) string {
		return map[string]string{"SHORT": "zz", "LONG": "long-secret"}[name]
	})
	f.Decode(&s)
	return s, f
}

func TestDecodeKeepsText(t *testing.T) {
	t.Parallel()
	got, f := decode(t, `
text: 0123
flag: true
count: 9
wait: 1h
number: 600.00
word: high
hidden_token: ${LONG}
list: [{name: 1.10}, {name: "null", size: 0}]
free: {seats: 0x10, when: 2027-01-01, "on": yes}
level: 3
`)
	if ps := f.Problems(); len(ps) != 0 {
		t.Fatal(ps)
	}
	level, secret := 3, hidden("long-secret")
	want := shape{
		Text: "0123", Flag: true, Count: 9, Wait: Duration(time.Hour), Number: "600.00", Word: "high", Hidden: &secret,
		List:  []item{{"1.10", 7}, {"null", 0}},
		Free:  map[string]string{"seats": "0x10", "when": "2027-01-01", "on": "yes"},
		Inner: Inner{&level},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Decode() (-want +got):\n%s", diff)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       string // every problem without the last line
	}{
		{"a missing key", "flag: true\n", "f.yml:1:1: text is missing\n    1 | flag: true\n      | ^ add text: …"},
		{"one below the range", "text: a\ncount: 0\n", "f.yml:2:8: count: \"0\" is not a whole number that fits here\n    2 | count: 0\n      |        ^ write a number from 1 to 9"},
		{"one above the range", "text: a\ncount: 10\n", "f.yml:2:8: count: \"10\" is not a whole number that fits here\n    2 | count: 10\n      |        ^ write a number from 1 to 9"},
		{"a duration below the range", "text: a\nwait: 999ms\n", "f.yml:2:7: wait: 999ms is out of range\n    2 | wait: 999ms\n      |       ^ write a duration from 1s to 1h"},
		{"a block where a value belongs", "text: {a: b}\n", "f.yml:1:7: text: must be a single value, is a block of keys\n    1 | text: {a: b}\n      |       ^ write one value"},
		{"a value where a list belongs", "text: a\nlist: b\n", "f.yml:2:7: list: must be a list, is a single value\n    2 | list: b\n      |       ^ write a list: [a, b]"},
		{"a complex key", "text: a\n? [b]\n: c\n", "f.yml:2:3: a key must be a single word\n    2 | ? [b]\n      |   ^ put text with brackets in quotes"},
		{"a secret is not quoted", "text: a\nhidden_token: zz\n", "f.yml:2:15: hidden_token: the value is too short: zz"},
		{"a caret under a wide line with letters of two bytes", "text: a\nfree: {é: }\n", "f.yml:2:11: free.é: has no value\n    2 | free: {é: }\n      |           ^ write a value, or remove the key"},
		{"an undefined alias", "text: *a\n", "f.yml:1:1: not YAML: unknown anchor 'a' referenced\n    1 | text: *a\n      | ^ put text that starts with * in quotes"},
		{"not UTF-8", "text: \xff\n", "f.yml:1:1: not YAML: invalid leading UTF-8 octet\n    1 | text: �\n      | ^"},
		{"only a comment", "# nothing\n", "f.yml: the file is empty · write the configuration, or remove the file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, f := decode(t, tt.text)
			got := strings.TrimSuffix(f.Problems().Error(), "\n1 error in 1 file")
			if tt.name == "a secret is not quoted" { // the fault's own words are the reader's business
				got, _, _ = strings.Cut(got, "\n")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAVariableIsNeverShown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"text: a\nhidden_token: ${SHORT}\n", "text: a\ncount: ${SHORT}\n", "text: a\nwait: ${SHORT}\n", "text: a\nnumber: ${SHORT}\n", "text: a\nword: ${SHORT}\n",
		"text: a\nflag: ${SHORT}\n",
	} {
		_, f := decode(t, text)
		if got := f.Problems().Error(); f.Problems().Errors() != 1 || strings.Contains(got, "zz") {
			t.Errorf("%q is reported as\n%s", text, got)
		}
	}
}

func TestExcerptsHideSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, line string
		column     int
		want       string
		caret      int
	}{
		{"nothing to hide", "poll: auto", 8, "poll: auto", 8},
		{"a token", "token: prod_abc", 8, "token: [redacted]", 8},
		{"a quoted token", `token: "a b"  # x`, 1, "token: [redacted]  # x", 1},
		{"a token in the middle moves the caret", "{token: x, poll: auto}", 19, "{token: [redacted], poll: auto}", 28},
		{"a caret inside the token stands at its start", "token: prod_abc", 12, "token: [redacted]", 8},
		{"a file is not a secret", "token_file: a.token", 13, "token_file: a.token", 13},
		{"a variable is not a secret", "token: ${TOKEN}", 8, "token: ${TOKEN}", 8},
		{"a quoted variable neither", `token: "${TOKEN}"`, 8, `token: "${TOKEN}"`, 8},
		{"a quote inside a quoted token", `token: "a\"b"  # x`, 1, "token: [redacted]  # x", 1},
		{"a quote inside a token in single quotes", `token: 'a''b'  # x`, 1, "token: [redacted]  # x", 1},
		{"a comma inside a plain token", "token: a,b}c", 1, "token: [redacted]", 1},
		{"a variable with something behind it", "token: ${TOKEN}x1", 1, "token: [redacted]", 1},
		{"a variable in braces", "{token: ${TOKEN}, poll: auto}", 2, "{token: ${TOKEN}, poll: auto}", 2},
		{"a misspelt key", "tokn: x1", 1, "tokn: [redacted]", 1},
		{"a key of another name", "user_password: x1", 1, "user_password: [redacted]", 1},
		{"a database", "database_url: postgres://u:p@h/d", 1, "database_url: [redacted]", 1},
		{"a database with a comma", "database_url: postgres://u:p,w@h1,h2/d", 1, "database_url: [redacted]", 1},
		{"credentials in another URL", "base_url: https://u:p@h", 1, "base_url: https://[redacted]@h", 1},
		{"a key under another name", "name: test_0123456789", 1, "name: [redacted]", 1},
		{"tabs and controls keep their width", "a:\t\x01b", 5, "a: �b", 5},
		{"a caret behind the line", "a:", 9, "a:", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, caret := excerpt(tt.line, tt.column)
			if got != tt.want || caret != tt.caret {
				t.Errorf("excerpt(%q, %d) = %q, %d; want %q, %d", tt.line, tt.column, got, caret, tt.want, tt.caret)
			}
		})
	}
}

func TestLongLinesAreCutAroundTheCaret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		length, column := rapid.IntRange(0, 500).Draw(t, "length"), rapid.IntRange(1, 501).Draw(t, "column")
		line := []rune(strings.Repeat(".", length))
		at := min(column-1, length)
		if at < length {
			line[at] = 'X'
		}
		got, caret := excerpt(string(line), column)
		shown := []rune(got)
		if len(shown) > maxExcerpt || caret < 1 || caret > len(shown)+1 {
			t.Fatalf("%d characters, caret %d", len(shown), caret)
		}
		if at < length && shown[caret-1] != 'X' && shown[caret-1] != '…' {
			t.Fatalf("the caret %d points at %q in %q", caret, shown[caret-1], got)
		}
	})
}

func TestManyProblemsEnd(t *testing.T) {
	t.Parallel()
	_, f := decode(t, "text: a\n"+strings.Repeat("? []\n: 1\n", 1000))
	ps := f.Problems()
	if len(ps) != maxProblems+1 || !strings.Contains(ps.Error(), "and 900 more problems") {
		t.Errorf("%d problems", len(ps))
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"90d", 90 * 24 * time.Hour, true},
		{"1h30m", 90 * time.Minute, true},
		{"1d2h3m4s5ms", 26*time.Hour + 3*time.Minute + 4*time.Second + 5*time.Millisecond, true},
		{"500ms", 500 * time.Millisecond, true},
		{"0s", 0, true},
		{"36500d", maxDuration, true},
		{"36501d", 0, false},
		{"36500d1s", 0, false},
		{"5", 0, false},
		{"", 0, false},
		{"5 m", 0, false},
		{"-5m", 0, false},
		{"1.5h", 0, false},
		{"30m1h", 0, false},
		{"1h1h", 0, false},
		{"2w", 0, false},
		{"99999999999d", 0, false},
	} {
		var got Duration
		if err := got.ReadText(tt.in); (err == nil) != tt.ok || time.Duration(got) != tt.want {
			t.Errorf("ReadText(%q) = %v, %v; want %v, %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestWritingAndReadingADurationIsTheIdentity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(time.Duration(rapid.Int64Range(0, int64(maxDuration/time.Millisecond)).Draw(t, "ms")) * time.Millisecond)
		var got Duration
		if err := got.ReadText(d.String()); err != nil || got != d {
			t.Fatalf("%d was written as %s and read as %d, %v", d, d, got, err)
		}
	})
}

func TestExpand(t *testing.T) {
	t.Parallel()
	env := map[string]string{"A": "1", "B_2": "two", "NESTED": "${A}"}
	for _, tt := range []struct{ name, in, want, fault string }{
		{"no variable", "a $ b } {", "a $ b } {", ""},
		{"inside", "x${A}y${B_2}", "x1ytwo", ""},
		{"escaped", "$${A}", "${A}", ""},
		{"escaped and not", "$${A}${A}", "${A}1", ""},
		{"not filled in twice", "${NESTED}", "${A}", ""},
		{"not set", "${NO}", "", "NO, which is not set"},
		{"unclosed", "${A", "", "not ${NAME}"},
		{"no name", "${}", "", "not ${NAME}"},
		{"a default is not read", "${A:-b}", "", "not ${NAME}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, fault := expand(tt.in, func(name string) string { return env[name] })
			switch {
			case tt.fault == "" && (fault != nil || got != tt.want):
				t.Errorf("expand(%q) = %q, %v; want %q", tt.in, got, fault, tt.want)
			case tt.fault != "" && (fault == nil || !strings.Contains(fault.Is, tt.fault)):
				t.Errorf("expand(%q) = %q, %v; want a fault with %q", tt.in, got, fault, tt.fault)
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"poll", "token", "token_file", "unknown_outcome"}
	for in, want := range map[string]string{"pol": "poll", "Token": "token", "tokne": "token", "token-file": "token_file", "zzzzzzzz": "", strings.Repeat("x", 1000): ""} {
		if got := Suggest(in, known); got != want {
			t.Errorf("Suggest(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func TestProblemsCountThemselves(t *testing.T) {
	t.Parallel()
	ps := Problems{{File: "b", Line: 2, Message: "x", Warning: true}, {File: "a", Line: 1, Message: "y"}, {File: "a", Line: 1, Message: "y"}}.Sort()
	if got, want := ps.Text(3), "a:1: y\nb:2: warning: x\n1 error, 1 warning in 3 files"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
	if ps.Err() == nil || ps.Warnings().Err() != nil || len(ps.Warnings()) != 1 || Problems(nil).Text(2) != "" {
		t.Error("warnings must not stop anything, errors must")
	}
}

func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := Read(dir, "folder", nil).Problems().Error(); !strings.Contains(got, "it is a folder") {
		t.Errorf("reading a folder: %s", got)
	}
	if got := Read("/dev/zero", "zero", nil).Problems().Error(); !strings.Contains(got, "larger than 1048576 bytes") {
		t.Errorf("reading without end: %s", got)
	}
}
