package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"topupd/topup"
)

// server is what a session finds out about its database.
type server struct {
	User       string `db:"usr"`
	Database   string `db:"db"`
	Encoding   string `db:"encoding"`
	Schema     string `db:"schema"` // "" when there is none to work in
	SearchPath string `db:"search_path"`
}

// examine refuses a database, or a way to it, on which the ledger cannot rely.
// Reading commands look at a ledger in another encoding all the same.
func (s *Store) examine(ctx context.Context, cfg pq.Config) error {
	if err := s.db.GetContext(ctx, &s.server, `SELECT current_user AS usr, current_database() AS db,
		current_setting('server_encoding') AS encoding, coalesce(current_schema(), '') AS schema, current_setting('search_path') AS search_path`); err != nil {
		return connecting(cfg, err)
	}
	switch here := s.server; {
	case here.Encoding != "UTF8" && !s.readOnly:
		return fmt.Errorf("database %s keeps text as %s, which has no place for every customer's name; make one that has: createdb -T template0 -E UTF8 -O %s NEW; "+
			"a ledger moves there with pg_dump --no-owner %s | psql NEW", here.Database, here.Encoding, here.User, here.Database)
	case here.Schema == "":
		return fmt.Errorf("user %s has no schema to work in at database %s: search_path is %q, and nothing in it exists that the user may use; "+
			"CREATE SCHEMA topupd AUTHORIZATION %s, then add search_path=topupd to database_url", here.User, here.Database, here.SearchPath, here.User)
	}
	if err := s.credited(ctx, cfg); err != nil {
		return err
	}
	return s.alone(ctx)
}

// relied are the settings of a session without which waits have no end, a
// permit could be lost with the server (P2), or another ledger is used.
var relied = []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit", "search_path"}

// credited is an error when the session has other settings than it was opened with.
func (s *Store) credited(ctx context.Context, cfg pq.Config) error {
	var rows []struct {
		Name  string `db:"name"`
		Value string `db:"setting"`
	}
	if err := s.db.SelectContext(ctx, &rows, `SELECT name, setting FROM pg_settings WHERE source <> 'client' AND name IN ('`+strings.Join(relied, `', '`)+`') ORDER BY name`); err != nil {
		return connecting(cfg, err)
	}
	var lost []string
	for _, r := range rows {
		if want, set := cfg.Runtime[r.Name]; set && want != r.Value {
			lost = append(lost, fmt.Sprintf("ALTER ROLE %s SET %s = '%s'", s.server.User, r.Name, want))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("a pooler in front of PostgreSQL has dropped what topupd sets for its session; let database_url lead to PostgreSQL itself, "+
		"or to a pool in session mode (pool_mode=session), with: %s", strings.Join(lost, "; "))
}

// pooled is the advice for a connection that is shared.
const pooled = "a pooler in front of PostgreSQL gives each transaction another session (transaction mode), which loses settings, locks and prepared statements; " +
	"let database_url lead to PostgreSQL itself, or to a pool in session mode (pool_mode=session)"

// alone is an error when two connections turn out to be one session.
func (s *Store) alone(ctx context.Context) error {
	token, err := topup.NewToken()
	if err != nil {
		return err
	}
	one, err := s.db.Connx(ctx)
	if err != nil {
		return err
	}
	defer one.Close() //nolint:errcheck // it goes back to the pool
	other, err := s.db.Connx(ctx)
	if err != nil {
		return err
	}
	defer other.Close() //nolint:errcheck // as above
	var set, kept, seen string
	err = errors.Join(
		one.GetContext(ctx, &set, `SELECT set_config('topupd.session', '`+token+`', false)`), // hexadecimal and dashes
		other.GetContext(ctx, &seen, `SELECT coalesce(current_setting('topupd.session', true), '')`),
		one.GetContext(ctx, &kept, `SELECT coalesce(current_setting('topupd.session', true), '')`))
	if err == nil && (kept != token || seen == token) {
		err = errors.New(pooled)
	}
	return err
}

// granting says what a user needs who may not do what the ledger does.
func (s *Store) granting(err error) error {
	if sqlState(err) != "42501" {
		return err
	}
	schema, user := s.server.Schema, s.server.User
	return fmt.Errorf("user %s may not make or use the ledger's tables in schema %s; as its owner: GRANT USAGE, CREATE ON SCHEMA %s TO %s; "+
		"and where another user has made the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s: %w",
		user, schema, schema, user, schema, user, err)
}

// unsupported tells whether a pooler refused a setting of the session.
func unsupported(e *pq.Error) bool {
	return e != nil && e.Code == "08P01" && strings.Contains(e.Message, "startup parameter")
}

// shared tells whether a session has lost what only another transaction, on
// another session, could know.
func shared(err error) bool {
	return slices.Contains([]string{"26000", "42P05"}, sqlState(err)) // a prepared statement is not there, or is there already
}
