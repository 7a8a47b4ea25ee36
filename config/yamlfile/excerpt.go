package yamlfile

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// maxExcerpt is how many characters of a line are shown; a longer line is cut
// around the caret, so that no file can make a message endless.
const maxExcerpt = 110

// redacted stands in messages where a secret was.
const redacted = "[redacted]"

// secretValue finds values after keys that hold secrets, known or misspelt,
// and the key prefixes of both providers wherever they stand. A key that ends
// in _file names a file, which may be shown, and so may ${NAME}.
var (
	secretValue  = regexp.MustCompile(`(?i)["']?\b([\w-]*(?:tok[e]?n|passw|secret|database|api_?key|dsn)[\w-]*)["']?\s*:\s*("(?:\\.|[^"\\])*"?|'(?:''|[^'])*'?|\$\{\w+\}[^,}]*|\w+://[^\s}]*|[^\s,}#][^,}]*)`)
	secretPrefix = regexp.MustCompile(`(\b(?:test|prod|talq)_[A-Za-z0-9_-]{8,})|://([^\s/@]*:[^\s/@]*)@`)
)

// excerpt returns the line as it may be shown and the column, from 1, where
// the caret belongs in it.
func excerpt(line string, column int) (shown string, caret int) {
	text := printable(line)
	at := min(max(column-1, 0), len(text))
	text, at = mask(text, at)
	return window(text, at)
}

// printable keeps one character of width for every character of the line.
func printable(line string) []rune {
	text := []rune(line)
	for i, r := range text {
		if r == '\t' {
			text[i] = ' '
		} else if !unicode.IsPrint(r) {
			text[i] = '�'
		}
	}
	return text
}

// mask replaces secrets in the line and moves the caret along.
func mask(text []rune, at int) ([]rune, int) {
	for _, s := range secretSpans(string(text)) {
		start, end := s[0], s[1]
		switch {
		case at >= end:
			at += len(redacted) - (end - start)
		case at > start:
			at = start
		}
		text = slices.Concat(text[:start], []rune(redacted), text[end:])
	}
	return text, at
}

// secretSpans are the secrets of a line in characters, last first.
func secretSpans(line string) [][2]int {
	var spans [][2]int
	add := func(start, end int) {
		span := [2]int{len([]rune(line[:start])), len([]rune(line[:end]))}
		overlaps := func(s [2]int) bool { return span[0] < s[1] && s[0] < span[1] }
		if !slices.ContainsFunc(spans, overlaps) {
			spans = append(spans, span)
		}
	}
	for _, m := range secretValue.FindAllStringSubmatchIndex(line, -1) {
		key, value := line[m[2]:m[3]], line[m[4]:m[5]]
		if !strings.ContainsAny(value[:1], `"'`) && !strings.ContainsAny(line[:m[0]], "{[") { // outside braces a comma ends nothing
			value = line[m[4]:]
		}
		value = strings.TrimRight(value, " ")
		if strings.HasSuffix(key, "_file") || variable.MatchString(strings.Trim(value, `"'`)) {
			continue
		}
		add(m[4], m[4]+len(value))
	}
	for _, m := range secretPrefix.FindAllStringSubmatchIndex(line, -1) {
		for group := 2; group < len(m); group += 2 {
			if m[group] >= 0 {
				add(m[group], m[group+1])
			}
		}
	}
	slices.SortFunc(spans, func(a, b [2]int) int { return b[0] - a[0] })
	return spans
}

// window cuts a long line to the part around the caret.
func window(text []rune, at int) (string, int) {
	if len(text) <= maxExcerpt {
		return string(text), at + 1
	}
	from := min(max(at-maxExcerpt/2, 0), len(text)-maxExcerpt)
	shown := slices.Clone(text[from : from+maxExcerpt])
	if from > 0 {
		shown[0] = '…'
	}
	if from+maxExcerpt < len(text) {
		shown[maxExcerpt-1] = '…'
	}
	return string(shown), at - from + 1
}

// quote writes outside text for a message: quoted and at most 60 characters.
func quote(text string) string {
	runes := printable(text)
	if len(runes) > 60 {
		runes = append(runes[:60], '…')
	}
	return `"` + string(runes) + `"`
}
