package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"topupd/clients/emulator"
	"topupd/topup"
)

// TestTheDoctorsPageIsTrue: flags, profiles and findings that docs/doctor.md
// names are those of the program.
func TestTheDoctorsPageIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	var c cli
	parser, err := kong.New(&c, vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{"help": true, "profile": true} // of topupd emulator
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			if command.Name == "doctor" {
				flags[flag.Name] = true
			}
		}
	}
	for _, found := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(page, -1) {
		if !flags[found[1]] {
			t.Errorf("the page names --%s, which topupd doctor does not have", found[1])
		}
	}
	for _, name := range topup.CapabilityNames() {
		if !strings.Contains(page, "`"+string(name)+"`") {
			t.Errorf("the page does not say what becomes of %s", name)
		}
	}
	_, rehearsing, _ := strings.Cut(page, "## Rehearsing it")
	for _, found := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(rehearsing, -1) {
		if profiles[found[1]] == nil {
			t.Errorf("the page names the profile %s, which the emulator does not have", found[1])
		}
	}
}

// TestEveryProfileChangesTheEmulator: each name on the command line plays one
// thing, and no two the same.
func TestEveryProfileChangesTheEmulator(t *testing.T) {
	t.Parallel()
	played := map[string]string{}
	for name, choose := range profiles {
		var o emulator.Options
		choose(&o)
		diff := cmp.Diff([2]any{emulator.HyperlineProfile{}, emulator.TalkoverProfile{}}, [2]any{o.Hyperline.Profile, o.Talkover.Profile},
			cmp.Comparer(func(a, b emulator.TalkoverProfile) bool { return a == b }))
		if diff == "" {
			t.Errorf("profile %s changes nothing", name)
		}
		if other := played[diff]; other != "" {
			t.Errorf("profiles %s and %s are the same", name, other)
		}
		played[diff] = name
	}
}
