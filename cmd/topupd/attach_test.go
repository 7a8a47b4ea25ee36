package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// attachServer answers the one request that attaches a credit product, with the
// body that the provider documents (Hyperline API reference, "Create credit for
// customer", read 2026-11-20), and keeps what it was sent.
func attachServer(t *testing.T) (url string, sent func() string) {
	var body string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/customers/cus_1/credits", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body = string(text)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"product_id":"itm_1","customer_id":"cus_1","name":"API calls","current_balance":0,
			"low_count_threshold":1000,"last_refreshed_at":"2026-11-20T09:00:00.000Z","auto_topup":null}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, func() string { return body }
}

// attachConfig writes a configuration whose provider is at url.
func attachConfig(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"topupd.yml": "mode: dry_run\nproviders:\n  - {name: hyperline, type: hyperline, base_url: \"" + url + "\", token: test_x}\nrule_files: [rules.yml]\n",
		"rules.yml": "rules:\n  - name: all\n    provider: hyperline\n    product: itm_1\n    match: {all: true}\n" +
			"    buy: {amount: {credits: 1, price_excluding_tax: 1.00 EUR}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "topupd.yml")
}

func TestTargetsAddAttachesWithoutCredits(t *testing.T) {
	t.Parallel()
	url, sent := attachServer(t)
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	args := []string{"--config", attachConfig(t, url), "targets", "add", "hyperline", "cus_1", "itm_1", "--name", "API calls", "--threshold", "1000"}
	if code := run(t.Context(), args, getenv, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	if got, want := stdout.String(), "hyperline · cus_1 · API calls: balance 0, threshold 1,000\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if body := sent(); strings.Contains(body, "balance") || !strings.Contains(body, `"low_count_threshold":1000`) {
		t.Errorf("sent %s: it sets the threshold, and never a balance", body)
	}
}
