package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// minKey is the shortest idempotency key, in characters (Hyperline docs,
// /developers/idempotent-requests, read 2026-11-20).
const minKey = 16

// memory is what Hyperline keeps of an Idempotency-Key: that a request runs, or
// the answer of one that succeeded.
type memory struct {
	print   string // method, URL and body
	running bool
	answer  answer
	until   time.Time
}

// begin looks the request's key up. A nil early answer means: run it, then call
// finish. Without a key there is no memory and both are nil.
func (h *hyperline) begin(r *http.Request, body []byte, now time.Time) (m *memory, early *answer) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" || h.opts.Profile.KeysIgnored {
		return nil, nil
	}
	if len(key) < minKey {
		a := message(http.StatusBadRequest, "Idempotency-Key must be at least 16 characters long")
		return nil, &a
	}
	print := h.fingerprint(r, body)
	known := h.keys[key]
	switch {
	case known == nil || (!known.running && !now.Before(known.until)), known.running && h.opts.Profile.ConcurrentRuns:
		m = &memory{print: print, running: true}
		h.keys[key] = m
		return m, nil
	case known.running:
		a := message(http.StatusConflict, "A request with this idempotency key is in progress")
		return nil, &a
	case known.print != print && h.opts.Profile.OtherBytes == OtherBytesRun:
		m = &memory{print: print, running: true}
		h.keys[key] = m
		return m, nil
	case known.print != print && h.opts.Profile.OtherBytes == OtherBytesRefused:
		a := message(http.StatusExpectationFailed, "This idempotency key was used for another request")
		return nil, &a
	default:
		a := known.answer
		return nil, &a
	}
}

// finish keeps a success for KeyMemory and forgets everything else: only a
// request that succeeds is said to be cached.
func (h *hyperline) finish(r *http.Request, m *memory, a answer, now time.Time) {
	if m == nil {
		return
	}
	if a.status < 200 || a.status > 299 {
		delete(h.keys, r.Header.Get("Idempotency-Key"))
		return
	}
	m.running, m.answer, m.until = false, a, now.Add(h.opts.KeyMemory)
}

// fingerprint is what must be equal for a repeat to be the same request.
func (h *hyperline) fingerprint(r *http.Request, body []byte) string {
	if h.opts.Profile.CompareMeaning {
		var meaning any
		if json.Unmarshal(body, &meaning) == nil {
			if canonical, err := json.Marshal(meaning); err == nil { // sorted keys, no spaces
				body = canonical
			}
		}
	}
	return r.Method + " " + r.URL.RequestURI() + " " + digest(body)
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// forgetKeys drops what is too old to be replayed.
func (h *hyperline) forgetKeys(now time.Time) {
	for key, m := range h.keys {
		if !m.running && !now.Before(m.until) {
			delete(h.keys, key)
		}
	}
}
