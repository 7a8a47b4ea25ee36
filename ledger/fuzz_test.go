package ledger

import (
	"strings"
	"testing"
	"unicode/utf8"

	"topupd/internal/fuzztest"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzPostgresConfig: whatever database_url says, permits are durable, nobody
// waits for ever, and no error shows the password.
func FuzzPostgresConfig(f *testing.F) {
	for _, text := range []string{
		"postgres://topupd:hunter2-secret@db.internal/topupd?sslmode=verify-full", "postgres://topupd@h1:5432,h2:5433/topupd?target_session_attrs=any",
		"postgres://h/d?synchronous_commit=off&statement_timeout=0&binary_parameters=yes", "postgres://h/d?synchronous_commit=remote_apply&connect_timeout=-1",
		"postgres://topupd:hunter2-secret@h:99999/d", "postgres://topupd:hunter2-secret@h/d?sslmode=perhaps", "postgres://h/d?connect_timeout=hunter2-secret&password=hunter2-secret",
		"postgres://u:hunter2-secret%zz@h/d", "user=topupd:hunter2-secret@", "postgres:///d?host=/var/run/postgresql", "postgres://h/d?options=-c%20synchronous_commit%3Doff", "", "sqlite:x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := postgresConfig(text)
		if err != nil {
			const password = "hunter2-secret"
			if strings.Count(text, password) == 1 && strings.Contains(text, ":"+password+"@") && strings.Contains(err.Error(), password) {
				t.Errorf("the password is in %v", err)
			}
			return
		}
		if durable := cfg.Runtime["synchronous_commit"]; durable != "on" && durable != "remote_apply" {
			t.Errorf("%q commits with synchronous_commit %q", text, durable)
		}
		if cfg.BinaryParameters || cfg.ConnectTimeout <= 0 || cfg.TargetSessionAttrs == "" || cfg.ApplicationName == "" {
			t.Errorf("%q becomes %+v", text, cfg)
		}
	})
}

// FuzzRow: a purchase that the database gives back with any baseline, trail and
// texts is an error by name, or a purchase that is stored again as it was.
func FuzzRow(f *testing.F) {
	f.Add(`["inv_1","cdt_2"]`, `{"begun":true,"levels":[{"balance_micro":1,"read_at":"2026-11-20T12:00:00Z"}]}`, `{"name":"api-credits"}`)
	f.Add(`[]`, ``, ``)
	f.Add(`null`, `null`, `null`)
	f.Add(`{"a":1}`, `[]`, `not JSON`)
	f.Add(`["\ud800"]`, `{"begun":true,"apart":[{"times":-1}]}`, "\x00")
	f.Fuzz(func(t *testing.T, baseline, trail, terms string) {
		row := purchaseRow{ID: "0190b7a4-0000-7000-8000-000000000001", Baseline: baseline, Trail: trail, Terms: terms}
		p, err := row.purchase()
		if err != nil {
			if !strings.Contains(err.Error(), row.ID) {
				t.Errorf("the error names no purchase: %v", err)
			}
			return
		}
		if err := row.move(p); err != nil {
			t.Fatalf("%+v cannot be stored again: %v", p, err)
		}
		again, err := row.purchase()
		if err != nil || again.Trail.Begun != p.Trail.Begun || len(again.Trail.Levels) != len(p.Trail.Levels) {
			t.Errorf("stored again it is %+v, %v; want %+v", again.Trail, err, p.Trail)
		}
	})
}

// FuzzBounded: a text for people fits its column, in bytes, and both databases
// store it.
func FuzzBounded(f *testing.F) {
	f.Add("plain", 10)
	f.Add("\x00\xff", 100)
	f.Add(strings.Repeat("é", 3000), 4000)
	f.Add("…", 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = min(max(limit, len("…")), maxText)
		got := bound(text, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Errorf("bound(%q, %d) = %q, %d bytes", text, limit, got, len(got))
		}
		if utf8.ValidString(text) && !strings.Contains(text, "\x00") && len(text) <= limit && got != text {
			t.Errorf("bound(%q, %d) = %q", text, limit, got)
		}
	})
}
