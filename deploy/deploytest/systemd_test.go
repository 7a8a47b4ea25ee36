package deploytest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// unit puts the unit and its drop-ins into a folder of their own, with programs
// that exist (not every machine that tests has kill), and returns the unit's path
// there.
func unit(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(File("systemd"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "topupd.service")
	text := strings.NewReplacer("/usr/local/bin/topupd", "/bin/true", "/bin/kill", "/bin/true").Replace(string(read(t, path)))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// systemd-analyze exits 0 on keys that it does not know, and only says so.
func TestSystemdUnderstandsTheUnit(t *testing.T) {
	t.Parallel()
	analyze := program(t, "systemd-analyze", "systemd")
	if out := output(t, "", analyze, "verify", "--man=no", "--recursive-errors=no", unit(t)); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}

func TestTheUnitIsHardened(t *testing.T) {
	t.Parallel()
	// 10 is everything allowed; 1.2 is what the network and the host's files leave.
	analyze := program(t, "systemd-analyze", "systemd")
	output(t, "", analyze, "security", "--offline=true", "--threshold=15", "--no-pager", unit(t))
}

func TestTheUnitKeepsItsWord(t *testing.T) {
	t.Parallel()
	text := string(read(t, File("systemd", "topupd.service")))
	for _, want := range []string{
		"Type=notify", "DynamicUser=yes", "StateDirectory=topupd", "Restart=on-failure", "RestartPreventExitStatus=2",
		"Environment=GOTRACEBACK=crash", "LimitCORE=0", "StartLimitIntervalSec=0", "ProtectSystem=strict",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the unit lacks %s", want)
		}
	}
	// The first that fails ends a reload; a signal alone would succeed whatever the rules say.
	reload := regexp.MustCompile(`(?m)^ExecReload=.*$`).FindAllString(text, -1)
	if want := []string{
		"ExecReload=/usr/local/bin/topupd check --config /etc/topupd/topupd.yml",
		"ExecReload=/usr/local/bin/topupd reload --config /etc/topupd/topupd.yml",
	}; !slices.Equal(reload, want) {
		t.Errorf("a reload runs %q, want %q", reload, want)
	}
	if got := seconds(t, text, "TimeoutStopSec"); got < purchaseTimeout+30 {
		t.Errorf("TimeoutStopSec is %d, want at least purchase_timeout (%d) and 30 more", got, purchaseTimeout)
	}
	if got := seconds(t, text, "WatchdogSec"); got < 10 || got > 60 {
		t.Errorf("WatchdogSec is %d, want 10 to 60", got)
	}
	if got := seconds(t, text, "TimeoutStartSec"); got < 90 {
		t.Errorf("TimeoutStartSec is %d: a database that is down at start is tried for 60 s", got)
	}
}

// seconds returns the value of a key of the unit that holds plain seconds.
func seconds(t *testing.T, unit, key string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + key + `=(\d+)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatalf("the unit has no %s in seconds", key)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCredentialsAreTheTokensOfTheExample(t *testing.T) {
	t.Parallel()
	example := string(read(t, File("example", "topupd.yml")))
	dropIn := string(read(t, File("systemd", "topupd.service.d", "credentials.conf")))
	files := regexp.MustCompile(`(?m)^\s+(?:\w+_)?token_file: (\S+)`).FindAllStringSubmatch(example, -1)
	if len(files) != 3 {
		t.Fatalf("found %d token files in the example, want 3", len(files))
	}
	for _, f := range files {
		if want := "LoadCredential=" + f[1] + ":/etc/topupd/" + f[1] + "\n"; !strings.Contains(dropIn, want) {
			t.Errorf("credentials.conf lacks %s", want)
		}
	}
}

func TestTheImageHoldsTheProgramAndNoUser(t *testing.T) {
	t.Parallel()
	text := string(read(t, File("Dockerfile")))
	_, last, ok := strings.Cut(text, "\nFROM scratch\n")
	if !ok || strings.Contains(last, "\nFROM ") {
		t.Fatal("the last stage does not start FROM scratch")
	}
	for _, want := range []string{
		"USER 65532:65532", // the user of the Deployment
		`ENTRYPOINT ["/topupd"]`,
		"/etc/ssl/certs/ca-certificates.crt",
	} {
		if !strings.Contains(last, want) {
			t.Errorf("the image lacks %s", want)
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(read(t, File("..", "go.mod"))))
	if !strings.HasPrefix(text[strings.Index(text, "FROM "):], "FROM golang:"+version[1]+" ") {
		t.Errorf("the image is not built with Go %s, as go.mod says", version[1])
	}
}
