package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Object is a JSON object as the provider wrote it. Unlike a struct filled in by
// encoding/json it knows which keys were spelt exactly so, which were null and
// which came twice, because a balance must not be read out of any of those.
type Object struct {
	fields map[string]json.RawMessage
	twice  map[string]bool
}

// ParseObject reads one JSON object.
func ParseObject(raw []byte) (Object, error) {
	if !json.Valid(raw) {
		return Object{}, errors.New("not JSON")
	}
	return ParsePart(raw)
}

// ParsePart is ParseObject for a value that an Object has given out: it was
// checked with the whole.
func ParsePart(raw json.RawMessage) (Object, error) {
	rest := bytes.TrimLeft(raw, blanks)
	if rest[0] != '{' {
		return Object{}, errors.New("not a JSON object")
	}
	rest = bytes.TrimLeft(rest[1:], blanks)
	o := Object{fields: map[string]json.RawMessage{}}
	for rest[0] != '}' { // every value is followed by something: raw is valid
		rest = bytes.TrimLeft(rest, ","+blanks)
		end := valueEnd(rest)
		var name string
		if err := json.Unmarshal(rest[:end], &name); err != nil {
			return Object{}, fmt.Errorf("not a JSON object: %w", err)
		}
		rest = bytes.TrimLeft(rest[end:], ":"+blanks)
		end = valueEnd(rest)
		if _, seen := o.fields[name]; seen {
			if o.twice == nil {
				o.twice = map[string]bool{}
			}
			o.twice[name] = true
		}
		o.fields[name] = json.RawMessage(rest[:end:end])
		rest = bytes.TrimLeft(rest[end:], blanks)
	}
	return o, nil
}

// blanks is what JSON allows between its parts.
const blanks = " \t\r\n"

// valueEnd is where the first value of valid JSON ends. encoding/json would read
// each value twice more to find that out.
func valueEnd(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 { // of what surrounds a number, true, false or null
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == ':' || strings.IndexByte(blanks, c) >= 0):
			return i
		}
	}
	return len(text)
}

// Has tells whether the key is there, once, and not null.
func (o Object) Has(key string) bool {
	v, ok := o.fields[key]
	return ok && !o.twice[key] && !isNull(v)
}

// Present tells whether the key is there at all, null included.
func (o Object) Present(key string) bool {
	_, ok := o.fields[key]
	return ok
}

// Twice tells whether the key came more than once.
func (o Object) Twice(key string) bool { return o.twice[key] }

// Raw is the value of the key; nil when Has is false.
func (o Object) Raw(key string) json.RawMessage {
	if !o.Has(key) {
		return nil
	}
	return o.fields[key]
}

// Text is a string value; "" when it is absent or no string.
func (o Object) Text(key string) string {
	var s *string
	if json.Unmarshal(o.Raw(key), &s) != nil || s == nil {
		return ""
	}
	return *s
}

// maxID bounds an id, in bytes, inclusive.
const maxID = 128

// ID is a string value that is a ValidID; "" when it is not.
func (o Object) ID(key string) string {
	if s := o.Text(key); ValidID(s) {
		return s
	}
	return ""
}

// ValidID tells whether s can be a provider's id: 1 to 128 bytes of printable
// characters without spaces, and not a step in a path.
func ValidID(s string) bool {
	unprintable := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) }
	return s != "" && len(s) <= maxID && s != "." && s != ".." && !strings.ContainsFunc(s, unprintable)
}

// Bool is a boolean value; ok is false when it is absent or no boolean.
func (o Object) Bool(key string) (value, ok bool) {
	var b *bool
	if json.Unmarshal(o.Raw(key), &b) != nil || b == nil {
		return false, false
	}
	return *b, true
}

// Time is a date-time value in UTC; zero when it is absent or no date-time.
func (o Object) Time(key string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, o.Text(key))
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}
	}
	return at.UTC()
}

// Number is the exact text of a JSON number. Absent, null, doubled and other
// values are errors that say so.
func (o Object) Number(key string) (string, error) {
	v, ok := o.fields[key]
	switch {
	case !ok:
		return "", fmt.Errorf("%s is missing", key)
	case o.twice[key]:
		return "", fmt.Errorf("%s is there twice", key)
	case isNull(v):
		return "", fmt.Errorf("%s is null", key)
	case v[0] != '-' && (v[0] < '0' || v[0] > '9'):
		return "", fmt.Errorf("%s is not a number: %s", key, cut(string(v), 40))
	}
	return string(v), nil
}

// NumberText is Number for providers that write some numbers as strings.
func (o Object) NumberText(key string) (string, error) {
	if s := o.Text(key); s != "" {
		return s, nil
	}
	return o.Number(key)
}

// Object is a nested object; false when it is absent or none.
func (o Object) Object(key string) (Object, bool) {
	raw := o.Raw(key)
	if raw == nil {
		return Object{}, false
	}
	nested, err := ParsePart(raw)
	return nested, err == nil
}

// List is an array value; false when it is absent or none.
func (o Object) List(key string) ([]json.RawMessage, bool) {
	raw := o.Raw(key)
	if raw == nil || raw[0] != '[' {
		return nil, false
	}
	rest := bytes.TrimLeft(raw[1:], blanks)
	list := []json.RawMessage{}
	for rest[0] != ']' { // raw is a whole value of valid JSON
		rest = bytes.TrimLeft(rest, ","+blanks)
		end := valueEnd(rest)
		list = append(list, json.RawMessage(rest[:end:end]))
		rest = bytes.TrimLeft(rest[end:], blanks)
	}
	return list, true
}

func isNull(v json.RawMessage) bool { return string(v) == "null" }
