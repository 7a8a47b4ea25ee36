package doctor

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/topup"
)

func report() Report {
	r := Report{
		Date: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Version: "v1", Host: "host-1", By: "ana",
		Accounts: []Account{{"hyperline", "hyperline://api.hyperline.co/", "0123456789abcdef"}},
	}
	r.Add(Visit{
		Findings:     []Finding{{"hyperline", Check, "token", OK, "accepted | <b>\nnext line", ""}},
		Purchases:    []Purchase{{Experiment: "one purchase", Customer: "cus_1", Credits: "120", Price: "200.00 EUR", Key: "k", At: time.Unix(1, 0).UTC(), Answer: "yes", Invoice: "inv_1"}},
		Capabilities: []topup.Capability{{Provider: "hyperline://api.hyperline.co/", Name: topup.KeysHonoured, Value: "no"}},
	})
	return r
}

func TestAReportIsReadBackWhole(t *testing.T) {
	text, err := report().JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Verify(text)
	if diff := cmp.Diff(report(), got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	sum, err := got.Sum()
	if err != nil || !bytes.Contains(text, []byte(sum)) {
		t.Errorf("the sum %s (%v) is not in %s", sum, err, text)
	}
}

func TestAChangedReportIsNoticed(t *testing.T) {
	text, err := report().JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, changed := range map[string][]byte{
		"another finding": bytes.Replace(text, []byte(`"no"`), []byte(`"yes"`), 1),
		"another name":    bytes.Replace(text, []byte(`"ana"`), []byte(`"bob"`), 1),
		"another sum":     bytes.Replace(text, []byte(`"sha256":"`), []byte(`"sha256":"0`), 1),
		"no report":       []byte("# topupd doctor"),
		"cut":             text[:len(text)/2],
	} {
		if _, err := Verify(changed); err == nil {
			t.Errorf("%s: taken for the report", name)
		}
	}
}

func TestMarkdownKeepsOutsideTextInItsCell(t *testing.T) {
	text, err := report().Markdown()
	if err != nil {
		t.Fatal(err)
	}
	sum, _ := report().Sum()
	for _, want := range []string{
		"Signed off by ana on 2026-11-20T12:00:00Z with topupd v1 on host-1.", sum,
		"| hyperline | check | token | ok | accepted / <b> next line |  |", "| one purchase | cus_1 | 120 | 200.00 EUR |", "| keys_honoured | no |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestWhatNeedsAPerson(t *testing.T) {
	for status, want := range map[Status]bool{OK: false, Unknown: false, Warn: true, Fail: true} {
		if got := Person([]Finding{{Status: OK}, {Status: status}}); got != want {
			t.Errorf("%s: %t, want %t", status, got, want)
		}
	}
}
