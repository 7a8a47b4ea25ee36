package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

// documented are the commands that a text tells people to run, each once: lines of
// its code blocks, and what stands in backquotes.
func documented(t interface{ Fatalf(string, ...any) }, path string) [][]string {
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatalf("%v", err)
	}
	var commands [][]string
	seen := map[string]bool{}
	add := func(text string) {
		text, _, _ = strings.Cut(text, "  #")
		text = strings.NewReplacer("[", "", "]", "", "charged|not-charged", "charged", "$(date +%F)", "today").Replace(text)
		var args []string
		for _, word := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(text, -1) {
			args = append(args, strings.Trim(word, `"`))
		}
		if name := strings.Join(args, " "); !seen[name] {
			seen[name] = true
			commands = append(commands, args[1:])
		}
	}
	block := regexp.MustCompile("(?s)```.*?```")
	for _, b := range block.FindAllString(string(text), -1) {
		for _, line := range regexp.MustCompile(`(?m)^topupd .*$`).FindAllString(b, -1) {
			add(line)
		}
	}
	rest := regexp.MustCompile(`\s+`).ReplaceAllString(block.ReplaceAllString(string(text), ""), " ")
	rest = regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`).ReplaceAllString(rest, "$1")
	for _, found := range regexp.MustCompile("`(topupd [^`{]*)`").FindAllStringSubmatch(rest, -1) {
		add(found[1])
	}
	return commands
}

// TestDocumentedCommandsExist: no page and no alert names a command or a flag that
// the program does not have, or leaves out what it needs.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, "../../README.md", "../../deploy/prometheus/alerts.yml") {
		for _, args := range documented(t, strings.TrimPrefix(page, "../../")) {
			n++
			parser, err := kong.New(&cli{}, vocabulary(), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args); err == nil {
				continue
			}
			if names := strings.Join(args, ""); !strings.Contains(names, "-") && len(args) < 3 && isCommand(parser, args) {
				continue // the command is meant, not a line to type
			}
			_, err = parser.Parse(args)
			t.Errorf("%s: topupd %s: %v", filepath.Base(page), strings.Join(args, " "), err)
		}
	}
	if n < 80 {
		t.Errorf("%d commands were found", n)
	}
}

func isCommand(parser *kong.Kong, names []string) bool {
	node := parser.Model.Node
	for _, name := range names {
		found := false
		for _, child := range node.Children {
			if child.Name == name {
				node, found = child, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// documentedCmd is "documented PAGE": it runs every command of a page as it stands
// there, each on a copy of the ledger as it is now, with what the script's world has in the
// place of the page's examples. They end with 0, or as elsewhere says.
func documentedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: documented PAGE")
	}
	var (
		backups  = ts.MkAbs("backup")
		database = ts.MkAbs("topupd.db")
		kept     = ts.MkAbs("kept.db")
		real     = map[string]string{
			"CUSTOMER": "cus_Typ0px2W0aiEtl", "ACCOUNT": "cus_Typ0px2W0aiEtl", "P": "hyperline", "R": "api-credits", "RULE": "api-credits", "NEW": "rules/api-credits.yml",
			"IDS": ts.Getenv("difference"), "d-5b1f0c9e7a24": ts.Getenv("difference"), "3f2a91bc": ts.Getenv("pause"),
		}
	)
	ts.Check(ts.Exec("topupd", "backup", kept))
	ran := 0
	for _, args := range documented(ts, args[0]) {
		line := strings.Join(args, " ")
		if len(args) == 0 || regexp.MustCompile(`^(demo|run|emulator|migrate|reload|explain|pause|resume|purchases show)$`).MatchString(line) {
			continue // no line to type, or tested as a process in e2e
		}
		ts.Check(os.RemoveAll(backups))
		ts.Check(os.MkdirAll(backups, 0o700))
		for _, other := range []string{"-wal", "-shm"} {
			ts.Check(os.RemoveAll(database + other))
		}
		ts.Check(os.WriteFile(database, []byte(ts.ReadFile(kept)), 0o600))
		for i, word := range args {
			switch {
			case real[word] != "":
				args[i] = real[word]
			case word == "ID":
				args[i] = map[string]string{"purchases": "0000beef", "resume": real["3f2a91bc"], "verify": real["IDS"]}[args[0]]
				if args[1] == "correct" {
					args[i] = "0000cafe"
				}
			case word == "charged" && args[1] == "correct":
				args[i] = "not-charged" // it is the other one by now
			case strings.HasPrefix(word, "/backup/"):
				args[i] = filepath.Join(backups, strings.TrimPrefix(word, "/backup/"))
				if args[0] == "restore" {
					ts.Check(ts.Exec("topupd", "backup", args[i]))
				}
			}
		}
		ran++
		err := ts.Exec("topupd", args...)
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else if err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
		want := elsewhere[line]
		if args[0] == "verify" && !slices.Contains(args, "ack") {
			want = exitPerson // there is a difference
		}
		if code != want {
			ts.Logf("topupd %s: exit %d, want %d: %s", line, code, want, ts.ReadFile("stderr"))
			ts.Setenv("wrong", ts.Getenv("wrong")+"\n"+line)
		}
	}
	if wrong := ts.Getenv("wrong"); wrong != "" || ran < 30 {
		ts.Fatalf("%d commands ran; wrong:%s", ran, wrong)
	}
}

// elsewhere are the exit codes of the commands that need what this world does not
// have.
var elsewhere = map[string]int{
	"purchases resolve ID charged --note inv_… in the dashboard --reference inv_…": exitFailed, // no such invoice; resolve-books.txtar has one
}
