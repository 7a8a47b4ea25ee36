package config

import (
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topupd/config/yamlfile"
	"topupd/topup"
)

var update = flag.Bool("update", false, "write the .want files and the JSON Schema")

// environment is what ${NAME} finds in these tests.
func environment(name string) string {
	return map[string]string{
		"HYPERLINE_TOKEN":   "prod_from-the-environment",
		"USER_TOKEN":        "user-from-the-environment",
		"ENVIRONMENT_TOKEN": "env-from-the-environment",
		"WITH_SPACE":        "hidden secret",
		"HOME":              "/home/operator",
	}[name]
}

// secrets must never be seen in a message.
var secrets = map[string]string{
	"hyperline.token":      "prod_production-key",
	"hyperline-test.token": "test_sandbox-key",
	"talkover-user.token":  "7|user-token",
	"talkover-env.token":   "talq_environment-token",
	"db.url":               "postgres://topupd:hunter2@db.internal/topupd",
	"empty.token":          "\n",
}

// install puts a configuration, its secrets and one rule file into a new
// folder and makes it the working directory.
func install(t *testing.T, yml string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("rules", 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"topupd.yml": yml, "rules/api-credits.yml": "", "rules/vip.yml": ""}
	maps.Copy(files, secrets)
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestInvalidFilesSayWhatWhereAndWhatToDo(t *testing.T) {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "invalid-*.yml"))
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v: the test would prove nothing", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			yml := read(t, file)
			install(t, yml)
			_, problems := Load("topupd.yml", environment)
			got := problems.Error() + "\n"
			for name, secret := range secrets {
				if s := strings.TrimSpace(secret); s != "" && strings.Contains(got, s) {
					t.Errorf("the message shows %s:\n%s", name, got)
				}
			}
			if strings.Contains(got, "from-the-environment") || strings.Contains(got, "hunter2") || strings.Contains(got, "hidden") {
				t.Errorf("the message shows a secret:\n%s", got)
			}
			want := strings.TrimSuffix(file, ".yml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, want), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidFilesLoadWithoutProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/valid-*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			install(t, read(t, file))
			if _, problems := Load("topupd.yml", environment); len(problems) != 0 {
				t.Error(problems)
			}
		})
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestEveryKeyArrives(t *testing.T) {
	yml := read(t, "testdata/valid-every-key.yml")
	install(t, yml)
	got, problems := Load("topupd.yml", environment)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	want := &Config{
		File: "topupd.yml", Mode: Active,
		DatabaseURL:        NewSecret("postgres://topupd@db.internal/topupd?sslmode=verify-full"),
		DatabaseFilesystem: LocalFilesystem,
		HTTP:               HTTP{Listen: "127.0.0.1:9846"},
		Log:                Log{Format: LogJSON},
		Metrics:            Metrics{PerTarget: PerTargetAll, MaxSeries: 2000},
		Providers: []Provider{{
			Name: "hyperline", Type: topup.Hyperline, BaseURL: mustURL(t, "https://api.hyperline.co"),
			Token: NewSecret("prod_production-key"), Poll: Poll{Auto: true},
			RateLimit: RateLimit{
				Reads: Rate{200, 10 * time.Second}, Writes: Rate{50, 10 * time.Second}, SharePercent: 50,
			},
			PurchaseTimeout: 75 * time.Second, UnknownOutcome: UnknownOutcome{Retry, 15 * time.Minute},
			NativeAutoTopup: NativeRefuse, FirstPurchaseAfter: 150 * time.Second, Line: 9,
		}, {
			Name: "voice", Type: topup.Talkover, BaseURL: mustURL(t, "https://app.talkover.ai"),
			UserToken: NewSecret("7|user-token"), EnvironmentToken: NewSecret("talq_environment-token"),
			EnvironmentID: "env-uuid-1", Poll: Poll{Auto: true},
			RateLimit:       RateLimit{Requests: Rate{100, time.Minute}, SharePercent: 50},
			PurchaseTimeout: 75 * time.Second, UnknownOutcome: UnknownOutcome{Review, 15 * time.Minute},
			NativeAutoTopup: NativeRefuse, FirstPurchaseAfter: 150 * time.Second, Line: 19,
		}},
		Limits: Limits{
			Global: []topup.Cap{
				{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "EUR", Limit: 2_000_000},
				{Scope: topup.CapGlobal, Period: topup.CapDay, Currency: "USD", Limit: 500_000},
			},
			Provider: []topup.Cap{{Scope: topup.CapProvider, Period: topup.CapHour, Limit: 500}},
		},
		Verify:    Verify{Schedule: "17 3 * * *", Since: 48 * time.Hour},
		Retention: Retention{Evaluations: 90 * 24 * time.Hour, Evidence: 730 * 24 * time.Hour},
		RuleFiles: []string{"rules/api-credits.yml", "rules/vip.yml"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load() (-want +got):\n%s", diff)
	}
}

func TestLoopbackMayBeFast(t *testing.T) {
	yml := read(t, "testdata/valid-loopback.yml")
	install(t, yml)
	c, problems := Load("topupd.yml", environment)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	p := c.Providers[0]
	if p.PurchaseTimeout != 2*time.Second || p.UnknownOutcome != (UnknownOutcome{Review, time.Second}) || p.FirstPurchaseAfter != 0 || p.Poll != (Poll{Every: time.Second}) {
		t.Errorf("provider = %+v", p)
	}
	if got, want := c.Providers[1].BaseURL.String(), "http://localhost:9847/white/label"; got != want {
		t.Errorf("BaseURL = %s, want %s", got, want)
	}
	if got, want := c.Providers[1].UserToken.Reveal(), "user-from-the-environment"; got != want {
		t.Errorf("UserToken = %s, want %s", got, want)
	}
	if !c.Limits.Unlimited {
		t.Error("Limits.Unlimited = false")
	}
	if got, want := c.DatabaseName(), "sqlite topupd.db"; got != want {
		t.Errorf("DatabaseName() = %s, want %s", got, want)
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    Provider
		want topup.ProviderID
	}{
		{"production", Provider{Type: topup.Hyperline, BaseURL: mustURL(t, "https://api.hyperline.co")}, "hyperline://api.hyperline.co/"},
		{"the usual port and capitals change nothing", Provider{Type: topup.Hyperline, BaseURL: mustURL(t, "https://API.hyperline.co:443")}, "hyperline://api.hyperline.co/"},
		{"another port does", Provider{Type: topup.Hyperline, BaseURL: mustURL(t, "http://127.0.0.1:9847")}, "hyperline://127.0.0.1:9847/"},
		{"a path does not", Provider{Type: topup.Talkover, EnvironmentID: "e1", BaseURL: mustURL(t, "https://host/white/label")}, "talkover://host/e1"},
		{"the environment does", Provider{Type: topup.Talkover, EnvironmentID: "env-uuid-1", BaseURL: mustURL(t, "https://app.talkover.ai")}, "talkover://app.talkover.ai/env-uuid-1"},
		{"IPv6 keeps its brackets", Provider{Type: topup.Hyperline, BaseURL: mustURL(t, "http://[::1]:9847")}, "hyperline://[::1]:9847/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.p.Identity(); got != tt.want {
				t.Errorf("Identity() = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTheDatabaseGoesWhereStateBelongs(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		euid int
		want string // "" is an error
	}{
		{"systemd says where", map[string]string{"STATE_DIRECTORY": "/var/lib/private/topupd:/other"}, 0, "/var/lib/private/topupd"},
		{"root has a usual place", nil, 0, "/var/lib/topupd"},
		{"a user has a home", map[string]string{"HOME": "/home/u"}, 1000, "/home/u/.local/state/topupd"},
		{"without a home nobody guesses", nil, 1000, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := stateDirectory(func(name string) string { return tt.env[name] }, tt.euid)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("stateDirectory() = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// A ~ that nobody expands is a folder of that name, with a ledger in it that
// nobody finds again.
func TestATildeIsTheHomeOfTheUserOrRefused(t *testing.T) {
	home := t.TempDir()
	for name, text := range map[string]string{"secret.token": "prod_from_home\n", "rules.yml": "rules: []\n", "url": "sqlite:~/from-a-file.db\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(database, rules, token, home string) (*Config, yamlfile.Problems) {
		install(t, fmt.Sprintf(`mode: dry_run
%s
providers:
  - {name: h, type: hyperline, token_file: %s}
rule_files: [%s]
`, database, token, rules))
		return Load("topupd.yml", func(name string) string { return map[string]string{"HOME": home}[name] })
	}
	cfg, problems := load("database_url: sqlite:~/x.db", "~/rules.yml", "~/secret.token", home)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	if got, want := cfg.DatabaseURL.Reveal(), "sqlite:"+home+"/x.db"; got != want {
		t.Errorf("the ledger is %s, want %s", got, want)
	}
	if got, want := cfg.RuleFiles, []string{home + "/rules.yml"}; !slices.Equal(got, want) {
		t.Errorf("the rules are %s, want %s", got, want)
	}
	if got := cfg.Providers[0].Token.Reveal(); got != "prod_from_home" {
		t.Errorf("the token is %s", got)
	}
	if cfg, problems = load("database_url_file: ~/url", "~/rules.yml", "~/secret.token", home); len(problems) != 0 || cfg.DatabaseURL.Reveal() != "sqlite:"+home+"/from-a-file.db" {
		t.Errorf("by a file: %s, %v", cfg.DatabaseURL.Reveal(), problems)
	}
	for _, tt := range []struct{ database, rules, token, home, at, want string }{
		{"sqlite:~ada/x.db", "~/rules.yml", "~/secret.token", home, "database_url", "~NAME is not understood"},
		{"sqlite:~", "~/rules.yml", "~/secret.token", home, "database_url", "~NAME is not understood"},
		{"sqlite:~/x.db", home + "/rules.yml", home + "/secret.token", "", "database_url", "there is no $HOME"},
		{"sqlite:/x.db", "~ada/rules.yml", "~/secret.token", home, "rule_files[0]", "~NAME is not understood"},
		{"sqlite:/x.db", "~/rules.yml", "~ada/secret.token", home, "token_file", "~NAME is not understood"},
	} {
		_, problems := load("database_url: "+tt.database, tt.rules, tt.token, tt.home)
		if text := problems.Text(1); problems.Errors() != 1 || !strings.Contains(text, tt.at) || !strings.Contains(text, tt.want) || !strings.Contains(text, "write the whole path") {
			t.Errorf("%v: %s", tt, text)
		}
	}
}

func TestASecretForEveryoneIsAWarning(t *testing.T) {
	yml := read(t, "testdata/valid-minimal.yml")
	install(t, yml)
	if err := os.Chmod("hyperline.token", 0o644); err != nil {
		t.Fatal(err)
	}
	_, problems := Load("topupd.yml", environment)
	if problems.Err() != nil || len(problems.Warnings()) != 1 || !strings.Contains(problems.Error(), "chmod o-r hyperline.token") {
		t.Errorf("problems = %v, want one warning with chmod", problems)
	}
}

func TestAMissingFileIsOneProblem(t *testing.T) {
	t.Chdir(t.TempDir())
	c, problems := Load("nowhere.yml", environment)
	want := "nowhere.yml: reading the file: no such file or directory · check the path and the permissions\n1 error in 1 file"
	if c == nil || problems.Error() != want {
		t.Errorf("Load() = %v, %q; want %q", c, problems, want)
	}
}

func TestAFileWithTheOtherEndingIsAWarning(t *testing.T) {
	install(t, read(t, "testdata/valid-every-key.yml"))
	if err := os.WriteFile("rules/more.yaml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, problems := Load("topupd.yml", environment)
	if problems.Err() != nil || len(problems) != 1 || !strings.Contains(problems.Error(), "more.yaml is not read") {
		t.Errorf("problems:\n%s", problems.Error())
	}
}
