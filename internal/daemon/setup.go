package daemon

import (
	"path/filepath"
	"time"

	"topupd/config"
	"topupd/config/yamlfile"
	"topupd/ledger"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// Setup is what the files say: one that may be run with when Problems holds no
// error.
type Setup struct {
	Config   *config.Config
	Rulebook *scheduler.Rulebook
	Problems yamlfile.Problems
	Files    int // that were read
}

// Read reads the configuration and the rules: ruleFiles, or those of the
// configuration when there are none.
func Read(file string, ruleFiles []string, getenv func(string) string, now time.Time) *Setup {
	cfg, problems := config.Load(file, getenv)
	if len(ruleFiles) > 0 {
		cfg.RuleFiles = ruleFiles
	}
	in := rules.Context{
		GlobalCaps: cfg.Limits.Global, ProviderCaps: cfg.Limits.Provider,
		DryRun: cfg.Mode == config.DryRun, Now: now, Dir: filepath.Dir(file), Getenv: getenv,
	}
	for _, p := range cfg.Providers {
		in.Providers = append(in.Providers, rules.Provider{Name: p.Name, Type: p.Type})
	}
	set, more := rules.Load(cfg.RuleFiles, in)
	caps := append(append([]topup.Cap{}, cfg.Limits.Global...), cfg.Limits.Provider...)
	return &Setup{
		Config: cfg, Rulebook: &scheduler.Rulebook{Rules: set, Caps: caps},
		Problems: append(problems, more...), Files: 1 + len(cfg.RuleFiles),
	}
}

// Ledger returns the options that every opening of the configured ledger has.
func (s *Setup) Ledger(o ledger.Options) ledger.Options {
	o.AnyFilesystem = s.Config.DatabaseFilesystem == config.AnyFilesystem
	return o
}
