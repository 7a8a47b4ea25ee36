package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

// versionCmd prints which program this is.
type versionCmd struct{}

func (*versionCmd) Run(a *app) error {
	a.Printf("%s\n", versionLine())
	return nil
}

// versionFlag does the same where other programs have it.
type versionFlag bool

// BeforeReset prints the version before a command is missed.
func (versionFlag) BeforeReset(k *kong.Kong, a *app) error {
	a.Printf("%s\n", versionLine())
	k.Exit(exitDone)
	return nil
}

func versionLine() string {
	return fmt.Sprintf("topupd %s (%s, %s/%s)", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// programVersion is the version that the build was given, else the one that Go
// recorded, else "dev".
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
