package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// result is what became of one mutant.
type result struct {
	mutant
	killedBy []string
	took     time.Duration
}

func (r result) outcome() string {
	if len(r.killedBy) == 0 {
		return "SURVIVED"
	}
	return strings.Join(r.killedBy, "; ")
}

// report prints the table, as Markdown whose columns are aligned, and returns
// how many mutants survived.
func report(w io.Writer, results []result) (survived int) {
	rows := [][]string{{"mutant", "rule removed", "breaks", "killed by", "seconds"}}
	for _, r := range results {
		if len(r.killedBy) == 0 {
			survived++
		}
		rows = append(rows, []string{r.Name, r.Rule, r.Promises, r.outcome(), fmt.Sprintf("%.1f", r.took.Seconds())})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		line(w, row, widths, " ")
		if n == 0 {
			line(w, make([]string, len(row)), widths, "-")
		}
	}
	fmt.Fprintf(w, "\n%d of %d killed\n", len(results)-survived, len(results))
	return survived
}

// line prints one row of a Markdown table, its cells filled up.
func line(w io.Writer, row []string, widths []int, fill string) {
	var out strings.Builder
	for i, cell := range row {
		out.WriteString("|" + fill + cell + strings.Repeat(fill, widths[i]-utf8.RuneCountInString(cell)) + fill)
	}
	fmt.Fprintln(w, out.String()+"|")
}
