package ledger

import (
	"fmt"
	"sync"
	"time"

	"topupd/topup"
)

// witness is what this process remembers of a database, so that after a
// promotion it can prove that nothing was lost.
//
// The argument: commits are a prefix of the log. A standby that was promoted
// has everything up to one position and nothing beyond. Money is moved under a
// lease only, by its one holder. If this process was that holder, if every write
// that was acknowledged is there, and if nobody can have taken the lease after
// it, then no acknowledged write about that provider is missing. A write is there
// when the log's end that was seen after it is not beyond what the standby kept;
// or, because under load that end holds what others had only begun to commit,
// when the mark that the write left in its own transaction is found. A commit
// that was never acknowledged is in doubt, and nothing was sent under it.
//
// That nobody took the lease follows from its time while that runs. Later,
// somebody may have taken it on the far side of a broken network and lost it
// with the old primary, unless that primary answered no commit before every
// standby had it: then taking the lease was kept too, and the row would show it.
type witness struct {
	mu          sync.Mutex
	at          lineage // the last one that this process has accepted; zero = none
	synchronous bool    // whether commits waited for every standby, as seen last
	flushed     int64   // end of the log after an acknowledged write, the furthest seen
	acked       int64   // writes acknowledged
	acks        []ack   // the newest of them, oldest first
	inspections int     // a commit that one of them overtook is in doubt
	stints      map[topup.ProviderID]stint
}

// ack is a write that was acknowledged.
type ack struct {
	n       int64
	mark    string // its own row in the table mark
	flushed int64  // end of the log after it, others' writes that were never acknowledged included; 0 = not read
}

// maxAcks bounds how many writes a process remembers. Only those of the last
// moments before a promotion need their marks: after them the log held what no
// standby had yet.
const maxAcks = 512

// stint is one holding of a lease by this process.
type stint struct {
	topup.Lease
	asked time.Time // before it was last lengthened
	ttl   time.Duration
}

// over tells whether another process may have taken the lease since. A machine
// that slept stops one clock, a clock that was set moves the other.
func (s stint) over(now time.Time) bool {
	return max(now.Sub(s.asked), now.Round(0).Sub(s.asked.Round(0))) >= s.ttl
}

// key names a holder at the moment a lineage began.
func (l lineage) key(holder string, term int64) string {
	return fmt.Sprintf("%s %d %d %s", l.Identity, l.Timeline, term, holder)
}

// upTo is where this process has seen the log end.
func (w *witness) upTo() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushed
}

// agrees tells whether the database is the one this process knows: the first one
// it meets, or the same, with a log that has not become shorter.
func (w *witness) agrees(here place) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == (lineage{}) {
		w.at = here.lineage
	}
	if w.at != here.lineage || here.Flushed < here.before {
		return false
	}
	w.synchronous = here.everyStandby()
	return true
}

// accepted tells whether this process has taken the database as it is already.
func (w *witness) accepted(here place) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	stored, known := here.stored()
	return known && stored == here.lineage && w.at == here.lineage && here.Flushed >= here.before
}

// accept takes the database as it is for what is compared with from now on.
func (w *witness) accept(here place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	acks := w.acks
	w.at, w.synchronous, w.flushed, w.acks = here.lineage, here.everyStandby(), here.Flushed, nil
	if here.considered > 0 { // all of them are in this log, up to where it ended when it was asked
		w.acks = []ack{{n: here.considered, flushed: here.Flushed}}
	}
	for _, a := range acks {
		if a.n > here.considered {
			w.acks = append(w.acks, a)
		}
	}
}

// inspecting begins an inspection: it judges what was acknowledged until now.
func (w *witness) inspecting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inspections++
}

// committing is noted before a commit and given to acknowledged after it, which
// is false when an inspection began in between: whether this commit is among
// what it judged, nobody can tell.
func (w *witness) committing() (inspections int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inspections
}

func (w *witness) acknowledged(inspections int, mark string) (n int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inspections != inspections {
		return 0, false
	}
	w.acked++
	w.acks = append(w.acks, ack{n: w.acked, mark: mark})
	if len(w.acks) > maxAcks {
		w.acks = append([]ack(nil), w.acks[maxAcks/2:]...)
	}
	return w.acked, true
}

// saw notes a position of the log that was read after the acknowledgement.
func (w *witness) saw(n int64, here place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if here.lineage != w.at {
		return // another server's log says nothing about this one's
	}
	w.flushed = max(w.flushed, here.Flushed)
	for i, a := range w.acks {
		if a.n == n {
			w.acks[i].flushed = here.Flushed
		}
	}
}

// unproven lists the marks of the acknowledged writes of which the kept log does
// not prove by its length that they are in it; known is false when there are
// too many of them. upTo is the newest write considered.
func (w *witness) unproven(here place) (marks []string, upTo int64, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var proven int64 // with a write everything acknowledged before it is there
	for _, a := range w.acks {
		if a.flushed > 0 && here.Kept != nil && a.flushed <= *here.Kept {
			proven = a.n
		}
	}
	for _, a := range w.acks {
		if a.n > proven {
			marks = append(marks, a.mark)
		}
	}
	return marks, w.acked, proven > 0 || int64(len(w.acks)) == w.acked
}

// newest is the number of the newest acknowledged write.
func (w *witness) newest() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

func (w *witness) holds(lease topup.Lease, asked time.Time, ttl time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stints == nil {
		w.stints = map[topup.ProviderID]stint{}
	}
	w.stints[lease.Provider] = stint{lease, asked, ttl}
}

func (w *witness) gaveUp(provider topup.ProviderID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.stints, provider)
}

// judge concludes about one provider. The row is locked.
func (w *witness) judge(row providerRow, here place) finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	stored, _ := here.stored()
	shrunk := w.at == here.lineage && here.Flushed < here.before
	f := finding{provider: row, why: w.difference(stored, here, shrunk)}
	moved, holder := stored != here.lineage || shrunk, row.QuarantineWitness
	if moved {
		holder = here.key(row.Holder, row.Term)
	}
	s, mine := w.stints[topup.ProviderID(row.ID)]
	mine = mine && w.at != (lineage{})
	if mine {
		if lost := w.lost(s, row, here); lost != "" {
			f.quarantine, f.why = true, f.why+": "+lost
			return f
		}
	}
	switch proven := mine && holder == here.key(s.Holder, s.Term) && (w.synchronous || !s.over(time.Now())); { //nolint:forbidigo // the time since a lease was lengthened, by this machine alone
	case proven:
		f.lift = !moved && row.Quarantined != "" // set by a process that came first and could not know
		f.why += fmt.Sprintf("; acknowledged up to %s, kept up to %s", position(w.flushed), position(*here.Kept))
	case !moved:
		f.why = ""
	default:
		f.quarantine, f.why = true, f.why+": nobody has proved that nothing was lost"
		if row.Quarantined == "" && !shrunk {
			f.witness = holder
		}
	}
	return f
}

// lost is why something that this process was promised is gone, or may be.
func (w *witness) lost(s stint, row providerRow, here place) string {
	switch {
	case here.Identity != w.at.Identity, here.Timeline != w.at.Timeline+1:
		return "nothing tells what is missing"
	case here.Kept == nil:
		return "the server was restarted since, and nothing tells what is missing"
	case !here.complete || w.acked != here.considered:
		return fmt.Sprintf("changes were acknowledged up to about %s, and it has them up to %s", position(w.flushed), position(*here.Kept))
	case row.Term < s.Term, row.Term == s.Term && row.Holder != s.Holder && row.Holder != "":
		return fmt.Sprintf("term %d of the lease is missing", s.Term)
	default:
		return ""
	}
}

func (w *witness) difference(stored lineage, here place, shrunk bool) string {
	before := stored
	if w.at != (lineage{}) {
		before = w.at
	}
	switch {
	case before.Identity != here.Identity:
		return fmt.Sprintf("the database is another one than before (%s, now %s), a restored dump or a copy", before.Identity, here.Identity)
	case shrunk:
		return fmt.Sprintf("the database was put back to an earlier state, its log ends at %s and had ended at %s", position(here.Flushed), position(w.flushed))
	default:
		return fmt.Sprintf("the database was promoted or recovered (timeline %d, now %d)", before.Timeline, here.Timeline)
	}
}

// position writes a place in the log as PostgreSQL does.
func position(bytes int64) string { return fmt.Sprintf("%X/%X", bytes>>32, bytes&0xffffffff) }
