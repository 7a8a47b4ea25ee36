package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"topupd/config/yamlfile"
	"topupd/topup"
)

// maxRuleFiles bounds how many rule files the globs may match, inclusive.
const maxRuleFiles = 1000

// Load reads the configuration at path and everything it points to except the
// rules: secrets and the names of the rule files. Paths in the file are
// relative to it. getenv fills in ${NAME} and finds the state directory.
//
// The Config is never nil, so that rules can be checked beside a broken
// configuration; it must not be run with unless problems.Err() is nil.
func Load(path string, getenv func(string) string) (*Config, yamlfile.Problems) {
	l := loader{
		file:   yamlfile.Read(path, path, getenv),
		dir:    filepath.Dir(path),
		getenv: getenv,
	}
	var y fileYAML
	l.file.Decode(&y)
	c := &Config{
		File:               path,
		Mode:               y.Mode,
		HTTP:               HTTP(y.HTTP),
		DatabaseFilesystem: y.Filesystem,
		Log:                Log{Level: y.Log.Level.slog(), Format: y.Log.Format},
		Metrics:            Metrics(y.Metrics),
	}
	if l.file.Problems().Err() != nil && len(y.Providers) == 0 && len(y.RuleFiles) == 0 {
		return c, l.file.Problems() // nothing to look into
	}
	l.listen(y.HTTP.Listen)
	c.DatabaseURL = l.database(y)
	for i := range y.Providers {
		c.Providers = append(c.Providers, l.provider(&y.Providers[i], fmt.Sprintf("providers[%d]", i)))
	}
	l.distinct(c.Providers)
	c.Limits = l.limits(y)
	c.Verify = l.verify(y.Verify)
	c.Retention = y.Retention.retention()
	c.RuleFiles = l.ruleFiles(y.RuleFiles)
	return c, l.file.Problems()
}

// loader is one run of Load.
type loader struct {
	file   *yamlfile.File
	dir    string
	getenv func(string) string
}

func (l loader) listen(address string) {
	_, port, err := net.SplitHostPort(address)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || strconv.FormatUint(n, 10) != port {
		l.file.Report("http.listen", fmt.Sprintf("%q is not an address with a port", address), "write 127.0.0.1:9846, or :9846 for every interface")
	}
}

func (l loader) limits(y fileYAML) Limits {
	var out Limits
	if g := y.Limits.Global; g != nil {
		out.Global = g.Caps(l.file, "limits.global", topup.CapGlobal)
		out.Unlimited = g.Unlimited != nil && *g.Unlimited
		if g.Unlimited != nil && !*g.Unlimited {
			l.file.Report("limits.global.unlimited", "false says nothing", "write caps instead, or unlimited: true")
		}
		if out.Unlimited && len(out.Global) > 0 {
			l.file.Report("limits.global.unlimited", "stands beside caps", "keep the caps, or unlimited: true, not both")
		}
	}
	if y.Limits.Provider != nil {
		out.Provider = y.Limits.Provider.Caps(l.file, "limits.provider", topup.CapProvider)
	}
	if y.Mode == Active && len(out.Global) == 0 && !out.Unlimited && !l.file.Has("limits.global") {
		l.file.ReportLine("mode", "mode: active needs limits.global",
			"add limits: {global: {day: {spend: {EUR: 1000.00}}}}, or global: {unlimited: true} if nothing shall stop it")
	}
	return out
}

// ruleFiles lists the files that the globs match. A glob without a match is a
// mistake: a daemon without its rules would let customers run dry in silence.
func (l loader) ruleFiles(globs []string) []string {
	var files []string
	for i, glob := range globs {
		path := fmt.Sprintf("rule_files[%d]", i)
		if l.atHome(path, &glob); glob == "" {
			continue
		}
		globs[i] = glob
		matches, err := filepath.Glob(l.path(glob))
		switch {
		case strings.Contains(glob, "**"): // filepath.Glob would read it as one *, and leave rules out
			l.file.Report(path, fmt.Sprintf("%q: ** is not supported", glob), "write a glob for each depth: rules/*.yml and rules/*/*.yml")
		case err != nil:
			l.file.Report(path, fmt.Sprintf("%q is not a glob", glob), "write a file name or a glob such as rules/*.yml")
		case len(matches) == 0:
			l.file.Report(path, fmt.Sprintf("%q matches no file", glob), "it is looked for in "+filepath.Dir(l.path(glob)))
		case slices.ContainsFunc(matches, l.isConfig):
			l.file.Report(path, fmt.Sprintf("%q matches this file itself", glob), "put the rules into a folder: rules/*.yml")
		default:
			files = append(files, matches...)
		}
	}
	for i, glob := range globs {
		l.otherEnding(fmt.Sprintf("rule_files[%d]", i), glob, files)
	}
	seen := map[string]bool{}
	files = slices.DeleteFunc(files, func(f string) bool {
		again := seen[f]
		seen[f] = true
		return again
	})
	if len(files) > maxRuleFiles {
		l.file.Report("rule_files", fmt.Sprintf("%d files match, more than %d", len(files), maxRuleFiles), "put several rules into one file")
		return files[:maxRuleFiles]
	}
	return files
}

// otherEnding warns about a file that stands beside those of a glob and is left
// out because it ends in .yaml where the glob asks for .yml, or the reverse.
func (l loader) otherEnding(at, glob string, read []string) {
	for _, endings := range [][2]string{{".yml", ".yaml"}, {".yaml", ".yml"}} {
		stem, ok := strings.CutSuffix(l.path(glob), endings[0])
		if !ok || !strings.HasSuffix(stem, "*") {
			continue
		}
		others, _ := filepath.Glob(stem + endings[1]) // a bad pattern was reported
		for _, other := range others {
			if !slices.Contains(read, other) && !l.isConfig(other) {
				l.file.Warn(at, fmt.Sprintf("%s is not read: %q asks for %s", other, glob, endings[0]), "rename it, or add *"+endings[1])
			}
		}
	}
}

func (l loader) isConfig(path string) bool {
	a, errA := os.Stat(path)
	b, errB := os.Stat(l.path(filepath.Base(l.file.Name())))
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// atHome puts the user's folder in the place of a leading ~, as a shell would. A ~
// that it does not know is a mistake, and nothing is left of the path: a folder
// of that name was never meant.
func (l loader) atHome(at string, path *string) {
	if !strings.HasPrefix(*path, "~") {
		return
	}
	home := l.getenv("HOME")
	if rest, ok := strings.CutPrefix(*path, "~/"); ok && home != "" {
		*path = filepath.Join(home, rest)
		return
	}
	what := "~NAME is not understood"
	if home == "" {
		what = "there is no $HOME to put in the place of ~"
	}
	l.file.Report(at, what, "write the whole path; ./~NAME is a file whose name begins so")
	*path = ""
}

// path makes a path of the file relative to its folder.
func (l loader) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(l.dir, p)
}

// secret reads the secret that stands under key, or in the file named by
// key_file. Exactly one of the two must be there when it is required.
func (l loader) secret(block, key string, text *secretText, file *string, required bool) Secret {
	at := key
	if block != "" {
		at = block + "." + key
	}
	hasText, hasFile := l.file.Has(at), l.file.Has(at+"_file")
	switch {
	case hasText && hasFile:
		l.file.Report(at+"_file", "stands beside "+key, "keep one of the two")
	case !hasText && !hasFile && required:
		l.file.Report(block, key+" is missing", fmt.Sprintf("add %s_file: a file that holds it, or %s: ${NAME}", key, key))
	case file != nil:
		path := *file
		if l.atHome(at+"_file", &path); path == "" {
			return Secret{}
		}
		return l.secretFile(at+"_file", l.secretPath(path))
	case text != nil:
		return NewSecret(string(*text))
	}
	return Secret{}
}

// secretPath is where a secret's file is: among the credentials that systemd
// hands to the service (systemd.exec(5), LoadCredential=) when it is there,
// else beside the configuration. So one file serves the unit and the shell.
func (l loader) secretPath(p string) string {
	if dir := l.getenv("CREDENTIALS_DIRECTORY"); dir != "" && !filepath.IsAbs(p) {
		handed := filepath.Join(dir, p)
		if _, err := os.Stat(handed); err == nil {
			return handed
		}
	}
	return l.path(p)
}

func (l loader) secretFile(at, path string) Secret {
	s, err := SecretFromFile(path)
	if err != nil {
		l.file.Report(at, err.Error(), "put only the secret into the file, readable for this process")
		return s
	}
	if dir := l.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		s.open().copy = filepath.Dir(path) == filepath.Clean(dir)
	}
	if stat, err := os.Stat(path); err == nil && stat.Mode().Perm()&0o004 != 0 {
		l.file.Warn(at, path+" can be read by every user of this machine", "chmod o-r "+path)
	}
	return s
}

func (l loader) database(y fileYAML) Secret {
	given := l.secret("", "database_url", y.DatabaseURL, y.DatabaseURLFile, false)
	at := "database_url"
	if l.file.Has("database_url_file") {
		at = "database_url_file"
	}
	switch {
	case !given.IsZero():
		return l.databaseURL(at, given)
	case l.file.Has(at):
		return given // could not be read, reported already
	}
	dir, err := stateDirectory(l.getenv, os.Geteuid())
	if err != nil {
		l.file.Report("", "database_url is missing and "+err.Error(), "add database_url: sqlite:PATH or postgres://…")
		return given
	}
	return NewSecret("sqlite:" + filepath.Join(dir, "topupd.db"))
}

// stateDirectory is where systemd says, else the usual place of root or of
// the user. systemd lists several folders with colons between them
// (systemd.exec(5), RuntimeDirectory=); the first is ours.
func stateDirectory(getenv func(string) string, euid int) (string, error) {
	first, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":")
	if first != "" {
		return first, nil
	}
	if euid == 0 {
		return "/var/lib/topupd", nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("there is no $STATE_DIRECTORY and no $HOME to put the database in")
	}
	return filepath.Join(home, ".local/state/topupd"), nil
}
