package main

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"topupd/config"
	"topupd/internal/daemon"
	"topupd/internal/screen"
	"topupd/ledger"
	"topupd/topup"
)

// TestWhichPausesAreLifted: nobody ends another's pause without having seen it.
func TestWhichPausesAreLifted(t *testing.T) {
	t.Parallel()
	rule := topup.Pause{Scope: topup.PauseRule, Subject: "voice"}
	pauses := []topup.Pause{
		{ID: "aaaa1111", Scope: topup.PauseRule, Subject: "voice", By: "ana", Reason: "wrong pack"},
		{ID: "bbbb2222", Scope: topup.PauseRule, Subject: "voice", By: ledger.Itself, Cause: topup.StopPrice, Reason: "billed 220"},
	}
	for _, tt := range []struct {
		name, typed string
		asks        bool
		want        []string // nil = refused
	}{
		{"one", "bbbb2222\n", true, []string{"bbbb2222"}},
		{"both by name", "bbbb2222  aaaa1111\n", true, []string{"bbbb2222", "aaaa1111"}},
		{"all that were shown", "all\n", true, []string{"aaaa1111", "bbbb2222"}},
		{"the last line without its end", "aaaa1111", true, []string{"aaaa1111"}},
		{"an empty line", "\n", true, nil},
		{"nothing", "", true, nil},
		{"nobody to ask", "all\n", false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, asked bytes.Buffer
			a := &app{Screen: screen.New(os.Getenv, &out, &asked, time.Now), stdin: strings.NewReader(tt.typed), asks: tt.asks, now: time.Now}
			got, err := a.whichPauses(&loaded{&daemon.Setup{Config: &config.Config{}}}, rule, pauses)
			if exit, refused := errors.AsType[*exitError](err); refused != (tt.want == nil) || refused && exit.code != exitUsage {
				t.Errorf("err = %v, want refused %t", err, tt.want == nil)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("ids = %v, want %v", got, tt.want)
			}
			for _, word := range []string{"aaaa1111", "ana", "wrong pack", "bbbb2222", "topupd", "billed 220"} {
				if !strings.Contains(out.String(), word) {
					t.Errorf("the list lacks %q:\n%s", word, out.String())
				}
			}
			if strings.Contains(asked.String(), "Which") != tt.asks {
				t.Errorf("asked %q", asked.String())
			}
		})
	}
}
