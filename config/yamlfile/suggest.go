package yamlfile

import (
	"cmp"
	"slices"
	"strings"
)

// Suggest returns the candidate that a misspelt word was probably meant to be,
// or "".
func Suggest(word string, candidates []string) string {
	for _, c := range Nearest(word, candidates, 1) {
		return c
	}
	return ""
}

// Nearest returns at most the given number of candidates that a misspelt word was
// probably meant to be, the likeliest first.
func Nearest(word string, candidates []string, most int) []string {
	type near struct {
		candidate string
		distance  int
	}
	var list []near
	limit := len(word)/3 + 2
	if len(word) > 64 {
		return nil
	}
	for _, c := range candidates {
		if len(c)-len(word) >= limit || len(word)-len(c) >= limit { // as many insertions or deletions
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < limit {
			list = append(list, near{c, d})
		}
	}
	slices.SortStableFunc(list, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var words []string
	for _, n := range list[:min(most, len(list))] {
		words = append(words, n.candidate)
	}
	return words
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between two words.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
