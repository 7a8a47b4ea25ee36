package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// maxConns bounds the pool of one process: enough for every poll worker and
// the reconciler, and a dozen replicas fit into PostgreSQL's default of 100.
const maxConns = 8

// Time limits on PostgreSQL, in the order in which they must strike: a lock
// wait gives up before its statement, a statement before the socket that waits
// for its answer. A DSN may set the server's three itself.
const (
	connectTimeout = 5 * time.Second
	// connectTimeoutEach is the same with several servers: whoever waits for a
	// lease does so for 3 s, and must reach the second one when the first is gone.
	connectTimeoutEach = time.Second
	lockTimeout        = 5 * time.Second
	statementTimeout   = 15 * time.Second
	idleInTxTimeout    = 30 * time.Second
	socketTimeout      = 20 * time.Second
	migrationTimeout   = time.Hour // of the socket; the server then has no statement limit
)

var postgres = dialect{
	name:  "postgres",
	clock: `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`,
	table: `SELECT to_regclass(?) IS NOT NULL`,
	// The lease is renewed with update: beside FOR SHARE, which one purchase after
	// the other takes, it would starve.
	share:  ` FOR KEY SHARE`,
	update: ` FOR NO KEY UPDATE`,
	alone:  ` FOR UPDATE`,

	lineage: postgresLineage,
	logged:  true,
}

func (s *Store) openPostgres(ctx context.Context, raw string, _ Options) error {
	s.sql = postgres
	cfg, err := postgresConfig(raw)
	if err != nil {
		return err
	}
	s.where = fmt.Sprintf("%s at %s", cfg.Database, servers(cfg))
	db, err := openPool(cfg, socketTimeout, maxConns)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, db.Close)
	s.db = sqlx.NewDb(db, "postgres")
	s.migrator = func() (*sql.DB, func() error, error) {
		patient := cfg.Clone()
		patient.Runtime["statement_timeout"] = "0"
		db, err := openPool(patient, migrationTimeout, 2)
		if err != nil {
			return nil, nil, err
		}
		return db, db.Close, nil
	}
	s.guard = func(context.Context) (func(), error) { return func() {}, nil } // goose takes an advisory lock
	if err := db.PingContext(ctx); err != nil {
		return connecting(cfg, err)
	}
	return s.examine(ctx, cfg)
}

// postgresConfig reads a DSN and fills in what the daemon relies on.
func postgresConfig(raw string) (pq.Config, error) {
	u, err := url.Parse(raw)
	if err != nil { // its text may hold half a password
		return pq.Config{}, errors.New("database_url is not a valid URL; write special characters in the user name and password as %XX, such as %40 for @")
	}
	if !strings.HasPrefix(raw, "postgres://") && !strings.HasPrefix(raw, "postgresql://") { // lib/pq would read words, and quote them
		return pq.Config{}, errors.New("database_url is no database URL; write postgres://USER@HOST/DATABASE or sqlite:PATH")
	}
	cfg, err := pq.NewConfig(eachPort(u).String())
	if err != nil {
		password, _ := u.User.Password()
		return pq.Config{}, fmt.Errorf("reading database_url: %s", redacted(err, password))
	}
	query := u.Query()
	preset := func(key, value string) {
		if !query.Has(key) {
			cfg.Runtime[key] = value
		}
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	preset("statement_timeout", milliseconds(statementTimeout))
	preset("lock_timeout", milliseconds(lockTimeout))
	preset("idle_in_transaction_session_timeout", milliseconds(idleInTxTimeout))
	// P2: a permit that a crash of the server can lose is no permit. remote_apply
	// waits for even more; everything else waits for less.
	if cfg.Runtime["synchronous_commit"] != "remote_apply" {
		cfg.Runtime["synchronous_commit"] = "on"
	}
	cfg.BinaryParameters = false // it skips the prepare step that types our parameters
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = connectTimeout
		if len(cfg.Multi) > 0 {
			cfg.ConnectTimeout = connectTimeoutEach
		}
	}
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = "topupd"
	}
	if cfg.TargetSessionAttrs == "" {
		cfg.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite // never a standby: it lags
	}
	return cfg, nil
}

// eachPort writes several servers, host:port,host:port, as lib/pq wants them: it
// reads the ports of a list from the parameter only.
func eachPort(u *url.URL) *url.URL {
	hosts, query := strings.Split(u.Host, ","), u.Query()
	if len(hosts) < 2 || query.Has("port") {
		return u
	}
	ports := make([]string, len(hosts))
	for i, host := range hosts {
		ports[i] = "5432"
		if name, port, err := net.SplitHostPort(host); err == nil && port != "" {
			hosts[i], ports[i] = name, port
		}
	}
	each := *u
	query.Set("port", strings.Join(ports, ","))
	each.Host, each.RawQuery = strings.Join(hosts, ","), query.Encode()
	return &each
}

// servers lists the addresses in a configuration.
func servers(cfg pq.Config) string {
	list := []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
	for _, other := range cfg.Multi {
		list = append(list, net.JoinHostPort(other.Host, strconv.Itoa(int(other.Port))))
	}
	return strings.Join(list, ", ")
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// redacted is an error's text without the password (P17).
func redacted(err error, password string) string {
	text := err.Error()
	if password == "" {
		return text
	}
	for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password)} {
		text = strings.ReplaceAll(text, form, "[redacted]")
	}
	return text
}

func newConnector(cfg pq.Config, socket time.Duration) (driver.Connector, error) {
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading database_url: %s", redacted(err, cfg.Password))
	}
	connector.Dialer(dialer{socket})
	return watchful{connector}, nil
}

func openPool(cfg pq.Config, socket time.Duration, conns int) (*sql.DB, error) {
	connector, err := newConnector(cfg, socket)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour) // a failover moves DNS names; nobody stays with the old server for long
	return db, nil
}

// connecting says what to do about a server that does not let us in.
func connecting(cfg pq.Config, err error) error {
	where := servers(cfg)
	text := redacted(err, cfg.Password)
	e := pq.As(err)
	switch {
	case e != nil && e.Code.Class() == "28":
		return fmt.Errorf("PostgreSQL at %s refuses user %q (%s); check the user, the password and pg_hba.conf", where, cfg.User, text)
	case e != nil && e.Code == "3D000":
		return fmt.Errorf("PostgreSQL at %s has no database %q; create it: createdb -O %s %s", where, cfg.Database, cfg.User, cfg.Database)
	case unsupported(e):
		return fmt.Errorf("a pooler at %s refuses the settings of the session (%s); let database_url lead to PostgreSQL itself, or to a pool in session mode that "+
			"ignores them (pool_mode=session, ignore_startup_parameters=%s): the next start says what to set instead", where, text, strings.Join(relied, ","))
	case errors.Is(err, pq.ErrSSLNotSupported):
		return fmt.Errorf("PostgreSQL at %s offers no TLS; set it up there, or add sslmode=disable to database_url on a network that nobody else reads", where)
	case disconnected(err), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: PostgreSQL at %s: %s; check that it runs there and that no firewall is between", ErrUnreachable, where, text)
	default:
		return fmt.Errorf("connecting to PostgreSQL at %s: %s", where, text)
	}
}

// watchful makes connections that hear the server's warnings.
type watchful struct{ *pq.Connector }

// Connect opens one connection.
func (w watchful) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := w.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	session, okSession := c.(pqSession)
	querier, okQuerier := c.(pqQuerier)
	pooled, okPooled := c.(pqPooled)
	if !okSession || !okQuerier || !okPooled {
		_ = c.Close()
		return nil, fmt.Errorf("lib/pq connections of type %T lack a method that database/sql uses", c)
	}
	conn := &watchedConn{pqSession: session, pqQuerier: querier, pqPooled: pooled}
	pq.SetNoticeHandler(c, conn.heard)
	return conn, nil
}

// What database/sql uses of a lib/pq connection.
type (
	pqSession interface {
		driver.Conn
		driver.ConnBeginTx
		driver.ConnPrepareContext
		driver.Pinger
	}
	pqQuerier interface {
		driver.ExecerContext
		driver.QueryerContext
		driver.NamedValueChecker
	}
	pqPooled interface {
		driver.SessionResetter
		driver.Validator
	}
)

// watchedConn remembers the last warning. A commit that was cancelled while it
// waited for its standby succeeds as far as the protocol goes; a warning is all
// that tells it from one that is safe.
type watchedConn struct {
	pqSession
	pqQuerier
	pqPooled
	warning atomic.Pointer[pq.Error]
}

func (c *watchedConn) heard(notice *pq.Error) {
	if notice.Severity == "WARNING" || notice.Code.Class() == "01" {
		c.warning.Store(notice)
	}
}

// BeginTx begins a transaction whose commit fails when the server warns.
func (c *watchedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	t, err := c.pqSession.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return watchedTx{t, c}, nil
}

type watchedTx struct {
	driver.Tx
	conn *watchedConn
}

// Commit fails, in doubt, when the server warns while committing.
func (t watchedTx) Commit() error {
	t.conn.warning.Store(nil)
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	if w := t.conn.warning.Load(); w != nil {
		return fmt.Errorf("committed with a warning: %w", w)
	}
	return nil
}
