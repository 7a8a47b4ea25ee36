package clients

import (
	"net/http"
	"testing"
	"time"
)

func TestHeed(t *testing.T) {
	const ample = 429
	for _, tt := range []struct {
		name         string
		status       int
		header       map[string]string
		reads, polls time.Duration // how long evidence and polling reads wait afterwards
		writes       time.Duration
	}{
		{"an ordinary answer changes nothing", 200, map[string]string{"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "150", "X-RateLimit-Reset": "2026-11-20T12:00:10Z"}, 0, 0, 0},
		{"429 with seconds", ample, map[string]string{"Retry-After": "7"}, 7 * time.Second, 7 * time.Second, 7 * time.Second},
		{"429 with an HTTP date", ample, map[string]string{"Retry-After": "Fri, 20 Nov 2026 12:00:20 GMT"}, 20 * time.Second, 20 * time.Second, 20 * time.Second},
		{"429 with a reset date only", ample, map[string]string{"X-RateLimit-Reset": "2026-11-20T12:00:04Z"}, 4 * time.Second, 4 * time.Second, 4 * time.Second},
		{"429 with a reset since 1970", ample, map[string]string{"X-RateLimit-Reset": "1795176005"}, 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{"429 with a reset in milliseconds since 1970", ample, map[string]string{"X-RateLimit-Reset": "1795176006000"}, 6 * time.Second, 6 * time.Second, 6 * time.Second},
		{"429 with a reset in seconds", ample, map[string]string{"X-RateLimit-Reset": "8"}, 8 * time.Second, 8 * time.Second, 8 * time.Second},
		{"429 that says nothing rests for the window", ample, nil, 10 * time.Second, 10 * time.Second, 10 * time.Second},
		{"429 for ten years is cut", ample, map[string]string{"Retry-After": "315360000"}, 15 * time.Minute, 15 * time.Minute, 15 * time.Minute},
		{"429 for -1 second is raised", ample, map[string]string{"Retry-After": "-1"}, time.Second, time.Second, time.Second},
		{"429 with nonsense rests for the window", ample, map[string]string{"Retry-After": "soon"}, 10 * time.Second, 10 * time.Second, 10 * time.Second},
		{"429 with NaN rests for the window", ample, map[string]string{"Retry-After": "NaN"}, 10 * time.Second, 10 * time.Second, 10 * time.Second},
		{"429 with infinity is cut", ample, map[string]string{"Retry-After": "Inf"}, 15 * time.Minute, 15 * time.Minute, 15 * time.Minute},
		{"a spent class rests alone", 200, map[string]string{"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2026-11-20T12:00:09Z"}, 9 * time.Second, 9 * time.Second, 0},
		{"a nearly spent class stops polling", 200, map[string]string{"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "20", "X-RateLimit-Reset": "2026-11-20T12:00:09Z"}, 0, 9 * time.Second, 0},
		{"one more left does not", 200, map[string]string{"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "21", "X-RateLimit-Reset": "2026-11-20T12:00:09Z"}, 0, 0, 0},
		{"moments are compared with the provider's own clock", ample, map[string]string{"Date": "Fri, 20 Nov 2026 11:00:00 GMT", "X-RateLimit-Reset": "2026-11-20T11:00:03Z"}, 3 * time.Second, 3 * time.Second, 3 * time.Second},
		{"503 with a time rests", 503, map[string]string{"Retry-After": "30"}, 30 * time.Second, 30 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Options{
				Limits: Limits{Reads: Rate{200, 10 * time.Second}, Writes: Rate{50, 10 * time.Second}},
				Now:    func() time.Time { return noon },
			})
			h := http.Header{}
			for k, v := range tt.header {
				h.Set(k, v)
			}
			a.heed(a.reads, tt.status, h)
			reads, _ := a.reads.take(noon, Evidence)
			polls, _ := a.reads.take(noon, Polling)
			writes, _ := a.writes.take(noon, Evidence)
			if reads != tt.reads || polls != tt.polls || writes != tt.writes {
				t.Errorf("waits: evidence %v, polling %v, writes %v; want %v, %v, %v", reads, polls, writes, tt.reads, tt.polls, tt.writes)
			}
		})
	}
}
