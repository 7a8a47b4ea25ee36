package yamlfile

import (
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topupd/internal/fuzztest"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzDecode: every problem is about a line that exists, with a caret in it, and
// what is accepted reads the same again.
func FuzzDecode(f *testing.F) {
	f.Add("text: a\nlist: [{name: b}]\nfree: {a: 200,00 EUR}\n")
	f.Add("a: &x 1\nb: *x\n<<: *x\n")
	f.Add("? {a: b}\n: !!str c\n---\n--- x")
	f.Add("text: 0123\nwait: 5\ncount: 010\nnumber: 1_000\nhidden_token: ${LONG}\n")
	f.Add("text: \"\\u0000\\x1b[31m\"\nword: hig\ntext: b\r\n\tlist: [")
	f.Add("\r00")
	f.Add("---")
	f.Add("\u2028a\u0085b\u2029c: d")
	f.Add("text: é" + strings.Repeat("x", 300) + "\nunknown: ${SHORT}")
	f.Fuzz(func(t *testing.T, text string) {
		s, file := decode(t, text)
		ps := file.Problems()
		if ps.Err() == nil && s.Text == "" {
			t.Errorf("%q was accepted without text", text)
		}
		if len(ps.Error()) > (maxProblems+2)*2000 || strings.Contains(ps.Error(), "long-secret") {
			t.Errorf("%d bytes of problems, or a secret in them", len(ps.Error()))
		}
		for _, p := range ps {
			if p.Column > 0 && p.Caret > len([]rune(p.Source))+1 {
				t.Errorf("%q: the caret is behind the line: %+v", text, p)
			}
			if p.Line < 0 || p.Line > len(file.lines) || p.Message == "" {
				t.Errorf("%q: a problem of no line: %+v", text, p)
			}
		}
		if ps.Err() == nil {
			again, _ := decode(t, text)
			if diff := cmp.Diff(s, again); diff != "" {
				t.Errorf("%q reads differently again:\n%s", text, diff)
			}
		}
	})
}

// FuzzWords: a duration is read within its bounds and survives being written; a
// number is a plain decimal in the base that people write.
func FuzzWords(f *testing.F) {
	for _, text := range []string{
		"5s", "5", "90d", "1h30m", "30m1h", "500ms", "1d1d", "0s", "", "-5s", "36500d", "36501d", "999999999d", "999999999999s", "1.5h", "5S", "٣s", "1h 30m",
		"120", "0.5", "010", "1e3", "0x10", "1_000", "1,5", "1,000", "-5", "--5", "5.", ".5", "NaN", " 5", strings.Repeat("9", 31),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again Duration
		if err := d.ReadText(text); err != nil && (d != 0 || err.Error() == "") {
			t.Errorf("%q is %s and %v", text, d, err)
		} else if err == nil {
			if d < 0 || d > Duration(maxDuration) {
				t.Errorf("%q is %d", text, d)
			}
			if err := again.ReadText(d.String()); err != nil || again != d {
				t.Errorf("%q is %s, read again %s, %v", text, d, again, err)
			}
		}
		var n Number
		if n.ReadText(text) != nil {
			return
		}
		if _, ok := new(big.Rat).SetString(text); !ok || string(n) != text || len(text) > 60 || strings.ContainsAny(text, "eExXoObBpP_/+, ") {
			t.Errorf("%q is the number %q", text, n)
		}
	})
}

// FuzzExpand: what a variable holds is filled in as it is and never read as a
// variable again.
func FuzzExpand(f *testing.F) {
	f.Add("a ${NAME} b", "value")
	f.Add("$${NAME}", "x")
	f.Add("${NAME}${NAME}", "${NAME}")
	f.Add("${", "x")
	f.Add("${A B}", "x")
	f.Add("$$${NAME}", "")
	f.Fuzz(func(t *testing.T, text, value string) {
		asked := 0
		got, fault := expand(text, func(string) string { asked++; return value })
		switch {
		case fault != nil && (got != "" || fault.Is == "" || fault.Fix == ""):
			t.Errorf("expand(%q) = %q, %+v", text, got, fault)
		case fault == nil && asked == 0 && got != strings.ReplaceAll(text, "$${", "${"):
			t.Errorf("expand(%q) = %q", text, got)
		case fault == nil && len(got) > maxExpanded+len(text):
			t.Errorf("expand(%q) has %d bytes", text, len(got))
		case fault == nil && asked > 0 && !strings.Contains(got, value):
			t.Errorf("expand(%q) = %q, without %q", text, got, value)
		}
		if asked > strings.Count(text, "${") {
			t.Errorf("expand(%q) asked %d times", text, asked)
		}
	})
}
