package clients

import (
	"net/http"
	"sync"
	"time"
)

// refusedFor is how long a refusal tells something of an operation that is not
// asked for again.
const refusedFor = time.Hour

// refusals are the reads for which the provider refuses our token, by operation:
// a token may lack the right to one alone.
type refusals struct {
	mu sync.Mutex
	of map[string]refusal
}

type refusal struct {
	since, last time.Time
	token       Token
	fingerprint string // of what was refused
}

// note takes over what a read came to, after the token's source was read again.
// A 403 to what an account may lack is no refusal.
func (rs *refusals) note(r Read, err error, now time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	was, known := rs.of[r.Op]
	switch fingerprint := r.Token.Fingerprint(); {
	case err == nil:
		delete(rs.of, r.Op)
	case r.MayLack && Refused(err, http.StatusForbidden), !Refused(err, http.StatusUnauthorized, http.StatusForbidden):
	case known && was.fingerprint == fingerprint && now.Sub(was.last) < refusedFor:
		was.last = now
		rs.of[r.Op] = was
	default:
		if rs.of == nil {
			rs.of = map[string]refusal{}
		}
		rs.of[r.Op] = refusal{now, now, r.Token, fingerprint}
	}
}

// TokenRefused is since when reads end with 401 or 403 although the token's source
// was read again; zero when none does. A success of the same operation ends it,
// another token, and an hour without the question.
func (a *API) TokenRefused() (since time.Time) {
	now := a.o.Now()
	a.refused.mu.Lock()
	defer a.refused.mu.Unlock()
	for _, r := range a.refused.of {
		if now.Sub(r.last) < refusedFor && r.token.Fingerprint() == r.fingerprint && (since.IsZero() || r.since.Before(since)) {
			since = r.since
		}
	}
	return since
}
