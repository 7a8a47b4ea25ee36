package screen

import (
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"topupd/topup"
)

// Column is one column of a table for people.
type Column struct {
	Title string
	Right bool // amounts
	Stack bool // an id, and below it its name when one line for both is too wide
	Wrap  bool // takes the width that is left, on several lines; at most one
}

// Grid is a table of a fixed width at most.
type Grid struct {
	Columns []Column
	Rows    [][]string
	Indent  string
}

// gap separates columns.
const gap = "  "

// Render draws the table without borders, every line as short as possible.
func (g *Grid) Render(width int) string {
	rows := g.Rows
	if g.Rows = g.flat(); g.tooWide(width) {
		g.Rows = rows
	}
	t := table.NewWriter()
	t.SetStyle(plainStyle())
	widest, most := g.fit(width)
	header := make(table.Row, len(g.Columns))
	configs := make([]table.ColumnConfig, len(g.Columns))
	for i, c := range g.Columns {
		header[i] = c.Title
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: most, WidthMaxEnforcer: Snip}
		if c.Right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
		if c.Wrap {
			configs[i].WidthMax, configs[i].WidthMaxEnforcer = max(width-g.others(i, widest, most), wrapAtLeast), text.WrapSoft
		}
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, row := range g.Rows {
		t.AppendRow(cells(row))
	}
	var b strings.Builder
	for line := range strings.SplitSeq(t.Render(), "\n") {
		b.WriteString(strings.TrimRight(g.Indent+line, " ") + "\n")
	}
	return b.String()
}

// Both is an id and its name for a column that stacks. The id is on the row's own
// line, where grep finds it.
func Both(name, id string) string {
	if name == "" || name == id {
		return Printable(id)
	}
	return Printable(id) + "\n" + Printable(name)
}

// flat is the rows with each id and its name on one line.
func (g *Grid) flat() [][]string {
	rows := make([][]string, len(g.Rows))
	for i, row := range g.Rows {
		rows[i] = slices.Clone(row)
		for j, c := range g.Columns {
			if id, name, two := strings.Cut(row[j], "\n"); c.Stack && two {
				rows[i][j] = id + " (" + name + ")"
			}
		}
	}
	return rows
}

const (
	// wrapAtLeast is the narrowest column that text is wrapped in.
	wrapAtLeast = 12
	// wrapWanted is the width that a wrapped column gets before others are cut.
	wrapWanted = 30
)

// fit measures every column, and says how wide each may be: as wide as it is
// if all fit, else a quarter of the line, so that long names are cut first.
func (g *Grid) fit(width int) (widest []int, most int) {
	widest = g.measure()
	if g.others(-1, widest, width) <= width {
		return widest, width
	}
	return widest, width / 4
}

func (g *Grid) tooWide(width int) bool { return g.others(-1, g.measure(), math.MaxInt) > width }

// measure is how wide each column is.
func (g *Grid) measure() (widest []int) {
	widest = make([]int, len(g.Columns))
	for i, c := range g.Columns {
		widest[i] = text.StringWidthWithoutEscSequences(c.Title)
		for _, row := range g.Rows {
			widest[i] = max(widest[i], text.LongestLineLen(row[i]))
		}
		if c.Wrap {
			widest[i] = min(widest[i], wrapWanted)
		}
	}
	return widest
}

// others is the width of the line without column i, no column wider than most.
func (g *Grid) others(i int, widest []int, most int) int {
	used := len(g.Indent)
	for j, w := range widest {
		if j != i {
			used += min(w, most) + len(gap)
		}
	}
	if i < 0 {
		used -= len(gap) // nothing follows the last column
	}
	return used
}

// Snip cuts what is too long; the full text is in the other formats.
func Snip(s string, width int) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if text.StringWidthWithoutEscSequences(line) > width {
			lines[i] = text.Snip(line, width, "…")
		}
	}
	return strings.Join(lines, "\n")
}

func cells(row []string) table.Row {
	out := make(table.Row, len(row))
	for i, c := range row {
		out[i] = c
	}
	return out
}

func plainStyle() table.Style {
	box := table.StyleBoxDefault
	box.PaddingLeft, box.PaddingRight = "", gap
	return table.Style{
		Name: "topupd", Box: box,
		Format:  table.FormatOptions{Header: text.FormatUpper, Footer: text.FormatDefault},
		Options: table.OptionsNoBordersAndSeparators,
	}
}

// The colours, for what a person has to do: Green done, Yellow waiting, Red
// needs a person. "" is no colour.
const (
	Green  = "green"
	Yellow = "yellow"
	Red    = "red"
)

// Paint colours a text where colours are wanted.
func (s *Screen) Paint(color, what string) string {
	if !s.Color {
		return what
	}
	switch color {
	case Green:
		return text.FgGreen.Sprint(what)
	case Yellow:
		return text.FgYellow.Sprint(what)
	case Red:
		return text.FgRed.Sprint(what)
	default:
		return what
	}
}

// ReasonColor is the colour of a decision.
func ReasonColor(r topup.Reason) string {
	switch r.Class() {
	case topup.ClassDone:
		return Green
	case topup.ClassWaiting:
		return Yellow
	case topup.ClassChosen:
		return ""
	case topup.ClassTrouble:
		return Red
	default:
		return Red
	}
}

// StateColor is the colour of a purchase.
func StateColor(s topup.State) string {
	switch s {
	case topup.Credited:
		return Green
	case topup.Planned, topup.Held, topup.Sent, topup.Confirmed:
		return Yellow
	case topup.Cancelled:
		return ""
	case topup.NeedsReview, topup.Declined:
		return Red
	default:
		return Red
	}
}
