package yamlfile

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Enum is a string type that takes words of a closed list.
type Enum interface{ Options() []string }

// Form says how a TextReader is written, for editors.
type Form struct {
	Pattern  string   // a regular expression for the text
	Number   bool     // it may be written without quotes as a number
	Examples []string // at least one
}

// Formed is a TextReader that describes its text.
type Formed interface{ Form() Form }

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// Duration is a length of time written with its units, such as "90d", "1h30m"
// or "500ms".
type Duration time.Duration

type unit struct {
	suffix string
	length time.Duration
}

// units, largest first: they must stand in this order, each at most once.
// A day is 24 hours.
var units = []unit{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

var durationPart = regexp.MustCompile(`^([0-9]{1,9})(ms|d|h|m|s)`)

// maxDuration bounds every duration, inclusive: about a hundred years.
const maxDuration = 36_500 * 24 * time.Hour

// ReadText reads days, hours, minutes, seconds and milliseconds. A number
// without a unit is an error: nobody knows whether 5 are seconds or minutes.
func (d *Duration) ReadText(text string) error {
	total, rest, next := time.Duration(0), text, 0
	for rest != "" {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return durationFault(text)
		}
		at := slices.IndexFunc(units, func(u unit) bool { return u.suffix == m[2] })
		n, _ := strconv.ParseInt(m[1], 10, 64)
		if at < next || n > int64(maxDuration/units[at].length) {
			return durationFault(text)
		}
		total += time.Duration(n) * units[at].length
		if total > maxDuration {
			return durationFault(text)
		}
		rest, next = rest[len(m[0]):], at+1
	}
	if text == "" {
		return durationFault(text)
	}
	*d = Duration(total)
	return nil
}

func durationFault(text string) *Fault {
	if wholeNumber.MatchString(text) && len(text) < 10 {
		return &Fault{"is a duration without a unit", fmt.Sprintf("write the unit: %ss, %sm, %sh or %sd", text, text, text, text)}
	}
	return &Fault{"is not a duration", "write numbers with d, h, m, s or ms, the largest first: 90d, 5m, 1h30m"}
}

// String writes the duration as it is read: "1h30m", "90d", "0s".
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := time.Duration(d)
	for _, u := range units {
		if n := rest / u.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.suffix)
			rest %= u.length
		}
	}
	return b.String()
}

// Form describes the text.
func (Duration) Form() Form {
	return Form{Pattern: `^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$`, Examples: []string{"90d", "5m", "1h30m"}}
}

// Range is an inclusive range of durations, from a tag like `range:"1s..24h"`.
type Range struct{ Low, High Duration }

// RangeOf reads the range of a field; ok is false when it has none.
func RangeOf(tag reflect.StructTag) (r Range, ok bool) {
	low, high, ok := strings.Cut(tag.Get("range"), "..")
	if !ok || r.Low.ReadText(low) != nil || r.High.ReadText(high) != nil {
		return Range{}, false
	}
	return r, true
}

func (f *File) inRange(value reflect.Value, path string, tag reflect.StructTag) {
	d, isDuration := reflect.TypeAssert[Duration](value)
	r, ok := RangeOf(tag)
	if !isDuration || !ok || (d >= r.Low && d <= r.High) {
		return
	}
	// A value that could not be read is zero or still the default; it was reported already.
	if n := len(f.problems); n > 0 && f.problems[n-1].Path == path {
		return
	}
	f.Report(path, fmt.Sprintf("%s is out of range", d), fmt.Sprintf("write a duration from %s to %s", r.Low, r.High))
}

// Number is a decimal number that stays text until somebody knows its scale.
type Number string

var decimalNumber = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,20})?$`)

// ReadText accepts plain decimals: no exponents, no separators, no hex.
func (n *Number) ReadText(text string) error {
	if !decimalNumber.MatchString(text) {
		return NumberFault(text)
	}
	*n = Number(text)
	return nil
}

// Form describes the text.
func (Number) Form() Form {
	return Form{Pattern: `^-?[0-9]+(\.[0-9]+)?$`, Number: true, Examples: []string{"120", "600.00"}}
}

var withComma = regexp.MustCompile(`^(-?[0-9]+),([0-9]{1,2})$`)

// NumberFault says why text is not a plain decimal number.
func NumberFault(text string) *Fault {
	switch {
	case withComma.MatchString(text):
		return &Fault{"is not a number", "write a decimal point: " + strings.Replace(text, ",", ".", 1)}
	case decimalNumber.MatchString(strings.NewReplacer(",", "", "_", "", " ", "").Replace(text)):
		return &Fault{"is not a number", "leave the separators out: " + strings.NewReplacer(",", "", "_", "", " ", "").Replace(text)}
	default:
		return &Fault{"is not a number", "write a plain decimal number such as 120 or 0.5"}
	}
}
