package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"topupd/internal/fuzztest"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzParseObject: an Object says what encoding/json says, and knows which keys
// came twice.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":2,"b":{"c":[null]}}`, `{"\u0061":"x","a":null}`, ` { "a" : [ 1 , "]" , {"}":"\""} ] , "b" : -0.5e3 } `,
		`{"current_balance":2000,"low_count_threshold":10,"last_refreshed_at":"2025-11-23T09:00:01.860Z","auto_topup":null}`,
		`{"a":1}{"a":2}`, `{"a":"\ud800"}`, `{"":{}}`, `[{"a":1}]`, `{"a":1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := ParseObject(raw)
		var want map[string]json.RawMessage
		if valid := json.Unmarshal(raw, &want) == nil && want != nil; valid != (err == nil) {
			t.Fatalf("ParseObject(%q) = %v, and encoding/json takes it: %v", raw, err, valid)
		}
		if err != nil {
			return
		}
		if len(o.fields) != len(want) {
			t.Errorf("%d keys of %q, encoding/json finds %d", len(o.fields), raw, len(want))
		}
		for key, value := range want {
			if !bytes.Equal(bytes.TrimSpace(o.fields[key]), bytes.TrimSpace(value)) {
				t.Errorf("%q of %q is %s, encoding/json says %s", key, raw, o.fields[key], value)
			}
			checkValues(t, o, key)
		}
	})
}

// checkValues: what is handed out of an object is bounded and what it claims.
func checkValues(t *testing.T, o Object, key string) {
	t.Helper()
	n, err := o.Number(key)
	if err == nil && (o.Twice(key) || !o.Has(key) || !json.Valid([]byte(n)) || strings.ContainsAny(n[:1], `"tfn{[`)) {
		t.Errorf("Number(%q) = %q", key, n)
	}
	if id := o.ID(key); id != "" && !ValidID(id) {
		t.Errorf("ID(%q) = %q", key, id)
	}
	if at := o.Time(key); !at.IsZero() && (at.Year() < 1969 || at.Year() > 10_000) {
		t.Errorf("Time(%q) = %v", key, at)
	}
	if nested, ok := o.Object(key); ok && nested.fields == nil {
		t.Errorf("Object(%q) is none", key)
	}
	list, _ := o.List(key)
	for _, item := range list {
		if !json.Valid(item) {
			t.Errorf("an item of %q is %q", key, item)
		}
	}
	if (o.Twice(key) || !o.Has(key)) && (o.Text(key) != "" || o.Raw(key) != nil || list != nil) {
		t.Errorf("%q has no one value and one was read", key)
	}
}

// FuzzHeaders: whatever a provider says about its limits, a pause lasts from a
// second to a quarter of an hour, a 429 always pauses, and what only polling has
// to heed never holds a purchase back.
func FuzzHeaders(f *testing.F) {
	f.Add(429, "7", "", "", "", "")
	f.Add(429, "Fri, 20 Nov 2026 12:00:20 GMT", "", "", "", "Fri, 20 Nov 2026 12:00:00 GMT")
	f.Add(429, "315360000", "2026-11-20T12:00:04Z", "0", "200", "")
	f.Add(429, "-1", "1795176005", "", "", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Add(503, "1e308", "", "", "", "")
	f.Add(200, "", "2026-11-20T12:00:09Z", "20", "200", "Fri, 20 Nov 2026 12:00:00 GMT")
	f.Add(200, "", "9999-12-31T23:59:59Z", "-5", "-9223372036854775808", "Fri, 31 Dec 9999 23:59:59 GMT")
	f.Add(429, "NaN", "Inf", "", "", "")
	f.Fuzz(func(t *testing.T, status int, after, reset, left, limit, date string) {
		a := New(Options{
			Limits: Limits{Reads: Rate{200, 10 * time.Second}, Writes: Rate{50, 10 * time.Second}},
			Now:    func() time.Time { return noon },
		})
		h := http.Header{}
		for name, value := range map[string]string{"Retry-After": after, "X-RateLimit-Reset": reset, "X-RateLimit-Remaining": left, "X-RateLimit-Limit": limit, "Date": date} {
			h.Set(name, value)
		}
		a.heed(a.reads, status, h)
		reads, _ := a.reads.take(noon, Evidence)
		polls, _ := a.reads.take(noon, Polling)
		writes, _ := a.writes.take(noon, Evidence)
		for name, pause := range map[string]time.Duration{"evidence": reads, "polling": polls, "writes": writes} {
			if pause != 0 && (pause < minPause || pause > maxPause) {
				t.Errorf("%s pauses for %v", name, pause)
			}
			if status == http.StatusTooManyRequests && pause == 0 {
				t.Errorf("%s does not pause after a 429", name)
			}
		}
		if status != http.StatusTooManyRequests && writes != 0 {
			t.Errorf("an answer to a read with status %d holds purchases back for %v", status, writes)
		}
		if at, ok := serverTime(h); ok && at.Location() != time.UTC {
			t.Errorf("the provider's time is %v", at)
		}
	})
}

// FuzzQuote: outside text in an error is short, valid, and without our secrets,
// wherever they stand in it.
func FuzzQuote(f *testing.F) {
	const token = "test_very-secret-key"
	f.Add([]byte("you sent Bearer "), []byte(" and that is wrong"))
	f.Add(bytes.Repeat([]byte("é"), 95), []byte{0xff, 0x00})
	f.Add(bytes.Repeat([]byte("x"), 190), []byte(token))
	f.Add([]byte("test_very-secret-ke"), []byte("y"))
	f.Add(bytes.Repeat([]byte("x"), maxErrorBody-5), []byte(""))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		s := &secret{now: token}
		text := string(before) + token + string(after)
		quoted := Quote([]byte(text), s)
		fail := &Error{Op: "read", Method: http.MethodGet, Status: 500, Message: quoted, Err: errors.New(Quote([]byte(text), s))}
		for _, shown := range []string{quoted, fail.Error()} {
			if strings.Contains(shown, token) {
				t.Errorf("the token is in %s", shown)
			}
			if !utf8.ValidString(shown) {
				t.Errorf("%q is no text", shown)
			}
		}
		if words, err := strconv.Unquote(quoted); err != nil || len(words) > maxMessage+len("…") {
			t.Errorf("%d bytes, %v: %s", len(words), err, quoted)
		}
	})
}

// FuzzTransportError: what net/http says about an answer that is no HTTP quotes
// the answer, and an answer may repeat the token.
func FuzzTransportError(f *testing.F) {
	const token = "test_very-secret-key"
	f.Add([]byte("HTTP/1.1 " + token + " x\r\n\r\n"))
	f.Add([]byte(token + "\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + token + "\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: " + token + "\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + token + "\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		_, cause := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil)
		if cause == nil {
			return
		}
		err := transportError(cause, &secret{now: token})
		if text := err.Error(); strings.Contains(text, token) || len(text) > maxMessage+len("…") {
			t.Errorf("%d bytes: %s", len(text), text)
		}
		if !errors.Is(err, cause) || CauseReason(err) != CauseReason(cause) {
			t.Errorf("%v is not %v any more", err, cause)
		}
	})
}
