package emulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// page is the offset engine's window: take 0 to 100, skip from 0.
type page struct{ take, skip int }

// window reads take and skip; out of range is refused, never clamped, except to
// the rows a page of MaxTake.
func (h *hyperline) window(q url.Values) (page, *answer) {
	p := page{take: 50}
	for _, f := range []struct {
		name string
		into *int
		max  int
	}{{"take", &p.take, 100}, {"skip", &p.skip, 1 << 30}} {
		if bad := number(q, f.name, f.into, 0, f.max); bad != nil {
			return p, bad
		}
	}
	if most := h.opts.Profile.MaxTake; most > 0 {
		p.take = min(p.take, most)
	}
	return p, nil
}

// number reads an optional integer parameter between low and high, inclusive.
func number(q url.Values, name string, into *int, low, high int) *answer {
	text := q.Get(name)
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	problem := ""
	switch {
	case err != nil:
		problem = "Invalid input: expected number, received NaN"
	case n > high:
		problem = fmt.Sprintf("Too big: expected number to be <=%d", high)
	case n < low && low == 1:
		problem = "Too small: expected number to be >0"
	case n < low:
		problem = fmt.Sprintf("Too small: expected number to be >=%d", low)
	default:
		*into = n
		return nil
	}
	a := invalid("query params", name, problem)
	return &a
}

type meta struct {
	Total   int `json:"total"`
	Taken   int `json:"taken"`
	Skipped int `json:"skipped"`
}

type offsetPage[T any] struct {
	Meta meta `json:"meta"`
	Data []T  `json:"data"`
}

// offset answers one window of all, each row shown by show.
func offset[T, W any](all []T, p page, show func(T) W) answer {
	rows := cutWindow(all, p)
	data := make([]W, 0, len(rows))
	for _, row := range rows {
		data = append(data, show(row))
	}
	return jsonAnswer(http.StatusOK, offsetPage[W]{Meta: meta{Total: len(all), Taken: len(data), Skipped: p.skip}, Data: data})
}

func cutWindow[T any](all []T, p page) []T {
	from := min(max(p.skip, 0), len(all))
	return all[from:min(from+p.take, len(all))]
}

type cursorPage[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
	Total      *int    `json:"total,omitempty"`
}

// cursor answers one page of all, which is in the order asked for. A cursor
// names the last row seen by its id, so rows added meanwhile move nothing; find
// says where that is, or -1.
func cursor[T, W any](c *call, all []T, find func(id string) int, id func(T) string, show func(T) W) answer {
	limit := 50
	if bad := number(c.query, "limit", &limit, 1, 100); bad != nil {
		return *bad
	}
	from := 0
	if token := c.query.Get("cursor"); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		at := find(string(last))
		if err != nil || at < 0 {
			return invalid("query params", "cursor", "Invalid cursor")
		}
		from = at + 1
	}
	rows := cutWindow(all, page{take: limit, skip: from})
	out := cursorPage[W]{Data: make([]W, 0, len(rows)), HasMore: from+len(rows) < len(all)}
	for _, row := range rows {
		out.Data = append(out.Data, show(row))
	}
	if out.HasMore {
		next := base64.RawURLEncoding.EncodeToString([]byte(id(rows[len(rows)-1])))
		out.NextCursor = &next
	}
	if c.query.Get("include_total") == "true" {
		total := len(all)
		out.Total = &total
	}
	return jsonAnswer(http.StatusOK, out)
}

// textFilter checks one string field against its filter family. A missing value
// is the empty string.
func textFilter(q url.Values, field, value string) bool {
	for suffix, ok := range map[string]func(want string) bool{
		"":             func(want string) bool { return value == want },
		"__equals":     func(want string) bool { return value == want },
		"__not":        func(want string) bool { return value != want },
		"__isNull":     func(want string) bool { return (value == "") == (want != "false") },
		"__isNotNull":  func(want string) bool { return (value != "") == (want != "false") },
		"__contains":   func(want string) bool { return strings.Contains(value, want) },
		"__startsWith": func(want string) bool { return strings.HasPrefix(value, want) },
		"__endWith":    func(want string) bool { return strings.HasSuffix(value, want) },
	} {
		if q.Has(field+suffix) && !ok(q.Get(field+suffix)) {
			return false
		}
	}
	return true
}

// timeFilter is one field's date-time filter family, parsed once per request.
type timeFilter []func(time.Time) bool

// timeFilters reads the family. Only whole date-times are accepted; isNull and
// isNotNull are listed but unusable at the provider, and refused alike.
func timeFilters(q url.Values, field string) (timeFilter, *answer) {
	var out timeFilter
	for suffix, holds := range map[string]func(order int) bool{
		"":            func(order int) bool { return order == 0 },
		"__equals":    func(order int) bool { return order == 0 },
		"__not":       func(order int) bool { return order != 0 },
		"__lt":        func(order int) bool { return order < 0 },
		"__lte":       func(order int) bool { return order <= 0 },
		"__gt":        func(order int) bool { return order > 0 },
		"__gte":       func(order int) bool { return order >= 0 },
		"__isNull":    nil,
		"__isNotNull": nil,
	} {
		if !q.Has(field + suffix) {
			continue
		}
		want, err := time.Parse(time.RFC3339Nano, q.Get(field+suffix))
		if err != nil || holds == nil {
			a := invalid("query params", field+suffix, "Invalid ISO datetime")
			return nil, &a
		}
		want = want.Truncate(time.Millisecond)
		out = append(out, func(t time.Time) bool { return holds(t.Truncate(time.Millisecond).Compare(want)) })
	}
	return out, nil
}

func (f timeFilter) match(t time.Time) bool {
	return !slices.ContainsFunc(f, func(holds func(time.Time) bool) bool { return !holds(t) })
}

// wanted reads an enum filter, alone or as a comma-separated or repeated __in;
// nil means no filter.
func wanted(q url.Values, field string, enum []string) ([]string, *answer) {
	var out []string
	if q.Get(field) != "" {
		out = append(out, q.Get(field))
	}
	for _, list := range q[field+"__in"] {
		out = append(out, strings.Split(list, ",")...)
	}
	for _, value := range out {
		if !slices.Contains(enum, value) {
			a := invalid("query params", field, "Invalid option: expected one of "+strings.Join(enum, "|"))
			return nil, &a
		}
	}
	return out, nil
}
