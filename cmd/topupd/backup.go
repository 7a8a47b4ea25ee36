package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"topupd/config"
	"topupd/internal/english"
	"topupd/ledger"
)

// backupCmd copies the ledger while the daemon runs.
type backupCmd struct {
	To      string `arg:"" help:"The file to write." placeholder:"TO"`
	Replace bool   `help:"Replace the file when it is there already."`
}

func (*backupCmd) Help() string {
	return `Copies a SQLite ledger into one file, as it is at one moment, while the daemon goes on. The copy is examined for damage before it gets its name. For PostgreSQL it says what to run, and exits 2.

A copy names customers, amounts and invoices, and no secrets. It forgets every purchase that comes after it: topupd restore says what that means.

Examples:

    topupd backup /backup/topupd-$(date +%F).db
    topupd backup --replace /backup/topupd.db`
}

func (c *backupCmd) Run(a *app) (err error) {
	l, err := a.load()
	if err != nil {
		return err
	}
	if l.onPostgres() {
		return usage("the ledger is on PostgreSQL, whose own tools copy it; this is one way (base backups with WAL archiving forget less):\n\n    %s",
			dumpCommand(l.Config, c.To))
	}
	store, err := a.openLedger(l, ledger.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	copied, err := store.Backup(a.ctx, c.To, c.Replace)
	if err != nil {
		return err
	}
	a.Printf("copied: %s, %s\n", copied.Path, a.copiedWords(copied))
	return nil
}

func (a *app) copiedWords(c ledger.Copied) string {
	text := fmt.Sprintf("%s bytes, %s", english.Grouped(int(c.Bytes)), english.Plural(int(c.Purchases), "purchase"))
	if c.Newest != nil {
		text += ", the newest planned at " + a.Clock(*c.Newest)
	}
	return text
}

// restoreCmd puts a copy in the place of the ledger.
type restoreCmd struct {
	From string `arg:"" help:"The file that topupd backup wrote." placeholder:"FROM"`
	By   string `help:"Who says so (default: $SUDO_USER, else $USER)." placeholder:"WHO"`
}

func (*restoreCmd) Help() string {
	return `Puts a copy in the place of a SQLite ledger while nobody has it open. The copy is examined and brought to this program's schema first. The files that it replaces stay under another name; owner and mode stay too. For PostgreSQL it says what to run, and exits 2.

A copy has forgotten what was bought since. So everything is paused until somebody resumes it, and every provider is quarantined until its books were compared: at Talkover, which keeps none, until somebody resumes the provider.

Example:

    systemctl stop topupd
    topupd restore /backup/topupd.db
    systemctl start topupd`
}

func (c *restoreCmd) Run(a *app) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	if l.onPostgres() {
		return usage("the ledger is on PostgreSQL, whose own tools restore it. Stop every replica; then, with a dump of pg_dump --format=custom:\n\n    %s",
			strings.Join(restoreCommands(l.Config, c.From), "\n    "))
	}
	by := cmp.Or(strings.TrimSpace(c.By), a.person())
	if by == "" {
		return usage("nobody knows who you are: add --by NAME")
	}
	restored, err := ledger.Restore(a.ctx, l.Config.DatabaseURL.Reveal(), c.From, by,
		ledger.Options{AnyFilesystem: l.Config.DatabaseFilesystem == config.AnyFilesystem})
	if err != nil {
		return fmt.Errorf("restoring the ledger: %w", err)
	}
	a.Printf("restored: %s, %s\n", restored.Path, a.copiedWords(restored.Copied))
	if restored.Kept != "" {
		a.Printf("the ledger that it replaced is kept as %s\n", restored.Kept)
	}
	a.Printf("everything is paused, back with: topupd resume --reason \"…\"\n")
	for _, name := range restored.Providers {
		a.Printf("%s is quarantined until its books were compared; where it keeps none: topupd resume --provider %s --reason \"…\"\n", name, name)
	}
	a.Printf("what comes next: docs/operations.md, restoring the ledger\n")
	return nil
}

func (l *loaded) onPostgres() bool {
	return !strings.HasPrefix(l.Config.DatabaseURL.Reveal(), "sqlite:")
}

// dumpCommand copies a PostgreSQL ledger.
func dumpCommand(cfg *config.Config, to string) string {
	return "pg_dump --format=custom --no-owner --file=" + shellQuoted(to) + " --dbname=" + shellQuoted(withoutPassword(cfg, ""))
}

// restoreCommands put a dump in the place of a PostgreSQL ledger, which stays
// under another name. Renaming a database fails while anybody is connected to it.
func restoreCommands(cfg *config.Config, from string) []string {
	name := databaseOf(cfg)
	return []string{
		fmt.Sprintf("psql --set=ON_ERROR_STOP=1 --dbname=%s --command=%s --command=%s", shellQuoted(withoutPassword(cfg, "postgres")),
			shellQuoted(fmt.Sprintf(`ALTER DATABASE %s RENAME TO %s`, identifier(name), identifier(name+"_replaced"))),
			shellQuoted(fmt.Sprintf(`CREATE DATABASE %s TEMPLATE template0 ENCODING 'UTF8'`, identifier(name)))),
		fmt.Sprintf("pg_restore --no-owner --exit-on-error --single-transaction --dbname=%s %s", shellQuoted(withoutPassword(cfg, "")), shellQuoted(from)),
		"topupd migrate",
		`topupd pause --reason "restored from a dump"`,
	}
}

// withoutPassword is the database's URL for a command line, which everybody on
// the machine can read; the password is asked for, or comes from ~/.pgpass. With
// a name it is another database of the server.
func withoutPassword(cfg *config.Config, database string) string {
	u, err := url.Parse(cfg.DatabaseURL.Reveal())
	if err != nil {
		return "DATABASE_URL"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	if database != "" {
		u.Path = "/" + database
	}
	q := u.Query()
	q.Del("password")
	u.RawQuery = q.Encode()
	return u.String()
}

func databaseOf(cfg *config.Config) string {
	u, err := url.Parse(cfg.DatabaseURL.Reveal())
	if err != nil {
		return "topupd"
	}
	return strings.Trim(u.Path, "/")
}

// identifier is a name in SQL, shellQuoted a word in a shell.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func shellQuoted(word string) string { return `'` + strings.ReplaceAll(word, `'`, `'\''`) + `'` }
