package main

import (
	"bytes"
	"errors"
	"testing"

	"topupd/config"
	"topupd/internal/daemon"
	"topupd/internal/verify"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	at := &daemon.Connection{Provider: config.Provider{Name: "hyperline"}}
	found := verify.Report{Findings: []verify.Finding{{Kind: verify.Reversed}}}
	for _, tt := range []struct {
		name    string
		results []compared
		code    int
	}{
		{"no difference", []compared{{from: at}}, exitDone},
		{"a difference", []compared{{from: at}, {from: at, report: found}}, exitPerson},
		{"only acknowledged ones", []compared{{from: at, known: []knownFinding{{Finding: verify.Finding{Kind: verify.Reversed}}}}}, exitDone},
		{"not everything read", []compared{{from: at, report: verify.Report{Incomplete: []string{"a bill"}}}}, exitFailed},
		{"a difference and not everything read", []compared{{from: at, report: found}, {from: at, err: errors.New("down")}}, exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if code := report(&bytes.Buffer{}, verdict(tt.results)); code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
		})
	}
}
