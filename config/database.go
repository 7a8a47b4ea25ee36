package config

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// databaseURL checks the URL and makes the path of sqlite:PATH relative to the
// configuration file. What it reports never quotes the URL: it may hold a
// password.
func (l loader) databaseURL(at string, s Secret) Secret {
	value := s.Reveal()
	if path, ok := strings.CutPrefix(value, "sqlite:"); ok {
		path = strings.TrimPrefix(path, "//")
		switch {
		case path == "" || strings.ContainsAny(path, "?#"):
			l.file.Report(at, "sqlite: must be followed by the path of a file", "write sqlite:/var/lib/topupd/topupd.db")
		case strings.Contains(path, ":memory:"):
			l.file.Report(at, "a database in memory forgets what was bought", "write sqlite:/var/lib/topupd/topupd.db")
		default:
			if l.atHome(at, &path); path != "" {
				return NewSecret("sqlite:" + l.path(filepath.Clean(path)))
			}
		}
		return s
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql"):
		l.file.Report(at, "is not a database URL", "write postgres://USER@HOST/DATABASE or sqlite:PATH, with special characters in the password as %XX")
	case strings.Trim(u.Path, "/") == "":
		l.file.Report(at, "names no database", "write postgres://USER@HOST/DATABASE")
	case u.Query().Get("sslmode") == "disable" && u.Hostname() != "" && !allLoopback(u):
		l.file.Warn(at, "sends the password and every purchase in the clear", "write sslmode=verify-full")
	case !slices.Contains([]string{"", "read-write", "primary"}, u.Query().Get("target_session_attrs")):
		l.file.Warn(at, "may lead to a standby, which takes no writes", "write target_session_attrs=read-write, or leave it out")
	}
	return s
}

// allLoopback tells whether every server of the URL is on this machine.
func allLoopback(u *url.URL) bool {
	for host := range strings.SplitSeq(u.Host, ",") {
		if one := (&url.URL{Host: host}); !loopback(one.Hostname()) {
			return false
		}
	}
	return true
}

// DatabaseName says which database it is without credentials, for logs:
// "postgres db.internal/topupd", "sqlite /var/lib/topupd/topupd.db".
func (c *Config) DatabaseName() string {
	value := c.DatabaseURL.Reveal()
	if path, ok := strings.CutPrefix(value, "sqlite:"); ok {
		return "sqlite " + path
	}
	u, err := url.Parse(value)
	if err != nil {
		return "postgres"
	}
	return "postgres " + u.Host + u.Path
}
