// Package fuzztest runs a package's fuzz targets for a moment among its tests.
package fuzztest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Briefly runs every fuzz target of the calling package on its corpus and on a
// thousand new inputs made from it, each target as a subtest. What it finds is
// printed and stands in testdata/fuzz of the package, which go test runs from
// then on. It is the test program once more, which knows nothing of coverage:
// `make fuzz` searches deeper.
func Briefly(t *testing.T) {
	t.Helper()
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listed, err := exec.CommandContext(t.Context(), program, "-test.list=^Fuzz").Output()
	if err != nil {
		t.Fatalf("listing the targets: %v", err)
	}
	targets := strings.Fields(string(listed))
	if len(targets) == 0 {
		t.Fatal("this package has no fuzz target")
	}
	for _, target := range targets {
		t.Run(target, func(t *testing.T) {
			if text, err := run(t.Context(), program, ".", t.TempDir(), target); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

const (
	inputs = "1000x"
	// patience is for a target that hangs; a thousand inputs take seconds.
	patience = 5 * time.Minute
)

// run fuzzes one target in dir, the folder of its package, and returns what was
// printed, with every input that was found.
func run(ctx context.Context, program, dir, cache, target string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.fuzz=^"+target+"$", "-test.fuzztime="+inputs,
		"-test.fuzzminimizetime=1s", "-test.parallel=1", "-test.fuzzcachedir="+cache)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOMAXPROCS=1")
	cmd.WaitDelay = time.Second // its worker may outlive it
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err == nil {
		return text, nil
	}
	for _, name := range regexp.MustCompile(`testdata/fuzz/\S+`).FindAllString(text, -1) {
		if input, err := os.ReadFile(filepath.Join(dir, name)); err == nil { // the line itself names the file
			text += fmt.Sprintf("%s:\n%s\n", name, input)
		}
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no end in %s: %w", patience, err)
	}
	return text, fmt.Errorf("fuzzing %s: %w", target, err)
}
