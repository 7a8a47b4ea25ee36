package deploytest

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheBoardStartsWithWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	want := []string{"Needs a person", "Customers dry", "Below threshold, by reason", "Bought today", "Spent today"}
	panels := readBoard(t).Panels
	x := 0
	for i, title := range want {
		p := panels[i]
		if p.Title != title || p.GridPos.Y != 0 || p.GridPos.X != x {
			t.Errorf("panel %d is %q at x=%d y=%d, want %q at x=%d y=0", i, p.Title, p.GridPos.X, p.GridPos.Y, title, x)
		}
		x += p.GridPos.W
	}
}

func TestTheBoardIsWellFormed(t *testing.T) {
	t.Parallel()
	board := readBoard(t)
	if board.SchemaVersion < 39 || board.UID == "" || board.Title == "" {
		t.Errorf("schemaVersion %d, uid %q, title %q: want 39 or newer and both names", board.SchemaVersion, board.UID, board.Title)
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q: id %d is missing or used twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		checkPlace(t, p, taken)
		if p.Type != "row" {
			checkPanel(t, p)
		}
	}
}

// checkPlace fails when a panel leaves the grid of 24 columns or covers another.
func checkPlace(t *testing.T, p panel, taken map[[2]int]string) {
	t.Helper()
	g := p.GridPos
	if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
		t.Errorf("panel %q lies outside the grid: %+v", p.Title, g)
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other, ok := taken[[2]int{x, y}]; ok {
				t.Fatalf("panel %q covers %q", p.Title, other)
			}
			taken[[2]int{x, y}] = p.Title
		}
	}
}

// checkPanel fails when a panel asks a datasource other than the chosen one, or
// does not say what it shows.
func checkPanel(t *testing.T, p panel) {
	t.Helper()
	chosen := datasource{Type: "prometheus", UID: "${datasource}"}
	if p.Datasource == nil || *p.Datasource != chosen {
		t.Errorf("panel %q: datasource %+v, want the variable", p.Title, p.Datasource)
	}
	if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
		t.Errorf("panel %d (%q) lacks a title, a description or a query", p.ID, p.Title)
	}
	for _, target := range p.Targets {
		if target.Datasource == nil || *target.Datasource != chosen {
			t.Errorf("panel %q, query %s: datasource %+v, want the variable", p.Title, target.RefID, target.Datasource)
		}
	}
}

func TestTheBoardsVariablesExist(t *testing.T) {
	t.Parallel()
	board := readBoard(t)
	known := map[string]bool{"__rate_interval": true, "__range": true}
	labelValues := regexp.MustCompile(`^label_values\((\w+)(?:\{[^}]*\})?, (\w+)\)$`)
	for _, v := range board.Templating.List {
		known[v.Name] = true
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("variable %s: %q is not label_values(metric, label)", v.Name, v.Definition)
			continue
		}
		if m[2] == "cluster" || m[2] == "job" {
			continue // Prometheus adds these
		}
		if _, own, err := lookup(m[1]); err != nil || !strings.Contains(strings.Join(own, " "), m[2]) {
			t.Errorf("variable %s: %s has no label %q: %v", v.Name, m[1], m[2], err)
		}
	}
	text := string(read(t, File("grafana", "topupd.json")))
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(text, -1) {
		if !known[m[1]] && m[1] != "__all" {
			t.Errorf("the board uses $%s, which is no variable of it", m[1])
		}
	}
}

// TestTheBoardTellsEnvironmentsApart: production and staging in one Prometheus are
// told apart by what every query asks for.
func TestTheBoardTellsEnvironmentsApart(t *testing.T) {
	t.Parallel()
	board := readBoard(t)
	selector := regexp.MustCompile(`topupd_\w+(\{[^}]*\})?`)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, m := range selector.FindAllStringSubmatch(target.Expr, -1) {
				if !strings.Contains(m[1], `cluster=~"$cluster"`) || !strings.Contains(m[1], `job=~"$job"`) {
					t.Errorf("panel %s: %s does not ask for the cluster and the job", p.Title, m[0])
				}
			}
			if strings.Contains(target.Expr, "increase(topupd_cap") || strings.Contains(target.Expr, "sum(topupd_cap") {
				t.Errorf("panel %s estimates money, or counts it once a replica: %s", p.Title, target.Expr)
			}
		}
	}
}
