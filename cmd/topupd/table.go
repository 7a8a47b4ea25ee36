package main

import (
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"topupd/topup"
)

// column is one column of a table for people.
type column struct {
	title string
	right bool // amounts
	stack bool // an id, and below it its name when one line for both is too wide
	wrap  bool // takes the width that is left, on several lines; at most one
}

// grid is a table of a fixed width at most.
type grid struct {
	columns []column
	rows    [][]string
	indent  string
}

// gap separates columns.
const gap = "  "

// render draws the table without borders, every line as short as possible.
func (g *grid) render(width int) string {
	rows := g.rows
	if g.rows = g.flat(); g.tooWide(width) {
		g.rows = rows
	}
	t := table.NewWriter()
	t.SetStyle(plainStyle())
	widest, most := g.fit(width)
	header := make(table.Row, len(g.columns))
	configs := make([]table.ColumnConfig, len(g.columns))
	for i, c := range g.columns {
		header[i] = c.title
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: most, WidthMaxEnforcer: snip}
		if c.right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
		if c.wrap {
			configs[i].WidthMax, configs[i].WidthMaxEnforcer = max(width-g.others(i, widest, most), wrapAtLeast), text.WrapSoft
		}
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, row := range g.rows {
		t.AppendRow(cells(row))
	}
	var b strings.Builder
	for line := range strings.SplitSeq(t.Render(), "\n") {
		b.WriteString(strings.TrimRight(g.indent+line, " ") + "\n")
	}
	return b.String()
}

// both is an id and its name for a column that stacks. The id is on the row's own
// line, where grep finds it.
func both(name, id string) string {
	if name == "" || name == id {
		return printable(id)
	}
	return printable(id) + "\n" + printable(name)
}

// flat is the rows with each id and its name on one line.
func (g *grid) flat() [][]string {
	rows := make([][]string, len(g.rows))
	for i, row := range g.rows {
		rows[i] = slices.Clone(row)
		for j, c := range g.columns {
			if id, name, two := strings.Cut(row[j], "\n"); c.stack && two {
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
func (g *grid) fit(width int) (widest []int, most int) {
	widest = g.measure()
	if g.others(-1, widest, width) <= width {
		return widest, width
	}
	return widest, width / 4
}

func (g *grid) tooWide(width int) bool { return g.others(-1, g.measure(), math.MaxInt) > width }

// measure is how wide each column is.
func (g *grid) measure() (widest []int) {
	widest = make([]int, len(g.columns))
	for i, c := range g.columns {
		widest[i] = text.StringWidthWithoutEscSequences(c.title)
		for _, row := range g.rows {
			widest[i] = max(widest[i], text.LongestLineLen(row[i]))
		}
		if c.wrap {
			widest[i] = min(widest[i], wrapWanted)
		}
	}
	return widest
}

// others is the width of the line without column i, no column wider than most.
func (g *grid) others(i int, widest []int, most int) int {
	used := len(g.indent)
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

// snip cuts what is too long; the full text is in the other formats.
func snip(s string, width int) string {
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

// The colours, for what a person has to do: green done, yellow waiting, red
// needs a person. "" is no colour.
const (
	green  = "green"
	yellow = "yellow"
	red    = "red"
)

// paint colours a text where colours are wanted.
func (a *app) paint(color, s string) string {
	if !a.color {
		return s
	}
	switch color {
	case green:
		return text.FgGreen.Sprint(s)
	case yellow:
		return text.FgYellow.Sprint(s)
	case red:
		return text.FgRed.Sprint(s)
	default:
		return s
	}
}

// reasonColor is the colour of a decision.
func reasonColor(r topup.Reason) string {
	switch r.Class() {
	case topup.ClassDone:
		return green
	case topup.ClassWaiting:
		return yellow
	case topup.ClassChosen:
		return ""
	case topup.ClassTrouble:
		return red
	default:
		return red
	}
}

// stateColor is the colour of a purchase.
func stateColor(s topup.State) string {
	switch s {
	case topup.Settled:
		return green
	case topup.Planned, topup.Held, topup.Sent, topup.Confirmed:
		return yellow
	case topup.Cancelled:
		return ""
	case topup.Parked, topup.Declined:
		return red
	default:
		return red
	}
}
