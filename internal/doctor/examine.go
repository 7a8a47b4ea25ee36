package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"topupd/clients"
	"topupd/config"
	"topupd/rules"
	"topupd/topup"
)

// Client is what the daemon itself reads with.
type Client interface {
	clients.Poller
	Confirm(context.Context, topup.Order) (topup.Confirmation, error)
}

// Patient is one provider connection of the configuration.
type Patient struct {
	Provider config.Provider
	Rules    rules.Set       // those of other providers are left alone
	API      clients.Options // for the doctor's own reads
	Client   Client
	Now      func() time.Time
}

// examination is one read-only visit.
type examination struct {
	Patient
	notes
	api   *clients.API
	first *clients.Response // the first answer: nothing of ours was counted before
}

// Examine reads what can be read and judges it. It changes nothing. What cannot
// be read is a finding, not an error.
func Examine(ctx context.Context, p Patient) Visit {
	e := &examination{Patient: p, api: clients.New(p.API), notes: notes{provider: p.Provider.Name, id: p.Provider.Identity(), kind: Check}}
	if !e.reachable(ctx) {
		return e.Visit
	}
	if p.Provider.Type == topup.Talkover {
		e.talkover(ctx)
	} else {
		e.hyperline(ctx)
	}
	return e.Visit
}

// get reads one path below the base URL.
func (e *examination) get(ctx context.Context, op, path string, query url.Values, token clients.Token) (clients.Object, clients.Response, error) {
	resp, err := e.api.Read(ctx, clients.Read{Op: op, Path: path, Query: query, Token: token})
	if e.first == nil && resp.Status != 0 {
		e.first = &resp
	}
	if err != nil {
		return clients.Object{}, resp, err
	}
	o, err := clients.ParseObject(resp.Body)
	if err != nil {
		return o, resp, fmt.Errorf("%s: the answer is %w", op, err)
	}
	return o, resp, nil
}

// usualPort is where the schemes of base_url are served.
var usualPort = map[string]string{"https": "443", "http": "80"}

const (
	connectWithin = 10 * time.Second
	slowConnect   = 2 * time.Second     // beyond it the purchase window of 5 s is in danger
	certificateOK = 14 * 24 * time.Hour // shorter, and somebody should ask
)

// reachable opens one connection and gives it up.
func (e *examination) reachable(ctx context.Context) bool {
	u := e.Provider.BaseURL
	port := u.Port()
	if port == "" {
		port = usualPort[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	began := e.Now()
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		e.say("reachable", Fail, "check base_url and the resolver", "no address for %s: %v", u.Hostname(), err)
		return false
	}
	named := e.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		e.say("reachable", Fail, "check base_url, the network and the firewall", "no connection to %s: %v", u.Host, err)
		return false
	}
	defer conn.Close()
	text := fmt.Sprintf("%s, name in %s (%s), connected in %s", u.Host, ms(named.Sub(began)), many(len(addresses), "address"), ms(e.Now().Sub(named)))
	if u.Scheme != "https" {
		e.say("reachable", OK, "", "%s, no TLS on this machine", text)
		return true
	}
	return e.secure(ctx, conn, began, text)
}

func (e *examination) secure(ctx context.Context, conn net.Conn, began time.Time, text string) bool {
	before := e.Now()
	s := tls.Client(conn, &tls.Config{ServerName: e.Provider.BaseURL.Hostname(), RootCAs: e.API.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err := s.HandshakeContext(ctx); err != nil {
		e.say("reachable", Fail, "check the system's certificates, and that nothing intercepts TLS", "%s, but TLS failed: %v", text, err)
		return false
	}
	state := s.ConnectionState()
	left := state.PeerCertificates[0].NotAfter.Sub(e.Now())
	text += fmt.Sprintf(", %s in %s", tls.VersionName(state.Version), ms(e.Now().Sub(before)))
	switch {
	case left < certificateOK:
		e.say("reachable", Warn, "ask the provider: its certificate ends soon", "%s; its certificate is valid for %s", text, left.Round(time.Hour))
	case e.Now().Sub(began) > slowConnect:
		e.say("reachable", Warn, "find out what is slow: a purchase must be sent within 5 s of its connection", "%s: slow", text)
	default:
		e.say("reachable", OK, "", "%s", text)
	}
	return true
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }

// clockOK is how far clocks may differ without a word, inclusive: the Date
// header has whole seconds, and requests take time.
const clockOK = 5 * time.Second

// clock compares the provider's Date with ours.
func (e *examination) clock() {
	switch {
	case e.first == nil:
	case e.first.ServerTime.IsZero():
		e.say("clock", Unknown, "", "the provider sends no Date header")
	default:
		skew := apart(e.first.ServerTime, e.first.SentAt, e.Now())
		text := "no difference that shows"
		if skew != 0 {
			text = fmt.Sprintf("%s apart", skew.Abs().Round(time.Millisecond))
		}
		switch {
		case skew.Abs() > rules.MaxSkew:
			e.say("clock", Fail, "set this machine's clock: topupd buys nothing while they differ by more than "+rules.MaxSkew.String(), "%s", text)
		case skew.Abs() > clockOK:
			e.say("clock", Warn, "check the time service of this machine", "%s", text)
		default:
			e.say("clock", OK, "", "%s", text)
		}
	}
}

// apart is by how much a stamp in whole seconds lies outside of the time in
// which it was made.
func apart(stamp, from, to time.Time) time.Duration {
	switch {
	case stamp.Add(time.Second).Before(from):
		return stamp.Add(time.Second).Sub(from)
	case stamp.After(to):
		return stamp.Sub(to)
	default:
		return 0
	}
}

// mine are the rules that buy here.
func (e *examination) mine() []rules.Rule {
	var list []rules.Rule
	for _, r := range e.Rules.Rules {
		if slices.Contains(r.Providers, e.Provider.Name) {
			list = append(list, r)
		}
	}
	return list
}

func (e *examination) products() []topup.ProductID {
	var list []topup.ProductID
	for _, r := range e.mine() {
		if !slices.Contains(list, r.Product) {
			list = append(list, r.Product)
		}
	}
	return list
}

// status is the HTTP status of a failed read; 0 when none came.
func status(err error) int {
	if e, ok := errors.AsType[*clients.Error](err); ok {
		return e.Status
	}
	return 0
}
