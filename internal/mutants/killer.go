package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The kinds of killers. One of each kind is enough for a mutant.
const (
	byTests      = "tests"
	bySimulation = "simulation" // its last words are the story of a seed
)

// killer is one way to notice that a rule is gone: tests of one package.
type killer struct {
	Name    string
	Package string // folder below the module
	Kind    string
	Run     string   // -test.run
	Args    []string // more flags of the test program
	Timeout time.Duration
}

// A run without a mutant tells how long a killer takes; with one it has four
// times as long, and a minute at least, before it counts as hanging.
const (
	firstTimeout = 20 * time.Minute
	leastTimeout = time.Minute
	patience     = 4
)

// killers in the order in which they are asked; the cheap ones first. The
// simulation is asked where the module has it.
func killers(root string) []killer {
	tests := func(pkg string) killer {
		return killer{Name: pkg, Package: pkg, Kind: byTests, Run: ".", Timeout: firstTimeout}
	}
	ledger := func(name, run string) killer {
		k := tests("ledger")
		k.Name, k.Run = name, run
		return k
	}
	list := []killer{
		tests("topup"), tests("rules"), tests("scheduler"), tests("clients"),
		tests("clients/hyperline"), tests("clients/talkover"),
		ledger("ledger, SQLite", "^TestContract$/^sqlite$"),
		ledger("ledger, schema", "^TestTheSchemaRefuses$/^sqlite$"),
		ledger("ledger, lineage", "^TestADatabaseThatMovedGivesNoRights$/.*/^sqlite$"),
		ledger("ledger, file", "^Test(ASecondName|AFileThat|NothingIsBoughtBefore|ADamagedLedger|ARestoreForgets|AnUnknownFilesystem)"),
		ledger("ledger, PostgreSQL", "."),
	}
	if histories, _ := filepath.Glob(filepath.Join(root, "internal", "sim", "*_test.go")); len(histories) > 0 {
		list = append(list, killer{Name: "simulation", Package: "internal/sim", Kind: bySimulation, Run: "^TestHistories$", Timeout: firstTimeout})
	}
	return list
}

// suite is a killer's test program, built with the overlay.
type suite struct {
	killer
	folder, program string
}

// build makes the test programs. Several killers may share one.
func build(ctx context.Context, root, folder, overlay string, list []killer, log io.Writer) ([]suite, error) {
	built := map[string]string{}
	var suites []suite
	for _, k := range list {
		program, ok := built[k.Package]
		if !ok {
			program = filepath.Join(folder, strings.ReplaceAll(k.Package, "/", "_")+".test")
			built[k.Package] = program
			fmt.Fprintf(log, "building the tests of %s\n", k.Package)
			if err := goTool(ctx, root, "test", "-c", "-overlay="+overlay, "-o", program, "./"+k.Package); err != nil {
				return nil, err
			}
		}
		s := suite{k, filepath.Join(root, k.Package), program}
		// What fuzzing and rapid find, they write into the source.
		s.Args = append(s.Args, "-test.skip=^TestFuzz$")
		if s.usesRapid() {
			s.Args = append(s.Args, "-rapid.nofailfile")
		}
		suites = append(suites, s)
	}
	return suites, nil
}

// usesRapid tells whether the tests know the flags of rapid.
func (s suite) usesRapid() bool {
	files, _ := filepath.Glob(filepath.Join(s.folder, "*_test.go"))
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`))
	})
}

// goTool runs the go command in the module.
func goTool(ctx context.Context, root string, args ...string) error {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = root
	c.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// verdict is what one killer found out about one mutant.
type verdict struct {
	Killed   bool
	Wordless bool   // a simulation that failed without a story: it broke down, or took too long
	By       string // what noticed it: "ledger, SQLite: TestContract/sqlite/planning"
	Output   string
	Took     time.Duration
}

// grace is what a test program has to end by itself after its own timeout.
const grace = 5 * time.Second

// try runs the killer against a mutant; none when mutant is "". The program
// runs in a process group of its own, which is ended with it whatever happens: a
// mutant may loop for ever, and tests start programs.
func (s suite) try(ctx context.Context, mutant string) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout+min(grace, s.Timeout))
	defer cancel()
	args := append([]string{"-test.failfast", "-test.count=1", "-test.run=" + s.Run, "-test.timeout=" + s.Timeout.String()}, s.Args...)
	c := exec.CommandContext(ctx, s.program, args...)
	c.Dir = s.folder
	c.Env = append(os.Environ(), "GOMAXPROCS=1", "TOPUPD_MUTANT="+mutant)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = grace
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	began := time.Now()
	err := c.Run()
	v := verdict{Output: out.String(), Took: time.Since(began)}
	if c.Process != nil {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // what the tests left behind
	}
	if err == nil {
		return v, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) && ctx.Err() == nil {
		return v, fmt.Errorf("running the tests of %s: %w", s.Package, err)
	}
	v.Killed, v.By = true, s.Name+": "+culprit(v.Output)
	if s.Kind == bySimulation {
		told := story.FindString(v.Output)
		v.By, v.Wordless = s.Name+" "+told, told == ""
	}
	return v, nil
}

var (
	failedTest = regexp.MustCompile(`(?m)^( *)--- FAIL: (\S+)`)
	hungTest   = regexp.MustCompile(`(?m)^\s*running tests:\n\s+(\S+)`)
	story      = regexp.MustCompile(`\bseed \d+: .*`)
)

// culprit finds what the output of a failed test program complains about: the
// first failed test and its innermost part, else the test that hung.
func culprit(output string) string {
	failed := failedTest.FindAllStringSubmatch(output, -1)
	if len(failed) > 0 {
		deepest := slices.MaxFunc(failed, func(a, b []string) int { return len(a[1]) - len(b[1]) })
		return deepest[2]
	}
	if m := hungTest.FindStringSubmatch(output); m != nil {
		return m[1] + " (did not end)"
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(output), "\n"); first != "" {
		return first
	}
	return "it failed without a word"
}
