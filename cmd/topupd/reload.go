package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// reloadCmd asks the daemon on this machine to read its rules again.
type reloadCmd struct{}

func (*reloadCmd) Help() string {
	return `Asks the daemon at http.listen of the configuration to read the rules again, and waits for its answer: exit 0 when the new ones are in use, 1 when it refused them (it says why, and goes on with the old ones) or could not be asked. SIGHUP does the same without an answer.

Examples:

    topupd reload
    systemctl reload topupd`
}

// reloadPatience is longer than the daemon takes to answer (30 s).
const reloadPatience = 40 * time.Second

// maxReloadAnswer bounds what is shown of the daemon's answer.
const maxReloadAnswer = 1 << 20

func (*reloadCmd) Run(a *app) error {
	l := a.read() // mistakes too: the daemon says what it makes of them
	host, port, err := net.SplitHostPort(l.Config.HTTP.Listen)
	switch {
	case err != nil:
		return usage("%s: http.listen cannot be read, so nobody can be asked: topupd check", a.config)
	case port == "0":
		return usage("http.listen takes any free port (0), so nobody can be asked: send SIGHUP to the daemon instead")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(a.ctx, reloadPatience)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/-/reload"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the daemon cannot be asked: %w; is it running, with this configuration?", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxReloadAnswer))
	if err != nil {
		return fmt.Errorf("reading the daemon's answer: %w", err)
	}
	text := strings.TrimSpace(string(body))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("refused, the daemon goes on with the old rules: %s", text)
	}
	a.Printf("%s\n", text)
	return nil
}
