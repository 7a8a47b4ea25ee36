package deploytest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An Expr is one PromQL expression that deploy/ ships.
type Expr struct {
	// Where names its place: an alert, or a panel and the query's letter.
	Where string
	// Query is the expression as Prometheus takes it: the board's variables are
	// replaced by what they stand for when everything is selected.
	Query string
	// Alert is true for an alert's condition, which is empty when all is well;
	// the panels of the board should have something to show.
	Alert bool
}

// variables are the board's, and what Grafana would put in their place.
var variables = strings.NewReplacer(
	"$__rate_interval", "5m",
	"$__range", "1d",
	"$provider", ".*",
	"$cluster", ".*",
	"$job", ".*",
)

// Expressions returns every expression of the board and the alerts: first the
// alerts, in the order of their file, then the annotations and panels. It fails
// the test when a file cannot be read.
func Expressions(tb testing.TB) []Expr {
	tb.Helper()
	exprs := alertExpressions(tb)
	board := readBoard(tb)
	for _, a := range board.Annotations.List {
		exprs = append(exprs, Expr{Where: "annotation " + a.Name, Query: variables.Replace(a.Expr)})
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, Expr{
				Where: "panel " + p.Title + ", query " + target.RefID,
				Query: variables.Replace(target.Expr),
			})
		}
	}
	return exprs
}

// File returns the path of a file or folder of deploy/.
func File(name ...string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(here), ".."}, name...)...)
}

// rule is an alert as it stands in alerts.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(tb testing.TB) []rule {
	tb.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(read(tb, File("prometheus", "alerts.yml")), &file); err != nil {
		tb.Fatalf("alerts.yml: %v", err)
	}
	var rules []rule
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

func alertExpressions(tb testing.TB) []Expr {
	tb.Helper()
	var exprs []Expr
	for _, r := range alerts(tb) {
		exprs = append(exprs, Expr{Where: "alert " + r.Alert, Query: r.Expr, Alert: true})
	}
	return exprs
}

// dashboard is what the tests look at of Grafana's JSON.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Annotations   struct {
		List []struct {
			Name string `json:"name"`
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  *datasource `json:"datasource"`
	GridPos     struct {
		X int `json:"x"`
		Y int `json:"y"`
		W int `json:"w"`
		H int `json:"h"`
	} `json:"gridPos"`
	Targets []struct {
		RefID      string      `json:"refId"`
		Expr       string      `json:"expr"`
		Datasource *datasource `json:"datasource"`
	} `json:"targets"`
	Panels []panel `json:"panels"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func readBoard(tb testing.TB) dashboard {
	tb.Helper()
	var board dashboard
	if err := json.Unmarshal(read(tb, File("grafana", "topupd.json")), &board); err != nil {
		tb.Fatalf("topupd.json: %v", err)
	}
	return board
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}
