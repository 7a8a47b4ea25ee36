package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"topupd/topup"
)

// outputFlags choose how a reading command writes.
type outputFlags struct {
	Output string `short:"o" enum:"table,json,jsonl,csv" default:"table" help:"How to write it: ${enum}."`
}

// listing writes records for programs, or else what table prints for people.
// The fields of R, in order, are the columns; each is a string, a bool, an
// integer or a pointer to one of them, and nil is null.
func listing[R any](a *app, format string, records []R, table func()) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(a.stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if records == nil {
			records = []R{}
		}
		return encoder.Encode(records)
	case "jsonl":
		encoder := json.NewEncoder(a.stdout)
		encoder.SetEscapeHTML(false)
		for _, r := range records {
			if err := encoder.Encode(r); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return writeCSV(a.stdout, records)
	default:
		table()
		return nil
	}
}

// writeCSV writes a header line and one line per record; null is an empty cell.
// A text that a spreadsheet would run as a formula has an apostrophe before it:
// names are the customers' own, and accounting opens these files.
func writeCSV[R any](w io.Writer, records []R) error {
	out := csv.NewWriter(w)
	var header []string
	for field := range reflect.TypeFor[R]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		header = append(header, name)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	for _, r := range records {
		value := reflect.ValueOf(r)
		cells := make([]string, value.NumField())
		for i := range cells {
			cells[i] = inert(cell(value.Field(i)))
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func cell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if raw, ok := reflect.TypeAssert[json.RawMessage](v); ok {
		if string(raw) == "null" {
			return ""
		}
		return string(raw)
	}
	return fmt.Sprint(v.Interface())
}

var signed = regexp.MustCompile(`^[+-][0-9]+(\.[0-9]+)?$`)

// inert keeps a spreadsheet from taking a text for a formula; numbers stay.
func inert(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && !signed.MatchString(text) {
		return "'" + text
	}
	return text
}

// stamp is a time for programs: RFC 3339 in UTC with microseconds where there
// are any; nil for none.
func stamp(t *time.Time) *string {
	if t == nil || t.IsZero() {
		return nil
	}
	return new(t.UTC().Format("2006-01-02T15:04:05.999999Z07:00"))
}

// word is a text for programs; nil when it is empty.
func word[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	return new(string(s))
}

// number is an amount of credits for programs.
func number(c *topup.Credits) *string {
	if c == nil {
		return nil
	}
	return new(c.String())
}

// figure is an amount of credits for people.
func figure(c *topup.Credits) string {
	if c == nil {
		return "-"
	}
	return c.Grouped()
}

// dash stands for an empty text.
func dash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

// long writes a duration in its largest unit or two: "14 min", "3 h 5 min", "2 d".
func long(d time.Duration) string {
	d = max(d, 0)
	days, hours := int(d.Hours())/24, int(d.Hours())%24
	minutes, seconds := int(d.Minutes())%60, int(d.Seconds())%60
	two := func(a int, unitA string, b int, unitB string) string {
		if b == 0 {
			return fmt.Sprintf("%d %s", a, unitA)
		}
		return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
	}
	switch {
	case days > 0:
		return two(days, "d", hours, "h")
	case hours > 0:
		return two(hours, "h", minutes, "min")
	case minutes > 0:
		return fmt.Sprintf("%d min", minutes)
	default:
		return fmt.Sprintf("%d s", seconds)
	}
}

// short writes a duration in its largest unit: "14 min", "3 h", "2 d".
func short(d time.Duration) string {
	number, unit, _ := strings.Cut(long(d), " ")
	unit, _, _ = strings.Cut(unit, " ")
	return number + " " + unit
}

// printable takes control characters out of text that came from outside: a
// customer's name must not move the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// either is a name for people: the first that is not empty.
func either(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return "-"
}
