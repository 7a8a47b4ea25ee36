package deploytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// added are the labels that Prometheus itself puts on every series.
var added = []string{"cluster", "instance", "job"}

func TestEveryExpressionAsksForMetricsThatExist(t *testing.T) {
	t.Parallel()
	exprs := Expressions(t)
	if len(exprs) < 30 {
		t.Fatalf("found %d expressions: the board or the alerts were not read", len(exprs))
	}
	for _, e := range exprs {
		t.Run(e.Where, func(t *testing.T) {
			t.Parallel()
			for _, problem := range problems(e.Query) {
				t.Errorf("%s\n%s", problem, e.Query)
			}
		})
	}
}

// notLookedAt are the metrics for others, with the reason.
var notLookedAt = map[string]string{
	"topupd_credits_bought_total":                            "a finance question: topupd purchases answers it",
	"topupd_targets_out_of_credits_oldest_timestamp_seconds": "TopupCustomerOutOfCredits looks at each customer",
	"topupd_pause_oldest_timestamp_seconds":                  "what somebody chose, for boards",
	"topupd_dry_run":                                         "what somebody chose, for boards",
	"topupd_verify_difference_ids":                           "the text of the alerts on books asks for it",
}

func TestEveryMetricIsLookedAt(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, e := range Expressions(t) {
		all.WriteString(e.Query + "\n")
	}
	for name := range Metrics {
		if notLookedAt[name] == "" && !strings.Contains(all.String(), name) {
			t.Errorf("no panel and no alert looks at %s", name)
		}
	}
}

func TestProblemsAreFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, query, want string
	}{
		{"a sound expression has none", `sum by (provider) (rate(topupd_polls_total{result="ok"}[5m])) > 0`, ""},
		{"what is not PromQL", `sum by (`, "parse error"},
		{"a metric that topupd does not have", `topupd_customers_out_of_credits > 0`, "no metric topupd_customers_out_of_credits"},
		{"a label that the metric does not have", `topupd_lease_held{customer="x"}`, `topupd_lease_held has no label "customer"`},
		{"a value outside the closed set", `topupd_purchases_open{state="unknown"}`, `state is never "unknown"`},
		{"a value outside it in a pattern", `topupd_purchases_open{state=~"sent|lost"}`, `state is never "lost"`},
		{"a grouping by a label that is not there", `sum by (reason) (topupd_targets_out_of_credits)`, `grouped by "reason"`},
		{"a histogram without its suffix", `rate(topupd_poll_duration_seconds[5m])`, "is a histogram"},
		{"a counter read as a gauge", `topupd_polls_total > 3`, "is a counter"},
		{"a rate of a gauge", `rate(topupd_targets_out_of_credits[5m])`, "is no counter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(problems(tt.query), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("problems(%s) = %q, want %q", tt.query, got, tt.want)
			}
		})
	}
}

// problems returns what is wrong with a query, held against Metrics.
func problems(query string) []string {
	root, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	parser.Inspect(root, func(node parser.Node, path []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			found = append(found, selectorProblems(node, path)...)
		case *parser.AggregateExpr:
			found = append(found, groupingProblems(node)...)
		}
		return nil
	})
	return found
}

// lookup returns the metric that a series belongs to, and the labels it has.
func lookup(series string) (Metric, []string, error) {
	if series == "up" { // Prometheus' own, of every target
		return Metric{Type: "gauge"}, added, nil
	}
	if m, ok := Metrics[series]; ok {
		if m.Type == "histogram" {
			return m, nil, fmt.Errorf("%s is a histogram: ask for _bucket, _sum or _count", series)
		}
		return m, slices.Concat(m.Labels, added), nil
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		name, cut := strings.CutSuffix(series, suffix)
		if m, ok := Metrics[name]; cut && ok && m.Type == "histogram" {
			own := slices.Concat(m.Labels, added)
			if suffix == "_bucket" {
				own = append(own, "le")
			}
			m.Type = "counter"
			return m, own, nil
		}
	}
	return Metric{}, nil, fmt.Errorf("topupd has no metric %s", series)
}

func selectorProblems(s *parser.VectorSelector, path []parser.Node) []string {
	m, own, err := lookup(s.Name)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	rated := slices.ContainsFunc(path, func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		return ok && slices.Contains([]string{"rate", "increase", "irate"}, call.Func.Name)
	})
	if m.Type == "counter" && !rated {
		found = append(found, s.Name+" is a counter: take rate or increase")
	}
	if m.Type == "gauge" && rated {
		found = append(found, s.Name+" is no counter: rate and increase mean nothing")
	}
	for _, matcher := range s.LabelMatchers {
		if matcher.Name == model.MetricNameLabel {
			continue
		}
		if !slices.Contains(own, matcher.Name) {
			found = append(found, fmt.Sprintf("%s has no label %q", s.Name, matcher.Name))
		}
		found = append(found, valueProblems(m, matcher)...)
	}
	return found
}

func valueProblems(m Metric, matcher *labels.Matcher) []string {
	closed, ok := m.Values[matcher.Name]
	if !ok {
		return nil
	}
	values := []string{matcher.Value}
	if matcher.Type == labels.MatchRegexp || matcher.Type == labels.MatchNotRegexp {
		values = strings.Split(matcher.Value, "|")
	}
	var found []string
	for _, v := range values {
		if !slices.Contains(closed, v) {
			found = append(found, fmt.Sprintf("%s is never %q", matcher.Name, v))
		}
	}
	return found
}

func groupingProblems(a *parser.AggregateExpr) []string {
	var found []string
	for _, selector := range parser.ExtractSelectors(a.Expr) {
		name := ""
		for _, matcher := range selector {
			if matcher.Name == model.MetricNameLabel {
				name = matcher.Value
			}
		}
		_, own, err := lookup(name)
		if err != nil {
			continue // said once, at the selector
		}
		for _, label := range a.Grouping {
			if !slices.Contains(own, label) {
				found = append(found, fmt.Sprintf("%s is grouped by %q, which it does not have", name, label))
			}
		}
	}
	return found
}
