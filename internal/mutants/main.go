package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
)

// options are what the command line says.
type options struct {
	all     bool // ask every killer, not one of each kind
	verbose bool
	mutants *regexp.Regexp
	killers *regexp.Regexp
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	survived, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(2)
	case survived > 0:
		stop()
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("mutants", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.BoolVar(&o.all, "all", false, "ask every killer about every mutant, not only until the first of each kind")
	set.BoolVar(&o.verbose, "v", false, "show what the killers print")
	mutants := set.String("run", "", "the mutants to make, a regular expression")
	killers := set.String("killers", "", "the killers to ask, a regular expression")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	var errMutants, errKillers error
	o.mutants, errMutants = regexp.Compile(*mutants)
	o.killers, errKillers = regexp.Compile(*killers)
	return o, errors.Join(errMutants, errKillers)
}

// run makes the mutants and lets the killers at them. It returns how many
// survived; an error means that nothing is known.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (survived int, err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return 0, err
	}
	root, err := module()
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "topupd-mutants-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // a temporary folder
	file, err := overlay(root, folder, table())
	if err != nil {
		return 0, err
	}
	chosen := slices.DeleteFunc(killers(root), func(k killer) bool { return !o.killers.MatchString(k.Name) })
	suites, err := build(ctx, root, folder, file, chosen, stderr)
	if err != nil {
		return 0, err
	}
	if err := healthy(ctx, suites, stderr); err != nil {
		return 0, err
	}
	mutants := slices.DeleteFunc(table(), func(m mutant) bool { return !o.mutants.MatchString(m.Name) })
	results, err := hunt(ctx, o, mutants, suites, stderr)
	if err != nil {
		return 0, err
	}
	return report(stdout, results), nil
}

// module is the folder of go.mod, here or above.
func module() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod here or above: run it inside the module")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// healthy makes sure that the mutated build, with no mutant on, is the product,
// and learns how long it takes to find that out.
func healthy(ctx context.Context, suites []suite, log io.Writer) error {
	for i, s := range suites {
		v, err := s.try(ctx, "")
		if err != nil {
			return err
		}
		if v.Killed {
			return fmt.Errorf("%s fails without any mutant, so it can say nothing about them: %s\n%s", s.Name, v.By, v.Output)
		}
		suites[i].Timeout = max(leastTimeout, patience*v.Took)
		fmt.Fprintf(log, "no mutant: %s passes (%.1f s)\n", s.Name, v.Took.Seconds())
	}
	return nil
}

// hunt asks the killers about every mutant.
func hunt(ctx context.Context, o options, mutants []mutant, suites []suite, log io.Writer) ([]result, error) {
	var results []result
	for i, m := range mutants {
		r := result{mutant: m}
		done := map[string]bool{}
		for _, s := range nearest(suites, m) {
			if done[s.Kind] && !o.all {
				continue
			}
			v, err := s.try(ctx, m.Name)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			r.took += v.Took
			if v.Wordless {
				fmt.Fprintf(log, "%s: the %s failed without telling which promise was broken, which counts for nothing\n", m.Name, s.Name)
			} else if v.Killed {
				done[s.Kind] = true
				r.killedBy = append(r.killedBy, v.By)
			}
			if o.verbose {
				fmt.Fprintln(log, v.Output)
			}
		}
		fmt.Fprintf(log, "%3d/%d  %-28s %5.1f s  %s\n", i+1, len(mutants), m.Name, r.took.Seconds(), r.outcome())
		results = append(results, r)
	}
	return results, nil
}

// nearest puts the killers of the packages that a mutant changes first: they
// are the likeliest to notice.
func nearest(suites []suite, m mutant) []suite {
	near := func(s suite) int {
		for _, e := range m.Edits {
			if filepath.Dir(e.File) == s.Package {
				return 0
			}
		}
		if len(m.Schema) > 0 && s.Package == "ledger" {
			return 0
		}
		return 1
	}
	sorted := slices.Clone(suites)
	slices.SortStableFunc(sorted, func(a, b suite) int { return near(a) - near(b) })
	return sorted
}
