package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Explain opens the ledger so that every statement's plan is looked at on its
// own connection, in its own transaction, right before it runs. Seen is told
// what costs too much: a table that is read from end to end, and more rows than
// limit in one step of a plan. Only tables that the list names count.
func Explain(t testing.TB, url string, large []string, limit int, seen func(query, complaint string)) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	e := &explainer{large: large, limit: limit, seen: seen}
	connector, conns := driver.Connector(nil), maxConns
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		e.explain, conns = e.sqlite, sqliteConns
		connector = sqliteFile{name: "file:" + path + "?" + pragmas(Options{}).Encode()}
	} else {
		e.explain = e.postgres
		cfg, err := postgresConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		delete(cfg.Runtime, "statement_timeout") // a million rows take their time to be measured
		if connector, err = newConnector(cfg, migrationTimeout); err != nil {
			t.Fatal(err)
		}
	}
	db := sql.OpenDB(explaining{connector, e})
	db.SetMaxOpenConns(conns)
	t.Cleanup(func() { _ = db.Close() })
	s.db.DB = db
	return s
}

type explainer struct {
	large   []string
	limit   int
	seen    func(query, complaint string)
	explain func(ctx context.Context, c driver.QueryerContext, query string, args []driver.NamedValue) ([]string, error)
}

var explainable = regexp.MustCompile(`(?is)^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b`)

func (e *explainer) look(ctx context.Context, c driver.QueryerContext, query string, args []driver.NamedValue) {
	if !explainable.MatchString(query) {
		return
	}
	complaints, err := e.explain(ctx, c, query, args)
	if err != nil {
		complaints = []string{"its plan cannot be had: " + err.Error()}
	}
	for _, complaint := range complaints {
		e.seen(query, complaint)
	}
}

// aliases are the tables of a query by the names that it gives them.
var aliases = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|INTO)\s+([a-z_]+)(?:\s+AS\s+([a-z]+))?`)

func (e *explainer) isLarge(query, name string) bool {
	for _, m := range aliases.FindAllStringSubmatch(query, -1) {
		if m[2] == name {
			name = m[1]
		}
	}
	return slices.Contains(e.large, name)
}

// byProvider is a search that its provider alone narrows: nearly every row.
var byProvider = regexp.MustCompile(`^SEARCH (\w+) USING .*\(provider=\?\)$`)

// sqlite takes the words of EXPLAIN QUERY PLAN. They do not say how many rows,
// but which columns an index is searched by; a partial index holds few rows.
func (e *explainer) sqlite(ctx context.Context, c driver.QueryerContext, query string, args []driver.NamedValue) (complaints []string, err error) {
	sorts := false
	err = eachRow(ctx, c, "EXPLAIN QUERY PLAN "+query, args, func(row []driver.Value) {
		line := fmt.Sprint(row[3])
		words := strings.Fields(line)
		sorts = sorts || strings.Contains(line, "TEMP B-TREE")
		whole := words[0] == "SCAN" || byProvider.MatchString(line)
		if whole && e.isLarge(query, words[1]) && !slices.ContainsFunc(partial, func(index string) bool { return slices.Contains(words, index) }) {
			complaints = append(complaints, line)
		}
	})
	if !sorts && inOrder.MatchString(query) {
		return nil, err // it stops at its limit
	}
	return complaints, err
}

// inOrder are questions without a condition but the provider, for some rows of the whole.
var inOrder = regexp.MustCompile(`(?s)WHERE (1 = 1)?( AND )?(provider = \?)? ORDER BY .* LIMIT (\?|1)$`)

// partial are the indexes that hold few rows by their conditions.
var partial = []string{"purchase_one_open", "purchase_due", "purchase_unpaid", "purchase_uncounted", "purchase_decided", "target_implausible", "fall_not_over"}

// node is one step of a plan of PostgreSQL.
type node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Cond     string  `json:"Index Cond"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Recheck  float64 `json:"Rows Removed by Index Recheck"`
	Plans    []node  `json:"Plans"`
}

// postgres measures a statement by running it; what it wrote is taken back.
func (e *explainer) postgres(ctx context.Context, c driver.QueryerContext, query string, args []driver.NamedValue) (complaints []string, err error) {
	writes := !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(query)), "SELECT")
	command := func(statement string) error {
		if !writes {
			return nil
		}
		return eachRow(ctx, c, statement, nil, func([]driver.Value) {})
	}
	var text []byte
	err = errors.Join(command(`SAVEPOINT looked_at`),
		eachRow(ctx, c, "EXPLAIN (FORMAT JSON, ANALYZE, TIMING OFF) "+query, args, func(row []driver.Value) {
			text = append(text, fmt.Appendf(nil, "%s", row[0])...)
		}),
		command(`ROLLBACK TO SAVEPOINT looked_at`))
	if err != nil {
		return nil, err
	}
	var plans []struct {
		Plan node `json:"Plan"`
	}
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		return nil, fmt.Errorf("%d plans in %s: %w", len(plans), text, err)
	}
	e.walk(plans[0].Plan, &complaints)
	return complaints, nil
}

func (e *explainer) walk(n node, complaints *[]string) {
	touched := (n.Rows + n.Removed + n.Recheck) * n.Loops
	switch large := slices.Contains(e.large, n.Relation); {
	case large && n.Type == "Seq Scan":
		*complaints = append(*complaints, "Seq Scan on "+n.Relation)
	case large && touched > float64(e.limit):
		*complaints = append(*complaints, fmt.Sprintf("%s on %s by %s reads %.0f rows", n.Type, n.Relation, n.Index, touched))
	}
	for _, below := range n.Plans {
		e.walk(below, complaints)
	}
}

func eachRow(ctx context.Context, c driver.QueryerContext, query string, args []driver.NamedValue, see func([]driver.Value)) (err error) {
	rows, err := c.QueryContext(ctx, query, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		see(row)
	}
}

// explaining makes connections whose statements are looked at.
type explaining struct {
	driver.Connector
	by *explainer
}

func (x explaining) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := x.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return explainedConn{c.(wholeConn), x.by}, nil
}

// wholeConn is what database/sql uses of either engine's connections.
type wholeConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type explainedConn struct {
	wholeConn
	by *explainer
}

// CheckNamedValue takes what the engine's connection takes.
func (c explainedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.wholeConn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c explainedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.by.look(ctx, c.wholeConn, query, args)
	return c.wholeConn.QueryContext(ctx, query, args)
}

func (c explainedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.by.look(ctx, c.wholeConn, query, args)
	return c.wholeConn.ExecContext(ctx, query, args)
}
