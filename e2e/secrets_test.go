package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"topupd/clients/emulator"
)

// TestNoSecretIsEverWritten: P17. A daemon buys, is refused its token, and
// stops; neither its log, its metrics, its database nor a command shows a token.
func TestNoSecretIsEverWritten(t *testing.T) {
	t.Parallel()
	o := oneLow()
	o.Hyperline.Token = "test_verysecret_hyperline_0123"
	o.Talkover.Environments = 1
	o.Talkover.UserToken = func(int) string { return "verysecret_user_0123" }
	o.Talkover.EnvironmentToken = func(int) string { return "verysecret_environment_0123" }
	p := newPlace(t, sqliteURL(t), o, settings{Voices: 1})
	conf := strings.NewReplacer("test_emulator", o.Hyperline.Token, "user_emulator_1", "verysecret_user_0123",
		"talq_emulator_1", "verysecret_environment_0123").Replace(p.yaml())
	p.write("topupd.yml", conf)
	d := p.started()
	until(t, 60*time.Second, "a credited purchase", func() bool {
		for _, b := range p.purchases() {
			if b.State == "credited" {
				return true
			}
		}
		return false
	})
	p.emu.SetFaults(emulator.Faults{Outage: 1}) // errors are where secrets leak
	until(t, 30*time.Second, "a failed poll", func() bool { return d.has("poll", map[string]any{"level": "WARN"}) })
	resp, err := http.Get("http://" + d.field("started", "listen") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	scraped, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := p.run("purchases", "list", "-o", "json")
	d.stop()

	places := map[string][]byte{"the log": []byte(d.tail(1 << 20)), "the metrics": scraped, "purchases list": []byte(list)}
	files, err := filepath.Glob(strings.TrimPrefix(p.db, "sqlite:") + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no database files: %v", err)
	}
	for _, name := range files {
		if places[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range places {
		if len(text) == 0 && !strings.HasSuffix(name, ".lock") && !strings.HasSuffix(name, "-wal") {
			t.Errorf("%s is empty: nothing was looked at", name)
		}
		if bytes.Contains(text, []byte("verysecret")) {
			t.Errorf("%s shows a token", name)
		}
	}
}
