package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"topupd/topup"
)

// lineage names a database. A standby that was promoted, a dump that was
// restored and a copy that lives on beside its original have another one.
type lineage struct {
	Identity string `db:"identity"` // of the server's cluster, the database and the table of purchases
	Timeline int64  `db:"timeline"` // raised by every promotion and every recovery to a point in time
}

// postgresLineage asks a server that takes writes. pg_walfile_name knows the new
// timeline as soon as a promotion is over, the control file only after the next
// checkpoint.
//
// kept is where the log of the old timeline ends here. Only the word of a server
// that has received a stream since it started counts: after a crash,
// pg_last_wal_replay_lsn is the end of that recovery, on whichever timeline.
const postgresLineage = `
	SELECT (SELECT system_identifier FROM pg_control_system()) || '/' ||
			(SELECT oid FROM pg_database WHERE datname = current_database()) || '/' ||
			CAST(CAST('purchase' AS regclass) AS oid) AS identity,
		CAST(CAST('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS bit(32)) AS BIGINT) AS timeline,
		CAST(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') AS BIGINT) AS flushed,
		CASE WHEN pg_last_wal_receive_lsn() IS NULL THEN NULL
			ELSE CAST(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') AS BIGINT) END AS kept,
		current_setting('synchronous_standby_names') AS standbys`

// sqliteLineage is always the same: a file that was put back looks like the one
// that it replaces. There, every start reads the provider's books.
const sqliteLineage = `SELECT 'sqlite' AS identity, 1 AS timeline, 0 AS flushed, NULL AS kept, '' AS standbys`

// place is what the server says about itself, beside what the ledger says.
type place struct {
	lineage
	Flushed   int64   `db:"flushed"`  // end of the log on disk, in bytes
	Kept      *int64  `db:"kept"`     // end of what a promoted standby has of the old timeline; nil = cannot be told
	Standbys  string  `db:"standbys"` // synchronous_standby_names
	Identity0 *string `db:"stored_identity"`
	Timeline0 *int64  `db:"stored_timeline"`

	before int64 // where this process had seen the log end before it asked

	complete   bool  // every acknowledged write that was considered is here
	considered int64 // the newest of them, by this process's count
}

// synchronousStandbys is synchronous_standby_names with a number, as PostgreSQL
// writes it; a list without one is taken for FIRST 1, which needs the fewest.
var synchronousStandbys = regexp.MustCompile(`(?i)^\s*(?:(?:first|any)\s+)?([0-9]+)\s*\((.*)\)\s*$`)

// everyStandby tells whether no commit is answered before every standby has it:
// only then whichever is promoted has them all. With ANY 1 of two it may be the
// other one.
func (p place) everyStandby() bool {
	names, needed := p.Standbys, 1
	if m := synchronousStandbys.FindStringSubmatch(p.Standbys); m != nil {
		names = m[2]
		needed, _ = strconv.Atoi(m[1]) // the server refuses what is no number
	}
	return strings.TrimSpace(names) != "" && !strings.Contains(names, "*") && needed >= len(strings.Split(names, ","))
}

// stored is the lineage in the ledger; known is false before the first one.
func (p place) stored() (l lineage, known bool) {
	if p.Identity0 == nil || p.Timeline0 == nil {
		return lineage{}, false
	}
	return lineage{*p.Identity0, *p.Timeline0}, true
}

func (v view) place(ctx context.Context) (place, error) {
	p := place{before: v.store.witness.upTo()}
	err := v.get(ctx, &p, `SELECT here.identity, here.timeline, here.flushed, here.kept, here.standbys,
			l.identity AS stored_identity, l.timeline AS stored_timeline
		FROM (`+v.store.sql.lineage+`) here LEFT JOIN lineage l ON l.id = 1`)
	if err != nil {
		return place{}, fmt.Errorf("asking which database this is: %w", err)
	}
	return p, nil
}

// errMoved refuses rights to spend until inspect has judged what was lost.
var errMoved = fmt.Errorf("the database is another one than before, or was promoted or put back: nothing is bought until it was inspected: %w",
	topup.ErrProviderStopped)

// unmoved is errMoved when the database is not the one that the ledger and this
// process know. A transaction stays on one server, so this is asked once in it,
// after the lock on the provider: whoever moves the lineage holds that alone.
func (t tx) unmoved(ctx context.Context) error {
	here, err := t.place(ctx)
	if err != nil {
		return err
	}
	if stored, known := here.stored(); !known || stored != here.lineage || !t.store.witness.agrees(here) {
		return errMoved
	}
	return nil
}

// inspected inspects when the error says that the database moved, and tells
// whether the caller may try again.
func (s *Store) inspected(ctx context.Context, err error) bool {
	if !errors.Is(err, errMoved) {
		return false
	}
	if err := s.inspect(ctx); err != nil {
		s.log.Error("inspecting the database", slog.String("database", s.where), slog.Any("err", err))
		return false
	}
	return true
}

// inspect takes the database as it is now: in one transaction the ledger gets
// the new lineage, and every provider for which nobody can prove that nothing
// was lost is quarantined (P18). Each process testifies for the leases that it
// held itself, whoever came first: what one cannot know another may prove, and
// what one has lost no other can make good.
//
// One at a time: whoever is second in a process would judge by what the first
// has accepted, and find that nothing tells what is missing.
func (s *Store) inspect(ctx context.Context) error {
	s.inspections.Lock()
	defer s.inspections.Unlock()
	var here place
	var findings []finding
	var done bool
	s.witness.inspecting()
	err := s.write(ctx, "inspect", func(ctx context.Context, t tx) error {
		findings = nil
		first, err := t.lockLineage(ctx)
		if err != nil {
			return err
		}
		if here, err = t.place(ctx); err != nil || first {
			return err
		}
		if done = s.witness.accepted(here); done {
			return nil
		}
		rows, err := t.lockedProviders(ctx)
		if err != nil {
			return err
		}
		now, err := t.now(ctx)
		if err != nil {
			return err
		}
		if err := t.lookForMarks(ctx, &here); err != nil {
			return err
		}
		for _, row := range rows { // no round trip between the marks and the last verdict: writes go on meanwhile
			findings = append(findings, s.witness.judge(row, here))
		}
		for _, f := range findings {
			if err := t.apply(ctx, f, now); err != nil {
				return err
			}
		}
		return t.one(ctx, "storing the lineage", `UPDATE lineage SET since_at = CASE WHEN identity = ? AND timeline = ? THEN since_at ELSE ? END,
			identity = ?, timeline = ? WHERE id = 1`, here.Identity, here.Timeline, micros(now), here.Identity, here.Timeline)
	})
	if err != nil || done {
		return err
	}
	s.witness.accept(here)
	for _, f := range findings {
		f.log(s.log)
	}
	return nil
}

// lookForMarks asks whether what this process was told is stored is here. Writes
// that need no lock on the provider go on meanwhile, here too; so it asks again
// while there are more of them.
func (t tx) lookForMarks(ctx context.Context, here *place) error {
	for range 5 {
		marks, upTo, known := t.store.witness.unproven(*here)
		found := 0
		if known && len(marks) > 0 {
			query, args, err := sqlx.In(`SELECT count(token) FROM mark WHERE token IN (?)`, marks)
			if err != nil {
				return fmt.Errorf("looking for marks: %w", err)
			}
			if err := t.get(ctx, &found, query, args...); err != nil {
				return fmt.Errorf("looking for marks: %w", err)
			}
		}
		here.complete, here.considered = known && found == len(marks), upTo
		if !here.complete || t.store.witness.newest() == upTo {
			return nil
		}
	}
	return nil
}

// mark leaves a trace of a write in its own transaction, so that whoever was told
// that it is stored can find it again. Old ones go in NoteKnown.
func (t tx) mark(ctx context.Context) (string, error) {
	token, err := topup.NewToken()
	if err != nil {
		return "", err
	}
	// Without parameters it takes one message. The token is ours: hexadecimal and dashes.
	_, err = t.t.ExecContext(ctx, `INSERT INTO mark (token, at) VALUES ('`+token+`', `+t.store.sql.clock+`)`)
	if err != nil {
		return "", fmt.Errorf("leaving a mark: %w", err)
	}
	return token, nil
}

// markLife is how long marks are kept: far longer than a process that holds a
// lease can live without meeting the server that it was promoted to.
const markLife = time.Hour

// lockLineage locks the one row; first tells that it was made just now, by a
// ledger that has no past.
func (t tx) lockLineage(ctx context.Context) (first bool, err error) {
	n, err := t.exec(ctx, `INSERT INTO lineage (id, identity, timeline, since_at)
		SELECT 1, here.identity, here.timeline, `+t.store.sql.clock+` FROM (`+t.store.sql.lineage+`) here WHERE true
		ON CONFLICT DO NOTHING`)
	if err != nil || n > 0 {
		return n > 0, err
	}
	var id int64
	return false, t.get(ctx, &id, `SELECT id FROM lineage WHERE id = 1`+t.store.sql.update)
}

func (t tx) lockedProviders(ctx context.Context) ([]providerRow, error) {
	var rows []providerRow
	err := t.list(ctx, &rows, `SELECT `+providerColumns+` FROM provider ORDER BY id`+t.store.sql.alone)
	return rows, err
}

// finding is what an inspection concludes about one provider.
type finding struct {
	provider   providerRow
	quarantine bool   // nobody can prove that nothing was lost
	lift       bool   // somebody has, after another process had to assume the worst
	why        string // what was seen
	witness    string // whose word would still lift it; "" = nobody's
}

func (t tx) apply(ctx context.Context, f finding, now time.Time) error {
	switch {
	case f.quarantine && f.provider.QuarantineHeld == 0:
		text := fmt.Sprintf("since %s: %s; purchases wait until the provider's books were read after the quiet period and every purchase in them is known, "+
			"or, where it keeps none, until topupd resume --provider %s", now.Format(time.RFC3339), f.why, f.provider.Name)
		return t.one(ctx, "quarantining "+f.provider.ID, `UPDATE provider SET quarantined = ?, quarantined_at = ?, quarantine_witness = ? WHERE id = ?`,
			bound(text, 2000), micros(now), f.witness, f.provider.ID)
	case f.lift:
		return t.one(ctx, "ending the quarantine of "+f.provider.ID, endQuarantine+` WHERE id = ?`, f.provider.ID)
	default:
		return nil
	}
}

func (f finding) log(log *slog.Logger) {
	attrs := []slog.Attr{slog.String("provider", f.provider.Name), slog.String("reason", f.why)}
	switch {
	case f.quarantine:
		log.LogAttrs(context.Background(), slog.LevelError, "quarantine", attrs...)
	case f.why != "":
		log.LogAttrs(context.Background(), slog.LevelInfo, "database moved, nothing lost", attrs...)
	}
}
