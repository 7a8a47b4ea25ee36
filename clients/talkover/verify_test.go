package talkover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"topupd/topup"
)

func TestAllRechargesReachBackAsFarAsAsked(t *testing.T) {
	t.Parallel()
	at := func(days int) time.Time { return noon.AddDate(0, 0, -days) }
	for _, tt := range []struct {
		name  string
		pages []string
		since time.Time
		want  string
		reads int
	}{
		{"the month, far beyond what a purchase asks for", []string{
			line("a", "succeeded", at(1)), line("b", "failed", at(8)), line("c", "succeeded", at(20)), line("d", "succeeded", at(40)), line("e", "succeeded", at(50)),
		}, at(30), "a c", 4},
		{"what is under way is not done", []string{line("a", "pending", at(1))}, at(30), "", 1},
		{"a list that begins with the oldest", []string{
			line("d", "succeeded", at(40)) + "," + line("c", "succeeded", at(20)), line("b", "succeeded", at(8)) + "," + line("a", "succeeded", at(1)),
		}, at(30), "c b a", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := healthy(t)
			for i, lines := range tt.pages {
				a.set(fmt.Sprintf("%s?page=%d&per_page=100", historyPath, i+1), page{body: history(i+1, len(tt.pages), lines)})
			}
			list, err := a.client(t).AllRecharges(t.Context(), target, tt.since)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range list {
				got = append(got, r.ID)
			}
			want := strings.Fields(tt.want)
			if strings.Join(got, " ") != strings.Join(want, " ") || len(a.requests()) != tt.reads {
				t.Errorf("recharges %q in %d requests, want %q in %d", got, len(a.requests()), want, tt.reads)
			}
		})
	}
}

func TestAllRechargesCanFailOrBeNone(t *testing.T) {
	t.Parallel()
	a := healthy(t)
	a.set(historyPath, page{status: 404, body: `{"success":false,"message":"Not found."}`})
	if list, err := a.client(t).AllRecharges(t.Context(), target, noon); len(list) != 0 || err != nil {
		t.Errorf("never configured: %v, %v; want none", list, err)
	}
	a.set(historyPath, page{body: history(1, 1, strings.Replace(line("a", "succeeded", noon), "100.00", "null", 1))})
	if _, err := a.client(t).AllRecharges(t.Context(), target, noon); err == nil || !strings.Contains(err.Error(), "recharge a") {
		t.Errorf("an amount that is none: %v", err)
	}
	old := strings.Replace(line("b", "succeeded", noon.Add(-time.Second)), `"id"`, `"x"`, 1)
	a.set(historyPath, page{body: history(1, 1, line("a", "succeeded", noon)+","+old)})
	if list, err := a.client(t).AllRecharges(t.Context(), target, noon); len(list) != 1 || err != nil {
		t.Errorf("an older line without an id: %v, %v; want the other", list, err)
	}
	if _, err := a.client(t).AllRecharges(t.Context(), target, noon.Add(-time.Second)); err == nil || !strings.Contains(err.Error(), "line 1: id is missing") {
		t.Errorf("a line without an id: %v", err)
	}
	before := len(a.requests())
	other := topup.Target{Provider: target.Provider, Customer: "env-uuid-2", Product: target.Product}
	if _, err := a.client(t).AllRecharges(t.Context(), other, noon); err == nil || len(a.requests()) != before {
		t.Errorf("another connection's target: %v", err)
	}
}
