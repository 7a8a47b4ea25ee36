package clients

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

// secret is a token whose source can be changed.
type secret struct {
	mu        sync.Mutex
	now, next string
	reloads   int
	err       error
}

func (s *secret) Reveal() string      { s.mu.Lock(); defer s.mu.Unlock(); return s.now }
func (s *secret) Fingerprint() string { return "fp:" + s.Reveal() }

func (s *secret) Remedy() string { return "ask the vault" }

func (s *secret) Reload() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloads++
	changed := s.next != "" && s.next != s.now
	if changed {
		s.now = s.next
	}
	return changed, s.err
}

// served is an API in front of a handler, with a clock that sleeping moves.
type served struct {
	*API
	mu     sync.Mutex
	now    time.Time
	sleeps []time.Duration
	seen   []string // op and code
}

func serve(t *testing.T, h http.HandlerFunc, change func(*Options)) *served {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{now: noon}
	o := Options{
		BaseURL:     base,
		ReadTimeout: 5 * time.Second,
		Rand:        func() float64 { return 0.5 },
		Now:         func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now },
		Observe: func(op, code string, _ time.Duration) {
			s.mu.Lock()
			s.seen = append(s.seen, op+" "+code)
			s.mu.Unlock()
		},
	}
	if change != nil {
		change(&o)
	}
	s.API = New(o)
	s.pause = time.Millisecond
	s.sleep = func(ctx context.Context, d time.Duration) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sleeps = append(s.sleeps, d)
		s.now = s.now.Add(d)
		return ctx.Err()
	}
	t.Cleanup(s.CloseIdle)
	return s
}

// script answers the nth request with the nth step, and the last for ever.
func script(steps ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		step := steps[min(n, len(steps)-1)]
		n++
		mu.Unlock()
		step(w, r)
	}
}

func status(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func truncated(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"a":`)
}

// gzipped is the text as a gateway sends it that compresses unasked.
func gzipped(text string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

func TestEveryRequestAsksForPlainAnswers(t *testing.T) {
	var seen []string
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+strings.Join(r.Header.Values("Accept-Encoding"), " "))
		status(200, `{}`)(w, r)
	}, nil)
	token := &secret{now: "token1"}
	_, readErr := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: token})
	_, writeErr := api.Write(t.Context(), Write{Op: "attach", Method: http.MethodPost, Path: "/x", Token: token, Body: []byte("{}")})
	if diff := cmp.Diff([]string{"GET identity", "POST identity"}, seen); diff != "" || readErr != nil || writeErr != nil {
		t.Errorf("errors %v, %v; requests (-want +got):\n%s", readErr, writeErr, diff)
	}
}

func TestRead(t *testing.T) {
	ok := status(200, `{"ok":true}`)
	for _, tt := range []struct {
		name   string
		server http.HandlerFunc
		seen   []string
		reason topup.FailureReason // "" = success
		text   string              // part of the error
	}{
		{"an answer", script(ok), []string{"credits 200"}, "", ""},
		{"5xx is tried again", script(status(503, "busy"), status(500, "oops"), ok), []string{"credits 503", "credits 500", "credits 200"}, "", ""},
		{"but not for ever", script(status(502, "<html>bad gateway")), []string{"credits 502", "credits 502", "credits 502"}, topup.FailedServer, `502 Bad Gateway: "<html>bad gateway"`},
		{"429 is obeyed and tried again", script(status(429, "Too many requests", "Retry-After", "3"), ok), []string{"credits 429", "credits 200"}, "", ""},
		{"429 for minutes is not waited for", script(status(429, "Too many requests", "Retry-After", "300"), ok), []string{"credits 429"}, topup.FailedThrottled, "silence until 2026-11-20T12:05:00Z"},
		{"a cut connection is tried again", script(drop, ok), []string{"credits error", "credits 200"}, "", ""},
		{"a cut body is tried again", script(truncated, ok), []string{"credits error", "credits 200"}, "", ""},
		{"a refusal is final", script(status(404, `{"message":"Product not found"}`), ok), []string{"credits 404"}, topup.FailedInvalid, `{\"message\":\"Product not found\"}`},
		{"a refused token is final", script(status(403, `{"message":"scope"}`), ok), []string{"credits 403"}, topup.FailedAuth, "check what the token may do"},
		{"a redirect is not followed", script(status(302, "", "Location", "/elsewhere"), ok), []string{"credits 302"}, topup.FailedOther, "302 Found"},
		{"a page of HTML is no answer", script(status(200, "<html>login</html>"), ok), []string{"credits 200"}, topup.FailedMalformed, "not JSON"},
		{"nor is an empty one", script(status(200, ""), ok), []string{"credits 200"}, topup.FailedMalformed, "empty body"},
		{"a compressed answer is unpacked", script(status(200, gzipped(`{"ok":true}`), "Content-Encoding", "gzip")), []string{"credits 200"}, "", ""},
		{"also when it does not say so", script(status(200, gzipped(`{"ok":true}`), "Content-Type", "application/json")), []string{"credits 200"}, "", ""},
		{"or says so without being it", script(status(200, `{"ok":true}`, "Content-Encoding", "gzip")), []string{"credits 200"}, "", ""},
		{"a cut compressed answer is tried again", script(status(200, gzipped(`{"ok":true}`)[:20], "Content-Encoding", "gzip"), ok), []string{"credits error", "credits 200"}, "", ""},
		{"a compressed refusal is read", script(status(404, gzipped(`{"message":"Product not found"}`), "Content-Encoding", "gzip")), []string{"credits 404"}, topup.FailedInvalid, `{\"message\":\"Product not found\"}`},
		{"30 MB in 30 kB are no answer", script(status(200, gzipped(`"`+strings.Repeat("x", 30<<20)+`"`), "Content-Encoding", "gzip")), []string{"credits 200"}, topup.FailedMalformed, "longer than any that makes sense"},
		{"nor one of 30 MB", script(status(200, `"`+strings.Repeat("x", 30<<20)+`"`), ok), []string{"credits 200"}, topup.FailedMalformed, "longer than any that makes sense"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := serve(t, tt.server, nil)
			resp, err := api.Read(t.Context(), Read{Op: "credits", Path: "/v1/customers/credits", Query: url.Values{"take": {"100"}}, Token: &secret{now: "prod_token"}})
			if diff := cmp.Diff(tt.seen, api.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if tt.reason == "" {
				if err != nil || string(resp.Body) != `{"ok":true}` || resp.SentAt.Before(noon) || resp.ServerTime.IsZero() {
					t.Errorf("Read = %+v, %v", resp, err)
				}
				return
			}
			if err == nil || ReasonOf(err) != tt.reason || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Read = %v (%s), want %s with %q", err, ReasonOf(err), tt.reason, tt.text)
			}
			if strings.Contains(err.Error(), "take=") {
				t.Errorf("the error shows the query: %v", err)
			}
		})
	}
}

func TestAnAnswerOfACacheIsAsOldAsItsAge(t *testing.T) {
	date := noon.Format(http.TimeFormat)
	for _, tt := range []struct {
		name    string
		headers []string
		want    time.Duration
	}{
		{"no cache", nil, 0},
		{"filled just now", []string{"Age", "0"}, 0},
		{"ten minutes", []string{"Age", "600"}, 10 * time.Minute},
		{"the oldest of two caches", []string{"Age", "5, 600"}, 10 * time.Minute},
		{"more than any number", []string{"Age", "99999999999999999999"}, 365 * 24 * time.Hour},
		{"a negative age says nothing", []string{"Age", "-600"}, 0},
		{"nor does a text", []string{"Age", "600s"}, 0},
		{"nor does nothing", []string{"Age", ""}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Cache-Control") != "no-cache" {
					t.Error("caches are not asked to look")
				}
				status(200, `{}`, append(tt.headers, "Date", date)...)(w, r)
			}, nil)
			resp, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: &secret{now: "token1"}})
			if err != nil || resp.Age != tt.want || !resp.SentAt.Equal(noon.Add(-tt.want)) || !resp.ServerTime.Equal(noon.Add(tt.want)) {
				t.Errorf("Read = age %s, sent %s, provider's time %s, %v; want the age %s", resp.Age, resp.SentAt, resp.ServerTime, err, tt.want)
			}
		})
	}
}

func TestTheLimitsOfAnOldAnswerAreNotHeeded(t *testing.T) {
	api := serve(t, status(200, `{}`, "Age", "5", "X-RateLimit-Limit", "200", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "10"), nil)
	for range 2 {
		if _, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: &secret{now: "token1"}}); err != nil || len(api.sleeps) != 0 {
			t.Errorf("Read = %v after waiting %v", err, api.sleeps)
		}
	}
}

func TestReadGivesUpAfterItsDeadline(t *testing.T) {
	release := make(chan struct{})
	api := serve(t, func(http.ResponseWriter, *http.Request) { <-release }, func(o *Options) { o.ReadTimeout = 20 * time.Millisecond })
	t.Cleanup(func() { close(release) }) // before the server waits for its handlers
	_, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: &secret{now: "token1"}})
	if ReasonOf(err) != topup.FailedTimeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read = %v (%s), want a timeout", err, ReasonOf(err))
	}
	if len(api.seen) != maxTries {
		t.Errorf("%d tries, want %d", len(api.seen), maxTries)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	api := serve(t, func(w http.ResponseWriter, r *http.Request) { cancel(); status(500, "")(w, r) }, nil)
	_, err := api.Read(ctx, Read{Op: "credits", Path: "/x", Token: &secret{now: "token1"}})
	if err == nil || len(api.seen) != 1 {
		t.Errorf("Read = %v after %d tries, want one", err, len(api.seen))
	}
}

func TestA401ReadsTheTokenAgain(t *testing.T) {
	guarded := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer new_token" {
			status(401, `{"message":"Missing authentication token"}`)(w, r)
			return
		}
		status(200, `{}`)(w, r)
	}
	t.Run("a changed token is used at once", func(t *testing.T) {
		api, token := serve(t, guarded, nil), &secret{now: "old_token", next: "new_token"}
		if _, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: token}); err != nil || token.reloads != 1 {
			t.Errorf("Read = %v after %d reloads", err, token.reloads)
		}
	})
	t.Run("an unchanged one is not tried again", func(t *testing.T) {
		api, token := serve(t, guarded, nil), &secret{now: "old_token"}
		_, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: token})
		if !Refused(err, 401) || token.reloads != 1 || len(api.seen) != 1 || !strings.HasSuffix(err.Error(), "(ask the vault)") {
			t.Errorf("Read = %v after %d reloads and %d requests", err, token.reloads, len(api.seen))
		}
	})
	t.Run("an unreadable source is said", func(t *testing.T) {
		api, token := serve(t, guarded, nil), &secret{now: "old_token", err: errors.New("no such file")}
		_, err := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: token})
		if !Refused(err, 401) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("Read = %v", err)
		}
	})
}

// A refusal of the token must be told at once, and nothing else: neither a rotation
// nor the list of all balances that an account may lack.
func TestSinceWhenTheTokenIsRefused(t *testing.T) {
	now := noon
	codes := map[string]int{}
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if code := codes[r.URL.Path]; code != 0 && r.Header.Get("Authorization") == "Bearer old_token" {
			status(code, `{"message":"no"}`)(w, r)
			return
		}
		status(200, `{}`)(w, r)
	}, func(o *Options) { o.Now = func() time.Time { return now } })
	token := &secret{now: "old_token"}
	read := func(op string, mayLack bool) {
		_, _ = api.Read(t.Context(), Read{Op: op, Path: "/" + op, Token: token, MayLack: mayLack})
	}
	want := func(what string, since time.Time) {
		t.Helper()
		if got := api.TokenRefused(); !got.Equal(since) {
			t.Errorf("%s: refused since %s, want %s", what, got, since)
		}
	}
	codes["/bulk"] = 403
	read("bulk", true)
	want("a list that an account may lack", time.Time{})
	codes["/credits"] = 500
	read("credits", false)
	want("an outage", time.Time{})
	codes["/credits"] = 401
	read("credits", false)
	want("a single 401", noon)
	now = noon.Add(time.Minute)
	codes["/invoices"] = 403
	read("invoices", false)
	read("customers", false)
	read("credits", false)
	want("another right, and a success of another operation", noon)
	codes["/credits"] = 0
	read("credits", false)
	want("the right that is still missing", now)
	token.now = "new_token"
	want("another token", time.Time{})
	token.now, token.next = "old_token", "new_token"
	codes["/credits"] = 401
	read("credits", false)
	want("a rotation", time.Time{})
	token.now, token.next = "old_token", "old_token"
	now = now.Add(refusedFor - time.Second)
	want("asked within the hour", noon.Add(time.Minute))
	now = now.Add(time.Second)
	want("not asked for an hour", time.Time{})
}

func TestNoSecretReachesAnErrorOrALog(t *testing.T) {
	var log bytes.Buffer
	const token = "prod_verysecret"
	echo := func(w http.ResponseWriter, r *http.Request) {
		status(401, `{"message":"bad token `+strings.Repeat("padding ", 22)+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`"}`)(w, r)
	}
	api := serve(t, echo, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	_, readErr := api.Read(t.Context(), Read{Op: "credits", Path: "/x", Token: &secret{now: token}})
	_, writeErr := api.Write(t.Context(), Write{Op: "attach", Method: "POST", Path: "/x", Token: &secret{now: token}, Body: []byte("{}")})
	for _, text := range []string{readErr.Error(), writeErr.Error(), log.String()} {
		if strings.Contains(text, "verysec") || strings.Contains(text, "prod_") {
			t.Errorf("the token shows: %s", text)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, tt := range []struct{ name, base, path, want string }{
		{"a bare host", "https://api.hyperline.co", "/v1/x", "https://api.hyperline.co/v1/x"},
		{"a path of the base is kept", "http://127.0.0.1:8080/talkover/", "/api/user", "http://127.0.0.1:8080/talkover/api/user"},
		{"escaped ids stay escaped", "https://a.co", "/v1/customers/a%2Fb/credits?x=1", "https://a.co/v1/customers/a%2Fb/credits?x=1"},
		{"a path cannot name a host", "https://a.co", "//evil.example/x", "error"},
		{"nor be relative", "https://a.co", "v1/x", "error"},
		{"nor be broken", "https://a.co", "/v1/%zz", "error"},
		{"no other scheme is spoken", "ftp://a.co", "/x", "error"},
		{"user info of the base goes nowhere", "https://user:pw@a.co", "/x", "https://a.co/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base, err := url.Parse(tt.base)
			if err != nil {
				t.Fatal(err)
			}
			u, err := New(Options{BaseURL: base}).address(tt.path)
			if tt.want == "error" {
				if err == nil {
					t.Fatalf("address = %v, want an error", u)
				}
				return
			}
			if err != nil || u.String() != tt.want {
				t.Errorf("address = %v, %v; want %s", u, err, tt.want)
			}
		})
	}
}

func TestErrorIsNotFound(t *testing.T) {
	if err := error(&Error{Op: "credit", Status: 404}); !errors.Is(err, topup.ErrNotFound) {
		t.Error("a 404 is not topup.ErrNotFound")
	}
	if err := error(&Error{Op: "credit", Status: 500}); errors.Is(err, topup.ErrNotFound) {
		t.Error("a 500 is topup.ErrNotFound")
	}
}
