package talkover_test

import (
	"strings"
	"testing"
	"time"
)

// kept is the page as a cache answers it that keeps it for a minute.
func (a *account) kept(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pages[path]
	p.header = map[string]string{"Age": "60"}
	a.pages[path] = p
}

// TestAConfirmReadIsAsOldAsItsOldestAnswer: P5, P8.
func TestAConfirmReadIsAsOldAsItsOldestAnswer(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", balancePath, settingsPath, historyPath} {
		a := healthy(t)
		began := time.Now()
		if path != "" {
			began = began.Add(-time.Minute)
			a.kept(path)
		}
		conf, err := a.client(t).Confirm(t.Context(), order())
		if at := conf.Reading.ReadAt; err != nil || at.Before(began) || at.After(began.Add(30*time.Second)) {
			t.Errorf("with %q from a cache: read at %s, %v; want just after %s", path, at, err, began)
		}
	}
}

// TestWhereOnlyThePresentCounts: who the user is now, and that no recharge is
// under way, is asked of Talkover and not of a cache.
func TestWhereOnlyThePresentCounts(t *testing.T) {
	t.Parallel()
	wants := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "cache on the way") {
			t.Errorf("%s: %v, want an error that names the cache", what, err)
		}
	}
	a := healthy(t)
	a.kept(userPath)
	_, err := a.client(t).Confirm(t.Context(), order())
	wants("confirm", err)
	_, err = a.client(t).Sample(t.Context(), target)
	wants("sample", err)
	a.kept(historyPath)
	_, _, err = a.client(t).Recharges(t.Context(), target, noon)
	wants("recharges", err)

	b := healthy(t)
	for _, path := range []string{settingsPath, historyPath} { // that it was never configured may have changed
		b.set(path, page{status: 404, body: `{"success":false,"message":"Not found."}`})
	}
	if _, err := b.client(t).Confirm(t.Context(), order()); err != nil {
		t.Fatal(err)
	}
	b.kept(settingsPath)
	if _, err := b.client(t).Confirm(t.Context(), order()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a refusal out of a cache: %v, want it told", err)
	}
}
