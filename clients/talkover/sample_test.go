package talkover_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

func TestASampleIsABalanceBetweenTwoLooksAtTheEnvironment(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	s, err := a.client(t).Sample(t.Context(), target)
	if err != nil || s.EnvironmentProblem != "" || s.Reading.Bad != "" || s.Reading.Balance != 41_200_000 ||
		!s.Reading.RefreshedAt.Equal(noon.Add(-time.Minute)) || s.Reading.Account.Currency != "USD" || s.Reading.Native != "" {
		t.Errorf("Sample() = %+v, %v", s, err)
	}
	var paths []string
	for _, r := range a.requests() {
		paths = append(paths, r.method+" "+r.path)
	}
	if diff := cmp.Diff([]string{"GET " + userPath, "GET " + balancePath, "GET " + userPath}, paths); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestASampleThatMayBeAnotherEnvironments(t *testing.T) {
	t.Parallel()
	elsewhere := page{body: `{"id":"user-uuid-1","current_environment_id":"env-uuid-2"}`}
	for _, switched := range []int{1, 2, 3} { // the request before which a person switches
		a := healthy(t)
		n := 0
		a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n == switched {
				a.set(userPath, elsewhere)
			}
			a.serve(w, r)
		})
		s, err := a.client(t).Sample(t.Context(), target)
		if err != nil || !strings.Contains(s.EnvironmentProblem, "env-uuid-2") {
			t.Errorf("switched before request %d: %+v, %v", switched, s, err)
		}
	}
}

func TestASampleThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path string
		page       page
		bad, err   string
	}{
		{name: "a balance that is none", path: balancePath, page: page{body: `{"success":true,"data":{"balance":null,"currency":"USD","auto_topup_enabled":false,"as_of":"2024-01-15T19:30:00Z"}}`}, bad: "balance is null"},
		{name: "no stamp", path: balancePath, page: page{body: `{"success":true,"data":{"balance":41.20,"currency":"USD","auto_topup_enabled":false}}`}, bad: "as_of"},
		{name: "a refusal", path: balancePath, page: page{body: `{"success":false,"message":"Later."}`}, err: "success is false"},
		{name: "no user", path: userPath, page: page{status: 404, body: `{"message":"Not found."}`}, err: "404"},
	} {
		a := healthy(t)
		a.set(tt.path, tt.page)
		s, err := a.client(t).Sample(t.Context(), target)
		switch {
		case tt.err == "" && (err != nil || !strings.Contains(s.Reading.Bad, tt.bad)):
			t.Errorf("%s: %+v, %v; want a bad reading: %s", tt.name, s, err, tt.bad)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %+v, %v; want the error %s", tt.name, s, err, tt.err)
		}
	}
	a := healthy(t)
	other := target
	other.Customer = "env-uuid-2"
	if _, err := a.client(t).Sample(t.Context(), other); err == nil || len(a.requests()) > 0 {
		t.Errorf("another connection's target: %v, %d requests", err, len(a.requests()))
	}
	if _, _, err := a.client(t).Recharges(t.Context(), other, noon); err == nil || len(a.requests()) > 0 {
		t.Errorf("another connection's target: %v, %d requests", err, len(a.requests()))
	}
}

func TestRechargesAreDoneOrPending(t *testing.T) {
	t.Parallel()
	at := func(ago time.Duration) time.Time { return noon.Add(-ago) }
	ids := func(list []topup.Topup) string {
		var all []string
		for _, r := range list {
			all = append(all, r.ID)
		}
		return strings.Join(all, " ")
	}
	for _, tt := range []struct {
		name          string
		page          page
		done, pending string
		err           string
	}{
		{name: "each in its place", done: "a d", pending: "b f", page: page{body: history(1, 1, strings.Join([]string{
			line("a", "succeeded", at(time.Minute)), line("b", "pending", at(2*time.Minute)), line("c", "failed", at(3*time.Minute)),
			line("d", "succeeded", at(time.Hour)), line("e", "succeeded", at(time.Hour+time.Second)),
			line("f", "processing", at(24*time.Hour)), line("g", "pending", at(8*24*time.Hour)),
		}, ","))}},
		{name: "none", page: page{body: history(1, 1, "")}},
		{name: "never configured", page: page{status: 404, body: `{"success":false,"message":"Not found."}`}},
		{name: "a proxy's 404", page: page{status: 404, body: `<html>`}, err: "404"},
		{name: "an amount that is none", page: page{body: history(1, 1, strings.Replace(line("a", "succeeded", at(0)), "100.00", "null", 1))}, err: "recharge a"},
	} {
		a := healthy(t)
		a.set(historyPath, tt.page)
		done, pending, err := a.client(t).Recharges(t.Context(), target, at(time.Hour))
		if ids(done) != tt.done || ids(pending) != tt.pending || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: done %q, pending %q, %v; want %q, %q, %q", tt.name, ids(done), ids(pending), err, tt.done, tt.pending, tt.err)
		}
	}
}
