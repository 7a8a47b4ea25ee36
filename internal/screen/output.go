package screen

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

// List writes records for programs, or else what table prints for people.
// The fields of R, in order, are the columns; each is a string, a bool, an
// integer or a pointer to one of them, and nil is null.
func List[R any](s *Screen, format string, records []R, table func()) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(s.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if records == nil {
			records = []R{}
		}
		return encoder.Encode(records)
	case "jsonl":
		encoder := json.NewEncoder(s.Out)
		encoder.SetEscapeHTML(false)
		for _, r := range records {
			if err := encoder.Encode(r); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return writeCSV(s.Out, records)
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

// Stamp is a time for programs: RFC 3339 in UTC with microseconds where there
// are any; nil for none.
func Stamp(t *time.Time) *string {
	if t == nil || t.IsZero() {
		return nil
	}
	return new(t.UTC().Format("2006-01-02T15:04:05.999999Z07:00"))
}

// Word is a text for programs; nil when it is empty.
func Word[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	return new(string(s))
}

// Number is an amount of credits for programs.
func Number(c *topup.Credits) *string {
	if c == nil {
		return nil
	}
	return new(c.String())
}

// Figure is an amount of credits for people.
func Figure(c *topup.Credits) string {
	if c == nil {
		return "-"
	}
	return c.Grouped()
}

// Dash stands for an empty text.
func Dash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

// Long writes a duration in its largest unit or two: "14 min", "3 h 5 min", "2 d".
func Long(d time.Duration) string {
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

// Short writes a duration in its largest unit: "14 min", "3 h", "2 d".
func Short(d time.Duration) string {
	number, unit, _ := strings.Cut(Long(d), " ")
	unit, _, _ = strings.Cut(unit, " ")
	return number + " " + unit
}

// Printable takes control characters out of text that came from outside: a
// customer's name must not move the cursor.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// Either is a name for people: the first that is not empty.
func Either(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return "-"
}
