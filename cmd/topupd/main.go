package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"topupd/internal/screen"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if err := os.Stdout.Close(); err != nil && code == exitDone { // some disks tell only now that they are full
		fmt.Fprintln(os.Stderr, "topupd: the output could not be written:", err)
		code = exitFailed
	}
	stop()
	os.Exit(code)
}

// The exit codes, for scripts and units.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // a mistake in the flags or the configuration
	exitPerson = 3 // done, but something needs a person

	exitInterrupted = 130 // Ctrl-C ended a command that was not done; as shells say it
)

// exitError ends the program with a code other than exitFailed. Without err
// everything has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is a mistake of the person who typed the command.
func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// cli is the command line. What each command needs is in its own file.
type cli struct {
	Config      string      `help:"Configuration file (default: $TOPUPD_CONFIG, else ./topupd.yml, else /etc/topupd/topupd.yml)." placeholder:"FILE"`
	ShowVersion versionFlag `name:"version" help:"Print the version."`

	Demo      demoCmd      `cmd:"" help:"Show everything on this machine: emulated providers, nothing to install."`
	Run       runCmd       `cmd:"" help:"Watch the balances and buy: the daemon."`
	Reload    reloadCmd    `cmd:"" help:"Ask the running daemon to read its rules again, and say whether it did."`
	Check     checkCmd     `cmd:"" help:"Validate the configuration and the rules."`
	Doctor    doctorCmd    `cmd:"" help:"Look at the providers' live APIs: what works, and how they behave."`
	Plan      planCmd      `cmd:"" help:"Read the balances and say who would be charged now, and why not. Buys nothing."`
	Targets   targetsCmd   `cmd:"" help:"List balances and thresholds; attach a credit product to a customer."`
	Explain   explainCmd   `cmd:"" help:"Say why a customer was or was not charged."`
	Purchases purchasesCmd `cmd:"" help:"List purchases, show the evidence of one, decide one that needs review."`
	Verify    verifyCmd    `cmd:"" help:"Compare the purchases with the providers' books and list every difference."`
	Pause     pauseCmd     `cmd:"" help:"Stop buying: everywhere, at a provider, by a rule or for a customer."`
	Resume    resumeCmd    `cmd:"" help:"Take a pause back; lift a suspension, a stop or a hold."`
	Emulator  emulatorCmd  `cmd:"" help:"Serve both billing providers emulated, with faults on demand."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the ledger's schema up to date and exit."`
	Backup    backupCmd    `cmd:"" help:"Copy the ledger into one file while the daemon runs."`
	Restore   restoreCmd   `cmd:"" help:"Put a copy in the place of the ledger, paused."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

const description = `topupd watches prepaid credit balances at billing providers and buys credits, exactly once, when one falls below its threshold.

First steps: topupd demo, then topupd check, topupd plan and topupd run.`

// run is main without the process around it. Errors are printed once.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	a := newApp(ctx, getenv, stdout, stderr)
	var c cli
	ended := false // kong printed what was asked for, such as --help
	parser, err := kong.New(&c,
		kong.Name("topupd"), kong.Description(description),
		kong.Writers(a.Out, stderr),
		kong.Exit(func(int) { ended = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: screen.MaxWidth}),
		kong.Bind(a), vocabulary(),
	)
	if err != nil { // a mistake in the structs above; every test would see it
		fmt.Fprintln(stderr, "topupd:", err)
		return exitFailed
	}
	if len(args) > 0 && args[0] == "help" {
		args = append(args[1:], "--help")
	}
	if len(args) == 0 { // a unit without a command must not look like a success
		_, _ = parser.Parse([]string{"--help"})
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	switch {
	case ended:
		err = nil
	case err == nil:
		if err = unfilled(parsed); err == nil {
			a.chooseConfig(c.Config)
			err = parsed.Run()
		}
	}
	return a.conclude(err)
}

// unfilled refuses a flag or an argument that was written with nothing in it, as a
// script does whose variable is not set: resume --customer "" must not mean
// everybody.
func unfilled(parsed *kong.Context) error {
	for _, part := range parsed.Path {
		var name string
		var value *kong.Value
		switch {
		case part.Flag != nil:
			name, value = "--"+part.Flag.Name, part.Flag.Value
		case part.Positional != nil:
			name, value = part.Positional.Summary(), part.Positional
		default:
			continue
		}
		texts := []string{"?"}
		switch v := value.Target.Interface().(type) {
		case string:
			texts = []string{v}
		case []string:
			texts = v
		}
		blank := func(text string) bool { return strings.TrimSpace(text) == "" }
		if len(texts) > 0 && !slices.ContainsFunc(texts, blank) {
			continue
		}
		if value.Required {
			return usage("%s is empty: write something there", name)
		}
		return usage("%s is empty: write something there, or leave it out", name)
	}
	return nil
}

// conclude is report, and a failure when output is missing: whoever reads a part
// of a list must not take it for the whole.
func (a *app) conclude(err error) int {
	lost := a.Lost()
	if err != nil && errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		return exitInterrupted // whoever pressed Ctrl-C knows it
	}
	if lost == nil {
		return report(a.Err, err)
	}
	if err != nil && !errors.Is(err, lost) {
		report(a.Err, err)
	}
	fmt.Fprintf(a.Err, "topupd: the output could not be written: %v; what the command did stands\n", lost)
	return exitFailed
}

// report prints an error and turns it into the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if mistake, ok := errors.AsType[*kong.ParseError](err); ok {
		fmt.Fprintf(stderr, "topupd: %s\nsee %s --help\n", err, commandOf(mistake))
		return exitUsage
	}
	code := exitFailed
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	if list, ok := errors.AsType[listed](err); ok { // each line says where it is
		fmt.Fprintln(stderr, list)
		return code
	}
	fmt.Fprintln(stderr, "topupd:", err)
	return code
}

// commandOf names the command that was being typed.
func commandOf(mistake *kong.ParseError) string {
	if mistake.Context != nil {
		if node := mistake.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "topupd"
}
